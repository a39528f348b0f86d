"""Redaction of a text that comes in pieces: the same output for every way of splitting it.

Counterpart: `policy.exposure` redacts a whole text; this cuts a stream into stretches that can be redacted alone.
Missions collect an answer before they redact it, so no lane needs this yet; whoever passes on a running stream does.

    pieces ─► buffer ─► window of a fixed size ─► cut that no secret crosses ─► redacted stretch

Rules that hold here:

1. Where the text is cut depends on the text alone: a window is looked at only when it is full, or at the end.
2. A cut lies behind a line end where no secret begins soon after; where a window has none, a larger one is tried, and
   at last any place outside a secret.
3. A key block that is longer than the largest window goes on in the next stretch: the stream remembers that it is in a
   key. Any other secret of that length is dropped up to the end of its line.
4. At most the largest window is held back, whatever arrives.
"""

from __future__ import annotations

from typing import Final

from codex_oss.policy.exposure import Redactor
from codex_oss.policy.key_blocks import BEGIN_LINE
from codex_oss.policy.secret_forms import Span

WINDOWS: Final = (4_096, 16_384, 65_536)
"""Characters that are looked at together; a larger one only where the one before has no good cut."""
AHEAD_CHARS: Final = 1_024
"""No cut lies nearer to the end of its window, so that what begins before the cut is seen whole."""
_APART_CHARS: Final = 64
_CONTEXT_CHARS: Final = 400
_BETWEEN: Final = " \t,;(){}[]<>|"


class RedactedStream:
    """One text under way. Not thread-safe: one writer."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._buffer = ""
        self._in_key = False
        self._drops_line = False
        self.count = 0
        """Placeholders put in so far."""

    def feed(self, piece: str) -> str:
        """Take *piece* and return what is ready, redacted; often the empty text."""
        self._buffer += piece
        ready: list[str] = []
        while (cut := self._next_cut()) > 0:
            ready.append(self._pass_on(cut))
        return "".join(ready)

    def close(self) -> str:
        """The rest, redacted. The stream can be used anew afterwards."""
        rest = self._pass_on(len(self._buffer))
        self._in_key = self._drops_line = False
        return rest

    def _next_cut(self) -> int:
        """How many characters of the buffer can be passed on; 0 when more must come first."""
        head = BEGIN_LINE if self._in_key else ""
        for size in WINDOWS:
            if len(self._buffer) < size:
                return 0
            window = head + self._buffer[:size]
            spans = self._redactor.spans(window)
            limit = len(window) - AHEAD_CHARS
            cut = _cut_at_line(window, spans, limit) or (size == WINDOWS[-1] and _cut_anywhere(window, spans, limit))
            if cut > len(head):
                return cut - len(head)
        return WINDOWS[-1] - AHEAD_CHARS

    def _pass_on(self, length: int) -> str:
        stretch, rest = self._buffer[:length], self._buffer[length:]
        if self._drops_line:
            _, end, stretch = stretch.partition("\n")
            self._drops_line, stretch = not end, end + stretch
        head = BEGIN_LINE if self._in_key else ""
        # What the cut goes through is only known with what follows it.
        through = _kind_at(self._redactor.spans(head + stretch + rest[:AHEAD_CHARS]), len(head) + len(stretch))
        self._in_key = through == "private-key"
        self._drops_line = self._drops_line or through not in ("", "private-key")
        if through not in ("", "private-key"):
            stretch = self._without_tail(stretch, rest)
        redacted = self._redactor.redact(head + stretch)
        self._buffer = rest
        self.count += redacted.count - (bool(head) and not redacted.text.startswith(head))
        return redacted.text.split("\n", 1)[1] if head else redacted.text

    def _without_tail(self, stretch: str, rest: str) -> str:
        """*stretch* with its last secret, which goes on in *rest*, replaced."""
        for start, end, kind in self._redactor.spans(stretch + rest[:AHEAD_CHARS]):
            if start < len(stretch) < end:
                self.count += 1
                return f"{stretch[:start]}[REDACTED:{kind}]"
        return stretch


def _cut_at_line(window: str, spans: list[Span], limit: int) -> int:
    """Behind the last line end before *limit* that lies outside every span and not right before one; 0 for none."""
    cut = window.rfind("\n", 0, limit) + 1
    for start, end, _ in reversed(spans):
        if cut <= 0:
            return 0
        if start - _APART_CHARS < cut < end:
            cut = window.rfind("\n", 0, max(start - _APART_CHARS, 0)) + 1
    return cut


def _cut_anywhere(window: str, spans: list[Span], limit: int) -> int:
    """Behind the last line end, blank or bracket before *limit* that no secret is near; 0 for none."""
    position = limit
    for start, end, _ in reversed(spans):
        if start - _CONTEXT_CHARS < position < end + 1:
            position = start - _CONTEXT_CHARS
    return max((window.rfind(mark, 0, max(position, 0)) + 1 for mark in ("\n", *_BETWEEN)), default=0)


def _kind_at(spans: list[Span], position: int) -> str:
    return next((kind for start, end, kind in spans if start < position < end), "")
