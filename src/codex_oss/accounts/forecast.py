"""Whether windows last for what is asked, at the pace that was observed: an estimate, between two bounds.

Counterparts: `accounts.quota_record` has the readings; `cli/quota_table` and `cli/quota_outlook` show it.

    used │            ╱ high: the faster of both, and what whole percents hide
         │     ····╱┄┄
         │ ··╱┄┄┄┄┄┄┄  low
         └────────┬──────┬──────► time
                 now   what is asked, or the reset, whichever comes first

Two paces are looked at: that of the last readings, and that of the window since it began. Rules that hold here:

1. `lasts` and `runs_out` are said when both bounds agree, `may_not_last` when they do not.
2. What is unknown is not guessed: without a number there is no forecast, without two readings no recent pace.
3. Backends that tell whole percents hide up to one; a pace of nothing in two minutes is not a pace of nothing.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from msgspec import Struct

from codex_oss.accounts.quota import Window, goes_on
from codex_oss.accounts.quota_record import QuotaRecord, Reading, quota_now

Verdict = Literal["lasts", "credits_go_on", "may_not_last", "runs_out", "used_up", "unknown"]

MIN_SPAN_S: Final = 120.0
"""Readings that lie nearer together tell no pace."""
RECENT_RATIO: Final = 0.1
"""The last part of a window that tells the recent pace: half an hour of five."""
WHOLE_PERCENT: Final = 1.0


class Pace(Struct, frozen=True):
    """Percent in a second: between low and high. observed_s: how long was looked at."""

    low: float
    high: float
    observed_s: float


class Forecast(Struct, frozen=True):
    """What is to be expected of one window. empty_at: epoch seconds, the earliest; None when not before the reset."""

    window: str
    verdict: Verdict
    left_percent: float | None = None
    resets_at: float | None = None
    empty_at: float | None = None
    pace: Pace | None = None


def forecast_of(record: QuotaRecord | None, now_s: float, wanted_s: float | None = None) -> tuple[Forecast, ...]:
    """Look ahead at each window of an account, shortest first. wanted_s: how long is asked for; None: to the reset."""
    if record is None:
        return ()
    quota = quota_now(record, now_s)
    pays = goes_on(quota.credits)
    return tuple(_forecast(window, record, now_s, wanted_s, pays=pays) for window in quota.windows)


def worst(forecasts: tuple[Forecast, ...]) -> Forecast | None:
    """The one that decides; None when there is none. What is unknown is better than what may not last."""
    return max(forecasts, key=lambda forecast: (_GRAVITY[forecast.verdict], -(forecast.empty_at or 0)), default=None)


_GRAVITY: Final[dict[Verdict, int]] = {
    "lasts": 0,
    "credits_go_on": 0,
    "unknown": 1,
    "may_not_last": 2,
    "runs_out": 3,
    "used_up": 4,
}


def _forecast(window: Window, record: QuotaRecord, now_s: float, wanted_s: float | None, *, pays: bool) -> Forecast:
    left = window.left_percent
    if left is None:
        return Forecast(window.name, "unknown", None, window.resets_at)
    if pays:
        return Forecast(window.name, "credits_go_on", left, window.resets_at)
    if left <= 0:
        return Forecast(window.name, "used_up", left, window.resets_at, now_s)
    known = record.windows.get(window.name)
    pace = _pace(window, known.readings) if known else None
    ahead_s = _ahead_s(window.resets_at, now_s, wanted_s)
    if pace is None or ahead_s is None:
        return Forecast(window.name, "unknown", left, window.resets_at, pace=pace)
    empty_at = now_s + left / pace.high if pace.high * ahead_s >= left else None
    verdict: Verdict = "lasts" if empty_at is None else "runs_out" if pace.low * ahead_s >= left else "may_not_last"
    return Forecast(window.name, verdict, left, window.resets_at, empty_at, pace)


def _ahead_s(resets_at: float | None, now_s: float, wanted_s: float | None) -> float | None:
    """How far is looked; None when nobody said how far."""
    ends = [end for end in (wanted_s, None if resets_at is None else resets_at - now_s) if end is not None]
    return max(min(ends), 0.0) if ends else None


def _pace(window: Window, readings: tuple[Reading, ...]) -> Pace | None:
    found = [pace for pace in (_recent(window, readings), _since_begin(window, readings[-1])) if pace is not None]
    if not found:
        return None
    low, high = min(pace.low for pace in found), max(pace.high for pace in found)
    return Pace(low, high, max(pace.observed_s for pace in found))


def _recent(window: Window, readings: tuple[Reading, ...]) -> Pace | None:
    last = readings[-1]
    since = [
        reading
        for reading in readings
        if reading.used_percent is not None and reading.at >= last.at - window.seconds * RECENT_RATIO
    ]
    if last.used_percent is None or last.at - since[0].at < MIN_SPAN_S:
        return None
    used = last.used_percent - (since[0].used_percent or 0.0)
    return _between(used, last.at - since[0].at, hidden=_hidden(since))


def _since_begin(window: Window, last: Reading) -> Pace | None:
    """The pace of the window as a whole: it began its length before its reset."""
    if last.used_percent is None or window.resets_at is None:
        return None
    span_s = last.at - (window.resets_at - window.seconds)
    if not MIN_SPAN_S <= span_s <= window.seconds:
        return None
    return _between(last.used_percent, span_s, hidden=_hidden([last]))


def _between(used: float, span_s: float, *, hidden: float) -> Pace:
    return Pace(max(used - hidden, 0.0) / span_s, max(used + hidden, 0.0) / span_s, span_s)


def _hidden(readings: list[Reading]) -> float:
    """How much readings may hide: those that are all whole numbers are rounded ones."""
    return 0.0 if any(math.modf(reading.used_percent or 0.0)[0] for reading in readings) else WHOLE_PERCENT
