"""The text of PDF files, read by a child process with limits, and kept while a conversation goes on.

Counterparts: `services.pdf_child` is the child, `lanes.with_files` asks.

Rules that hold here:

1. A file never hangs or fells the bridge: its child has bounds on time, memory and output, and is killed at the end of
   the first one. At most `MAX_CHILDREN` run at once.
2. The same bytes are read once while the text is kept: each turn of a conversation brings its files again, and the
   same text each time is what upstream prompt caches live from. Kept texts are bounded by number and size.
3. A client that leaves ends the child.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from codex_oss.errors import Unavailable
from codex_oss.services.pdf_child import ENCRYPTED
from codex_oss.wire.file_text import UnreadableFile

MAX_CHILDREN: Final = 2
MAX_PDF_BYTES: Final = 32 * 1024 * 1024
MAX_OUTPUT_BYTES: Final = 16 * 1024 * 1024
MAX_S: Final = 30.0
MAX_KEPT: Final = 64
MAX_KEPT_CHARS: Final = 8_000_000
_INSTEAD: Final = "Send its text, or its pages as images."


class PdfTexts:
    """Reads PDF files. timeout_s: longest time for one file. patience_s: longest wait until its turn comes."""

    def __init__(self, *, timeout_s: float = MAX_S, patience_s: float = MAX_S) -> None:
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(MAX_CHILDREN)
        self._kept: OrderedDict[bytes, str] = OrderedDict()
        self._kept_chars = 0

    async def text_of(self, data: bytes) -> str:
        """Return the text of a PDF file. Raises UnreadableFile, and Unavailable when too many are waiting."""
        key = hashlib.sha256(data).digest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if len(data) > MAX_PDF_BYTES:
            raise UnreadableFile(f"a PDF file of more than {MAX_PDF_BYTES >> 20} MiB", _INSTEAD)
        await self._take_slot()
        try:
            text = await self._read(data)
        finally:
            self._slots.release()
        if not text.strip():
            raise UnreadableFile("a PDF file without any text", "Send its pages as images.")
        self._keep(key, text)
        return text

    async def _take_slot(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("Too many PDF files are being read at once.", hint="Ask again in a moment.") from None

    def _keep(self, key: bytes, text: str) -> None:
        if key not in self._kept:
            self._kept[key] = text
            self._kept_chars += len(text)
        while len(self._kept) > MAX_KEPT or self._kept_chars > MAX_KEPT_CHARS:
            _, gone = self._kept.popitem(last=False)
            self._kept_chars -= len(gone)

    async def _read(self, data: bytes) -> str:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "codex_oss.services.pdf_child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                text = await _exchange(child, data)
                status = await child.wait()
        except TimeoutError:
            raise UnreadableFile("a PDF file that takes too long to read", _INSTEAD) from None
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if status == ENCRYPTED:
            raise UnreadableFile("a PDF file that is locked with a password", "Send it unlocked.")
        if status:
            raise UnreadableFile("a PDF file that cannot be read", _INSTEAD)
        return text.decode("utf-8", "replace")


async def _exchange(child: asyncio.subprocess.Process, data: bytes) -> bytes:
    """Write the file and read the text; the child reads all of it before it writes."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(data)
        await child.stdin.drain()
    child.stdin.close()
    text = bytearray()
    while piece := await child.stdout.read(1 << 16):
        text += piece
        if len(text) > MAX_OUTPUT_BYTES:
            child.kill()
            break
    return bytes(text)
