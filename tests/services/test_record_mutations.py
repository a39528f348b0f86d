"""Mutations of the record: the published table is what is measured, and what it promises holds for random logs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.missions.events import Known
from tests.missions.test_record import random_play
from tests.services.record_mutations import (
    MAC_TRICKS,
    PLACE,
    RESULTS,
    Mutation,
    edits,
    load_table,
    measure,
    structural,
    written,
)
from tests.services.sealed_run import AUDITORS, Scene


def test_the_published_table_is_what_is_found(tmp_path: Path) -> None:
    """Each mutation by each attacker for each auditor; `python -m tests.services.record_mutations` writes it anew."""
    assert measure(tmp_path) == load_table(), f"{RESULTS.name} is not what this version finds"


def test_what_the_table_promises() -> None:
    """Bytes alone deceive nobody; without the key nothing passes key and anchor; nor does a thief of the key."""
    for kind, row in load_table().items():
        for cell in ("bytes/both", "bytes/anchor", "hashes/anchor", "hashes/both", "key/anchor", "key/both"):
            assert row.found[cell] == row.tried[cell] > 0, (kind, cell, row.missed[cell])
        assert row.found["bytes/nothing"] == row.tried["bytes/nothing"], (kind, row.missed)
        if kind != "the whole run is missing":
            # Nothing but an anchor can tell that a run, called another mission's, was one of this mission.
            assert row.missed.get("hashes/key", []) in ([], ["0.mission_id"])


def test_every_kind_of_event_is_edited(tmp_path: Path) -> None:
    """The story that is mutated holds every event there is."""
    lines = Scene(tmp_path).lines
    kinds = {mutation.kind for mutation in edits(lines)}
    assert {f"edit of `{line['event_type']}`" for line in lines} <= kinds
    assert {line["event_type"] for line in lines} == {event.__name__ for event in get_args(Known)}


@pytest.fixture(scope="module")
def scene() -> Any:
    """One scene for many examples: it is put back after each."""
    with tempfile.TemporaryDirectory() as folder:
        yield Scene(Path(folder))


@given(st.integers(0, 10_000), st.integers(0, 1_000_000))
@settings(max_examples=25, deadline=None)
def test_a_random_log_mutated_at_random_is_found(seed: int, pick: int) -> None:
    """Any model's log, any mutation: found with the key whatever was made anew, and by the anchor from a thief."""
    events: list[Any] = [recorded.event for recorded in random_play(seed).events]
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), events)
        assert scene.audit("both").ok
        every = [*structural(scene.lines), *edits(scene.lines)]
        for mutation in (every[pick % len(every)], every[(pick * 7919) % len(every)]):
            check_found(scene, mutation)


def check_found(scene: Scene, mutation: Mutation) -> None:
    """Nobody passes with one mutation."""
    scene.put(written(mutation, scene, "bytes"))
    if scene.log.read_bytes() != scene.whole:
        assert scene.finds("anchor"), mutation.name
    for trick in MAC_TRICKS:
        scene.put(data := written(mutation, scene, "hashes", trick))
        if data != scene.whole:
            assert scene.finds("both"), (mutation.name, trick)
    scene.put(data := written(mutation, scene, "key"))
    if data != scene.whole:
        assert scene.finds("anchor"), mutation.name
    scene.put(scene.whole)


@given(st.integers(0, 1_000_000), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_every_byte_of_a_log_counts(scene: Scene, at: int, other: int) -> None:
    """One byte changed anywhere, be it a blank more or less: found by whoever looks, with nothing but the log."""
    place = at % len(scene.whole)
    data = scene.whole[:place] + bytes([other]) + scene.whole[place + 1 :]
    if data != scene.whole:
        scene.put(data)
        audit = scene.audit("nothing")
        # The last line feed makes the last line one: without it, that event was never committed.
        assert not audit.ok
        scene.put(scene.whole)


@given(st.integers(0, 1_000_000))
@settings(max_examples=60, deadline=None)
def test_another_spelling_of_a_line_is_no_line(scene: Scene, at: int) -> None:
    """The same JSON with a blank, an escape or a member twice does not verify, though it says the same."""
    lines = scene.whole.splitlines()
    line = lines[at % len(lines)]
    for spelled in (
        line.replace(b":", b": ", 1),
        line.replace(b'"m_test"', b'"\\u006d_test"', 1),
        line.replace(b"{", b'{"seq":1,', 1),
        json.dumps(json.loads(line)).encode(),
        line + b" ",
    ):
        changed = [*lines]
        changed[at % len(lines)] = spelled
        scene.put(b"".join(one + b"\n" for one in changed))
        assert scene.audit("nothing").verdicts["integrity"] == "FAIL"
    scene.put(scene.whole)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_who_knows_more_finds_no_less(scene: Scene, data: st.DataObject) -> None:
    """Key and anchor never hide what is found without them."""
    every = [*structural(scene.lines), *edits(scene.lines)]
    mutation = data.draw(st.sampled_from(every))
    scene.put(written(mutation, scene, data.draw(st.sampled_from(("bytes", "hashes", "key")))))
    nothing, by_key, by_anchor, by_both = (scene.finds(auditor) for auditor in AUDITORS)
    assert nothing <= by_key <= by_both
    assert nothing <= by_anchor <= by_both
    scene.put(scene.whole)


def test_a_better_run_cannot_take_the_place_of_the_last(tmp_path: Path) -> None:
    """A log of an earlier run, true in every byte, in the folder of the latest one: found without key and anchor."""
    scene = Scene(tmp_path)
    scene.put(written(Mutation(PLACE, "", lambda _, foreign: foreign), scene, "bytes"))
    failed = [check.name for check in scene.audit("nothing").checks if check.status == "FAIL"]
    assert failed == ["log.place"]


def test_a_log_of_which_nothing_verifies_is_not_passed_over(tmp_path: Path) -> None:
    """Every line damaged: the run still counts as the mission's latest, and does not verify."""
    scene = Scene(tmp_path)
    scene.log.write_bytes(scene.whole.replace(b'"epoch":1', b'"epoch":2'))
    checks = [check for check in scene.audit("nothing").checks if check.status == "FAIL"]
    assert "log.integrity" in [check.name for check in checks]
    assert "Line 1 does not verify" in checks[0].message


def test_a_run_cannot_be_made_older(tmp_path: Path) -> None:
    """Backdated, so that an earlier and better run counts as the latest: found by the key, and by the anchor."""
    scene = Scene(tmp_path)
    backdated = next(one for one in edits(scene.lines) if one.name == "0.created_at")
    for trick in MAC_TRICKS:
        scene.put(written(backdated, scene, "hashes", trick))
        for auditor in (AUDITORS[1], AUDITORS[2]):
            audit = scene.audit(auditor)
            assert any(check.name == "log.others" and check.status == "FAIL" for check in audit.checks)
