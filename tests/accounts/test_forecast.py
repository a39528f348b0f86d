"""Looking ahead: both bounds agree or it is said that they do not; what is unknown stays unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.forecast import Forecast, forecast_of, worst
from codex_oss.accounts.quota import Credits, Quota, Window
from codex_oss.accounts.quota_record import QuotaRecord, learned

NOW = 1_800_000_000.0
HOUR_S = 3600.0
HALF_WAY = NOW + 9_000


def course(
    *used: float | None, every_s: float = 600.0, resets_at: float | None = HALF_WAY, seconds: int = 18_000
) -> QuotaRecord:
    """A window that was read at even distances, the last time now."""
    record = QuotaRecord()
    for number, value in enumerate(used):
        at = NOW - every_s * (len(used) - 1 - number)
        record, _ = learned(record, Quota(at, (Window(seconds, value, resets_at),)))
    return record


def only(record: QuotaRecord, wanted_s: float | None = None) -> Forecast:
    """The forecast of a single window."""
    (found,) = forecast_of(record, NOW, wanted_s)
    return found


@pytest.mark.parametrize(
    ("record", "wanted_s", "verdict"),
    [
        (course(40.1, 44.9, 50.2), HOUR_S, "lasts"),  # both: 30 %/h recent, 20 %/h since its begin
        (course(84.9, 90.2, 95.1), HOUR_S, "runs_out"),
        (course(60.1, 64.9, 70.2), HOUR_S, "may_not_last"),  # 30.3 against 28.1 %/h: 29.8 % left
        (course(95.1), HOUR_S, "runs_out"),
        (course(95.1, resets_at=None), HOUR_S, "unknown"),
        (course(95.1, 95.2, every_s=30, resets_at=None), HOUR_S, "unknown"),
        (course(None), HOUR_S, "unknown"),
        (course(100.0), HOUR_S, "used_up"),
        (course(0.0, 0.0, every_s=1200), HOUR_S, "lasts"),
        (course(97.0, 97.0, every_s=130, resets_at=None), HOUR_S, "may_not_last"),  # whole percents hide one
        (course(97.0, 98.0, resets_at=None), HOUR_S, "may_not_last"),  # between none and two in ten minutes
        (course(60.1, 64.9, 70.2), None, "runs_out"),
        (course(95.1, 96.2, 97.3, resets_at=NOW + 60), 5 * HOUR_S, "lasts"),  # the reset comes first
    ],
)
def test_verdicts(record: QuotaRecord, wanted_s: float | None, verdict: str) -> None:
    """At the pace of the last readings and of the window since it began."""
    assert only(record, wanted_s).verdict == verdict


def test_when_it_is_empty() -> None:
    """The earliest instant; 4.9 % at 38 %/h, the pace since it began, are under eight minutes."""
    found = only(course(84.9, 90.2, 95.1), HOUR_S)
    assert found.pace is not None
    assert found.pace.observed_s == 9_000
    assert found.empty_at is not None
    assert 7 * 60 < found.empty_at - NOW < 8 * 60


def test_credits_go_on() -> None:
    """A used-up window ends nothing then."""
    record, _ = learned(None, Quota(NOW, (Window(18_000, 100.0, HALF_WAY),), Credits(unlimited=True)))
    assert only(record).verdict == "credits_go_on"


def test_the_worst_decides() -> None:
    """A weekly window that runs out, beside five hours that last; nothing known is no forecast."""
    record = course(1.5)
    record, _ = learned(record, Quota(NOW, (Window(604_800, 99.5, NOW + 3 * 86_400),)))
    found = worst(forecast_of(record, NOW, HOUR_S))
    assert found is not None
    assert (found.window, found.verdict) == ("weekly", "runs_out")
    assert worst(forecast_of(None, NOW)) is None


@given(
    st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=12),
    st.floats(0, 1e5),
    st.none() | st.floats(NOW - 1e6, NOW + 1e6),
    st.none() | st.floats(0, 1e6),
    st.sampled_from([60, 18_000, 604_800]),
)
def test_any_course(
    used: list[float | None], every_s: float, resets_at: float | None, wanted_s: float | None, seconds: int
) -> None:
    """Bounds are bounds, an end lies within what was looked at, and more asked for is never better."""
    record = course(*used, every_s=every_s, resets_at=resets_at, seconds=seconds)
    gravity = {"unknown": 0, "lasts": 0, "may_not_last": 1, "runs_out": 2, "used_up": 3}
    for found in forecast_of(record, NOW, wanted_s):
        assert found.pace is None or 0 <= found.pace.low <= found.pace.high
        if found.verdict == "lasts":
            assert found.empty_at is None
        if found.empty_at is not None and found.verdict != "used_up" and wanted_s is not None:
            assert NOW <= found.empty_at <= NOW + wanted_s + 1
        if wanted_s is not None:
            (longer,) = forecast_of(record, NOW, wanted_s * 2)
            assert gravity[longer.verdict] >= gravity[found.verdict]
