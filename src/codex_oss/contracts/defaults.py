"""From checked raw values to a `MissionV1`: the defaults that depend on other fields, and the types.

Counterpart: `contracts.validation`, which calls this only when no rule was broken. Defaults that depend on nothing
stand in the rows of `contracts.fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from codex_oss.contracts.budget import BudgetLimits, clamp_budget
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, REPORT_SCHEMA_OF_TIER
from codex_oss.contracts.mission import MODE_OF_TIER, MissionV1
from codex_oss.contracts.policy_fields import (
    COMPLETENESS_OF_EVIDENCE,
    SUFFICIENCY_FIELDS,
    VERIFICATION_FIELDS,
    WORKSPACE_FIELDS,
)
from codex_oss.contracts.rows import Field

IMPLEMENTATION_TIERS: Final = ("A4", "A5", "A6")

_SUFFICIENCY_OF_OPEN: Final[dict[bool, dict[str, Any]]] = {
    True: {
        "min_main_claims": 1,
        "must_list_uninspected_areas": True,
        "confidence_cap_if_partial_extracts": "MEDIUM",
        "allow_runtime_answer_graph_closure": True,
    },
    False: {
        "min_main_claims": 0,
        "must_list_uninspected_areas": False,
        "confidence_cap_if_partial_extracts": "LOW",
        "allow_runtime_answer_graph_closure": False,
    },
}


def default_style(tier: str) -> str:
    """The objective style of a tier that names none."""
    return "implementation" if tier in IMPLEMENTATION_TIERS else "deterministic_lookup"


def exploration_of(read: Mapping[str, Any]) -> dict[str, Any]:
    """A read exploration policy with its derived defaults."""
    closes = read["after_required_floor"] == "close_immediately"
    fewest, searches = read["min_optional_actions_after_floor"], read["require_contradiction_search"]
    return {
        **read,
        "min_optional_actions_after_floor": (0 if closes else 1) if fewest is None else fewest,
        "require_contradiction_search": not closes if searches is None else searches,
    }


def completeness_of(source: Mapping[str, Any]) -> str:
    """The completeness policy of a read source: its own, or that of its kind of evidence."""
    given: str | None = source["completeness_policy"]
    return given or COMPLETENESS_OF_EVIDENCE.get(source["evidence_kind"], "shape_sufficient")


def build_mission(values: Mapping[str, Any], *, new_id: str, limits: BudgetLimits) -> MissionV1:
    """The mission that checked *values* describe.

    values: every field of `MISSION_FIELDS` as the reader returned it. new_id: for a mission that names none.
    """
    tier = values["tier"]
    style = values["objective_style"] or default_style(tier)
    is_open = style == "open_investigation"
    budget = clamp_budget(tier, tool_calls=values["tool_budget"], time_s=values["time_budget_seconds"], limits=limits)
    explored = values["exploration_policy"]
    apply_mode = values["apply_mode"] or APPLY_MODES_OF_TIER[tier][0]
    derived = {
        "mission_id": values["mission_id"] or new_id,
        "mode": MODE_OF_TIER[tier],
        "report_schema": REPORT_SCHEMA_OF_TIER[tier],
        "objective_style": style,
        "sufficiency_policy": _filled(values["sufficiency_policy"], SUFFICIENCY_FIELDS, _SUFFICIENCY_OF_OPEN[is_open]),
        "answer_obligations": [
            _obligation(item, index) for index, item in enumerate(values["answer_obligations"], start=1)
        ],
        "evidence_collection_mode": values["evidence_collection_mode"]
        or ("agenda_guided" if is_open else "prefetch_floor"),
        "exploration_policy": exploration_of(explored) if is_open and explored is not None else None,
        "objective_spec": _objective(values["objective_spec"]),
        "completion_contract": _given(values["completion_contract"]),
        "max_broad_searches": _or(values["max_broad_searches"], 3 if tier == "A2" else 6),
        "max_low_information_actions": _or(values["max_low_information_actions"], 2 if tier == "A2" else 3),
        "verification_policy": _verification(values["verification_policy"]),
        "apply_mode": "" if tier not in IMPLEMENTATION_TIERS else apply_mode,
        "workspace_apply_policy": _filled(values["workspace_apply_policy"], WORKSPACE_FIELDS, {}),
    }
    plain = {name: value for name, value in values.items() if name not in ("tool_budget", "time_budget_seconds")}
    return msgspec.convert({**plain, **derived, "budget": msgspec.to_builtins(budget)}, MissionV1)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _filled(read: Mapping[str, Any] | None, fields: tuple[Field, ...], derived: Mapping[str, Any]) -> dict[str, Any]:
    """The read values, with plain defaults and then the derived ones for those that were not given."""
    given = read or {field.name: field.default for field in fields}
    return {name: derived.get(name) if value is None else value for name, value in given.items()}


def _obligation(item: Mapping[str, Any], index: int) -> dict[str, Any]:
    sources = [{**source, "completeness_policy": completeness_of(source)} for source in item["source_requirements"]]
    return {**item, "id": item["id"] or f"q{index}", "source_requirements": sources}


def _objective(read: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {**read, "confidence_policy": _given(read["confidence_policy"])} if read else None


def _given(read: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of an optional object was said, at any depth."""
    said = {name: _given(value) if isinstance(value, dict) else value for name, value in (read or {}).items()}
    return {name: value for name, value in said.items() if value not in (None, {})}


def _verification(read: Mapping[str, Any] | None) -> dict[str, Any]:
    commands = read["allowed_commands"] if read else ()
    return _filled(read, VERIFICATION_FIELDS, {"max_commands": len(commands)})
