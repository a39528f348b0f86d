"""Windows from every source, what is unknown, and when a person is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.quota import (
    THRESHOLDS,
    Credits,
    Quota,
    Window,
    crossed,
    exhausted_until,
    joined_quota,
    quota_of_event,
    quota_of_headers,
    quota_of_usage,
    told_after,
)

NOW = 1_800_000_000.0
BOTH = (Window(18000, 99.6, NOW + 60), Window(604800, 12.5, NOW + 9000))


def test_the_three_sources_say_the_same() -> None:
    """Decimals are kept, and a relative reset is an instant."""
    headers = {
        "x-codex-primary-used-percent": "99.6",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-after-seconds": "60",
        "x-codex-secondary-used-percent": "12.5",
        "x-codex-secondary-window-minutes": "10080",
        "x-codex-secondary-reset-at": str(NOW + 9000),
        "x-codex-credits-has-credits": "True",
        "x-codex-credits-balance": "0",
        "x-codex-plan-type": "Plus",
    }
    primary = {"used_percent": 99.6, "window_minutes": 300, "reset_after_seconds": 60}
    secondary = {"used_percent": 12.5, "window_minutes": 10080, "reset_at": NOW + 9000}
    credits = {"has_credits": True, "balance": "0"}
    event = {"rate_limits": {"primary": primary, "secondary": secondary}, "credits": credits, "plan_type": "plus"}
    usage = {
        "rate_limit": {
            "primary_window": {"used_percent": 99.6, "limit_window_seconds": 18000, "reset_after_seconds": 60},
            "secondary_window": {"used_percent": 12.5, "limit_window_seconds": 604800, "reset_at": NOW + 9000},
        },
        "credits": credits,
        "plan_type": "plus",
    }
    expected = Quota(NOW, BOTH, Credits(True, None, "0"), "plus")
    assert quota_of_headers(headers, NOW) == expected
    assert quota_of_event(event, NOW) == expected
    assert quota_of_usage(usage, NOW) == expected


def test_a_window_is_known_by_its_length() -> None:
    """A weekly window that stands first, and alone, is weekly; any other length has its own name."""
    told = quota_of_headers({"x-codex-primary-used-percent": "7", "x-codex-primary-window-minutes": "10080"}, NOW)
    assert told is not None
    assert [window.name for window in told.windows] == ["weekly"]
    assert Window(3600).name == "3600s"
    unsaid = quota_of_headers({"x-codex-secondary-used-percent": "7"}, NOW)
    assert unsaid is not None
    assert unsaid.windows[0].name == "weekly"


def test_what_was_not_said_is_unknown() -> None:
    """Not zero: neither used nor left."""
    told = quota_of_headers({"x-codex-primary-reset-at": str(NOW + 5)}, NOW)
    assert told is not None
    assert told.windows == (Window(18000, None, NOW + 5),)
    assert told.windows[0].left_percent is None
    assert quota_of_headers({}, NOW) is None


def test_news_replace_only_what_they_name() -> None:
    """A window that an answer does not mention stays known."""
    known = Quota(NOW, BOTH, Credits(True), "plus")
    after = joined_quota(known, Quota(NOW + 1, (Window(18000, 1.0, NOW + 99),)))
    assert after == Quota(NOW + 1, (Window(18000, 1.0, NOW + 99), BOTH[1]), Credits(True), "plus")


@pytest.mark.parametrize(
    ("windows", "credits", "until"),
    [
        (BOTH, Credits(), None),
        ((Window(18000, 100.0, NOW + 60), BOTH[1]), Credits(), NOW + 60),
        ((Window(18000, 100.0, NOW + 60), Window(604800, 100.0, NOW + 90)), Credits(), NOW + 90),
        ((Window(18000, 100.0, NOW - 60),), Credits(), None),
        ((Window(18000, 100.0, NOW + 60),), Credits(unlimited=True), None),
        ((Window(18000, 100.0, NOW + 60),), Credits(True, None, "3.5"), None),
        ((Window(18000, 100.0, NOW + 60),), Credits(True, None, "0"), NOW + 60),
        ((Window(18000, 99.6, NOW + 60),), Credits(), None),
    ],
)
def test_used_up(windows: tuple[Window, ...], credits: Credits, until: float | None) -> None:
    """Until the last of the used-up windows resets; not with credits, and not at 0.4 % left."""
    assert exhausted_until(Quota(NOW, windows, credits), NOW) == until


@given(st.lists(st.floats(0, 100), max_size=30))
def test_each_threshold_is_told_once(course: list[float]) -> None:
    """While a window only empties, each threshold at most once and deeper each time; one that recovered warns anew."""
    told: float | None = None
    last = 100.0
    for left in course:
        deepest = crossed(told, left)
        if deepest is not None:
            assert deepest in THRESHOLDS
            assert left <= deepest
            assert told is None or deepest < told
        told = told_after(told, left)
        if left <= last:
            assert crossed(told, left) is None
        last = left


VALUES = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.just(10**400)
    | st.text(max_size=8)
    | st.lists(st.integers(), max_size=2)
)
WINDOWS = (
    st.dictionaries(
        st.sampled_from(["used_percent", "window_minutes", "limit_window_seconds", "reset_at", "reset_after_seconds"]),
        VALUES,
    )
    | VALUES
)


@given(WINDOWS, WINDOWS, VALUES)
def test_nothing_is_raised(primary: Any, secondary: Any, more: Any) -> None:
    """Whatever the backend sends, a percentage is one and a reset lies within a year."""
    limits = {"primary": primary, "secondary": secondary, "primary_window": primary, "secondary_window": secondary}
    body = {"rate_limits": limits, "rate_limit": limits, "credits": more, "plan_type": more}
    headers = {f"x-codex-primary-{name}": str(more) for name in ("used-percent", "window-minutes", "reset-at")}
    for quota in (quota_of_event(body, NOW), quota_of_usage(body, NOW), quota_of_headers(headers, NOW)):
        for window in quota.windows if quota else ():
            assert window.used_percent is None or 0 <= window.used_percent <= 100
            assert window.resets_at is None or 0 < window.resets_at <= NOW + 367 * 86400
            assert window.name


def test_a_balance_beyond_all_numbers_is_unknown() -> None:
    """Python refuses to write such a number out."""
    told = quota_of_usage({"primary": {"used_percent": 3}, "credits": {"has_credits": True, "balance": 10**5000}}, NOW)
    assert told is not None
    assert told.credits == Credits(True)
