"""The marshal: a process between the watcher and the command that can end all of them with one call.

Counterparts: `services.sandbox_child` is the watcher, `services.sandbox_landlock` the level that needs it.

    watcher ──► marshal (signals kept to itself and below) ──► command (also files, sockets, …) ──► whoever it starts
                    │
        leash cut, or the command has ended: kill(-1), which reaches everybody below and nobody else

Why: a command that makes processes faster than anybody can list them is never caught one by one. `kill(-1)` is one
walk in the kernel, and a fork under way fails when its maker is to die. In a Landlock domain of its own it ends there.
The command sits in a domain inside the marshal's, so that it cannot reach the marshal.

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

from codex_oss.services.sandbox_landlock import confine_signals

MAX_ROUNDS: Final = 3


def marshal(start: Callable[[], None], tell: int, leash: int) -> None:
    """Start the command, wait for its end or for the leash, tell its wait status, end all. Never returns.

    start: becomes the command, in the child. tell: where the lines for the watcher go. leash: readable when cut.
    Raises OSError before anything was started.
    """
    watcher = os.getppid()
    confine_signals()
    if not _is_out_of_reach(watcher):
        raise OSError(0, "signals are not kept inside")
    command = os.fork()
    if command == 0:
        os.close(leash)
        try:
            start()
        except OSError as exc:
            tell_line(tell, {"problem": exc.strerror or str(exc)})
        finally:
            os._exit(1)
    for fd in (0, 1, 2):
        os.close(fd)  # the end of the command must be the end of its output
    status = _waited(command, leash)
    if status is not None:
        tell_line(tell, {"status": status})
    for _ in range(MAX_ROUNDS):
        if not _killed_all():
            break
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


def _killed_all() -> bool:
    """Whether there was anybody left to kill."""
    try:
        os.kill(-1, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True
