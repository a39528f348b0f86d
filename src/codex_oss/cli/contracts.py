"""`validate-handoff`, `mission template` and `mission compile`: contracts on paper, nothing runs.

Counterparts: `contracts.handoff`, `contracts.validation` and `contracts.compiler` do the work; `cli.missions` attaches
`template` and `compile_` to its group and reads its FILE with `read_document`.

Rules that hold here:

1. A flag is passed on as it was given; the contract judges it, and its problem names the field.
2. stdout holds the result and nothing else; exit 0 when the mission is valid, 2 when it is not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from codex_oss.cli.options import json_option, project_option
from codex_oss.errors import InvalidRequest

if TYPE_CHECKING:
    from codex_oss.contracts.budget import BudgetLimits
    from codex_oss.contracts.mission import Problem
    from codex_oss.contracts.validation import Validation

MAX_DOCUMENT_BYTES: Final = 8 * 1024 * 1024

Command = TypeVar("Command", bound=Callable[..., Any])


@click.command(
    name="validate-handoff",
    epilog="Example: codex-oss mission compile --objective 'Find main()' --allowed-path app.py | "
    "codex-oss validate-handoff -",
)
@click.argument("file", metavar="FILE|-")
@project_option
@json_option
def validate_handoff(file: str, project: Path, as_json: bool) -> None:
    """List every breach of the contract in FILE (or `-` for stdin).

    FILE holds one mission between <OSS_HANDOFF_JSON> and </OSS_HANDOFF_JSON>, or is a bare JSON object.
    Exit 0 when the mission is valid (warnings may be listed), 2 when it is not.
    """
    checked = check_document(read_document(file), project)
    if as_json:
        click.echo(json.dumps(_as_answer(checked), ensure_ascii=False))
    else:
        for problem in checked.problems:
            click.echo(render_problem(problem))
        if checked.mission:
            click.echo(_render_ok(checked))
    sys.exit(0 if checked.mission else 2)


def read_document(file: str) -> str:
    """The text of a file, or of stdin for `-`.

    Raises InvalidRequest when there is nothing to read, it is not UTF-8 text, or it is larger than 8 MiB.
    """
    name = "stdin" if file == "-" else file
    try:
        with click.open_file(file, "rb") as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = (getattr(exc, "strerror", None) or str(exc)).lower()
        raise InvalidRequest(f"{name} cannot be read: {reason}.", hint="Name a file, or - for stdin.") from exc
    if not data.strip():
        raise InvalidRequest(
            f"{name} is empty.", hint="`codex-oss mission template --help` shows how to write a mission."
        )
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidRequest(f"{name} is larger than 8 MiB.", hint="A mission is a short JSON document.")
    try:
        if b"\0" in data:
            raise ValueError("it holds NUL bytes")
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except ValueError as exc:
        raise InvalidRequest(f"{name} is not UTF-8 text.", hint="A mission is a short JSON document.") from exc


def check_document(text: str, project: Path) -> Validation:
    """Find and judge the mission of a document under the budget limits of the project."""
    from codex_oss.contracts.handoff import parse_document
    from codex_oss.contracts.validation import Validation

    found = parse_document(text)
    if found.raw is None:
        return Validation(None, found.problems)
    return _check(found.raw, project)


def render_problem(problem: Problem) -> str:
    """`code field: message`, marked when it is only a warning."""
    at = f" {problem.field}" if problem.field else ""
    mark = " (warning)" if problem.severity == "warning" else ""
    return _printable(f"{problem.code}{at}: {problem.message}{mark}")


def _printable(text: str) -> str:
    """One line without control characters: a document must not steer the terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _check(raw: Mapping[str, Any], project: Path) -> Validation:
    from uuid import uuid4

    from codex_oss.contracts.validation import check_mission

    return check_mission(raw, limits=_limits(project), new_id=f"mission_{uuid4().hex[:12]}")


def _limits(project: Path) -> BudgetLimits:
    """What the environment and the project's configuration allow; a bad value is for `doctor` to tell."""
    import os
    import tomllib

    from codex_oss.config import parse_config
    from codex_oss.contracts.budget import BudgetLimits

    path = project / ".codex-oss" / "config.toml"
    try:
        files = [(str(path), tomllib.loads(path.read_text(encoding="utf-8")))]
    except (OSError, ValueError):
        files = []
    config, _ = parse_config(flags={}, environ=os.environ, files=files)
    return BudgetLimits(
        config.request_deadline_s,
        config.mission_reserve_s,
        config.mission_turn_estimate_s,
        config.mission_max_time_s,
    )


