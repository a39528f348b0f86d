"""The one gate in front of all upstream requests: so many at once in all, so many per model.

Counterpart: `lanes.oss` holds a slot from before the request until its stream ended. Rules that hold here:

1. First come, first served, but a request whose model is full does not block one behind it whose model is free.
2. A waiting request holds nothing. Waiting is bounded in time and in number; the refusal says when to come back.
3. A slot goes back exactly once, whatever ended its holder; a waiter cancelled at the moment of its grant passes it on.

All calls come from one event loop; there is no lock because no step below yields between reading and writing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from codex_oss.errors import RateLimited

RETRY_AFTER_S = 5


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

    @contextlib.asynccontextmanager
    async def slot(self, model: str, limit: int) -> AsyncIterator[None]:
        """Hold a slot for *model*, of which *limit* exist. Raises RateLimited `capacity_exceeded`."""
        await self._acquire(model, limit)
        try:
            yield
        finally:
            self._release(model)

    async def _acquire(self, model: str, limit: int) -> None:
        # A cancelled waiter, whose task has not run yet, will never take the slot that it seems to fit.
        ahead = (waiter for waiter in self._waiting if not waiter.granted.cancelled())
        if self._fits(model, limit) and not any(self._fits(waiter.model, waiter.limit) for waiter in ahead):
            self._under_way[model] += 1
            return
        if len(self._waiting) >= self.max_waiting:
            raise _refusal(model, f"{len(self._waiting)} requests already wait")
        wait_s = self.model_wait_s if self._under_way[model] >= limit else self.total_wait_s
        waiter = _Waiter(model, limit, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(wait_s):
                await waiter.granted
        except BaseException as exc:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self._release(model)
            else:
                self._waiting.remove(waiter)
            if isinstance(exc, TimeoutError):
                raise _refusal(model, f"no slot became free within {wait_s:g} s") from None
            raise

    def _fits(self, model: str, limit: int) -> bool:
        return self.under_way < self.max_total and self._under_way[model] < limit

    def _release(self, model: str) -> None:
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


def _refusal(model: str, why: str) -> RateLimited:
    error = RateLimited(
        f"All slots for {model!r} are taken: {why}. Please try again in {RETRY_AFTER_S}s.",
        hint="Raise max_upstream_concurrency, or max_concurrency of the model's profile.",
        code="capacity_exceeded",
        retry_after_s=RETRY_AFTER_S,
    )
    error.retryable = False  # waited here already
    return error
