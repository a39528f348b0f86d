"""Who writes a run: a file beside the log that names one writer by its epoch, and a lock for the moment of each write.

Counterpart: `services.event_log`, which takes the lease, and writes only inside `writing`.

    take ─► epoch + 1, our name ─► writing: lock ─► is the epoch still ours? ─► write ─► unlock ─► … ─► release

Rules that hold here:

1. The lock is held while one batch is written, never longer: a writer that was stopped cannot keep everybody out.
2. The epoch rises with each take and never falls. Whoever finds a higher one than its own was replaced, writes nothing
   any more and is told so.
3. A writer that lives is not replaced: its process runs, with the same start time, and is not stopped.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from codex_oss.errors import StoreError

MAX_LEASE_BYTES: Final = 4096
LOCK_WAIT_S: Final = 5.0
LOCK_POLL_S: Final = 0.01
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

HolderState = Literal["none", "lives", "gone", "stopped"]


class Holder(Struct, frozen=True):
    """What the file says. pid 0: nobody writes."""

    epoch: int = 0
    pid: int = 0
    started: str = ""
    """The process's start time as the system counts it, so that a reused pid is not taken for it."""


class WriterLease:
    """The right to write one run. Not shared between threads; `EventLog` guards it."""

    def __init__(self, path: Path) -> None:
        """Open the lease file; nothing is taken yet. Errors: StoreError."""
        try:
            self._fd = os.open(path, _FLAGS, 0o600)
        except OSError as exc:
            raise StoreError(f"The lock {path.name} cannot be opened: {exc.strerror}.") from exc
        self.epoch = 0
        self.replaced: HolderState = "none"
        """State of the writer before this one, as it was found."""

    def take(self) -> None:
        """Become the writer. Errors: StoreError `log_locked` when another one lives."""
        with self._locked():
            holder = self._read()
            self.replaced = state_of(holder)
            if self.replaced == "lives":
                raise StoreError(
                    f"Another process writes this run (pid {holder.pid}).",
                    hint="Wait for it, or end it.",
                    code="log_locked",
                )
            self.epoch = holder.epoch + 1
            self._write(Holder(self.epoch, os.getpid(), _start_of(os.getpid())))

    def rise_above(self, epoch: int) -> None:
        """Make the epoch higher than one that the log shows, should the lease file have been lost."""
        if epoch >= self.epoch:
            with self.writing():
                self.epoch = epoch + 1
                self._write(Holder(self.epoch, os.getpid(), _start_of(os.getpid())))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock for one write. Errors: StoreError `writer_replaced` when another writer took over."""
        with self._locked():
            holder = self._read()
            if holder.epoch != self.epoch:
                raise StoreError(
                    f"Another writer took this run over (epoch {holder.epoch}, ours was {self.epoch}).",
                    code="writer_replaced",
                )
            yield

    def close(self) -> None:
        """Give the lease back, if it is still ours; safe to call twice."""
        if self._fd < 0:
            return
        try:
            with self._locked():
                if self.epoch and self._read().epoch == self.epoch:
                    self._write(Holder(self.epoch))
        except (StoreError, OSError):
            pass  # our process ends, and with it the claim
        finally:
            fd, self._fd = self._fd, -1
            os.close(fd)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreError(
                        "Another process holds the lock of this run and does not let go.",
                        hint="It may be stopped in the middle of a write; end it.",
                        code="log_locked",
                    ) from None
                time.sleep(LOCK_POLL_S)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _read(self) -> Holder:
        data = os.pread(self._fd, MAX_LEASE_BYTES, 0)
        try:
            return msgspec.json.decode(data, type=Holder) if data.strip() else Holder()
        except msgspec.MsgspecError:
            return Holder()  # torn; the epoch of the log stands above it, see `rise_above`

    def _write(self, holder: Holder) -> None:
        data = msgspec.json.encode(holder)
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))


def read_holder(path: Path) -> Holder:
    """Who writes the run of this lease file; nobody when there is no file."""
    try:
        data = path.read_bytes()[:MAX_LEASE_BYTES]
        return msgspec.json.decode(data, type=Holder) if data.strip() else Holder()
    except (OSError, msgspec.MsgspecError):
        return Holder()


def state_of(holder: Holder) -> HolderState:
    """What became of a writer."""
    if holder.pid < 2:
        return "none"
    letter, started = _look_at(holder.pid)
    if not letter or letter in "ZX" or started != holder.started:
        return "gone"
    return "stopped" if letter in "Tt" else "lives"


def _start_of(pid: int) -> str:
    return _look_at(pid)[1]


def _look_at(pid: int) -> tuple[str, str]:
    """State letter and start time of a process; empty when there is none. Source: proc(5), /proc/pid/stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return "", ""
    # The name in brackets may hold anything, also ")": the fields follow the last one.
    fields = stat.rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")
