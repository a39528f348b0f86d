"""The process that reads one PDF file: bytes on stdin, text on stdout. `services.pdf_text` starts and bounds it.

A PDF from a stranger can make any parser loop or swell, and neither a thread nor a coroutine can be stopped then. A
process can: it has limits of its own on processor time and memory, set before the first byte is parsed.

Exit status: 0 text on stdout · 3 encrypted · 4 unreadable · anything else: cut off by a limit.
"""

from __future__ import annotations

import contextlib
import io
import resource
import sys
from collections.abc import Iterator
from typing import Final

MAX_PAGES: Final = 500
MAX_TEXT_CHARS: Final = 2_000_000
MAX_CPU_S: Final = 20
MAX_MEMORY_BYTES: Final = 1 << 30
UNREAD_PAGE: Final = "[a page that could not be read]"
ENCRYPTED: Final = 3
UNREADABLE: Final = 4


def main() -> int:
    """Read stdin, write stdout; the parser's own words go nowhere."""
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    with contextlib.suppress(OSError, ValueError):  # macOS knows no limit of the address space
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    data = sys.stdin.buffer.read()
    sys.stderr = io.StringIO()
    try:
        import pypdf

        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return ENCRYPTED
        texts = list(_pages(reader))
        if texts and all(text == UNREAD_PAGE for text in texts):
            return UNREADABLE
        text = "\n\n".join(texts)
    except Exception:
        return UNREADABLE
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
    return 0


def _pages(reader: object) -> Iterator[str]:
    """Give the text of each page up to the bounds, and a note where they cut."""
    pages = reader.pages  # type: ignore[attr-defined]
    chars = 0
    for read, page in enumerate(pages):
        if read == MAX_PAGES or chars >= MAX_TEXT_CHARS:
            yield f"[{len(pages) - read} further pages were not read]"
            return
        try:
            text = page.extract_text().strip()
        except Exception:
            text = UNREAD_PAGE
        text = text[: MAX_TEXT_CHARS - chars]
        chars += len(text)
        if text:
            yield text


if __name__ == "__main__":
    sys.exit(main())
