"""Writes missions: a template to start from, or a whole contract from a few options.

Counterparts: `contracts.validation` judges what is written here, as it judges everybody's; `cli.contracts` turns
flags into `CompileOptions`.

Rules that hold here:

1. What was not said is left to the contract's defaults, except where a delegate wants to see it in writing.
2. Options override the base document, the base overrides what is written by default.
3. Nothing is judged here: an option that cannot be is refused by `check_mission`, with its code and field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from codex_oss.contracts.blocks import CLOSE_TAG, OPEN_TAG
from codex_oss.contracts.defaults import IMPLEMENTATION_TIERS, default_style
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, REPORT_SCHEMA_OF_TIER, TOOL_CLASSES
from codex_oss.contracts.mission import MODE_OF_TIER, REPORT_OUTPUTS, SCHEMA_VERSION

TEMPLATE_TIERS: Final = ("A2", "A3")
TEMPLATE_CALLS: Final = 10
"""Tool calls of a template; more files could not be read within them, so no more must be."""
PATCH_OUTPUTS: Final = ("patch", "changed_files", "risk_assessment", "verification_plan", "evidence_refs")
STOP_CONDITIONS: Final = ("valid_report", "budget_exhausted", "critical_path_detected", "deadline_reached")
APPLY_MODE_ALIASES: Final = {"isolated": "isolated_worktree"}


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What a person may say about a mission. None and empty mean "not said"."""

    tier: str | None = None
    objective: str | None = None
    mission_id: str | None = None
    risk_tier: str | None = None
    allowed_roots: tuple[str, ...] = ()
    allowed_paths: tuple[str, ...] = ()
    owned_paths: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    must_inspect: tuple[str, ...] = ()
    objective_style: str | None = None
    answer_obligations: tuple[str, ...] = ()
    evidence_collection_mode: str | None = None
    objective_type: str | None = None
    target_symbol: str | None = None
    target_key: str | None = None
    target_pattern: str | None = None
    required_values: tuple[str, ...] = ()
    required_test_names: tuple[str, ...] = ()
    required_changed_files: tuple[str, ...] = ()
    required_source_files: tuple[str, ...] = ()
    required_test_files: tuple[str, ...] = ()
    required_symbols: tuple[str, ...] = ()
    """Each `path:kind:name`, `path:name` (a function) or `name`."""
    verification_commands: tuple[tuple[str, ...], ...] = ()
    apply_mode: str | None = None
    workspace: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `workspace_apply_policy` that were said."""
    sufficiency: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `sufficiency_policy` that were said."""
    critical_path_read_allowed: bool | None = None
    critical_path_reason: str | None = None
    critical_path_write_allowed: bool | None = None
    allow_broad_read_scope: bool | None = None


def template_mission(options: CompileOptions) -> dict[str, Any]:
    """A mission of tier A2 or A3 (the default) with every field that people usually edit."""
    tier = (options.tier or "A3").upper()
    written = {
        **_written(tier, "mission_local_001"),
        "allowed_roots": [],
        "allowed_paths": [],
        "must_inspect": list(options.allowed_paths[:TEMPLATE_CALLS]),
        "forbidden_roots": [],
        "forbidden_topics": [],
        "tool_budget": TEMPLATE_CALLS,
        "time_budget_seconds": 90,
        "critical_path_read_allowed": False,
        "critical_path_reason": None,
        "allow_broad_read_scope": False,
    }
    return written | _said(options)


