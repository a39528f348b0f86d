"""Level `landlock`: a process that gives up its rights by itself, where no namespace can be had.

Counterparts: `services.sandbox_child` calls `confine` between fork and exec; `services.sandbox_seccomp` is the filter.

    capabilities dropped ─► no new privileges ─► Landlock: files, TCP, abstract sockets, signals ─► seccomp ─► exec

Rules that hold here:

1. Landlock only allows, and what it allows for a folder holds for all below. So that `.git` stays as it is, the folder
   that holds it is opened entry by entry: at this level a command changes what is there and makes new files in
   subfolders, but makes, renames and removes nothing directly in the project's folder.
2. A kernel with an older Landlock gets the missing part from the filter: signals below ABI 6, `truncate` below ABI 3.
3. No link is followed while the list is made: a link in the project would open what it points to.

What this level does not keep: modes, owners and times of the user's own files outside can be changed (never their
contents); file names outside can be looked up (`stat`), not listed; the list of mounts and the host's name are known.

Source: landlock(7) and linux/landlock.h, ABI 1 to 7; capabilities(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from codex_oss.services.sandbox_enclosure import KIN, Enclosure
from codex_oss.services.sandbox_seccomp import (
    ALWAYS,
    SHARED_WITH_HOST,
    SIGNALS,
    TRUNCATION,
    filter_program,
    machine,
)

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REMOVE_DIR: Final = 1 << 4
REMOVE_FILE: Final = 1 << 5
MAKE_DIR: Final = 1 << 7
MAKE_REG: Final = 1 << 8
MAKE_SOCK: Final = 1 << 9
MAKE_FIFO: Final = 1 << 10
MAKE_SYM: Final = 1 << 12
REFER: Final = 1 << 13
TRUNCATE: Final = 1 << 14

READ: Final = EXECUTE | READ_FILE | READ_DIR
CHANGE: Final = WRITE_FILE | TRUNCATE
MAKE: Final = REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER
_FOR_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE

ABI_OF_ACCESS: Final = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, 1 << 15))
"""From which ABI on which rights over files can be handled."""
NET_ABI: Final = 4
TRUNCATE_ABI: Final = 3
SCOPE_ABI: Final = 6
_TCP: Final = 0b11
_SCOPES: Final = 0b11
_SIGNAL_SCOPE: Final = 0b10

DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
ABOUT_MACHINE: Final = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/version")

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522
_SYS_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_MAX_CAPABILITY: Final = 63


@cache
def libc() -> ctypes.CDLL:
    """The C library, loaded once and before any fork."""
    return ctypes.CDLL(None, use_errno=True)


def landlock_abi() -> int:
    """The kernel's version of Landlock; 0 where it has none or it is switched off."""
    if machine() is None:
        return 0
    told = libc().syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    return max(0, int(told))


def confine(enclosure: Enclosure, temporary: str, abi: int) -> None:
    """Restrict this process and all it will start, for good. Raises OSError when any part of it fails.

    temporary: a folder that may be changed freely. abi: what to use, at most what the kernel has.
    """
    here = machine()
    if here is None or abi < 1:
        raise OSError(errno.ENOSYS, "no Landlock here")
    drop_capabilities(here)
    _checked(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _restrict(enclosure, temporary, abi)
    rows = [*ALWAYS, *SHARED_WITH_HOST]
    rows += TRUNCATION if abi < TRUNCATE_ABI else ()
    rows += SIGNALS if abi < SCOPE_ABI else ()
    load_filter(filter_program(rows, here))


def confine_signals() -> None:
    """Keep the signals of this process to itself and those it will start. Needs ABI 6; raises OSError."""
    _checked(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _enforce(struct.pack("=QQQ", 0, 0, _SIGNAL_SCOPE), 24, ())


def drop_capabilities(here: str) -> None:
    """Give up every capability, also those that a program started by root would get back."""
    for capability in range(_MAX_CAPABILITY + 1):
        if libc().prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 and ctypes.get_errno() not in (
            errno.EINVAL,  # the kernel knows fewer
            errno.EPERM,  # not root: there is nothing to give up
        ):
            raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")
    libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    head = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    none = ctypes.create_string_buffer(24)
    _checked(libc().syscall(ctypes.c_long(_SYS_CAPSET[here]), head, none))


def load_filter(program: bytes) -> None:
    """Load a filter for this process; needs `no_new_privs`."""
    steps = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    told = Program(len(program) // 8, ctypes.cast(steps, ctypes.c_void_p))
    _checked(libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(told), 0, 0))


def _restrict(enclosure: Enclosure, temporary: str, abi: int) -> None:
    handled = sum(access for since, access in ABI_OF_ACCESS if abi >= since)
    attributes = struct.pack("=QQQ", handled, _TCP if abi >= NET_ABI else 0, _SCOPES if abi >= SCOPE_ABI else 0)
    # An older kernel refuses a longer structure than it knows, unless the rest is zero.
    size = 24 if abi >= SCOPE_ABI else 16 if abi >= NET_ABI else 8
    _enforce(attributes, size, ((path, access & handled) for path, access in allowed_access(enclosure, temporary)))


def _enforce(attributes: bytes, size: int, rules: Iterable[tuple[str, int]]) -> None:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = _checked(
        libc().syscall(ctypes.c_long(_CREATE_RULESET), buffer, ctypes.c_size_t(size), ctypes.c_uint32(0))
    )
    try:
        for path, access in rules:
            _allow(ruleset, path, access)
        _checked(libc().syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def allowed_access(enclosure: Enclosure, temporary: str) -> Iterator[tuple[str, int]]:
    """Each path with what may be done there and below it."""
    for path in KIN:
        if os.path.isdir(path) and not os.path.islink(path):
            yield path, READ
    for path in enclosure.readable:
        yield os.path.realpath(path), READ
    for path in ABOUT_MACHINE:
        yield path, READ_FILE
    for path in DEVICES:
        yield path, READ_FILE | WRITE_FILE
    yield temporary, READ | CHANGE | MAKE
    yield from _project(enclosure.root, enclosure, writable=enclosure.root in enclosure.writable)


def _project(folder: str, enclosure: Enclosure, *, writable: bool) -> Iterator[tuple[str, int]]:
    """A folder in which something is covered: its names may be listed, its other entries are opened one by one."""
    covered = (*enclosure.guarded, *enclosure.hidden)
    inner = (*covered, *enclosure.writable)
    if not any(path.startswith(folder + "/") for path in inner):
        yield folder, READ | (CHANGE | MAKE if writable else 0)
        return
    yield folder, READ_DIR
    for entry in sorted(os.listdir(folder)):
        path = os.path.join(folder, entry)
        if path in enclosure.hidden or os.path.islink(path):
            continue
        if path in enclosure.guarded:
            yield path, READ
        elif os.path.isdir(path):
            yield from _project(path, enclosure, writable=writable or path in enclosure.writable)
        else:
            yield path, READ | (CHANGE if writable else 0)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.EACCES):  # gone meanwhile, or nothing that this user could reach anyway
            return
        raise
    try:
        kind = os.fstat(place).st_mode
        if stat.S_ISLNK(kind):
            return
        rule = struct.pack("=Qi", access if stat.S_ISDIR(kind) else access & _FOR_FILES, place)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        _checked(
            libc().syscall(
                ctypes.c_long(_ADD_RULE),
                ctypes.c_int(ruleset),
                ctypes.c_int(_PATH_BENEATH),
                buffer,
                ctypes.c_uint32(0),
            )
        )
    finally:
        os.close(place)


def _checked(told: int) -> int:
    if told < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(told)
