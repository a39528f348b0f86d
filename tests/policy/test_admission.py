"""Who takes a mission: what models can do, who stands in, and that no weaker one does so unapproved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.mission import Problem
from codex_oss.contracts.profiles import MODEL_LANES, TOOL_ABILITIES, ModelProfile, parse_profiles
from codex_oss.policy.admission import LANE_NEEDS, LANE_OF_TIER, REFUSALS, Admitted, admit_model

READS = ("read", "search", "list")


def profile(name: str, **fields: Any) -> ModelProfile:
    """A profile on the default server."""
    values = {"alias": f"ocg-{name}", "model": f"{name}-1", "base_url": "https://opencode.ai/zen/go/v1", **fields}
    return ModelProfile(name=name, **values)


def admit(*profiles: ModelProfile, tier: str = "A3", reason: str = "") -> Admitted | Problem:
    """Ask for the first of these profiles."""
    return admit_model("mission-a3-x", profiles[0], {one.name: one for one in profiles}, tier, READS, reason=reason)


def test_the_one_that_was_asked_for_takes_it() -> None:
    """The record of the admission says what it is; nobody stood in."""
    found = admit(profile("kimi", capability=5))
    assert isinstance(found, Admitted)
    told = found.admission
    assert (told.resolved_model_alias, told.resolved_upstream_model, told.capability_tier) == ("ocg-kimi", "kimi-1", 5)
    assert (told.provider_route, told.lane, told.fallback_from) == ("opencode-go", "scout", "")


@pytest.mark.parametrize(
    ("fields", "tier", "code"),
    [
        ({"available": False}, "A3", "model_unavailable"),
        ({"lanes": ("review",)}, "A3", "model_lane_unsupported"),
        ({"lanes": ("scout",)}, "A5", "model_lane_unsupported"),
        ({"tool_classes": ("read",)}, "A3", "model_tools_missing"),
        ({"tool_classes": READS}, "A4", "model_tools_missing"),
        ({"tiers": ("A2",)}, "A3", "model_tier_not_admitted"),
    ],
)
def test_what_a_model_cannot_do_is_refused_or_given_to_one_that_can(
    fields: dict[str, Any], tier: str, code: str
) -> None:
    """Without a fallback a refusal by code; with an able one of the same strength that one, and it is said."""
    refused = admit(profile("x", **fields), tier=tier)
    assert isinstance(refused, Problem)
    assert refused.code == code
    found = admit(profile("x", fallbacks=("nobody", "y"), **fields), profile("y"), tier=tier)
    assert isinstance(found, Admitted)
    assert found.profile.name == "y"
    told = found.admission
    assert (told.fallback_from, told.fallback_reason, told.fallback_approval) == ("x", code, "not_required")


def test_a_weaker_model_needs_approval() -> None:
    """Unapproved it is refused and named with the way to approve it; approved it takes the mission, explicitly."""
    weak = profile("weak", capability=3)
    refused = admit(profile("x", capability=5, available=False, fallbacks=("weak",)), weak)
    assert isinstance(refused, Problem)
    assert refused.code == "capability_downgrade_refused"
    assert 'approved_downgrades = ["weak"]' in refused.message
    approved = profile("x", capability=5, available=False, fallbacks=("weak",), approved_downgrades=("weak",))
    found = admit(approved, weak)
    assert isinstance(found, Admitted)
    assert found.admission.fallback_approval == "explicit"


def test_an_able_model_behind_a_weaker_one_is_taken() -> None:
    """The chain is gone through in its order; who may not stand in is passed."""
    chain = profile("x", capability=5, available=False, fallbacks=("weak", "poor", "good"))
    others = (profile("weak", capability=3), profile("poor", capability=5, lanes=()), profile("good", capability=5))
    found = admit(chain, *others)
    assert isinstance(found, Admitted)
    assert found.profile.name == "good"


def test_a_name_that_is_another_model_is_said() -> None:
    """A GPT name that the user placed on an open model is kept as what was asked for."""
    found = admit(profile("kimi"), reason="gpt_alias")
    assert isinstance(found, Admitted)
    assert (found.admission.fallback_from, found.admission.fallback_reason) == ("mission-a3-x", "gpt_alias")


profiles_st = st.builds(
    profile,
    name=st.sampled_from(["a", "b", "c", "d"]),
    capability=st.integers(1, 5),
    available=st.booleans(),
    lanes=st.sets(st.sampled_from(MODEL_LANES)).map(tuple),
    tool_classes=st.sets(st.sampled_from(TOOL_ABILITIES)).map(tuple) | st.just(TOOL_ABILITIES),
    fallbacks=st.permutations(["a", "b", "c", "d"]).map(tuple),
    approved_downgrades=st.sets(st.sampled_from(["a", "b", "c", "d"])).map(tuple),
)


@given(
    st.lists(profiles_st, min_size=1, max_size=4, unique_by=lambda one: one.name), st.sampled_from(sorted(LANE_OF_TIER))
)
def test_nobody_unable_and_nobody_weaker_unapproved(profiles: list[ModelProfile], tier: str) -> None:
    """Whoever is admitted can do the work; who is another than was asked for is told and is not silently weaker."""
    asked, lane = profiles[0], LANE_OF_TIER[tier]
    found = admit_model("name", asked, {one.name: one for one in profiles}, tier)
    if isinstance(found, Problem):
        assert found.code in REFUSALS
        return
    one = found.profile
    assert one.available
    assert lane in one.lanes
    assert LANE_NEEDS[lane] <= set(one.tool_classes)
    assert (found.admission.fallback_from == "") == (one is asked)
    weaker = one.capability < asked.capability
    assert (found.admission.fallback_approval == "explicit") == weaker
    assert not weaker or one.name in asked.approved_downgrades


def test_the_keys_of_the_profile_are_checked() -> None:
    """A lane or class that does not exist is a problem with its place; what is good stays."""
    table = {"profiles": {"x": {"model": "x", "lanes": ["scout"], "tool_classes": ["fly"], "available": False}}}
    profiles, problems = parse_profiles([("models.toml", table)])
    assert [problem.key for problem in problems] == ["profiles.x.tool_classes"]
    assert (profiles["x"].lanes, profiles["x"].available) == (("scout",), False)
