"""Decode the answer of a Chat Completions upstream into turn events.

Counterparts: `wire.chat_request` made the request and the `ToolNames`; `lanes.oss` feeds the bytes; `wire.chat_answer`
says what each chunk means.

    bytes ─► SseDecoder ─┬─► Chunk ──────────────────────► ChatAnswer ─► TurnEvent …
                         └─► run of chunks (large reads) ─► one delta ─┘

Rules that hold here:

1. Nothing is raised: whatever an upstream sends ends as `TurnFailed`. The first batch begins with `TurnStarted`;
   a lane that sees a failure in it, before any item, may still retry.
2. Any chunking of the same bytes gives the same events, but for where the deltas of an item are cut: those that one
   read brought are one delta (decision 0020). Large reads are searched for runs first (`wire.chat_runs`).
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import UpstreamProtocolError
from codex_oss.wire.chat_answer import ChatAnswer
from codex_oss.wire.chat_chunks import Delta, decode_chunk
from codex_oss.wire.chat_runs import RunPattern, learn_pattern
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.events import TurnEvent, joined
from codex_oss.wire.sse import SseDecoder, payloads_of, split_frames

LARGE_READ_BYTES: Final = 4096
"""From here on a read is searched for runs: at a person's pace no read is that large."""
MAX_LESSONS: Final = 24
"""Chunks of one answer that are looked at to learn a pattern; an upstream whose chunks all differ costs no more."""
FIRST_BLOCK: Final = 4
"""Chunks decoded one by one before a run is looked for again; doubles each time."""
MAX_RUNS: Final = 16
"""Runs looked for in one read: each search passes over all of it, and short ones would make that quadratic."""


class ChatDecoder:
    """The decoder of one answer.

    request_bytes: size of the request body, for the estimate when no usage is reported.
    """

    def __init__(self, names: ToolNames, profile: ModelProfile, *, request_bytes: int = 0) -> None:
        self._answer = ChatAnswer(names, profile, request_bytes=request_bytes)
        self._sse = SseDecoder()
        self._fed = False
        self._patterns: list[RunPattern] = []
        self._lessons = 0

    @property
    def whole(self) -> bool:
        """True once the upstream said why it stopped: what comes after is at most the usage."""
        return self._answer.outcome is not None

    @property
    def ended(self) -> bool:
        """True after the terminal event."""
        return self._answer.ended

    def feed(self, data: bytes) -> list[TurnEvent]:
        """Take one read of any size; return its events, an empty list after the end."""
        out: list[TurnEvent] = []
        if self._answer.ended:
            return out
        if data:
            self._fed = True
        try:
            if len(data) < LARGE_READ_BYTES:
                for payload in self._sse.feed(data):
                    # At a person's pace this is the way of each token, and each call on it is felt.
                    if payload.startswith(b"{") and not self._answer.ended:
                        self._answer.take(decode_chunk(payload), out)
                    else:
                        self._take(payload, out)
            else:
                self._take_frames(self._sse.feed_frames(data), out)
        except UpstreamProtocolError as exc:
            self._answer.fail(exc, out)
        return out if len(out) < 2 else joined(out)

    def finish(self) -> list[TurnEvent]:
        """Say that no more bytes come (end, cut or time-out); return the closing events. Idempotent."""
        out: list[TurnEvent] = []
        if self._answer.ended:
            return out
        try:
            for payload in self._sse.finish():
                self._take(payload, out)
        except UpstreamProtocolError as exc:
            self._answer.fail(exc, out)
        if not self._answer.ended:
            self._answer.break_off(out, fed=self._fed)
        return joined(out)

    def take_completion(self, body: bytes) -> list[TurnEvent]:
        """Take a whole answer, as an upstream sends it that does not stream, and end."""
        out: list[TurnEvent] = []
        try:
            self._answer.take(decode_chunk(body), out)
        except UpstreamProtocolError as exc:
            self._answer.fail(exc, out)
        if not self._answer.ended:
            self._answer.take_done(out)
        return joined(out)

    def _take_frames(self, frames: bytes, out: list[TurnEvent]) -> None:
        """Take the frames of a large read: runs in one piece, what is between them in blocks that grow."""
        block, runs = FIRST_BLOCK, 0
        while frames and not self._answer.ended:
            found = self._cut_run(frames) if runs < MAX_RUNS else None
            if found is not None:
                block, runs = FIRST_BLOCK, runs + 1
                delta, frames = found
                self._answer.take_delta(delta, out)
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
        if self._answer.outcome is not None:
            return None
        for pattern in self._patterns:
            if (found := pattern.cut(frames)) is not None:
                text, rest = found
                return (pattern.delta(text), rest) if self._answer.lengthens(pattern.kind) else None
        return None

    def _learn(self, payload: bytes) -> None:
        if self._lessons >= MAX_LESSONS:
            return
        self._lessons += 1
        pattern = learn_pattern(payload)
        if pattern is not None and pattern not in self._patterns:
            self._patterns = [pattern, *(known for known in self._patterns if known.kind != pattern.kind)]

    def _take(self, payload: bytes, out: list[TurnEvent]) -> None:
        if self._answer.ended:
            return
        if payload.startswith(b"[DONE]"):
            self._answer.take_done(out)
        else:
            self._answer.take(decode_chunk(payload), out)


def decode_chat_completion(
    body: bytes, names: ToolNames, profile: ModelProfile, *, request_bytes: int = 0
) -> list[TurnEvent]:
    """Decode a whole JSON answer, from an upstream that does not stream although it was asked to.

    Returns the same events as the same answer streamed; the last one is terminal. Never raises.
    """
    return ChatDecoder(names, profile, request_bytes=request_bytes).take_completion(body)
