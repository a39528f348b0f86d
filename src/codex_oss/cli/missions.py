"""`codex-oss mission …`: write, run and list missions; `cli.mission_runs` has what goes on with a run.

`run` hands the mission to the running bridge of the project, or runs it in this process when there is none; both ways
lead through the mission lane and give the same report.

Exit codes of `run`: 0 COMPLETE, 10 PARTIAL, 11 ESCALATE, 12 FAILED, 2 asked wrongly, 1 anything else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from codex_oss.cli.options import json_option, project_option, quiet_option
from codex_oss.policy.printable import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_oss.cli.mission_client import Errand
    from codex_oss.contracts.mission import MissionV1, Problem

EXIT_OF_STATUS: Final[dict[str, int]] = {"COMPLETE": 0, "PARTIAL": 10, "ESCALATE": 11, "FAILED": 12}
DEFAULT_PROFILE: Final = "kimi"
MARGIN_S: Final = 60.0
"""Patience beyond the time that the mission asks for; whoever takes longer is no bridge, or hangs."""
STORE_CODES: Final = frozenset(
    {"store_error", "log_unwritable", "log_unreadable", "log_locked", "log_conflict", "log_corrupt"}
)
"""Refusals that no better handoff would mend."""
NO_REPORT: Final = "The answer holds no report; is this the bridge of codex-oss?"


RUN_COMMANDS: Final = ("watch", "resume", "cancel", "rebuild")
"""Commands of `cli.mission_runs`, where each has its own name."""


class MissionGroup(click.Group):
    """Loads most of its commands only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All subcommands, in the order a newcomer needs them."""
        return ["template", "compile", "run", "list", *RUN_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command on demand."""
        if cmd_name in ("template", "compile"):
            from codex_oss.cli import contracts

            return {"template": contracts.template, "compile": contracts.compile_}[cmd_name]
        if cmd_name in RUN_COMMANDS:
            from codex_oss.cli import mission_runs

            command: click.Command = getattr(mission_runs, cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


@click.group("mission", cls=MissionGroup, epilog="Example: codex-oss mission run handoff.json --json")
def mission() -> None:
    """Write, run and list missions."""


@mission.command("run", epilog="Example: codex-oss mission run handoff.json --model mission-a3-kimi")
@click.argument("file", metavar="FILE|-")
@project_option
@click.option("--model", metavar="ALIAS", help="Model name, e.g. mission-a3-kimi. Default: the mission's tier on kimi.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1, 86_400),
    metavar="S",
    help="Give up after S seconds. Default: the mission's time and a minute.",
)
@click.option("--detach", is_flag=True, help="Only begin it; `mission watch` shows it, `mission cancel` ends it.")
@click.option(
    "--commentary",
    type=click.Choice(("off", "summary", "detailed")),
    help="How much is said while it runs. Default: the setting visible_trace.",
)
@quiet_option
@json_option
def run(
    file: str,
    project: Path,
    model: str | None,
    timeout_s: float | None,
    detach: bool,
    commentary: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run the mission in FILE (the tagged block or the bare JSON object; - reads standard input).

    What happens and how far it is goes to stderr, the report to stdout at the end. With --detach it runs on by itself,
    in the bridge or, if none runs, in a process of its own; exit 0 then means that it has begun.
    """
    from codex_oss.cli.mission_client import Errand, run_mission

    text, contract = _read_mission(file, as_json, _tier_in(model))
    alias = model or f"mission-{contract.tier.lower()}-{DEFAULT_PROFILE}"
    if detach:
        _begin(project, Errand(alias, contract.mission_id, text, commentary), as_json)
        return
    timeout_s = timeout_s or contract.budget.time_requested_s + MARGIN_S
    errand = Errand(alias, contract.mission_id, text, commentary, timeout_s)
    if not (quiet or as_json):
        _say_outlook(alias, contract.budget.time_requested_s)
    try:
        final_text = run_mission(project, errand, quiet=quiet or as_json)
    except TimeoutError:
        _stop(as_json, 1, "timeout", f"The mission did not end within {timeout_s:g} s; it was cut off.")
    report = _report_in(final_text)
    if report is None:
        _stop(as_json, 1, "no_report", NO_REPORT)
    if report.get("problems"):
        _refuse_answered(report["problems"], as_json)
    status = str(report.get("status"))
    click.echo(_dumps(outcome_of(project, report)) if as_json else printable(final_text))
    if not as_json:
        note_report(project, str(report.get("run_id")), contract.mission_id, printable(final_text))
    sys.exit(EXIT_OF_STATUS.get(status, 1))


@mission.command("list", epilog="Example: codex-oss mission list --json")
@project_option
@json_option
def list_(project: Path, as_json: bool) -> None:
    """List the missions of this project, the latest first."""
    from codex_oss.errors import BridgeError
    from codex_oss.missions.projections import project_summary
    from codex_oss.missions.record import fold
    from codex_oss.services.mission_store import MissionStore

    store, rows = MissionStore(project), []
    for mission_id in store.mission_ids():
        try:
            reading = store.read_latest(mission_id)
            rows.append(project_summary(fold(reading.run_id, reading.mission_id, reading.recorded())))
        except BridgeError as exc:
            rows.append({"mission_id": mission_id, "status": "UNREADABLE", "reason_codes": [exc.code], "objective": ""})
    if as_json:
        click.echo(_dumps({"missions": rows}))
        return
    for row in rows:
        queue = row.get("queue")
        waits = f"  (waits for {queue['lane']}, place {queue['place']} of {queue['waiting']})" if queue else ""
        objective = " ".join(str(row["objective"]).split())[:80]
        click.echo(printable(f"{row['status']:10} {row['mission_id']}  {objective}{waits}"))
    if not rows:
        click.echo("No mission was run here yet.")


def _begin(project: Path, errand: Errand, as_json: bool) -> None:
    from codex_oss.cli.mission_detach import begin_detached

    run_id, mission_id = begin_detached(project, errand), errand.mission_id
    if as_json:
        click.echo(_dumps({"ok": True, "mission_id": mission_id, "run_id": run_id, "status": "OPEN"}))
    else:
        click.echo(mission_id)
        click.echo(f"hint: codex-oss mission watch {mission_id}", err=True)


def _say_outlook(model: str, wanted_s: float) -> None:
    """With a GPT model: one line about the quota of the account that will answer."""
    from codex_oss.errors import BridgeError
    from codex_oss.policy.routing import GPT_NAME

    if not GPT_NAME.fullmatch(model):
        return
    from codex_oss.wiring.accounts import open_accounts

    with suppress(BridgeError):
        if line := open_accounts(os.environ).outlook(wanted_s):
            click.echo(printable(line), err=True)


def _tier_in(model: str | None) -> str:
    """The tier that a model name such as `mission-a2-kimi` names; empty when it names none."""
    found = re.match(r"mission-(a[2-6])-", model or "", re.IGNORECASE)
    return found[1].upper() if found else ""


def _read_mission(file: str, as_json: bool, tier: str) -> tuple[str, MissionV1]:
    """The text to hand over and what it says; ends the program when the contract is broken."""
    import secrets

    from codex_oss.cli.contracts import read_document
    from codex_oss.contracts.budget import BudgetLimits
    from codex_oss.contracts.compiler import wrap_handoff
    from codex_oss.contracts.handoff import parse_document
    from codex_oss.contracts.validation import check_mission

    found = parse_document(read_document(file), tier)
    if found.raw is None:
        _refuse(found.problems, as_json)
    checked = check_mission(found.raw, limits=BudgetLimits(), new_id=f"mission_{secrets.token_hex(6)}")
    if checked.mission is None:
        _refuse(checked.problems, as_json)
    for problem in (*found.notes, *checked.problems):
        click.echo(f"warning: {problem.code} {problem.field}: {problem.message}", err=True)
    return wrap_handoff({**found.raw, "mission_id": checked.mission.mission_id}), checked.mission


def note_report(project: Path, run_id: str, mission_id: str, text: str) -> None:
    """Note that a report was printed for a person."""
    from codex_oss.cli.mission_viewer import cli_handover
    from codex_oss.missions.delivery import REPORT
    from codex_oss.services.mission_store import MissionStore

    handover = cli_handover(project, MissionStore(project), run_id, mission_id)
    handover.add(REPORT, text)
    handover.finish_now()


def outcome_of(project: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """What `--json` prints of a mission that ended."""
    return {
        "mission_id": report.get("mission_id"),
        "run_id": report.get("run_id"),
        "status": report.get("status"),
        "reason_codes": report.get("reason_codes", []),
        "artifacts": str(project / ".codex-oss" / "missions" / str(report.get("mission_id"))),
        "report": report,
    }


def _report_in(final_text: str) -> dict[str, Any] | None:
    """The fenced JSON block at the end of the final message."""
    _, fence, rest = final_text.rpartition("\n```json\n")
    try:
        report = json.loads(rest.rsplit("\n```", 1)[0]) if fence else None
    except json.JSONDecodeError:
        return None
    return report if isinstance(report, dict) else None


def _refuse_answered(raw: Any, as_json: bool) -> NoReturn:
    """End with what the bridge objected to: 2 for a broken contract, 1 when its disk failed or it speaks nonsense."""
    import msgspec

    from codex_oss.contracts.mission import Problem

    try:
        problems = msgspec.convert(raw, tuple[Problem, ...])
    except msgspec.ValidationError:
        _stop(as_json, 1, "no_report", NO_REPORT)
    if all(problem.code in STORE_CODES for problem in problems):
        _stop(as_json, 1, problems[0].code, problems[0].message)
    _refuse(problems, as_json)


def _refuse(problems: Sequence[Problem], as_json: bool) -> NoReturn:
    """Print every problem and end with 2."""
    import msgspec

    from codex_oss.contracts.codes import hint_of

    if as_json:
        listed = [{**msgspec.to_builtins(problem), "hint": hint_of(problem.code)} for problem in problems]
        click.echo(_dumps({"ok": False, "status": None, "problems": listed}))
    for problem in problems:
        line = f"{problem.severity}: {problem.code} {problem.field}: {problem.message}".replace(" :", ":")
        click.echo(printable(line), err=True)
    for code in dict.fromkeys(problem.code for problem in problems if problem.severity == "error"):
        if hint := hint_of(code):
            click.echo(f"hint ({code}): {hint}", err=True)
    click.echo(
        "hint: `codex-oss validate-handoff FILE` lists all of them; docs/mission-contract.md explains.", err=True
    )
    sys.exit(2)


def _dumps(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))


def _stop(as_json: bool, code: int, error: str, message: str) -> NoReturn:
    if as_json:
        click.echo(_dumps({"ok": False, "status": None, "error": error, "message": message}))
    click.echo(printable(f"error: {message}"), err=True)
    sys.exit(code)
