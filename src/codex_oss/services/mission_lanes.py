"""The scheduler lanes of a project, shared by every process that runs missions of it.

Counterparts: `policy.mission_lanes` decides who comes next; `services.mission_runner` runs a mission inside its lease.

    lease ─► MissionQueued (place 3) ─► MissionQueued (place 1) ─► MissionScheduled ─► … steps … ─► release
                 └─► LaneRefused: the queue is full, or the wait is over

The state is one small file, `.codex-oss/lanes/state.json`, replaced as a whole under a lock that is held for one look.

Rules that hold here:

1. All steps inside the lock are synchronous, so that a task that is cancelled has either joined or not.
2. One poller a process looks at the file while somebody here waits, and whoever leaves here looks at once. Another
   process's slot is therefore seen within `POLL_S`.
3. A release cannot be lost: what could not be written is written with the next look, and ends with the process.
4. The file holds nothing that must outlive the processes; it is not synced, and what cannot be read is empty.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from codex_oss.errors import StoreError
from codex_oss.missions.events import MissionQueued, MissionScheduled
from codex_oss.policy.mission_lanes import (
    Lane,
    Place,
    Ticket,
    claim,
    enter,
    join_again,
    leave,
    place_of,
    runs_in,
    without_gone,
)
from codex_oss.services.process_handle import look_at_mark, process_mark
from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic
from codex_oss.services.state_folder import STATE_DIR, open_state_folder
from codex_oss.setting_values import LANE_DEFAULTS, LaneLimits

POLL_S: Final = 0.1
LOCK_WAIT_S: Final = 5.0
LOCK_POLL_S: Final = 0.002
TELL_EVERY_S: Final = 1.0
"""A changed place is told at most once in this time: a queue that moves fast would fill the log."""
MAX_STATE_BYTES: Final = 16 * 1024 * 1024
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

log = logging.getLogger(__name__)


class LaneRefused(Exception):
    """No slot. code: `lane_queue_full` or `lane_wait_over`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class LaneLease:
    """One mission's way through a lane. `MissionLanes.lease` makes it, and who asked for it releases it."""

    def __init__(self, lanes: MissionLanes, lane: str, ticket: Ticket) -> None:
        self._lanes = lanes
        self.lane = lane
        self.ticket = ticket
        self.news = asyncio.Event()
        self.held = False
        self.place: Place | None = None

    async def waits(self) -> AsyncGenerator[MissionQueued | MissionScheduled, None]:
        """What happens until the slot is held: nothing when it is free at once.

        Raises LaneRefused, StoreError when the file cannot be used.
        """
        limits, loop = self._lanes.limits[self.lane], asyncio.get_running_loop()
        began = loop.time()
        await self._lanes.join(self)
        if self.held:
            return
        told: Place | None = None
        told_at = -TELL_EVERY_S
        while not self.held:
            left_s = began + limits.wait_s - loop.time()
            if left_s <= 0:
                raise self._lanes.refusal("lane_wait_over", self)
            if self.place is not None and self.place != told and loop.time() - told_at >= TELL_EVERY_S:
                told, told_at = self.place, loop.time()
                yield MissionQueued(self.lane, told.place, told.waiting, limits.capacity, round(limits.wait_s * 1000))
                continue  # telling took time: look before waiting
            self.news.clear()
            try:
                async with asyncio.timeout(min(left_s, TELL_EVERY_S)):
                    await self.news.wait()
            except TimeoutError:
                pass
        yield MissionScheduled(self.lane, round((loop.time() - began) * 1000))

    def release(self) -> None:
        """Give the slot, or the place in the queue, back; safe to call twice."""
        self._lanes.give_back(self)


