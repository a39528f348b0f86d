"""`codex-oss mission watch`, `resume`, `cancel` and `rebuild`: what can be done with a run that exists already.

They work on the project's records directly, whether a bridge runs or not; a run that another process writes is left to
that process. Exit codes of `resume` are those of `run`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codex_oss.cli.missions import EXIT_OF_STATUS, note_report, outcome_of
from codex_oss.cli.options import json_option, project_option, quiet_option
from codex_oss.policy.printable import printable, printable_json

if TYPE_CHECKING:
    from codex_oss.missions.record import RunRecord


@click.command("watch", epilog="Example: codex-oss mission watch mission_local_001")
@click.argument("mission_id")
@project_option
@quiet_option
@json_option
def watch(mission_id: str, project: Path, quiet: bool, as_json: bool) -> None:
    """Show a mission while it runs, in whichever process: phase, budget, coverage and what happens; then its report.

    With --json each event of its log is one line. Leaving does not end it. Exits as `mission run` does, and with 1 when
    nobody runs it and it has not ended.
    """
    from codex_oss.missions.projections import final_report, render_final_text

    record = asyncio.run(_watch(project, mission_id, quiet=quiet, as_json=as_json))
    if record.closed is None:
        click.echo(f"error: nobody runs {mission_id}, and it has not ended", err=True)
        click.echo(f"hint: `codex-oss mission resume {mission_id}` goes on with it", err=True)
        sys.exit(1)
    if not as_json:
        text = printable(render_final_text(final_report(record)))
        click.echo(text)
        note_report(project, record.run_id, mission_id, text)
    sys.exit(EXIT_OF_STATUS.get(record.closed.status, 1))


@click.command("resume", epilog="Example: codex-oss mission resume mission_local_001")
@click.argument("mission_id")
@project_option
@quiet_option
@json_option
def resume(mission_id: str, project: Path, quiet: bool, as_json: bool) -> None:
    """Go on with a mission whose process died or was stopped, from where its log ends.

    What had been read is not read again, what had been asked without an answer is asked again. Prints and exits as
    `mission run` does.
    """
    from codex_oss.missions.projections import final_report, render_final_text

    record = asyncio.run(_resume(project, mission_id, quiet=quiet or as_json))
    report = final_report(record)
    text = printable(render_final_text(report))
    click.echo(_dumps(outcome_of(project, report)) if as_json else text)
    if not as_json:
        note_report(project, record.run_id, mission_id, text)
    sys.exit(EXIT_OF_STATUS.get(str(report.get("status")), 1))


@click.command("cancel", epilog="Example: codex-oss mission cancel mission_local_001")
@click.argument("mission_id")
@project_option
@json_option
def cancel(mission_id: str, project: Path, as_json: bool) -> None:
    """End a mission, in whichever process it runs; it keeps what it has and is closed as cancelled."""
    record = asyncio.run(_cancel(project, mission_id))
    closed = record.closed
    status, codes = (closed.status, list(closed.reason_codes)) if closed else ("", [])
    if as_json:
        facts = {"mission_id": mission_id, "run_id": record.run_id, "status": status, "reason_codes": codes}
        click.echo(_dumps({"ok": True, "cancelled": "cancelled" in codes, **facts}))
    elif "cancelled" in codes:
        click.echo(printable(f"{mission_id} is cancelled; it ended as {status}."))
    else:
        click.echo(printable(f"{mission_id} had ended already, as {status}."))


@click.command("rebuild", epilog="Example: codex-oss mission rebuild mission_local_001")
@click.argument("mission_id")
@project_option
@json_option
def rebuild(mission_id: str, project: Path, as_json: bool) -> None:
    """Write every projected file of a mission's latest run anew from its log."""
    from codex_oss.services.mission_store import MissionStore, write_rebuilt

    paths = write_rebuilt(MissionStore(project), mission_id)
    if as_json:
        click.echo(_dumps({"ok": True, "mission_id": mission_id, "files": paths}))
        return
    for path in paths:
        click.echo(printable(path))


async def _watch(project: Path, mission_id: str, *, quiet: bool, as_json: bool) -> RunRecord:
    from codex_oss.cli.mission_progress import ProgressDisplay
    from codex_oss.cli.mission_viewer import cli_handover, show_run
    from codex_oss.services.mission_store import MissionStore

    store = MissionStore(project)
    run_id = store.latest_run(mission_id)
    handover, display = cli_handover(project, store, run_id, mission_id), ProgressDisplay(quiet=quiet or as_json)
    on_line = (lambda line: click.echo(printable_json(line.decode()))) if as_json else None
    return await show_run(store, run_id, mission_id, display, handover, on_line=on_line)


async def _resume(project: Path, mission_id: str, *, quiet: bool) -> RunRecord:
    from codex_oss.cli.mission_progress import ProgressDisplay
    from codex_oss.cli.mission_viewer import cli_handover, show_run
    from codex_oss.services.settings import read_settings
    from codex_oss.wiring.bridge import build

    bridge = build(read_settings(project, {}, os.environ), project, os.environ)
    store = bridge.missions.store
    try:
        head = store.read_latest(mission_id).head
        job = bridge.missions.resume(mission_id)
        handover = cli_handover(project, store, job.run_id, mission_id)
        seen, display = head.seq if head else 0, ProgressDisplay(quiet=quiet)
        viewer = asyncio.create_task(show_run(store, job.run_id, mission_id, display, handover, silent_seq=seen))
        try:
            async for _ in job.follow():
                pass
            return await viewer
        finally:
            viewer.cancel()
            await asyncio.gather(viewer, return_exceptions=True)
    finally:
        await bridge.aclose()


async def _cancel(project: Path, mission_id: str) -> RunRecord:
    from codex_oss.services.settings import read_settings
    from codex_oss.wiring.bridge import build

    bridge = build(read_settings(project, {}, os.environ), project, os.environ)
    try:
        return await bridge.missions.cancel(mission_id)
    finally:
        await bridge.aclose()


def _dumps(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))
