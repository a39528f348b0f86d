"""The flags of `mission template` and `mission compile`, as tables.

Counterpart: `contracts.compiler.CompileOptions`, whose fields the left column names; those of the inner objects are
gathered by `WORKSPACE_NAMES` and `SUFFICIENCY_NAMES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

TEMPLATE_WORDS: Final[dict[str, str]] = {
    "tier": "A2 or A3 (the default).",
    "objective": "What is to be found out.",
    "mission_id": "Name of the mission and of its folder.",
    "risk_tier": "low (the default), medium or critical.",
    "critical_path_reason": "Why a critical path must be read.",
}
TEMPLATE_LISTS: Final[dict[str, tuple[str, str]]] = {
    "allowed_roots": ("--allowed-root", "Folder that may be read."),
    "allowed_paths": ("--allowed-path", "File that may be read."),
    "must_inspect": ("--must-inspect", "File that must be read."),
}
TEMPLATE_FLAGS: Final[dict[str, str]] = {
    "critical_path_read_allowed": "Critical paths may be read; say why with --critical-path-reason.",
    "allow_broad_read_scope": "A broad root such as `.` or `src` is meant.",
}
COMPILE_WORDS: Final[dict[str, str]] = {
    **TEMPLATE_WORDS,
    "tier": "A2 to A6; A3 when neither this nor FILE says it.",
    "objective_type": "Type of objective_spec; guessed from the targets when left out.",
    "objective_style": "deterministic_lookup, open_investigation or implementation.",
    "evidence_collection_mode": "prefetch_floor, agenda_guided or model_led.",
    "target_symbol": "Name to look for.",
    "target_key": "Key to look up.",
    "target_pattern": "Pattern to search for.",
    "apply_mode": "Where a change goes: none, isolated, temp_project, workspace, and so on.",
    "sufficiency_confidence_cap": "LOW, MEDIUM or HIGH: the cap when only parts of the files were read.",
}
COMPILE_LISTS: Final[dict[str, tuple[str, str]]] = {
    **TEMPLATE_LISTS,
    "owned_paths": ("--owned-path", "File that may change (A4 to A6)."),
    "read_only_paths": ("--read-only-path", "File that gives context (A4 to A6)."),
    "answer_obligations": ("--answer-obligation", "Question that must be answered; makes the style open."),
    "required_values": ("--required-value", "Value that must be found."),
    "required_test_names": ("--required-test-name", "Test that must exist."),
    "required_changed_files": ("--required-changed-file", "File that must change."),
    "required_source_files": ("--required-source-file", "Source that must change."),
    "required_test_files": ("--required-test-file", "Test file that must change."),
    "required_symbols": ("--required-symbol", "Symbol that must exist: path:kind:name, path:name or name."),
    "verification_commands": ("--verification-command", "Command that verifies the change, quoted as for a shell."),
    "workspace_reviewer_models": ("--workspace-reviewer-model", "Model that reviews."),
    "workspace_invariant_commands": ("--workspace-invariant-command", "Command that must stay green."),
}
COMPILE_FLAGS: Final[dict[str, str]] = {
    **TEMPLATE_FLAGS,
    "critical_path_write_allowed": "Critical paths may change.",
    "workspace_allow_direct": "A change may reach your own tree.",
    "workspace_allow_critical": "So may one to a critical path.",
    "workspace_require_clean": "Only when your tree has no changes.",
    "workspace_allow_dirty_targets": "Even when the target file has changes.",
    "workspace_certification_required": "Only with a certification.",
    "workspace_require_gpt_review": "Only after a review by the parent model.",
    "workspace_require_isolated_preflight": "Only after a green run in isolation.",
    "workspace_require_rollback_proof": "Only when the rollback was tried.",
    "sufficiency_must_list_uninspected_areas": "The report lists the allowed places of which nothing was read.",
}
COMPILE_NUMBERS: Final[dict[str, str]] = {
    "workspace_min_reviewer_approvals": "Fewest approvals.",
    "sufficiency_min_main_claims": "Fewest findings of a complete report.",
    "sufficiency_min_evidence_refs_per_claim": "Fewest evidence refs of each finding.",
}

WORKSPACE_NAMES: Final[dict[str, str]] = {
    "workspace_allow_direct": "allow_direct_workspace_apply",
    "workspace_allow_critical": "allow_critical_workspace_apply",
    "workspace_require_clean": "require_clean_worktree",
    "workspace_allow_dirty_targets": "allow_dirty_target_files",
    "workspace_certification_required": "certification_required",
    "workspace_require_gpt_review": "require_gpt_review",
    "workspace_reviewer_models": "reviewer_models",
    "workspace_min_reviewer_approvals": "min_reviewer_approvals",
    "workspace_require_isolated_preflight": "require_isolated_preflight",
    "workspace_require_rollback_proof": "require_rollback_proof",
    "workspace_invariant_commands": "invariant_commands",
}
SUFFICIENCY_NAMES: Final[dict[str, str]] = {
    "sufficiency_min_main_claims": "min_main_claims",
    "sufficiency_min_evidence_refs_per_claim": "min_evidence_refs_per_claim",
    "sufficiency_must_list_uninspected_areas": "must_list_uninspected_areas",
    "sufficiency_confidence_cap": "confidence_cap_if_partial_extracts",
}


def template_flags(command: Command) -> Command:
    """The flags of `mission template`; what was not given arrives as None or ()."""
    return _flags(command, TEMPLATE_WORDS, TEMPLATE_LISTS, TEMPLATE_FLAGS, {})


def compile_flags(command: Command) -> Command:
    """The flags of `mission compile`; what was not given arrives as None or ()."""
    return _flags(command, COMPILE_WORDS, COMPILE_LISTS, COMPILE_FLAGS, COMPILE_NUMBERS)


def _flags(
    command: Command,
    words: dict[str, str],
    lists: dict[str, tuple[str, str]],
    switches: dict[str, str],
    numbers: dict[str, str],
) -> Command:
    """Click shows the last decorator first, so the tables are walked backwards."""
    for name, text in reversed(numbers.items()):
        command = click.option(_long(name), name, type=int, help=text)(command)
    for name, text in reversed(switches.items()):
        command = click.option(f"{_long(name)}/--no-{_long(name)[2:]}", name, default=None, help=text)(command)
    for name, (flag, text) in reversed(lists.items()):
        command = click.option(flag, name, multiple=True, metavar="TEXT", help=f"{text} Repeatable.")(command)
    for name, text in reversed(words.items()):
        command = click.option(_long(name), name, metavar="TEXT", help=text)(command)
    return command


def _long(name: str) -> str:
    return "--" + name.replace("_", "-")
