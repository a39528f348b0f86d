"""MissionV1: the contract between whoever delegates and the runtime.

Counterparts: `contracts.handoff` finds and parses the tagged block, `contracts.validation` checks every rule and
lists *all* breaches, `contracts.compiler` writes contracts, `missions.decide` obeys them.

A value of `MissionV1` exists only when every rule held: budgets are clamped to the tier, lists are
normalised, defaults are filled in. Source: mission contract v1; `contracts.fields` has its table.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

Tier = Literal["A2", "A3", "A4", "A5", "A6"]
Risk = Literal["low", "medium", "critical"]
Confidence = Literal["LOW", "MEDIUM", "HIGH"]
MissionStatus = Literal["COMPLETE", "PARTIAL", "ESCALATE", "FAILED"]
ObjectiveStyle = Literal["deterministic_lookup", "open_investigation", "implementation"]

SCHEMA_VERSION: Final = "oss_agent_mission.v1"

MODE_OF_TIER: Final[dict[str, str]] = {
    "A0": "no_tool_exact",
    "A1": "context_pack_report",
    "A2": "guided_exploration",
    "A3": "managed_investigation",
    "A4": "patch_proposal",
    "A5": "bounded_implementation",
    "A6": "critical_implementation",
}

RUNNABLE_TIERS: Final = ("A2", "A3")
"""Tiers that the runtime runs today; A4 to A6 compile and validate."""

REPORT_OUTPUTS: Final = (
    "files_inspected",
    "commands_run",
    "findings",
    "uncertainties",
    "confidence",
    "caveats",
    "escalation_recommendation",
)


class Problem(Struct, frozen=True):
    """One breach of the contract."""

    code: str
    """Stable code, e.g. `scope_missing`; the full list is in `docs/mission-contract.md`."""
    field: str
    """Dotted path of the field, e.g. `answer_obligations[1].question`; empty for the whole block."""
    message: str
    """One sentence that says what was found and what was expected; what to do is `contracts.codes.hint_of(code)`."""
    severity: Literal["error", "warning"] = "error"


class SufficiencyPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """When a report says enough."""

    min_main_claims: int = 0
    min_evidence_refs_per_claim: int = 1
    must_list_uninspected_areas: bool = False
    confidence_cap_if_partial_extracts: Confidence = "LOW"
    allow_runtime_answer_graph_closure: bool = True


class SourceRequirement(Struct, frozen=True, forbid_unknown_fields=True):
    """A source that an obligation needs."""

    path: str
    evidence_kind: str = "source_read"
    required: bool = True
    prefetch: bool = True
    required_shapes: tuple[str, ...] = ()
    contradiction_markers: tuple[str, ...] = ()
    completeness_policy: str = "shape_sufficient"
    shape_match_policy: Literal["all", "any"] = "all"
    evidence_plane: Literal["file_content", "command_result"] = "file_content"
    pattern: str = ""
    command_requirement: dict[str, Any] | None = None


class AnswerObligation(Struct, frozen=True, forbid_unknown_fields=True):
    """A question that the report must answer."""

    id: str
    question: str
    required: bool = True
    source_hints: tuple[str, ...] = ()
    evidence_needed: tuple[str, ...] = ()
    source_requirements: tuple[SourceRequirement, ...] = ()


class ExplorationPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """What must and may follow once every required source was read. Open style only; without one nothing must."""

    after_required_floor: Literal["allow_model_exploration", "close_immediately"] = "allow_model_exploration"
    min_optional_actions_after_floor: int = 1
    max_optional_actions_after_floor: int = 4
    require_contradiction_search: bool = True


class VerificationPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """Commands that may verify a change. Implementation tiers only."""

    allowed_commands: tuple[tuple[str, ...], ...] = ()
    max_commands: int = 0
    timeout_seconds: int = 60
    network_allowed: bool = False
    env_policy: str = "minimal"
    allow_broad_suite: bool = False


class WorkspaceApplyPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """Under which conditions a verified change may touch the user's own tree. Implementation tiers only."""

    allow_direct_workspace_apply: bool = False
    allow_critical_workspace_apply: bool = False
    require_clean_worktree: bool = False
    allow_dirty_target_files: bool = False
    certification_required: bool = False
    require_gpt_review: bool = True
    reviewer_models: tuple[str, ...] = ()
    min_reviewer_approvals: int = 0
    require_isolated_preflight: bool = False
    require_rollback_proof: bool = False
    invariant_commands: tuple[tuple[str, ...], ...] = ()


class ObjectiveSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A machine-readable objective (`objective_spec.v1`)."""

    objective_type: str
    schema_version: str = "objective_spec.v1"
    target: dict[str, Any] = {}
    required_outputs: tuple[str, ...] = ()
    required_values: tuple[str, ...] = ()
    required_evidence_shapes: tuple[str, ...] = ()
    completion_criteria: tuple[str, ...] = ()
    confidence_policy: dict[str, Any] = {}


class Budget(Struct, frozen=True):
    """What was asked for, what is granted, and why it is less."""

    tool_calls: int
    """Effective number of tool calls."""
    time_s: int
    """Effective seconds from the mission's opening to its closing."""
    tool_calls_requested: int
    time_requested_s: int
    reduction_reason: str = ""
    """`tier_cap`, `request_deadline`, `model_profile` joined with `+`; empty when nothing was cut."""


class MissionV1(Struct, frozen=True, omit_defaults=False):
    """A valid mission. Field meanings: `docs/mission-contract.md`."""

    mission_id: str
    """`[A-Za-z0-9_.-]{1,80}`, no leading dot: it names a folder."""
    tier: Tier
    mode: str
    objective: str
    budget: Budget
    schema_version: str = SCHEMA_VERSION
    risk_tier: Risk = "low"
    write_allowed: bool = False
    allowed_roots: tuple[str, ...] = ()
    allowed_paths: tuple[str, ...] = ()
    forbidden_roots: tuple[str, ...] = ()
    forbidden_topics: tuple[str, ...] = ()
    owned_paths: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    critical_path_read_allowed: bool = False
    critical_path_reason: str = ""
    critical_path_write_allowed: bool = False
    allow_broad_read_scope: bool = False
    max_files_to_inspect: int = 20
    max_total_observation_bytes: int = 500_000
    allowed_tool_classes: tuple[str, ...] = ()
    stop_conditions: tuple[str, ...] = ("valid_report", "budget_exhausted", "deadline_reached")
    report_schema: str = "managed_investigation_report.v1"
    required_outputs: tuple[str, ...] = REPORT_OUTPUTS
    fallback_policy: str = "fallback_policy.v1"
    deadline_policy: str = "deadline_policy.v1"
    objective_spec: ObjectiveSpec | None = None
    allow_heuristic_objective: bool = True
    objective_style: ObjectiveStyle = "deterministic_lookup"
    sufficiency_policy: SufficiencyPolicy = SufficiencyPolicy()
    answer_obligations: tuple[AnswerObligation, ...] = ()
    must_inspect: tuple[str, ...] = ()
    evidence_collection_mode: Literal["prefetch_floor", "agenda_guided", "model_led"] = "prefetch_floor"
    exploration_policy: ExplorationPolicy | None = None
    closer_model: str = ""
    fallback_closer_model: str = ""
    completion_contract: dict[str, Any] = {}
    max_model_calls: int = 25
    max_duplicate_actions: int = 2
    max_broad_searches: int = 6
    max_low_information_actions: int = 3
    phase_policy_enabled: bool = True
    progress_policy_enabled: bool = True
    max_files_changed: int = 1
    max_patch_bytes: int = 12_000
    verification_policy: VerificationPolicy = VerificationPolicy()
    apply_mode: str = ""
    workspace_apply_policy: WorkspaceApplyPolicy = WorkspaceApplyPolicy()
