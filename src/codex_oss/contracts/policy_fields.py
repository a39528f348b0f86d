"""The tables of the contract's inner objects: obligations, sources and policies.

Counterpart: `contracts.fields`, whose rows of kind `group` point here. How a row is read: `contracts.rows`.
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.rows import Field

COMPLETENESS_POLICIES: Final = (
    "shape_sufficient",
    "whole_file_required",
    "scope_search_required",
    "range_sufficient",
    "negative_proof_required",
)
COMPLETENESS_OF_EVIDENCE: Final[dict[str, str]] = {
    "behavior_derivation": "whole_file_required",
    "broad_policy_audit": "whole_file_required",
    "security_review": "whole_file_required",
    "negative_proof": "negative_proof_required",
    "scope_search": "scope_search_required",
}
"""Default completeness policy by evidence kind; any other kind is `shape_sufficient`."""
SUFFICIENCY_FIELDS: Final = (
    Field(
        "min_main_claims",
        "whole",
        "Fewest findings of a complete report",
        code="sufficiency_policy_invalid",
        high=100,
        unit="findings",
        shown="open style 1, else 0",
    ),
    Field(
        "min_evidence_refs_per_claim",
        "whole",
        "Fewest evidence refs of each finding; 0 counts as 1",
        1,
        code="sufficiency_policy_invalid",
        high=100,
        unit="refs",
    ),
    Field(
        "must_list_uninspected_areas",
        "flag",
        "The report lists the allowed places of which nothing was read",
        code="sufficiency_policy_invalid",
        shown="open style true, else false",
    ),
    Field(
        "confidence_cap_if_partial_extracts",
        "word",
        "Highest confidence when only parts of the files were read",
        code="sufficiency_policy_invalid",
        words=("LOW", "MEDIUM", "HIGH"),
        shown="open style MEDIUM, else LOW",
    ),
    Field(
        "allow_runtime_answer_graph_closure",
        "flag",
        "Without a report that stands, the runtime lists what it saw to each question; never as COMPLETE",
        code="sufficiency_policy_invalid",
        shown="open style true, else false",
    ),
)

_SOURCE: Final = "source_requirement_invalid"

SOURCE_FIELDS: Final = (
    Field("path", "path", "File that must have been read", missing=_SOURCE),
    Field(
        "evidence_kind",
        "text",
        "What the file should give: decides completeness_policy; the name of a shape asks for that shape",
        "source_read",
        code=_SOURCE,
    ),
    Field("required", "flag", "A COMPLETE needs it", True, code=_SOURCE),
    Field("prefetch", "flag", "The runtime may read it by itself, see evidence_collection_mode", True, code=_SOURCE),
    Field("required_shapes", "texts", "Evidence shapes that its shown lines must have", (), code=_SOURCE),
    Field(
        "contradiction_markers",
        "texts",
        "When one of these stands in its shown lines, a COMPLETE needs a finding of kind contradiction that cites it",
        (),
        code=_SOURCE,
    ),
    Field(
        "completeness_policy",
        "word",
        "How much must have been seen: a shape or some lines, any range, the whole file, a whole search, a search "
        "without a match",
        code="completeness_policy_invalid",
        words=COMPLETENESS_POLICIES,
        shown="by evidence_kind",
    ),
    Field(
        "shape_match_policy",
        "word",
        "Whether all shapes must be seen or any of them",
        "all",
        code="shape_policy_invalid",
        words=("all", "any"),
    ),
    Field(
        "evidence_plane",
        "word",
        "file_content must be read; command_result must be searched, reading it is not asked for",
        "file_content",
        code=_SOURCE,
        words=("file_content", "command_result"),
    ),
    Field("pattern", "text", "A search for exactly this must have been run over the file", "", code=_SOURCE),
    Field(
        "command_requirement",
        "group",
        "For command_result: what must have been searched for",
        code=_SOURCE,
        shown="null",
        fields=(Field("pattern", "text", "As `pattern`", code=_SOURCE, missing=_SOURCE),),
    ),
)

OBLIGATION_FIELDS: Final = (
    Field(
        "id",
        "text",
        "Name of the question; a finding that answers it bears it as obligation_id",
        code="obligation_invalid",
        shown="q1, q2, …",
    ),
    Field(
        "question",
        "text",
        "What must be answered; told to the model",
        missing="obligation_invalid",
        code="obligation_invalid",
    ),
    Field("required", "flag", "A COMPLETE needs a finding with its id", True, code="obligation_invalid"),
    Field("source_hints", "texts", "Where the answer may be; told to the model", (), code="obligation_invalid"),
    Field(
        "evidence_needed",
        "texts",
        "What would prove the answer, told to the model; the name of a shape asks its findings to cite it",
        (),
        code="obligation_invalid",
    ),
    Field(
        "source_requirements",
        "group",
        "Files that the answer needs; a bare string is a path",
        (),
        code=_SOURCE,
        fields=SOURCE_FIELDS,
        many=True,
        short="path",
    ),
)

_EXPLORATION: Final = "exploration_policy_invalid"

EXPLORATION_FIELDS: Final = (
    Field(
        "after_required_floor",
        "word",
        "close_immediately: the report is due once every required source was read",
        "allow_model_exploration",
        code=_EXPLORATION,
        words=("allow_model_exploration", "close_immediately"),
    ),
    Field(
        "min_optional_actions_after_floor",
        "whole",
        "A COMPLETE needs so many actions after the required reading",
        code=_EXPLORATION,
        high=100,
        unit="actions",
        shown="1; 0 when close_immediately",
    ),
    Field(
        "max_optional_actions_after_floor",
        "whole",
        "After so many actions beyond the required reading the report is due",
        4,
        code=_EXPLORATION,
        high=100,
        unit="actions",
    ),
    Field(
        "require_contradiction_search",
        "flag",
        "A COMPLETE needs a search of the model's own after the required reading",
        code=_EXPLORATION,
        shown="true; false when close_immediately",
    ),
)

_VERIFICATION: Final = "verification_policy_invalid"

VERIFICATION_FIELDS: Final = (
    Field("allowed_commands", "argvs", "Commands that may run, each a list of strings", (), code=_VERIFICATION),
    Field(
        "max_commands",
        "whole",
        "Most commands run",
        code=_VERIFICATION,
        high=10,
        shown="number of commands",
        unit="commands",
    ),
    Field(
        "timeout_seconds",
        "whole",
        "Longest run of one command",
        60,
        code=_VERIFICATION,
        low=1,
        high=600,
        unit="seconds",
    ),
    Field("network_allowed", "flag", "Must be false: a verification never reaches out", False, code=_VERIFICATION),
    Field("env_policy", "word", "Environment of a command", "minimal", code=_VERIFICATION, words=("minimal",)),
    Field("allow_broad_suite", "flag", "The whole test suite may be run", False, code=_VERIFICATION),
)

_WORKSPACE: Final = "workspace_policy_invalid"

WORKSPACE_FIELDS: Final = (
    Field("allow_direct_workspace_apply", "flag", "A change may reach your own tree", False, code=_WORKSPACE),
    Field("allow_critical_workspace_apply", "flag", "So may one to a critical path", False, code=_WORKSPACE),
    Field("require_clean_worktree", "flag", "Only when your tree has no changes", False, code=_WORKSPACE),
    Field("allow_dirty_target_files", "flag", "Even when the target file has changes", False, code=_WORKSPACE),
    Field("certification_required", "flag", "Only with a certification", False, code=_WORKSPACE),
    Field("require_gpt_review", "flag", "Only after a review by the parent model", True, code=_WORKSPACE),
    Field("reviewer_models", "texts", "Models that review", (), code=_WORKSPACE),
    Field("min_reviewer_approvals", "whole", "Fewest approvals", 0, code=_WORKSPACE, high=20, unit="approvals"),
    Field("require_isolated_preflight", "flag", "Only after a green run in isolation", False, code=_WORKSPACE),
    Field("require_rollback_proof", "flag", "Only when the rollback was tried", False, code=_WORKSPACE),
    Field("invariant_commands", "argvs", "Commands that must stay green", (), code=_WORKSPACE),
)
