"""The one gate in front of all upstream requests: so many at once in all, so many per model.

Counterpart: `lanes.oss` holds a slot from before the request until its stream ended. Rules that hold here:

1. First come, first served, but a request whose model is full does not block one behind it whose model is free.
2. A waiting request holds nothing. Waiting is bounded in time and in number; the refusal says the place in the queue,
   how many are under way, and when to come back.
3. A slot goes back exactly once, whatever ended its holder; a waiter cancelled at the moment of its grant passes it on.

All calls come from one event loop; there is no lock because no step below yields between reading and writing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from codex_oss.errors import RateLimited

RETRY_AFTER_S = 5
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to one request."""

    queued_s: float = 0.0
    """What it waited."""
    place: int = 0
    """Its place in the queue of those that waited for the same model or for any, from 1; 0 when it did not wait."""


@dataclass(slots=True, eq=False)
class _Waiter:
    model: str
    limit: int
    granted: asyncio.Future[None] = field(repr=False)


class CapacityGate:
    """Counts requests under way.

    max_total: for all models together. total_wait_s, model_wait_s: longest wait when everything, or only the own
    model, is taken. max_waiting: a longer queue is refused at once.
    """

    def __init__(
        self, max_total: int, *, total_wait_s: float = 10.0, model_wait_s: float = 30.0, max_waiting: int = 256
    ) -> None:
        self.max_total = max_total
        self.total_wait_s = total_wait_s
        self.model_wait_s = model_wait_s
        self.max_waiting = max_waiting
        self._under_way: Counter[str] = Counter()
        self._waiting: deque[_Waiter] = deque()

    @property
    def under_way(self) -> int:
        """Requests that hold a slot now."""
        return self._under_way.total()

    @property
    def waiting(self) -> int:
        """Requests in the queue now."""
        return len(self._waiting)

    def slot(self, model: str, limit: int, max_wait_s: float = math.inf) -> HeldSlot:
        """Hold a slot for *model*, of which *limit* exist. max_wait_s: shortens the waits of this gate.

        To be entered; then it raises RateLimited `capacity_exceeded`.
        """
        return HeldSlot(self, model, limit, max_wait_s)

    def facts(self) -> dict[str, Any]:
        """For `/health`: requests under way per model, and those that wait, in order."""
        return {
            "max_total": self.max_total,
            "under_way": dict(self._under_way),
            "waiting": [waiter.model for waiter in self._waiting],
        }

    async def acquire(self, model: str, limit: int, max_wait_s: float) -> Slot:
        """Take a slot, which is given back with `release`; see `slot`."""
        # A cancelled waiter, whose task has not run yet, will never take the slot that it seems to fit.
        ahead = (waiter for waiter in self._waiting if not waiter.granted.cancelled())
        if self._fits(model, limit) and not any(self._fits(waiter.model, waiter.limit) for waiter in ahead):
            self._under_way[model] += 1
            return Slot()
        if len(self._waiting) >= self.max_waiting:
            raise self._refusal(model, limit, f"{len(self._waiting)} requests already wait")
        own = self._under_way[model] >= limit
        wait_s = max(min(self.model_wait_s if own else self.total_wait_s, max_wait_s), 0.0)
        loop = asyncio.get_running_loop()
        waiter, begun_at = _Waiter(model, limit, loop.create_future()), loop.time()
        self._waiting.append(waiter)
        place = self._place(waiter, own)
        log.info("%s waits for a slot: place %d in the queue, %s", model, place, self._taken(model, limit))
        try:
            async with asyncio.timeout(wait_s):
                await waiter.granted
        except BaseException as exc:
            at_last = self._place(waiter, own) if waiter in self._waiting else place
            if waiter.granted.done() and not waiter.granted.cancelled():
                self.release(model)
            else:
                self._waiting.remove(waiter)
            if isinstance(exc, TimeoutError):
                why = f"none became free within {wait_s:g} s, at place {at_last} in the queue"
                raise self._refusal(model, limit, why) from None
            raise
        return Slot(loop.time() - begun_at, place)

    def _place(self, waiter: _Waiter, own: bool) -> int:
        """Place of a waiter among those before it that want what it wants. own: its own model is full."""
        place = 0
        for other in self._waiting:
            place += not own or other.model == waiter.model
            if other is waiter:
                break
        return place

    def _taken(self, model: str, limit: int) -> str:
        return f"{self._under_way[model]} of {limit} under way for it, {self.under_way} of {self.max_total} in all"

    def _fits(self, model: str, limit: int) -> bool:
        return self.under_way < self.max_total and self._under_way[model] < limit

    def release(self, model: str) -> None:
        """Give a slot back, to who waits first."""
        self._under_way[model] -= 1
        if not self._under_way[model]:
            del self._under_way[model]
        for waiter in list(self._waiting):
            if waiter.granted.cancelled():
                continue  # its task removes it when it runs
            if self._fits(waiter.model, waiter.limit):
                self._waiting.remove(waiter)
                self._under_way[waiter.model] += 1
                waiter.granted.set_result(None)

    def _refusal(self, model: str, limit: int, why: str) -> RateLimited:
        error = RateLimited(
            f"All slots for {model!r} are taken ({self._taken(model, limit)}): {why}. "
            f"Please try again in {RETRY_AFTER_S}s.",
            hint="Raise max_upstream_concurrency, or max_concurrency of the model's profile.",
            code="capacity_exceeded",
            retry_after_s=RETRY_AFTER_S,
        )
        error.retryable = False  # waited here already
        return error


class HeldSlot:
    """A slot from entering to leaving. A class of its own: a generator as context costs more than the gate itself."""

    __slots__ = ("_gate", "_limit", "_max_wait_s", "_model")

    def __init__(self, gate: CapacityGate, model: str, limit: int, max_wait_s: float) -> None:
        self._gate = gate
        self._model = model
        self._limit = limit
        self._max_wait_s = max_wait_s

    async def __aenter__(self) -> Slot:
        return await self._gate.acquire(self._model, self._limit, self._max_wait_s)

    async def __aexit__(self, *_: object) -> None:
        self._gate.release(self._model)
