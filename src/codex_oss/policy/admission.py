"""Which model takes a mission: whether the one that was asked for can, and who may stand in for it.

Counterparts: `contracts.profiles` says what each model can, `services.admission` asks here before anything is read or
asked, `policy.retry.may_replace` is the same rule for a question in mid-mission.

    asked ─► can it? ─ yes ─► admitted
               └─ no ─► the first fallback that can ─► as able, or approved ─► admitted, and said
                                    │                └─ weaker, not approved ─► refused
                                    └─ none ─► refused, with what the asked one lacks

Rules that hold here:

1. A mission that needs what its model cannot do is never begun on that model.
2. Nobody stands in silently: whoever is admitted instead is an event in the log and a sentence in the report.
3. A weaker model stands in only where the user's own files approve it (`approved_downgrades`, `fallback_map`). A
   mission cannot approve that itself: it is often written by a model.
4. Every refusal is a row of `REFUSALS`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from codex_oss.config import DEFAULT_UPSTREAM_BASE
from codex_oss.contracts.mission import Problem
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.policy.retry import may_replace

LANE_OF_TIER: Final[Mapping[str, str]] = {
    "A2": "scout",
    "A3": "scout",
    "A4": "implementation",
    "A5": "implementation",
    "A6": "implementation",
}
"""Mission tier -> what it asks of a model. Source: mission contract, registry admission."""
LANE_NEEDS: Final[Mapping[str, frozenset[str]]] = {
    "scout": frozenset({"read", "search", "list"}),
    "review": frozenset({"read", "search", "list"}),
    "docs_support": frozenset({"read", "search", "list", "edit"}),
    "bounded_write": frozenset({"read", "search", "list", "edit"}),
    "implementation": frozenset({"read", "search", "list", "safe_git", "shell", "test", "edit"}),
}
"""Model lane -> the classes of tools that a model must be able to use in it."""
REFUSALS: Final[Mapping[str, str]] = {
    "model_unavailable": "its profile says `available = false`",
    "model_lane_unsupported": "its profile does not take this kind of work (`lanes`)",
    "model_tools_missing": "its profile cannot use tools that the mission needs (`tool_classes`)",
    "model_tier_not_admitted": "its profile does not admit the tier (`tiers`)",
    "capability_downgrade_refused": "only a weaker model could stand in, and nobody approved that",
    "profile_gone": "its profile is there no more",
    "child_model_refused": "a GPT model of the client does not take missions; an open one does",
}
"""Why a model was not admitted."""


class ModelAdmission(Struct, frozen=True):
    """Who takes a mission, and how that was found."""

    requested_model_alias: str = ""
    resolved_model_alias: str = ""
    resolved_upstream_model: str = ""
    provider_route: str = ""
    """`opencode-go`, or the host of another server."""
    lane: str = ""
    """What the mission asks of a model: scout or implementation."""
    capability_tier: int = 0
    """1 to 5; 0 in logs that do not say."""
    tool_classes: tuple[str, ...] = ()
    fallback_from: str = ""
    """The profile that was asked for, when another one takes it."""
    fallback_reason: str = ""
    """A key of `REFUSALS`, or `gpt_alias`."""
    fallback_approval: Literal["not_required", "explicit"] = "not_required"
    """explicit: a weaker model, which the user's files approve."""


class Admitted(Struct, frozen=True):
    """The profile that takes a mission."""

    profile: ModelProfile
    admission: ModelAdmission


def admit_model(
    alias: str,
    asked: ModelProfile,
    profiles: Mapping[str, ModelProfile],
    tier: str,
    tool_classes: Collection[str] = (),
    *,
    reason: str = "",
) -> Admitted | Problem:
    """Choose who takes a mission.

    alias: the name that the client asked for. asked: its profile. profiles: where fallbacks are looked up.
    tool_classes: what the mission lets its model use. reason: why *asked* is not what the name says already.
    """
    lane = LANE_OF_TIER.get(tier, "scout")
    needs = LANE_NEEDS[lane] | set(tool_classes)
    obstacle = _obstacle(asked, lane, needs, tier)
    if not obstacle:
        return Admitted(asked, _admission(alias, asked, lane, alias if reason else "", reason))
    named = [profiles[name] for name in asked.fallbacks if name in profiles]
    able = [one for one in named if not _obstacle(one, lane, needs, tier)]
    for one in able:
        if may_replace(asked, one):
            approval: Literal["not_required", "explicit"] = (
                "explicit" if one.capability < asked.capability else "not_required"
            )
            return Admitted(one, _admission(alias, one, lane, asked.name, obstacle, approval))
    if able:
        return _downgrade_refused(asked, able[0], obstacle)
    return Problem(obstacle, "model", f"{asked.name} cannot take this mission: {_why(asked, obstacle, lane, needs)}.")


def _obstacle(profile: ModelProfile, lane: str, needs: Collection[str], tier: str) -> str:
    """Why this profile cannot take it; a key of `REFUSALS`, empty when it can."""
    if not profile.available:
        return "model_unavailable"
    if profile.tiers and tier not in profile.tiers:
        return "model_tier_not_admitted"
    if lane not in profile.lanes:
        return "model_lane_unsupported"
    return "" if set(needs) <= set(profile.tool_classes) else "model_tools_missing"


def _why(profile: ModelProfile, obstacle: str, lane: str, needs: Collection[str]) -> str:
    more = ""
    if obstacle == "model_lane_unsupported":
        more = f"; it is asked for {lane}, and takes {', '.join(profile.lanes) or 'nothing'}"
    elif obstacle == "model_tools_missing":
        more = f"; missing: {', '.join(sorted(set(needs) - set(profile.tool_classes)))}"
    return f"{REFUSALS[obstacle]}{more}"


def _downgrade_refused(asked: ModelProfile, weaker: ModelProfile, obstacle: str) -> Problem:
    return Problem(
        "capability_downgrade_refused",
        "model",
        f"{asked.name} (capability {asked.capability}) cannot take this mission: {REFUSALS[obstacle]}. {weaker.name} "
        f"(capability {weaker.capability}) is weaker: ask for it by name, or approve it with approved_downgrades = "
        f'["{weaker.name}"] of [profiles.{asked.name}] in models.toml.',
    )


def _admission(
    alias: str,
    profile: ModelProfile,
    lane: str,
    fallback_from: str = "",
    reason: str = "",
    approval: Literal["not_required", "explicit"] = "not_required",
) -> ModelAdmission:
    hosted = profile.base_url == DEFAULT_UPSTREAM_BASE
    return ModelAdmission(
        requested_model_alias=alias,
        resolved_model_alias=profile.alias,
        resolved_upstream_model=profile.model,
        provider_route="opencode-go" if hosted else (urlsplit(profile.base_url).hostname or ""),
        lane=lane,
        capability_tier=profile.capability,
        tool_classes=profile.tool_classes,
        fallback_from=fallback_from,
        fallback_reason=reason,
        fallback_approval=approval,
    )
