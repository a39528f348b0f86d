"""The lines of a protocol on stdin and stdout, with nothing else on them.

Counterparts: `cli.mcp`, which greets line by line; `services.line_streams`, through which the SDK goes on. Rules that
hold here:

1. While they are claimed, file descriptor 0 is the null device and 1 is stderr: what a child reads or a library prints
   never touches the protocol.
2. A line is bounded. What is longer arrives as one line that is no JSON, and the session goes on.
3. A peer that is gone is an end, not an error.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
TOO_LONG: Final = b"(a line of more than 16 MiB)\n"


class Lines:
    """Both pipes. reader, writer: binary, the reader buffered."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader = reader
        self._writer = writer

    def read(self) -> bytes:
        """One line with its end; the last one may lack it. Empty at the end. Blocks."""
        try:
            line = self._reader.readline(MAX_LINE_BYTES)
            if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
                return line
            while (rest := self._reader.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
        except OSError:
            return b""
        return TOO_LONG

    def write(self, data: bytes) -> None:
        """Send it. A reader that is gone is noticed by `read`. Blocks."""
        with contextlib.suppress(OSError, ValueError):
            self._writer.write(data)
            self._writer.flush()


@contextmanager
def claim_stdio() -> Iterator[Lines]:
    """The pipes of this process for as long as the block lasts."""
    _flush_printed()
    reader_fd, writer_fd = os.dup(0), os.dup(1)
    try:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        # Not closed: a thread may still wait on it when the block ends.
        reader = os.fdopen(reader_fd, "rb", closefd=False)
        yield Lines(reader, os.fdopen(writer_fd, "wb", closefd=False))
    finally:
        # What waits in Python's own buffer would come out behind the protocol.
        _flush_printed()
        with contextlib.suppress(OSError):
            os.dup2(reader_fd, 0)
            os.dup2(writer_fd, 1)


def _flush_printed() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
