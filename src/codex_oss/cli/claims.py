"""`codex-oss claim-status`: which claims stand, of one mission or of this program in this project.

Only event logs are read, and each is verified, with the key where it is here: a log that does not verify bears out
nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codex_oss.cli.options import json_option, project_option
from codex_oss.policy.printable import printable, printable_json

if TYPE_CHECKING:
    from codex_oss.missions.record import RunRecord


@click.command("claim-status", epilog="Example: codex-oss claim-status mission_local_001 --json")
@click.argument("mission_id", required=False)
@click.option("--proof-only", "selection", flag_value="proof", help="Only missions whose name begins with proof_.")
@click.option("--operational-only", "selection", flag_value="operational", help="Only the others.")
@click.option("--all-artifacts", "selection", flag_value="all", default=True, help="All missions (the default).")
@project_option
@json_option
def claim_status(mission_id: str | None, selection: str, project: Path, as_json: bool) -> None:
    """Say which claims stand: of one mission, or of this program in this project.

    With MISSION_ID: each finding of its latest run, judged again on its log. Without: what the missions of the project
    bear out about the program, each claim with its basis. Exit status: 0 when every claim is supported, 1 otherwise.
    """
    from codex_oss.missions.claim_status import PROOF_PREFIX, status_of_mission, status_of_program
    from codex_oss.services.mission_store import MissionStore

    store, unreadable = MissionStore(project), list[str]()
    if mission_id is not None:
        told = status_of_mission(_verified(store, mission_id, project))
    else:
        names = [
            name
            for name in store.mission_ids()
            if selection == "all" or name.startswith(PROOF_PREFIX) == (selection == "proof")
        ]
        records = _readable(store, names, project, unreadable)
        told = {**status_of_program(records), "unreadable": unreadable}
    click.echo(_dumps(told) if as_json else _render(told))
    sys.exit(0 if told["ok"] else 1)


def _verified(store: Any, mission_id: str, project: Path) -> RunRecord:
    """The fold of a log that verifies as a whole. Raises RequestError `mission_not_found`, LogCorrupt."""
    from codex_oss.errors import LogCorrupt
    from codex_oss.missions.record import fold
    from codex_oss.wiring.records import seal_for_audit

    reading = store.read_latest(mission_id, seal_for_audit(project, os.environ, None).key)
    if reading.bad_line:
        raise LogCorrupt(reading.bad_line, reading.bad_reason)
    return fold(reading.run_id, reading.mission_id, reading.recorded())


def _readable(store: Any, names: list[str], project: Path, unreadable: list[str]) -> list[RunRecord]:
    from codex_oss.errors import BridgeError

    records = []
    for name in names:
        try:
            records.append(_verified(store, name, project))
        except BridgeError:
            unreadable.append(name)
    return records


def _render(told: dict[str, Any]) -> str:
    lines = [f"{told['mission_id']}: {told['status']}"] if "mission_id" in told else []
    for claim in told["claims"]:
        why = claim.get("missing") or ", ".join(claim.get("codes") or claim.get("basis") or claim.get("evidence_refs"))
        lines.append(f"{claim['status']:11} {claim['claim']}  ({why or 'no reason is given'})")
    lines += [
        f"warning: the log of {name} does not verify; it bears out nothing" for name in told.get("unreadable", ())
    ]
    return printable("\n".join(lines) or "No claim was made.")


def _dumps(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))
