"""The lane of raw open models: one turn becomes one upstream request and its answer becomes turn events.

Counterparts: `lanes.model_attempt` asks one model, `policy.retry` decides what a failure means, `policy.breaker`
whether a model is asked at all, `policy.deviation` words who answers instead, `policy.session_guard` remembers what
clients repeat.

    request ─► circuit closed? ─► slot of the gate ─► post ─► read ─► decode ─► batch … ─► terminal
                    ▲                                   │ failed before the first event
                    └─────── wait, or next model ───────┘

Rules that hold here:

1. Until something was shown (`lanes.model_attempt`) the turn may move to another attempt, afterwards never.
2. A failure before that is raised (the server turns it into an HTTP status); after it, it is `TurnFailed`.
3. When every attempt failed, the error of the model that was asked for stands, not the one of a fallback.
4. Closing this generator, or cancelling its task, closes the upstream connection and frees the slot at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import (
    CircuitOpen,
    UpstreamError,
    UpstreamRefused,
)
from codex_oss.lanes.model_attempt import ChatUpstream, ModelAttempts
from codex_oss.policy.breaker import BreakerPolicy, Breakers, Outcome, Refused, Ticket, outcome_of
from codex_oss.policy.deviation import INITIAL, RETRIED, fallback_reason, word_deviation
from codex_oss.policy.retry import GiveUp, RetryPolicy, TryAgain, may_replace, next_attempt
from codex_oss.policy.session_guard import SessionGuard, session_key
from codex_oss.services.capacity import CapacityGate
from codex_oss.wire.events import Batches, DeltaSink, TurnEvent, TurnFailed, TurnStarted
from codex_oss.wire.items import TurnRequest

log = logging.getLogger(__name__)

REPEATED_CODES: Final = (
    "rate_limited",
    "capacity_exceeded",
    "stream_interrupted",
    "upstream_error",
    "upstream_protocol_error",
    "upstream_unavailable",
)
"""Codes of failures that clients repeat by themselves."""


@dataclass(slots=True)
class _Course:
    """Where one turn stands: which model is tried, why, and what went wrong so far."""

    request: TurnRequest
    session: str
    repeat: bool
    """The client repeats a turn that just failed."""
    ends_at: float
    asked: ModelProfile
    profile: ModelProfile
    fallbacks: list[ModelProfile]
    ticket: Ticket | None = None
    """The leave to try this model; None before and after."""
    probe: bool = False
    attempt: int = 0
    """On this model."""
    attempts: int = 0
    """Requests on all models."""
    sent: int = 0
    queued_s: float = 0.0
    asked_error: UpstreamError | None = None
    """Why the model that was asked for does not answer."""

    @property
    def reason(self) -> str:
        """Why the model that is tried now is tried; a key of `policy.deviation.REASONS`."""
        if self.profile is self.asked or self.asked_error is None:
            return INITIAL if self.attempts <= 1 else RETRIED
        return fallback_reason(self.asked_error.code)


class OssLane:
    """A `Lane`.

    resolve: client name to profile. profiles: where the names of fallbacks are looked up. stream: ask upstreams to
    stream. total_s: longest turn, retries included. redact: takes secrets out of what upstreams say about failures.
    sleep: seconds; replaced in tests.
    """

    def __init__(
        self,
        *,
        resolve: Callable[[str], ModelProfile],
        profiles: Mapping[str, ModelProfile],
        upstream: ChatUpstream,
        gate: CapacityGate,
        retry: RetryPolicy,
        breakers: Breakers | None = None,
        stream: bool = True,
        total_s: float = 900.0,
        redact: Callable[[str], str] = str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._resolve = resolve
        self._profiles = profiles
        self._attempts = ModelAttempts(upstream, stream=stream)
        self._gate = gate
        self._retry = retry
        self._breakers = breakers or Breakers(BreakerPolicy())
        self._guard = SessionGuard()
        self._total_s = total_s
        self._redact = redact
        self._sleep = sleep

    async def __call__(self, request: TurnRequest) -> Batches:
        """Answer one turn. Raises UpstreamError before the first event only."""
        loop = asyncio.get_running_loop()
        course = self._begin(request, loop.time())
        profile = course.profile
        try:
            while True:
                try:
                    self._enter(course, loop.time())
                    profile, left_s = course.profile, course.ends_at - loop.time()
                    async with (
                        self._gate.slot(profile.name, profile.max_concurrency, left_s) as slot,
                        self._attempts.attempt(request, profile, course.ends_at - loop.time()) as attempt,
                    ):
                        course.queued_s += slot.queued_s
                        sink: DeltaSink | None = None
                        while batch := await attempt.next(sink):
                            if not course.sent:
                                batch = self._opening(course, batch, loop.time())
                            course.sent += len(batch)
                            if type(batch[-1]) is TurnFailed:
                                batch = self._broke_off(course, batch, loop.time())
                            sink = yield batch
                    self._answered(course, loop.time())
                    return
                except UpstreamError as exc:
                    if course.sent:
                        yield self._broke_off(course, [TurnFailed(exc.code, exc.message)], loop.time())
                        return
                    delay_s = self._next(course, exc, loop.time())
                await self._sleep(delay_s)
        finally:
            self._settle(course, "unknown", loop.time())

    def _begin(self, request: TurnRequest, now: float) -> _Course:
        asked, *fallbacks = self._chain(request.model)
        session = session_key(request.session_id, request.thread_id, with_tools=bool(request.tools))
        repeat = self._guard.is_repeat(session, now)
        return _Course(request, session, repeat, now + self._total_s, asked, asked, fallbacks)

    def _chain(self, model: str) -> list[ModelProfile]:
        """The profile that was asked for, then the fallbacks that may answer for it."""
        asked = self._resolve(model)
        named = (self._profiles[name] for name in asked.fallbacks if name in self._profiles)
        return [asked, *(fallback for fallback in named if may_replace(asked, fallback))]

    def _enter(self, course: _Course, now: float) -> None:
        """Begin the next attempt on the course's model. Raises CircuitOpen when its circuit is open."""
        course.attempt += 1
        if course.ticket is None:
            entry = self._breakers.enter(course.profile.name, now)
            if isinstance(entry, Refused) and not course.fallbacks and not course.attempts:
                course.profile, course.asked_error = course.asked, None
                fresh = bool(course.session) and not course.repeat
                entry = self._breakers.enter(course.profile.name, now, last_resort=True, fresh=fresh)
            if isinstance(entry, Refused):
                raise _circuit_open(course.profile, entry)
            course.ticket = entry
            course.probe = entry.probe
        course.attempts += 1

    def _opening(self, course: _Course, batch: Sequence[TurnEvent], now: float) -> Sequence[TurnEvent]:
        """The first batch, its `TurnStarted` telling who answers and why."""
        if course.ticket is not None:
            self._breakers.settle(course.ticket, "answering", now)
        first, profile = batch[0], course.profile
        if not isinstance(first, TurnStarted):
            return batch
        told = msgspec.structs.replace(
            first,
            profile=profile.name,
            reason=course.reason,
            attempts=course.attempts,
            queued_s=course.queued_s,
            deviation=word_deviation(course.request.model, profile.alias, course.reason),
        )
        if told.deviation:
            log.warning("%s: %s", course.request.response_id, told.deviation)
        return [told, *batch[1:]]

    def _next(self, course: _Course, error: UpstreamError, now: float) -> float:
        """Choose what follows a failed attempt: seconds until the next one. Raises when there is none."""
        request, profile = course.request, course.profile
        error.message = self._redact(error.message)
        log.warning("%s: attempt %d on %s failed: %s", request.response_id, course.attempt, profile.model, error.code)
        if profile is course.asked or course.asked_error is None:
            course.asked_error = error
        chosen = next_attempt(
            error,
            attempt=course.attempt,
            events_sent=course.sent,
            remaining_s=course.ends_at - now,
            policy=self._retry,
            repeat=course.repeat or course.probe,
        )
        if isinstance(chosen, TryAgain):
            return chosen.delay_s
        self._settle(course, outcome_of(error), now, error.message)
        if isinstance(chosen, GiveUp) or not course.fallbacks or now >= course.ends_at:
            raise self._final(course, course.asked_error, now) from error
        course.profile, course.attempt = course.fallbacks.pop(0), 0
        return 0.0

    def _final(self, course: _Course, error: UpstreamError, now: float) -> UpstreamError:
        """The error that goes to the client, noted, so that the client does not go round in circles."""
        if error.code == "context_length_exceeded":
            return _loop_stopped(course.asked) if self._guard.overflowed(course.session, now) else error
        if error.code in REPEATED_CODES:
            self._guard.failed(course.session, now)
        elif error.code == "circuit_open":
            self._guard.stopped(course.session)
        return error

    def _broke_off(self, course: _Course, batch: Sequence[TurnEvent], now: float) -> Sequence[TurnEvent]:
        """The batch that ends a turn as failed; its words without secrets, its end noted."""
        *before, end = batch
        assert isinstance(end, TurnFailed)
        error = UpstreamError(end.message, code=end.code)
        self._settle(course, outcome_of(error), now, self._redact(end.message))
        final = self._final(course, error, now)
        return [*before, TurnFailed(final.code, self._redact(final.message))]

    def _answered(self, course: _Course, now: float) -> None:
        if course.ticket is not None:
            self._settle(course, "served", now)
            self._guard.answered(course.session, with_tools=bool(course.request.tools))

    def _settle(self, course: _Course, outcome: Outcome, now: float, cause: str = "") -> None:
        """Give the leave to try back, once."""
        ticket, course.ticket = course.ticket, None
        if ticket is not None:
            self._breakers.settle(ticket, outcome, now, cause)


def _circuit_open(profile: ModelProfile, refused: Refused) -> CircuitOpen:
    times = "once" if refused.failures == 1 else f"{refused.failures} times in a row"
    last = f" The last time: {refused.cause}" if refused.cause else ""
    return CircuitOpen(
        f"{profile.alias!r} is not asked for now: its server failed {times}. "
        f"It will be tried again in {math.ceil(refused.retry_in_s)} s.{last}",
        hint="Choose another model, or mend the server and ask again.",
        retry_after_s=refused.retry_in_s,
    )


def _loop_stopped(profile: ModelProfile) -> UpstreamRefused:
    # None of the words by which clients recognise a refusal that compaction could mend: they would compact again.
    return UpstreamRefused(
        f"{profile.alias!r} refused this session for its size again and again, although it was compacted in between.",
        hint="Start a new session, switch off tools that are not needed, or choose a model that reads more.",
        code="context_loop_stopped",
    )
