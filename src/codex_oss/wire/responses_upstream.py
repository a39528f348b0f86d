"""Decode the answer of a Responses upstream into turn events.

Counterparts: `wire.responses_body` made the request; `lanes.oss` feeds the bytes; `wire.chat_stream` is the twin for
Chat Completions, with the same methods. `wire.responses_relay` passes an answer on without decoding it.

    bytes ─► SseDecoder ─► UpstreamEvent ─┬─ output_item.added, *.delta ─► an item opens and grows
                                          ├─ output_item.done ──────────► what no delta brought, then it closes
                                          └─ terminal, error, [DONE] ───► UsageReported, then one terminal event

Rules that hold here:

1. Nothing is raised: whatever an upstream sends ends as `TurnFailed`. The first batch begins with `TurnStarted`.
2. Any chunking of the same bytes gives the same events.
3. Every event but the terminal one may be missing: an item opens with the first event that names it, its text is
   completed from `output_item.done`, and items that only the final `output` holds are read there.
4. Items that our vocabulary has no word for (web_search_call and its like) are left out, unknown events are skipped.
5. An item that its upstream calls incomplete stays open, so that the encoder closes it as incomplete.
6. Summary and raw reasoning are one text here; the kind that comes first in an item is shown.
7. An answer without text and without a call is a failure. A refusal is message text.
Source: Open Responses 2026-04-24; raw reasoning has another event name there than in the `openai` package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import UpstreamError, UpstreamProtocolError
from codex_oss.wire.chat_chunks import decode_usage
from codex_oss.wire.chat_errors import classify_chat_error
from codex_oss.wire.chat_stream import BYTES_PER_TOKEN
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
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.responses_events import (
    ENDINGS,
    FAILED,
    UpstreamEvent,
    decode_event,
    decode_object,
    ending_of,
    failure_of,
    incomplete_of,
    output_of,
    text_of,
)
from codex_oss.wire.seals import marked
from codex_oss.wire.sse import SseDecoder

Heed = Callable[[dict[str, Any]], bool]
"""Looks at one of HEEDED as its upstream sent it; True takes it out of the answer."""
HEEDED: Final = ("error", "response.failed", "codex.rate_limits")
INTERRUPTED: Final = TurnFailed("stream_interrupted", "The model server's stream ended early.")
FOREIGN: Final = TurnFailed(
    "upstream_protocol_error", 'The model server did not answer in the form of Responses; is api = "responses" right?'
)
EMPTY: Final = TurnFailed("upstream_protocol_error", "The model server sent an empty answer.")
_NAMELESS: Final = TurnFailed("upstream_protocol_error", "The model server sent a tool call without a name.")

_DELTAS: Final = {
    "response.output_text.delta": "message",
    "response.refusal.delta": "message",
    "response.reasoning_summary_text.delta": "summary",
    "response.reasoning_text.delta": "raw",
    "response.reasoning.delta": "raw",
    "response.function_call_arguments.delta": "function_call",
    "response.custom_tool_call_input.delta": "custom_tool_call",
}
"""What a delta adds to; raw and summary are the two kinds of reasoning."""
_WHOLES: Final = {
    "response.output_text.done": ("message", "text"),
    "response.refusal.done": ("message", "refusal"),
    "response.function_call_arguments.done": ("function_call", "arguments"),
    "response.custom_tool_call_input.done": ("custom_tool_call", "input"),
}
"""Events that repeat a whole text: its kind and the field that holds it."""
_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_PART_TEXTS: Final = {"output_text": "text", "text": "text", "refusal": "refusal"}


class _Item:
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


class ResponsesDecoder:
    """The decoder of one answer.

    names: of the request's tools. request_bytes: size of the request body, for the estimate when no usage is reported.
    heed: is shown the events of HEEDED.
    """

    def __init__(
        self, names: ToolNames, profile: ModelProfile, *, request_bytes: int = 0, heed: Heed | None = None
    ) -> None:
        self._names = names
        self._heed = heed
        self._profile = profile.name
        self._hide_reasoning = profile.quirks.reasoning == "hide"
        self._request_bytes = request_bytes
        self._sse = SseDecoder()
        self._fed = False
        self._started = False
        self._recognized = False
        self._items: list[_Item] = []
        self._by_key: dict[int | str, _Item] = {}
        self._shown = 0
        self._answered = False
        self._chars = 0
        self._usage: Usage | None = None
        self._ended = False

    @property
    def whole(self) -> bool:
        """True once the upstream said why it stopped."""
        return self._ended

    @property
    def ended(self) -> bool:
        """True after the terminal event."""
        return self._ended

    def feed(self, data: bytes) -> list[TurnEvent]:
        """Take one read of any size; return its events, an empty list after the end."""
        out: list[TurnEvent] = []
        if self._ended:
            return out
        self._fed = self._fed or bool(data)
        try:
            for payload in self._sse.feed(data):
                self._take(payload, out)
        except UpstreamError as exc:
            self._end(TurnFailed(exc.code, exc.message), out)
        return out

    def finish(self) -> list[TurnEvent]:
        """Say that no more bytes come (end, cut or time-out); return the closing events. Idempotent."""
        out: list[TurnEvent] = []
        if self._ended:
            return out
        try:
            for payload in self._sse.finish():
                self._take(payload, out)
        except UpstreamError as exc:
            self._end(TurnFailed(exc.code, exc.message), out)
        self._end(INTERRUPTED if self._recognized or not self._fed else FOREIGN, out)
        return out

    def take_completion(self, body: bytes) -> list[TurnEvent]:
        """Take a whole answer, as an upstream sends it that does not stream, and end."""
        out: list[TurnEvent] = []
        try:
            value = decode_object(body)
            nested = value.get("response")
            self.take_response(nested if isinstance(nested, dict) else value, out)
        except UpstreamProtocolError as exc:
            self._end(TurnFailed(exc.code, exc.message), out)
        return out

    def take_response(self, response: dict[str, Any], out: list[TurnEvent]) -> None:
        """Take a response object as the whole answer, and end."""
        self._start(text_of(response, "model"), out)
        if response.get("error") and not output_of(response):
            self._end(classify_chat_error(response["error"]), out)
        elif not isinstance(response.get("output"), list):
            self._end(FOREIGN, out)
        elif response.get("status") in ("in_progress", "queued"):
            self._end(INTERRUPTED, out)
        else:
            self._take_ending("response.completed", response, out)

    def _take(self, payload: bytes, out: list[TurnEvent]) -> None:
        if self._ended:
            return
        if payload.startswith(b"[DONE]"):
            self._take_done(out)
            return
        event = decode_event(payload)
        kind = event.type or ""
        target = _DELTAS.get(kind)
        if target is not None:
            self._recognized = True
            self._add(target, event, out)
        elif kind in HEEDED and self._heed is not None and self._heed(decode_object(payload)):
            return
        elif kind.startswith("response."):
            self._recognized = True
            self._take_other(kind, event, out)
        elif kind == "error" or event.error:
            self._start("", out)
            self._end(classify_chat_error(event.error or {"code": event.code, "message": event.message}), out)

    def _take_other(self, kind: str, event: UpstreamEvent, out: list[TurnEvent]) -> None:
        self._start(text_of(event.response or {}, "model"), out)
        if kind in ENDINGS:
            self._take_ending(kind, event.response or {}, out)
        elif kind == "response.output_item.added" and event.item is not None:
            self._added(event, out)
        elif kind == "response.output_item.done" and event.item is not None:
            self._take_item(self._done_item(event, out), event.item, out)
        elif kind in _WHOLES:
            target, field = _WHOLES[kind]
            whole = getattr(event, field)
            if whole:
                self._complete(self._item_of(target, event, out), whole, out)

    # ------------------------------------------------------------------------------------------------------ items

    def _added(self, event: UpstreamEvent, out: list[TurnEvent]) -> _Item:
        raw = event.item or {}
        item = self._new(text_of(raw, "type"), event.output_index, text_of(raw, "id"))
        self._show(item, raw, out)
        return item

    def _new(self, kind: str, output_index: int | None, item_id: str) -> _Item:
        item = _Item(kind, item_id)
        self._items.append(item)
        if output_index is not None:
            self._by_key[output_index] = item
        if item_id:
            self._by_key[item_id] = item
        return item

    def _known(self, output_index: int | None, item_id: str) -> _Item | None:
        """The item that an event names, by its id first: some servers number every item 0."""
        found = self._by_key.get(item_id) if item_id else None
        if found is None and output_index is not None:
            found = self._by_key.get(output_index)
        if found is None and output_index is None and not item_id and self._items:
            found = self._items[-1]
        return found

    def _item_of(self, target: str, event: UpstreamEvent, out: list[TurnEvent]) -> _Item:
        """The item that grows; one that was never announced opens now."""
        kind = "reasoning" if target in ("summary", "raw") else target
        item = self._known(event.output_index, event.item_id or "")
        if item is None or (item.kind != kind and item.kind not in _CALLS) or item.done:
            item = self._new(kind, event.output_index, event.item_id or "")
            self._show(item, {"type": kind}, out)
        return item

    def _done_item(self, event: UpstreamEvent, out: list[TurnEvent]) -> _Item:
        raw = event.item or {}
        kind, item_id = text_of(raw, "type"), text_of(raw, "id")
        item = self._known(event.output_index, item_id)
        if item is None or item.kind != kind or (item.done and item.raw != raw):
            return self._added(event, out)
        return item

    def _show(self, item: _Item, raw: dict[str, Any], out: list[TurnEvent]) -> None:
        """Open an item towards the client, once enough is known of it."""
        start = self._start_of(item, raw)
        if start is None or item.index is not None:
            return
        self._start("", out)
        item.index = self._shown
        self._shown += 1
        self._answered = self._answered or item.kind in _CALLS or item.kind == "tool_search_call"
        out.append(ItemStarted(item.index, start))

    def _start_of(self, item: _Item, raw: dict[str, Any]) -> ItemStart | None:
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

    def _call_start(self, item: _Item, raw: dict[str, Any], name: str) -> FunctionCallStart | CustomCallStart:
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

    # ------------------------------------------------------------------------------------------------------ texts

    def _add(self, target: str, event: UpstreamEvent, out: list[TurnEvent]) -> None:
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

    def _grow(self, item: _Item, text: str, out: list[TurnEvent]) -> None:
        item.pieces.append(text)
        self._chars += len(text)
        if item.kind == "message":
            self._answered = True
        if item.index is None or item.wrapped:
            return
        match item.kind:
            case "message":
                out.append(TextDelta(item.index, text))
            case "reasoning":
                out.append(ReasoningDelta(item.index, text))
            case _:
                out.append(ArgumentsDelta(item.index, text))

    def _complete(self, item: _Item, whole: str, out: list[TurnEvent]) -> None:
        """Add what no delta brought. A whole text that says something else than the deltas comes too late."""
        sent = "".join(item.pieces)
        if len(whole) > len(sent) and whole.startswith(sent) and not item.done:
            self._grow(item, whole[len(sent) :], out)

    def _take_item(self, item: _Item, raw: dict[str, Any], out: list[TurnEvent]) -> None:
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

    def _grow_if(self, item: _Item, text: str, out: list[TurnEvent]) -> None:
        if text:
            self._chars -= len(text)
            self._grow(item, text, out)

    def _close(self, item: _Item, sealed: str, out: list[TurnEvent]) -> None:
        item.done = True
        if item.index is None:
            return
        if item.wrapped:
            out.append(ArgumentsDelta(item.index, unwrap_custom_arguments("".join(item.pieces))))
        out.append(ItemDone(item.index, marked(self._profile, sealed) if item.kind == "reasoning" else ""))

    # ----------------------------------------------------------------------------------------------------- the end

    def _take_ending(self, kind: str, response: dict[str, Any], out: list[TurnEvent]) -> None:
        usage = response.get("usage")
        if isinstance(usage, dict):
            self._usage = decode_usage(usage) or self._usage
        ending = ending_of(kind, response)
        if ending in FAILED:
            self._end(failure_of(ending, response), out)
            return
        for raw in output_of(response)[len(self._items) :]:
            item = self._new(text_of(raw, "type"), None, text_of(raw, "id"))
            self._show(item, raw, out)
            self._take_item(item, raw, out)
        self._end(incomplete_of(response) if ending == "incomplete" else TurnCompleted(), out)

    def _take_done(self, out: list[TurnEvent]) -> None:
        """`[DONE]` without a terminal event: the answer counts as whole if all its items are."""
        if self._answered and all(item.done for item in self._items):
            self._end(TurnCompleted(), out)
        else:
            self._end(INTERRUPTED if self._recognized else FOREIGN, out)

    def _end(self, outcome: TurnCompleted | TurnIncomplete | TurnFailed, out: list[TurnEvent]) -> None:
        if self._ended:
            return
        self._start("", out)
        if isinstance(outcome, TurnCompleted):
            if any(item.index is None and item.kind in _CALLS for item in self._items):
                outcome = _NAMELESS
            elif not self._answered:
                outcome = EMPTY
            else:
                outcome = self._close_all(out)
        self._ended = True
        out.append(UsageReported(self._usage or self._estimate()))
        out.append(outcome)

    def _close_all(self, out: list[TurnEvent]) -> TurnCompleted | TurnIncomplete:
        """Close what is open; a call that its upstream calls incomplete is one, whatever the response says."""
        for item in self._items:
            if not item.done and item.kind in _CALLS and item.raw is not None:
                return TurnIncomplete("max_output_tokens")
            if not item.done:
                self._close(item, "", out)
        return TurnCompleted()

    def _start(self, model: str, out: list[TurnEvent]) -> None:
        if not self._started:
            self._started = True
            out.append(TurnStarted(model))

    def _estimate(self) -> Usage:
        return Usage(
            input_tokens=self._request_bytes // BYTES_PER_TOKEN,
            output_tokens=-(-self._chars // BYTES_PER_TOKEN),
            estimated=True,
        )


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
