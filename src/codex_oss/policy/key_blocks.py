"""Private key blocks in a text: from the begin line to the end line, whole or cut off on either side.

Counterpart: `policy.exposure`, for which this is one layer. Line ends are not touched there, so a block of thirty
lines becomes thirty placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from codex_oss.policy.secret_forms import Span

MAX_KEY_CHARS: Final = 40_000
LINE_END: Final = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Every character that `str.splitlines` ends a line at."""
BEGIN_LINE: Final = "-----BEGIN PRIVATE KEY-----\n"
"""What a stream puts in front of the rest of a key whose beginning it has passed on already."""

LINE_TEXT: Final = re.compile(f"[^{LINE_END}]+")
_KEY_MARK: Final = re.compile(r"-----? ?(?P<side>BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-?----")
_KEY_RUN: Final = re.compile(r"[A-Za-z0-9+/=]{32}")
_KEY_NEXT: Final = re.compile(rf"[^A-Za-z0-9+/{LINE_END}]{{0,16}}n?[A-Za-z0-9+/]{{16}}")
_KEY_INLINE: Final = re.compile(r"(?:[A-Za-z0-9+/=\t :,.-]|\\+[nrt])*")
_KEY_LINE: Final = re.compile(
    r"[\s>|+#*\"'0-9:\\n.,;-]{0,24}"
    r"(?:[A-Za-z0-9+/=]{16,}|[A-Za-z0-9+/]{1,16}={0,2}|[A-Z][A-Za-z-]{2,20}: .{0,200})"
    r"[\s\"'\\n,;+]{0,8}"
)


def key_blocks(text: str) -> Iterator[Span]:
    """Private key blocks: from the begin line through the end line, or through the last line that looks like a key.

    A text that starts within a key shows its end line first; one that stops within a key has no end line.
    """
    marks = list(_KEY_MARK.finditer(text))
    for index, mark in enumerate(marks):
        following = marks[index + 1] if index + 1 < len(marks) else None
        if mark["side"] == "BEGIN":
            end = _end_of_key(text, mark, following)
            if end > mark.end():
                yield mark.start(), end, "private-key"
        elif index == 0:
            begin = _start_of_body(text, mark.start())
            if begin < mark.start():
                yield begin, mark.end(), "private-key"


def _end_of_key(text: str, begin: re.Match[str], following: re.Match[str] | None) -> int:
    """Where the block that starts with *begin* ends; the end of *begin* when no key follows (a mere mention)."""
    limit = following.start() if following else len(text)
    near = limit - begin.end() <= MAX_KEY_CHARS
    rest = LINE_TEXT.match(text, begin.end(), limit)
    # Two strings of one line are not one key: `["-----BEGIN …", "…-----END …"]` keeps its quotes.
    apart = rest is not None and rest.end() == limit and any(quote in rest[0] for quote in "\"'")
    if following and following["side"] == "END" and near and not apart and _KEY_RUN.search(text, begin.end(), limit):
        return following.end()
    stop = begin.end()
    if rest and _KEY_NEXT.match(text, begin.end(), limit):
        inline = _KEY_INLINE.match(text, begin.end(), limit)
        stop = inline.end() if inline else stop
    for line in LINE_TEXT.finditer(text, rest.end() if rest else begin.end(), limit):
        if not _KEY_LINE.fullmatch(line[0][:200]):
            break
        stop = line.end()
    return stop


def _start_of_body(text: str, end: int) -> int:
    """Where the lines before *end* that look like a key begin; *end* when there are none."""
    lines = list(LINE_TEXT.finditer(text, max(0, end - MAX_KEY_CHARS), end))
    begin = end
    for line in reversed(lines):
        if line.end() == end:  # what stands before the mark on its own line
            continue
        if not _KEY_LINE.fullmatch(line[0][:200]):
            break
        begin = line.start()
    return begin
