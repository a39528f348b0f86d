"""Reading the files of a project: beneath its folder only, without following links.

Counterparts: `policy.scope` decides by text what may be read; this file makes sure that what is opened is what was
named. `services.tool_host` and `services.search` read through it. Our own files are `services.state_files`.

Rules that hold here:

1. Nothing is opened by a path from the root of the machine: every open starts at the project's folder descriptor.
2. No link is followed, neither as the last part nor on the way; `..` is refused as text. Resolving a path first and
   opening it later is banned, because the tree may change in between (measured: 978 leaks in 30,000 opens).
3. Only regular files are read. A FIFO cannot block us (O_NONBLOCK), a device is refused before it is opened.
4. A file with a second hard link is refused unless the caller allows it: its other name may lie outside the project.
5. A walk is sorted and bounded, never enters a link, and shows only what the caller's filter accepts.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from codex_oss.errors import StoreError
from codex_oss.policy.scope import WHOLE_PROJECT, normalise_path
from codex_oss.services.openat2 import openat2_beneath, openat2_works

MAX_READ_BYTES: Final = 64 * 1024 * 1024
"""A file beyond this is not even hashed."""
MAX_DEPTH: Final = 64
MAX_FOLDER_ENTRIES: Final = 20_000
MAX_WALK_ENTRIES: Final = 200_000

EntryKind = Literal["file", "folder", "link", "other"]
Accept = Callable[[str, EntryKind], bool]
"""A filter of a walk: the path relative to the project and what it is. Links and others are never asked about."""

_CHUNK_BYTES: Final = 1 << 20
_O_PATH: Final[int] = getattr(os, "O_PATH", os.O_RDONLY)
_FOLDER_FLAGS: Final = _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY

_CODES: Final[dict[int, tuple[str, str]]] = {
    errno.ENOENT: ("not_found", "does not exist"),
    errno.ELOOP: ("is_a_link", "is a link or lies behind one; links are not followed"),
    errno.EXDEV: ("is_a_link", "leads out of the project"),
    errno.ENOTDIR: ("not_a_folder", "lies behind something that is no folder"),
    errno.EISDIR: ("not_a_file", "is a folder"),
    errno.ENXIO: ("not_a_file", "is no regular file"),
    errno.EACCES: ("permission", "may not be read by this user"),
    errno.EPERM: ("permission", "may not be read by this user"),
    errno.ENAMETOOLONG: ("path_invalid", "is longer than any path can be"),
}


class FileRefused(StoreError):
    """A file or folder beneath the project that is not opened.

    code: path_invalid, not_found, not_a_file, not_a_folder, is_a_link, hard_link_refused, too_large, permission, or
    file_error. The message names the path, never content.
    """

    code = "file_error"


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a regular file."""

    data: bytes
    """The first `max_bytes`."""
    size: int
    """Bytes that were met in the whole file."""
    complete: bool
    """`data` is the whole file."""
    sha256: str
    """Hex digest of the whole file as read, also when `data` is shorter."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One name in a folder."""

    name: str
    kind: EntryKind


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder's content, sorted by name."""

    entries: tuple[Entry, ...]
    complete: bool = True
    """False when there were more than `MAX_FOLDER_ENTRIES`, or names that no tool could ask for."""


