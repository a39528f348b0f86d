"""Level `bwrap`: a command in namespaces of its own, built by bubblewrap.

Counterparts: `services.sandbox_enclosure` says what may be seen, `services.sandbox_child` starts what stands here.

The new root is empty; only what is listed is put into it, in this order, so that a later line covers an earlier one:

    proc, dev, tmp (new) ─► tools (read only) ─► project (read only) ─► writable folders ─► .git (read only),
    .codex-oss (empty) ─► the root itself (read only)

Namespaces: user, pid, net (a loopback of its own), ipc, uts, cgroup. The pid namespace ends with its first process,
so that killing bubblewrap kills all of them. Source: bwrap(1) 0.8.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from codex_oss.services.sandbox_enclosure import KIN, Enclosure, Limits

PLACES: Final = ("/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap", "/run/current-system/sw/bin/bwrap")
"""Where the program is looked for; never in PATH, which may begin with a folder of the project."""
TEMPORARY: Final = "/tmp"  # noqa: S108 - of the new root, not of the machine


def find_bwrap() -> str | None:
    """The program's path; None where it is not installed."""
    return next((place for place in PLACES if os.access(place, os.X_OK)), None)


def missing_places(enclosure: Enclosure) -> tuple[str, ...]:
    """Folders that must be covered and do not exist: bubblewrap makes them in the project, to mount over them."""
    covered = (*enclosure.guarded, *enclosure.hidden)
    return tuple(path for path in covered if _is_writable(path, enclosure) and not os.path.lexists(path))


def bwrap_arguments(
    program: str, enclosure: Enclosure, limits: Limits, *, folder: str, seccomp_fd: int, status_fd: int
) -> list[str]:
    """The argument list up to the command itself; the environment is what bubblewrap is started with.

    folder: where the command starts. seccomp_fd: a file with the filter. status_fd: gets one JSON object a line; only
    a command that was started gets one with `exit-code`.
    """
    arguments = [program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    arguments += ["--hostname", "sandbox", "--seccomp", str(seccomp_fd), "--json-status-fd", str(status_fd)]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    arguments += ["--size", str(limits.temporary_bytes), "--tmpfs", TEMPORARY]
    arguments += _system(enclosure)
    arguments += ["--ro-bind", enclosure.root, enclosure.root]
    for path in enclosure.writable:
        arguments += ["--bind", path, path]
    arguments += _covers(enclosure)
    arguments += ["--remount-ro", "/", "--chdir", folder, "--"]
    return arguments


def _system(enclosure: Enclosure) -> Iterator[str]:
    for path in KIN:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    for path in enclosure.readable:
        yield from ("--ro-bind", path, path)


def _covers(enclosure: Enclosure) -> Iterator[str]:
    for path in enclosure.guarded:
        if os.path.lexists(path):
            yield from ("--ro-bind", path, path)
        else:
            yield from ("--perms", "0555", "--size", "4096", "--tmpfs", path, "--remount-ro", path)
    for path in enclosure.hidden:
        if os.path.lexists(path) or _is_writable(path, enclosure):
            yield from ("--perms", "0555", "--size", "4096", "--tmpfs", path, "--remount-ro", path)


def _is_writable(path: str, enclosure: Enclosure) -> bool:
    return any(path.startswith(folder.rstrip("/") + "/") for folder in enclosure.writable)
