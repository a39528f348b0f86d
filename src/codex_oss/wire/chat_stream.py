"""Decode the answer of a Chat Completions upstream into turn events.

Counterparts: `wire.chat_request` made the request and the `ToolNames`; `lanes.oss` feeds the bytes.

    bytes ─► SseDecoder ─► Chunk ─┬─ reasoning ─► reasoning item (or nothing, by quirk)
                                  ├─ content ───► ThinkSplitter ─► reasoning item, message item, calls (by quirk)
                                  ├─ tool_calls ► CallAssembler ─► call items
                                  ├─ finish_reason ► items close; the outcome is known but waits for the usage
                                  └─ [DONE] / end of bytes ► UsageReported, then one terminal event

Rules that hold here:

1. Nothing is raised: whatever an upstream sends ends as `TurnFailed`. The first batch begins with `TurnStarted`;
   a lane that sees a failure in it, before any item, may still retry.
2. Any chunking of the same bytes gives the same events, but for where the deltas of an item are cut: those that one
   read brought are one delta (decision 0020). Large reads are searched for runs first (`wire.chat_runs`).
3. Reasoning closes before text or calls open, text closes before calls open. Calls stay open until the answer is
   whole: on `length` they are left open, so that the encoder closes them as incomplete.
4. `finish_reason` does not end the turn, because the usage comes after it. After it only usage is read.
5. An answer without text and without a call is a failure, not an empty success.
6. A refusal is shown as message text: the vocabulary of `wire.events` knows one kind of text.
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import UpstreamError, UpstreamProtocolError
from codex_oss.wire.chat_calls import AssembledCall, CallAssembler
from codex_oss.wire.chat_chunks import CallDelta, Choice, Chunk, Delta, FunctionDelta, decode_chunk, decode_usage
from codex_oss.wire.chat_errors import classify_chat_error
from codex_oss.wire.chat_runs import Kind, RunPattern, learn_pattern
from codex_oss.wire.chat_text_calls import TextCallSplitter
from codex_oss.wire.chat_thinking import Piece, ThinkSplitter
from codex_oss.wire.chat_tools import ToolNames, search_arguments, unwrap_custom_arguments
from codex_oss.wire.events import (
    ArgumentsDelta,
    CustomCallStart,
    ItemDone,
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
    joined,
)
from codex_oss.wire.sse import SseDecoder, payloads_of, split_frames

BYTES_PER_TOKEN: Final = 4
"""For estimates where the upstream reports no usage."""
LARGE_READ_BYTES: Final = 4096
"""From here on a read is searched for runs: at a person's pace no read is that large."""
MAX_LESSONS: Final = 24
"""Chunks of one answer that are looked at to learn a pattern; an upstream whose chunks all differ costs no more."""
FIRST_BLOCK: Final = 4
"""Chunks decoded one by one before a run is looked for again; doubles each time."""
MAX_RUNS: Final = 16
"""Runs looked for in one read: each search passes over all of it, and short ones would make that quadratic."""

_CUT: Final = TurnIncomplete("max_output_tokens")
_FILTERED: Final = TurnIncomplete("content_filter")
_INTERRUPTED: Final = TurnFailed("stream_interrupted", "The model server's stream ended early.")
_NO_STREAM: Final = TurnFailed("upstream_protocol_error", "The model server did not answer with an event stream.")
FINISH_REASONS: Final[dict[str, TurnIncomplete | TurnFailed]] = {
    "length": _CUT,
    "max_tokens": _CUT,
    "model_length": _CUT,
    "content_filter": _FILTERED,
    "sensitive": _FILTERED,
    "error": TurnFailed("upstream_error", "The model server broke its answer off with an error."),
    "insufficient_system_resource": TurnFailed("upstream_unavailable", "The model server ran out of resources."),
}
"""Outcome by `finish_reason`; every other one (stop, tool_calls, function_call, eos …) means a whole answer."""


