"""One request to one open model, and its answer as turn events: what `lanes.oss` may do several times for a turn.

Counterparts: `wire.codecs` translates (or not) as the model's profile says, `services.upstream` carries.

    encode ─► post ─► first bytes: SSE, one JSON object, or something else? ─► decode ─► batch …
                                                                                  └─ one delta ─► sink, if there is one

Rules that hold here:

1. A batch is what one upstream read produced. `TurnStarted` waits for the first batch that shows something, because
   until then the turn may still move to another attempt: whatever fails before is raised.
2. Leaving the context closes the upstream connection at once.
3. With a sink, a read that brought one delta is shown within that read (decision 0032). Everything else waits until
   it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import StreamInterrupted, Unavailable, UpstreamError, UpstreamProtocolError
from codex_oss.wire.codecs import CODECS, AnswerDecoder
from codex_oss.wire.events import (
    DELTAS,
    DeltaSink,
    LimitsReported,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    UsageReported,
)
from codex_oss.wire.items import TurnRequest

MAX_PLAIN_BODY_BYTES: Final = 32 * 1024 * 1024
MAX_BLANK_BYTES: Final = 64 * 1024
BLANK: Final = b"\xef\xbb\xbf \t\r\n"
"""What may stand before the byte that shows whether a body is SSE, JSON or HTML (a BOM among it)."""
UNSHOWN: Final = (TurnStarted, UsageReported, LimitsReported, TurnFailed)
"""Events that alone show a client nothing yet."""
FINAL_CODES: Final = (
    "context_length_exceeded",
    "quota_exhausted",
    "upstream_refused",
    "upstream_unauthorized",
    "model_not_found",
)
"""Codes of a `TurnFailed` that another attempt cannot change."""


class ChatAnswer(Protocol):
    """A 200 whose body arrives."""

    content_type: str

    async def read(self) -> bytes:
        """What arrived of the body, at least one byte; b"" at its end. Raises Unavailable or StreamInterrupted."""

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        """Hand each chunk to *take* as it arrives, until that returns False or nothing comes any more; see `read`."""


class ChatUpstream(Protocol):
    """Whoever carries bytes to a model server; `services.upstream.UpstreamClient`."""

    def post(
        self, profile: ModelProfile, body: bytes, *, stream: bool, path: str, total_s: float | None = None
    ) -> AbstractAsyncContextManager[ChatAnswer]:
        """Send one request to *path* below the base URL; leaving the context closes the connection.

        total_s: what is left of the turn's time.
        """


class ModelAttempts:
    """Asks models. stream: whether upstreams are asked to stream."""

    def __init__(self, upstream: ChatUpstream, *, stream: bool = True) -> None:
        self._upstream = upstream
        self._stream = stream

    def attempt(self, request: TurnRequest, profile: ModelProfile, left_s: float) -> Asking:
        """One request to one model, to be entered; then it raises UpstreamError. left_s: of the turn's time."""
        codec = CODECS[profile.api]
        body, decoder = codec.begin(request, profile, self._stream)
        # Nobody here holds the body: hundreds of streams would each keep a whole conversation until their end.
        post = self._upstream.post(profile, body, stream=self._stream, path=codec.path, total_s=left_s)
        return Asking(post, decoder, profile)


class Asking:
    """An attempt from the request to the end of its answer; leaving it closes the upstream connection at once."""

    __slots__ = ("_decoder", "_post", "_profile")

    def __init__(
        self, post: AbstractAsyncContextManager[ChatAnswer], decoder: AnswerDecoder, profile: ModelProfile
    ) -> None:
        self._post = post
        self._decoder = decoder
        self._profile = profile

    async def __aenter__(self) -> Attempt:
        return Attempt(await self._post.__aenter__(), self._decoder, self._profile)

    async def __aexit__(self, *failure: Any) -> bool | None:
        return await self._post.__aexit__(*failure)


class Attempt:
    """The answer of one model, batch by batch."""

    def __init__(self, answer: ChatAnswer, decoder: AnswerDecoder, profile: ModelProfile) -> None:
        self._answer = answer
        self._decoder = decoder
        self._profile = profile
        self._begun = False

    async def next(self, sink: DeltaSink | None = None) -> Sequence[TurnEvent]:
        """The next batch, empty at the end; the first one begins with `TurnStarted`. sink: shows single deltas.

        Raises UpstreamError for whatever fails before the first batch, and for a connection that breaks later.
        """
        if not self._begun:
            return await self._first()
        if sink is not None and (batch := await self._through(sink)):
            return batch
        return await self._read()

    async def _first(self) -> Sequence[TurnEvent]:
        """The batches until something is shown, as one."""
        held: list[TurnEvent] = []
        events = await self._read_first()
        while events:
            held += (event for event in events if not isinstance(event, TurnStarted))
            if not all(isinstance(event, UNSHOWN) for event in held):
                self._begun = True
                return [TurnStarted(self._profile.model), *held]
            _raise_failure(held)
            events = await self._read()
        raise UpstreamProtocolError("The upstream ended its answer without any content.")

    async def _read_first(self) -> list[TurnEvent]:
        """The first batch, whatever the Content-Type of the answer claims."""
        first = await self._first_bytes()
        kind = first.lstrip(BLANK)[:1]
        if kind == b"{":
            return self._decoder.take_completion(await self._whole(first))
        if kind == b"<" or (self._answer.content_type == "application/json" and kind):
            what = "an HTML page" if kind == b"<" else "something else than a JSON object"
            raise UpstreamProtocolError(
                f"The upstream answered with {what} instead of a model's answer.",
                hint=f"Check base_url of profile {self._profile.name!r}; another program may answer there.",
            )
        return self._decoder.feed(first) or await self._read()

    async def _read(self) -> list[TurnEvent]:
        """The events of the next read that has any; empty at the end.

        A connection that breaks after the upstream said why it stopped cost only the usage: the turn is whole.
        """
        try:
            while chunk := await self._answer.read():
                if events := self._decoder.feed(chunk):
                    return events
        except (StreamInterrupted, Unavailable):
            if not self._decoder.whole:
                raise
        return self._decoder.finish()

    async def _through(self, sink: DeltaSink) -> Sequence[TurnEvent]:
        """Let single deltas through to *sink*; the first batch that is none, or that it does not take."""
        kept: Sequence[TurnEvent] = ()
        feed = self._decoder.feed

        def take(chunk: bytes) -> bool:
            nonlocal kept
            events = feed(chunk)
            if not events or (len(events) == 1 and type(events[0]) in DELTAS and sink(events)):
                return True
            kept = events
            return False

        await self._answer.pump(take)
        return kept

    async def _first_bytes(self) -> bytes:
        """The first read that shows what the body is; what else was read is part of it."""
        seen = b""
        while chunk := await self._answer.read():
            seen += chunk
            if seen.lstrip(BLANK) or len(seen) > MAX_BLANK_BYTES:
                break
        return seen

    async def _whole(self, first: bytes) -> bytes:
        parts, size = [first], len(first)
        while chunk := await self._answer.read():
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_PLAIN_BODY_BYTES:
                raise UpstreamProtocolError("The upstream's answer is too large.")
        return b"".join(parts)


def _raise_failure(events: Sequence[TurnEvent]) -> None:
    """Turn a failure that a client has not seen yet into an error, so that it can be tried again."""
    for event in events:
        if isinstance(event, TurnFailed):
            error = UpstreamError(event.message, code=event.code)
            error.retryable = event.code not in FINAL_CODES
            raise error
