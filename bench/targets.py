"""The servers that are compared: how each is started, and how it is told where the stand-in listens.

nginx passes a Responses stream through untouched: it is the floor. LiteLLM does the same translation: it is the peer.
All listen on loopback and are ended with the block that started them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
NGINX = """daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_buffer_size 1m; client_max_body_size 64m; keepalive_requests 1000000;
  client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u;
  scgi_temp_path {work}/s;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""
LITELLM = """model_list:
  - model_name: "ocg-*"
    litellm_params:
      {{ model: "openai/ocg-*", api_base: "http://127.0.0.1:{upstream}/v1", api_key: none,
        use_chat_completions_api: true }}
litellm_settings: {{ telemetry: false, turn_off_message_logging: true, request_timeout: 300, num_retries: 0 }}
general_settings: {{ disable_spend_logs: true }}
"""


@dataclass(frozen=True)
class Server:
    """A running target. pid 0: the stand-in itself, spoken to directly."""

    name: str
    port: int
    pid: int = 0
    start_s: float = 0.0


@dataclass
class Bench:
    """Where targets run. server_core, load_core: None leaves it to the kernel; models: every one that is asked for."""

    work: Path
    models: Sequence[str]
    nginx: str
    litellm: Path | None = None
    server_core: int | None = 0
    load_core: int | None = 1
    upstream: int = 0
    started: int = field(default=0)

    @contextmanager
    def stand_in(self) -> Iterator[Server]:
        """The model server."""
        self.upstream = free_port()
        command = [sys.executable, str(HERE / "stand_in.py"), str(self.upstream)]
        with running(command, self.upstream, self.load_core, self.work / "stand-in.log") as (pid, start_s):
            yield Server("direct", self.upstream, 0 * pid, start_s)

    @contextmanager
    def target(self, name: str) -> Iterator[Server]:
        """nginx, codex-oss, codex-oss-unjoined or litellm; a fresh process with a folder of its own."""
        self.started += 1
        work = self.work / f"{name}-{self.started}"
        work.mkdir()
        port = free_port()
        command, environ = getattr(self, f"_{name.replace('-', '_')}")(work, port)
        with running(command, port, self.server_core, work / "log", environ) as (pid, start_s):
            yield Server(name, port, pid, start_s)

    def _nginx(self, work: Path, port: int) -> tuple[list[str], Mapping[str, str]]:
        conf = work / "nginx.conf"
        conf.write_text(NGINX.format(work=work, port=port, upstream=self.upstream))
        return [self.nginx, "-c", str(conf), "-p", str(work), "-e", str(work / "error.log")], {}

    def _codex_oss(self, work: Path, port: int, program: Sequence[str] = ("-m", "codex_oss.server")) -> object:
        maps = {f"ocg-{model}": model for model in self.models}
        environ = {
            "UPSTREAM_BASE": f"http://127.0.0.1:{self.upstream}/v1",
            "OPENCODE_GO_API_KEY": "none",
            "PROXY_API_KEY": "bench-key",
            "MAX_GLOBAL_UPSTREAM_CONCURRENCY": "600",
            "MODEL_MAP_JSON": json.dumps(maps),
            "MODEL_CONCURRENCY_JSON": json.dumps(dict.fromkeys(self.models, 600)),
        }
        return [sys.executable, *program, "--project", str(work), "--port", str(port)], environ

    def _codex_oss_unjoined(self, work: Path, port: int) -> object:
        return self._codex_oss(work, port, [str(HERE / "unjoined.py")])

    def _litellm(self, work: Path, port: int) -> tuple[list[str], Mapping[str, str]]:
        assert self.litellm is not None
        conf = work / "litellm.yaml"
        conf.write_text(LITELLM.format(upstream=self.upstream))
        environ = {
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "DO_NOT_TRACK": "1",
        }
        command = [str(self.litellm / "bin/litellm"), "--config", str(conf), "--host", "127.0.0.1"]
        return [*command, "--port", str(port), "--num_workers", "1", "--telemetry", "False"], environ

    def load(self, server: Server, model: str, **options: object) -> dict[str, object]:
        """Run one load on *server*; see `load.py` for the options."""
        flags = [str(part) for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        command = [sys.executable, str(HERE / "load.py"), str(server.port), f"ocg-{model}", *flags]
        if server.pid:
            command += ["--pid", str(server.pid)]
        done = subprocess.run(pinned(command, self.load_core), check=False, capture_output=True, text=True, timeout=900)
        if done.returncode:
            raise SystemExit(f"the load on {server.name} broke: {done.stderr[-600:]}")
        return dict(json.loads(done.stdout))


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command on one core."""
    return [*([] if core is None else ["taskset", "-c", str(core)]), *command]


@contextmanager
def running(
    command: Sequence[str], port: int, core: int | None, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[int, float]]:
    """A process that listens on *port*; its pid and the seconds until it did."""
    with log.open("wb") as out:
        begun = time.perf_counter()
        process = subprocess.Popen(
            pinned(command, core), stdout=out, stderr=out, env={**os.environ, **(environ or {})}, start_new_session=True
        )
        try:
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                    break
                if process.poll() is not None or time.perf_counter() - begun > 90:
                    raise SystemExit(f"{command[0]} does not listen; see {log}:\n{log.read_text()[-800:]}")
                time.sleep(0.002)
            yield process.pid, time.perf_counter() - begun
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
