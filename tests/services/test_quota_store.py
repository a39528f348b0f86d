"""Quotas on disk: restarts, many writers, files that are none, folders that take nothing, few writes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.accounts.quota import THRESHOLDS, Crossed, Quota, Window
from codex_oss.services import quota_store, state_files
from codex_oss.services.quota_store import DEBOUNCE_S, FILE_NAME, QuotaStore

SPAWN = multiprocessing.get_context("spawn")
NOW = 1_800_000_000.0
ANN = "ann@x.y|acc1"


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """It stands at NOW."""
    return Clock()


def five_hours(used: float, at: float = NOW) -> Quota:
    """One window, so much used."""
    return Quota(at, (Window(18_000, used, NOW + 9_000),))


def test_what_was_told_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    """The quota and the thresholds; file and folder are the user's own."""
    store = QuotaStore(tmp_path, clock=clock)
    assert store.known() == {}
    assert store.take(ANN, five_hours(81.5)) == (Crossed("5h", 18.5, 20.0),)
    again = QuotaStore(tmp_path, clock=clock)
    assert again.known() == {ANN: five_hours(81.5)}
    assert again.take(ANN, five_hours(81.6, NOW + 1)) == ()
    assert again.take(ANN, five_hours(90.0, NOW + 2)) == (Crossed("5h", 10.0, 10.0),)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert store.path == tmp_path / "cache" / FILE_NAME


STEPS = st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["take", "restart", "other"])), max_size=25)


