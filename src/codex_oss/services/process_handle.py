"""One process of this machine, held so that a reused pid can never be signalled.

Counterpart: `services/bridge_process.py`, which decides whose process it is.

Rules that hold here:

1. Open the handle first, prove identity second, signal third: on Linux the handle is a pidfd, which keeps meaning
   the same process even when the number is given away meanwhile. Elsewhere the number itself has to do.
2. A zombie counts as gone: it runs no code and holds no port, and below some container inits it stays for ever.
3. Waiting is bounded; nothing here waits without a limit.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

POLL_S: Final = 0.05
"""Distance of two looks where the system cannot wake us."""


class ProcessHandle:
    """A running process, found by pid. Use as a context manager; `open` gives None when there is none."""

    def __init__(self, pid: int, pidfd: int | None) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @classmethod
    def open(cls, pid: int) -> ProcessHandle | None:
        """Hold process *pid*; None when it does not run (or never could: pids below 2 are refused)."""
        if pid < 2 or not _exists(pid):
            return None
        pidfd = None
        if hasattr(os, "pidfd_open"):
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                return None
            except OSError:  # an old kernel or a sandbox without the call: fall back to the number
                pidfd = None
        return cls(pid, pidfd)

    def __enter__(self) -> ProcessHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go; the process is not touched."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def send(self, number: signal.Signals) -> bool:
        """Signal the process; False when it is gone already. PermissionError passes through."""
        try:
            if self._pidfd is not None and hasattr(signal, "pidfd_send_signal"):
                signal.pidfd_send_signal(self._pidfd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process has ended, for at most *timeout_s* seconds; True when it has."""
        if self._pidfd is not None:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            return bool(poller.poll(max(0.0, timeout_s) * 1000))
        deadline = time.monotonic() + timeout_s
        while _exists(self.pid):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True


def process_runs(pid: int) -> bool:
    """Whether a process with this pid runs (a zombie does not)."""
    return pid >= 2 and _exists(pid)


def process_mark(pid: int) -> str:
    """A name that no other process has or had on this machine: boot, pid and start; empty when it does not run."""
    return _mark_and_state(pid)[0]


def mark_runs(mark: str) -> bool:
    """Whether the process of this mark runs still."""
    return look_at_mark(mark) != "gone"


def look_at_mark(mark: str) -> Literal["lives", "stopped", "gone"]:
    """What became of the process of this mark. stopped: by a signal or a debugger; it may be continued."""
    pid = mark.split(":")[1] if mark.count(":") == 2 else ""
    if not (pid.isascii() and pid.isdecimal()):
        return "gone"
    found, state = _mark_and_state(int(pid))
    if found != mark:
        return "gone"
    return "stopped" if state in (b"T", b"t") else "lives"


def _mark_and_state(pid: int) -> tuple[str, bytes]:
    """The mark and the state letter of a process; both empty when it does not run. Source: proc(5)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "", b""
    state, *fields = stat.rpartition(b")")[2].split()
    return ("", b"") if state == b"Z" else (f"{boot}:{pid}:{fields[18].decode()}", state)


def command_line(pid: int) -> tuple[str, ...]:
    """The arguments a process was started with; empty where the system does not tell."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode("utf-8", "surrogateescape") for part in raw.split(b"\0") if part)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    # the name in brackets may hold anything, also ")": the state follows the last one
    return stat.rpartition(b")")[2].split()[:1] == [b"Z"]
