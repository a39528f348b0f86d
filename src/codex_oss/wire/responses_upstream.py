"""Decode the answer of a Responses upstream into turn events.

Counterparts: `wire.responses_body` made the request; `lanes.oss` feeds the bytes; `wire.responses_answer` knows the
items; `wire.chat_stream` is the twin for Chat Completions, with the same methods. `wire.responses_relay` passes an
answer on without decoding it.

    bytes ─► SseDecoder ─► UpstreamEvent ─┬─ of an item or its text ─► ResponsesAnswer ─► TurnEvent …
                                          └─ terminal, error, [DONE] ─► UsageReported, then one terminal event

Rules that hold here:

1. Nothing is raised: whatever an upstream sends ends as `TurnFailed`. The first batch begins with `TurnStarted`.
2. Any chunking of the same bytes gives the same events.
3. Every event but the terminal one may be missing: items that only the final `output` holds are read there.
4. Unknown events are skipped.
5. An answer without text and without a call is a failure.
Source: Open Responses 2026-04-24; raw reasoning has another event name there than in the `openai` package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import UpstreamError, UpstreamProtocolError
from codex_oss.wire.chat_answer import BYTES_PER_TOKEN
from codex_oss.wire.chat_chunks import decode_usage
from codex_oss.wire.chat_errors import classify_chat_error
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.events import (
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    Usage,
    UsageReported,
)
from codex_oss.wire.responses_answer import ResponsesAnswer
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


class ResponsesDecoder:
    """The decoder of one answer.

    names: of the request's tools. request_bytes: size of the request body, for the estimate when no usage is reported.
    heed: is shown the events of HEEDED.
    """

    def __init__(
        self, names: ToolNames, profile: ModelProfile, *, request_bytes: int = 0, heed: Heed | None = None
    ) -> None:
        self._answer = ResponsesAnswer(names, profile)
        self._heed = heed
        self._request_bytes = request_bytes
        self._sse = SseDecoder()
        self._fed = False
        self._recognized = False
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
        self._answer.start(text_of(response, "model"), out)
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
            self._answer.take_delta(target, event, out)
        elif kind in HEEDED and self._heed is not None and self._heed(decode_object(payload)):
            return
        elif kind.startswith("response."):
            self._recognized = True
            self._take_other(kind, event, out)
        elif kind == "error" or event.error:
            self._answer.start("", out)
            self._end(classify_chat_error(event.error or {"code": event.code, "message": event.message}), out)

    def _take_other(self, kind: str, event: UpstreamEvent, out: list[TurnEvent]) -> None:
        self._answer.start(text_of(event.response or {}, "model"), out)
        if kind in ENDINGS:
            self._take_ending(kind, event.response or {}, out)
        elif kind == "response.output_item.added" and event.item is not None:
            self._answer.take_added(event, out)
        elif kind == "response.output_item.done" and event.item is not None:
            self._answer.take_done(event, out)
        elif kind in _WHOLES:
            target, field = _WHOLES[kind]
            whole = getattr(event, field)
            if whole:
                self._answer.take_whole(target, event, whole, out)

    def _take_ending(self, kind: str, response: dict[str, Any], out: list[TurnEvent]) -> None:
        usage = response.get("usage")
        if isinstance(usage, dict):
            self._usage = decode_usage(usage) or self._usage
        ending = ending_of(kind, response)
        if ending in FAILED:
            self._end(failure_of(ending, response), out)
            return
        self._answer.take_rest(output_of(response), out)
        self._end(incomplete_of(response) if ending == "incomplete" else TurnCompleted(), out)

    def _take_done(self, out: list[TurnEvent]) -> None:
        """`[DONE]` without a terminal event: the answer counts as whole if all its items are."""
        if self._answer.whole:
            self._end(TurnCompleted(), out)
        else:
            self._end(INTERRUPTED if self._recognized else FOREIGN, out)

    def _end(self, outcome: TurnCompleted | TurnIncomplete | TurnFailed, out: list[TurnEvent]) -> None:
        if self._ended:
            return
        self._answer.start("", out)
        if isinstance(outcome, TurnCompleted):
            if self._answer.nameless:
                outcome = _NAMELESS
            elif not self._answer.answered:
                outcome = EMPTY
            else:
                outcome = self._answer.close_all(out)
        self._ended = True
        out.append(UsageReported(self._usage or self._estimate()))
        out.append(outcome)

    def _estimate(self) -> Usage:
        return Usage(
            input_tokens=self._request_bytes // BYTES_PER_TOKEN,
            output_tokens=-(-self._answer.chars // BYTES_PER_TOKEN),
            estimated=True,
        )
