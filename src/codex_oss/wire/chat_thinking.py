"""Split inline thinking (`<think>…</think>`) from the text of an answer, across chunk borders.

Counterpart: `wire.chat_answer` feeds each piece of `content` and opens the items.

    START ─ "<think>" ─► THINKING ─ "</think>" ─► AFTER ─ first visible character ─► TEXT
      └──── anything else ──────────────────────────────────────────────────────────► TEXT

Rules that hold here:

1. A tag counts at the very start of the answer only: later it may be code that the user asked about.
2. Nothing is invented or lost: pieces joined give the content, minus the two tags and the blanks around them.
3. Blanks at the start are held back until something visible follows (Observed: Qwen models send "\\n\\n" before a
   tool call, which is no message).
"""

from __future__ import annotations

from typing import Final, Literal

_TAGS: Final = {"<think>": "</think>", "<thinking>": "</thinking>"}
_LONGEST_OPEN: Final = max(map(len, _TAGS))

Piece = tuple[Literal["thinking", "text"], str]


class ThinkSplitter:
    """The splitter of one answer. `plain` is True once every further piece is text as it stands."""

    def __init__(self) -> None:
        self.plain = False
        self._state: Literal["start", "thinking", "after"] = "start"
        self._held = ""
        self._close = ""
        self._thought = False

    def feed(self, content: str) -> list[Piece]:
        """Take a piece of content; return what is certain by now. Only to be called while not `plain`."""
        self._held += content
        pieces: list[Piece] = []
        if self._state == "start":
            self._leave_start(pieces)
        if self._state == "thinking":
            self._leave_thinking(pieces)
        if self._state == "after" and not self.plain:
            self._held = self._held.lstrip()
            if self._held:
                self._release(pieces)
        return pieces

    def finish(self) -> list[Piece]:
        """Say that the content ended; return what was held back. Blanks alone are nothing."""
        held, self._held, self.plain = self._held, "", True
        if not held.strip():
            return []
        return [("thinking" if self._state == "thinking" else "text", held)]

    def _leave_start(self, pieces: list[Piece]) -> None:
        visible = self._held.lstrip()
        for opening, closing in _TAGS.items():
            if visible.startswith(opening):
                self._state, self._close = "thinking", closing
                self._held = visible[len(opening) :]
                return
        if visible and not (len(visible) < _LONGEST_OPEN and any(tag.startswith(visible) for tag in _TAGS)):
            self._state = "after"
            self._release(pieces)

    def _leave_thinking(self, pieces: list[Piece]) -> None:
        if not self._thought:
            self._held = self._held.lstrip()
        thought, tag, rest = self._held.partition(self._close)
        if tag:
            self._state, self._held = "after", rest
            self._add_thinking(thought.rstrip(), pieces)
            return
        # What may become the tag, and blanks before it, wait for the next piece.
        keep = next((n for n in range(len(self._close) - 1, 0, -1) if thought.endswith(self._close[:n])), 0)
        sure = thought[: len(thought) - keep].rstrip()
        self._held = thought[len(sure) :]
        self._add_thinking(sure, pieces)

    def _add_thinking(self, thought: str, pieces: list[Piece]) -> None:
        if thought:
            self._thought = True
            pieces.append(("thinking", thought))

    def _release(self, pieces: list[Piece]) -> None:
        pieces.append(("text", self._held))
        self._held = ""
        self.plain = True
