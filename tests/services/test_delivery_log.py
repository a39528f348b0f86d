"""The delivery log: many writers at once, torn ends, edits, forgeries and what may stand in its place."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from codex_oss.errors import LogCorrupt, StoreError
from codex_oss.missions.delivery import DeliveryEvent, ItemsEmitted, TranscriptJudged, emitted_item
from codex_oss.missions.envelope import seal
from codex_oss.services import delivery_log
from codex_oss.services.delivery_log import DELIVERY_NAME, DeliveryBook, DeliveryReading
from codex_oss.services.event_log import EventLog, Seal, read_log
from codex_oss.services.mission_store import MissionStore
from tests.fakes.mission_script import Play, call, mission, report

KEY = b"k" * 32
NOTE = ItemsEmitted("responses", (emitted_item("remark:1", "x"),), "thread-digest", "client/1")
SEEN = TranscriptJudged("PASS", "whole", "codex_exec_json", "0" * 64, "thread-digest", observed=("remark:1",))


@pytest.fixture
def store(tmp_path: Path) -> MissionStore:
    """A project with one closed run."""
    store = MissionStore(tmp_path)
    played = Play(mission(), [call("rtk_read", path="app/retry.py"), report(status="PARTIAL")])
    played.run()
    with EventLog(store.prepare_run("run_1"), "run_1", "m_test", seal=Seal(KEY)) as log:
        log.append([recorded.event for recorded in played.events])  # type: ignore[misc]
    return store


def book_of(store: MissionStore, key: bytes = KEY) -> DeliveryBook:
    """A fresh book, as another process has one."""
    return DeliveryBook(store, lambda: Seal(key))


def note(store: MissionStore, *events: DeliveryEvent, key: bytes = KEY) -> Path:
    """Append events; the path of the log."""
    for event in events:
        book_of(store, key).append("run_1", "m_test", event)
    return store.run_folder("run_1") / DELIVERY_NAME


def state(reading: DeliveryReading) -> str:
    """The state of the first remark."""
    return reading.delivery.items[0].state


def test_created_emitted_observed(store: MissionStore) -> None:
    """Each event moves the item on by one state; the log of the run is not touched."""
    run = store.run_folder("run_1") / "events.jsonl"
    before = run.read_bytes()
    states = [state(book_of(store).read("m_test", KEY))]
    for event in (NOTE, SEEN):
        note(store, event)
        states.append(state(book_of(store).read("m_test", KEY)))
    assert states == ["created", "emitted", "observed"]
    assert run.read_bytes() == before


def test_an_observation_before_its_emission_is_none(store: MissionStore) -> None:
    """What nobody had sent yet cannot have been seen; nor can what was sent to another thread."""
    note(store, SEEN, NOTE)
    assert state(book_of(store).read("m_test", KEY)) == "emitted"


def test_many_writers_make_one_chain(store: MissionStore) -> None:
    """Threads and processes that append at once: no note is lost, each verifies, and the numbers have no gap."""
    path = note(store, NOTE)
    program = (
        "import sys; from pathlib import Path; from tests.services.test_delivery_log import *\n"
        "store = MissionStore(Path(sys.argv[1])); book = book_of(store)\n"
        "for _ in range(20): book.append('run_1', 'm_test', NOTE)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(store.state.parent)], cwd=Path(__file__).parents[2])
        for _ in range(2)
    ]
    shared = book_of(store)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shared.append("run_1", "m_test", NOTE), range(40)))
    assert [child.wait(30) for child in children] == [0, 0]
    reading = read_log(path, KEY)
    assert (reading.bad_line, reading.torn_bytes, len(reading.envelopes)) == (0, 0, 81)


def test_nobody_writes_while_another_does(store: MissionStore) -> None:
    """The lock is taken for each write; a holder who does not let go is an error after a while."""
    path = note(store, NOTE)
    before, holder = path.read_bytes(), os.open(path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(StoreError) as refused:
            note(store, NOTE)
    finally:
        os.close(holder)
    assert (refused.value.code, path.read_bytes()) == ("log_locked", before)


@pytest.mark.parametrize("keep", [0, 1, 40, 200])
def test_a_torn_end_is_cut_off(store: MissionStore, keep: int) -> None:
    """Killed in the middle of a write: the next one goes on behind the last whole line."""
    path = note(store, NOTE)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:keep])
    note(store, SEEN)
    assert (read_log(path, KEY).bad_line, len(read_log(path, KEY).envelopes)) == (0, 2)
    assert state(book_of(store).read("m_test", KEY)) == "observed"


def test_an_edited_line_stops_reading_and_writing(store: MissionStore) -> None:
    """What stands before it counts; nothing is built on top of it, and a note that fails says False."""
    path = note(store, NOTE, SEEN)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b'"WARN"', b'"PASS"').replace(b"remark:1", b"remark:2"))
    reading = book_of(store).read("m_test", KEY)
    assert (reading.bad_line, state(reading)) == (2, "emitted")
    with pytest.raises(LogCorrupt):
        note(store, NOTE)
    assert book_of(store).note("run_1", "m_test", NOTE) is False


def forged(path: Path, key: bytes) -> None:
    """Add an observation with a right chain, as somebody without our key can."""
    head = read_log(path).head
    assert head is not None
    _, line = seal(
        SEEN,
        run_id="run_1",
        mission_id="m_test",
        seq=head.seq + 1,
        prev_hash=head.event_hash,
        created_at=head.created_at,
        key=key,
    )
    path.write_bytes(path.read_bytes() + line + b"\n")


@pytest.mark.parametrize("key", [b"", b"z" * 32])
def test_a_forged_observation_does_not_count_where_the_key_is(store: MissionStore, key: bytes) -> None:
    """Without a MAC, or with one of another key: the item stays emitted, and the reading says why."""
    path = note(store, NOTE)
    forged(path, key)
    reading = book_of(store).read("m_test", KEY)
    assert state(reading) == "emitted"
    assert (reading.unsealed, reading.bad_line) == ((1, 0) if not key else (0, 2))
    elsewhere = book_of(store).read("m_test")
    assert (elsewhere.checked, state(elsewhere)) == (False, "observed")


def test_the_log_of_another_run_says_nothing_here(store: MissionStore, tmp_path: Path) -> None:
    """Copied from a run that was observed: nothing of it counts for this one."""
    path = note(store, NOTE, SEEN)
    with EventLog(store.prepare_run("run_2"), "run_2", "m_test", seal=Seal(KEY)) as log:
        recorded = read_log(store.run_folder("run_1") / "events.jsonl").recorded()
        log.append([each.event for each in recorded])  # type: ignore[misc]
    (store.run_folder("run_2") / DELIVERY_NAME).write_bytes(path.read_bytes())
    reading = book_of(store).read("m_test", KEY)
    assert (reading.delivery.run_id, state(reading)) == ("run_2", "created")


PLANTS: dict[str, Callable[[Path, Path], None]] = {
    "fifo": lambda path, _: os.mkfifo(path),
    "link": lambda path, outside: path.symlink_to(outside),
    "folder": lambda path, _: path.mkdir(),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_what_stands_in_its_place_is_left_alone(store: MissionStore, tmp_path: Path, plant: str) -> None:
    """A FIFO, a link to elsewhere or a folder: an error of ours, at once, and nothing is written anywhere."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    PLANTS[plant](store.run_folder("run_1") / DELIVERY_NAME, outside)
    with pytest.raises(StoreError):
        note(store, NOTE)
    with pytest.raises(StoreError):
        book_of(store).read("m_test", KEY)
    assert outside.read_bytes() == b"mine"


def test_it_is_bounded(store: MissionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer in a loop can neither fill the disk nor keep a transcript from being judged."""
    monkeypatch.setattr(delivery_log, "MAX_DELIVERY_BYTES", 4000)
    monkeypatch.setattr(delivery_log, "RESERVED_BYTES", 2000)
    book = book_of(store)
    assert [book.note("run_1", "m_test", NOTE) for _ in range(6)].count(True) < 6
    assert (store.run_folder("run_1") / DELIVERY_NAME).stat().st_size <= 2000
    assert book.note("run_1", "m_test", SEEN)
    assert state(book.read("m_test", KEY)) == "observed"


def test_a_run_that_is_not_there_costs_a_warning(store: MissionStore, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is made, nothing raises."""
    assert book_of(store).note("run_9", "m_test", NOTE) is False
    assert "could not be noted" in caplog.text
    assert not store.run_folder("run_9").exists()
