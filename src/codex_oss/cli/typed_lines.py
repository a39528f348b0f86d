"""Lines that a person types while something else is waited for.

Counterpart: `cli/login`, where the address of a browser may be pasted at any time.

Rules that hold here:

1. No thread blocks in a read: it could not be ended, and the program would hang at its end.
2. A terminal is read by the foreground only; reading from the background would stop the program.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

MAX_LINE_BYTES: Final = 64 * 1024
_CHUNK: Final = 8192


def may_type() -> bool:
    """Whether a person is there who can type something."""
    try:
        fd = sys.stdin.fileno()
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False


class TypedLines:
    """The lines of stdin, one a call."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = b""
        self._ended = False

    async def __call__(self) -> str:
        """The next line that is not blank; empty when there will be none."""
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found or self._ended:
                self._buffer = rest
                text = line.decode("utf-8", "replace").strip()
                if text or not found:
                    return text
            else:
                await self._more()

    async def _more(self) -> None:
        await self._readable()
        try:
            data = os.read(self._fd, _CHUNK)
        except OSError:
            data = b""
        self._buffer += data
        self._ended = not data or len(self._buffer) > MAX_LINE_BYTES

    async def _readable(self) -> None:
        """Wait until there is something; a plain file is always ready, and no loop can watch one."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_reader(self._fd, ready.set)
        except PermissionError:
            return
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._fd)
