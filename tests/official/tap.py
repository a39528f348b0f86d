"""A tap on the encoders: everything that they emit is noted, in this process and in every bridge a test starts.

    ResponseEncoder.encode · finish · fail · response ─► one line "KIND JSON" each ─► file of this process ─┐
    tests/conftest.py: after each test ◄─ what is new in the files of this worker, held against the types ◄─┘

A bridge under test is told by two variables of its environment (`tap_environment`); its Python finds
`tests/official/child/sitecustomize.py`, which opens the tap there. So the events that a real Codex or OpenCode reads
are checked like those of a unit test.

Rules that hold here:

1. Standard library only: this runs inside the bridge, too, and must not change what it imports.
2. The classes are wrapped when their module is imported, by their public methods; nothing of the bridge knows of it.
3. A line is written with one `write` of a file opened for append, so that processes may share a folder.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

FOLDER_VARIABLE: Final = "CODEX_OSS_TEST_TAP"
CHILD: Final = Path(__file__).with_name("child")
ENCODERS: Final = {
    "codex_oss.wire.responses_stream": ("ResponseEncoder", "event", "response"),
    "codex_oss.wire.completions_stream": ("ChatEncoder", "chunk", "completion"),
}
"""By module: the class, and the kind of what its methods return as bytes and as an object."""

Note = Callable[[str, bytes], None]


def tap_environment() -> dict[str, str]:
    """The variables that open the tap in a child process; empty when it is closed here."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return {FOLDER_VARIABLE: folder, "PYTHONPATH": str(CHILD)} if folder else {}


def open_tap() -> None:
    """Note what the encoders of this process emit, from now on, in the folder that the environment names."""
    path = Path(os.environ[FOLDER_VARIABLE]) / f"{os.getpid()}.tap"

    def note(kind: str, value: bytes) -> None:
        with path.open("ab", buffering=0) as file:
            file.write(kind.encode() + b" " + value + b"\n")

    for name in ENCODERS:
        if name in sys.modules:
            _wrap_encoder(sys.modules[name], note)
    sys.meta_path.insert(0, _Finder(note))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the encoders as usual, and wraps their class when they were executed."""

    def __init__(self, note: Note) -> None:
        self._note = note

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in ENCODERS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _wrap_encoder(module, self._note)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _wrap_encoder(module: ModuleType, note: Note) -> None:
    cls_name, stream_kind, object_kind = ENCODERS[module.__name__]
    cls = getattr(module, cls_name)
    for name, method in list(vars(cls).items()):
        if callable(method) and not name.startswith("_"):
            setattr(cls, name, _noted(method, note, stream_kind, object_kind))


def _noted(method: Callable[..., Any], note: Note, stream_kind: str, object_kind: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def noted(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if isinstance(result, bytes):
            if values := stream_values(result):
                note(stream_kind, (b"\n" + stream_kind.encode() + b" ").join(values))
        elif isinstance(result, dict):
            note(object_kind, json.dumps(result).encode())
        return result

    return noted


def stream_values(data: bytes) -> list[bytes]:
    """The JSON values in what an encoder emitted, framed as SSE or as lines; `[DONE]` is none."""
    lines = (line.removeprefix(b"data: ") for line in data.split(b"\n"))
    return [line for line in lines if line.startswith(b"{")]
