"""The marshal: a process between the watcher and the command that ends all of them when the watcher is gone.

Counterparts: `services.sandbox_child` is the watcher, `services.sandbox_landlock` keeps the signals inside.

    watcher ──► marshal (at level landlock: signals kept to itself and below) ──► command ──► whoever it starts
                    │
        leash cut (the watcher may be dead), or the command has ended
                    ├─ landlock   kill(-1), which reaches everybody below and nobody else
                    └─ bwrap      the first process of the namespace, and all others with it

Why a process of its own: bubblewrap asks to die with its parent, but not in its first milliseconds. Why `kill(-1)`: a
command that makes processes faster than anybody can list them is never caught one by one; one walk in the kernel
catches all, and a fork under way fails when its maker is to die. The command sits in a Landlock domain inside the
marshal's, so that it cannot reach the marshal.

Rule: nobody calls `kill(-1)` who has not seen his signals end at the watcher.

Source: kill(2), landlock(7) (`LANDLOCK_SCOPE_SIGNAL`, ABI 6).
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from codex_oss.services.sandbox_landlock import confine_signals, libc
from codex_oss.services.sandbox_tree import end_all

MAX_ROUNDS: Final = 3
PR_SET_CHILD_SUBREAPER: Final = 36


def marshal(start: Callable[[], None], tell: int, leash: int, *, scoped: bool) -> None:
    """Start the command, wait for its end or for the leash, tell its wait status, end all. Never returns.

    start: becomes the command, in the child. tell: where the lines for the watcher go. leash: readable when cut.
    scoped: whether signals can be kept inside. Raises OSError before anything was started.
    """
    libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if scoped:
        watcher = os.getppid()
        confine_signals()
        if not _is_out_of_reach(watcher):
            raise OSError(0, "signals are not kept inside")
    command = os.fork()
    if command == 0:
        os.close(leash)
        try:
            start()
        except (OSError, ValueError) as exc:
            tell_line(tell, {"problem": getattr(exc, "strerror", None) or str(exc)})
        finally:
            os._exit(1)
    for fd in (0, 1, 2):
        os.close(fd)  # the end of the command must be the end of its output
    status = _waited(command, leash)
    if status is not None:
        tell_line(tell, {"status": status})
    if scoped:
        for _ in range(MAX_ROUNDS):
            _kill_all()
    elif status is None:
        os.kill(command, signal.SIGKILL)
    end_all(os.getpid(), reap=True)
    os._exit(0)


def tell_line(fd: int, told: Mapping[str, object]) -> None:
    """One JSON object a line, for the watcher."""
    with suppress(OSError):
        os.write(fd, json.dumps(told).encode() + b"\n")


def _is_out_of_reach(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def _waited(command: int, leash: int) -> int | None:
    """The wait status of the command; None when the leash was cut before."""
    ended = os.pidfd_open(command)
    poller = select.poll()
    poller.register(ended, select.POLLIN)
    poller.register(leash, select.POLLIN | select.POLLHUP)
    ready = [fd for fd, _ in poller.poll()]
    return os.waitpid(command, 0)[1] if ended in ready else None


def _kill_all() -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(-1, signal.SIGKILL)
