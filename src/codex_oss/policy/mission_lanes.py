"""Scheduler lanes: which lane a mission takes, and the queue in front of each, as a value that is only ever replaced.

Counterparts: `services.mission_lanes` keeps the value in a file that all processes of a project share, and does the
waiting; `setting_values.LANE_DEFAULTS` has the bounds.

                 enter                          claim, when its turn has come                 leave
    outside ──────────────► waiting (place n) ────────────────────────────────► running ─────────────► outside
       │                        │ leave: cancelled, waited too long                                       ▲
       │ queue full: refused    └──────────────────────────────────────────────────────────────────────────┘

Rules that hold here:

1. Nobody enters a lane that holds as many as its capacity, whatever happens to those who hold or wait.
2. First come, first served: nobody claims a slot that somebody before it could take.
3. A slot is claimed by the one who waits, never given. So none is lost to a waiter that was cancelled, died or stands
   still at the moment of the grant, and there is no wake-up that could be lost: whoever looks again finds its turn.
4. A lease belongs to a process and ends with it. Time ends no lease: a mission that runs keeps its slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from codex_oss.contracts.mission import MissionV1
from codex_oss.setting_values import LaneLimits

WORKSPACE_MODES: Final = ("workspace", "workspace_low_risk", "workspace_explicit")
ProcessState = Literal["lives", "stopped", "gone"]
Look = Callable[[str], ProcessState]
"""Mark of a process to what became of it."""


class Ticket(Struct, frozen=True):
    """One mission in front of a lane, or in it."""

    run_id: str
    mission_id: str
    mark: str
    """The process that runs it; `services.process_handle.process_mark`."""
    until_s: float
    """When its wait is over, on the clock that all processes share."""


class Lane(Struct, frozen=True):
    """Who is in a lane and who waits for it, both in the order in which they came. A run stands in it once."""

    running: tuple[Ticket, ...] = ()
    waiting: tuple[Ticket, ...] = ()


class Place(Struct, frozen=True):
    """Where a waiting mission stands. place: from 1. waiting: how many wait in all."""

    place: int
    waiting: int


def choose_lane(mission: MissionV1) -> str:
    """The scheduler lane of a mission. Source: mission contract, scheduler lanes."""
    if mission.tier == "A6":
        return "critical_lane"
    if mission.tier == "A5":
        return "workspace_apply" if mission.apply_mode in WORKSPACE_MODES else "isolated_apply"
    return "patch_pool" if mission.tier == "A4" else "read_pool"


def enter(lane: Lane, ticket: Ticket, limits: LaneLimits, look: Look, now_s: float) -> tuple[Lane, bool]:
    """Join the lane or its queue; False when the queue is full, and then nothing changed.

    The same run that stood in it before, for a writer that was replaced, stands in it no more.
    """
    lane = leave(lane, ticket.run_id)
    behind = replace(lane, waiting=(*lane.waiting, ticket))
    claimed = claim(behind, ticket.run_id, limits, look, now_s)
    if claimed is not None:
        return claimed, True
    waiting = sum(_is_able(one, look, now_s) for one in lane.waiting)
    return (behind, True) if waiting < limits.queue else (lane, False)


def claim(lane: Lane, run_id: str, limits: LaneLimits, look: Look, now_s: float) -> Lane | None:
    """The lane with this run in it; None while its turn has not come.

    Those before it that cannot take their turn, because their process stands still or their wait is over, are passed.
    """
    before = 0
    for ticket in lane.waiting:
        if ticket.run_id == run_id:
            if len(lane.running) + before >= limits.capacity:
                return None
            rest = tuple(one for one in lane.waiting if one is not ticket)
            return Lane((*lane.running, ticket), rest)
        before += _is_able(ticket, look, now_s)
    return None


def leave(lane: Lane, run_id: str) -> Lane:
    """The lane without this run; the same one when it was not there."""
    return _kept(lane, lambda ticket: ticket.run_id != run_id)


def join_again(lane: Lane, ticket: Ticket, *, runs: bool) -> Lane:
    """The lane with somebody in it whom it has lost. Who runs, runs, whatever the capacity is."""
    if runs:
        return replace(lane, running=(*lane.running, ticket))
    return replace(lane, waiting=(*lane.waiting, ticket))


def without_gone(lane: Lane, look: Look) -> Lane:
    """The lane without those whose process has ended."""
    return _kept(lane, lambda ticket: look(ticket.mark) != "gone")


def place_of(lane: Lane, run_id: str) -> Place | None:
    """Where a run waits; None when it does not wait."""
    for place, ticket in enumerate(lane.waiting, 1):
        if ticket.run_id == run_id:
            return Place(place, len(lane.waiting))
    return None


def runs_in(lane: Lane, run_id: str) -> bool:
    """Whether a run holds a slot."""
    return any(ticket.run_id == run_id for ticket in lane.running)


def _is_able(ticket: Ticket, look: Look, now_s: float) -> bool:
    """Whether a waiting mission could take its turn."""
    return look(ticket.mark) == "lives" and now_s < ticket.until_s


def _kept(lane: Lane, keep: Callable[[Ticket], bool]) -> Lane:
    kept = Lane(tuple(filter(keep, lane.running)), tuple(filter(keep, lane.waiting)))
    return lane if kept == lane else kept
