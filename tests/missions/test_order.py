"""The order of events: what the runtime writes passes, and what somebody left out, moved or repeated does not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ActionProtocol
from codex_oss.missions.envelope import provenance_of, seal, unseal
from codex_oss.missions.events import Known, LegacyEvent, MissionResumed, Recorded
from codex_oss.missions.order import STAGES, check_order
from codex_oss.missions.record import evolve, new_record
from tests.fakes.mission_script import Play, call, mission, several
from tests.missions.test_record import ANSWERS, random_play


def first_disorder(events: Sequence[Recorded]) -> int:
    """Place of the first event that cannot stand where it stands, from 1; 0 when all can."""
    record = new_record("run_1", "m_test")
    for place, recorded in enumerate(events, 1):
        event = recorded.event
        assert not isinstance(event, LegacyEvent)
        _, line = seal(event, run_id="run_1", mission_id="m_test", seq=place, prev_hash="", created_at=recorded.at)
        if check_order(record, unseal(line), event):
            return place
        evolve(record, recorded)
    return 0


def test_every_event_has_its_place() -> None:
    """The table is whole: a new event must say in which stages it may come."""
    assert set(STAGES) == set(get_args(Known))


@pytest.mark.parametrize("protocol", ["json", "tools"])
@given(seed=st.integers(0, 10_000), resumed=st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_what_the_runtime_writes_is_in_order(protocol: ActionProtocol, seed: int, resumed: int) -> None:
    """Whatever the model does, several calls at once included, and wherever another writer takes over."""
    chance = random.Random(seed)
    read, grep = call("rtk_read", path="app/retry.py"), call("rtk_grep", pattern="RETR")
    answers = [*ANSWERS, several(read, grep), several(grep, call("shell", cmd="ls"), read)]
    played = Play(mission(), lambda record: chance.choice(answers), protocol=protocol)
    played.run()
    events = played.events
    assert first_disorder(events) == 0
    at = 1 + resumed % (len(events) - 1)
    taken_over = Recorded(0, events[0].at, MissionResumed(5), "h")
    assert first_disorder([*events[:at], taken_over, *events[at:]]) == 0


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_what_was_left_out_or_repeated_or_moved_is_not(seed: int, where: int) -> None:
    """Each event is missed, doubled or out of place at once or at the next one; its number is told.

    What stood right before a closing is the exception: a mission may be cut off at any moment.
    """
    events = random_play(seed).events
    at = where % max(1, len(events) - 2)
    assert first_disorder([*events[:at], *events[at + 1 :]]) in (at + 1, at + 2)
    assert first_disorder([*events[: at + 1], *events[at:]]) in (at + 2, at + 3)
    if at < len(events) - 3 and type(events[at].event) is not type(events[at + 1].event):
        assert first_disorder([*events[:at], events[at + 1], events[at], *events[at + 2 :]]) in range(at + 1, at + 4)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_a_number_that_stands_twice_stands_twice(seed: int, where: int) -> None:
    """The number of a question or a run, changed in one event only, is found there."""
    events = list(random_play(seed).events)
    numbered = [at for at, one in enumerate(events) if hasattr(one.event, "call") or hasattr(one.event, "step")]
    at = numbered[where % len(numbered)]
    event = events[at].event
    name = "step" if hasattr(event, "step") else "call"
    changed = msgspec.structs.replace(event, **{name: getattr(event, name) + 1})
    events[at] = msgspec.structs.replace(events[at], event=changed)
    assert first_disorder(events) == at + 1


def test_whose_word_it_is_cannot_be_exchanged() -> None:
    """An answer of the model's that is called the runtime's word is found, also with a new hash."""
    answered = next(one for one in random_play(1).events if type(one.event).__name__ == "ModelAnswered")
    record = new_record("run_1", "m_test")
    for recorded in random_play(1).events[: answered.seq - 1]:
        evolve(record, recorded)
    event = answered.event
    assert not isinstance(event, LegacyEvent)
    _, line = seal(event, run_id="r", mission_id="m", seq=answered.seq, prev_hash="", created_at=answered.at)
    envelope = unseal(line)
    assert check_order(record, envelope, event) == ""
    assert provenance_of(event) == (envelope.source_kind, envelope.authority) == ("model", "model_narrative")
    exchanged = msgspec.structs.replace(envelope, authority="runtime_authoritative")
    assert "not the word of" in check_order(record, exchanged, event)
