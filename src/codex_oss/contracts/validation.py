"""Every rule of MissionV1: a raw object in, a mission or *all* its breaches out.

Counterparts: `contracts.handoff` finds the raw object, `contracts.reader` judges each field alone by the table of
`contracts.fields`, this file adds the rules of form between fields and `contracts.feasibility` those of sense,
`contracts.defaults` builds the value.

Rules that hold here:

1. `check_mission` never raises, whatever JSON it is given; it returns a mission exactly when there is no error.
2. A rule keeps quiet about fields that did not read (`Draft.fits`), so that one fault is one problem.
3. An unknown field is a warning; everything else that cannot be honoured is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.defaults import IMPLEMENTATION_TIERS, build_mission
from codex_oss.contracts.draft import Draft
from codex_oss.contracts.feasibility import FEASIBILITY_RULES
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, MISSION_FIELDS
from codex_oss.contracts.mission import MODE_OF_TIER, MissionV1, Problem
from codex_oss.contracts.objective_fields import TARGET_FIELDS, TARGET_NEEDS
from codex_oss.contracts.reader import Reader, shown

WRITING_TIERS: Final = ("A5", "A6")

_ID: Final = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,80}")


@dataclass(frozen=True, slots=True)
class Validation:
    """The answer: `mission` is None exactly when `errors` is not empty."""

    mission: MissionV1 | None
    problems: tuple[Problem, ...]
    """Errors and warnings in the order met."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that refuse the mission."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def check_mission(raw: Mapping[str, Any], *, limits: BudgetLimits, new_id: str) -> Validation:
    """Judge a raw mission by every rule of the contract.

    raw: as `contracts.handoff` found it. limits: what bounds the budget, without a profile. new_id: the id of a
    mission that names none, e.g. `mission_3f9a0c12d4e5`. Source: mission contract v1; docs/mission-contract.md.
    """
    reader = Reader()
    draft = Draft(reader.read_fields(MISSION_FIELDS, raw), reader)
    for rule in RULES:
        rule(draft)
    problems = tuple(reader.problems)
    if any(problem.severity == "error" for problem in problems):
        return Validation(None, problems)
    return Validation(build_mission(draft.values, new_id=new_id, limits=limits), problems)


def check_alias_tier(mission: MissionV1, tier_of_alias: str) -> Problem | None:
    """The problem of a mission handed to a model name of another tier, e.g. an A3 mission to `mission-a2-kimi`."""
    if mission.tier == tier_of_alias.upper():
        return None
    return Problem(
        "tier_alias_mismatch",
        "tier",
        f"The mission is {mission.tier}, the model name asks for {tier_of_alias.upper()}; "
        f"use a model name mission-{mission.tier.lower()}-… or change the mission's tier.",
    )


def to_handoff(mission: MissionV1) -> dict[str, Any]:
    """The raw object that validates to an equal mission under the same limits."""
    raw: dict[str, Any] = _as_json(mission)
    del raw["budget"]
    raw["tool_budget"] = mission.budget.tool_calls_requested
    raw["time_budget_seconds"] = mission.budget.time_requested_s
    return raw


