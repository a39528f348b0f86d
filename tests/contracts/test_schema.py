"""The exported JSON Schema, the tables it is made from, and the types they fill."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_oss.contracts.budget import TIER_CAPS, BudgetLimits
from codex_oss.contracts.compiler import CompileOptions, compile_mission, template_mission
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, IMPLEMENTATION_ONLY, MISSION_FIELDS, REPORT_SCHEMA_OF_TIER
from codex_oss.contracts.mission import (
    AnswerObligation,
    ExplorationPolicy,
    MissionV1,
    ObjectiveSpec,
    SourceRequirement,
    SufficiencyPolicy,
    VerificationPolicy,
    WorkspaceApplyPolicy,
)
from codex_oss.contracts.objective_fields import OBJECTIVE_FIELDS
from codex_oss.contracts.policy_fields import (
    EXPLORATION_FIELDS,
    OBLIGATION_FIELDS,
    SOURCE_FIELDS,
    SUFFICIENCY_FIELDS,
    VERIFICATION_FIELDS,
    WORKSPACE_FIELDS,
)
from codex_oss.contracts.rows import Field
from codex_oss.contracts.schema import SCHEMAS, mission_schema, objective_schema, render_schema
from codex_oss.contracts.validation import check_mission, to_handoff
from tests.contracts.cases import BREACHES, TIERS, VALID, minimal

DOCS = Path(__file__).parents[2] / "docs" / "schemas"

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def _is_a(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Judge by the keywords that our schemas use; an unknown keyword is an error of this judge."""
    known = {"$schema", "title", "description", "default", "if", "then"}
    if "if" in schema and accepts(schema["if"], value) and not accepts(schema["then"], value):
        return False
    return all(_KEYWORDS[key](limit, value) for key, limit in schema.items() if key not in known)


def _properties(limit: dict[str, Any], value: Any) -> bool:
    return not isinstance(value, dict) or all(accepts(limit[key], value[key]) for key in value if key in limit)


_KEYWORDS: dict[str, Any] = {
    "type": lambda limit, value: any(_is_a(value, name) for name in ([limit] if isinstance(limit, str) else limit)),
    "enum": lambda limit, value: any(
        value == word and isinstance(value, bool) == isinstance(word, bool) for word in limit
    ),
    "const": lambda limit, value: value == limit and type(value) is type(limit),
    "required": lambda limit, value: not isinstance(value, dict) or set(limit) <= set(value),
    "properties": _properties,
    "items": lambda limit, value: not isinstance(value, list) or all(accepts(limit, item) for item in value),
    "anyOf": lambda limit, value: any(accepts(part, value) for part in limit),
    "allOf": lambda limit, value: all(accepts(part, value) for part in limit),
    "minimum": lambda limit, value: not _is_a(value, "number") or value >= limit,
    "maximum": lambda limit, value: not _is_a(value, "number") or value <= limit,
    "minItems": lambda limit, value: not isinstance(value, list) or len(value) >= limit,
    "minLength": lambda limit, value: not isinstance(value, str) or len(value) >= limit,
    "pattern": lambda limit, value: not isinstance(value, str) or re.search(limit, value) is not None,
}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_exported_files_are_current(name: str) -> None:
    """docs/schemas holds what the tables make: `python -m codex_oss.contracts.schema NAME > docs/schemas/NAME.json`."""
    assert (DOCS / f"{name}.json").read_text(encoding="utf-8") == render_schema(name)


@pytest.mark.parametrize("tier", TIERS)
def test_the_schema_accepts_what_is_written_by_us(tier: str) -> None:
    """Minimal, compiled, templated and canonical missions of each tier fit the schema."""
    owned = ("a",) if tier in ("A4", "A5", "A6") else ()
    options = CompileOptions(tier=tier, objective="x", allowed_paths=("a",), owned_paths=owned, target_symbol="f")
    for raw in (
        minimal(tier),
        compile_mission(options),
        template_mission(CompileOptions(allowed_paths=("a",), objective="x")),
    ):
        assert accepts(mission_schema(), raw)
        mission = check_mission(raw, limits=BudgetLimits(), new_id="m").mission
        assert mission is not None
        assert accepts(mission_schema(), to_handoff(mission))


@pytest.mark.parametrize("raw", [raw for raw in VALID if raw["tier"].isupper()])
def test_the_schema_accepts_what_validation_accepts(raw: dict[str, Any]) -> None:
    """Valid missions in canonical spelling fit the schema."""
    assert accepts(mission_schema(), raw)


SEEN_BY_THE_SCHEMA = {
    "schema_version_invalid",
    "tier_invalid",
    "mode_mismatch",
    "risk_tier_invalid",
    "write_flag_mismatch",
    "budget_abusive",
    "limit_out_of_range",
    "sufficiency_policy_invalid",
}


@pytest.mark.parametrize(
    "raw",
    [
        raw
        for raw, code, _ in BREACHES
        if code in SEEN_BY_THE_SCHEMA and raw.get("tool_budget") != 10**30 and not raw.get("must_inspect")
    ],
)
def test_the_schema_refuses_plain_breaches(raw: dict[str, Any]) -> None:
    """What a schema can see, ours sees: words, types, bounds, flags of the tier."""
    assert not accepts(mission_schema(), raw)


def test_the_objective_schema_stands_alone() -> None:
    """objective_spec.v1 is a schema of its own, equal to the one inside the mission's."""
    assert accepts(objective_schema(), {"objective_type": "usage_location"})
    assert not accepts(objective_schema(), {"objective_type": "magic"})
    assert not accepts(objective_schema(), {})
    inner = mission_schema()["properties"]["objective_spec"]["properties"]
    assert inner == objective_schema()["properties"]


@pytest.mark.parametrize(
    ("fields", "struct", "apart"),
    [
        (MISSION_FIELDS, MissionV1, {"tool_budget", "time_budget_seconds", "budget"}),
        (OBJECTIVE_FIELDS, ObjectiveSpec, set()),
        (SUFFICIENCY_FIELDS, SufficiencyPolicy, set()),
        (SOURCE_FIELDS, SourceRequirement, set()),
        (OBLIGATION_FIELDS, AnswerObligation, set()),
        (EXPLORATION_FIELDS, ExplorationPolicy, set()),
        (VERIFICATION_FIELDS, VerificationPolicy, set()),
        (WORKSPACE_FIELDS, WorkspaceApplyPolicy, set()),
    ],
)
def test_tables_and_types_name_the_same_fields(fields: tuple[Field, ...], struct: type, apart: set[str]) -> None:
    """Each row fills a field of the type and each field has its row; plain defaults are equal."""
    of_type = {info.name: info for info in msgspec.structs.fields(struct)}
    assert {field.name for field in fields} - apart == set(of_type) - apart
    for field in fields:
        if field.name in of_type and field.default is not None and not field.missing:
            info = of_type[field.name]
            plain = info.default_factory() if info.default is msgspec.NODEFAULT else info.default
            assert plain == field.default


def test_tier_tables_know_the_same_tiers() -> None:
    """Every table by tier has the same rows."""
    assert set(APPLY_MODES_OF_TIER) == set(REPORT_SCHEMA_OF_TIER) == set(TIER_CAPS)
    assert set(IMPLEMENTATION_ONLY) <= {field.name for field in MISSION_FIELDS}


def test_the_schema_is_json_without_surprises() -> None:
    """The rendered text parses back to the schema and ends with one line end."""
    text = render_schema("oss_agent_mission.v1")
    assert json.loads(text) == mission_schema()
    assert text.endswith("}\n")
