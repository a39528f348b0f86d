"""The output items of one Responses answer: their ids, and the events that open and close each kind.

Counterpart: `wire.responses_stream` numbers and frames what comes from here.

Rules that hold here:

1. An item id is the prefix of its kind (`msg_`, `rs_`, `fc_`, `ctc_`, `cmp_`) + the response id + the item's index: the
   same turn replayed gives the same ids. `item_id` is equal in all events of one item.
2. `opening` and `closing` are in the canonical order; OpenCode 1.18 fails without `output_item.added`.
3. An item that is not whole closes with status `incomplete`, and a call then without its `*.done` event.
Source: Open Responses 2026-04-24, streaming events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, assert_never

import msgspec

from codex_oss.wire.events import (
    ArgumentsDelta,
    CompactionStart,
    CustomCallStart,
    FunctionCallStart,
    ItemStart,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    ToolSearchStart,
)
from codex_oss.wire.loose_json import clean_text

NamedFields = tuple[bytes, dict[str, Any]]
"""The type of an event and its members, without `type` and `sequence_number`."""

_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "tool_search_call": "tsc",
    "compaction": "cmp",
}


def open_item(response_id: str, index: int, start: ItemStart) -> OutputItem:
    """Make the output item for one `ItemStarted`."""
    match start:
        case MessageStart(phase):
            return _MessageOutput(response_id, index, phase)
        case ReasoningStart():
            return _ReasoningOutput(response_id, index)
        case FunctionCallStart():
            return _CallOutput(response_id, index, "function_call", start)
        case CustomCallStart():
            return _CallOutput(response_id, index, "custom_tool_call", start)
        case ToolSearchStart():
            return _ToolSearchOutput(response_id, index, start)
        case CompactionStart(sealed):
            return _CompactionOutput(response_id, index, sealed)
        case _:
            assert_never(start)


class OutputItem(ABC):
    """One output item. `texts` collects its deltas; `delta_prefix` is the JSON of a delta up to its string,
    before which the encoder sets what its framing needs.
    """

    __slots__ = ("delta_name", "delta_prefix", "delta_type", "id", "index", "place", "sealed", "status", "texts")

    def __init__(self, response_id: str, index: int, kind: str, delta_name: bytes, part_key: str | None) -> None:
        self.index = index
        self.id = f"{_PREFIXES[kind]}_{response_id.removeprefix('resp_')}_{index}"
        self.status = "in_progress"
        self.sealed = ""
        self.texts: list[str] = []
        self.delta_name = delta_name
        self.delta_type: type = ArgumentsDelta
        self.place: dict[str, Any] = {"item_id": self.id, "output_index": index}
        if part_key:
            self.place[part_key] = 0
        extra = b',"logprobs":[]' if delta_name == b"response.output_text.delta" else b""
        members = msgspec.json.encode(self.place)[1:-1]
        self.delta_prefix = b'{"type":"%b",%b%b,"delta":' % (delta_name, members, extra)

    def text(self) -> str:
        """Return all deltas so far."""
        return "".join(self.texts)

    @abstractmethod
    def value(self) -> dict[str, Any]:
        """Return the item as clients see it, with its present status."""

    def opening(self) -> list[NamedFields]:
        """Return the events that open the item."""
        return [(b"response.output_item.added", {"output_index": self.index, "item": self.value()})]

    def closing(self, *, whole: bool) -> list[NamedFields]:
        """Set the final status and return the events that close the item."""
        self.status = "completed" if whole else "incomplete"
        return [(b"response.output_item.done", {"output_index": self.index, "item": self.value()})]


class _MessageOutput(OutputItem):
    __slots__ = ("_phase",)

    def __init__(self, response_id: str, index: int, phase: str | None) -> None:
        super().__init__(response_id, index, "message", b"response.output_text.delta", "content_index")
        self.delta_type = TextDelta
        self._phase = phase

    def value(self) -> dict[str, Any]:
        content = [] if self.status == "in_progress" else [_text_part(self.text())]
        item = {"type": "message", "id": self.id, "status": self.status, "role": "assistant", "content": content}
        if self._phase is not None:
            item["phase"] = self._phase
        return item

    def opening(self) -> list[NamedFields]:
        return [*super().opening(), (b"response.content_part.added", {**self.place, "part": _text_part("")})]

    def closing(self, *, whole: bool) -> list[NamedFields]:
        text = self.text()
        return [
            (b"response.output_text.done", {**self.place, "text": text, "logprobs": []}),
            (b"response.content_part.done", {**self.place, "part": _text_part(text)}),
            *super().closing(whole=whole),
        ]


class _ReasoningOutput(OutputItem):
    __slots__ = ()

    def __init__(self, response_id: str, index: int) -> None:
        super().__init__(response_id, index, "reasoning", b"response.reasoning_summary_text.delta", "summary_index")
        self.delta_type = ReasoningDelta

    def value(self) -> dict[str, Any]:
        summary = [] if self.status == "in_progress" else [_summary_part(self.text())]
        item = {"type": "reasoning", "id": self.id, "status": self.status, "summary": summary}
        if self.sealed:
            item["encrypted_content"] = clean_text(self.sealed)
        return item

    def opening(self) -> list[NamedFields]:
        part = (b"response.reasoning_summary_part.added", {**self.place, "part": _summary_part("")})
        return [*super().opening(), part]

    def closing(self, *, whole: bool) -> list[NamedFields]:
        text = self.text()
        return [
            (b"response.reasoning_summary_text.done", {**self.place, "text": text}),
            (b"response.reasoning_summary_part.done", {**self.place, "part": _summary_part(text)}),
            *super().closing(whole=whole),
        ]


class _CallOutput(OutputItem):
    """A function call or a freeform call: the two differ in names only."""

    __slots__ = ("_kind", "_start")

    def __init__(self, response_id: str, index: int, kind: str, start: FunctionCallStart | CustomCallStart) -> None:
        super().__init__(response_id, index, kind, _CALL_EVENTS[kind][0], None)
        self._kind = kind
        self._start = start

    def value(self) -> dict[str, Any]:
        start = self._start
        item = {
            "type": self._kind,
            "id": self.id,
            "status": self.status,
            "call_id": clean_text(start.call_id),
            "name": clean_text(start.name),
            _CALL_EVENTS[self._kind][2]: self.text(),
        }
        if start.namespace is not None:
            item["namespace"] = start.namespace
        return item

    def closing(self, *, whole: bool) -> list[NamedFields]:
        ends = super().closing(whole=whole)
        if not whole:
            return ends
        _, done, key = _CALL_EVENTS[self._kind]
        fields = {**self.place, key: self.text()}
        if self._kind == "function_call":
            fields["name"] = clean_text(self._start.name)
        return [(done, fields), *ends]


class _ToolSearchOutput(OutputItem):
    """A search for tools that the client runs. It has no deltas: both of its events hold the whole of it."""

    __slots__ = ("_start",)

    def __init__(self, response_id: str, index: int, start: ToolSearchStart) -> None:
        super().__init__(response_id, index, "tool_search_call", b"", None)
        self.delta_type = type(None)
        self._start = start

    def value(self) -> dict[str, Any]:
        return {
            "type": "tool_search_call",
            "id": self.id,
            "status": self.status,
            "call_id": clean_text(self._start.call_id),
            "execution": "client",
            "arguments": self._start.arguments,
        }


class _CompactionOutput(OutputItem):
    """A sealed summary. It has no deltas, and in the official types no status."""

    __slots__ = ("_sealed",)

    def __init__(self, response_id: str, index: int, sealed: str) -> None:
        super().__init__(response_id, index, "compaction", b"", None)
        self.delta_type = type(None)
        self._sealed = sealed

    def value(self) -> dict[str, Any]:
        return {"type": "compaction", "id": self.id, "encrypted_content": self._sealed}


_CALL_EVENTS: Final = {
    "function_call": (
        b"response.function_call_arguments.delta",
        b"response.function_call_arguments.done",
        "arguments",
    ),
    "custom_tool_call": (
        b"response.custom_tool_call_input.delta",
        b"response.custom_tool_call_input.done",
        "input",
    ),
}
"""Per kind of call: its delta event, its done event, and the key that holds the text."""


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary_part(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}
