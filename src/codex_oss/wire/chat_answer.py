"""The answer of a Chat Completions upstream, chunk by chunk: its items, its usage, its outcome.

Counterparts: `wire.chat_stream` reads the chunks out of bytes; `wire.chat_calls`, `wire.chat_thinking` and
`wire.chat_text_calls` tell what a piece belongs to.

    Chunk ─┬─ reasoning ─► reasoning item (or nothing, by quirk)
           ├─ content ───► ThinkSplitter ─► reasoning item, message item, calls (by quirk)
           ├─ tool_calls ► CallAssembler ─► call items
           ├─ finish_reason ► items close; the outcome is known but waits for the usage
           └─ the end ───► UsageReported, then one terminal event

Rules that hold here:

1. Reasoning closes before text or calls open, text closes before calls open. Calls stay open until the answer is
   whole: on `length` they are left open, so that the encoder closes them as incomplete.
2. `finish_reason` does not end the turn, because the usage comes after it. After it only usage is read.
3. An answer without text and without a call is a failure, not an empty success.
4. A refusal is shown as message text: the vocabulary of `wire.events` knows one kind of text.
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import UpstreamError
from codex_oss.wire.chat_calls import AssembledCall, CallAssembler
from codex_oss.wire.chat_chunks import CallDelta, Chunk, Delta, FunctionDelta, decode_usage
from codex_oss.wire.chat_errors import classify_chat_error
from codex_oss.wire.chat_runs import Kind
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
)

BYTES_PER_TOKEN: Final = 4
"""For estimates where the upstream reports no usage."""

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


class ChatAnswer:
    """One answer so far. Events are appended to the list that each method is given.

    request_bytes: size of the request body, for the estimate when no usage is reported.
    """

    def __init__(self, names: ToolNames, profile: ModelProfile, *, request_bytes: int = 0) -> None:
        self.outcome: TurnCompleted | TurnIncomplete | TurnFailed | None = None
        """Known once the upstream said why it stopped: what comes after is at most the usage."""
        self.ended = False
        """True after the terminal event."""
        self._names = names
        self._hide_reasoning = profile.quirks.reasoning == "hide"
        self._request_bytes = request_bytes
        self._splitter = ThinkSplitter()
        self._text_calls = TextCallSplitter() if profile.quirks.text_calls == "hermes" else None
        self._assembler = CallAssembler()
        self._started = False
        self._next_index = 0
        self._message: int | None = None
        self._reasoning: int | None = None
        self._answered = False
        self._usage: Usage | None = None
        self._chars = 0

    def take(self, chunk: Chunk, out: list[TurnEvent]) -> None:
        """Take one chunk."""
        if not self._started:
            self._start(chunk.model or "", out)
        if chunk.error or chunk.object == "error":
            if self.outcome is None:
                self._settle(classify_chat_error(chunk.error or {"message": chunk.message}), out)
                self._end(out)
            return
        if chunk.usage:
            self._usage = decode_usage(chunk.usage) or self._usage
        for choice in chunk.choices or ():
            if choice.index:
                continue
            if choice.usage:
                self._usage = decode_usage(choice.usage) or self._usage
            if self.outcome is not None:
                continue
            # A whole message instead of a delta: an answer that does not stream, or a server that streams it in one.
            delta = choice.delta or (None if self._answered else choice.message)
            if delta is not None:
                self.take_delta(delta, out)
            if choice.finish_reason:
                self._take_finish(choice.finish_reason, out)

    def take_delta(self, delta: Delta, out: list[TurnEvent]) -> None:
        """Take what a chunk adds, or what a run of chunks adds together."""
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self._think(thought, out)
        text = delta.content
        if text:
            if not self._splitter.plain:
                self._split(self._splitter.feed(text), out)
            elif self._text_calls is None:
                self._say(text, out)
            else:
                self._write(text, out)
        if delta.refusal:
            self._say(delta.refusal, out)
        if delta.tool_calls:
            for piece in delta.tool_calls:
                self._call(piece, out)
        elif delta.function_call is not None:
            self._call(CallDelta(0, None, delta.function_call), out)

    def lengthens(self, kind: Kind) -> bool:
        """Whether a delta of this kind only makes an open item longer."""
        if kind == "content":
            return self._message is not None and self._splitter.plain
        return kind == "arguments" or self._reasoning is not None

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

    def take_done(self, out: list[TurnEvent]) -> None:
        """End at `[DONE]`; without a finish_reason the answer counts as whole if its calls are."""
        if not self._started:
            self._start("", out)
        if self.outcome is None:
            self._end_text(out)
            if all(call.is_whole() for call in self._assembler.calls):
                self._settle(TurnCompleted(), out)
            else:
                self._settle(TurnFailed("stream_interrupted", "The model server ended within a tool call."), out)
        self._end(out)

    def break_off(self, out: list[TurnEvent], *, fed: bool) -> None:
        """End because no more bytes come. fed: whether there were any at all."""
        if self.outcome is None:
            self._settle(_INTERRUPTED if self._started or not fed else _NO_STREAM, out)
        self._end(out)

    def fail(self, error: UpstreamError, out: list[TurnEvent]) -> None:
        """End because what came cannot be read; after the terminal event nothing."""
        if self.ended:
            return
        if self.outcome is None:
            self.outcome = TurnFailed(error.code, error.message)
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
        self.outcome = outcome

    def _end(self, out: list[TurnEvent]) -> None:
        if not self._started:
            self._start("", out)
        assert self.outcome is not None
        self.ended = True
        out.append(UsageReported(self._usage or self._estimate()))
        out.append(self.outcome)

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
