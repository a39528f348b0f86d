"""The queue of a scheduler lane as a machine: any order of arrivals, departures, deaths and looks."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from codex_oss.policy.mission_lanes import (
    Lane,
    Place,
    ProcessState,
    Ticket,
    choose_lane,
    claim,
    enter,
    leave,
    place_of,
    runs_in,
    without_gone,
)
from codex_oss.setting_values import LaneLimits
from tests.fakes.mission_script import mission

PROCESSES = ("p1", "p2", "p3")


class LaneMachine(RuleBasedStateMachine):
    """Missions of three processes in front of one lane, beside a model of who may be where."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane()
        self.limits = LaneLimits(2, 3, 10.0)
        self.now_s = 0.0
        self.states: dict[str, ProcessState] = dict.fromkeys(PROCESSES, "lives")
        self.arrived: list[str] = []
        """Every run that joined, in order."""
        self.numbers = 0

    def look(self, mark: str) -> ProcessState:
        return self.states[mark]

    def able(self, ticket: Ticket) -> bool:
        return self.states[ticket.mark] == "lives" and self.now_s < ticket.until_s

    def living(self) -> list[str]:
        return [mark for mark in PROCESSES if self.states[mark] == "lives"]

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        self.numbers += 1
        ticket = Ticket(f"r{self.numbers}", "m", data.draw(st.sampled_from(self.living())), self.now_s + 10)
        waiting = sum(map(self.able, self.lane.waiting))
        free = len(self.lane.running) + waiting < self.limits.capacity
        before = self.lane
        self.lane, joined = enter(self.lane, ticket, self.limits, self.look, self.now_s)
        assert joined == (free or waiting < self.limits.queue)
        if joined:
            assert runs_in(self.lane, ticket.run_id) == free
            self.arrived.append(ticket.run_id)
        else:
            assert self.lane == before

    @rule(number=st.integers(0, 40))
    def depart(self, number: int) -> None:
        """It ended, was cancelled or waited too long; at any moment, also when its turn has just come."""
        self.lane = leave(self.lane, f"r{number}")

    @rule(mark=st.sampled_from(PROCESSES), state=st.sampled_from(["lives", "stopped", "gone"]))
    def change_process(self, mark: str, state: ProcessState) -> None:
        if self.states[mark] != "gone":
            self.states[mark] = state
        self.lane = without_gone(self.lane, self.look)
        if state == "gone":
            assert all(ticket.mark != mark for ticket in (*self.lane.running, *self.lane.waiting))

    @rule(mark=st.sampled_from(PROCESSES))
    def begin_anew(self, mark: str) -> None:
        """Another process takes the place of one that has gone."""
        if self.states[mark] == "gone":
            self.states[mark] = "lives"

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(data=st.data())
    def look_again(self, data: st.DataObject) -> None:
        """Processes look in any order, each for its own; afterwards no slot is idle that a waiting one could have."""
        for mark in data.draw(st.permutations(PROCESSES)):
            if self.states[mark] != "lives":
                continue
            for ticket in self.lane.waiting:
                if ticket.mark == mark and self.able(ticket):
                    before = self.lane
                    claimed = claim(self.lane, ticket.run_id, self.limits, self.look, self.now_s)
                    if claimed is not None:
                        ahead = before.waiting[: before.waiting.index(ticket)]
                        room = self.limits.capacity - len(before.running)
                        assert sum(map(self.able, ahead)) < room, "it went before somebody who could have taken it"
                        self.lane = claimed
        idle = self.limits.capacity - len(self.lane.running)
        able = [ticket for ticket in self.lane.waiting if self.able(ticket)]
        assert idle <= 0 or not able, "a wake-up was lost"

    @invariant()
    def never_over_capacity(self) -> None:
        assert len(self.lane.running) <= self.limits.capacity

    @invariant()
    def each_stands_once_and_in_order(self) -> None:
        runs = [ticket.run_id for ticket in (*self.lane.running, *self.lane.waiting)]
        assert len(runs) == len(set(runs))
        places = [self.arrived.index(ticket.run_id) for ticket in self.lane.waiting]
        assert places == sorted(places)
        for place, ticket in enumerate(self.lane.waiting, 1):
            assert place_of(self.lane, ticket.run_id) == Place(place, len(self.lane.waiting))


TestLane = LaneMachine.TestCase
TestLane.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_run_that_was_taken_over_holds_one_slot() -> None:
    """The same run enters again from another process: the slot of the former writer is gone."""
    limits, lives = LaneLimits(1, 0, 1.0), lambda mark: "stopped" if mark == "former" else "lives"
    lane, _ = enter(Lane(), Ticket("r", "m", "former", 9.0), limits, lives, 0.0)  # type: ignore[arg-type]
    lane, joined = enter(lane, Ticket("r", "m", "latter", 9.0), limits, lives, 0.0)  # type: ignore[arg-type]
    assert joined
    assert [ticket.mark for ticket in lane.running] == ["latter"]


PATCH: Mapping[str, object] = {
    "owned_paths": ["app/x.py"],
    "report_schema": "implementation_report.v1",
    "allowed_paths": ["app/x.py"],
    "write_allowed": True,
}


@pytest.mark.parametrize(
    ("fields", "lane"),
    [
        ({"tier": "A2"}, "read_pool"),
        ({"tier": "A3"}, "read_pool"),
        ({"tier": "A4", **PATCH, "write_allowed": False, "report_schema": "patch_validation_report.v1"}, "patch_pool"),
        ({"tier": "A5", **PATCH}, "isolated_apply"),
        ({"tier": "A5", **PATCH, "apply_mode": "temp_project"}, "isolated_apply"),
        ({"tier": "A5", **PATCH, "apply_mode": "workspace_explicit"}, "workspace_apply"),
        ({"tier": "A6", **PATCH}, "critical_lane"),
    ],
)
def test_each_kind_of_mission_has_its_lane(fields: dict[str, object], lane: str) -> None:
    """What writes to the workspace never shares a lane with what reads."""
    assert choose_lane(mission(**fields)) == lane
