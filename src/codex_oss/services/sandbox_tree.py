"""All processes beneath one process: found, counted, ended.

Counterpart: `services.sandbox_child`, which is their reaper (`PR_SET_CHILD_SUBREAPER`), so that whoever loses his
parent becomes its child and stays in the tree, whatever sessions and groups he made.

Rule: stop all, look again, until nobody new is found; only then kill. A process that is killed while another one is
being looked at could have made a third meanwhile; a stopped one cannot.

Source: proc(5), `stat`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
MAX_ROUNDS: Final = 10_000
PAUSE_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class Entry:
    """One process as the kernel tells it."""

    pid: int
    parent: int
    state: str
    resident_bytes: int

    @property
    def lives(self) -> bool:
        """Whether it can still run code; a zombie only waits to be reaped."""
        return self.state not in "ZX"


def descendants(of: int) -> list[Entry]:
    """Everybody beneath process *of*, zombies included, himself not."""
    children: dict[int, list[Entry]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (entry := _entry(int(name))):
            children.setdefault(entry.parent, []).append(entry)
    found: list[Entry] = []
    ask = [of]
    while ask:
        below = children.pop(ask.pop(), [])
        found += below
        ask += [entry.pid for entry in below]
    return found


def end_all(of: int, *, reap: bool) -> int:
    """Kill everybody beneath *of* and return how many there were. reap: they are our own children."""
    met: set[int] = set()
    for _ in range(MAX_ROUNDS):
        living = [entry.pid for entry in descendants(of) if entry.lives]
        if not living:
            break
        fresh = [pid for pid in living if pid not in met]
        met.update(fresh)
        # Those met before are killed: whatever they made until they were stopped is in this look.
        _signal(fresh, signal.SIGSTOP)
        if not fresh:
            _signal(living, signal.SIGKILL)
            time.sleep(PAUSE_S)
        if reap:
            reap_all()
    return len(met)


def reap_all() -> dict[int, int]:
    """Collect every child that has ended: its pid and its wait status. Never waits."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def wait_ended(pid: int, timeout_s: float) -> None:
    """Wait for a child for a while and reap it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                time.sleep(PAUSE_S)
                continue
        return


def threads_of_user(uid: int) -> int:
    """How many tasks a user has now, which is what RLIMIT_NPROC counts."""
    total = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    total += len(os.listdir(f"/proc/{name}/task"))
    return total


def _entry(pid: int) -> Entry | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            told = file.read()
    except OSError:
        return None
    # the name in brackets may hold anything, also ")": the fields follow the last one
    fields = told.rpartition(b")")[2].split()
    return Entry(pid, int(fields[1]), fields[0].decode(), int(fields[21]) * PAGE_BYTES)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