@settings(max_examples=40)
@given(STEPS)
def test_each_threshold_once_over_restarts_and_processes(steps: list[tuple[float, str]]) -> None:
    """While a window only empties, whoever is told of it and whoever dies in between."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        stores = [QuotaStore(Path(folder), clock=clock) for _ in range(2)]
        found: list[float] = []
        for number, (used, way) in enumerate(sorted(steps)):
            if way == "restart":
                stores[0] = QuotaStore(Path(folder), clock=clock)
            taken = stores[way == "other"].take(ANN, five_hours(used, NOW + number))
            found += [crossed.threshold for crossed in taken]
        lowest = 100.0 - max((used for used, _ in steps), default=0.0)
        assert found == sorted(set(found), reverse=True)
        assert min(found, default=None) == min((each for each in THRESHOLDS if lowest <= each), default=None)


def test_a_stream_costs_few_writes(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in DEBOUNCE_S, and none for what is known; all of it is known at once, and on disk after a flush."""
    written: list[Path] = []
    real = state_files.write_atomic

    def counted(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
        written.append(path)
        real(path, data, mode, durable=durable)

    monkeypatch.setattr(quota_store, "write_atomic", counted)
    store = QuotaStore(tmp_path, clock=clock)
    for event in range(100):
        clock.now = NOW + event / 100
        store.take(ANN, five_hours(event / 10, clock.now))
    assert len(written) == 1
    assert store.known()[ANN].windows[0].used_percent == 9.9
    store.flush()
    store.flush()
    assert len(written) == 2
    assert QuotaStore(tmp_path, clock=clock).known() == store.known()
    clock.now = NOW + 2 * DEBOUNCE_S
    for _ in range(10):
        store.take(ANN, five_hours(9.9, clock.now))
    assert len(written) == 2


def test_what_waits_is_written_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment after the last word, whoever said it."""
    monkeypatch.setattr(quota_store, "DEBOUNCE_S", 0.3)
    store, now = QuotaStore(tmp_path), time.time()
    used = 0.0
    while not store.waits:  # on a busy machine each word may come late enough to be written at once
        used += 0.5
        store.take(ANN, five_hours(used, now + used))
    ends_at = time.monotonic() + 60
    while QuotaStore(tmp_path).known()[ANN].windows[0].used_percent != used:
        assert time.monotonic() < ends_at
        time.sleep(0.01)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"accounts": {"a": 1}}', b"\0" * 50, b'{"accounts":' * 5_000])
def test_a_file_that_is_none_is_empty(tmp_path: Path, clock: Clock, data: bytes) -> None:
    """Nothing is raised, and the next word makes a new one."""
    store = QuotaStore(tmp_path, clock=clock)
    store.path.parent.mkdir()
    store.path.write_bytes(data)
    assert store.known() == {}
    assert store.take(ANN, five_hours(81.5))
    assert QuotaStore(tmp_path, clock=clock).known() == {ANN: five_hours(81.5)}


def test_a_link_is_not_followed(tmp_path: Path, clock: Clock) -> None:
    """What stands in the place of the file is replaced, not written through."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"keep")
    store = QuotaStore(tmp_path, clock=clock)
    store.path.parent.mkdir()
    store.path.symlink_to(elsewhere)
    store.take(ANN, five_hours(1.0))
    assert elsewhere.read_bytes() == b"keep"
    assert store.path.is_file()
    assert not store.path.is_symlink()


def test_where_nothing_can_be_written_it_is_remembered(tmp_path: Path, clock: Clock) -> None:
    """A turn does not fail for it; each threshold is still told once, also when the folder comes back."""
    (tmp_path / "cache").write_text("in the way")
    store = QuotaStore(tmp_path, clock=clock)
    assert [crossed.threshold for crossed in store.take(ANN, five_hours(81.5))] == [20.0]
    assert store.take(ANN, five_hours(81.6, NOW + 1)) == ()
    assert store.known()[ANN].windows[0].used_percent == 81.6
    (tmp_path / "cache").unlink()
    clock.now += 2 * DEBOUNCE_S
    assert store.take(ANN, five_hours(82.0, clock.now)) == ()
    assert QuotaStore(tmp_path, clock=clock).known()[ANN].windows[0].used_percent == 82.0


def tell_all(folder: Path, writer: int, count: int, now: float) -> None:
    """Empty one window of its own and one that all share; note which thresholds this process is to tell."""
    store = QuotaStore(folder)
    for number in range(count):
        used = 100.0 * (number + 1) / count
        store.take(f"{writer}|own", five_hours(used, now + number))
        for crossed in store.take("shared|acc", Quota(now + number, (Window(18_000, used, now + 9e5),))):
            with (folder / "told").open("a") as told:
                told.write(f"{crossed.threshold}\n")
    store.flush()


def test_eight_writers_lose_nothing(tmp_path: Path) -> None:
    """The last word of each stands in the file, and of what they share each threshold was told by one of them."""
    now = time.time()
    writers = [SPAWN.Process(target=tell_all, args=(tmp_path, number, 40, now)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(90)
    assert [writer.exitcode for writer in writers] == [0] * 8
    known = QuotaStore(tmp_path).records()
    assert known.keys() == {*(f"{number}|own" for number in range(8)), "shared|acc"}
    assert {record.windows["5h"].readings[-1].used_percent for record in known.values()} == {100.0}
    told = [float(line) for line in (tmp_path / "told").read_text().split()]
    assert len(told) == len(set(told))
    assert min(told) == 0.0


def tell_and_die(folder: Path) -> None:
    """Die between the new file and its name."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    pytest.MonkeyPatch().setattr(os, "replace", die)
    QuotaStore(folder, clock=Clock()).take(ANN, five_hours(90.0, NOW + 1))


def test_who_dies_while_writing_leaves_the_old_file(tmp_path: Path, clock: Clock) -> None:
    """Nothing torn, no lock left, and the threshold is told by the next one."""
    QuotaStore(tmp_path, clock=clock).take(ANN, five_hours(50.0))
    dying = SPAWN.Process(target=tell_and_die, args=(tmp_path,))
    dying.start()
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL
    store = QuotaStore(tmp_path, clock=clock)
    assert store.known() == {ANN: five_hours(50.0)}
    assert [crossed.threshold for crossed in store.take(ANN, five_hours(90.0, NOW + 1))] == [10.0]
