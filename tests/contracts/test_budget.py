"""How budgets are clamped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.config import Config
from codex_oss.contracts.budget import TIER_CAPS, BudgetLimits, clamp_budget
from codex_oss.contracts.mission import Budget

PROFILE = BudgetLimits(profile_max_tool_calls=8, profile_max_seconds=60)


@pytest.mark.parametrize(
    ("tier", "calls", "seconds", "limits", "expected"),
    [
        ("A3", 20, 180, BudgetLimits(), Budget(20, 180, 20, 180)),
        ("A3", 5, 30, BudgetLimits(), Budget(5, 30, 5, 30)),
        ("A2", 20, 180, BudgetLimits(), Budget(10, 90, 20, 180, "tier_cap")),
        ("A3", 1000, 3600, BudgetLimits(), Budget(20, 180, 1000, 3600, "tier_cap")),
        ("A3", 20, 90, BudgetLimits(), Budget(10, 90, 20, 90, "request_deadline")),
        ("A3", 20, 180, BudgetLimits(max_time_s=60), Budget(10, 60, 20, 180, "request_deadline")),
        ("A3", 20, 180, PROFILE, Budget(8, 60, 20, 180, "request_deadline+model_profile")),
        ("A2", 20, 180, PROFILE, Budget(8, 60, 20, 180, "tier_cap+model_profile")),
        ("A3", 20, 180, BudgetLimits(request_deadline_s=1, max_time_s=1), Budget(1, 1, 20, 180, "request_deadline")),
    ],
)
def test_table(tier: str, calls: int, seconds: int, limits: BudgetLimits, expected: Budget) -> None:
    """Each cap lowers what it should and is named."""
    assert clamp_budget(tier, tool_calls=calls, time_s=seconds, limits=limits) == expected


def test_defaults_are_those_of_the_configuration() -> None:
    """BudgetLimits() is what an unconfigured bridge has."""
    config = Config()
    assert BudgetLimits() == BudgetLimits(
        config.request_deadline_s,
        config.mission_reserve_s,
        config.mission_turn_estimate_s,
        config.mission_max_time_s,
    )


LIMITS = st.builds(
    BudgetLimits,
    st.floats(1, 3600),
    st.floats(0, 60),
    st.floats(0.1, 600),
    st.integers(1, 3600),
    st.none() | st.integers(1, 50),
    st.none() | st.integers(1, 500),
)


@given(st.sampled_from(sorted(TIER_CAPS)), st.integers(1, 1000), st.integers(1, 3600), LIMITS)
def test_never_more_than_asked_and_a_reason_for_less(tier: str, calls: int, seconds: int, limits: BudgetLimits) -> None:
    """The grant is positive, never above the request or the tier, and a cut always has a reason."""
    budget = clamp_budget(tier, tool_calls=calls, time_s=seconds, limits=limits)
    assert 1 <= budget.tool_calls <= min(calls, TIER_CAPS[tier][0])
    assert 1 <= budget.time_s <= min(seconds, TIER_CAPS[tier][1])
    assert bool(budget.reduction_reason) == ((budget.tool_calls, budget.time_s) != (calls, seconds))


ASKED = st.tuples(st.integers(1, 1000), st.integers(1, 3600))


@given(st.sampled_from(sorted(TIER_CAPS)), ASKED, ASKED, LIMITS, LIMITS)
def test_clamping_is_monotone(
    tier: str, one: tuple[int, int], other: tuple[int, int], limits: BudgetLimits, more: BudgetLimits
) -> None:
    """Who asks for no less is granted no less, and no wider limit grants less; clamping again changes nothing."""
    low, high = (min(one[0], other[0]), min(one[1], other[1])), (max(one[0], other[0]), max(one[1], other[1]))
    small = clamp_budget(tier, tool_calls=low[0], time_s=low[1], limits=limits)
    large = clamp_budget(tier, tool_calls=high[0], time_s=high[1], limits=limits)
    assert small.tool_calls <= large.tool_calls
    assert small.time_s <= large.time_s
    wide = BudgetLimits(
        max(limits.request_deadline_s, more.request_deadline_s),
        min(limits.reserve_s, more.reserve_s),
        min(limits.turn_estimate_s, more.turn_estimate_s),
        max(limits.max_time_s, more.max_time_s),
        _wider(limits.profile_max_tool_calls, more.profile_max_tool_calls),
        _wider(limits.profile_max_seconds, more.profile_max_seconds),
    )
    wider = clamp_budget(tier, tool_calls=low[0], time_s=low[1], limits=wide)
    assert small.tool_calls <= wider.tool_calls
    assert small.time_s <= wider.time_s
    again = clamp_budget(tier, tool_calls=small.tool_calls, time_s=small.time_s, limits=limits)
    assert (again.tool_calls, again.time_s) == (small.tool_calls, small.time_s)


def _wider(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


@given(st.sampled_from(sorted(TIER_CAPS)), st.integers(1, 1000), st.integers(1, 3600), LIMITS)
def test_a_profile_only_lowers(tier: str, calls: int, seconds: int, limits: BudgetLimits) -> None:
    """Admission with a profile never grants more than validation without one."""
    without = BudgetLimits(limits.request_deadline_s, limits.reserve_s, limits.turn_estimate_s, limits.max_time_s)
    first = clamp_budget(tier, tool_calls=calls, time_s=seconds, limits=without)
    second = clamp_budget(tier, tool_calls=calls, time_s=seconds, limits=limits)
    assert second.tool_calls <= first.tool_calls
    assert second.time_s <= first.time_s
