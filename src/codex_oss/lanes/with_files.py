"""A lane around another one: PDF files of the conversation become their text before the model is asked.

Counterparts: `services.pdf_text` reads them; `wire.chat_messages` handles the files that are text already.

    request ─► a PDF in it? ── no ─► the inner lane, untouched
                  └─ yes ─► each one read (a child process) ─► text part in its place ─► the inner lane

The codecs in `wire` are pure: they can neither start a process nor bound a time, and a hostile PDF needs both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Final

from msgspec import structs

from codex_oss.errors import InvalidRequest
from codex_oss.wire.events import Batches, Lane, batches_of
from codex_oss.wire.file_text import UnreadableFile, bytes_of_file, file_as_text, is_pdf
from codex_oss.wire.items import FilePart, Item, Message, Part, TextPart, ToolOutput, TurnRequest

HOLDERS: Final = (Message, ToolOutput)
"""Items that have parts."""


class WithFiles:
    """A `Lane`. read_pdf: bytes to text; raises UnreadableFile."""

    def __init__(self, inner: Lane, read_pdf: Callable[[bytes], Awaitable[str]]) -> None:
        self._inner = inner
        self._read_pdf = read_pdf

    def __call__(self, request: TurnRequest) -> Batches:
        """Answer one turn. Raises InvalidRequest for a PDF that cannot be read, and what the inner lane raises."""
        if _has_pdf(request.items):
            return self._read(request)
        return batches_of(self._inner, request)

    async def _read(self, request: TurnRequest) -> Batches:
        items = [await self._item(item, place) for place, item in enumerate(request.items)]
        async with aclosing(batches_of(self._inner, structs.replace(request, items=tuple(items)))) as batches:
            async for batch in batches:
                yield batch

    async def _item(self, item: Item, place: int) -> Item:
        if not _has_pdf([item]):
            return item
        assert isinstance(item, HOLDERS)
        return structs.replace(item, parts=tuple([await self._part(part, place) for part in item.parts]))

    async def _part(self, part: Part, place: int) -> Part:
        if not (isinstance(part, FilePart) and is_pdf(part)):
            return part
        where = f"input[{place}]"
        try:
            return TextPart(file_as_text(part.filename, await self._read_pdf(bytes_of_file(part))))
        except UnreadableFile as exc:
            raise InvalidRequest(f"`{where}` holds {exc.what}.", param=where, hint=exc.hint) from None


def _has_pdf(items: Iterable[Item]) -> bool:
    for item in items:
        if isinstance(item, HOLDERS):
            for part in item.parts:
                if isinstance(part, FilePart) and is_pdf(part):
                    return True
    return False
