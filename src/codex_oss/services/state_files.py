"""Our own files: written without tearing them, read without being held up by what stands in their place.

Counterpart: every store. Files of the project that a mission looks at are `services.project_files`.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from codex_oss.errors import StoreError


def write_atomic(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Replace *path* by *data*: readers see the old or the new content, after a crash too. Errors: StoreError.

    Writes a temporary file in the same folder, syncs it, renames it, syncs the folder. For our own state only.
    durable False leaves both syncs out, for what can be made again: after a power cut the file may be empty.
    """
    try:
        fd, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    except OSError as exc:
        raise StoreError(f"{path} cannot be written: {exc.strerror}.") from exc
    try:
        with os.fdopen(fd, "wb") as temporary:
            os.fchmod(fd, mode)
            temporary.write(data)
            temporary.flush()
            if durable:
                os.fsync(fd)
        os.replace(name, path)
        if durable:
            sync_folder(path.parent)
    except OSError as exc:
        raise StoreError(f"{path} cannot be written: {exc.strerror}.") from exc
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def open_plain(path: Path, *, follow_link: bool = False) -> int:
    """A descriptor (the caller closes it) of one of our own files, for reading. Errors: OSError.

    A project may be somebody else's clone and ship a `.codex-oss` of its own: what stands where our file should be may
    be a FIFO that never answers, a device, or a link to elsewhere.
    """
    link = 0 if follow_link else os.O_NOFOLLOW
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | link)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return fd


def read_plain(path: Path, max_bytes: int, *, follow_link: bool = False) -> bytes:
    """All of one of our own files (`open_plain`). Errors: OSError, also for a file of more than *max_bytes*."""
    with os.fdopen(open_plain(path, follow_link=follow_link), "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes} bytes", str(path))
    return data


def ensure_private_dir(path: Path) -> None:
    """Make *path* a folder of mode 0700 that is ours and no link; missing parents too. Errors: StoreError."""
    try:
        for folder in reversed((path, *path.parents)):
            if not folder.exists():
                with suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if status.st_uid != os.geteuid():
                raise StoreError(f"{path} belongs to another user.")
            if stat.S_IMODE(status.st_mode) != 0o700:
                os.fchmod(fd, 0o700)
        finally:
            os.close(fd)
    except OSError as exc:
        raise StoreError(f"{path} cannot be made a private folder: {exc.strerror}.") from exc


def sync_folder(path: Path) -> None:
    """Make new names in a folder last. Errors: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
