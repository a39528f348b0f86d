"""The audit of a mission: its log, its projections and its claims, checked without trusting any of them.

Counterparts: `services.event_log` verifies lines, `services.anchors` knows what a log must at least hold,
`missions.projections` rebuilds the files, `missions.gates` judges the claims again.

| verdict | asks |
| --- | --- |
| integrity | is each event as it was written, and in its place? (hash chain, MAC) |
| completeness | is the end there, and is it the log that was written? (closing, anchor) |
| projections | are the files what the log gives, byte for byte? |
| claims | does the report stand on what was shown, and is what was read still the same? |

Rules that hold here:

1. Only the log is read as a fact; every other file is rebuilt from it and compared byte for byte.
2. A check that cannot be made is a FAIL or a WARN with its reason, never left out. It works on a copied folder, on a
   machine that has neither key nor anchor, and then says what it could not see.
3. A verdict is the worst of its checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

from msgspec import Struct

from codex_oss.errors import BridgeError, RequestError, StoreError
from codex_oss.missions.closing import close_draft
from codex_oss.missions.gates import RULES_VERSION, judge_draft
from codex_oss.missions.projections import NAMES
from codex_oss.missions.record import RunRecord, fold
from codex_oss.missions.report import parse_draft
from codex_oss.services.anchors import Anchor
from codex_oss.services.event_log import LogReading, Seal
from codex_oss.services.mission_store import MissionStore, rebuild

Outcome = Literal["PASS", "FAIL", "WARN"]
VerdictName = Literal["integrity", "completeness", "projections", "claims"]
ReadDigest = Callable[[str], str | None]
"""Path below the project to the hex SHA-256 of the file now; None when it cannot be read."""

VERDICTS: Final[tuple[VerdictName, ...]] = ("integrity", "completeness", "projections", "claims")
WORST: Final[dict[Outcome, int]] = {"PASS": 0, "WARN": 1, "FAIL": 2}


class Check(Struct, frozen=True):
    """One thing that was looked at."""

    verdict: VerdictName
    name: str
    status: Outcome
    message: str


class Audit(Struct, frozen=True):
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """No check is a FAIL."""
        return all(check.status != "FAIL" for check in self.checks)

    @property
    def verdicts(self) -> dict[str, Outcome]:
        """The four verdicts, each the worst of its checks; a verdict without any check could not be made: WARN."""
        found: dict[str, Outcome] = {}
        for name in VERDICTS:
            outcomes: list[Outcome] = [check.status for check in self.checks if check.verdict == name]
            found[name] = max(outcomes, key=WORST.__getitem__, default="WARN")
        return found


STATUS_RANK: Final = {"FAILED": 0, "ESCALATE": 0, "PARTIAL": 1, "COMPLETE": 2}


def audit_mission(store: MissionStore, mission_id: str, read_digest: ReadDigest, seal: Seal) -> Audit:
    """Audit the latest run of a mission. seal: the key and anchors of this machine, as far as there are any.

    Raises RequestError `mission_not_found` when neither a log nor an anchor knows the mission.
    """
    anchors = seal.anchors.of_mission(mission_id) if seal.anchors else []
    missing = [anchor for anchor in anchors if not store.has_log(anchor.run_id)]
    gone = [
        Check("completeness", "log.missing", "FAIL", f"Run {anchor.run_id} had {anchor.seq} events; its log is gone.")
        for anchor in missing
    ]
    try:
        reading = store.read_latest(mission_id, seal.key)
    except RequestError:
        if gone:
            return Audit(tuple(gone))
        raise
    checks = [*_check_log(reading, seal), *gone, _check_anchor(reading, seal)]
    try:
        record = fold(reading.run_id, reading.mission_id, reading.recorded())
    except BridgeError as exc:
        checks.append(Check("integrity", "log.events", "FAIL", exc.message))
    else:
        checks.append(_check_completeness(record, reading))
        checks.extend(_check_projections(store, mission_id, reading))
        checks.extend(_check_claims(record))
        checks.append(_check_sources(record, read_digest))
    return Audit(tuple(checks))


def _check_log(reading: LogReading, seal: Seal) -> Iterator[Check]:
    count = len(reading.envelopes)
    if reading.bad_line:
        message = f"Line {reading.bad_line} does not verify ({reading.bad_reason}); {count} events before it do."
        yield Check("integrity", "log.integrity", "FAIL", message)
    elif not count:
        yield Check("integrity", "log.integrity", "FAIL", "The log holds no event.")
    else:
        yield Check("integrity", "log.integrity", "PASS", f"{count} events, each hash and each link verifies.")
    yield _check_mac(reading, seal)
    if reading.torn_bytes:
        message = f"{reading.torn_bytes} bytes after the last committed event were never committed (a torn write)."
        yield Check("completeness", "log.tail", "WARN", message)


def _check_mac(reading: LogReading, seal: Seal) -> Check:
    """Whether the MACs say what they can say; a wrong one is a line that does not verify."""
    without = [envelope.seq for envelope in reading.envelopes if not envelope.mac]
    if not without and not seal.key:
        message = "There is no key here; whether the log was written anew as a whole cannot be told. --key gives one."
        return Check("integrity", "log.mac", "WARN", message)
    if not without:
        return Check("integrity", "log.mac", "PASS", "Each MAC verifies: the log was written with this key.")
    if len(without) < len(reading.envelopes):
        return Check("integrity", "log.mac", "FAIL", f"Event {without[0]} has no MAC, others have one.")
    if _anchor_of(reading, seal) is not None:
        return Check("integrity", "log.mac", "FAIL", "The log has no MACs, but was written with them.")
    return Check("integrity", "log.mac", "WARN", "The log was written without a key.")


def _anchor_of(reading: LogReading, seal: Seal) -> Anchor | None:
    try:
        return seal.anchors.read(reading.run_id) if seal.anchors and reading.run_id else None
    except StoreError:
        return None


def _check_anchor(reading: LogReading, seal: Seal) -> Check:
    anchor = _anchor_of(reading, seal)
    if anchor is None:
        message = "No anchor of this run lies here; whether its end was cut off cannot be told."
        return Check("completeness", "log.anchor", "WARN", message)
    if anchor.seq > len(reading.envelopes):
        message = f"The log had {anchor.seq} events and has {len(reading.envelopes)}: its end is missing."
        return Check("completeness", "log.anchor", "FAIL", message)
    if anchor.event_hash != reading.envelopes[anchor.seq - 1].event_hash:
        message = f"Event {anchor.seq} is not the one that was written: the log was written anew."
        return Check("completeness", "log.anchor", "FAIL", message)
    return Check("completeness", "log.anchor", "PASS", f"The log holds the event {anchor.seq} that was noted outside.")


def _check_completeness(record: RunRecord, reading: LogReading) -> Check:
    if record.closed is not None:
        return Check("completeness", "log.completeness", "PASS", f"The mission was closed as {record.closed.status}.")
    last = reading.envelopes[-1].event_type if reading.envelopes else "nothing"
    missing = "the closing"
    if record.running is not None:
        missing = f"the outcome of step {record.running.step} ({record.running.tool}) and the closing"
    elif record.stage == "asked":
        missing = f"the answer to question {len(record.calls)} and the closing"
    return Check(
        "completeness",
        "log.completeness",
        "FAIL",
        f"The log ends after event {record.last_seq} ({last}); missing: {missing}.",
    )


def _check_projections(store: MissionStore, mission_id: str, reading: LogReading) -> Iterator[Check]:
    expected = rebuild(reading)
    for name in NAMES:
        found = store.read_projection(mission_id, name)
        if found is None:
            yield Check(
                "projections", f"projection.{name}", "FAIL", f"{name} is missing; it can be rebuilt from the log."
            )
        elif found != expected[name]:
            yield Check("projections", f"projection.{name}", "FAIL", f"{name} differs from what the log gives.")
        else:
            yield Check("projections", f"projection.{name}", "PASS", f"{name} is what the log gives, byte for byte.")


def _check_claims(record: RunRecord) -> Iterator[Check]:
    closed = record.closed
    if closed is None:
        yield Check("claims", "claims.hold", "WARN", "The mission is not closed; no claim stands yet.")
        return
    if record.draft is None:
        fault = "COMPLETE without any report" if closed.status == "COMPLETE" else ""
        message = fault or "No report was submitted; the closing claims nothing of the model's."
        yield Check("claims", "claims.hold", "FAIL" if fault else "PASS", message)
        return
    draft = parse_draft(record.draft.draft)
    failures = judge_draft(record, draft)
    deserved = close_draft(record, draft, failures).status
    if STATUS_RANK[closed.status] > STATUS_RANK[deserved] or closed.failures != failures:
        message = f"The log says {closed.status}, the evidence in it carries {deserved}."
        if closed.rules < RULES_VERSION:
            message += f" It was judged by older rules ({closed.rules}, now {RULES_VERSION})."
        yield Check("claims", "claims.hold", "FAIL" if closed.rules >= RULES_VERSION else "WARN", message)
        return
    count = len(draft.findings)
    refused = len({failure.finding for failure in failures if failure.finding >= 0})
    yield Check("claims", "claims.hold", "PASS", f"{count - refused} of {count} findings stand on the lines they cite.")


def _check_sources(record: RunRecord, read_digest: ReadDigest) -> Check:
    changed = []
    for path, extracts in record.evidence.extracts.items():
        if read_digest(path) != extracts[-1].file_sha256:
            changed.append(path)
    if not record.evidence.extracts:
        return Check("claims", "evidence.changed", "PASS", "No file was read.")
    if changed:
        shown = ", ".join(changed[:10])
        return Check("claims", "evidence.changed", "WARN", f"Changed or gone since they were read: {shown}.")
    return Check(
        "claims", "evidence.changed", "PASS", f"All {len(record.evidence.extracts)} files read are unchanged since."
    )
