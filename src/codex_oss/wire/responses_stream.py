"""Encode turn events as the SSE stream, the WebSocket messages or the JSON object of the Responses API.

Counterparts: lanes produce the events (`wire.events`), `server` writes the bytes.

    TurnStarted        response.created, response.in_progress
    ItemStarted        output_item.added, then content_part.added or reasoning_summary_part.added
    TextDelta …        output_text.delta · reasoning_summary_text.delta · *_arguments.delta · *_input.delta
    ItemDone           *.done of the text, *_part.done, output_item.done with the whole item
    TurnCompleted …    open items are closed, response.completed | .incomplete | (error, response.failed), [DONE]

    queue()            response.created, response.queued; then TurnStarted gives response.in_progress alone

Rules that hold here:

1. Exactly one terminal event, then (SSE only) `data: [DONE]`; after it `finish` and `fail` give nothing. Somebody must
   call `finish` when the lane is over, whatever ended it.
2. Every item that opened is closed by one `output_item.done` before the terminal event, because Codex builds its
   history only from there. `response.output` holds exactly these items, in order.
3. Cut short, an item has status `incomplete` and a call gets no `*.done` event with whole arguments. A cut JSON
   object never parses, so a client that ignores the status cannot run it by mistake.
4. An illegal order is a bug of the lane: `LocalProtocolError`. Frames made before it are kept for the next call.
5. A cancelled turn ends as `response.incomplete` with status `cancelled`: the vocabulary has no event of its own, and
   clients do not try this one again.
6. A failed turn is `error` (nested form) *followed by* `response.failed`: Codex 0.169 ignores the first alone.
7. The delta path builds no dict: prefix of the open item (framing included) + encoded string + number.
Source: Open Responses 2026-04-24 for names and required fields; what clients need was observed with Codex 0.169
and OpenCode 1.18.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from codex_oss.errors import LocalProtocolError, responses_code
from codex_oss.wire.events import (
    ArgumentsDelta,
    ItemDone,
    ItemStarted,
    LimitsReported,
    ReasoningDelta,
    Relayed,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.loose_json import clean_text
from codex_oss.wire.responses_object import ResponseObject, changing_fields
from codex_oss.wire.responses_output import OutputItem, open_item

ERROR_TYPE: Final = {
    "rate_limit_exceeded": "too_many_requests",
    "insufficient_quota": "too_many_requests",
    "context_length_exceeded": "invalid_request",
    "invalid_prompt": "invalid_request",
}
"""`error.type` of the nested error event by its code; anything absent is `server_error`."""

ENDINGS: Final = (TurnCompleted, TurnIncomplete, TurnFailed)
Framing = Literal["sse", "lines"]
DONE_FRAME: Final = b"data: [DONE]\n\n"
_FRAMES: Final[dict[Framing, tuple[bytes, bytes]]] = {
    "sse": (b"event: %b\ndata: ", b"\n\n"),
    # Encoded JSON holds no line end of its own: strings escape it.
    "lines": (b"", b"\n"),
}
"""What stands before (its type filled in) and after the JSON of an event."""

_encode: Final = msgspec.json.Encoder().encode


class ResponseEncoder:
    """The encoder of one turn.

    now: gives seconds since the epoch for `completed_at`; without it that key stays null.
    framing: how events become bytes; SSE, or one JSON object a line for a transport that frames by itself.
    """

    def __init__(
        self, request: TurnRequest, *, now: Callable[[], float] | None = None, framing: Framing = "sse"
    ) -> None:
        self._object = ResponseObject(request)
        self._response_id = request.response_id
        self._now = now
        self._queued = False
        self._started = False
        self._items: list[OutputItem] = []
        self._open: dict[int, OutputItem] = {}
        self._usage: Usage | None = None
        self._terminal: TurnCompleted | TurnIncomplete | TurnFailed | None = None
        self._final: dict[str, Any] | None = None
        self._sequence = 0
        self._before, self._after = _FRAMES[framing]
        self._pending: list[bytes] = []
        """Framed events not handed out yet."""

    @property
    def terminal(self) -> bool:
        """True after the closing event was made."""
        return self._terminal is not None

    @property
    def outcome(self) -> TurnCompleted | TurnIncomplete | TurnFailed | None:
        """The closing event; None while the turn runs. The server turns a failure into an HTTP status with it."""
        return self._terminal

    @property
    def usage(self) -> Usage | None:
        """The usage reported last; None when the lane reported none."""
        return self._usage

    def queue(self) -> bytes:
        """Say that the turn was taken and waits; before anything else. Returns the first frames."""
        self._queued = True
        response = self._object.encoded(changing_fields("queued", []))
        for name in (b"response.created", b"response.queued"):
            self._emit_raw(name, b'"response":' + response)
        return self._frames()

    def encode(self, events: Sequence[TurnEvent]) -> bytes:
        """Return the frames of one batch; b"" when it shows nothing.

        Raises LocalProtocolError for an order that `wire.events` forbids.
        """
        # Deltas first and without `match`: these lines run for each token. A batch of one is what a paced stream has.
        if len(events) == 1 and not self._pending and self._terminal is None:
            event = events[0]
            if type(event) is TextDelta or type(event) is ArgumentsDelta or type(event) is ReasoningDelta:
                return self._delta(event)
        for event in events:
            if type(event) is TextDelta or type(event) is ArgumentsDelta or type(event) is ReasoningDelta:
                if self._terminal is None:
                    self._pending.append(self._delta(event))
            else:
                self._take(event)
        return self._frames()

    def finish(self) -> bytes:
        """Say that the lane is over; a turn without its closing event fails as interrupted. Idempotent."""
        return self.fail("stream_interrupted", "The answer ended before it was complete.")

    def fail(self, code: str, message: str) -> bytes:
        """End the turn as failed, unless it has ended. code: one of `errors`. Returns the last frames."""
        if self._terminal is None:
            self._end(TurnFailed(code, message))
        return self._frames()

    def response(self) -> dict[str, Any]:
        """Return the response object as it stands, with all keys; for `stream: false` call it after the end."""
        status = "queued" if self._queued and not self._started else "in_progress"
        return self._object.value(self._final or changing_fields(status, self._output()))

    def _take(self, event: TurnEvent) -> None:
        if isinstance(event, ENDINGS):
            if self._terminal is not None:
                raise LocalProtocolError("A turn ended twice.")
            self._end(event)
            return
        if self._terminal is not None:
            return
        match event:
            case ItemStarted(index, start):
                self._open_item(index, open_item(self._response_id, index, start))
            case ItemDone(index, sealed):
                item = self._open_at(index)
                item.sealed = sealed
                self._close_item(item, whole=True)
            case UsageReported(usage):
                self._usage = usage
            case TurnStarted():
                if self._started:
                    raise LocalProtocolError("A turn started twice.")
                self._object.tell_deviation(event.deviation)
                self._start()
            case LimitsReported():
                pass
            case Relayed():
                raise LocalProtocolError("Frames to relay for a client that did not ask untranslated.")

    def _start(self) -> None:
        self._started = True
        response = self._object.encoded(changing_fields("in_progress", []))
        for name in (b"response.in_progress",) if self._queued else (b"response.created", b"response.in_progress"):
            self._emit_raw(name, b'"response":' + response)

    def _open_item(self, index: int, item: OutputItem) -> None:
        if not self._started:
            self._start()
        if index != len(self._items):
            raise LocalProtocolError(f"Item {index} opened where item {len(self._items)} was due.")
        item.delta_prefix = self._head_of(item.delta_name) + item.delta_prefix
        self._items.append(item)
        self._open[index] = item
        for name, fields in item.opening():
            self._emit(name, fields)

    def _delta(self, event: TextDelta | ArgumentsDelta | ReasoningDelta) -> bytes:
        """The frame of a delta."""
        item = self._open.get(event.index)
        if item is None or type(event) is not item.delta_type:
            raise LocalProtocolError(f"A {type(event).__name__} for item {event.index}, which is not open for it.")
        text = event.text
        try:
            encoded = _encode(text)
        except UnicodeEncodeError:
            text = clean_text(text)
            encoded = _encode(text)
        item.texts.append(text)
        number = self._sequence
        self._sequence += 1
        return b'%b%b,"sequence_number":%d}%b' % (item.delta_prefix, encoded, number, self._after)

    def _open_at(self, index: int) -> OutputItem:
        item = self._open.get(index)
        if item is None:
            raise LocalProtocolError(f"Item {index} is not open.")
        return item

    def _close_item(self, item: OutputItem, *, whole: bool) -> None:
        del self._open[item.index]
        for name, fields in item.closing(whole=whole):
            self._emit(name, fields)

    def _end(self, event: TurnCompleted | TurnIncomplete | TurnFailed) -> None:
        if not self._started:
            self._start()
        whole = isinstance(event, TurnCompleted)
        for item in list(self._open.values()):
            self._close_item(item, whole=whole)
        self._terminal = event
        usage, output, at = self._usage or Usage(), self._output(), self._completed_at()
        match event:
            case TurnCompleted():
                name = b"response.completed"
                final = changing_fields("completed", output, usage=usage, completed_at=at)
            case TurnIncomplete("cancelled"):
                name = b"response.incomplete"
                final = changing_fields("cancelled", output, usage=usage)
            case TurnIncomplete(reason):
                name = b"response.incomplete"
                final = changing_fields("incomplete", output, usage=usage, completed_at=at, incomplete_reason=reason)
            case TurnFailed(code, message):
                name = b"response.failed"
                error = {"code": responses_code(code), "message": clean_text(message)}
                self._emit(b"error", error_fields(error))
                final = changing_fields("failed", output, usage=usage, completed_at=at, error=error)
        self._final = final
        self._emit_raw(name, b'"response":' + self._object.encoded(final))

    def _output(self) -> list[dict[str, Any]]:
        return [item.value() for item in self._items if item.status != "in_progress"]

    def _completed_at(self) -> int | None:
        return None if self._now is None else int(self._now())

    def _emit(self, name: bytes, fields: dict[str, Any]) -> None:
        self._emit_raw(name, _encode(fields)[1:-1])

    def _emit_raw(self, name: bytes, members: bytes) -> None:
        head = self._head_of(name)
        self._pending.append(
            b'%b{"type":"%b",%b,"sequence_number":%d}%b' % (head, name, members, self._sequence, self._after)
        )
        self._sequence += 1

    def _head_of(self, name: bytes) -> bytes:
        """What stands before the JSON of an event."""
        return self._before % name if self._before else b""

    def _frames(self) -> bytes:
        """Hand out what is pending."""
        pending = self._pending
        if len(pending) == 1:
            frames = pending[0]
        elif pending:
            frames = b"".join(pending)
        else:
            return b""
        pending.clear()
        return frames if self._terminal is None or not self._before else frames + DONE_FRAME


def sse_frame(line: bytes) -> bytes:
    """Return one event of the framing `lines`, without its line end, as an SSE frame."""
    name = line[len(_TYPE) : line.index(b'"', len(_TYPE))]
    return b"event: %b\ndata: %b\n\n" % (name, line)


_TYPE: Final = b'{"type":"'
"""How every event begins."""


def error_fields(error: dict[str, str]) -> dict[str, Any]:
    """The members of an `error` event in its nested form. error: code (of Responses) and message."""
    code = error["code"]
    return {"error": {"type": ERROR_TYPE.get(code, "server_error"), **error, "param": None}}
