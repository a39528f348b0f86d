"""Encode turn events as the SSE stream (or the JSON object) of Chat Completions.

Counterparts: lanes produce the events (`wire.events`), `server` writes the bytes; `wire.responses_stream` is its twin
and has the same methods, so that one ASGI response drives either.

    TurnStarted          delta {role}
    messages, in order   delta {content}, a blank line between two of them
    reasoning            delta {reasoning_content}
    calls                delta {tool_calls}: index, id and name with the first piece of the arguments
    TurnCompleted        finish_reason stop or tool_calls ┐
    TurnIncomplete       length or content_filter         ├ usage chunk if asked for, [DONE]
    TurnFailed           {"error": …}, [DONE]

Rules that hold here:

1. Every stream that did not fail has one finish_reason. Observed: without it OpenCode 1.18 asks again, at once;
   after an `error` chunk it waits 2, 4, 8 … s and asks again, and the `openai` package raises.
2. Arguments of a whole call are JSON: a call without any gets `{}`, and the raw input of a freeform call is wrapped
   as `{"input": …}`, because a streamed chat call can only be a function call.
3. Nobody can run a call that was cut: it is shown with the first piece of its arguments, not before, and the braces
   that may end them are held back until it is whole. Observed: OpenCode 1.18 reads empty arguments as `{}`, runs a call
   as soon as its arguments parse, and runs it again when it asks again after an error.
4. Calls go out one after the other: the `openai` package takes a call for whole when the next one begins.
5. A tool of a namespace has its flat name here: chat clients know no other.
6. `response()` is what a client gets by adding up the deltas.
7. An illegal order is a bug of the lane: `LocalProtocolError`. The delta path builds no dict.
Source: OpenAI API reference "chat completion chunk"; the `openai` package 3.52; `reasoning_content` as DeepSeek has it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from codex_oss.errors import LocalProtocolError, http_status
from codex_oss.wire.completions_output import CallOutput, TextOutput, encode_chat_usage
from codex_oss.wire.events import (
    ArgumentsDelta,
    CustomCallStart,
    FunctionCallStart,
    ItemDone,
    ItemStart,
    ItemStarted,
    LimitsReported,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    Relayed,
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
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.loose_json import clean_text
from codex_oss.wire.responses_stream import DONE_FRAME

SEPARATOR: Final = "\n\n"
"""Between two messages of one turn: the remarks of a mission stay apart."""
FINISH_REASON: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""`finish_reason` by the reason of a `TurnIncomplete`."""
ERROR_TYPE: Final = {401: "authentication_error", 403: "permission_error", 404: "not_found", 429: "rate_limit_error"}
"""`error.type` by what the HTTP status would have been; else `invalid_request_error` below 500, or `server_error`."""

_encode: Final = msgspec.json.Encoder().encode


