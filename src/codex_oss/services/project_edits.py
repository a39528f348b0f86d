"""Writing files of a project: beneath its folder only, never through a link, never over what somebody else just wrote.

Counterparts: `services.project_files` reads them by the same rules, `agent.edits` says what is written,
`services.agent_tools` asks for it once a person agreed.

    open the folder beneath the root ─► write a temporary file in it ─► is the file still what was read? ─► rename

Rules that hold here:

1. Nothing is opened or created by a path from the root of the machine; no link is followed, neither on the way nor as
   the last part. A link that appears in the last moment is replaced itself; what it points to is not touched.
2. A file is replaced whole, with its mode, or not at all; readers see the old or the new content.
3. Compare and swap: the digest of what was read must still be that of the file right before it is replaced. What
   remains is the moment between that look and the rename, for programs that write without a lock of ours.
4. A new file is linked into place, which fails where something stands already.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from codex_oss.errors import StoreError
from codex_oss.policy.scope import WHOLE_PROJECT, normalise_path
from codex_oss.services.project_files import MAX_READ_BYTES, FileRefused, ProjectRoot

MAX_FOLDERS_MADE: Final = 16
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(root: ProjectRoot, rel: str, data: bytes, *, expected_sha256: str) -> None:
    """Replace the regular file *rel* by *data*, if it is still the one with this digest.

    Errors: FileRefused, with `file_changed` when it is another; StoreError when the disk refuses.
    """
    with _folder_of(root, rel) as (folder, name), _temporary(folder, name, data) as made:
        found = root.read_file(rel, MAX_READ_BYTES, allow_hard_links=True)
        if found.sha256 != expected_sha256:
            raise FileRefused(f"{rel!r} was changed meanwhile; read it again.", code="file_changed")
        try:
            _take_after(os.stat(name, dir_fd=folder, follow_symlinks=False), folder, made)
            os.rename(made, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except OSError as exc:
            raise StoreError(f"{rel!r} cannot be written: {exc.strerror}.", code="edit_not_written") from exc


def create_file(root: ProjectRoot, rel: str, data: bytes) -> None:
    """Make the file *rel*, and the folders that lead to it.

    Errors: FileRefused, with `file_exists` when anything stands there; StoreError when the disk refuses.
    """
    _make_folders(root, rel)
    with _folder_of(root, rel) as (folder, name), _temporary(folder, name, data) as made:
        try:
            os.link(made, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            os.fsync(folder)
        except FileExistsError as exc:
            raise _exists(rel) from exc
        except OSError as exc:
            raise StoreError(f"{rel!r} cannot be written: {exc.strerror}.", code="edit_not_written") from exc


def check_absent(root: ProjectRoot, rel: str) -> None:
    """Raise FileRefused `file_exists` when anything stands at *rel*, be it a link or a folder."""
    folder, _, name = str(normalise_path(rel)).rpartition("/")
    try:
        fd = root.open_beneath(folder or WHOLE_PROJECT, directory=True)
    except FileRefused as refused:
        if refused.code == "not_found":
            return
        raise
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise FileRefused(f"{rel!r} cannot be looked at: {exc.strerror}.") from exc
    finally:
        os.close(fd)
    raise _exists(rel)


def _exists(rel: str) -> FileRefused:
    return FileRefused(f"{rel!r} exists already; edit it instead.", code="file_exists")


@contextmanager
def _folder_of(root: ProjectRoot, rel: str) -> Iterator[tuple[int, str]]:
    """The folder that holds *rel*, open, and the name in it."""
    tidy = normalise_path(rel)
    if tidy is None or tidy == WHOLE_PROJECT:
        raise FileRefused(f"{rel[:120]!r} is not a file within the project.", code="path_invalid")
    folder, _, name = tidy.rpartition("/")
    fd = root.open_beneath(folder or WHOLE_PROJECT, directory=True)
    try:
        yield fd, name
    finally:
        os.close(fd)


@contextmanager
def _temporary(folder: int, name: str, data: bytes) -> Iterator[str]:
    """The name of a file in *folder* that holds *data* and is on the disk; gone afterwards, unless it was renamed."""
    made = f".{name[:80].encode()[:80].decode(errors='ignore')}.{secrets.token_hex(6)}.tmp"
    try:
        fd = os.open(made, _CREATE, 0o666, dir_fd=folder)  # the user's umask says who else may read it
    except OSError as exc:
        raise StoreError(f"{name!r} cannot be written: {exc.strerror}.", code="edit_not_written") from exc
    try:
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise StoreError(f"{name!r} cannot be written: {exc.strerror}.", code="edit_not_written") from exc
        yield made
    finally:
        with suppress(FileNotFoundError):
            os.unlink(made, dir_fd=folder)


def _take_after(status: os.stat_result, folder: int, made: str) -> None:
    """Mode and, where that is allowed, owner of the file that is replaced. Raises OSError."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ELOOP, "it is no regular file any more")
    fd = os.open(made, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        with suppress(PermissionError):
            os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
    finally:
        os.close(fd)


def _make_folders(root: ProjectRoot, rel: str) -> None:
    """The folders that lead to *rel*; each is made in the one before it, which is held open."""
    *folders, _ = str(normalise_path(rel)).split("/")
    if len(folders) > MAX_FOLDERS_MADE:
        raise FileRefused(f"{rel[:120]!r} lies too deep.", code="path_invalid")
    fd = root.open_beneath(WHOLE_PROJECT, directory=True)
    try:
        for name in folders:
            with suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=fd)
            inner = os.open(name, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
    except OSError as exc:
        told = "is a link or lies behind one" if exc.errno in (errno.ELOOP, errno.ENOTDIR) else str(exc.strerror)
        raise FileRefused(f"{rel!r} cannot be made: a folder on the way {told}.", code="not_a_folder") from exc
    finally:
        os.close(fd)
