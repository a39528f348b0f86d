"""The lane of raw open models: one turn becomes one upstream request and its answer becomes turn events.

Counterparts: `wire.codecs` translates (or not) as the model's profile says, `services.upstream` carries,
`policy.retry` decides what a failure means.

    request ─► slot of the gate ─► post ─► read ─► decode ─► batch … ─► terminal
                    ▲                        │ failed before the first event
                    └── wait, or next model ─┘

Rules that hold here:

1. A batch is what one upstream read produced. `TurnStarted` waits for the first batch that shows something, because
   until then the turn may still move to another attempt.
2. A failure before that batch is raised (the server turns it into an HTTP status); after it, it is `TurnFailed`.
3. When every attempt failed, the error of the model that was asked for stands, not the one of a fallback.
4. Closing this generator, or cancelling its task, closes the upstream connection and frees the slot at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final, Protocol

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import StreamInterrupted, Unavailable, UpstreamError, UpstreamProtocolError
from codex_oss.policy.retry import GiveUp, RetryPolicy, TryAgain, TryFallback, may_replace, next_attempt
from codex_oss.services.capacity import CapacityGate
from codex_oss.wire.codecs import CODECS, AnswerDecoder
from codex_oss.wire.events import LimitsReported, TurnEvent, TurnFailed, TurnStarted, UsageReported
from codex_oss.wire.items import TurnRequest

log = logging.getLogger(__name__)

MAX_PLAIN_BODY_BYTES: Final = 32 * 1024 * 1024
MAX_BLANK_BYTES: Final = 64 * 1024
BLANK: Final = b"\xef\xbb\xbf \t\r\n"
"""What may stand before the byte that shows whether a body is SSE, JSON or HTML (a BOM among it)."""
UNSHOWN: Final = (TurnStarted, UsageReported, LimitsReported, TurnFailed)
"""Events that alone show a client nothing yet."""
FINAL_CODES: Final = ("context_length_exceeded", "upstream_refused", "upstream_unauthorized", "model_not_found")
"""Codes of a `TurnFailed` that another attempt cannot change."""


class ChatAnswer(Protocol):
    """A 200 whose body arrives."""

    content_type: str

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, one read each."""


class ChatUpstream(Protocol):
    """Whoever carries bytes to a model server; `services.upstream.UpstreamClient`."""

    def post(
        self, profile: ModelProfile, body: bytes, *, stream: bool, path: str
    ) -> AbstractAsyncContextManager[ChatAnswer]:
        """Send one request to *path* below the base URL; leaving the context closes the connection."""


class OssLane:
    """A `Lane`.

    resolve: client name to profile. profiles: where the names of fallbacks are looked up. stream: ask upstreams to
    stream. total_s: longest turn, retries included. sleep, clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        *,
        resolve: Callable[[str], ModelProfile],
        profiles: Mapping[str, ModelProfile],
        upstream: ChatUpstream,
        gate: CapacityGate,
        retry: RetryPolicy,
        stream: bool = True,
        total_s: float = 900.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._resolve = resolve
        self._profiles = profiles
        self._upstream = upstream
        self._gate = gate
        self._retry = retry
        self._stream = stream
        self._total_s = total_s
        self._sleep = sleep

    async def __call__(self, request: TurnRequest) -> AsyncGenerator[Sequence[TurnEvent], None]:
        """Answer one turn. Raises UpstreamError before the first event only."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._total_s
        asked, *fallbacks = self._chain(request.model)
        profile, attempt, sent = asked, 0, 0
        asked_error: UpstreamError | None = None
        while True:
            attempt += 1
            try:
                async with aclosing(self._attempt(request, profile)) as batches:
                    async for batch in batches:
                        sent += len(batch)
                        yield batch
                return
            except UpstreamError as exc:
                if sent:
                    yield [TurnFailed(exc.code, exc.message)]
                    return
                asked_error = exc if profile is asked or asked_error is None else asked_error
                chosen = next_attempt(
                    exc, attempt=attempt, events_sent=sent, remaining_s=ends_at - loop.time(), policy=self._retry
                )
                log.warning("%s: attempt %d on %s failed: %s", request.response_id, attempt, profile.model, exc.code)
                if isinstance(chosen, GiveUp) or (isinstance(chosen, TryFallback) and not fallbacks):
                    raise asked_error from exc
            if isinstance(chosen, TryAgain):
                await self._sleep(chosen.delay_s)
            else:
                profile, attempt = fallbacks.pop(0), 0

    def _chain(self, model: str) -> list[ModelProfile]:
        """The profile that was asked for, then the fallbacks that are no downgrade."""
        asked = self._resolve(model)
        named = (self._profiles[name] for name in asked.fallbacks if name in self._profiles)
        return [asked, *(fallback for fallback in named if may_replace(asked, fallback))]

    async def _attempt(self, request: TurnRequest, profile: ModelProfile) -> AsyncGenerator[Sequence[TurnEvent], None]:
        """One request to one model: whole batches, the first of which begins with `TurnStarted`."""
        codec = CODECS[profile.api]
        body, decoder = codec.begin(request, profile, self._stream)
        async with (
            self._gate.slot(profile.name, profile.max_concurrency),
            self._upstream.post(profile, body, stream=self._stream, path=codec.path) as answer,
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
