"""The table of MissionV1: each field once, with its kind, default, bounds and the code of its breach.

Counterparts: `contracts.mission` has the types that the values end up in, `contracts.validation` the rules between
fields. How a row is read: `contracts.rows`.
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.mission import MODE_OF_TIER, SCHEMA_VERSION
from codex_oss.contracts.objective_fields import OBJECTIVE_FIELDS
from codex_oss.contracts.policy_fields import (
    EXPLORATION_FIELDS,
    OBLIGATION_FIELDS,
    SUFFICIENCY_FIELDS,
    VERIFICATION_FIELDS,
    WORKSPACE_FIELDS,
)
from codex_oss.contracts.rows import Field

TOOL_CLASSES: Final = ("read", "search", "list", "safe_git")
REPORT_SCHEMA_OF_TIER: Final[dict[str, str]] = {
    "A2": "managed_investigation_report.v1",
    "A3": "managed_investigation_report.v1",
    "A4": "patch_validation_report.v1",
    "A5": "implementation_report.v1",
    "A6": "implementation_report.v1",
}
APPLY_MODES_OF_TIER: Final[dict[str, tuple[str, ...]]] = {
    "A2": ("",),
    "A3": ("",),
    "A4": ("none",),
    "A5": ("isolated_worktree", "temp_project", "workspace", "workspace_low_risk", "workspace_explicit"),
    "A6": ("isolated_worktree", "temp_project", "critical_workspace_certified"),
}
"""Allowed apply modes, the default first. The tiers that read only have none; they may say `none`."""
MISSION_FIELDS: Final = (
    Field(
        "schema_version",
        "word",
        "Name of this format",
        code="schema_version_invalid",
        missing="schema_version_invalid",
        words=(SCHEMA_VERSION,),
    ),
    Field("mission_id", "text", "Letters, digits and `_.-`, at most 80", code="mission_id_invalid", shown="drawn"),
    Field(
        "tier",
        "word",
        "How far the model may go",
        code="tier_invalid",
        missing="tier_invalid",
        words=tuple(APPLY_MODES_OF_TIER),
        hint="A0 and A1 are plain answers, which the runtime does not run: ask the model without a mission.",
    ),
    Field(
        "mode",
        "word",
        "The tier in words; must fit it",
        code="mode_mismatch",
        words=tuple(MODE_OF_TIER[tier] for tier in APPLY_MODES_OF_TIER),
        shown="the tier's",
    ),
    Field(
        "objective", "text", "What is to be found out or done", code="objective_missing", missing="objective_missing"
    ),
    Field(
        "risk_tier", "word", "Risk of the task", "low", code="risk_tier_invalid", words=("low", "medium", "critical")
    ),
    Field("write_allowed", "flag", "True for A5 and A6, false below", False, code="write_flag_mismatch"),
    Field("allowed_roots", "paths", "Folders that may be read", ()),
    Field("allowed_paths", "paths", "Files that may be read", ()),
    Field("forbidden_roots", "paths", "Folders that stay closed, beside those always denied", ()),
    Field("forbidden_topics", "texts", "What the report must stay away from", ()),
    Field("owned_paths", "paths", "Files that may change; needed for A4 to A6", ()),
    Field("read_only_paths", "paths", "Files that give context to a change", ()),
    Field("critical_path_read_allowed", "flag", "Critical paths may be read", False),
    Field("critical_path_reason", "text", "Why; needed for a critical read to pass", ""),
    Field("critical_path_write_allowed", "flag", "Critical paths may change", False),
    Field("allow_broad_read_scope", "flag", "A broad root such as `.` or `src` is meant", False),
    Field(
        "max_files_to_inspect",
        "whole",
        "Most files; a folder with more is a broad root",
        20,
        code="limit_out_of_range",
        low=1,
        high=10_000,
    ),
    Field(
        "max_total_observation_bytes",
        "whole",
        "Most bytes of content shown to the model",
        500_000,
        code="limit_out_of_range",
        low=1,
        high=1_000_000_000,
    ),
    Field(
        "tool_budget",
        "whole",
        "Tool calls asked for; clamped to the tier",
        20,
        code="limit_out_of_range",
        low=1,
        high=1000,
        above="budget_abusive",
    ),
    Field(
        "time_budget_seconds",
        "whole",
        "Seconds asked for; clamped to the tier",
        180,
        code="limit_out_of_range",
        low=1,
        high=3600,
        above="budget_abusive",
    ),
    Field(
        "allowed_tool_classes",
        "words",
        "Tools that may be used",
        (),
        code="tool_class_invalid",
        missing="tool_classes_missing",
        words=TOOL_CLASSES,
    ),
    Field(
        "stop_conditions",
        "texts",
        "What ends the mission",
        ("valid_report", "budget_exhausted", "deadline_reached"),
    ),
    Field(
        "report_schema",
        "word",
        "Format of the report",
        code="report_schema_invalid",
        words=tuple(dict.fromkeys(REPORT_SCHEMA_OF_TIER.values())),
        shown="the tier's",
    ),
    Field("required_outputs", "texts", "Parts that the report must have", (), missing="required_outputs_missing"),
    Field("fallback_policy", "text", "Label", "fallback_policy.v1"),
    Field("deadline_policy", "text", "Label", "deadline_policy.v1"),
    Field(
        "objective_spec",
        "group",
        "The objective for a machine",
        code="objective_spec_invalid",
        fields=OBJECTIVE_FIELDS,
        shown="null",
    ),
    Field("allow_heuristic_objective", "flag", "False: A3 needs objective_spec", True),
    Field(
        "objective_style",
        "word",
        "How the objective is pursued",
        code="objective_style_invalid",
        words=("deterministic_lookup", "open_investigation", "implementation"),
        shown="deterministic_lookup; A4 to A6 implementation",
    ),
    Field(
        "sufficiency_policy",
        "group",
        "When a report says enough",
        code="sufficiency_policy_invalid",
        fields=SUFFICIENCY_FIELDS,
        shown="see below",
    ),
    Field(
        "answer_obligations",
        "group",
        "Questions that must be answered, open style only; a bare string is a question",
        (),
        code="obligation_invalid",
        fields=OBLIGATION_FIELDS,
        many=True,
        short="question",
    ),
    Field("must_inspect", "paths", "Files that must be looked at", ()),
    Field(
        "evidence_collection_mode",
        "word",
        "Who leads the reading",
        code="evidence_mode_invalid",
        words=("prefetch_floor", "agenda_guided", "model_led"),
        shown="prefetch_floor; open style agenda_guided",
    ),
    Field(
        "exploration_policy",
        "group",
        "What follows the required reading; open style only",
        code="exploration_policy_invalid",
        fields=EXPLORATION_FIELDS,
        shown="open style only, see below",
    ),
    Field("closer_model", "text", "Alias of the model that writes the report", ""),
    Field("fallback_closer_model", "text", "Alias that stands in for it", ""),
    Field("completion_contract", "object", "Stricter conditions of completeness", {}),
    Field("max_model_calls", "whole", "Most questions to the model", 25, code="limit_out_of_range", high=100),
    Field("max_duplicate_actions", "whole", "Most repeated actions", 2, code="limit_out_of_range", high=100),
    Field("max_broad_searches", "whole", "Most broad searches", code="limit_out_of_range", high=100, shown="6; A2 3"),
    Field(
        "max_low_information_actions",
        "whole",
        "Most actions that bring nothing new",
        code="limit_out_of_range",
        high=100,
        shown="3; A2 2",
    ),
    Field("phase_policy_enabled", "flag", "Keep the phases", True),
    Field("progress_policy_enabled", "flag", "Stop a mission that makes no progress", True),
    Field("max_files_changed", "whole", "Most files changed", 1, code="limit_out_of_range", low=1, high=20),
    Field("max_patch_bytes", "whole", "Largest patch", 12_000, code="limit_out_of_range", low=1, high=250_000),
    Field(
        "verification_policy",
        "group",
        "Commands that may verify a change",
        code="verification_policy_invalid",
        fields=VERIFICATION_FIELDS,
        shown="see below",
    ),
    Field(
        "apply_mode",
        "word",
        "Where a change is applied",
        code="apply_mode_invalid",
        words=("none", *APPLY_MODES_OF_TIER["A5"], "critical_workspace_certified"),
        shown="A4 none; A5 and A6 isolated_worktree",
    ),
    Field(
        "workspace_apply_policy",
        "group",
        "Conditions for a change to reach your own tree",
        code="workspace_policy_invalid",
        fields=WORKSPACE_FIELDS,
        shown="see below",
    ),
)

IMPLEMENTATION_ONLY: Final = (
    "owned_paths",
    "read_only_paths",
    "critical_path_write_allowed",
    "max_files_changed",
    "max_patch_bytes",
    "verification_policy",
    "workspace_apply_policy",
)
"""Fields that mean nothing to the tiers that only read; a value other than the default is warned about."""
