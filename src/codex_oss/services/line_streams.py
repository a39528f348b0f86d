"""The lines of `services.stdio_lines` as the two async files that the MCP SDK reads and writes.

Counterpart: `services.mcp_greeting`, which has answered the first lines already. Rules that hold here:

1. The SDK hears every line once and in order: those that were read before it was there, then what comes.
2. Its answer to the handshake, which the client has, is left out.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import msgspec

from codex_oss.services.stdio_lines import Lines


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
