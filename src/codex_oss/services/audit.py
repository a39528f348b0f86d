"""The audit of a mission: its log, its projections and its claims, checked without trusting any of them.

Counterparts: `services.event_log` verifies lines, `missions.projections` rebuilds the files, `missions.gates` judges
the claims again.

Rules that hold here:

1. Only the log is read as a fact; every other file is rebuilt from it and compared byte for byte.
2. A check that cannot be made is a FAIL or a WARN with its reason, never left out.
3. What the chain cannot show is said: a bare hash chain can be rewritten as a whole by whoever owns the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

from msgspec import Struct

from codex_oss.errors import BridgeError
from codex_oss.missions.closing import close_draft
from codex_oss.missions.gates import judge_draft
from codex_oss.missions.projections import NAMES
from codex_oss.missions.record import RunRecord, fold
from codex_oss.missions.report import parse_draft
from codex_oss.services.event_log import LogReading
from codex_oss.services.mission_store import MissionStore, rebuild

Outcome = Literal["PASS", "FAIL", "WARN"]
ReadDigest = Callable[[str], str | None]
"""Path below the project to the hex SHA-256 of the file now; None when it cannot be read."""


class Check(Struct, frozen=True):
    """One verdict of the audit."""

    name: str
    status: Outcome
    message: str


class Audit(Struct, frozen=True):
    """All verdicts; ok when none is a FAIL."""

    ok: bool
    checks: tuple[Check, ...]


STATUS_RANK: Final = {"FAILED": 0, "ESCALATE": 0, "PARTIAL": 1, "COMPLETE": 2}


def audit_mission(store: MissionStore, mission_id: str, read_digest: ReadDigest) -> Audit:
    """Audit the latest run of a mission. Raises RequestError `mission_not_found`."""
    reading = store.read_latest(mission_id)
    checks = list(_check_log(reading))
    try:
        record = fold(reading.run_id, reading.mission_id, reading.recorded())
    except BridgeError as exc:
        checks.append(Check("log.events", "FAIL", exc.message))
    else:
        checks.append(_check_completeness(record, reading))
        checks.extend(_check_projections(store, mission_id, reading))
        checks.extend(_check_claims(record))
        checks.append(_check_sources(record, read_digest))
    return Audit(all(check.status != "FAIL" for check in checks), tuple(checks))


def _check_log(reading: LogReading) -> Iterator[Check]:
    count = len(reading.envelopes)
    if reading.bad_line:
        message = f"Line {reading.bad_line} does not verify ({reading.bad_reason}); {count} events before it do."
        yield Check("log.integrity", "FAIL", message)
    elif not count:
        yield Check("log.integrity", "FAIL", "The log holds no event.")
    else:
        yield Check("log.integrity", "PASS", f"{count} events, each hash and each link verifies.")
    if reading.torn_bytes:
        message = f"{reading.torn_bytes} bytes after the last committed event were never committed (a torn write)."
        yield Check("log.tail", "WARN", message)


def _check_completeness(record: RunRecord, reading: LogReading) -> Check:
    if record.closed is not None:
        return Check("log.completeness", "PASS", f"The mission was closed as {record.closed.status}.")
    last = reading.envelopes[-1].event_type if reading.envelopes else "nothing"
    missing = "the closing"
    if record.running is not None:
        missing = f"the outcome of step {record.running.step} ({record.running.tool}) and the closing"
    elif record.stage == "asked":
        missing = f"the answer to question {len(record.calls)} and the closing"
    return Check(
        "log.completeness", "FAIL", f"The log ends after event {record.last_seq} ({last}); missing: {missing}."
    )


def _check_projections(store: MissionStore, mission_id: str, reading: LogReading) -> Iterator[Check]:
    expected = rebuild(reading)
    for name in NAMES:
        found = store.read_projection(mission_id, name)
        if found is None:
            yield Check(f"projection.{name}", "FAIL", f"{name} is missing; it can be rebuilt from the log.")
        elif found != expected[name]:
            yield Check(f"projection.{name}", "FAIL", f"{name} differs from what the log gives.")
        else:
            yield Check(f"projection.{name}", "PASS", f"{name} is what the log gives, byte for byte.")


def _check_claims(record: RunRecord) -> Iterator[Check]:
    closed = record.closed
    if closed is None:
        yield Check("claims.hold", "WARN", "The mission is not closed; no claim stands yet.")
        return
    if record.draft is None:
        fault = "COMPLETE without any report" if closed.status == "COMPLETE" else ""
        message = fault or "No report was submitted; the closing claims nothing of the model's."
        yield Check("claims.hold", "FAIL" if fault else "PASS", message)
        return
    draft = parse_draft(record.draft.draft)
    failures = judge_draft(record, draft)
    deserved = close_draft(record, draft, failures).status
    if STATUS_RANK[closed.status] > STATUS_RANK[deserved] or closed.failures != failures:
        message = f"The log says {closed.status}, the evidence in it carries {deserved}."
        yield Check("claims.hold", "FAIL", message)
        return
    count = len(draft.findings)
    refused = len({failure.finding for failure in failures if failure.finding >= 0})
    yield Check("claims.hold", "PASS", f"{count - refused} of {count} findings stand on the lines they cite.")


def _check_sources(record: RunRecord, read_digest: ReadDigest) -> Check:
    changed = []
    for path, extracts in record.evidence.extracts.items():
        if read_digest(path) != extracts[-1].file_sha256:
            changed.append(path)
    if not record.evidence.extracts:
        return Check("evidence.changed", "PASS", "No file was read.")
    if changed:
        shown = ", ".join(changed[:10])
        return Check("evidence.changed", "WARN", f"Changed or gone since they were read: {shown}.")
    return Check("evidence.changed", "PASS", f"All {len(record.evidence.extracts)} files read are unchanged since.")