class ChatDecoder:
    """The decoder of one answer.

    request_bytes: size of the request body, for the estimate when no usage is reported.
    """

    def __init__(self, names: ToolNames, profile: ModelProfile, *, request_bytes: int = 0) -> None:
        self._names = names
        self._hide_reasoning = profile.quirks.reasoning == "hide"
        self._request_bytes = request_bytes
        self._sse = SseDecoder()
        self._splitter = ThinkSplitter()
        self._text_calls = TextCallSplitter() if profile.quirks.text_calls == "hermes" else None
        self._assembler = CallAssembler()
        self._fed = False
        self._started = False
        self._next_index = 0
        self._message: int | None = None
        self._reasoning: int | None = None
        self._answered = False
        self._outcome: TurnCompleted | TurnIncomplete | TurnFailed | None = None
        self._ended = False
        self._usage: Usage | None = None
        self._chars = 0
        self._patterns: list[RunPattern] = []
        self._lessons = 0

    @property
    def whole(self) -> bool:
        """True once the upstream said why it stopped: what comes after is at most the usage."""
        return self._outcome is not None

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
            if len(data) < LARGE_READ_BYTES:
                for payload in self._sse.feed(data):
                    self._take(payload, out)
            else:
                self._take_frames(self._sse.feed_frames(data), out)
        except UpstreamProtocolError as exc:
            self._fail(exc, out)
        return out if len(out) < 2 else joined(out)

    def finish(self) -> list[TurnEvent]:
        """Say that no more bytes come (end, cut or time-out); return the closing events. Idempotent."""
        out: list[TurnEvent] = []
        if self._ended:
            return out
        try:
            for payload in self._sse.finish():
                self._take(payload, out)
        except UpstreamProtocolError as exc:
            self._fail(exc, out)
        if not self._ended:
            if self._outcome is None:
                self._settle(_INTERRUPTED if self._started or not self._fed else _NO_STREAM, out)
            self._end(out)
        return joined(out)

    def take_completion(self, body: bytes) -> list[TurnEvent]:
        """Take a whole answer, as an upstream sends it that does not stream, and end."""
        out: list[TurnEvent] = []
        try:
            self._take_chunk(decode_chunk(body), out)
        except UpstreamProtocolError as exc:
            self._fail(exc, out)
        if not self._ended:
            self._take_done(out)
        return joined(out)

    def _take_frames(self, frames: bytes, out: list[TurnEvent]) -> None:
        """Take the frames of a large read: runs in one piece, what is between them in blocks that grow."""
        block, runs = FIRST_BLOCK, 0
        while frames and not self._ended:
            found = self._cut_run(frames) if runs < MAX_RUNS else None
            if found is not None:
                block, runs = FIRST_BLOCK, runs + 1
                delta, frames = found
                self._take_delta(delta, out)
                continue
            first, frames = split_frames(frames, block)
            block *= 2
            payloads = payloads_of(first)
            for payload in payloads:
                self._take(payload, out)
            if payloads and frames:
                self._learn(payloads[-1])

    def _cut_run(self, frames: bytes) -> tuple[Delta, bytes] | None:
        """The run at the front, as one delta, and what follows; None unless it only makes an open item longer."""
        if self._outcome is not None:
            return None
        for pattern in self._patterns:
            if (found := pattern.cut(frames)) is not None:
                text, rest = found
                return (pattern.delta(text), rest) if self._lengthens(pattern.kind) else None
        return None

    def _lengthens(self, kind: Kind) -> bool:
        if kind == "content":
            return self._message is not None and self._splitter.plain
        return kind == "arguments" or self._reasoning is not None

    def _learn(self, payload: bytes) -> None:
        if self._lessons >= MAX_LESSONS:
            return
        self._lessons += 1
        pattern = learn_pattern(payload)
        if pattern is not None and pattern not in self._patterns:
            self._patterns = [pattern, *(known for known in self._patterns if known.kind != pattern.kind)]

    def _take(self, payload: bytes, out: list[TurnEvent]) -> None:
        if self._ended:
            return
        if payload.startswith(b"[DONE]"):
            self._take_done(out)
        else:
            self._take_chunk(decode_chunk(payload), out)

    def _take_chunk(self, chunk: Chunk, out: list[TurnEvent]) -> None:
        if not self._started:
            self._start(chunk.model or "", out)
        if chunk.error or chunk.object == "error":
            if self._outcome is None:
                self._settle(classify_chat_error(chunk.error or {"message": chunk.message}), out)
                self._end(out)
            return
        if chunk.usage:
            self._usage = decode_usage(chunk.usage) or self._usage
        for choice in chunk.choices or ():
            if not choice.index:
                self._take_choice(choice, out)

    def _take_choice(self, choice: Choice, out: list[TurnEvent]) -> None:
        if choice.usage:
            self._usage = decode_usage(choice.usage) or self._usage
        if self._outcome is not None:
            return
        # A whole message instead of a delta: an answer that does not stream, or a server that streams it in one.
        delta = choice.delta or (None if self._answered else choice.message)
        if delta is not None:
            self._take_delta(delta, out)
        if choice.finish_reason:
            self._take_finish(choice.finish_reason, out)

    def _take_delta(self, delta: Delta, out: list[TurnEvent]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self._think(thought, out)
        text = delta.content
        if text:
            if self._splitter.plain:
                self._write(text, out)
            else:
                self._split(self._splitter.feed(text), out)
        if delta.refusal:
            self._say(delta.refusal, out)
        if delta.tool_calls:
            for piece in delta.tool_calls:
                self._call(piece, out)
        elif delta.function_call is not None:
            self._call(CallDelta(0, None, delta.function_call), out)

    def _split(self, pieces: list[Piece], out: list[TurnEvent]) -> None:
        for kind, text in pieces:
            if kind == "thinking":
                self._think(text, out)
            else:
                self._write(text, out)

    def _write(self, text: str, out: list[TurnEvent]) -> None:
        """Take text of the answer, in which calls may stand when the profile says so."""
        if self._text_calls is None:
            self._say(text, out)
        else:
            self._take_text_pieces(self._text_calls.feed(text), out)

    def _take_text_pieces(self, pieces: list[str | FunctionDelta], out: list[TurnEvent]) -> None:
        for piece in pieces:
            if isinstance(piece, str):
                self._say(piece, out)
            else:
                self._call(CallDelta(None, None, piece), out)

    def _end_text(self, out: list[TurnEvent]) -> None:
        self._split(self._splitter.finish(), out)
        if self._text_calls is not None:
            self._take_text_pieces(self._text_calls.finish(), out)

    def _think(self, text: str, out: list[TurnEvent]) -> None:
        self._chars += len(text)
        if self._hide_reasoning or (self._reasoning is None and not text.strip()):
            return
        if self._reasoning is None:
            self._close_message(out)
            self._reasoning = self._open_index()
            out.append(ItemStarted(self._reasoning, ReasoningStart()))
        out.append(ReasoningDelta(self._reasoning, text))

    def _say(self, text: str, out: list[TurnEvent]) -> None:
        self._chars += len(text)
        if self._message is None:
            if not text.strip():
                # Blanks between or after calls are no message.
                return
            self._close_reasoning(out)
            self._message = self._open_index()
            self._answered = True
            out.append(ItemStarted(self._message, MessageStart()))
        out.append(TextDelta(self._message, text))

    def _call(self, piece: CallDelta, out: list[TurnEvent]) -> None:
        self._split(self._splitter.finish(), out)
        call = self._assembler.call_for(piece)
        text = (piece.function.arguments if piece.function else None) or ""
        if text:
            call.pieces.append(text)
            self._chars += len(text)
        if call.index is None:
            if not call.name or call.search:
                return
            self._open_call(call, out)
            text = call.arguments()
        if text and call.custom is None and call.index is not None:
            out.append(ArgumentsDelta(self._index_of(call), text))

    def _open_call(self, call: AssembledCall, out: list[TurnEvent]) -> None:
        self._close_reasoning(out)
        self._close_message(out)
        call.call_id = self._names.take_call_id(call.upstream_id)
        start = self._names.start_of(call.name, call.call_id)
        self._answered = True
        if isinstance(start, ToolSearchStart):
            call.search = True
            return
        call.index = self._open_index()
        call.custom = start if isinstance(start, CustomCallStart) else None
        out.append(ItemStarted(call.index, start))

    def _take_finish(self, reason: str, out: list[TurnEvent]) -> None:
        self._end_text(out)
        self._settle(FINISH_REASONS.get(reason, TurnCompleted()), out)

    def _take_done(self, out: list[TurnEvent]) -> None:
        """End at `[DONE]`; without a finish_reason the answer counts as whole if its calls are."""
        if not self._started:
            self._start("", out)
        if self._outcome is None:
            self._end_text(out)
            if all(call.is_whole() for call in self._assembler.calls):
                self._settle(TurnCompleted(), out)
            else:
                self._settle(TurnFailed("stream_interrupted", "The model server ended within a tool call."), out)
        self._end(out)

    def _settle(self, outcome: TurnCompleted | TurnIncomplete | TurnFailed, out: list[TurnEvent]) -> None:
        """Fix the outcome; a whole answer closes its items, any other leaves them to the encoder."""
        if isinstance(outcome, TurnCompleted):
            if any(call.index is None and not call.search for call in self._assembler.calls):
                outcome = TurnFailed("upstream_protocol_error", "The model server sent a tool call without a name.")
            elif not self._answered:
                outcome = TurnFailed("upstream_protocol_error", "The model server sent an empty answer.")
            else:
                self._close_all(out)
        self._outcome = outcome

    def _end(self, out: list[TurnEvent]) -> None:
        if not self._started:
            self._start("", out)
        assert self._outcome is not None
        self._ended = True
        out.append(UsageReported(self._usage or self._estimate()))
        out.append(self._outcome)

    def _fail(self, error: UpstreamError, out: list[TurnEvent]) -> None:
        if self._ended:
            return
        if self._outcome is None:
            self._outcome = TurnFailed(error.code, error.message)
        self._end(out)

    def _start(self, model: str, out: list[TurnEvent]) -> None:
        self._started = True
        out.append(TurnStarted(model))

    def _open_index(self) -> int:
        index = self._next_index
        self._next_index += 1
        return index

    def _index_of(self, call: AssembledCall) -> int:
        assert call.index is not None
        return call.index

    def _close_reasoning(self, out: list[TurnEvent]) -> None:
        if self._reasoning is not None:
            out.append(ItemDone(self._reasoning))
            self._reasoning = None

    def _close_message(self, out: list[TurnEvent]) -> None:
        if self._message is not None:
            out.append(ItemDone(self._message))
            self._message = None

    def _close_all(self, out: list[TurnEvent]) -> None:
        self._close_reasoning(out)
        self._close_message(out)
        for call in self._assembler.calls:
            if call.search:
                call.index = self._open_index()
                out.append(ItemStarted(call.index, ToolSearchStart(call.call_id, search_arguments(call.arguments()))))
            index = self._index_of(call)
            if call.custom is not None:
                out.append(ArgumentsDelta(index, unwrap_custom_arguments(call.arguments())))
            out.append(ItemDone(index))

    def _estimate(self) -> Usage:
        return Usage(
            input_tokens=self._request_bytes // BYTES_PER_TOKEN,
            output_tokens=-(-self._chars // BYTES_PER_TOKEN),
            estimated=True,
        )


def decode_chat_completion(
    body: bytes, names: ToolNames, profile: ModelProfile, *, request_bytes: int = 0
) -> list[TurnEvent]:
    """Decode a whole JSON answer, from an upstream that does not stream although it was asked to.

    Returns the same events as the same answer streamed; the last one is terminal. Never raises.
    """
    return ChatDecoder(names, profile, request_bytes=request_bytes).take_completion(body)
