"""Find the tool calls that some servers leave in the text: `<tool_call>{"name": …, "arguments": …}</tool_call>`.

Counterpart: `wire.chat_answer` feeds each piece of text, for profiles with the quirk `text_calls` only: text about such
calls looks the same as the calls.

Rules that hold here:

1. Any chunking gives the same pieces. What may become a tag is held back until it is one, or is not.
2. What stands between the tags and is no call (no JSON object with a name) is text again, tags included: nothing of the
   answer is lost. Blanks around a call are no text.
3. The last call may lack its closing tag: many servers stop there.
Source: the chat templates of Hermes 2 Pro and Qwen 2.5 and 3.
"""

from __future__ import annotations

from typing import Final

import msgspec

from codex_oss.wire.chat_chunks import FunctionDelta
from codex_oss.wire.loose_json import decode_loose

_OPEN: Final = "<tool_call>"
_CLOSE: Final = "</tool_call>"


class TextCallSplitter:
    """The splitter of one answer; its pieces are text and calls, in order."""

    def __init__(self) -> None:
        self._held = ""
        self._within = False
        self._called = False

    def feed(self, text: str) -> list[str | FunctionDelta]:
        """Take more text; return what is certain by now."""
        self._held += text
        pieces: list[str | FunctionDelta] = []
        while True:
            tag = _CLOSE if self._within else _OPEN
            before, found, rest = self._held.partition(tag)
            if not found:
                break
            self._held = rest
            if self._within:
                pieces.append(_call(before) or f"{_OPEN}{before}{_CLOSE}")
                self._called = True
            else:
                self._add_text(before, pieces)
            self._within = not self._within
        if not self._within:
            keep = next((n for n in range(len(_OPEN) - 1, 0, -1) if self._held.endswith(_OPEN[:n])), 0)
            sure = self._held[: len(self._held) - keep]
            if sure.strip() or not self._called:
                self._add_text(sure, pieces)
                self._held = self._held[len(sure) :]
        return pieces

    def finish(self) -> list[str | FunctionDelta]:
        """Say that the text ended; return what was held back."""
        held, self._held = self._held, ""
        if not self._within:
            return [held] if held and not (self._called and not held.strip()) else []
        self._within = False
        return [_call(held) or f"{_OPEN}{held}"]

    def _add_text(self, text: str, pieces: list[str | FunctionDelta]) -> None:
        if text and not (self._called and not text.strip()):
            pieces.append(text)
            self._called = False


def _call(text: str) -> FunctionDelta | None:
    try:
        value = decode_loose(text.encode("utf-8", "replace"))
    except ValueError:
        return None
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        return None
    arguments = value.get("arguments", value.get("parameters"))
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments if arguments is not None else {}).decode()
    return FunctionDelta(name, arguments)
