"""The lane of the user's own ChatGPT accounts: one turn, answered by whichever account can.

Counterparts: `services.account_pool` leases accounts, `lanes.account_request` asks with one, `accounts.failover` says
what follows a failure, `lanes.account_errors` words what is left when nothing does.

    turn ─► lease ─► slot of the gate ─► request ─► batch … ─► terminal
              ▲                             │ failed before the first content
              └── same account, or the next ┘

Rules that hold here:

1. Until the first content the turn may move to another request or account, afterwards never; then a failure passes
   through and only its effect on the account is written.
2. What a failure does to an account is written before anybody else is asked.
3. A switch is told once: in the header `x-codex-oss-route` and in one log line. The way back is only logged.
4. Every request is noted with its account, reason and outcome (`services.attempt_book`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct, field, structs

from codex_oss.accounts.failover import SWITCH, Next, SoFar, Tally, next_step, reason_of
from codex_oss.accounts.failures import Failure
from codex_oss.accounts.view import label_of
from codex_oss.contracts.profiles import raw_profile
from codex_oss.errors import AccountError, BridgeError, UpstreamError
from codex_oss.lanes.account_errors import final_error
from codex_oss.lanes.account_request import AccountFailed, AccountRequests, Ask
from codex_oss.lanes.account_signals import AccountSignals
from codex_oss.policy.conversation import conversation_of
from codex_oss.policy.deviation import word_switch
from codex_oss.services.account_pool import AccountPool, Lease, Trip
from codex_oss.services.attempt_book import AttemptBook
from codex_oss.services.capacity import CapacityGate
from codex_oss.wire.events import Batches, DeltaSink, TurnEvent, TurnFailed, TurnStarted
from codex_oss.wire.items import TurnRequest

MAX_REMEMBERED: Final = 512
ANSWERED: Final = "answered"
CUT: Final = "cut"
PREFIX: Final = "openai/"
log = logging.getLogger(__name__)


class _Course(Struct):
    """Where one turn stands."""

    ask: Ask
    trip: Trip
    ends_at: float
    tallies: dict[str, Tally] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Person key of each request."""
    asked_at: float = 0.0
    """When the last one was made, on the loop's clock."""
    last: AccountFailed | None = None
    step: Next | None = None
    """What follows `last`."""
    sent: int = 0
    queued_s: float = 0.0

    @property
    def request(self) -> TurnRequest:
        """The turn."""
        return self.ask.request


