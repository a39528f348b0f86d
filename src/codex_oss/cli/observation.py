"""`codex-oss desktop-observation`: what a client wrote down, held against what a mission emitted to it.

    codex exec --json … > transcript.jsonl ─► reconcile MISSION transcript.jsonl ─► PASS | WARN | FAIL | UNKNOWN

Counterparts: `missions.observing` judges, `services.delivery_log` keeps the verdict, `show-delivery` shows it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from codex_oss.cli.options import json_option, project_option
from codex_oss.policy.printable import printable, printable_json

if TYPE_CHECKING:
    from codex_oss.missions.delivery import Source
    from codex_oss.missions.observing import Judgement

NOTE_WAIT_S: Final = 2.0
NOTE_POLL_S: Final = 0.1
MAX_TRANSCRIPT_BYTES: Final = 64 * 1024 * 1024


@click.group("desktop-observation", epilog="Example: codex-oss desktop-observation reconcile m_1 transcript.jsonl")
def desktop_observation() -> None:
    """Say what a client really showed of a mission, from what the client itself wrote down."""


@desktop_observation.command("classify", epilog="Example: codex-oss desktop-observation classify transcript.jsonl")
@click.argument("file", metavar="FILE|-")
@project_option
@json_option
def classify(file: str, project: Path, as_json: bool) -> None:
    """Say what FILE is: whose form, how many threads, turns and texts. Nothing is judged and nothing recorded."""
    from codex_oss.missions.transcript import parse_transcript

    transcript = parse_transcript(read_transcript(file))
    facts = {
        "form": transcript.form,
        "threads": len(transcript.threads),
        "turns": list(transcript.endings.values()),
        "texts": {kind: sum(text.kind == kind for text in transcript.texts) for kind in KINDS},
        "lines": transcript.lines,
        "foreign_lines": transcript.foreign_lines,
        "torn": transcript.torn,
    }
    if as_json:
        click.echo(_dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name}: {_dumps(value) if isinstance(value, dict | list) else value}")


KINDS: Final = ("message", "tool_result", "progress")


@desktop_observation.command(
    "reconcile", epilog="Example: codex-oss desktop-observation reconcile mission_local_001 transcript.jsonl --json"
)
@click.argument("mission_id")
@click.argument("file", metavar="FILE|-")
@click.option("--dry-run", is_flag=True, help="Only judge; record nothing.")
@project_option
@json_option
def reconcile(mission_id: str, file: str, dry_run: bool, project: Path, as_json: bool) -> None:
    """Judge whether FILE shows what the latest run of a mission emitted, and record the verdict.

    FILE is the output of `codex exec --json`, or notifications of Codex' app-server, one a line. PASS: all of it, whole
    and in order. WARN: a part, and what is missing is named. FAIL: it contradicts the record. UNKNOWN: it says nothing
    about this run. Only PASS and WARN make items observed. Exit status: 0 PASS, 1 otherwise.
    """
    judgement, recorded = judge_transcript(project, mission_id, read_transcript(file), dry_run=dry_run)
    report_judgement(mission_id, judgement, recorded=recorded, as_json=as_json)


@desktop_observation.command(
    "wrap",
    epilog="Example: codex-oss desktop-observation wrap m_1 -- codex exec --json -m mission-a3-kimi - < handoff.txt",
)
@click.argument("mission_id")
@project_option
@click.argument("command", nargs=-1, required=True, metavar="-- CMD [ARG]...", type=click.UNPROCESSED)
def wrap(mission_id: str, project: Path, command: tuple[str, ...]) -> None:
    """Run a client that carries out a mission, pass its output on, and judge that output as its transcript.

    The transcript is then one that this program took itself. The verdict goes to stderr. Exit status: that of CMD; 1
    when CMD succeeds and the verdict is not PASS.
    """
    import subprocess

    taken = bytearray()
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:  # noqa: S603 (the user's own command)
            assert child.stdout is not None
            while chunk := os.read(child.stdout.fileno(), 65536):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                if len(taken) < MAX_TRANSCRIPT_BYTES:
                    taken += chunk
    except OSError as exc:
        raise click.UsageError(f"{command[0]} cannot be run: {exc.strerror}.") from exc
    await_report(project, mission_id)
    judgement, _ = judge_transcript(project, mission_id, bytes(taken), source="captured")
    click.echo(printable(f"{judgement.verdict} {judgement.code}: {judgement.sentence}"), err=True)
    sys.exit(
        child.returncode if child.returncode > 0 else 128 - child.returncode if child.returncode else _exit(judgement)
    )


def await_report(project: Path, mission_id: str) -> None:
    """Give whoever wrote to the client a moment to note it: a client may have ended before that."""
    import time

    from codex_oss.missions.delivery import REPORT
    from codex_oss.services.delivery_log import DeliveryBook
    from codex_oss.services.mission_store import MissionStore

    book, deadline = DeliveryBook(MissionStore(project)), time.monotonic() + NOTE_WAIT_S
    while time.monotonic() < deadline:
        items = book.read(mission_id).delivery.items
        if any(item.item == REPORT and item.state != "created" for item in items):
            return
        time.sleep(NOTE_POLL_S)


def judge_transcript(
    project: Path, mission_id: str, data: bytes, *, dry_run: bool = False, source: Source = "file"
) -> tuple[Judgement, bool]:
    """The verdict on a transcript, and whether it was recorded now. The same one is recorded once.

    Raises RequestError `mission_not_found`, StoreError when the verdict cannot be kept.
    """
    import hashlib

    from codex_oss.missions.delivery import Created, TranscriptJudged
    from codex_oss.missions.observing import judge
    from codex_oss.missions.transcript import parse_transcript
    from codex_oss.services.delivery_log import DeliveryBook
    from codex_oss.services.mission_store import MissionStore
    from codex_oss.wiring.records import open_seal

    seal = open_seal(project, os.environ)
    book = DeliveryBook(MissionStore(project), lambda: seal)
    delivery = book.read(mission_id, seal.key).delivery
    transcript = parse_transcript(data)
    created = [Created(item.item, item.text) for item in delivery.items]
    judgement = judge(delivery.run_id, delivery.mission_id, delivery.emissions, transcript, created)
    event = TranscriptJudged(
        verdict=judgement.verdict,
        code=judgement.code,
        form=transcript.form,
        transcript_sha256=hashlib.sha256(data).hexdigest(),
        thread=judgement.thread,
        source=source,
        observed=judgement.observed if judgement.verdict in ("PASS", "WARN") else (),
        missing=judgement.missing,
    )
    if dry_run or event in delivery.judgements or transcript.form == "unreadable":
        return judgement, False
    book.append(delivery.run_id, delivery.mission_id, event)
    return judgement, True


def report_judgement(mission_id: str, judgement: Judgement, *, recorded: bool, as_json: bool) -> None:
    """Print a verdict and end with its exit status."""
    observed = judgement.observed if judgement.verdict in ("PASS", "WARN") else ()
    if as_json:
        facts = {
            "ok": judgement.verdict == "PASS",
            "mission_id": mission_id,
            "verdict": judgement.verdict,
            "code": judgement.code,
            "sentence": judgement.sentence,
            "observed": list(observed),
            "missing": list(judgement.missing),
            "pre_final": judgement.pre_final,
            "final": judgement.final,
            "recorded": recorded,
        }
        click.echo(_dumps(facts))
    else:
        click.echo(printable(f"{judgement.verdict} {judgement.code}: {judgement.sentence}"))
        if observed:
            click.echo(f"observed: {', '.join(observed)}")
        if judgement.missing:
            click.echo(f"missing: {', '.join(judgement.missing)}")
        click.echo("recorded" if recorded else "nothing recorded")
    sys.exit(_exit(judgement))


def read_transcript(file: str) -> bytes:
    """The bytes of a transcript; - is standard input. Raises InvalidRequest for what cannot be read or is too large."""
    from codex_oss.errors import InvalidRequest
    from codex_oss.services.state_files import read_plain

    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_TRANSCRIPT_BYTES + 1)
            if len(data) > MAX_TRANSCRIPT_BYTES:
                raise OSError(0, f"it is larger than {MAX_TRANSCRIPT_BYTES} bytes")
            return data
        return read_plain(Path(file), MAX_TRANSCRIPT_BYTES, follow_link=True)
    except OSError as exc:
        raise InvalidRequest(f"{file} cannot be read: {exc.strerror}.", code="transcript_unreadable") from exc


def _exit(judgement: Judgement) -> int:
    return 0 if judgement.verdict == "PASS" else 1


def _dumps(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))
