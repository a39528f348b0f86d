"""The gate: limits, order, refusals, and that no slot is ever lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.errors import RateLimited
from codex_oss.services.capacity import CapacityGate, Slot


class _Holder:
    """A task that takes a slot and keeps it until told."""

    def __init__(self, gate: CapacityGate, model: str, limit: int = 1) -> None:
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._hold(gate, model, limit))

    async def _hold(self, gate: CapacityGate, model: str, limit: int) -> None:
        async with gate.slot(model, limit):
            self.inside.set()
            await self.leave.wait()

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served() -> None:
    """Waiters of one model get their turn in the order of arrival."""
    gate = CapacityGate(5)
    holders = [_Holder(gate, "m") for _ in range(3)]
    for at, holder in enumerate(holders):
        await holder.inside.wait()
        assert [other.inside.is_set() for other in holders] == [place <= at for place in range(3)]
        await holder.end()
        await _settle()
    assert (gate.under_way, gate.waiting) == (0, 0)


async def test_a_full_model_does_not_block_another() -> None:
    """A request behind a waiting one passes when its own model is free."""
    gate = CapacityGate(2)
    first, second, other = _Holder(gate, "m"), _Holder(gate, "m"), _Holder(gate, "n")
    await other.inside.wait()
    assert not second.inside.is_set()
    for holder in (first, second, other):
        await holder.end()


async def test_refusal_says_when_to_come_back() -> None:
    """Nobody waits beyond the bound; the refusal is a 429 of ours with a delay."""
    gate = CapacityGate(1, total_wait_s=0.01, model_wait_s=0.01)
    holder = _Holder(gate, "m")
    await holder.inside.wait()
    with pytest.raises(RateLimited) as caught:
        async with gate.slot("m", 1):
            raise AssertionError("not reached")
    assert (caught.value.code, caught.value.retry_after_s) == ("capacity_exceeded", 5)
    assert caught.value.message == (
        "All slots for 'm' are taken (1 of 1 under way for it, 1 of 1 in all): "
        "none became free within 0.01 s, at place 1 in the queue. Please try again in 5s."
    )
    assert gate.waiting == 0
    await holder.end()


async def test_a_long_queue_is_refused_at_once() -> None:
    """The queue is bounded."""
    gate = CapacityGate(1, max_waiting=1)
    holders = [_Holder(gate, "m"), _Holder(gate, "m")]
    await holders[0].inside.wait()
    await _settle()
    with pytest.raises(RateLimited, match="1 requests already wait"):
        await gate.slot("m", 1).__aenter__()
    for holder in holders:
        await holder.end()


async def test_a_waiter_knows_its_place() -> None:
    """The place counts those that want the same model; the facts show everybody; what was waited is told."""
    gate = CapacityGate(3)
    holders = [_Holder(gate, "m"), _Holder(gate, "n"), _Holder(gate, "n")]
    await holders[1].inside.wait()
    slots: list[Slot] = []

    async def wait() -> None:
        async with gate.slot("m", 1) as slot:
            slots.append(slot)

    waits = [asyncio.create_task(wait()) for _ in range(2)]
    await _settle()
    assert gate.facts() == {"max_total": 3, "under_way": {"m": 1, "n": 1}, "waiting": ["n", "m", "m"]}
    for holder in holders:
        await holder.end()
    await asyncio.gather(*waits)
    assert [slot.place for slot in slots] == [1, 2]
    assert all(slot.queued_s >= 0 for slot in slots)


async def test_a_wait_fits_into_the_time_that_is_left() -> None:
    """A turn with little time left does not wait for as long as the gate would let it."""
    gate = CapacityGate(1)
    holder = _Holder(gate, "m")
    await holder.inside.wait()
    with pytest.raises(RateLimited, match=r"within 0\.01 s"):
        await gate.slot("m", 1, 0.01).__aenter__()
    await holder.end()


async def test_a_waiter_cancelled_at_its_grant_passes_it_on() -> None:
    """Cancelling a task whose slot was granted in the same step loses nothing."""
    gate = CapacityGate(1)
    first, second, third = (_Holder(gate, "m") for _ in range(3))
    await first.inside.wait()
    await _settle()
    first.leave.set()
    await first.task  # grants second
    second.task.cancel()
    await third.inside.wait()
    await third.end()
    assert (gate.under_way, gate.waiting) == (0, 0)


async def test_a_newcomer_does_not_queue_behind_a_cancelled_waiter() -> None:
    """A slot that is free while a cancelled waiter has not run yet goes to the newcomer."""
    gate = CapacityGate(1)
    first, second = _Holder(gate, "m"), _Holder(gate, "m")
    await first.inside.wait()
    await _settle()
    second.task.cancel()
    first.leave.set()
    third = _Holder(gate, "m")
    await third.inside.wait()
    await third.end()
    assert (gate.under_way, gate.waiting) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["end", "cancel"]), st.integers(0, 3)), max_size=25))
def test_no_slot_is_lost_or_doubled(script: list[tuple[str, str, int]]) -> None:
    """Whatever order of arrivals, ends and cancellations: limits hold, and at the end all slots are back."""

    async def run() -> None:
        gate = CapacityGate(2)
        holders: list[_Holder] = []
        for model, how, yields in script:
            holders.append(_Holder(gate, model))
            for _ in range(yields):
                await asyncio.sleep(0)
            assert gate.under_way <= 2
            if how == "cancel":
                holders[len(holders) // 2].task.cancel()
            else:
                holders[0].leave.set()
        for holder in holders:
            holder.leave.set()
        for holder in holders:
            with suppress(asyncio.CancelledError):
                await holder.task
        assert (gate.under_way, gate.waiting) == (0, 0)

    asyncio.run(run())