class ChatGptLane:
    """A `Lane`.

    limit_of: requests under way at once for a model. total_s: longest turn, retries included. redact: takes secrets out
    of what the backend says. sleep: seconds; replaced in tests.
    """

    def __init__(
        self,
        pool: AccountPool,
        requests: AccountRequests,
        signals: AccountSignals,
        gate: CapacityGate,
        attempts: AttemptBook,
        *,
        limit_of: Callable[[str], int],
        total_s: float = 3600.0,
        redact: Callable[[str], str] = str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._requests = requests
        self._signals = signals
        self._gate = gate
        self._attempts = attempts
        self._limit_of = limit_of
        self._total_s = total_s
        self._redact = redact
        self._sleep = sleep
        self._answered_by: OrderedDict[str, str] = OrderedDict()
        """Session to the person key that answered it last; "" for turns without one."""
        self._throttled: dict[str, int] = {}
        """Person key to its throttled answers in a row."""

    async def __call__(self, request: TurnRequest) -> Batches:
        """Answer one turn. Raises BridgeError before the first event only."""
        loop = asyncio.get_running_loop()
        course = self._begin(request, loop.time())
        while True:
            lease, reason = await self._lease(course)
            person, model = lease.account.person_key, course.ask.profile.model
            self._attempts.begin(request.response_id, lease.account.key, reason)
            try:
                async with (
                    self._gate.slot(model, self._limit_of(model), course.ends_at - loop.time()) as slot,
                    self._requests.open(
                        course.ask, lease.account, course.ends_at, self._throttled.get(person, 0)
                    ) as answer,
                ):
                    course.queued_s += slot.queued_s
                    sink: DeltaSink | None = None
                    try:
                        while batch := await answer.next(sink):
                            if not course.sent:
                                batch = await self._opening(course, batch, lease, reason)
                            course.sent += len(batch)
                            if type(batch[-1]) is TurnFailed:
                                batch = await self._broke_off(course, batch, lease, answer.failure)
                            elif answer.ended:
                                await self._answered(course, lease)
                            sink = yield batch
                    except UpstreamError as exc:
                        yield await self._broke_off(course, [TurnFailed(exc.code, exc.message)], lease, None)
                    return
            except AccountFailed as exc:
                sealed = course.ask.with_reasoning
                await self._failed(course, lease, exc, sealed=sealed)

    def _begin(self, request: TurnRequest, now: float) -> _Course:
        model = request.model.removeprefix(PREFIX)
        profile = structs.replace(raw_profile(model, model, ""), api="responses")
        conversation = conversation_of(request)
        trip = Trip(conversation.told, model)
        return _Course(Ask(request, conversation, profile), trip, now + self._total_s)

    async def _lease(self, course: _Course) -> tuple[Lease, str]:
        """The account of the next request, and why it is made. Raises what the client is told when there is none."""
        before, step = course.asked[-1] if course.asked else "", course.step
        again = step is not None and step.way in ("same", "renewed", "without_reasoning")
        try:
            lease = await self._pool.acquire(course.trip, prefer=before if again else "")
        except (AccountError, UpstreamError) as exc:
            raise self._final(course, exc) from exc
        person = lease.account.person_key
        failure = course.last.failure if course.last is not None else None
        reason = reason_of(failure, step.way if step else "same", same=person == before)
        stays = person == (course.asked[0] if course.asked else person) and not lease.instead_of
        course.ask = structs.replace(course.ask, keep_unmarked=course.ask.keep_unmarked and stays)
        course.asked.append(person)
        course.asked_at = asyncio.get_running_loop().time()
        return lease, reason

    async def _opening(
        self, course: _Course, batch: Sequence[TurnEvent], lease: Lease, reason: str
    ) -> Sequence[TurnEvent]:
        """The first batch, its `TurnStarted` telling why this account answers."""
        self._throttled.pop(lease.account.person_key, None)
        told = await self._told_switch(course, lease, reason)
        first = batch[0]
        if not isinstance(first, TurnStarted):
            return batch
        started = structs.replace(
            first, reason=reason, attempts=len(course.asked), queued_s=course.queued_s, deviation=told
        )
        return [started, *batch[1:]]

    async def _told_switch(self, course: _Course, lease: Lease, reason: str) -> str:
        """What the client is told when another account answers than before; empty when that is no news."""
        person, session = lease.account.person_key, course.trip.session
        before = self._answered_by.get(session) or lease.instead_of or course.asked[0]
        self._answered_by[session] = person
        self._answered_by.move_to_end(session)
        while len(self._answered_by) > MAX_REMEMBERED:
            self._answered_by.popitem(last=False)
        known = (await self._pool.book()).get(before)
        if before == person or known is None:
            return ""
        hindrance = known.hindrance(self._pool.now_ms())
        moved = course.asked[0] != person
        if hindrance is None and not moved:
            log.info("%s: %s answers again", course.request.response_id, label_of(lease.account))
            return ""
        why = reason if moved else f"account_{hindrance}"
        told = word_switch(label_of(lease.account), label_of(known), why)
        log.warning("%s: another account answers: %s", course.request.response_id, told)
        return told

    async def _answered(self, course: _Course, lease: Lease) -> None:
        self._attempts.end(course.request.response_id, ANSWERED)
        await self._signals.settled(lease.account)
        await self._pool.answered(lease, course.trip.session)
        await self._signals.answered(lease.account)

    async def _broke_off(
        self, course: _Course, batch: Sequence[TurnEvent], lease: Lease, failure: Failure | None
    ) -> Sequence[TurnEvent]:
        """The batch that ends a turn as failed behind its first content; its effect on the account is written."""
        *before, end = batch
        assert isinstance(end, TurnFailed)
        self._attempts.end(course.request.response_id, failure.kind if failure is not None else CUT)
        if failure is not None:
            await self._pool.failed(lease, failure)
        await self._signals.settled(lease.account)
        return [*before, TurnFailed(end.code, self._redact(end.message))]

    async def _failed(self, course: _Course, lease: Lease, failed: AccountFailed, *, sealed: bool) -> None:
        """Write what a failure does, and prepare what follows it. Raises when nothing does."""
        failure, person, loop = failed.failure, lease.account.person_key, asyncio.get_running_loop()
        request = course.request
        log.warning("%s: %s failed: %s %s", request.response_id, label_of(lease.account), failure.kind, failure.code)
        self._attempts.end(request.response_id, failure.kind)
        tally = course.tallies.setdefault(person, Tally())
        so_far = SoFar(len(course.asked), course.trip.waited_s, loop.time() - course.asked_at, sealed)
        step = next_step(failure, tally, so_far, self._pool.now_ms() / 1000)
        course.last, course.step = failed, step
        if failure.kind == "throttled":
            self._throttled[person] = self._throttled.get(person, 0) + 1
        await self._pool.failed(lease, failure, again=tally.unauthorized > 1)
        await self._signals.settled(lease.account)
        if step.way == "stop" or loop.time() + step.delay_s >= course.ends_at:
            raise self._final(course, None)
        if step.way == "renewed" and not await self._pool.renewed(lease, course.trip):
            course.step = step = SWITCH
        if step.done:
            course.trip.tried.add(person)
        if step.way == "without_reasoning":
            course.ask = structs.replace(course.ask, with_reasoning=False)
        if step.delay_s and failure.kind == "overloaded":
            await self._sleep(step.delay_s)

    def _final(self, course: _Course, none_left: BridgeError | None) -> BridgeError:
        served = self._pool.catalog.serves(course.trip.model)
        error = final_error(course.last, none_left, course.request.model, unserved=served == frozenset())
        error.message = self._redact(error.message)
        return error