class ChatEncoder:
    """The encoder of one turn. include_usage: end a stream with the usage chunk (`stream_options`)."""

    def __init__(self, request: TurnRequest, *, include_usage: bool) -> None:
        self._id = f"chatcmpl-{request.response_id.removeprefix('resp_')}"
        self._request = request
        self._include_usage = include_usage
        self._started = False
        self._items = 0
        self._open: dict[int, TextOutput | CallOutput] = {}
        self._content = TextOutput(TextDelta)
        self._reasoning = TextOutput(ReasoningDelta)
        self._calls: list[CallOutput] = []
        self._queue: deque[CallOutput] = deque()
        self._usage: Usage | None = None
        self._terminal: TurnCompleted | TurnIncomplete | TurnFailed | None = None
        head = {"object": "chat.completion.chunk", **self._identity()}
        self._head = b"data: " + _encode(head)[:-1] + b","
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        before = self._head + b'"choices":[{"index":0,"delta":{'
        self._before = before
        self._content.before = before + b'"content":'
        self._reasoning.before = before + b'"reasoning_content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        self._pending: list[bytes] = []

    @property
    def terminal(self) -> bool:
        """True after the closing event was made."""
        return self._terminal is not None

    @property
    def outcome(self) -> TurnCompleted | TurnIncomplete | TurnFailed | None:
        """The closing event; None while the turn runs."""
        return self._terminal

    @property
    def usage(self) -> Usage | None:
        """The usage reported last; None when the lane reported none."""
        return self._usage

    def encode(self, events: Sequence[TurnEvent]) -> bytes:
        """Return the chunks of one batch; b"" when it shows nothing.

        Raises LocalProtocolError for an order that `wire.events` forbids.
        """
        for event in events:
            if type(event) is TextDelta or type(event) is ArgumentsDelta or type(event) is ReasoningDelta:
                if self._terminal is None:
                    self._delta(event)
            else:
                self._take(event)
        return self._frames()

    def finish(self) -> bytes:
        """Say that the lane is over; a turn without its closing event fails as interrupted. Idempotent."""
        return self.fail("stream_interrupted", "The answer ended before it was complete.")

    def fail(self, code: str, message: str) -> bytes:
        """End the turn as failed, unless it has ended. code: one of `errors`. Returns the last chunks."""
        if self._terminal is None:
            self._end(TurnFailed(code, message))
        return self._frames()

    def response(self) -> dict[str, Any]:
        """Return the `chat.completion` as it stands; its finish_reason is null until the end, and in a failed turn."""
        choice = {"index": 0, "message": self._message(), "logprobs": None, "finish_reason": self._finish_reason()}
        usage = encode_chat_usage(self._usage or Usage())
        return {"object": "chat.completion", **self._identity(), "choices": [choice], "usage": usage}

    def _identity(self) -> dict[str, Any]:
        request = self._request
        return {"id": self._id, "created": request.created_at, "model": request.model}

    def _message(self) -> dict[str, Any]:
        content = self._content.joined()
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self._reasoning.texts:
            message["reasoning_content"] = self._reasoning.joined()
        if self._calls:
            message["content"] = content or None
            message["tool_calls"] = [call.value() for call in self._calls]
        return message

    def _finish_reason(self) -> str | None:
        match self._terminal:
            case TurnCompleted():
                return "tool_calls" if self._calls else "stop"
            case TurnIncomplete(reason):
                return FINISH_REASON[reason]
        return None

    def _take(self, event: TurnEvent) -> None:
        if isinstance(event, TurnCompleted | TurnIncomplete | TurnFailed):
            if self._terminal is not None:
                raise LocalProtocolError("A turn ended twice.")
            self._end(event)
            return
        if self._terminal is not None:
            return
        match event:
            case ItemStarted(index, start):
                self._open_item(index, start)
            case ItemDone(index):
                self._close_item(index)
            case UsageReported(usage):
                self._usage = usage
            case TurnStarted():
                if self._started:
                    raise LocalProtocolError("A turn started twice.")
                self._start()
            case LimitsReported():
                pass
            case Relayed():
                raise LocalProtocolError("Frames to relay for a client that did not ask untranslated.")

    def _start(self) -> None:
        self._started = True
        self._emit(b'"role":"assistant","content":""')

    def _open_item(self, index: int, start: ItemStart) -> None:
        if not self._started:
            self._start()
        if index != self._items:
            raise LocalProtocolError(f"Item {index} opened where item {self._items} was due.")
        self._items += 1
        match start:
            case MessageStart():
                self._open[index] = self._content
            case ReasoningStart():
                self._open[index] = self._reasoning
            case FunctionCallStart() | CustomCallStart():
                self._open[index] = call = CallOutput(start)
                self._queue.append(call)
            case ToolSearchStart(call_id, arguments, name):
                # No chat client can declare it; a lane that gives it all the same is shown as what it is.
                self._open[index] = call = CallOutput(FunctionCallStart(call_id, name))
                call.waiting.append(_encode(arguments).decode())
                self._queue.append(call)

    def _close_item(self, index: int) -> None:
        item = self._open.pop(index, None)
        if item is None:
            raise LocalProtocolError(f"Item {index} is not open.")
        if isinstance(item, CallOutput):
            item.whole = True
            self._show_calls()

    def _delta(self, event: TextDelta | ArgumentsDelta | ReasoningDelta) -> None:
        item = self._open.get(event.index)
        if item is None or type(event) is not item.delta_type:
            raise LocalProtocolError(f"A {type(event).__name__} for item {event.index}, which is not open for it.")
        text = event.text
        if isinstance(item, CallOutput):
            item.waiting.append(clean_text(text))
            if item is self._queue[0]:
                self._show_calls()
        elif text:
            if item.speaker != event.index:
                text = SEPARATOR + text if item.texts else text
                item.speaker = event.index
            self._add_text(item, text)

    def _add_text(self, item: TextOutput, text: str) -> None:
        try:
            encoded = _encode(text)
        except UnicodeEncodeError:
            text = clean_text(text)
            encoded = _encode(text)
        item.texts.append(text)
        self._pending.append(item.before + encoded + self._after)

    def _show_calls(self) -> None:
        """Show what is due of the first call in the queue, and of the next one when it is whole."""
        while self._queue:
            call = self._queue[0]
            piece = call.due()
            if piece:
                self._add_arguments(call, piece)
            if not call.whole:
                return
            self._queue.popleft()

    def _add_arguments(self, call: CallOutput, piece: str) -> None:
        fields: dict[str, Any]
        if call.pieces:
            fields = {"index": len(self._calls) - 1, "function": {"arguments": piece}}
        else:
            function = {"name": call.name, "arguments": piece}
            fields = {"index": len(self._calls), "id": call.call_id, "type": "function", "function": function}
            self._calls.append(call)
        call.pieces.append(piece)
        self._emit(b'"tool_calls":[%b]' % _encode(fields))

    def _end(self, event: TurnCompleted | TurnIncomplete | TurnFailed) -> None:
        if not self._started:
            self._start()
        if isinstance(event, TurnCompleted):
            for index in list(self._open):
                self._close_item(index)
        self._terminal = event
        if isinstance(event, TurnFailed):
            self._pending.append(b"data: " + _encode({"error": _error(event)}) + b"\n\n")
            return
        reason = _encode(self._finish_reason())
        self._pending.append(self._before + b'},"logprobs":null,"finish_reason":' + reason + b"}]" + self._tail)
        if self._include_usage:
            usage = _encode(encode_chat_usage(self._usage or Usage()))
            self._pending.append(self._head + b'"choices":[],"usage":' + usage + b"}\n\n")

    def _emit(self, members: bytes) -> None:
        self._pending.append(self._before + members + self._after)

    def _frames(self) -> bytes:
        if not self._pending:
            return b""
        frames = b"".join(self._pending)
        self._pending.clear()
        return frames if self._terminal is None else frames + DONE_FRAME


def _error(failed: TurnFailed) -> dict[str, Any]:
    status = http_status(failed.code)
    kind = ERROR_TYPE.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": clean_text(failed.message), "type": kind, "code": failed.code, "param": None}
