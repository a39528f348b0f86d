"""The kernel's own walk beneath a folder: `openat2` with no link, no `..` and no way out (Linux 5.6).

Counterpart: `services.project_files`, which walks by descriptors where this does not work.
Source: openat2(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import Final

_O_PATH: Final[int] = getattr(os, "O_PATH", os.O_RDONLY)
_SYS_OPENAT2: Final = 437
_RESOLVE: Final = 0x08 | 0x04 | 0x02  # RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS
_SAME_NUMBER_ON: Final = frozenset({"x86_64", "aarch64", "riscv64", "ppc64le", "s390x"})


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def openat2_beneath(parent: int, path: str, flags: int) -> int:
    """The kernel's own walk. It says EAGAIN when the tree moved under it, which is worth a few more tries."""
    call = _libc().syscall
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE)
    code = errno.EAGAIN
    for _ in range(8):
        fd = call(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(parent),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code))


def openat2_works(fd: int) -> bool:
    """Whether the call exists here and keeps its promise (a sandbox may refuse it, an old kernel lacks it)."""
    machine = os.uname()
    if machine.sysname != "Linux" or machine.machine not in _SAME_NUMBER_ON:
        return False
    try:
        os.close(openat2_beneath(fd, ".", _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return False
    try:
        os.close(openat2_beneath(fd, "..", _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as exc:
        return exc.errno == errno.EXDEV
    return False
