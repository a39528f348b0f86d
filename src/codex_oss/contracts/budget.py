"""How much of a requested budget is granted.

Counterparts: `contracts.validation` clamps without a profile, admission once more with the profile of the model.
Both use the same function, so the order does not matter: clamping twice gives what clamping once with all limits
gives.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from codex_oss.contracts.mission import Budget

TIER_CAPS: Final[dict[str, tuple[int, int]]] = {
    "A2": (10, 90),
    "A3": (20, 180),
    "A4": (20, 180),
    "A5": (20, 180),
    "A6": (20, 180),
}
"""Tier to (tool calls, seconds). Source: mission contract v1, budget clamping."""


class BudgetLimits(Struct, frozen=True):
    """What bounds a budget beside the tier. Times are seconds; the defaults are those of `config.Config`."""

    request_deadline_s: float = 90.0
    reserve_s: float = 5.0
    """Kept back for an honest closing."""
    turn_estimate_s: float = 8.0
    """Expected time of one turn."""
    max_time_s: int = 180
    """Longest mission that the configuration allows."""
    profile_max_tool_calls: int | None = None
    """Most calls on this model at this tier; None while no model is chosen."""
    profile_max_seconds: int | None = None


def clamp_budget(tier: str, *, tool_calls: int, time_s: int, limits: BudgetLimits) -> Budget:
    """Grant the least of what was asked for and every cap.

    tool_calls, time_s: as requested, both at least 1. Returns the effective and the requested numbers, and which caps
    bound either of them, joined with `+` in the order tier_cap, request_deadline, model_profile.

    - Time: the least of request, tier cap, `max_time_s` (reason request_deadline) and the profile's seconds.
    - Calls: the least of request, tier cap, the profile's calls, and the turns that fit in front of the reserve:
      floor((base - reserve) / turn estimate), at least 1. The base is the longer of the request deadline and the
      *effective* time, because the runtime's deadline is the longer of the two; an A3 mission of 180 s thus keeps its
      20 calls, where the request deadline alone would leave 10.
    """
    tier_calls, tier_time_s = TIER_CAPS[tier]
    time_caps = {
        "tier_cap": tier_time_s,
        "request_deadline": max(1, limits.max_time_s),
        "model_profile": limits.profile_max_seconds,
    }
    granted_s, time_reasons = _least(time_s, time_caps)
    base_s = max(limits.request_deadline_s, granted_s)
    turns = math.floor(max(0.0, base_s - limits.reserve_s) / max(0.1, limits.turn_estimate_s))
    call_caps = {
        "tier_cap": tier_calls,
        "request_deadline": max(1, turns),
        "model_profile": limits.profile_max_tool_calls,
    }
    granted, call_reasons = _least(tool_calls, call_caps)
    reasons = [name for name in call_caps if name in time_reasons or name in call_reasons]
    return Budget(granted, granted_s, tool_calls, time_s, "+".join(reasons))


def _least(requested: int, caps: dict[str, int | None]) -> tuple[int, list[str]]:
    """The least of all numbers (at least 1), and the caps that lowered it one after the other."""
    granted, reasons = requested, []
    for name, cap in caps.items():
        if cap is not None and cap < granted:
            granted = max(1, cap)
            reasons.append(name)
    return granted, reasons