def _as_answer(checked: Validation) -> dict[str, Any]:
    import msgspec

    from codex_oss.contracts.validation import to_handoff

    mission = checked.mission
    return {
        "ok": mission is not None,
        "problems": [
            {"code": found.code, "field": found.field, "message": found.message, "severity": found.severity}
            for found in checked.problems
        ],
        "mission": to_handoff(mission) if mission else None,
        "budget": msgspec.to_builtins(mission.budget) if mission else None,
    }


def _render_ok(checked: Validation) -> str:
    from codex_oss.contracts.mission import RUNNABLE_TIERS

    mission = checked.mission
    if mission is None:
        return ""
    budget = mission.budget
    text = f"ok: {mission.tier} mission {mission.mission_id}, {budget.tool_calls} tool calls in {budget.time_s} s"
    if budget.reduction_reason:
        text += f" (asked for {budget.tool_calls_requested} in {budget.time_requested_s} s; {budget.reduction_reason})"
    return text if mission.tier in RUNNABLE_TIERS else f"{text}; running tier {mission.tier} is not available yet"


_TEMPLATE_WORDS: Final = {
    "tier": "A2 or A3 (the default).",
    "objective": "What is to be found out.",
    "mission_id": "Name of the mission and of its folder.",
    "risk_tier": "low (the default), medium or critical.",
    "critical_path_reason": "Why a critical path must be read.",
}
_TEMPLATE_LISTS: Final = {
    "allowed_roots": ("--allowed-root", "Folder that may be read."),
    "allowed_paths": ("--allowed-path", "File that may be read."),
    "must_inspect": ("--must-inspect", "File that must be read."),
}
_TEMPLATE_FLAGS: Final = {
    "critical_path_read_allowed": "Critical paths may be read; say why with --critical-path-reason.",
    "allow_broad_read_scope": "A broad root such as `.` or `src` is meant.",
}
_COMPILE_WORDS: Final = {
    **_TEMPLATE_WORDS,
    "tier": "A2 to A6; A3 when neither this nor FILE says it.",
    "objective_type": "Type of objective_spec; guessed from the targets when left out.",
    "objective_style": "deterministic_lookup, open_investigation or implementation.",
    "evidence_collection_mode": "prefetch_floor, agenda_guided or model_led.",
    "target_symbol": "Name to look for.",
    "target_key": "Key to look up.",
    "target_pattern": "Pattern to search for.",
    "apply_mode": "Where a change goes: none, isolated, temp_project, workspace, and so on.",
}
_COMPILE_LISTS: Final = {
    **_TEMPLATE_LISTS,
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
_COMPILE_FLAGS: Final = {
    **_TEMPLATE_FLAGS,
    "critical_path_write_allowed": "Critical paths may change.",
    "workspace_allow_direct": "A change may reach your own tree.",
    "workspace_allow_critical": "So may one to a critical path.",
    "workspace_require_clean": "Only when your tree has no changes.",
    "workspace_allow_dirty_targets": "Even when the target file has changes.",
    "workspace_certification_required": "Only with a certification.",
    "workspace_require_gpt_review": "Only after a review by the parent model.",
    "workspace_require_isolated_preflight": "Only after a green run in isolation.",
    "workspace_require_rollback_proof": "Only when the rollback was tried.",
    "sufficiency_must_list_uninspected_areas": "The report must name what was not looked at.",
}
_COMPILE_NUMBERS: Final = {
    "workspace_min_reviewer_approvals": "Fewest approvals.",
    "sufficiency_min_main_claims": "Fewest findings of a complete report.",
    "sufficiency_min_evidence_refs_per_claim": "Fewest evidence refs of each finding.",
}

_WORKSPACE_NAMES: Final = {
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
_SUFFICIENCY_NAMES: Final = {
    "sufficiency_min_main_claims": "min_main_claims",
    "sufficiency_min_evidence_refs_per_claim": "min_evidence_refs_per_claim",
    "sufficiency_must_list_uninspected_areas": "must_list_uninspected_areas",
    "sufficiency_confidence_cap": "confidence_cap_if_partial_extracts",
}


def _flags(
    words: Mapping[str, str],
    lists: Mapping[str, tuple[str, str]],
    switches: Mapping[str, str],
    numbers: Mapping[str, str],
) -> Callable[[Command], Command]:
    """Options from the tables above; what was not given arrives as None or ()."""

    def decorate(command: Command) -> Command:
        for name, text in reversed(numbers.items()):
            command = click.option(_long(name), name, type=int, help=text)(command)
        for name, text in reversed(switches.items()):
            command = click.option(f"{_long(name)}/--no-{_long(name)[2:]}", name, default=None, help=text)(command)
        for name, (flag, text) in reversed(lists.items()):
            command = click.option(flag, name, multiple=True, metavar="TEXT", help=f"{text} Repeatable.")(command)
        for name, text in reversed(words.items()):
            command = click.option(_long(name), name, metavar="TEXT", help=text)(command)
        return command

    return decorate


def _long(name: str) -> str:
    return "--" + name.replace("_", "-")


def _output_options(command: Command) -> Command:
    wrap = click.option("--handoff", is_flag=True, help="Wrap the mission in its tags, ready to be sent.")
    return project_option(wrap(json_option(command)))


@click.command(
    name="template",
    epilog="Example: codex-oss mission template --objective 'Where is the port set?' --allowed-path config.py",
)
@_flags(_TEMPLATE_WORDS, _TEMPLATE_LISTS, _TEMPLATE_FLAGS, {})
@_output_options
def template(project: Path, handoff: bool, as_json: bool, **said: Any) -> None:
    """Write a mission of tier A2 or A3 to start from.

    It needs at least one --allowed-root or --allowed-path. Without --objective it holds one to be replaced.
    """
    from codex_oss.contracts.compiler import TEMPLATE_TIERS, CompileOptions, template_mission

    if said["tier"] and said["tier"].upper() not in TEMPLATE_TIERS:
        raise InvalidRequest(
            f"There is a template for A2 and A3, not for {said['tier']!r}.",
            hint="`codex-oss mission compile --tier` writes A2 to A6.",
        )
    if not said["objective"]:
        said["objective"] = "Replace this sentence by what is to be found out."
        click.echo("note: replace the objective before you hand it over", err=True)
    _print_mission(template_mission(CompileOptions(**said)), project, handoff, as_json)


@click.command(
    name="compile",
    epilog="Example: codex-oss mission compile --tier A3 --objective 'Where is main()?' --target-symbol main "
    "--allowed-path app.py --handoff",
)
@click.argument("file", metavar="[FILE|-]", required=False)
@_flags(_COMPILE_WORDS, _COMPILE_LISTS, _COMPILE_FLAGS, _COMPILE_NUMBERS)
@click.option("--sufficiency-confidence-cap", metavar="TEXT", help="LOW, MEDIUM or HIGH.")
@_output_options
def compile_(file: str | None, project: Path, handoff: bool, as_json: bool, **said: Any) -> None:
    """Write a whole mission of tier A2 to A6, from flags, from FILE, or from FILE with flags over it."""
    from codex_oss.contracts.compiler import CompileOptions, compile_mission
    from codex_oss.contracts.handoff import Handoff, parse_document
    from codex_oss.contracts.validation import Validation

    found = parse_document(read_document(file)) if file else Handoff()
    if found.problems:
        _fail(Validation(None, found.problems), as_json)
    for name in ("verification_commands", "workspace_invariant_commands"):
        said[name] = tuple(_split(command) for command in said[name])
    said["workspace"] = _take(said, _WORKSPACE_NAMES)
    said["sufficiency"] = _take(said, _SUFFICIENCY_NAMES)
    _print_mission(compile_mission(CompileOptions(**said), found.raw), project, handoff, as_json)


def _take(said: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Move the given flags of an inner object out of *said*, under their field names."""
    taken = {field: said.pop(name) for name, field in names.items()}
    return {field: value for field, value in taken.items() if value not in (None, ())}


def _split(command: str) -> tuple[str, ...]:
    import shlex

    try:
        return tuple(shlex.split(command))
    except ValueError as exc:
        raise InvalidRequest(
            f"The command {command!r} cannot be split: {str(exc).lower()}.", hint="Quote it as you would in a shell."
        ) from exc


def _print_mission(raw: Mapping[str, Any], project: Path, handoff: bool, as_json: bool) -> None:
    from codex_oss.contracts.compiler import render_mission, wrap_handoff

    checked = _check(raw, project)
    if not checked.mission:
        _fail(checked, as_json)
    _print_problems(checked.problems)
    if as_json:
        click.echo(json.dumps({"handoff": wrap_handoff(raw)} if handoff else raw, ensure_ascii=False, sort_keys=True))
    else:
        click.echo(wrap_handoff(raw) if handoff else render_mission(raw))


def _print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(render_problem(problem), err=True)


def _fail(checked: Validation, as_json: bool) -> None:
    """Say every problem and exit 2."""
    if as_json:
        click.echo(json.dumps(_as_answer(checked), ensure_ascii=False))
    else:
        _print_problems(checked.problems)
    sys.exit(2)