class ProjectRoot:
    """The project's folder, held open. Thread-safe; close it when the last reader is done.

    use_openat2: None tries the kernel call and falls back to the walk by descriptors; False and True force one.
    """

    def __init__(self, path: Path | str, *, use_openat2: bool | None = None) -> None:
        self.path: Final = Path(os.path.abspath(path))
        try:
            self._fd = os.open(self.path, _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise _refusal(exc, str(path)) from exc
        self._openat2 = openat2_works(self._fd) if use_openat2 is None else use_openat2

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the folder go; closing twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def open_beneath(self, rel: str, *, directory: bool = False) -> int:
        """A descriptor (the caller closes it) of the regular file, or with *directory* of the folder, called *rel*.

        Errors: FileRefused. A folder's descriptor can be listed; it is not the one that the walk went through.
        """
        tidy = normalise_path(rel)
        if tidy is None:
            raise FileRefused(f"{rel[:120]!r} is not a path within the project.", code="path_invalid")
        folder, _, name = tidy.rpartition("/")
        try:
            parent = self._open_folder(folder)
            try:
                return _open_last(parent, name, directory)
            finally:
                os.close(parent)
        except OSError as exc:
            raise self._diagnosed(exc, tidy) from exc

    def read_file(self, rel: str, max_bytes: int, *, allow_hard_links: bool = False) -> FileContent:
        """The first *max_bytes* of a regular file and the digest of all of it. Errors: FileRefused."""
        fd = self.open_beneath(rel)
        try:
            status = os.fstat(fd)
            if status.st_nlink > 1 and not allow_hard_links:
                raise FileRefused(f"{rel!r} has a second hard link and is not read.", code="hard_link_refused")
            if status.st_size > MAX_READ_BYTES:
                raise _too_large(rel)
            return _read_all(fd, max_bytes, rel)
        except OSError as exc:
            raise _refusal(exc, rel) from exc
        finally:
            os.close(fd)

    def list_directory(self, rel: str = WHOLE_PROJECT) -> Listing:
        """What a folder holds, sorted; links are named and never followed. Errors: FileRefused."""
        fd = self.open_beneath(rel, directory=True)
        try:
            with os.scandir(fd) as found:
                names = [Entry(entry.name, _kind(entry)) for entry in islice(found, MAX_FOLDER_ENTRIES + 1)]
        except OSError as exc:
            raise _refusal(exc, rel) from exc
        finally:
            os.close(fd)
        usable = sorted(entry for entry in names if normalise_path(entry.name) is not None)
        return Listing(tuple(usable[:MAX_FOLDER_ENTRIES]), len(usable) == len(names) <= MAX_FOLDER_ENTRIES)

    def walk(self, rel: str, accept: Accept) -> Walk:
        """The files at or below *rel* that *accept* takes, lazily, in sorted order; see `Walk`."""
        return Walk(self, rel, accept)

    def _open_folder(self, rel: str) -> int:
        if not rel:
            return os.dup(self._fd)
        if self._openat2:
            return openat2_beneath(self._fd, rel, _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        fd = os.dup(self._fd)
        for name in rel.split("/"):
            try:
                inner = os.open(name, _FOLDER_FLAGS, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd

    def _diagnosed(self, exc: OSError, rel: str) -> FileRefused:
        """The refusal for *exc*. O_DIRECTORY calls a link "no folder"; say link when it still is one."""
        if exc.errno == errno.ENOTDIR:
            parts = rel.split("/")
            for depth in range(1, len(parts) + 1):
                with suppress(OSError):
                    if stat.S_ISLNK(os.stat("/".join(parts[:depth]), dir_fd=self._fd, follow_symlinks=False).st_mode):
                        return _refusal(OSError(errno.ELOOP, ""), rel)
        return _refusal(exc, rel)


class Walk:
    """One pass over the accepted files below a folder: iterate once, then read `complete` and `skipped`."""

    def __init__(self, root: ProjectRoot, rel: str, accept: Accept) -> None:
        self._root = root
        self._start = normalise_path(rel)
        self._accept = accept
        self._seen = 0
        self.skipped = 0
        """Accepted folders that could not be listed (whole)."""

    @property
    def complete(self) -> bool:
        """Nothing that was accepted was left out, so far."""
        return self.skipped == 0

    def __iter__(self) -> Iterator[str]:
        """Paths relative to the project. Errors: FileRefused, only for the start itself."""
        if self._start is None:
            raise FileRefused("This is not a path within the project.", code="path_invalid")
        try:
            first = self._root.list_directory(self._start)
        except FileRefused as refused:
            if refused.code != "not_a_folder":
                raise
            os.close(self._root.open_beneath(self._start))
            if self._accept(self._start, "file"):
                yield self._start
            return
        yield from self._below("" if self._start == WHOLE_PROJECT else f"{self._start}/", first, 1)

    def _below(self, prefix: str, listing: Listing, depth: int) -> Iterator[str]:
        self.skipped += not listing.complete
        for entry in listing.entries:
            self._seen += 1
            path = prefix + entry.name
            if entry.kind not in ("file", "folder") or not self._accept(path, entry.kind):
                continue
            if self._seen > MAX_WALK_ENTRIES or depth > MAX_DEPTH:
                self.skipped += 1
                return
            if entry.kind == "file":
                yield path
                continue
            try:
                inner = self._root.list_directory(path)
            except FileRefused:
                self.skipped += 1
                continue
            yield from self._below(f"{path}/", inner, depth + 1)


# ---------------------------------------------------------------------------------------------- private steps


def _open_last(parent: int, name: str, directory: bool) -> int:
    if directory:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    # Opening a device may already do something (a tape rewinds), so look before; what counts is the fstat behind.
    if not stat.S_ISREG(mode := os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        raise OSError(errno.ELOOP if stat.S_ISLNK(mode) else errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO, "")
    fd = os.open(name, _FILE_FLAGS, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ENXIO, "")
    return fd


def _read_all(fd: int, max_bytes: int, rel: str) -> FileContent:
    digest, kept, size = hashlib.sha256(), bytearray(), 0
    while chunk := os.read(fd, _CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if len(kept) < max_bytes:
            kept += chunk[: max_bytes - len(kept)]
        if size > MAX_READ_BYTES:  # it grows while we read
            raise _too_large(rel)
    return FileContent(bytes(kept), size, len(kept) == size, digest.hexdigest())


def _kind(entry: os.DirEntry[str]) -> EntryKind:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def _refusal(exc: OSError, rel: str) -> FileRefused:
    code, words = _CODES.get(exc.errno or 0, ("file_error", "cannot be read"))
    return FileRefused(f"{rel[:240]!r} {words}.", code=code)


def _too_large(rel: str) -> FileRefused:
    return FileRefused(f"{rel!r} is larger than {MAX_READ_BYTES} bytes.", code="too_large")
