"""Scheduler lanes on a real file: tasks that are cancelled at any moment, processes that are killed or stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.missions.events import MissionQueued, MissionScheduled
from codex_oss.services.mission_lanes import LaneRefused, MissionLanes
from codex_oss.setting_values import LaneLimits

Told = MissionQueued | MissionScheduled


def lanes_of(folder: Path, capacity: int = 1, queue: int = 100, wait_s: float = 20.0) -> MissionLanes:
    """The lanes of a project with one lane."""
    return MissionLanes(folder, {"read_pool": LaneLimits(capacity, queue, wait_s)})


class Holder:
    """A task that takes a slot and keeps it until told; `inside` counts who holds one."""

    inside = 0

    def __init__(self, lanes: MissionLanes, name: str, order: list[str]) -> None:
        self.told: list[Told] = []
        self.leave = asyncio.Event()
        self.entered = asyncio.Event()
        self.task = asyncio.create_task(self._hold(lanes, name, order))

    async def _hold(self, lanes: MissionLanes, name: str, order: list[str]) -> None:
        lease = lanes.lease("read_pool", name, f"m_{name}")
        try:
            async for event in lease.waits():
                self.told.append(event)
            order.append(name)
            Holder.inside += 1
            self.entered.set()
            try:
                await self.leave.wait()
            finally:
                Holder.inside -= 1
        finally:
            lease.release()

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def test_a_free_slot_is_taken_without_a_word(tmp_path: Path) -> None:
    """Nothing is told to somebody who need not wait, and nothing is left behind."""
    lanes, order = lanes_of(tmp_path), list[str]()
    one = Holder(lanes, "r1", order)
    await one.entered.wait()
    assert [ticket.run_id for ticket in lanes.read()["read_pool"].running] == ["r1"]
    await one.end()
    assert (one.told, lanes.read()["read_pool"].running) == ([], ())


async def test_places_are_told_and_turns_come_in_order(tmp_path: Path) -> None:
    """Who waits hears its place, moves up, and hears how long it waited; the first that came is the first."""
    lanes, order = lanes_of(tmp_path), list[str]()
    holders = []
    for name in ("r1", "r2", "r3"):
        holders.append(Holder(lanes, name, order))
        await asyncio.sleep(0.05)
    assert [(e.place, e.waiting) for e in holders[2].told if isinstance(e, MissionQueued)] == [(2, 2)]
    await asyncio.sleep(1.1)  # a place is told once a second
    for holder in holders:
        await holder.entered.wait()
        await holder.end()
    assert order == ["r1", "r2", "r3"]
    assert isinstance(holders[1].told[-1], MissionScheduled)
    assert holders[1].told[-1].waited_ms >= 1000
    assert isinstance(holders[2].told[-1], MissionScheduled)


async def test_a_full_queue_and_a_long_wait_are_refused_by_code(tmp_path: Path) -> None:
    """Both name the lane, the bound and who has the slots; the one refused leaves nothing behind."""
    lanes, order = lanes_of(tmp_path, queue=1, wait_s=0.3), list[str]()
    one, two = Holder(lanes, "r1", order), Holder(lanes, "r2", order)
    await asyncio.sleep(0.05)
    three = Holder(lanes, "r3", order)
    for holder, code, words in (
        (three, "lane_queue_full", "read_pool queue limit reached (1)"),
        (two, "lane_wait_over", "read_pool queue timeout after 0.3 s"),
    ):
        with pytest.raises(LaneRefused) as refused:
            await holder.task
        assert refused.value.code == code
        assert words in refused.value.message
        assert "m_r1" in refused.value.message
    assert [ticket.run_id for ticket in lanes.read()["read_pool"].waiting] == []
    await one.end()


@settings(max_examples=25, deadline=None)
@given(
    capacity=st.integers(1, 3),
    steps=st.lists(st.tuples(st.sampled_from(["come", "end", "cancel"]), st.integers(0, 9), st.integers(0, 3))),
)
def test_no_slot_is_lost_however_tasks_are_cancelled(capacity: int, steps: list[tuple[str, int, int]]) -> None:
    """Tasks come, end and are cancelled at any moment: never over capacity, and at the end the lane is free."""

    async def play(folder: Path) -> None:
        lanes, order, holders = lanes_of(folder, capacity), list[str](), list[Holder]()
        Holder.inside = 0
        for what, which, pause in steps:
            if what == "come":
                holders.append(Holder(lanes, f"r{len(holders)}", order))
            elif which < len(holders) and what == "end":
                holders[which].leave.set()
            elif which < len(holders):
                holders[which].task.cancel()
            for _ in range(pause):
                await asyncio.sleep(0)
            assert Holder.inside <= capacity
        for holder in holders:
            holder.leave.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*(holder.task for holder in holders), return_exceptions=True)
        assert order == sorted(order, key=lambda name: int(name[1:]))
        lane = lanes.read().get("read_pool")
        assert lane is None or (lane.running, lane.waiting) == ((), ())

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


async def test_a_deleted_file_frees_nothing(tmp_path: Path) -> None:
    """Whoever deletes or spoils the file gets no second mission into a full lane, and the queue goes on."""
    lanes, order = lanes_of(tmp_path), list[str]()
    one, two = Holder(lanes, "r1", order), Holder(lanes, "r2", order)
    await one.entered.wait()
    state = tmp_path / ".codex-oss/lanes/state.json"
    for spoil in (state.unlink, lambda: state.write_bytes(b'{"read_pool"')):
        spoil()
        await asyncio.sleep(0.25)
        assert not two.entered.is_set()
    await one.end()
    async with asyncio.timeout(5):
        await two.entered.wait()
    await two.end()


async def test_a_file_of_somebody_else_blocks_nothing(tmp_path: Path) -> None:
    """A clone that ships a full lane holds no slot: no process of this machine has its mark. A link is not followed."""
    folder = tmp_path / ".codex-oss/lanes"
    folder.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("keep")
    (folder / "state.json").symlink_to(elsewhere)
    order: list[str] = []
    one = Holder(lanes_of(tmp_path), "r1", order)
    async with asyncio.timeout(5):
        await one.entered.wait()
    await one.end()
    assert elsewhere.read_text() == "keep"
    forged = '{"read_pool":{"running":[{"run_id":"x","mission_id":"x","mark":"%s","until_s":9e9}],"waiting":[]}}'
    for mark in (f"forged:{os.getpid()}:1", "::", "a:-1:b", "no mark"):
        (folder / "state.json").write_text(forged % mark)
        two = Holder(lanes_of(tmp_path, queue=0), "r2", order)
        async with asyncio.timeout(5):
            await two.entered.wait()
        await two.end()


CHILD = """
import asyncio, sys
from pathlib import Path
from codex_oss.services.mission_lanes import MissionLanes
from codex_oss.setting_values import LaneLimits

