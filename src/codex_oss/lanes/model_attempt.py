"""One request to one open model, and its answer as turn events: what `lanes.oss` may do several times for a turn.

Counterparts: `wire.codecs` translates (or not) as the model's profile says, `services.upstream` carries.

    encode ─► post ─► first bytes: SSE, one JSON object, or something else? ─► decode ─► batch …

Rules that hold here:

1. A batch is what one upstream read produced. `TurnStarted` waits for the first batch that shows something, because
   until then the turn may still move to another attempt: whatever fails before is raised.
2. Leaving the generator closes the upstream connection at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final, Protocol

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import StreamInterrupted, Unavailable, UpstreamError, UpstreamProtocolError
from codex_oss.wire.codecs import CODECS, AnswerDecoder
from codex_oss.wire.events import LimitsReported, TurnEvent, TurnFailed, TurnStarted, UsageReported
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

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, one read each."""


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

    async def attempt(
        self, request: TurnRequest, profile: ModelProfile, ends_at: float
    ) -> AsyncGenerator[Sequence[TurnEvent], None]:
        """One request to one model: whole batches, the first of which begins with `TurnStarted`.

        ends_at: on the loop's clock. Raises UpstreamError for whatever fails before the first batch, and for a
        connection that breaks later.
        """
        codec = CODECS[profile.api]
        body, decoder = codec.begin(request, profile, self._stream)
        left_s = ends_at - asyncio.get_running_loop().time()
        async with (
            self._upstream.post(profile, body, stream=self._stream, path=codec.path, total_s=left_s) as answer,
            aclosing(answer.chunks()) as chunks,
            aclosing(_decoded(chunks, answer.content_type, decoder, profile)) as decoded,
        ):
            del body  # sent; hundreds of streams would each hold a whole conversation until their end
            begun = False
            held: list[TurnEvent] = []
            async for events in decoded:
                if begun:
                    yield events
                    continue
                held += (event for event in events if not isinstance(event, TurnStarted))
                if all(isinstance(event, UNSHOWN) for event in held):
                    _raise_failure(held)
                    continue
                begun = True
                yield [TurnStarted(profile.model), *held]
            if not begun:
                raise UpstreamProtocolError("The upstream ended its answer without any content.")


async def _decoded(
    body: AsyncIterator[bytes], content_type: str, decoder: AnswerDecoder, profile: ModelProfile
) -> AsyncGenerator[list[TurnEvent], None]:
    """The events of an answer, one non-empty list a read, whatever its Content-Type claims.

    A connection that breaks after the upstream said why it stopped cost only the usage: the turn is whole.
    """
    first = await _first_bytes(body)
    kind = first.lstrip(BLANK)[:1]
    try:
        if kind == b"{":
            yield decoder.take_completion(await _rest(first, body))
            return
        if kind == b"<" or (content_type == "application/json" and kind):
            what = "an HTML page" if kind == b"<" else "something else than a JSON object"
            raise UpstreamProtocolError(
                f"The upstream answered with {what} instead of a model's answer.",
                hint=f"Check base_url of profile {profile.name!r}; another program may answer there.",
            )
        if events := decoder.feed(first):
            yield events
        async for chunk in body:
            if events := decoder.feed(chunk):
                yield events
    except (StreamInterrupted, Unavailable):
        if not decoder.whole:
            raise
    if events := decoder.finish():
        yield events


async def _first_bytes(body: AsyncIterator[bytes]) -> bytes:
    """The first read that shows what the body is; what else was read is part of it."""
    seen = b""
    async for chunk in body:
        seen += chunk
        if seen.lstrip(BLANK) or len(seen) > MAX_BLANK_BYTES:
            break
    return seen


async def _rest(first: bytes, body: AsyncIterator[bytes]) -> bytes:
    parts, size = [first], len(first)
    async for chunk in body:
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
