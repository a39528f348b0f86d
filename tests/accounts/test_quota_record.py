"""What is remembered of windows: the last word counts, thresholds are told once, a pace can be read."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.quota import REARM_PERCENT, THRESHOLDS, Credits, Crossed, Quota, Window, joined_quota
from codex_oss.accounts.quota_record import (
    FORGOTTEN_S,
    MAX_ACCOUNTS,
    MAX_READINGS,
    QuotaRecord,
    Reading,
    learned,
    quota_now,
    remembered,
)

NOW = 1_800_000_000.0
SECONDS = st.sampled_from([18_000, 604_800, 3_600])
USED = st.none() | st.floats(0, 100) | st.sampled_from([75.0, 80.0, 99.6, 100.0])
CREDITS = st.builds(Credits, st.none() | st.booleans(), st.none() | st.booleans(), st.none() | st.just("3"))


@st.composite
def told(draw: st.DrawFn, at: float = NOW) -> Quota:
    """Something said, each window once, resets all ahead."""
    lengths = draw(st.lists(SECONDS, unique=True, max_size=3))
    windows = tuple(Window(length, draw(USED), draw(st.none() | st.floats(at + 1e6, at + 2e6))) for length in lengths)
    return Quota(at, windows, draw(CREDITS), draw(st.sampled_from(["", "plus"])))


def sequence(draw: st.DrawFn) -> Iterator[Quota]:
    """Things said one after the other."""
    at = NOW
    for pause_s in draw(st.lists(st.floats(0, 5_000), max_size=40)):
        at += pause_s
        yield draw(told(at))


SEQUENCES = st.composite(lambda draw: list(sequence(draw)))()


def remember(said: list[Quota]) -> tuple[QuotaRecord, list[Crossed]]:
    """The record after all of it, as it comes back from disk each time, and all thresholds that were told."""
    record = QuotaRecord()
    found: list[Crossed] = []
    for quota in said:
        after, crossed = learned(record, quota)
        record = msgspec.json.decode(msgspec.json.encode(after), type=QuotaRecord)
        assert record == after
        found += crossed
    return record, found


@given(SEQUENCES)
def test_what_is_known_is_what_was_said_last(said: list[Quota]) -> None:
    """Of each window the last word, through any number of restarts, as `joined_quota` says it."""
    record, _ = remember(said)
    joined: Quota | None = None
    for quota in said:
        joined = joined_quota(joined, quota)
    if joined is not None:
        now = quota_now(record, said[-1].read_at)
        assert now.windows == tuple(sorted(joined.windows, key=lambda window: window.seconds))
        assert (now.read_at, now.credits, now.plan) == (joined.read_at, joined.credits, joined.plan)
    assert all(len(window.readings) <= MAX_READINGS for window in record.windows.values())


@given(SEQUENCES)
def test_each_threshold_is_told_once(said: list[Quota]) -> None:
    """Again only after its window recovered past it; and whenever a window lies below one, somebody was told."""
    record = QuotaRecord()
    told_of: dict[str, set[float]] = {}
    for quota in said:
        record, found = learned(msgspec.json.decode(msgspec.json.encode(record), type=QuotaRecord), quota)
        for window in quota.windows:
            left, held = window.left_percent, told_of.setdefault(window.name, set())
            if left is None:
                assert not [crossed for crossed in found if crossed.window == window.name]
                continue
            held -= {threshold for threshold in held if left > threshold + REARM_PERCENT}
            new = [crossed for crossed in found if crossed.window == window.name]
            assert len(new) <= 1
            for crossed in new:
                assert crossed.threshold not in held
                assert left <= crossed.threshold
                held |= {threshold for threshold in THRESHOLDS if threshold >= crossed.threshold}
            assert not [threshold for threshold in THRESHOLDS if left <= threshold and threshold not in held]


@given(SEQUENCES, st.randoms(use_true_random=False))
def test_what_comes_late_is_not_heard(said: list[Quota], chance: object) -> None:
    """Anything said before the last word on its window changes nothing of it, and tells nothing."""
    record, _ = remember(said)
    for quota in said[:-1]:
        older = {name for name in record.windows if record.windows[name].readings[-1].at > quota.read_at}
        after, found = learned(record, quota)
        assert not older & {crossed.window for crossed in found}
        assert all(after.windows[name] == record.windows[name] for name in older)


def test_a_window_that_hovers_is_told_of_once() -> None:
    """Answers of turns side by side come in any order; a real recovery counts."""
    said = [Quota(NOW + at, (Window(18_000, used),)) for at, used in enumerate([74.9, 75.1, 74.8, 75.2, 70.0, 76.0])]
    _, found = remember(said)
    assert [(crossed.threshold, crossed.left_percent) for crossed in found] == [(25.0, 100 - 75.1), (25.0, 24.0)]


def test_a_new_window_warns_anew_although_nobody_saw_it_full() -> None:
    """The reset passed and another one is named: 24 % left of the new one is news."""
    said = [Quota(NOW, (Window(18_000, 76.0, NOW + 60),)), Quota(NOW + 120, (Window(18_000, 76.5, NOW + 9_000),))]
    record, found = remember(said)
    assert [crossed.threshold for crossed in found] == [25.0, 25.0]
    assert len(record.windows["5h"].readings) == 1


def test_a_window_that_was_reset_early_is_measured_anew() -> None:
    """Whatever its clock says: readings from before would hide the pace. What only hovers is measured on."""
    hovering, _ = remember(
        [Quota(NOW + at, (Window(18_000, used, NOW + 9_000),)) for at, used in ((0, 60.0), (300, 59.5))]
    )
    assert len(hovering.windows["5h"].readings) == 2
    reset, _ = learned(hovering, Quota(NOW + 600, (Window(18_000, 3.0, NOW + 9_000),)))
    assert reset.windows["5h"].readings == (Reading(NOW + 600, 3.0, NOW + 9_000),)


def test_clocks_that_differ_do_not_repeat_a_warning() -> None:
    """A reset that lies in our past when it is named: no new window, and its instant is not believed."""
    said = [Quota(NOW + at, (Window(18_000, 76.0 + at / 10, NOW - 60),)) for at in range(5)]
    record, found = remember(said)
    assert len(found) == 1
    assert quota_now(record, NOW + 5).windows == (Window(18_000, 76.4),)


def test_what_nobody_said_since_the_reset_is_unknown() -> None:
    """Not full and not empty; and a window that is not spoken of any more is gone."""
    record, _ = remember([Quota(NOW, (Window(18_000, 76.0, NOW + 60), Window(604_800, 5.0, NOW + 9e5)))])
    assert quota_now(record, NOW + 61).windows == (Window(18_000), Window(604_800, 5.0, NOW + 9e5))
    record, _ = learned(record, Quota(NOW + 100, (Window(604_800, 6.0, NOW + 9e5),)))
    assert quota_now(record, NOW + 101).windows == (Window(604_800, 6.0, NOW + 9e5),)


def test_readings_lie_apart() -> None:
    """A busy hour leaves a reading each three minutes and the last one, from which a pace can be read."""
    record, _ = remember([Quota(NOW + at, (Window(18_000, at / 100, NOW + 1e4),)) for at in range(0, 3_600, 5)])
    readings = record.windows["5h"].readings
    assert readings[-1] == Reading(NOW + 3_595, 35.95, NOW + 1e4)
    assert len(readings) <= 22
    assert readings[0].at == NOW


def test_the_oldest_are_forgotten() -> None:
    """After a month, and beyond so many accounts."""
    records = {str(number): QuotaRecord(NOW + number) for number in range(MAX_ACCOUNTS + 3)}
    assert min(remembered(records, NOW + 1), key=int) == "3"
    assert remembered({"a": QuotaRecord(NOW)}, NOW + FORGOTTEN_S) == {}
