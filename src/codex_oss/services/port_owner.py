"""Which program listens on a port of this machine, as far as the system tells us.

Counterpart: `services.callback_server` names it when a port is busy. Source: proc(5), /proc/net/tcp.

Rules that hold here:

1. A program is named by its short name and its process id, never by its arguments: they may hold secrets. Only our
   own is told from another Python by them.
2. Of another user's process only the user is known. Where there is no /proc, nothing is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codex_oss.policy.printable import printable
from codex_oss.services.process_handle import command_line

TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING: Final = "0A"


def port_owner(port: int) -> str:
    """`name (pid 123)`, or `a program of user NAME`, or `another program`."""
    found = [row for table in TABLES for row in _listeners(table, port)]
    if not found:
        return "another program"
    wanted = {f"socket:[{inode}]" for _, inode in found}
    pid = _holder(wanted)
    if pid is None:
        return f"a program of user {_user_name(found[0][0])}"
    return f"{_name(pid)} (pid {pid})"


def is_taken(port: int) -> bool:
    """Whether some program listens on the port, as far as the system tells."""
    return any(True for table in TABLES for _ in _listeners(table, port))


def _listeners(table: str, port: int) -> Iterator[tuple[int, str]]:
    """User id and inode of every socket that listens on the port."""
    try:
        lines = Path(table).read_text("ascii", "replace").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENING and fields[1].rpartition(":")[2] == f"{port:04X}":
            yield int(fields[7]), fields[9]


def _holder(wanted: set[str]) -> int | None:
    """The process that holds one of these sockets, among those that we may look into."""
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            names = os.listdir(folder)
        except OSError:  # another user's, or gone meanwhile
            continue
        if any(_target(folder / name) in wanted for name in names):
            return int(folder.parent.name)
    return None


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed meanwhile
        return ""


def _name(pid: int) -> str:
    if {"codex_oss", "codex-oss"} & {os.path.basename(word) for word in command_line(pid)[:4]}:
        return "another codex-oss"
    try:
        return printable(Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()) or "a program"
    except OSError:
        return "a program"


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
