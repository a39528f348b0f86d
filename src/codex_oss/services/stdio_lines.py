"""The lines of a protocol on stdin and stdout, with nothing else on them.

Counterparts: `cli.mcp`, which greets line by line and then hands both over to the SDK. Rules that hold here:

1. While they are claimed, file descriptor 0 is the null device and 1 is stderr: what a child reads or a library prints
   never touches the protocol.
2. A line is bounded. What is longer arrives as one line that is no JSON, and the session goes on.
3. A peer that is gone is an end, not an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

import msgspec

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
    reader_fd, writer_fd = os.dup(0), os.dup(1)
    try:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        # Not closed: a thread may still wait on it when the block ends.
        reader = os.fdopen(reader_fd, "rb", closefd=False)
        yield Lines(reader, os.fdopen(writer_fd, "wb", closefd=False))
    finally:
        with contextlib.suppress(OSError):
            os.dup2(reader_fd, 0)
            os.dup2(writer_fd, 1)


class LineSource:
    """An async stream of text lines for the SDK: first those that were read already, then what comes."""

    def __init__(self, lines: Lines, first: Sequence[bytes]) -> None:
        self._lines = lines
        self._first = first

    async def __aiter__(self) -> AsyncIterator[str]:
        """Every line until the end. A thread of its own waits, which does not keep the process alive."""
        for line in self._first:
            yield line.decode("utf-8", "replace")
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)
        threading.Thread(target=self._pump, args=(loop, queue), name="stdin", daemon=True).start()
        while line := await queue.get():
            yield line.decode("utf-8", "replace")

    def _pump(self, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[bytes]) -> None:
        line = b"-"
        while line:
            line = self._lines.read()
            put = queue.put(line)
            try:
                asyncio.run_coroutine_threadsafe(put, loop).result()
            except (RuntimeError, asyncio.CancelledError):  # the loop has ended
                put.close()
                return


class LineSink:
    """What the SDK writes to. swallowed_id: of the one answer that was given already."""

    def __init__(self, lines: Lines, swallowed_id: int | str | None) -> None:
        self._lines = lines
        self._swallowed_id = swallowed_id

    async def write(self, text: str) -> None:
        """Send one line, unless it is the answer to leave out."""
        data = text.encode("utf-8", "replace")
        if self._swallowed_id is not None and _answered_id(data) == self._swallowed_id:
            self._swallowed_id = None
            return
        await asyncio.to_thread(self._lines.write, data)

    async def flush(self) -> None:
        """Nothing is held back."""


class _Answer(msgspec.Struct):
    id: int | str | None = None
    method: str | None = None


def _answered_id(data: bytes) -> int | str | None:
    """The id that a line answers; None when it answers nothing."""
    try:
        line = msgspec.json.decode(data, type=_Answer)
    except msgspec.DecodeError:
        return None
    return line.id if line.method is None else None
