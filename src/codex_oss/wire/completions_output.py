"""What one chat answer is made of: two texts, calls, and the usage.

Counterpart: `wire.completions_stream` frames what comes from here.

Rules that hold here: what was shown never changes, it only grows; the arguments of a whole call are JSON where the
model's were; those of a call that is not whole never are a JSON object.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from codex_oss.wire.chat_tools import flat_name
from codex_oss.wire.events import ArgumentsDelta, CustomCallStart, FunctionCallStart, Usage
from codex_oss.wire.loose_json import clean_text

CLOSING: Final = "} \t\r\n"
"""What may stand at the end of a JSON object: held back until the call is whole."""

_encode: Final = msgspec.json.Encoder().encode


class TextOutput:
    """One text of the answer, content or reasoning, which several items write one after the other."""

    __slots__ = ("before", "delta_type", "speaker", "texts")

    def __init__(self, delta_type: type) -> None:
        self.delta_type = delta_type
        self.before = b""
        self.speaker: int | None = None
        """Index of the item that wrote last."""
        self.texts: list[str] = []

    def joined(self) -> str:
        """Return all of it."""
        return "".join(self.texts)


class CallOutput:
    """One call. `waiting` is what the lane gave and nobody was shown, `pieces` is what was shown of the arguments."""

    __slots__ = ("_custom", "call_id", "delta_type", "name", "pieces", "waiting", "whole")

    def __init__(self, start: FunctionCallStart | CustomCallStart) -> None:
        self.delta_type = ArgumentsDelta
        self.call_id = clean_text(start.call_id)
        self.name = clean_text(flat_name(start.namespace, start.name) if start.namespace else start.name)
        self.waiting: list[str] = []
        self.pieces: list[str] = []
        self.whole = False
        self._custom = isinstance(start, CustomCallStart)

    def due(self) -> str:
        """Take out of `waiting` what may be shown now, in the form of the client's arguments."""
        text = "".join(self.waiting)
        if self._custom:
            self.waiting.clear()
            before, after = "" if self.pieces else '{"input":"', '"}' if self.whole else ""
            return f"{before}{_encode(text)[1:-1].decode()}{after}" if text or self.whole else ""
        if self.whole:
            self.waiting.clear()
            return text if self.pieces or text.strip() else "{}"
        shown = text.rstrip(CLOSING)
        self.waiting[:] = [text[len(shown) :]]
        return shown

    def value(self) -> dict[str, Any]:
        """Return the call as the JSON answer has it."""
        function = {"name": self.name, "arguments": "".join(self.pieces)}
        return {"id": self.call_id, "type": "function", "function": function}


def encode_chat_usage(usage: Usage) -> dict[str, Any]:
    """Return the `usage` of Chat Completions; unknown counts are 0."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
