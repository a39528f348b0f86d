"""The request log on disk: one JSON line a request, appended by one thread, bounded in size.

Counterparts: `services.request_record` is a line; `services.request_history` reads; `server.turn_notes` puts.

    event loop ─► put(make line) ─► queue ─► one thread ─► one write for all that wait ─► requests.jsonl
                        └─ full: dropped and counted                  └─ too large: ─► requests.jsonl.1

Rules that hold here:

1. The event loop never waits for the disk. What makes a line (redaction, hashes) runs in the thread, too.
2. Nothing that the disk does is a turn's problem: what cannot be written is counted, and said once until it works.
3. A write appends whole lines in one call. A line that a kill or a full disk tore is ended by the next writer.
4. Two processes may share the file: each looks before it writes whether the file was put aside, and only who holds its
   lock puts it aside. One older generation is kept.
5. Mode 0600, never through a link, never to anything but a regular file.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from codex_oss.errors import StoreError, fault_of
from codex_oss.services.state_files import ensure_private_dir

log = logging.getLogger(__name__)

MAX_WAITING: Final = 1024
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
"""What waiting requests may weigh together: a line is made of a whole conversation."""
CLOSE_S: Final = 1.0
GROUP_S: Final = 0.05
"""The thread lets this pass after the first line that waits, so that many turns are one wake-up and one write."""
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY

MakeLine = Callable[[], bytes]
"""Makes one whole line, its line feed included; called in the log's thread."""


class RequestLogFacts(Struct, frozen=True):
    """What `/health` tells. dropped: lines that were not written. problem: why not; empty when all is well."""

    path: str
    written: int
    dropped: int
    problem: str


class RequestLog:
    """The log of one bridge. Opens nothing and starts no thread before the first line.

    path: the file. ours: it lies below the bridge's own folder, which is then made and kept private. max_bytes: a
    larger file is put aside.
    """

    def __init__(self, path: Path, *, ours: bool, max_bytes: int, max_waiting: int = MAX_WAITING) -> None:
        self._path = path
        self._ours = ours
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._waiting: deque[MakeLine] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._fd: int | None = None
        self._written = 0
        self._dropped = 0
        self._problem = ""

    @property
    def facts(self) -> RequestLogFacts:
        """What is known without asking the file."""
        return RequestLogFacts(str(self._path), self._written, self._dropped, self._problem)

    def put(self, make: MakeLine, *, weight_bytes: int = 0) -> None:
        """Hand over what makes a line; returns at once. weight_bytes: roughly what it keeps in memory until then."""
        with self._changed:
            full = len(self._waiting) >= self._max_waiting or self._waiting_bytes > MAX_WAITING_BYTES
            if self._closing.is_set() or full:
                self._dropped += 1
                return
            first = not self._waiting
            self._waiting.append(make)
            self._waiting_bytes += weight_bytes
            if self._thread is None:
                # A daemon: a disk that hangs must not keep the process.
                self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
                self._thread.start()
            if first:
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, for at most CLOSE_S. What comes later is dropped."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _work(self) -> None:
        while (lines := self._next_lines()) is not None:
            if lines:
                self._append(lines)
        if self._fd is not None:
            os.close(self._fd)

    def _next_lines(self) -> list[bytes] | None:
        """The lines of all that wait, a moment after there is something; None at the end.

        What made them is let go before the disk is met.
        """
        with self._changed:
            while not self._waiting and not self._closing.is_set():
                self._changed.wait()
        self._closing.wait(GROUP_S)
        with self._changed:
            makes = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        if not makes:
            return None
        lines = [line for make in makes if (line := _made(make))]
        self._count(dropped=len(makes) - len(lines))
        return lines

    def _append(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        try:
            fd = self._open()
            if os.fstat(fd).st_size > self._max_bytes:
                fd = self._put_aside(fd)
            whole = data if _ends_whole(fd) else b"\n" + data
            if os.write(fd, whole) < len(whole):
                raise OSError(0, "the disk is full")
        except (OSError, StoreError) as exc:
            self._count(dropped=len(lines))
            self._say(exc)
            return
        self._count(written=len(lines))
        if self._problem:
            self._problem = ""
            log.info("the request log is written again")

    def _count(self, *, written: int = 0, dropped: int = 0) -> None:
        with self._changed:
            self._written += written
            self._dropped += dropped

    def _say(self, exc: OSError | StoreError) -> None:
        told = exc.message if isinstance(exc, StoreError) else f"{self._path}: {exc.strerror or 'cannot be written'}"
        if not self._problem:
            log.warning("the request log is not written, turns go on: %s", told)
        self._problem = told

    def _open(self) -> int:
        """The file that stands at the path now; opened anew when it was put aside or removed."""
        if self._fd is not None:
            with suppress(FileNotFoundError):
                if _same_file(os.fstat(self._fd), os.stat(self._path, follow_symlinks=False)):
                    return self._fd
            os.close(self._fd)
            self._fd = None
        if self._ours:
            ensure_private_dir(self._path.parent)
        fd = os.open(self._path, _FLAGS, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise StoreError(f"{self._path} is no regular file.")
            if self._ours:
                os.fchmod(fd, 0o600)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return fd

    def _put_aside(self, fd: int) -> int:
        """Rename the full file and open a fresh one; when somebody else does so just now, go on with what is there."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return fd
        if _same_file(os.fstat(fd), os.stat(self._path, follow_symlinks=False)):
            os.replace(self._path, older_path(self._path))
        return self._open()


def older_path(path: Path) -> Path:
    """Where the generation before lies."""
    return path.with_name(path.name + ".1")


def _made(make: MakeLine) -> bytes:
    try:
        return make()
    except Exception as exc:
        log.error("a line of the request log could not be made: %s", fault_of(exc))
        return b""


def _same_file(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _ends_whole(fd: int) -> bool:
    """Does the file end with a whole line? Another process, or one before us, may have been killed in the middle."""
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"
