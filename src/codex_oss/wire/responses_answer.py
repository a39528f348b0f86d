"""The answer of a Responses upstream, item by item: what opens, grows and closes towards the client.

Counterpart: `wire.responses_upstream` reads the events out of bytes and says how the answer ends.

    output_item.added, *.delta ─► an item opens and grows
    *.done of a text ───────────► what no delta brought
    output_item.done ───────────► the same, then it closes

Rules that hold here:

1. An item opens with the first event that names it; its text is completed from `output_item.done`.
2. Items that our vocabulary has no word for (web_search_call and its like) are left out.
3. An item that its upstream calls incomplete stays open, so that the encoder closes it as incomplete.
4. Summary and raw reasoning are one text here; the kind that comes first in an item is shown.
5. A refusal is message text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.wire.chat_tools import ToolNames, unwrap_custom_arguments
from codex_oss.wire.events import (
    ArgumentsDelta,
    CustomCallStart,
    FunctionCallStart,
    ItemDone,
    ItemStart,
    ItemStarted,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    ToolSearchStart,
    TurnCompleted,
    TurnEvent,
    TurnIncomplete,
    TurnStarted,
)
from codex_oss.wire.responses_events import UpstreamEvent, text_of
from codex_oss.wire.seals import marked

_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_PART_TEXTS: Final = {"output_text": "text", "text": "text", "refusal": "refusal"}


class AnswerItem:
    """One item of the answer. index None: not shown (yet), because it has no word here or no name so far."""

    __slots__ = ("done", "id", "index", "kind", "part", "pieces", "raw", "source", "wrapped")

    def __init__(self, kind: str, item_id: str) -> None:
        self.kind = kind
        self.id = item_id
        self.index: int | None = None
        self.pieces: list[str] = []
        self.done = False
        self.raw: dict[str, Any] | None = None
        self.source = ""
        """Which kind of reasoning it shows."""
        self.part: int | None = None
        """The summary part that was written last."""
        self.wrapped = False
        """A freeform call that came as a function call: its input stands inside the arguments."""


class ResponsesAnswer:
    """One answer so far. Events are appended to the list that each method is given.

    names: of the request's tools.
    """

    def __init__(self, names: ToolNames, profile: ModelProfile) -> None:
        self.items: list[AnswerItem] = []
        self.answered = False
        """Whether there is any text or call."""
        self.chars = 0
        """Of all texts, hidden ones too."""
        self._names = names
        self._profile = profile.name
        self._hide_reasoning = profile.quirks.reasoning == "hide"
        self._by_key: dict[int | str, AnswerItem] = {}
        self._shown = 0
        self._started = False

    @property
    def whole(self) -> bool:
        """Whether there is something, and all of it is closed."""
        return self.answered and all(item.done for item in self.items)

    @property
    def nameless(self) -> bool:
        """Whether there is a call that cannot be shown, because nobody said its name."""
        return any(item.index is None and item.kind in _CALLS for item in self.items)

    def start(self, model: str, out: list[TurnEvent]) -> None:
        """Begin the turn, once."""
        if not self._started:
            self._started = True
            out.append(TurnStarted(model))

    def take_added(self, event: UpstreamEvent, out: list[TurnEvent]) -> AnswerItem:
        """Take an item that begins."""
        raw = event.item or {}
        item = self._new(text_of(raw, "type"), event.output_index, text_of(raw, "id"))
        self._show(item, raw, out)
        return item

    def take_done(self, event: UpstreamEvent, out: list[TurnEvent]) -> None:
        """Take an item that is done."""
        self._take_item(self._done_item(event, out), event.item or {}, out)

    def take_whole(self, target: str, event: UpstreamEvent, whole: str, out: list[TurnEvent]) -> None:
        """Take the whole text of an item. target: its kind."""
        self._complete(self._item_of(target, event, out), whole, out)

    def take_rest(self, output: Sequence[dict[str, Any]], out: list[TurnEvent]) -> None:
        """Take the items of a whole *output* that no event told of."""
        for raw in output[len(self.items) :]:
            item = self._new(text_of(raw, "type"), None, text_of(raw, "id"))
            self._show(item, raw, out)
            self._take_item(item, raw, out)

    def take_delta(self, target: str, event: UpstreamEvent, out: list[TurnEvent]) -> None:
        """Take more of a text. target: kind of the item; `summary` and `raw` for the two kinds of reasoning."""
        delta = event.delta
        if not delta:
            return
        item = self._item_of(target, event, out)
        if target in ("summary", "raw"):
            item.source = item.source or target
            if item.source != target:
                return
            if target == "summary" and event.summary_index is not None and event.summary_index != item.part:
                delta = f"\n\n{delta}" if item.pieces else delta
                item.part = event.summary_index
        self._grow(item, delta, out)

    def close_all(self, out: list[TurnEvent]) -> TurnCompleted | TurnIncomplete:
        """Close what is open; a call that its upstream calls incomplete is one, whatever the response says."""
        for item in self.items:
            if not item.done and item.kind in _CALLS and item.raw is not None:
                return TurnIncomplete("max_output_tokens")
            if not item.done:
                self._close(item, "", out)
        return TurnCompleted()

    def _new(self, kind: str, output_index: int | None, item_id: str) -> AnswerItem:
        item = AnswerItem(kind, item_id)
        self.items.append(item)
        if output_index is not None:
            self._by_key[output_index] = item
        if item_id:
            self._by_key[item_id] = item
        return item

    def _known(self, output_index: int | None, item_id: str) -> AnswerItem | None:
        """The item that an event names, by its id first: some servers number every item 0."""
        found = self._by_key.get(item_id) if item_id else None
        if found is None and output_index is not None:
            found = self._by_key.get(output_index)
        if found is None and output_index is None and not item_id and self.items:
            found = self.items[-1]
        return found

    def _item_of(self, target: str, event: UpstreamEvent, out: list[TurnEvent]) -> AnswerItem:
        """The item that grows; one that was never announced opens now."""
        kind = "reasoning" if target in ("summary", "raw") else target
        item = self._known(event.output_index, event.item_id or "")
        if item is None or (item.kind != kind and item.kind not in _CALLS) or item.done:
            item = self._new(kind, event.output_index, event.item_id or "")
            self._show(item, {"type": kind}, out)
        return item

    def _done_item(self, event: UpstreamEvent, out: list[TurnEvent]) -> AnswerItem:
        raw = event.item or {}
        kind, item_id = text_of(raw, "type"), text_of(raw, "id")
        item = self._known(event.output_index, item_id)
        if item is None or item.kind != kind or (item.done and item.raw != raw):
            return self.take_added(event, out)
        return item

    def _show(self, item: AnswerItem, raw: dict[str, Any], out: list[TurnEvent]) -> None:
        """Open an item towards the client, once enough is known of it."""
        start = self._start_of(item, raw)
        if start is None or item.index is not None:
            return
        self.start("", out)
        item.index = self._shown
        self._shown += 1
        self.answered = self.answered or item.kind in _CALLS or item.kind == "tool_search_call"
        out.append(ItemStarted(item.index, start))

    def _start_of(self, item: AnswerItem, raw: dict[str, Any]) -> ItemStart | None:
        match item.kind:
            case "message":
                phase = raw.get("phase")
                return MessageStart(phase if phase in ("commentary", "final_answer") else None)
            case "reasoning":
                return None if self._hide_reasoning else ReasoningStart()
            case "function_call" | "custom_tool_call" if (name := text_of(raw, "name")) and item.index is None:
                return self._call_start(item, raw, name)
            case "tool_search_call" if isinstance(arguments := raw.get("arguments"), dict) and _is_for_client(raw):
                return ToolSearchStart(self._names.take_call_id(text_of(raw, "call_id")), arguments)
        return None

    def _call_start(self, item: AnswerItem, raw: dict[str, Any], name: str) -> FunctionCallStart | CustomCallStart:
        call_id = self._names.take_call_id(text_of(raw, "call_id"))
        namespace = text_of(raw, "namespace") or None
        if item.kind == "custom_tool_call":
            return CustomCallStart(call_id, name, namespace)
        if namespace is not None:
            return FunctionCallStart(call_id, name, namespace)
        # Servers that know neither namespaces nor freeform tools flatten them.
        start = self._names.start_of(name, call_id)
        item.wrapped = isinstance(start, CustomCallStart)
        return FunctionCallStart(call_id, name) if isinstance(start, ToolSearchStart) else start

    def _grow(self, item: AnswerItem, text: str, out: list[TurnEvent]) -> None:
        item.pieces.append(text)
        self.chars += len(text)
        if item.kind == "message":
            self.answered = True
        if item.index is None or item.wrapped:
            return
        match item.kind:
            case "message":
                out.append(TextDelta(item.index, text))
            case "reasoning":
                out.append(ReasoningDelta(item.index, text))
            case _:
                out.append(ArgumentsDelta(item.index, text))

    def _complete(self, item: AnswerItem, whole: str, out: list[TurnEvent]) -> None:
        """Add what no delta brought. A whole text that says something else than the deltas comes too late."""
        sent = "".join(item.pieces)
        if len(whole) > len(sent) and whole.startswith(sent) and not item.done:
            self._grow(item, whole[len(sent) :], out)

    def _take_item(self, item: AnswerItem, raw: dict[str, Any], out: list[TurnEvent]) -> None:
        """Take an item as its upstream says that it is, and close it."""
        if item.done:
            return
        if item.index is None and item.kind in (*_CALLS, "tool_search_call"):
            self._show(item, raw, out)
            held, item.pieces = "".join(item.pieces), []
            self._grow_if(item, held, out)
        self._complete(item, _text_of_item(raw), out)
        item.raw = raw
        if raw.get("status") != "incomplete":
            self._close(item, text_of(raw, "encrypted_content"), out)

    def _grow_if(self, item: AnswerItem, text: str, out: list[TurnEvent]) -> None:
        if text:
            self.chars -= len(text)
            self._grow(item, text, out)

    def _close(self, item: AnswerItem, sealed: str, out: list[TurnEvent]) -> None:
        item.done = True
        if item.index is None:
            return
        if item.wrapped:
            out.append(ArgumentsDelta(item.index, unwrap_custom_arguments("".join(item.pieces))))
        out.append(ItemDone(item.index, marked(self._profile, sealed) if item.kind == "reasoning" else ""))


def _is_for_client(raw: dict[str, Any]) -> bool:
    """Whether a search for tools is the client's to run; one that the server ran has no word here."""
    return bool(raw.get("execution", "client") == "client")


def _text_of_item(raw: dict[str, Any]) -> str:
    """The whole text of an item: of its content, its summary (or else its raw reasoning), or its call."""
    kind = text_of(raw, "type")
    if kind in _CALLS:
        arguments = raw.get(_CALLS[kind])
        return arguments if isinstance(arguments, str) else ""
    if kind == "reasoning":
        return "\n\n".join(_part_texts(raw, "summary")) or "".join(_part_texts(raw, "content"))
    return "".join(_part_texts(raw, "content"))


def _part_texts(raw: dict[str, Any], key: str) -> list[str]:
    parts = raw.get(key)
    if isinstance(parts, str):
        return [parts]
    known = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [text_of(part, _PART_TEXTS.get(text_of(part, "type"), "text")) for part in known]
