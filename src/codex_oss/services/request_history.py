"""Reading the request log: the last requests that fit a question, and those that come from now on.

Counterpart: `services.request_log` writes, perhaps at this moment, perhaps from two processes. `cli.requests` asks.

Rules that hold here:

1. Lines are read from the end backwards, so that the last ten of a large file cost what ten lines cost.
2. A torn or foreign line is passed over. A last line without its end is not there yet.
3. A file that is put aside while it is followed is read to its end first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from codex_oss.services.request_log import older_path
from codex_oss.services.request_record import MAX_LINE_BYTES, RequestRecord, decode_record
from codex_oss.services.state_files import open_plain

BLOCK_BYTES: Final = 64 * 1024
POLL_S: Final = 0.2

Fits = Callable[[RequestRecord], bool]


def last_records(path: Path, count: int, fits: Fits, *, since: str = "") -> list[RequestRecord]:
    """The last *count* records that fit, oldest first. since: an ISO time as in the records; older ones are left out.

    A log that does not exist is empty. Errors: OSError for one that cannot be read.
    """
    found: list[RequestRecord] = []
    for file in (path, older_path(path)):
        for line in _lines_backwards(file):
            record = decode_record(line)
            if record is None:
                continue
            if record.time < since:
                return found[::-1]
            if fits(record):
                found.append(record)
            if len(found) >= count:
                return found[::-1]
    return found[::-1]


def follow_records(path: Path, fits: Fits, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[RequestRecord]:
    """Every record that fits and is written after this call; never ends by itself. Errors: OSError."""
    fd = _open(path)
    if fd is not None:
        os.lseek(fd, 0, os.SEEK_END)
    return _follow(path, fd, fits, sleep)


def _follow(path: Path, fd: int | None, fits: Fits, sleep: Callable[[float], None]) -> Iterator[RequestRecord]:
    rest = b""
    try:
        while True:
            data = os.read(fd, BLOCK_BYTES) if fd is not None else b""
            *lines, rest = (rest + data).split(b"\n")
            rest = rest if len(rest) <= MAX_LINE_BYTES else b"\0"
            yield from (record for line in lines if (record := decode_record(line)) is not None and fits(record))
            if data:
                continue
            if (fd is None or _was_put_aside(fd, path)) and (fresh := _open(path)) is not None:
                if fd is not None:
                    os.close(fd)
                fd, rest = fresh, b""
                continue
            sleep(POLL_S)
    finally:
        if fd is not None:
            os.close(fd)


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, the last one first; none when it does not exist."""
    fd = _open(path)
    if fd is None:
        return
    try:
        at = os.fstat(fd).st_size
        begun = False
        carried = b""
        while at > 0:
            size = min(BLOCK_BYTES, at)
            at -= size
            first, *lines = (os.pread(fd, size, at) + carried).split(b"\n")
            if lines and not begun:
                begun = True
                lines.pop()  # what follows the last line feed is not whole
            yield from reversed(lines)
            # The begin of a line that is in the next block; an endless one is none of ours.
            carried = first if begun and len(first) <= MAX_LINE_BYTES else b"\0" * begun
        if carried:
            yield carried
    finally:
        os.close(fd)


def _open(path: Path) -> int | None:
    try:
        return open_plain(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _was_put_aside(fd: int, path: Path) -> bool:
    try:
        now = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    then = os.fstat(fd)
    return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino)
