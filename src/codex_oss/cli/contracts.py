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

from codex_oss.cli.mission_flags import SUFFICIENCY_NAMES, WORKSPACE_NAMES, compile_flags, template_flags
from codex_oss.cli.options import json_option, project_option
from codex_oss.errors import InvalidRequest

if TYPE_CHECKING:
    from codex_oss.contracts.budget import BudgetLimits
    from codex_oss.contracts.mission import MissionV1, Problem
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
        click.echo(json.dumps(_as_answer(checked)))
    else:
        for problem in checked.problems:
            click.echo(render_problem(problem))
        _print_hints(checked.problems)
        if checked.mission:
            click.echo(_render_ok(checked.mission))
    sys.exit(0 if checked.mission else 2)


def read_document(file: str) -> str:
    """The text of a file, or of stdin for `-`.

    Raises InvalidRequest when there is nothing to read, it is not UTF-8 text, or it is larger than 8 MiB.
    """
    name = "stdin" if file == "-" else file
    try:
        with click.open_file(file, "rb") as stream:
            data: bytes = stream.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as exc:  # click's word for a closed stdin is RuntimeError
        reason = "it is closed" if isinstance(exc, RuntimeError) else (getattr(exc, "strerror", "") or str(exc)).lower()
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
    checked = _check(found.raw, project)
    return Validation(checked.mission, (*found.notes, *checked.problems))


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

    from codex_oss.contracts.codes import hint_of
    from codex_oss.contracts.validation import to_handoff

    mission = checked.mission
    return {
        "ok": mission is not None,
        "problems": [{**msgspec.to_builtins(found), "hint": hint_of(found.code)} for found in checked.problems],
        "mission": to_handoff(mission) if mission else None,
        "budget": msgspec.to_builtins(mission.budget) if mission else None,
    }


def _render_ok(mission: MissionV1) -> str:
    from codex_oss.contracts.mission import RUNNABLE_TIERS

    budget = mission.budget
    text = f"ok: {mission.tier} mission {mission.mission_id}, {budget.tool_calls} tool calls in {budget.time_s} s"
    if budget.reduction_reason:
        text += f" (asked for {budget.tool_calls_requested} in {budget.time_requested_s} s; {budget.reduction_reason})"
    return text if mission.tier in RUNNABLE_TIERS else f"{text}; running tier {mission.tier} is not available yet"


def _output_options(command: Command) -> Command:
    wrap = click.option("--handoff", is_flag=True, help="Wrap the mission in its tags, ready to be sent.")
    return project_option(wrap(json_option(command)))


@click.command(
    name="template",
    epilog="Example: codex-oss mission template --objective 'Where is the port set?' --allowed-path config.py",
)
@template_flags
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
@compile_flags
@_output_options
def compile_(file: str | None, project: Path, handoff: bool, as_json: bool, **said: Any) -> None:
    """Write a whole mission of tier A2 to A6.

    It comes from flags, from FILE (bare JSON or the tagged block, - for stdin), or from FILE with flags over it.
    """
    from codex_oss.contracts.compiler import CompileOptions, compile_mission
    from codex_oss.contracts.handoff import Handoff, parse_document
    from codex_oss.contracts.validation import Validation

    found = parse_document(read_document(file), said["tier"] or "") if file else Handoff()
    if found.problems:
        _fail(Validation(None, found.problems), as_json)
    _print_problems(found.notes)
    for name in ("verification_commands", "workspace_invariant_commands"):
        said[name] = tuple(_split(command) for command in said[name])
    said["workspace"] = _take(said, WORKSPACE_NAMES)
    said["sufficiency"] = _take(said, SUFFICIENCY_NAMES)
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
            f"The command {command!r} cannot be split: {str(exc).lower()}.", hint="Quote it as for a shell."
        ) from exc


def _print_mission(raw: Mapping[str, Any], project: Path, handoff: bool, as_json: bool) -> None:
    from codex_oss.contracts.compiler import render_mission, wrap_handoff

    checked = _check(raw, project)
    if not checked.mission:
        _fail(checked, as_json)
    _print_problems(checked.problems)
    if as_json:
        click.echo(json.dumps({"handoff": wrap_handoff(raw)} if handoff else raw, sort_keys=True))
    else:
        click.echo(wrap_handoff(raw) if handoff else render_mission(raw))


def _print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(render_problem(problem), err=True)
    _print_hints(problems)


def _print_hints(problems: Sequence[Problem]) -> None:
    """What to do about errors, once for each code, on stderr."""
    from codex_oss.contracts.codes import hint_of

    for code in dict.fromkeys(problem.code for problem in problems if problem.severity == "error"):
        if hint := hint_of(code):
            click.echo(f"hint ({code}): {hint}", err=True)


def _fail(checked: Validation, as_json: bool) -> None:
    """Say every problem and exit 2."""
    if as_json:
        click.echo(json.dumps(_as_answer(checked)))
    else:
        _print_problems(checked.problems)
    sys.exit(2)
