"""Reading PDF files in a child process: text, bounds, hostile files, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from codex_oss.errors import Unavailable
from codex_oss.services import pdf_text
from codex_oss.services.pdf_text import PdfTexts
from codex_oss.wire.file_text import UnreadableFile
from tests.fakes.pdf import pdf


async def test_pages_in_order() -> None:
    """The text of all pages, with a blank line between two."""
    assert await PdfTexts().text_of(pdf("The limit is five.", "And that is all.")) == (
        "The limit is five.\n\nAnd that is all."
    )


async def test_the_same_bytes_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn of a conversation brings its files again; no second child is started."""
    texts = PdfTexts()
    first = await texts.text_of(pdf("once"))

    async def no_child(*_: object, **__: object) -> None:
        raise AssertionError("a second child")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_child)
    assert await texts.text_of(pdf("once")) == first


async def test_kept_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not used for longest goes."""
    monkeypatch.setattr(pdf_text, "MAX_KEPT", 1)
    texts = PdfTexts()
    for word in ("one", "two"):
        await texts.text_of(pdf(word))
    assert list(texts._kept.values()) == ["two"]
    assert texts._kept_chars == 3


BOMB = b"BT /F1 12 Tf (a) Tj ET\n" + b" " * 100_000_000
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "no text": (lambda: pdf(streams=[b"0 0 m"]), "without any text"),
    "cut": (lambda: pdf("hello")[:300], "cannot be read|without any text"),
    "only the magic": (lambda: b"%PDF-1.7\n", "cannot be read"),
    "a tree that holds itself": (lambda: pdf("x", kids="2 0 R"), "cannot be read|without any text"),
    "locked": (
        lambda: pdf("x", extra=b"/Encrypt << /Filter /Standard /V 1 /R 2 /O (x) /U (y) /P -4 >> /ID [(a) (a)]"),
        "locked|cannot be read",
    ),
    "nested deeply": (lambda: pdf("x", extra=b"/Info " + b"[" * 200_000), "cannot be read|without any text"),
    "a bomb": (lambda: pdf(streams=[BOMB]), "cannot be read|without any text"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_files_are_refused(name: str) -> None:
    """Each ends with a sentence about the file; the bridge's own process is not touched."""
    make, message = HOSTILE[name]
    with pytest.raises(UnreadableFile, match=message):
        await PdfTexts().text_of(make())


async def test_a_child_that_takes_too_long_is_killed() -> None:
    """The time is bounded, and the child is gone when the error is raised."""
    with pytest.raises(UnreadableFile, match="too long"):
        await PdfTexts(timeout_s=0.0).text_of(pdf("slow"))


async def test_a_client_that_leaves_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling the turn kills the child and frees its place."""
    texts, started = PdfTexts(), asyncio.Event()
    children: list[asyncio.subprocess.Process] = []

    async def stuck(child: asyncio.subprocess.Process, _data: bytes) -> bytes:
        children.append(child)
        started.set()
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(pdf_text, "_exchange", stuck)
    task = asyncio.create_task(texts.text_of(pdf("x")))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children[0].returncode is not None
    assert texts._slots._value == pdf_text.MAX_CHILDREN


async def test_a_queue_that_does_not_move_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn waits for a bounded time behind other files, and the wait of a cancelled one costs no place."""
    texts, release = PdfTexts(patience_s=0.0), asyncio.Event()

    async def slow(_data: bytes) -> str:
        await release.wait()
        return "text"

    monkeypatch.setattr(texts, "_read", slow)
    others = [asyncio.create_task(texts.text_of(pdf(str(number)))) for number in range(pdf_text.MAX_CHILDREN)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await texts.text_of(pdf("late"))
    release.set()
    assert await asyncio.gather(*others) == ["text"] * len(others)
    assert await texts.text_of(pdf("late")) == "text"
