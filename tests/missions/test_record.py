"""The fold: total, the same for any split, and a function of the bytes in the log."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from codex_oss.missions.decide import decide, remaining_ms
from codex_oss.missions.envelope import Envelope, open_event, seal, unseal
from codex_oss.missions.events import (
    LEGACY_TYPES,
    ActionProposed,
    LegacyEvent,
    MissionEvent,
    MissionQueued,
    MissionResumed,
    MissionScheduled,
    Recorded,
    canonical_json,
)
from codex_oss.missions.projections import NAMES, project_files
from codex_oss.missions.record import evolve, fold
from codex_oss.policy.scope import scope_of
from tests.fakes.mission_script import Play, RawCalls, call, finding, mission, report, several

ANSWERS = [
    call("rtk_read", path="app/retry.py"),
    call("rtk_read", path="app/config.py", start_line=1, end_line=1),
    call("rtk_read", path="/etc/passwd"),
    call("rtk_grep", pattern="RETR", path="app"),
    call("rtk_grep", pattern="NOWHERE"),
    call("rtk_ls", path="app"),
    call("rtk_git_status"),
    call("shell", cmd="rm -rf /"),
    "not json at all",
    "",
    report(finding("`MAX_RETRIES` is 5", "file:app/retry.py#extract:1")),
    report(finding("made up", "file:app/none.py#extract:7")),
    report(status="PARTIAL"),
    ("failed", "stream_interrupted"),
    ("failed", "upstream_refused"),
    several(call("rtk_read", path="app/retry.py"), call("rtk_grep", pattern="RETR"), call("rtk_read", path="../x")),
    several(call("rtk_ls", path="app"), report(finding("`MAX_RETRIES` is 5", "file:app/retry.py#extract:1"))),
    RawCalls((("rtk_read", '{"path": "app/retry.py"'), ("rtk_ls", "")), "beside"),
    RawCalls((("", "[]"), ("final_report", "3"), ("final_report", "{}"))),
    RawCalls((("final_report", '{"status": {}, "findings": [[]]}'),)),
    RawCalls((("\x1b[31m" * 40, '{"path": 1, "path": 2}'),)),
    RawCalls((("rtk_grep", '{"pattern": "RETR", "max_results": "9"}'),) * 16),
]


def random_play(seed: int) -> Play:
    """A mission with a model that does anything."""
    chance = random.Random(seed)
    played = Play(
        mission(tool_budget=chance.randint(1, 8), max_model_calls=chance.randint(1, 20)),
        lambda record: chance.choice(ANSWERS),
        seconds_per_call=chance.choice([0.1, 5, 40]),
        protocol=chance.choice(["json", "tools"]),
    )
    played.run()
    return played


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_any_model_ends_any_mission_honestly(seed: int) -> None:
    """Whatever the model does, the mission ends with one closing, and below COMPLETE it says why."""
    played = random_play(seed)
    closed = played.record.closed
    assert closed is not None
    assert sum(type(event.event).__name__ == "MissionClosed" for event in played.events) == 1
    assert (closed.status == "COMPLETE") == (not closed.reason_codes)


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_folding_a_prefix_then_the_rest_is_folding_all(seed: int, cut: float) -> None:
    """Any prefix of any log folds, and evolving it by the rest gives the fold of the whole."""
    played = random_play(seed)
    at = round(cut * len(played.events))
    record = fold("run_1", "m_test", played.events[:at])
    for event in played.events[at:]:
        evolve(record, event)
    assert record == fold("run_1", "m_test", played.events) == played.record


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_any_order_of_events_folds(seed: int, shuffle: int) -> None:
    """Even a log whose events make no sense together folds, projects and decides without an exception."""
    played = random_play(seed)
    events = list(played.events)
    random.Random(shuffle).shuffle(events)
    record = fold("run_1", "m_test", events)
    project_files("run_1", "m_test", events)
    decide(record, played.now_ms, scope_of(played.contract))


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_bytes_of_the_log_are_enough(seed: int) -> None:
    """Reading the lines back gives the same record, the same next step and the same files, byte for byte."""
    played = random_play(seed)
    again = [unseal(line) for line in played.lines]
    events = [Recorded(e.seq, e.created_at, open_event(e), e.event_hash) for e in again]
    assert fold("run_1", "m_test", events) == played.record
    first, second = project_files("run_1", "m_test", played.events), project_files("run_1", "m_test", events)
    assert first == second
    assert tuple(first) == NAMES
    for name, data in first.items():
        if name.endswith(".json"):
            json.loads(data)
        if name.endswith(".jsonl"):
            assert all(json.loads(line) for line in data.splitlines())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_canonical_json_is_what_other_programs_write(value: Any) -> None:
    """The hashed bytes are reproducible with the standard library's writer: sorted, no spaces, UTF-8."""
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical_json(value) == expected


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8")),
        lambda v: st.lists(v) | st.dictionaries(st.text(st.characters(codec="utf-8")), v),
    )
)
@settings(max_examples=200, deadline=None)
def test_what_a_model_wrote_verifies_again(value: Any) -> None:
    """Any number, text or nesting that an event may carry: its line is the one spelling of itself."""
    event = ActionProposed(1, "tool_call", arguments={"x": value})
    _, line = seal(event, run_id="r", mission_id="m", seq=1, prev_hash="", created_at="2026-01-01T00:00:00Z", key=b"k")
    for key in (b"", b"k"):
        assert open_event(unseal(line, key)) == event


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: {**e, "seq": 2}, "event_hash_mismatch"),
        (lambda e: {**e, "payload": {**e["payload"], "profile": "other"}}, "event_hash_mismatch"),
        (lambda e: {**e, "schema_version": "mission_event.v2"}, "schema_version_invalid"),
        (lambda e: {k: v for k, v in e.items() if k != "payload"}, "event_json_invalid"),
        (lambda e: [e], "event_json_invalid"),
        (lambda e: {**e, "extra": 1}, "event_hash_mismatch"),
    ],
)
def test_a_changed_line_is_refused(change: Callable[[Any], Any], reason: str) -> None:
    """Any edit of a line breaks its own hash."""
    line = random_play(1).lines[0]
    with pytest.raises(ValueError, match=reason):
        unseal(json.dumps(change(json.loads(line))).encode())


