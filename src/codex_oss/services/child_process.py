"""A child process that says where it listens, and is ended whatever happens to the one who opened it.

Used for the embedded model and for the bridge that the demo (and the client tests) run.

Rules that hold here:

1. The first line of stdout is the address; nothing counts as ready before it.
2. Waiting is bounded at both ends. A child that fails is reported with its last words, never with a bare status.
3. The block that opened the child ends it: end of file on stdin, SIGTERM, then SIGKILL.
4. On Linux the kernel sends it SIGTERM when its opener dies without a chance to do so (`kill -9`).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

READY_PREFIX: Final = "listening on "
PR_SET_PDEATHSIG: Final = 1
STOP_TIMEOUT_S: Final = 6.0
LAST_WORDS_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Child:
    """A child that listens."""

    address: str
    """What stood behind `listening on `, e.g. `http://127.0.0.1:4000/v1`."""
    pid: int


class ChildFailed(Exception):
    """The child did not get ready; the message says what it did instead, with its last words."""


@contextmanager
def run_child(
    command: Sequence[str],
    *,
    start_timeout_s: float,
    first_line: bytes = b"",
    environ: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Start *command*, yield once it told its address, end it afterwards.

    first_line: written to its stdin, which then stays open as a leash. environ: its whole environment, None for ours.
    Raises ChildFailed when it cannot be started, ends, or is not ready in time.
    """
    with tempfile.TemporaryFile() as last_words:
        try:
            child = subprocess.Popen(  # noqa: S603
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=last_words,
                bufsize=0,
                env=None if environ is None else dict(environ),
                preexec_fn=_follow_parent(),  # noqa: PLW1509 - it only makes one system call
            )
        except OSError as exc:
            raise ChildFailed(f"could not be started: {exc.strerror}") from exc
        try:
            yield Child(_await_address(child, first_line, time.monotonic() + start_timeout_s, last_words), child.pid)
        finally:
            _end(child)


def _follow_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the program: ask for SIGTERM at its parent's death. None elsewhere.

    The library is loaded before the fork; between fork and exec nothing may allocate. Source: prctl(2).
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return functools.partial(prctl, PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _await_address(child: subprocess.Popen[bytes], first_line: bytes, deadline: float, last_words: IO[bytes]) -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it ended already; reading its stdout says so below
        child.stdin.write(first_line)
    line = b""
    while b"\n" not in line:
        readable, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(child.stdout.fileno(), 4096) if readable else b""
        if not chunk:
            what = "ended before it was ready" if readable else "did not get ready in time"
            raise ChildFailed(what + _told(last_words))
        line += chunk
    text = line.split(b"\n", 1)[0].decode("utf-8", "replace")
    if not text.startswith(READY_PREFIX):
        raise ChildFailed(f"said {text[:80]!r} instead of its address" + _told(last_words))
    return text.removeprefix(READY_PREFIX).strip()


def _end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.close()
    for signal_it in (child.terminate, child.kill):
        signal_it()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _told(last_words: IO[bytes]) -> str:
    last_words.seek(0)
    lines = last_words.read().decode("utf-8", "replace").strip().splitlines()
    return f"; its last words: {' | '.join(lines[-LAST_WORDS_LINES:])}" if lines else ""
