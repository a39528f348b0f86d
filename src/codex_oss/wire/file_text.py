"""Files inside a conversation: which kind they are, and the text of those that are text.

Counterparts: `wire.chat_messages` puts the text into a message; `lanes.with_files` replaces PDF files before.

Rules that hold here:

1. A text is read by the charset of its data URL, by its byte order mark, or as UTF-8; nothing is guessed.
2. What cannot be read is refused by its kind, never left out: the user meant the model to see it.
3. Nothing is fetched: a file by URL or by id is refused.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from typing import Final

from codex_oss.wire.items import FilePart

PDF_MAGIC: Final = b"%PDF-"
_MAGIC: Final[dict[bytes, tuple[str, str]]] = {
    PDF_MAGIC: ("a PDF file that could not be read", "Send its text."),
    b"\x89PNG": ("an image as a file", "Send it as `input_image`."),
    b"\xff\xd8\xff": ("an image as a file", "Send it as `input_image`."),
    b"GIF8": ("an image as a file", "Send it as `input_image`."),
    b"RIFF": ("a media file", "Send its text, or an image as `input_image`."),
    b"PK\x03\x04": ("an archive or an office document", "Send its text, or a PDF file."),
    b"\xd0\xcf\x11\xe0": ("an office document", "Send its text, or a PDF file."),
    b"\x1f\x8b": ("a compressed file", "Send its text."),
}
"""What a file is by its first bytes, and what to do instead."""
_BOMS: Final = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CHARSET: Final = re.compile(r""";\s*charset="?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_TEXT_HINT: Final = "Send its text; a PDF file; or an image as `input_image`."


class UnreadableFile(ValueError):
    """A file that the model cannot be given. what: its kind, for the sentence "… holds {what}"."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def is_pdf(part: FilePart) -> bool:
    """Say whether a file is a PDF by its first bytes, whatever it is called."""
    start = part.data.find(",") + 1 if part.data.startswith("data:") else 0
    # 8 characters of base64 are 6 bytes; the file behind them may be large.
    return _decoded(part.data[start : start + 8]).startswith(PDF_MAGIC)


def bytes_of_file(part: FilePart) -> bytes:
    """Return the bytes of a file that holds them. Raises UnreadableFile."""
    if not part.data:
        way = "URL" if part.url else "id" if part.file_id else ""
        what = f"a file by {way}, which this bridge does not fetch" if way else "a file without content"
        raise UnreadableFile(what, "Send the content in `file_data`.")
    _, payload = _split(part.data)
    data = _decoded(payload)
    if not data:
        raise UnreadableFile("a file that is not base64", "Send the content in base64, or as a data URL.")
    return data


def text_of_file(part: FilePart) -> str:
    """Return the text of a text file. Raises UnreadableFile."""
    data = bytes_of_file(part)
    head, _ = _split(part.data)
    charset = _charset(head) or next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    for magic, (what, hint) in _MAGIC.items():
        if data.startswith(magic):
            raise UnreadableFile(what, hint)
    try:
        text = data.decode(charset)
    except (UnicodeError, LookupError):
        text = "\0"
    if "\0" in text:
        kind = head.partition(";")[0].strip()
        named = kind if kind.isascii() and 0 < len(kind) <= 100 and kind.isprintable() else ""
        raise UnreadableFile(f"a file that is not text{f' ({named})' if named else ''}", _TEXT_HINT)
    return text


def file_as_text(filename: str, text: str) -> str:
    """Return a file as the model reads it."""
    return f'<file name="{filename}">\n{text}\n</file>'


def _split(data: str) -> tuple[str, str]:
    """Return the media type of a data URL (empty for plain base64) and the base64."""
    if not data.startswith("data:"):
        return "", data
    head, _, payload = data[5:].partition(",")
    return head, payload


def _charset(head: str) -> str:
    """Return the charset parameter of a media type when Python knows a text codec of that name."""
    found = _CHARSET.search(head)
    name = found[1] if found else ""
    try:
        return name if codecs.lookup(name)._is_text_encoding else ""
    except (LookupError, ValueError):
        return ""


def _decoded(payload: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        return b""
