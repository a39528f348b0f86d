"""Our lines inside a text file of somebody else, between two marker lines: AGENTS.md and .gitignore.

Counterpart: `services.client_setup`, which says what stands in the block. Rules that hold here:

1. Everything outside the markers stays as it is, line ends included; a present block is replaced where it stands.
2. One marker without the other, or a second pair, is nobody's to guess at: EditRefused, and nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from codex_oss.errors import StoreError


class EditRefused(StoreError):
    """A file cannot be edited without risk; the hint says what to add by hand. Nothing was changed."""

    code = "edit_refused"


@dataclass(frozen=True, slots=True)
class Markers:
    """The two lines around our block, without line end."""

    start: str
    end: str


def put_block(text: str, body: str, markers: Markers) -> str:
    """*text* with *body* between the markers: in place when they are there, else at the end after a blank line.

    body: ends with a newline. Raises EditRefused for broken markers.
    """
    newline = newline_of(text)
    block = f"{markers.start}\n{body}{markers.end}\n".replace("\n", newline)
    if (span := _span(text, markers)) is not None:
        first, last = span
        return text[:first] + block + text[last:]
    if not text:
        return block
    gap = newline if text.endswith("\n") else newline * 2
    return text + gap + block


def strip_block(text: str, markers: Markers) -> str:
    """*text* without the block and without the blank line before it. Raises EditRefused for broken markers."""
    span = _span(text, markers)
    if span is None:
        return text
    first, last = span
    before, newline = text[:first], newline_of(text)
    return (before.removesuffix(newline) if before.endswith(newline * 2) else before) + text[last:]


def newline_of(text: str) -> str:
    """The line end that a text uses: that of its first line, `\\n` when it has none."""
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


def _span(text: str, markers: Markers) -> tuple[int, int] | None:
    """Where the block begins and where it ends, behind its last line end; None when there is none."""
    starts, ends, offset = [], [], 0
    for line in text.splitlines(keepends=True):
        match line.strip():
            case markers.start:
                starts.append(offset)
            case markers.end:
                ends.append(offset + len(line))
        offset += len(line)
    if not starts and not ends:
        return None
    if len(starts) != 1 or len(ends) != 1 or ends[0] <= starts[0]:
        raise EditRefused(
            f"The lines {markers.start!r} and {markers.end!r} do not stand there as one pair.",
            hint="Remove what is left of the block by hand, then run it again.",
        )
    return starts[0], ends[0]
