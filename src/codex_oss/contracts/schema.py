"""The contract as JSON Schema (draft 2020-12), made from the same tables that judge a mission.

Counterparts: `docs/schemas/*.json` hold what this file makes (a test compares them); `contracts.validation` is the
judge. `python -m codex_oss.contracts.schema oss_agent_mission.v1` prints one.

Rules that hold here:

1. What the judge accepts in its canonical spelling, the schema accepts. The judge also takes words in other case.
2. The schema cannot say everything: paths, scopes and sums stay with `codex-oss validate-handoff`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from codex_oss.contracts.defaults import IMPLEMENTATION_TIERS
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, MISSION_FIELDS
from codex_oss.contracts.mission import MODE_OF_TIER, SCHEMA_VERSION
from codex_oss.contracts.objective_fields import OBJECTIVE_FIELDS
from codex_oss.contracts.rows import Field, Kind
from codex_oss.contracts.validation import WRITING_TIERS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ID_PATTERN: Final = r"^(?!\.)[A-Za-z0-9_.-]{1,80}$"


def mission_schema() -> dict[str, Any]:
    """The schema of `oss_agent_mission.v1`."""
    schema = _object(MISSION_FIELDS)
    schema["properties"]["mission_id"]["pattern"] = ID_PATTERN
    return {
        "$schema": DIALECT,
        "title": SCHEMA_VERSION,
        "description": "A bounded task for an open model. Unknown fields are ignored with a warning.",
        **schema,
        "anyOf": [_given("allowed_roots"), _given("allowed_paths")],
        "allOf": [_tier_rule(tier) for tier in APPLY_MODES_OF_TIER],
    }


def objective_schema() -> dict[str, Any]:
    """The schema of `objective_spec.v1`."""
    return {
        "$schema": DIALECT,
        "title": "objective_spec.v1",
        "description": "An objective that a program can check.",
        **_object(OBJECTIVE_FIELDS),
    }


SCHEMAS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    SCHEMA_VERSION: mission_schema,
    "objective_spec.v1": objective_schema,
}


def render_schema(name: str) -> str:
    """The text of `docs/schemas/<name>.json`."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def _object(fields: tuple[Field, ...]) -> dict[str, Any]:
    required = [field.name for field in fields if field.missing]
    schema: dict[str, Any] = {"type": "object", "properties": {field.name: _property(field) for field in fields}}
    return schema | ({"required": required} if required else {})


def _property(field: Field) -> dict[str, Any]:
    schema = {"description": field.help + ".", **_value(field)}
    if field.default not in (None, (), {}):
        schema["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    if field.missing:
        return schema
    if "anyOf" in schema:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    elif "enum" in schema:
        schema["enum"] = [*schema["enum"], "", None]
    else:
        schema["type"] = [schema["type"], "null"]
    return schema


_ITEM: Final[dict[Kind, dict[str, Any]]] = {
    "texts": {"type": "string", "minLength": 1},
    "scalars": {"type": ["string", "number", "boolean"]},
    "paths": {"type": "string", "minLength": 1},
}


def _value(field: Field) -> dict[str, Any]:
    match field.kind:
        case "text" | "path":
            return {"type": "string", **({"minLength": 1} if field.missing else {})}
        case "word":
            return {"enum": list(field.words)}
        case "flag":
            return {"type": "boolean"}
        case "whole":
            return {"type": "integer", "minimum": field.low, "maximum": field.high}
        case "texts" | "scalars" | "paths":
            return _list_or_text(_ITEM[field.kind], field)
        case "words":
            return _list_or_text({"enum": list(field.words)}, field)
        case "argvs":
            argv = {"type": "array", "items": {"type": "string"}, "minItems": 1}
            return {"type": "array", "items": argv}
        case "object":
            return {"type": "object"}
        case "group" if field.many:
            return {"type": "array", "items": {"anyOf": [{"type": "string", "minLength": 1}, _object(field.fields)]}}
        case "group":
            return _object(field.fields)


def _list_or_text(item: dict[str, Any], field: Field) -> dict[str, Any]:
    least = {"minItems": 1} if field.missing else {}
    return {
        "anyOf": [
            {"type": "array", "items": item, **least},
            {"type": "string", "description": "Entries with commas between them."},
        ]
    }


def _given(name: str) -> dict[str, Any]:
    some = {"anyOf": [{"type": "array", "minItems": 1}, {"type": "string", "minLength": 1}]}
    return {"required": [name], "properties": {name: some}}


def _tier_rule(tier: str) -> dict[str, Any]:
    """What one tier asks for on top."""
    writes, implements = tier in WRITING_TIERS, tier in IMPLEMENTATION_TIERS
    modes: list[str | None] = [*APPLY_MODES_OF_TIER[tier], None, ""]
    then: dict[str, Any] = {
        "properties": {
            "mode": {"enum": [MODE_OF_TIER[tier], "", None]},
            "write_allowed": {"const": True} if writes else {"enum": [False, None]},
            "apply_mode": {"enum": list(dict.fromkeys(modes if implements else [*modes, "none"]))},
        }
    }
    needs = (["write_allowed"] if writes else []) + (["owned_paths"] if implements else [])
    if implements:
        then["properties"]["owned_paths"] = _given("owned_paths")["properties"]["owned_paths"]
    if needs:
        then["required"] = needs
    return {"if": {"properties": {"tier": {"const": tier}}, "required": ["tier"]}, "then": then}


if __name__ == "__main__":
    sys.stdout.write(render_schema(sys.argv[1] if len(sys.argv) > 1 else SCHEMA_VERSION))