def compile_mission(options: CompileOptions, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole contract of a tier A2 to A6 (default A3) from a base document and options over it."""
    base = base or {}
    given = base.get("tier")
    tier = (options.tier or (given if isinstance(given, str) else "") or "A3").strip().upper()
    written = {**_written(tier, "mission_local_compile_001"), "stop_conditions": list(STOP_CONDITIONS)}
    kept = {name: value for name, value in base.items() if value is not None or name not in written}
    raw = written | kept | _said(options)
    if options.tier:
        raw |= {name: written[name] for name in ("tier", "mode", "write_allowed", "report_schema")}
    if tier in IMPLEMENTATION_TIERS:
        raw |= _implementation(tier, raw, options)
    spec = _objective_spec(tier, raw, options)
    return raw | ({"objective_spec": spec} if spec else {})


def wrap_handoff(raw: Mapping[str, Any]) -> str:
    """The tagged block that carries *raw*, keys sorted, without a line end after it.

    A tag inside a text of the mission is escaped, so that parsers which only look for tags find one block.
    """
    body = render_mission(raw)
    for tag in (OPEN_TAG, CLOSE_TAG):
        body = body.replace(tag, f"\\u003c{tag[1:]}")
    return f"{OPEN_TAG}\n{body}\n{CLOSE_TAG}"


def render_mission(raw: Mapping[str, Any]) -> str:
    """*raw* as indented JSON with sorted keys."""
    return json.dumps(raw, indent=2, sort_keys=True, ensure_ascii=False)


def _written(tier: str, mission_id: str) -> dict[str, Any]:
    """What is put in writing although the contract has a default for it."""
    implements = tier in IMPLEMENTATION_TIERS
    calls, seconds = (10, 90) if tier == "A2" else (20, 180)
    return {
        "schema_version": SCHEMA_VERSION,
        "mission_id": mission_id,
        "tier": tier,
        "mode": MODE_OF_TIER.get(tier, ""),
        "risk_tier": "low",
        "write_allowed": tier in ("A5", "A6"),
        "tool_budget": calls,
        "time_budget_seconds": seconds,
        "allowed_tool_classes": list(TOOL_CLASSES),
        "stop_conditions": list(STOP_CONDITIONS),
        "report_schema": REPORT_SCHEMA_OF_TIER.get(tier, ""),
        "required_outputs": list(PATCH_OUTPUTS if implements else REPORT_OUTPUTS),
    }


_SAME_NAME: Final = (
    "objective",
    "mission_id",
    "risk_tier",
    "allowed_roots",
    "allowed_paths",
    "owned_paths",
    "read_only_paths",
    "must_inspect",
    "objective_style",
    "answer_obligations",
    "evidence_collection_mode",
    "critical_path_read_allowed",
    "critical_path_reason",
    "critical_path_write_allowed",
    "allow_broad_read_scope",
)
"""Options that are fields of the mission as they are."""


def _said(options: CompileOptions) -> dict[str, Any]:
    said = {name: _plain(getattr(options, name)) for name in _SAME_NAME if getattr(options, name) not in (None, ())}
    if options.answer_obligations and options.objective_style is None:
        said["objective_style"] = "open_investigation"
    if options.sufficiency:
        said["sufficiency_policy"] = dict(options.sufficiency)
    if options.verification_commands:
        commands = [list(argv) for argv in options.verification_commands]
        said["verification_policy"] = {"allowed_commands": commands, "timeout_seconds": 60}
    if options.workspace:
        said["workspace_apply_policy"] = _workspace(options.workspace)
    if options.apply_mode is not None:
        said["apply_mode"] = APPLY_MODE_ALIASES.get(options.apply_mode, options.apply_mode)
    return said


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _workspace(said: Mapping[str, Any]) -> dict[str, Any]:
    """A certification stands on reviews, so it brings their conditions with it."""
    policy = {name: _plain(value) for name, value in said.items()}
    if policy.get("certification_required"):
        policy["require_gpt_review"] = True
        policy.setdefault("min_reviewer_approvals", max(1, len(policy.get("reviewer_models", ()))))
    return policy


def _implementation(tier: str, raw: Mapping[str, Any], options: CompileOptions) -> dict[str, Any]:
    """Limits of a change; the owned files are readable too, or nobody could change them."""
    owned = _texts(raw.get("owned_paths"))
    limits: dict[str, Any] = {
        "max_files_changed": max(1, len(options.required_changed_files) or len(owned)),
        "max_patch_bytes": 12_000,
        "objective_style": default_style(tier),
        "apply_mode": APPLY_MODES_OF_TIER[tier][0],
    }
    if owned and not raw.get("allowed_roots") and not raw.get("allowed_paths"):
        limits["allowed_paths"] = list(dict.fromkeys([*owned, *_texts(raw.get("read_only_paths"))]))
    return {name: value for name, value in limits.items() if not raw.get(name)}


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _objective_spec(tier: str, raw: Mapping[str, Any], options: CompileOptions) -> dict[str, Any] | None:
    """The machine-readable objective that the options describe; None when they describe none."""
    kind = options.objective_type or _type_of_target(tier, options)
    if kind is None:
        return None
    spec: dict[str, Any] = {
        "schema_version": "objective_spec.v1",
        "objective_type": kind,
        "target": {name: _plain(value) for name, value in _target(kind, raw, options).items() if value},
    }
    if options.required_values:
        spec["required_values"] = list(options.required_values)
    return spec


def _type_of_target(tier: str, options: CompileOptions) -> str | None:
    """The type that the given targets mean when none was named."""
    if tier in IMPLEMENTATION_TIERS:
        wants = (
            options.required_changed_files,
            options.required_source_files,
            options.required_test_files,
            options.required_test_names,
            options.required_symbols,
        )
        return ("critical_path_patch" if tier == "A6" else "implementation_patch") if any(wants) else None
    if options.required_values:
        return "config_value_extraction"
    for value, kind in (
        (options.target_symbol, "function_location"),
        (options.target_key, "mapping_lookup"),
        (options.target_pattern, "zero_match_evidence"),
    ):
        if value:
            return kind
    return None


def _target(kind: str, raw: Mapping[str, Any], options: CompileOptions) -> dict[str, Any]:
    owned = _texts(raw.get("owned_paths"))
    symbols = [_symbol(text) for text in options.required_symbols]
    patch = {
        "required_changed_files": options.required_changed_files or owned,
        "required_source_files": options.required_source_files,
        "required_test_files": options.required_test_files,
        "required_symbols": symbols,
        "required_test_names": options.required_test_names,
    }
    match kind:
        case "implementation_patch" | "critical_path_patch":
            return patch
        case "documentation_patch":
            return {"required_changed_files": patch["required_changed_files"]}
        case "implementation_test_only":
            tests = options.required_test_files or options.required_changed_files or tuple(owned)
            return {
                "test_file": tests[0] if tests else None,
                "source_files": options.required_source_files,
                "required_test_names": options.required_test_names,
            }
        case "mapping_lookup":
            return {"key": options.target_key}
        case "function_location":
            return {"symbol": options.target_symbol}
        case "zero_match_evidence":
            return {"pattern": options.target_pattern}
        case "config_value_extraction":
            return {"key": options.target_key, "symbol": options.target_symbol}
        case _:
            return {
                "key": options.target_key,
                "symbol": options.target_symbol,
                "pattern": options.target_pattern,
            }


def _symbol(text: str) -> dict[str, str]:
    """`path:kind:name`, `path:name` or `name`; the kind is a function unless told."""
    match text.split(":"):
        case [path, kind, name]:
            return {"path": path, "kind": kind, "name": name}
        case [path, name]:
            return {"path": path, "kind": "function", "name": name}
        case _:
            return {"kind": "function", "name": text}