class MissionLanes:
    """The lanes of one project as this process sees them. All calls come from one event loop."""

    def __init__(
        self,
        project: Path,
        limits: Mapping[str, LaneLimits] = LANE_DEFAULTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds, the same for all processes of the machine."""
        self.limits = limits
        self._folder = project / STATE_DIR / "lanes"
        self._clock = clock
        self._leases: dict[str, LaneLease] = {}
        """Those of this process that hold a slot or wait for one."""
        self._given_back: set[str] = set()
        """Runs that left and still stand in the file."""
        self._poller: asyncio.Task[None] | None = None

    def lease(self, lane: str, run_id: str, mission_id: str) -> LaneLease:
        """A mission's way into a lane; nothing is taken yet."""
        until_s = self._clock() + self.limits[lane].wait_s
        return LaneLease(self, lane, Ticket(run_id, mission_id, _own_mark(), until_s))

    async def join(self, lease: LaneLease) -> None:
        """Take a slot or a place in the queue. Raises LaneRefused `lane_queue_full`, StoreError."""
        deadline = time.monotonic() + LOCK_WAIT_S
        while not self._try_to_join(lease):
            if time.monotonic() > deadline:
                raise StoreError(
                    "Another process holds the lock of the mission lanes and does not let go.",
                    hint="It may be stopped in the middle of a look; end it.",
                    code="lanes_locked",
                )
            await asyncio.sleep(LOCK_POLL_S)
        if not lease.held:
            self._poll_on()

    def _try_to_join(self, lease: LaneLease) -> bool:
        """False when the lock is held elsewhere. Raises as `join`."""
        run_id, limits = lease.ticket.run_id, self.limits[lease.lane]
        try:
            with self._opened() as lanes:
                look = cache(look_at_mark)
                lane = self._restored(lease.lane, without_gone(lanes.get(lease.lane, Lane()), look))
                lane, joined = enter(lane, lease.ticket, limits, look, self._clock())
                lanes[lease.lane] = lane
        except BlockingIOError:
            return False
        if not joined:
            raise self.refusal("lane_queue_full", lease)
        self._given_back.discard(run_id)
        self._leases[run_id] = lease
        lease.held, lease.place = runs_in(lane, run_id), place_of(lane, run_id)
        return True

    def give_back(self, lease: LaneLease) -> None:
        """Leave the lane or its queue, and let the next one of this process in."""
        lease.held = False
        if self._leases.pop(lease.ticket.run_id, None) is not None:
            self._given_back.add(lease.ticket.run_id)
            self._look_again()

    def forget(self, run_id: str) -> None:
        """Take a run out whose writer is gone or was replaced; blocking for a moment."""
        self._given_back.add(run_id)
        self._look_again()

    def refusal(self, code: str, lease: LaneLease) -> LaneRefused:
        """Why there is no slot, and who has them."""
        limits = self.limits[lease.lane]
        if code == "lane_queue_full":
            message = f"{lease.lane} queue limit reached ({limits.queue})"
        else:
            message = f"{lease.lane} queue timeout after {limits.wait_s:g} s"
        running = self.read().get(lease.lane, Lane()).running
        held = ", ".join(ticket.mission_id for ticket in running[:5]) + (" …" if len(running) > 5 else "")
        more = f"; its {limits.capacity} slots are held by {held}" if held else ""
        return LaneRefused(code, f"{message}{more}. MISSION_LANES_JSON sets capacity, queue and wait.")

    def read(self) -> dict[str, Lane]:
        """Every lane as the file has it, without those whose process has ended; empty when nothing ran yet."""
        look = cache(look_at_mark)
        return {name: without_gone(lane, look) for name, lane in self._load().items()}

    def facts(self) -> dict[str, Any]:
        """For `/health`: bounds and occupants of each lane."""
        lanes = self.read()
        return {
            name: {
                **msgspec.to_builtins(limits),
                "running": [ticket.mission_id for ticket in lanes.get(name, Lane()).running],
                "waiting": [ticket.mission_id for ticket in lanes.get(name, Lane()).waiting],
            }
            for name, limits in self.limits.items()
        }

    async def _poll(self) -> None:
        while self._given_back or not all(lease.held for lease in self._leases.values()):
            await asyncio.sleep(POLL_S)
            self._look_again()

    def _look_again(self) -> None:
        """Write what was given back, claim for those of this process that wait, and tell them their place.

        A lock that is held elsewhere, or a file that cannot be written, is left to the next look.
        """
        try:
            with self._opened() as lanes:
                for name in {*lanes, *(lease.lane for lease in self._leases.values())}:
                    lanes[name] = self._looked_at(name, lanes.get(name, Lane()))
            self._given_back.clear()
        except BlockingIOError:
            self._poll_on()
            return
        except StoreError as exc:
            log.warning("the scheduler lanes cannot be written: %s", exc.message)
            self._poll_on()
            return
        for lease in self._leases.values():
            if not lease.held:
                lane = lanes.get(lease.lane, Lane())
                lease.held, lease.place = runs_in(lane, lease.ticket.run_id), place_of(lane, lease.ticket.run_id)
                lease.news.set()

    def _looked_at(self, name: str, lane: Lane) -> Lane:
        look, now_s = cache(look_at_mark), self._clock()
        lane = self._restored(name, without_gone(lane, look))
        for run_id in self._given_back:
            lane = leave(lane, run_id)
        for ticket in lane.waiting if name in self.limits else ():
            if ticket.run_id in self._leases:
                lane = claim(lane, ticket.run_id, self.limits[name], look, now_s) or lane
        return lane

    def _restored(self, name: str, lane: Lane) -> Lane:
        """The lane with everybody of this process in it: somebody may have deleted the file."""
        there = {ticket.run_id for ticket in (*lane.running, *lane.waiting)}
        for run_id, lease in self._leases.items():
            if lease.lane == name and run_id not in there:
                lane = join_again(lane, lease.ticket, runs=lease.held)
        return lane

    def _poll_on(self) -> None:
        """Look again soon; without a running loop the process ends, and with it what it held."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._poller is None or self._poller.done() or self._poller.get_loop() is not loop:
            self._poller = loop.create_task(self._poll(), name="mission lanes")

    @contextmanager
    def _opened(self) -> Iterator[dict[str, Lane]]:
        """The lanes under the lock; what is changed is written. Raises BlockingIOError, StoreError."""
        with self._locked():
            lanes = self._load()
            before = dict(lanes)
            yield lanes
            if lanes != before:
                write_atomic(self._folder / "state.json", msgspec.json.encode(lanes), durable=False)

    def _load(self) -> dict[str, Lane]:
        try:
            data = read_plain(self._folder / "state.json", MAX_STATE_BYTES)
            return msgspec.json.decode(data, type=dict[str, Lane])
        except (OSError, msgspec.MsgspecError):
            return {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        open_state_folder(self._folder.parent)
        ensure_private_dir(self._folder)
        try:
            fd = os.open(self._folder / "lock", _LOCK_FLAGS, 0o600)
        except OSError as exc:
            raise _unlockable(exc) from exc
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError as exc:  # a file system without locks
                raise _unlockable(exc) from exc
            yield
        finally:
            os.close(fd)


def _unlockable(exc: OSError) -> StoreError:
    return StoreError(f"The lock of the mission lanes cannot be used: {exc.strerror}.", code="lanes_locked")


@cache
def _own_mark_of(pid: int) -> str:
    return process_mark(pid)


def _own_mark() -> str:
    return _own_mark_of(os.getpid())
