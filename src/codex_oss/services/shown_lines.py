"""The lines of a file as a model is shown them: decoded, bounded in number and length, with what was redacted counted.

Counterpart: `services.tool_host`, which redacts the lines before they come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from codex_oss.policy.exposure import count_placeholders

LINE_CUT: Final = " …[line cut]"
LINE_FRAME_BYTES: Final = 9
"""What an observation puts around a line: its number, a colon, a blank and the line end."""
MAX_CHAR_BYTES: Final = 4
"""Of one character in UTF-8."""


def lines_of(data: bytes) -> list[str]:
    """The lines of a text without their ends; undecodable bytes become U+FFFD. An empty file has none."""
    lines = data.decode("utf-8", "replace").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def bounded(lines: Sequence[str], max_lines: int, max_bytes: int, max_line_chars: int) -> tuple[tuple[str, ...], bool]:
    """As many of *lines* as fit, and whether something was left out. The first line is shown at least in part."""
    shown: list[str] = []
    cut, left = False, max_bytes
    for line in lines:
        short = shortened(line, max_line_chars)
        if not shown and shown_size(short) > max_bytes:
            short = shortened(line, max(max_bytes - LINE_FRAME_BYTES, 0) // MAX_CHAR_BYTES)
        cost = shown_size(short)
        if len(shown) >= max_lines or (shown and cost > left):
            cut = True
            break
        cut = cut or short != line
        left -= cost
        shown.append(short)
    return tuple(shown), cut


def shown_size(line: str) -> int:
    """Bytes that a line takes in an observation."""
    return len(line.encode("utf-8", "replace")) + LINE_FRAME_BYTES


def shortened(line: str, width: int) -> str:
    """A line of at most *width* characters, cut where it is longer, never within a placeholder."""
    if len(line) <= width:
        return line
    kept = line[: max(width - len(LINE_CUT), 0)]
    # A placeholder is shown whole or not at all; half of one would look like content.
    opened = kept.rfind("[REDACTED:")
    if opened >= 0 and "]" not in kept[opened:]:
        kept = kept[:opened]
    return kept + LINE_CUT


def size_of(lines: Sequence[str]) -> int:
    """Bytes of the lines with their ends."""
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)


def redactions_in(raw: Sequence[str], shown: Sequence[str]) -> int:
    """Placeholders among *shown* that the file did not have."""
    return max(0, sum(map(count_placeholders, shown)) - sum(map(count_placeholders, raw)))
