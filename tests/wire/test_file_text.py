"""Files inside a conversation: charsets, kinds, refusals."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.file_text import UnreadableFile, bytes_of_file, is_pdf, text_of_file
from codex_oss.wire.items import FilePart


def part(data: bytes, head: str = "") -> FilePart:
    """Make a file, as a data URL when *head* is given."""
    payload = base64.b64encode(data).decode()
    return FilePart("a.txt", f"data:{head};base64,{payload}" if head else payload)


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_utf8_text_is_read_back(text: str) -> None:
    """Any text in UTF-8 comes out as it was, but for a mark at its start."""
    assert text_of_file(part(text.encode())) == text.removeprefix("\ufeff")


@given(st.binary(min_size=1), st.text(max_size=30), st.booleans())
def test_any_bytes_are_text_or_refused(data: bytes, head: str, plain: bool) -> None:
    """No bytes and no media type raise anything else; what is refused has a kind and a way out."""
    file = part(data, "" if plain else head.replace(",", "") or "x")
    is_pdf(file)
    try:
        text_of_file(file)
        said = ("", "")
    except UnreadableFile as exc:
        said = (exc.what, exc.hint)
    assert bool(said[0]) is bool(said[1])


@pytest.mark.parametrize(
    ("head", "data"),
    [
        ("", "grün".encode()),
        ("", b"\xef\xbb\xbfgr\xc3\xbcn"),
        ("", "grün".encode("utf-16")),
        ("text/plain;charset=iso-8859-1", "grün".encode("latin-1")),
        ('text/csv; charset="windows-1252"', "grün".encode("cp1252")),
        ("text/plain;charset=no-such", "grün".encode()),
        ("text/plain;charset=hex", "grün".encode()),
    ],
)
def test_charsets(head: str, data: bytes) -> None:
    """By the data URL, by the mark, or UTF-8; a charset that is none counts as not said."""
    assert text_of_file(part(data, head)) == "grün"


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (FilePart("a", url="http://127.0.0.1/x"), "a file by URL"),
        (FilePart("a", file_id="file_1"), "a file by id"),
        (FilePart("a"), "without content"),
        (FilePart("a", "!!"), "not base64"),
        (part(b"\x89PNG\r\n"), "an image as a file"),
        (part(b"PK\x03\x04"), "office document"),
        (part(b"%PDF-1.4"), "PDF"),
        (part(b"a\0b", "application/x-thing"), "not text .application/x-thing."),
    ],
)
def test_what_cannot_be_read_is_named(file: FilePart, what: str) -> None:
    """The refusal says what kind of file it is."""
    with pytest.raises(UnreadableFile, match=what):
        text_of_file(file)


def test_a_pdf_is_known_by_its_bytes() -> None:
    """Not by its name: a wrong name must not choose a parser."""
    assert is_pdf(part(b"%PDF-1.4 ...", "text/plain"))
    assert not is_pdf(FilePart("x.pdf", base64.b64encode(b"hello").decode()))
    assert bytes_of_file(part(b"hi", "text/plain")) == b"hi"
