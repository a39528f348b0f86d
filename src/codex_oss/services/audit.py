"""The audit of a mission: its log, its projections and its claims, checked without trusting any of them.

Counterparts: `services.event_log` verifies lines, `services.anchors` knows what a log must at least hold,
`missions.projections` rebuilds the files, `services.audit_claims` judges the claims again.

| verdict | asks |
| --- | --- |
| integrity | is each event as it was written, and in its place? (hash chain, MAC, order) |
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

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from codex_oss.errors import BridgeError, RequestError, StoreError
from codex_oss.missions.commentary import Commentator
from codex_oss.missions.order import check_order
from codex_oss.missions.projections import NAMES, render_files
from codex_oss.missions.record import RunRecord, evolve, new_record
from codex_oss.services.anchors import Anchor
from codex_oss.services.audit_check import Check, Outcome, VerdictName
from codex_oss.services.audit_claims import ReadSource, check_claims
from codex_oss.services.event_log import LogReading, Seal
from codex_oss.services.mission_store import MissionStore

VERDICTS: Final[tuple[VerdictName, ...]] = ("integrity", "completeness", "projections", "claims")
WORST: Final[dict[Outcome, int]] = {"PASS": 0, "WARN": 1, "FAIL": 2}


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


def audit_mission(store: MissionStore, mission_id: str, read_source: ReadSource, seal: Seal) -> Audit:
    """Audit the latest run of a mission. seal: the key and anchors of this machine, as far as there are any.

    read_source: a file of the project as it is now.

    Raises RequestError `mission_not_found` when neither a log nor an anchor nor a file knows the mission.
    """
    with _without_collections():
        return _audit(store, mission_id, read_source, seal)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let the garbage collector rest: a fold makes no cycles, and 100,000 events that stay alive are walked each time.

    Measured: a seventh of the time of such an audit.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _audit(store: MissionStore, mission_id: str, read_source: ReadSource, seal: Seal) -> Audit:
    gone = _missing_runs(store, mission_id, seal)
    try:
        reading = store.read_latest(mission_id, seal.key)
    except RequestError:
        if gone:
            return Audit(tuple(gone))
        raise
    checks = [
        *_check_log(reading, seal),
        *gone,
        _check_anchor(reading, seal),
        *_check_others(store, mission_id, reading, seal),
    ]
    try:
        replay = _replay(reading)
    except BridgeError as exc:
        checks.append(Check("integrity", "log.events", "FAIL", exc.message))
    else:
        checks.append(_check_order(replay))
        checks.append(_check_completeness(replay.record, reading))
        checks.extend(_check_projections(store, mission_id, replay))
        checks.extend(check_claims(replay.record, read_source))
    return Audit(tuple(checks))


class _Replay(Struct):
    """What one walk over a log gives; a log of 100,000 events is walked once."""

    record: RunRecord
    files: dict[str, bytes]
    """Every projection as it should lie there."""
    disorder: str = ""
    """What is wrong with the first event that cannot stand where it stands, and its number."""


def _replay(reading: LogReading) -> _Replay:
    record, commentator, remarks, disorder = new_record(reading.run_id, reading.mission_id), Commentator(), [], ""
    for envelope, recorded in zip(reading.envelopes, reading.events(), strict=True):
        if not disorder and (reason := check_order(record, envelope, recorded.event)):
            disorder = f"Event {recorded.seq}: {reason}."
        evolve(record, recorded)
        remarks.extend(commentator.take(record, recorded))
    return _Replay(record, render_files(record, remarks), disorder)


def _missing_runs(store: MissionStore, mission_id: str, seal: Seal) -> list[Check]:
    """A run of the mission that its files or an anchor name, and whose place holds no log or another one's."""
    found = []
    shown = store.projected_run(mission_id)
    if shown and not store.has_log(shown):
        message = f"The files of the mission are those of run {shown}; its log is gone."
        found.append(Check("completeness", "log.missing", "FAIL", message))
    for anchor in seal.anchors.of_mission(mission_id) if seal.anchors else []:
        if not store.has_log(anchor.run_id):
            message = f"Run {anchor.run_id} had {anchor.seq} events; its log is gone."
            found.append(Check("completeness", "log.missing", "FAIL", message))
        elif (header := store.header_of(anchor.run_id)) is None or header.mission_id != mission_id:
            message = f"Run {anchor.run_id} had {anchor.seq} events; in its place lies another log."
            found.append(Check("completeness", "log.missing", "FAIL", message))
    return found


def _check_others(store: MissionStore, mission_id: str, reading: LogReading, seal: Seal) -> Iterator[Check]:
    """The other runs of the mission: which one is the latest is only what their first events say."""
    audited = reading.path.parent.name
    for run_id in store.runs_of(mission_id):
        if run_id != audited:
            other = store.read_run(run_id, seal.key)
            faults = [
                check for check in (*_check_log(other, seal), _check_anchor(other, seal)) if check.status == "FAIL"
            ]
            for fault in faults[:1]:
                yield Check(fault.verdict, "log.others", "FAIL", f"{run_id}, another run of it: {fault.message}")
    if strange := [run_id for run_id in store.strange_runs(seal.key) if run_id != audited]:
        message = f"Whose runs these were cannot be told, their first events do not verify: {', '.join(strange[:10])}."
        yield Check("completeness", "log.others", "WARN", message)


def _check_log(reading: LogReading, seal: Seal) -> Iterator[Check]:
    count = len(reading.envelopes)
    if reading.bad_line:
        message = f"Line {reading.bad_line} does not verify ({reading.bad_reason}); {count} events before it do."
        yield Check("integrity", "log.integrity", "FAIL", message)
    elif not count:
        yield Check("integrity", "log.integrity", "FAIL", "The log holds no event.")
    else:
        yield Check("integrity", "log.integrity", "PASS", f"{count} events, each hash and each link verifies.")
    folder = reading.path.parent.name
    if count and reading.run_id != folder:
        # A whole log of another run verifies by itself, with the right key too; only its place is wrong.
        message = f"The log in the folder of run {folder} is that of run {reading.run_id}."
        yield Check("integrity", "log.place", "FAIL", message)
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
    if seal.key and without:
        # To leave them out is the first thing that somebody without the key would try.
        message = "There is a key, but the log has no MACs: it was written anew, or where there was no key."
        return Check("integrity", "log.mac", "FAIL", message)
    return Check("integrity", "log.mac", "WARN", "The log was written without a key.")


def _check_order(replay: _Replay) -> Check:
    if replay.disorder:
        return Check("integrity", "log.order", "FAIL", replay.disorder)
    return Check("integrity", "log.order", "PASS", "Each event follows from those before it.")


def _anchor_of(reading: LogReading, seal: Seal) -> Anchor | None:
    try:
        return seal.anchors.read(reading.path.parent.name) if seal.anchors else None
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


def _check_projections(store: MissionStore, mission_id: str, replay: _Replay) -> Iterator[Check]:
    for name in NAMES:
        found = store.read_projection(mission_id, name)
        if found is None:
            yield Check(
                "projections", f"projection.{name}", "FAIL", f"{name} is missing; it can be rebuilt from the log."
            )
        elif found != replay.files[name]:
            yield Check("projections", f"projection.{name}", "FAIL", f"{name} differs from what the log gives.")
        else:
            yield Check("projections", f"projection.{name}", "PASS", f"{name} is what the log gives, byte for byte.")