def _as_json(value: Any) -> Any:
    """Lists for tuples, objects for structs: what comes back from the log."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _check_id(draft: Draft) -> None:
    given = draft.values["mission_id"]
    if given is not None and not _ID.fullmatch(given):
        message = f"{shown(given)} cannot name a folder; expected 1 to 80 of A-Z a-z 0-9 _ . - without a leading dot."
        draft.reader.refuse("mission_id_invalid", "mission_id", message)


def _check_mode(draft: Draft) -> None:
    mode, expected = draft.values["mode"], MODE_OF_TIER.get(draft.tier)
    if mode and expected and mode != expected:
        draft.reader.refuse("mode_mismatch", "mode", f"Found {mode!r}; tier {draft.tier} is {expected!r}.")


def _check_write_flag(draft: Draft) -> None:
    if not draft.tier or not draft.fits("write_allowed"):
        return
    writes = draft.tier in WRITING_TIERS
    if draft.values["write_allowed"] != writes:
        message = "must be explicitly true" if writes else "must be false"
        draft.reader.refuse("write_flag_mismatch", "write_allowed", f"In tier {draft.tier} write_allowed {message}.")


def _check_needed_lists(draft: Draft) -> None:
    """A text such as "," gives an empty list, which the reader cannot tell from a given one."""
    values = draft.values
    if draft.fits("allowed_roots", "allowed_paths") and not values["allowed_roots"] + values["allowed_paths"]:
        message = "The mission may read nothing; name a folder in allowed_roots or a file in allowed_paths."
        draft.reader.refuse("scope_missing", "allowed_roots", message)
    if draft.tier in IMPLEMENTATION_TIERS and draft.fits("owned_paths") and not values["owned_paths"]:
        message = f"Tier {draft.tier} changes files; name each of them in owned_paths."
        draft.reader.refuse("owned_paths_missing", "owned_paths", message)
    for name, code in (
        ("allowed_tool_classes", "tool_classes_missing"),
        ("required_outputs", "required_outputs_missing"),
    ):
        if draft.fits(name) and not values[name]:
            draft.reader.refuse(code, name, f"{name} is empty; at least one entry is needed.")


def _check_style(draft: Draft) -> None:
    if not draft.tier or not draft.style:
        return
    implements = draft.tier in IMPLEMENTATION_TIERS
    if implements != (draft.style == "implementation"):
        wanted = "implementation" if implements else "deterministic_lookup or open_investigation"
        message = f"Found {draft.style!r}; tier {draft.tier} expects {wanted}."
        draft.reader.refuse("objective_style_invalid", "objective_style", message)


def _check_objective(draft: Draft) -> None:
    values = draft.values
    if draft.tier != "A3" or values["allow_heuristic_objective"]:
        return
    is_open = draft.style == "open_investigation"
    needed = "answer_obligations" if is_open else "objective_spec"
    if draft.fits("allow_heuristic_objective", "objective_style", needed) and not values[needed]:
        message = f"allow_heuristic_objective is false, so {needed} must say what a right answer is."
        draft.reader.refuse("objective_spec_required", needed, message)


def _check_target(draft: Draft) -> None:
    """Its keys depend on the type, so the row cannot read them; the read values replace the given ones."""
    spec = draft.values["objective_spec"]
    if not spec or not draft.fits("objective_spec"):
        return
    kind, at = spec["objective_type"], "objective_spec.target"
    target = draft.reader.read_fields(TARGET_FIELDS[kind], spec["target"], at)
    needs = TARGET_NEEDS.get(kind, ())
    if needs and draft.fits("objective_spec") and not any(target[name] for name in needs):
        message = f"{kind} needs {' or '.join(needs)} in its target."
        draft.reader.refuse("objective_spec_invalid", f"{at}.{needs[0]}", message)
    given = {name: _as_json(value) for name, value in target.items() if value is not None}
    spec["target"] = spec["target"] | given


def _check_obligations(draft: Draft) -> None:
    obligations = draft.values["answer_obligations"]
    if obligations and draft.style and draft.style != "open_investigation":
        message = f"Questions need objective_style open_investigation; the style is {draft.style}."
        draft.reader.refuse("obligations_not_allowed", "answer_obligations", message)
    seen: set[str] = set()
    for index, item in enumerate(obligations):
        name = item["id"] or f"q{index + 1}"
        if name in seen:
            message = f"The id {shown(name)} stands for two questions."
            draft.reader.refuse("obligation_invalid", f"answer_obligations[{index}].id", message)
        seen.add(name)


def _check_apply_mode(draft: Draft) -> None:
    mode, tier, risk = draft.values["apply_mode"], draft.tier, draft.values["risk_tier"]
    if not tier or not mode:
        return
    if mode not in APPLY_MODES_OF_TIER[tier] and not (mode == "none" and tier not in WRITING_TIERS):
        words = ", ".join(APPLY_MODES_OF_TIER[tier]) or "none"
        message = f"Found {mode!r}; tier {tier} expects {words}."
    elif mode.startswith("workspace") and risk != "low" and draft.fits("risk_tier"):
        message = f"{mode} reaches your own tree and needs risk_tier low; it is {risk}."
    elif mode == "critical_workspace_certified" and risk != "critical" and draft.fits("risk_tier"):
        message = f"{mode} is for risk_tier critical; it is {risk}."
    else:
        return
    draft.reader.refuse("apply_mode_invalid", "apply_mode", message)


def _check_verification(draft: Draft) -> None:
    policy = draft.values["verification_policy"]
    if not policy:
        return
    if policy["network_allowed"]:
        message = "A verification never reaches the network; leave network_allowed out or false."
        draft.reader.refuse("verification_policy_invalid", "verification_policy.network_allowed", message)
    if policy["max_commands"] is None and len(policy["allowed_commands"]) > 10:
        message = f"Found {len(policy['allowed_commands'])} commands; at most 10 may run, or set max_commands."
        draft.reader.refuse("verification_policy_invalid", "verification_policy.allowed_commands", message)


RULES: Final[tuple[Callable[[Draft], None], ...]] = (
    _check_id,
    _check_mode,
    _check_write_flag,
    _check_needed_lists,
    _check_style,
    _check_objective,
    _check_target,
    _check_obligations,
    _check_apply_mode,
    _check_verification,
    *FEASIBILITY_RULES,
)
"""The rules between fields, in the order in which their problems are listed."""