@pytest.mark.parametrize("event_type", sorted(LEGACY_TYPES))
def test_older_events_stay_readable(event_type: str) -> None:
    """The fifteen older types open as they are and fold to nothing but their place."""
    envelope = Envelope(
        "r",
        "m",
        "evt_000001",
        1,
        "",
        event_type,
        "runtime",
        "runtime_authoritative",
        "2026-01-01T00:00:00Z",
        Raw(b'{"a":1}'),
    )
    event: MissionEvent = open_event(envelope)
    assert event == LegacyEvent(event_type, {"a": 1})
    assert fold("r", "m", [Recorded(1, "2026-01-01T00:00:00Z", event, "h")]).stage == "unopened"


def test_an_unknown_event_is_named() -> None:
    """A type that nobody knows and a payload that does not fit are told apart."""
    envelope = Envelope("r", "m", "evt_000001", 1, "", "Invented", "runtime", "x", "2026-01-01T00:00:00Z", Raw(b"{}"))
    with pytest.raises(ValueError, match="unsupported_event_type"):
        open_event(envelope)
    with pytest.raises(ValueError, match="payload_invalid"):
        open_event(msgspec.structs.replace(envelope, event_type="ToolStarted"))


@given(st.lists(st.tuples(st.sampled_from(["queued", "resumed"]), st.integers(0, 40_000)), max_size=8))
def test_waiting_for_a_slot_takes_nothing_of_the_time(waits: list[tuple[str, int]]) -> None:
    """However often its place is told and its process dies in the queue: it begins with its whole time."""
    run = Play(mission(), [])
    run.append(run.opening, MissionQueued("read_pool", 1, 1, 3))
    for what, passed_ms in waits:
        run.now += timedelta(milliseconds=passed_ms)
        run.append(MissionResumed(passed_ms) if what == "resumed" else MissionQueued("read_pool", 1, 1, 3))
    assert run.record.queued is not None
    run.now += timedelta(milliseconds=700)
    run.append(MissionScheduled("read_pool", 700))
    assert run.record.queued is None
    assert remaining_ms(run.record, run.now_ms) == run.contract.budget.time_s * 1000
    run.now += timedelta(seconds=5)
    assert remaining_ms(run.record, run.now_ms) == run.contract.budget.time_s * 1000 - 5000
