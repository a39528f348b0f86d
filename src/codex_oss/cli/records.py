"""Verbs that read what missions left behind: show-summary, show-trace, show-commentary, show-delivery, audit-mission,
explain.

All of them read the event log and fold it; none trusts a file that was projected from it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codex_oss.cli.options import json_option, project_option
from codex_oss.policy.printable import printable, printable_json

if TYPE_CHECKING:
    from codex_oss.missions.record import RunRecord


@click.command("show-summary", epilog="Example: codex-oss show-summary mission_local_001")
@click.argument("mission_id")
@project_option
@json_option
def show_summary(mission_id: str, project: Path, as_json: bool) -> None:
    """Print the summary of a mission's latest run."""
    from codex_oss.missions.projections import final_report, render_summary

    report = final_report(_fold(project, mission_id))
    click.echo(_dumps(report) if as_json else render_summary(report), nl=as_json)


@click.command("show-trace", epilog="Example: codex-oss show-trace mission_local_001 --json")
@click.argument("mission_id")
@project_option
@json_option
def show_trace(mission_id: str, project: Path, as_json: bool) -> None:
    """Print every step of a mission's latest run: what was proposed, the verdict, the outcome."""
    from codex_oss.missions.projections import project_trace

    steps = project_trace(_fold(project, mission_id))
    if as_json:
        click.echo(_dumps({"mission_id": mission_id, "steps": steps}))
        return
    for step in steps:
        click.echo(printable(_trace_line(step)))
    if not steps:
        click.echo("No step was proposed.")


@click.command("show-commentary", epilog="Example: codex-oss show-commentary mission_local_001")
@click.argument("mission_id")
@project_option
@json_option
def show_commentary(mission_id: str, project: Path, as_json: bool) -> None:
    """Print what was said while a mission ran, remark by remark, at the level that it ran with."""
    import msgspec

    from codex_oss.missions.commentary import remarks_of
    from codex_oss.services.mission_store import MissionStore

    reading = MissionStore(project).read_latest(mission_id)
    remarks = remarks_of(reading.run_id, reading.mission_id, reading.recorded())
    if as_json:
        listed = [msgspec.to_builtins(remark) for remark in remarks]
        click.echo(_dumps({"mission_id": mission_id, "run_id": reading.run_id, "remarks": listed}))
        return
    for remark in remarks:
        click.echo(printable(f"{remark.timestamp[11:19]} {remark.severity:7} {remark.message}"))
    if not remarks:
        click.echo("Nothing was said.")


@click.command("show-delivery", epilog="Example: codex-oss show-delivery mission_local_001 --json")
@click.argument("mission_id")
@project_option
@json_option
def show_delivery(mission_id: str, project: Path, as_json: bool) -> None:
    """Print what became of everything a mission said: created, emitted, observed.

    Emitted is what was written towards a client. Observed is only what stands in the client's own transcript:
    `desktop-observation` takes one.
    """
    import os

    from codex_oss.missions.delivery import delivery_as_data
    from codex_oss.services.delivery_log import DeliveryBook
    from codex_oss.services.mission_store import MissionStore
    from codex_oss.wiring.records import seal_for_audit

    seal = seal_for_audit(project, os.environ, None)
    reading = DeliveryBook(MissionStore(project), lambda: seal).read(mission_id, seal.key)
    if reading.bad_line:
        click.echo(f"warning: line {reading.bad_line} of the delivery log does not verify", err=True)
    if reading.unsealed:
        told = "they do not count" if reading.checked else "nobody can tell who wrote them"
        click.echo(f"warning: {reading.unsealed} events of the delivery log have no MAC; {told}", err=True)
    if as_json:
        facts = {"bad_line": reading.bad_line, "unsealed": reading.unsealed, "checked": reading.checked}
        click.echo(_dumps({**delivery_as_data(reading.delivery), **facts}))
        return
    for item in reading.delivery.items:
        where = ", ".join([*item.emitted, *item.observed]) or "-"
        click.echo(printable(f"{item.state:8} {item.item:10} {where:28} {item.text.partition(chr(10))[0][:80]}"))
    counts = reading.delivery.counts()
    click.echo("  ".join(f"{name} {count}" for name, count in counts.items()))
    for judged in reading.delivery.judgements:
        click.echo(printable(f"transcript: {judged.verdict} {judged.code} ({judged.form}, {judged.source})"))


@click.command("audit-mission", epilog="Example: codex-oss audit-mission mission_local_001 --json")
@click.argument("mission_id")
@project_option
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The key with which the log was written, when it was on another machine.",
)
@json_option
def audit_mission(mission_id: str, project: Path, key_file: Path | None, as_json: bool) -> None:
    """Check a mission's log, its projections and its claims. Exits 1 when a check fails."""
    import os

    import msgspec

    from codex_oss.services.audit import audit_mission as audit
    from codex_oss.services.mission_store import MissionStore
    from codex_oss.wiring.records import open_project, seal_for_audit, source_reader

    seal = seal_for_audit(project, os.environ, key_file)
    with open_project(project) as root:
        result = audit(MissionStore(project), mission_id, source_reader(root), seal)
    if as_json:
        checks = [msgspec.structs.asdict(check) for check in result.checks]
        click.echo(_dumps({"ok": result.ok, "verdicts": result.verdicts, "checks": checks}))
    else:
        for check in result.checks:
            click.echo(printable(f"{check.status:4} {check.name}: {check.message}"))
        click.echo("  ".join(f"{name} {status}" for name, status in result.verdicts.items()))
        click.echo("The record holds." if result.ok else "The record does not hold.")
    sys.exit(0 if result.ok else 1)


@click.command("explain", epilog="Example: codex-oss explain mission_local_001")
@click.argument("mission_id")
@project_option
@json_option
def explain(mission_id: str, project: Path, as_json: bool) -> None:
    """Say in plain words why a mission ended as it did."""
    from codex_oss.missions.explain import explain_record, render_explanation

    explained = explain_record(_fold(project, mission_id))
    click.echo(_dumps(explained) if as_json else render_explanation(explained), nl=as_json)


def _fold(project: Path, mission_id: str) -> RunRecord:
    from codex_oss.missions.record import fold
    from codex_oss.services.mission_store import MissionStore

    reading = MissionStore(project).read_latest(mission_id)
    if reading.bad_line:
        click.echo(
            f"warning: line {reading.bad_line} of the log does not verify; shown is what stands before it", err=True
        )
    return fold(reading.run_id, reading.mission_id, reading.recorded())


def _dumps(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))


def _trace_line(step: dict[str, object]) -> str:
    what = step["tool_name"] or step["action_type"]
    outcome = step["tool_result_summary"]
    shown = f" -> {outcome['kind']}, {outcome['lines']} lines" if isinstance(outcome, dict) else ""
    code = f" ({step['decision_code']})" if step["decision_code"] else ""
    arguments = json.dumps(step["normalized_arguments"], ensure_ascii=False) if step["normalized_arguments"] else ""
    return f"{step['turn']:3} {what} {arguments} {step['runtime_decision']}{code}{shown}"