async def main():
    lanes = MissionLanes(Path(sys.argv[1]), {"read_pool": LaneLimits(1, 9, 60.0)})
    lease = lanes.lease("read_pool", sys.argv[2], "m_" + sys.argv[2])
    async for event in lease.waits():
        print(type(event).__name__, flush=True)
    print("inside", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    lease.release()

asyncio.run(main())
"""


@contextmanager
def process(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that takes the slot, or waits for it, until it is told to leave."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
            child.kill()


def says(child: subprocess.Popen[str], word: str) -> None:
    """Read what a process says until it says this."""
    assert child.stdout is not None
    while (said := child.stdout.readline().strip()) != word:
        assert said, f"it ended without saying {word}"


def test_a_killed_process_gives_its_slot_back(tmp_path: Path) -> None:
    """`kill -9` of the holder lets the next process in, in the order of arrival."""
    with process(tmp_path, "a") as one:
        says(one, "inside")
        with process(tmp_path, "b") as two:
            says(two, "MissionQueued")
            with process(tmp_path, "c") as three:
                says(three, "MissionQueued")
                one.kill()
                says(two, "inside")
                assert [t.run_id for t in lanes_of(tmp_path).read()["read_pool"].waiting] == ["c"]
                two.kill()
                says(three, "inside")


def test_a_stopped_process_keeps_its_slot_and_loses_its_turn(tmp_path: Path) -> None:
    """Who stands still in the queue holds up nobody; who stands still with a slot keeps it: it may go on any time."""
    with process(tmp_path, "a") as one:
        says(one, "inside")
        with process(tmp_path, "b") as two:
            says(two, "MissionQueued")
            two.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, two.pid, os.WSTOPPED)
            with process(tmp_path, "c") as three:
                says(three, "MissionQueued")
                one.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, one.pid, os.WSTOPPED)
                held = lanes_of(tmp_path).read()["read_pool"]
                assert [t.run_id for t in held.running] == ["a"]
                one.kill()
                says(three, "inside")
                two.send_signal(signal.SIGCONT)
                three.kill()
                says(two, "inside")
