"""What an enclosed command may see and touch: the project, the tools of the system, a folder of its own, nothing else.

Counterparts: `services.sandbox` asks for it; `services.sandbox_bwrap` and `services.sandbox_landlock` enforce it.

    /usr and its kin, some of /etc        read, run
    the interpreter that runs us          read, run (often beneath the user's home)
    the project                           read, run
    └─ writable folders                   read, run, write
       ├─ .git, and where it points to    read only: hooks and config are code
       └─ .codex-oss                      hidden: keys and records
    a temporary folder                    the command's HOME and TMPDIR, gone afterwards

Rules that hold here:

1. Nothing that the project says widens it: a file of the project is what the command's author may have written.
2. A folder that holds the user's home is no project: there would be nothing left to keep from the command.
3. Of the environment only names on a list get through. Keys are not recognised; everything unknown is left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codex_oss.errors import SandboxError

KIN: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Beside /usr; symbolic links into it on most systems."""
TOOL_FOLDERS: Final = ("/usr", "/nix/store")
ETC: Final = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/debian_version",
    "/etc/fonts",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/lsb-release",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/redhat-release",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
)
"""What programs look up and everybody may know. No shadow, no keys, no configuration of services."""
PARTS_OF_PYTHON: Final = ("bin", "include", "lib", "share")
KEPT_NAMES: Final = frozenset(
    {"CI", "COLUMNS", "LANG", "LANGUAGE", "LINES", "NO_COLOR", "PYTHONDONTWRITEBYTECODE", "SOURCE_DATE_EPOCH", "TZ"}
)
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIDDEN_NAME: Final = ".codex-oss"
GUARDED_NAME: Final = ".git"
MAX_GITDIR_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command may use. All but the two of the tree hold for each process."""

    timeout_s: float
    memory_bytes: int = 4 * 1024**3
    """Private writable memory of a process; resident memory of all of them together."""
    processes: int = 512
    """Processes at once, all together."""
    file_bytes: int = 2 * 1024**3
    open_files: int = 4096
    temporary_bytes: int = 1024**3
    """Size of the temporary folder, where the level can bound it."""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Absolute paths without links in them."""

    root: str
    readable: tuple[str, ...]
    """Folders and files outside the project that exist."""
    writable: tuple[str, ...]
    """Folders, the project or inside it; none inside another."""
    guarded: tuple[str, ...]
    """Inside a writable folder and never written; what does not exist must not come into being."""
    hidden: tuple[str, ...]
    """Inside the project: neither read nor written, nor made."""


def enclose(
    root: Path, writable: Sequence[Path], environ: Mapping[str, str], *, readable: Sequence[Path] = ()
) -> Enclosure:
    """The enclosure of a command in *root*.

    writable: existing folders, relative ones from *root* on. readable: further folders with tools, the user's own
    choice. Errors: SandboxError (`sandbox_root_refused`).
    """
    place = _folder(root, "The project's folder")
    homes = _homes(environ)
    if place == "/" or any(_holds(place, home) for home in homes):
        raise _refused(f"{place} holds your home folder, so nothing could be kept from a command there.")
    allowed = tuple(sorted({_folder(root / folder, "A writable folder") for folder in writable}))
    if outside := [folder for folder in allowed if not _holds(place, folder)]:
        raise _refused(f"{outside[0]} lies outside the project {place}, so it cannot be written.")
    allowed = tuple(f for f in allowed if not any(_holds(other, f) for other in allowed if other != f))
    guarded = tuple(path for folder in allowed for path in _guarded(folder, place, allowed))
    hidden = os.path.join(place, HIDDEN_NAME)
    if os.path.islink(hidden):
        raise _refused(f"{hidden} is a symbolic link, so it cannot be hidden.")
    return Enclosure(place, _tools(homes, readable), allowed, guarded, (hidden,))


def clean_environment(environ: Mapping[str, str], enclosure: Enclosure) -> dict[str, str]:
    """The environment of the command: names on the list, and a PATH of folders that it can see."""
    kept = {name: value for name, value in environ.items() if name in KEPT_NAMES or name.startswith("LC_")}
    visible = (*enclosure.readable, *KIN, enclosure.root)
    asked = [part for part in environ.get("PATH", "").split(":") if part.startswith("/")]
    path = [part for part in asked if any(_holds(place, part) for place in visible) and ".." not in part.split("/")]
    own = [place for place in enclosure.readable if place.endswith("/bin")]
    path += [part for part in (*SYSTEM_PATH.split(":"), *own) if part not in path]
    return kept | {
        "PATH": ":".join(path),
        "TERM": "dumb",
        "GIT_CONFIG_NOSYSTEM": "1",  # where files are hidden by refusal, git takes that for damage
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def _folder(path: Path, what: str) -> str:
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as exc:
        raise _refused(f"{what} {path} cannot be used: {exc.strerror}.") from exc
    if not os.path.isdir(real):
        raise _refused(f"{what} {path} is no folder.")
    return real


def _homes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The home of the environment and the one that the system knows."""
    told = {environ.get("HOME", ""), os.path.expanduser(f"~{_user_name()}")}
    return tuple(sorted({os.path.realpath(home) for home in told if home.startswith("/") and home != "/"}))


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _tools(homes: Sequence[str], further: Sequence[Path]) -> tuple[str, ...]:
    """Every existing folder and file outside the project that a command may read."""
    python = os.path.realpath(sys.base_prefix)
    parts = () if _holds("/usr", python) else tuple(os.path.join(python, part) for part in PARTS_OF_PYTHON)
    chosen = tuple(os.path.realpath(path) for path in further)
    if wide := [path for path in chosen if any(_holds(path, home) for home in homes)]:
        raise _refused(f"{wide[0]} holds your home folder, so it cannot be made readable.")
    return tuple(path for path in dict.fromkeys((*TOOL_FOLDERS, *ETC, *parts, *chosen)) if os.path.exists(path))


def _guarded(folder: str, root: str, writable: Sequence[str]) -> list[str]:
    """The repository of a writable folder: of the project even when there is none, of others where there is one."""
    git = os.path.join(folder, GUARDED_NAME)
    if os.path.islink(git):
        raise _refused(f"{git} is a symbolic link, so it cannot be kept from being replaced.")
    if folder != root and not os.path.exists(git):
        return []
    pointed = _pointed_to(git)
    return [git, *([pointed] if pointed and any(_holds(place, pointed) for place in writable) else [])]


def _pointed_to(git: str) -> str:
    """Where a `.git` file of a worktree or submodule says the repository lies; empty for a folder or none."""
    try:
        with open(git, "rb") as file:
            head = file.read(MAX_GITDIR_BYTES)
    except OSError:
        return ""
    told = head.partition(b"\n")[0].decode("utf-8", "surrogateescape").removeprefix("gitdir:").strip()
    target = os.path.realpath(os.path.join(os.path.dirname(git), told))
    return target if told and os.path.isdir(target) else ""


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _refused(message: str) -> SandboxError:
    return SandboxError(message, hint="Name a folder that is only a project.", code="sandbox_root_refused")
