"""The commentary: a level only leaves out, the maximum is one, and the ends of a mission are always told."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.missions.commentary import Commentator, Remark
from codex_oss.missions.events import Recorded
from codex_oss.missions.record import evolve, new_record
from tests.fakes.mission_script import Play, call, mission, report
from tests.missions.test_record import random_play


def remarks_of(events: list[Recorded], *, level: str = "summary", max_events: int = 1000) -> list[Remark]:
    """What would have been said of the same mission under other settings."""
    opened = events[0].event
    told = msgspec.structs.replace(opened, trace_level=level, trace_max_events=max_events)
    record, commentator, remarks = new_record("run_1", "m_test"), Commentator(), []
    for recorded in [msgspec.structs.replace(events[0], event=told), *events[1:]]:
        evolve(record, recorded)
        remarks += commentator.take(record, recorded)
    return remarks


def messages(remarks: list[Remark]) -> list[str]:
    """What was said."""
    return [remark.message for remark in remarks]


@given(st.integers(0, 400), st.integers(2, 30), st.sampled_from(["summary", "detailed"]))
@settings(max_examples=150, deadline=None)
def test_the_maximum_is_one(seed: int, max_events: int, level: str) -> None:
    """Never more remarks than allowed; the last stands; every other one is shown or counted as hidden; order stays."""
    events = random_play(seed).events
    everything, shown = remarks_of(events, level=level), remarks_of(events, level=level, max_events=max_events)
    assert len(shown) <= max_events
    assert [remark.seq for remark in shown] == list(range(1, len(shown) + 1))
    assert shown[-1].message == everything[-1].message
    hidden = [remark for remark in shown if remark.event_type == "commentary_compacted"]
    kept = [remark.message for remark in shown if remark not in hidden]
    rest = iter(messages(everything))
    assert all(message in rest for message in kept)
    told = int(hidden[0].message.split()[0]) if hidden else 0
    assert (len(hidden) <= 1, told) == (True, len(everything) - len(kept))


@given(st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_a_level_only_leaves_out(seed: int) -> None:
    """off is nothing, summary is what detailed says without its debug remarks."""
    events = random_play(seed).events
    detailed, summary = remarks_of(events, level="detailed"), remarks_of(events, level="summary")
    assert remarks_of(events, level="off") == []
    assert messages(summary) == [remark.message for remark in detailed if remark.severity != "debug"]
    assert len(detailed) > len(summary)


def test_warnings_are_kept_when_plain_remarks_are_not() -> None:
    """Room is kept for refusals: they are what a person wants to hear of a long mission."""
    answers = [call("rtk_read", path="app/retry.py", start_line=n, end_line=n) for n in range(1, 6)]
    answers += [call("rtk_read", path="/etc/passwd"), report(status="PARTIAL")]
    played = Play(mission(tool_budget=20, max_model_calls=20), answers)
    played.run()
    shown = remarks_of(played.events, max_events=8)
    assert [remark.event_type for remark in shown[4:]] == [
        "runtime_redirect",
        "commentary_compacted",
        "mission_partial",
    ]


@pytest.mark.parametrize("kind", ["tool_action_started", "coverage_update", "model_action_requested"])
def test_detailed_says_more(kind: str) -> None:
    """Each kind of debug remark is there at level detailed, and only there."""
    played = Play(mission(), [call("rtk_read", path="app/retry.py"), report(status="PARTIAL")])
    played.run()
    kinds = {
        level: {remark.event_type for remark in remarks_of(played.events, level=level)}
        for level in ("summary", "detailed")
    }
    assert (kind in kinds["detailed"], kind in kinds["summary"]) == (True, False)
