"""What is remembered of an account's windows: what was said last, how it came there, which thresholds were told.

Counterparts: `accounts.quota` is one thing said, `services.quota_store` keeps records over restarts,
`accounts.forecast` reads the pace from them.

    record ── learned(told) ──► record', thresholds newly crossed
       └──── quota_now(now) ──► what is known now

Rules that hold here:

1. Windows are told apart by their names; of each the last word counts, and what is older than it is not heard.
2. A window that began anew, because its reset passed and the next one was named, tells its thresholds anew, and its
   pace is measured anew.
3. When the reset of a window has passed and nobody said anything since, nothing is known of it. When something was said
   since, but not of this window, there is no such window any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from codex_oss.accounts.quota import Credits, Crossed, Quota, Window, crossed, told_after

MAX_READINGS: Final = 24
SPACING_RATIO: Final = 0.01
"""Readings that are kept lie this part of their window apart: 3 minutes of five hours."""
MIN_SPACING_S: Final = 60
RECOVERED_PERCENT: Final = 1.0
"""A window of which so much less is used than before was reset, whatever its clock says."""
SAME_RESET_S: Final = 5.0
"""Resets that are told as seconds from now differ by the time that the answer took."""
STALE_S: Final = 60.0
FORGOTTEN_S: Final = 30 * 24 * 3600
MAX_ACCOUNTS: Final = 512


class Reading(Struct, frozen=True, array_like=True):
    """What was said of a window. at, resets_at: epoch seconds; None where it was not said."""

    at: float
    used_percent: float | None = None
    resets_at: float | None = None


class WindowRecord(Struct, frozen=True):
    """One window. readings: oldest first, the last one is what counts; told: the deepest threshold that was told."""

    seconds: int
    readings: tuple[Reading, ...] = ()
    told: float | None = None


class QuotaRecord(Struct, frozen=True):
    """One account. read_at: when something was said last; windows: by name."""

    read_at: float = 0.0
    windows: dict[str, WindowRecord] = {}
    credits: Credits = Credits()
    plan: str = ""


def learned(record: QuotaRecord | None, told: Quota) -> tuple[QuotaRecord, tuple[Crossed, ...]]:
    """The record after something was said, and each window's deepest threshold that was reached by it and not told."""
    known = record or QuotaRecord()
    windows, found = dict(known.windows), []
    for window in told.windows:
        before = windows.get(window.name) or WindowRecord(window.seconds)
        if before.readings and told.read_at < before.readings[-1].at:
            continue
        after, threshold = _read(before, window, told.read_at)
        windows[window.name] = after
        left = window.left_percent
        if threshold is not None and left is not None:
            found.append(Crossed(window.name, left, threshold))
    newer = told.read_at >= known.read_at
    after_all = QuotaRecord(
        max(known.read_at, told.read_at),
        windows,
        told.credits if newer and told.credits != Credits() else known.credits,
        (told.plan if newer else "") or known.plan,
    )
    return after_all, tuple(found)


def quota_now(record: QuotaRecord, now_s: float) -> Quota:
    """What is known now, shortest window first; see rule 3."""
    windows = []
    for known in sorted(record.windows.values(), key=lambda known: known.seconds):
        last = known.readings[-1] if known.readings else Reading(0.0)
        if last.resets_at is None or last.resets_at > now_s:
            windows.append(Window(known.seconds, last.used_percent, last.resets_at))
        elif last.at >= last.resets_at:
            # A reset that had passed when it was named says how the clocks differ, not when the window begins anew.
            windows.append(Window(known.seconds, last.used_percent))
        elif record.read_at < last.resets_at:
            windows.append(Window(known.seconds))
    return Quota(record.read_at, tuple(windows), record.credits, record.plan)


def differs(one: QuotaRecord | None, other: QuotaRecord) -> bool:
    """Whether two records of one account say different things, or the later one is much later."""
    if one is None or one.windows.keys() != other.windows.keys():
        return True
    return (
        (one.credits, one.plan) != (other.credits, other.plan)
        or abs(one.read_at - other.read_at) >= STALE_S
        or any(_window_differs(window, other.windows[name]) for name, window in one.windows.items())
    )


def told_differs(one: QuotaRecord | None, other: QuotaRecord) -> bool:
    """Whether different thresholds count as told."""
    held = one.windows if one else {}
    return any((held[name].told if name in held else None) != window.told for name, window in other.windows.items())


def remembered(records: Mapping[str, QuotaRecord], now_s: float) -> dict[str, QuotaRecord]:
    """The records that are worth keeping: the newest MAX_ACCOUNTS of those that somebody spoke of lately."""
    kept = {person: record for person, record in records.items() if record.read_at > now_s - FORGOTTEN_S}
    if len(kept) <= MAX_ACCOUNTS:
        return kept
    newest = sorted(kept, key=lambda person: (kept[person].read_at, person))[-MAX_ACCOUNTS:]
    return {person: kept[person] for person in newest}


def _read(record: WindowRecord, window: Window, at: float) -> tuple[WindowRecord, float | None]:
    """The window after a reading, and the threshold that is to be told."""
    reading = Reading(at, window.used_percent, window.resets_at)
    anew = _began_anew(record, reading)
    told, left = None if anew else record.told, window.left_percent
    readings = () if anew or _recovered(record, reading) else record.readings
    kept = WindowRecord(
        window.seconds,
        _with(readings, reading, max(MIN_SPACING_S, window.seconds * SPACING_RATIO)),
        told if left is None else told_after(told, left),
    )
    return kept, None if left is None else crossed(told, left)


def _began_anew(record: WindowRecord, reading: Reading) -> bool:
    """Whether the reset passed and another one was named. With clocks that differ the same reset stays in the past."""
    before = record.readings[-1].resets_at if record.readings else None
    if before is None or reading.at < before:
        return False
    return reading.resets_at is None or reading.resets_at > before + SAME_RESET_S


def _recovered(record: WindowRecord, reading: Reading) -> bool:
    before = record.readings[-1].used_percent if record.readings else None
    now = reading.used_percent
    return before is not None and now is not None and now < before - RECOVERED_PERCENT


def _with(readings: tuple[Reading, ...], reading: Reading, spacing_s: float) -> tuple[Reading, ...]:
    """The readings with a newer one: it takes the place of the last one as long as that lies near the one before."""
    kept = readings[:-1] if len(readings) > 1 and reading.at - readings[-2].at < spacing_s else readings
    return (*kept, reading)[-MAX_READINGS:]


def _window_differs(one: WindowRecord, other: WindowRecord) -> bool:
    if (one.told, one.seconds) != (other.told, other.seconds) or not (one.readings and other.readings):
        return True
    last, next_ = one.readings[-1], other.readings[-1]
    if last.used_percent != next_.used_percent or (last.resets_at is None) != (next_.resets_at is None):
        return True
    return last.resets_at is not None and abs(last.resets_at - (next_.resets_at or 0.0)) > SAME_RESET_S
