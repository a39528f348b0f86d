"""What happens in a mission and is kept: the event vocabulary, the envelope, its hash chain and its keyed MAC.

Counterparts: `services.event_log` stores envelopes as JSON lines, `missions.record` folds them, `missions.commentary`
is the only place that turns them into what a client sees.

    MissionOpened ─► ( ModelAsked ─► ModelAnswered ─► ActionProposed ─► ActionAllowed ─► ToolStarted ─► ToolFinished
                                                                    └─► ActionDenied
                                                   └─► ReportSubmitted ─► ReportRefused )* ─► MissionClosed

A run that went on after its writer died has a MissionResumed where it was taken over.

Rules that hold here:

1. Proposal, verdict and outcome are three events, written in that order and as they happen.
2. `event_hash` is the SHA-256 of the canonical JSON (sorted keys, no spaces, UTF-8) of the envelope without
   `event_hash`; `prev_hash` is the hash before it, empty for the first. Source: mission_event.v1.
3. Numbers in payloads are integers (milliseconds, bytes, counts): every JSON writer spells them alike.
4. Nothing unredacted enters a payload; whoever builds an event redacts first.
5. Log lines with the older event types (`LEGACY_TYPES`) stay readable; they fold to nothing.
6. `mac` is the HMAC-SHA-256 of the same JSON without `mac` and `event_hash`, under a key that is not in the project.
   The hash covers the `mac`; the MAC covers `prev_hash` and so everything before. Whoever rewrites a log can make every
   hash anew, but no MAC.
7. `epoch` is the number of the writer, from 1; it rises when a run is taken over.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from codex_oss.contracts.mission import Confidence, MissionStatus, MissionV1
from codex_oss.contracts.tools import ToolResult

SCHEMA_VERSION: Final = "mission_event.v1"

Purpose = Literal["action", "repair", "final_report"]
Proposer = Literal["model", "runtime"]


class MissionOpened(Struct, frozen=True, tag="MissionOpened", tag_field="event_type"):
    """The contract was admitted. All that later decisions depend on stands here, so that a fold needs no config."""

    mission: MissionV1
    model_alias: str
    """What the client asked for, e.g. `mission-a3-kimi`."""
    profile: str
    upstream_model: str
    context_tokens: int
    structured_output: str = "none"
    root_entries: dict[str, int] = {}
    """Allowed root to the number of entries found in it at the start; decides whether a root is broad."""
    reserve_ms: int = 5_000
    """Time kept back from the deadline for an honest closing."""
    final_call_ms: int = 20_000
    """Time that a forced final report may take."""
    lane: str = "read_pool"
    trace_level: str = "summary"
    """Visible commentary: off, summary or detailed. It stands here so that the commentary is a fold of the log."""
    trace_max_events: int = 40
    trace_max_chars: int = 500


class ModelAsked(Struct, frozen=True, tag="ModelAsked", tag_field="event_type"):
    """A question went out. instruction: what was added to the conversation for this question, often nothing."""

    call: int
    purpose: Purpose
    instruction: str
    prompt_chars: int
    prompt_sha256: str
    timeout_ms: int


class ModelAnswered(Struct, frozen=True, tag="ModelAnswered", tag_field="event_type"):
    """What came back, redacted and bounded; `error_code` when nothing usable did."""

    call: int
    text: str
    outcome: Literal["completed", "incomplete", "failed", "unknown"]
    error_code: str = ""
    error_message: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usage_estimated: bool = False
    duration_ms: int = 0
    redactions: int = 0


class ActionProposed(Struct, frozen=True, tag="ActionProposed", tag_field="event_type"):
    """One action, as parsed. kind invalid: `problem_code` and `problem` say what was wrong with the answer."""

    call: int
    kind: Literal["tool_call", "final_report", "invalid"]
    proposer: Proposer = "model"
    tool: str = ""
    arguments: dict[str, Any] = {}
    """Normalised arguments."""
    raw_arguments: dict[str, Any] = {}
    unsupported: tuple[str, ...] = ()
    """Argument names that the tool does not know."""
    reason: str = ""
    target_question: str = ""
    problem_code: str = ""
    problem: str = ""


class ActionAllowed(Struct, frozen=True, tag="ActionAllowed", tag_field="event_type"):
    """Policy allows the proposed tool call."""

    call: int
    tool: str


class ActionDenied(Struct, frozen=True, tag="ActionDenied", tag_field="event_type"):
    """Policy, budget or the parser refuses; nothing was run."""

    call: int
    code: str
    reason: str
    decision: Literal["blocked", "duplicate", "repaired", "redirected"] = "blocked"


class ToolStarted(Struct, frozen=True, tag="ToolStarted", tag_field="event_type"):
    """The runtime begins a tool. step numbers the runs from 1."""

    step: int
    call: int
    tool: str
    arguments: dict[str, Any]


class ToolFinished(Struct, frozen=True, tag="ToolFinished", tag_field="event_type"):
    """What the tool returned: exactly what the model may be shown."""

    step: int
    result: ToolResult
    duration_ms: int = 0


class ReportSubmitted(Struct, frozen=True, tag="ReportSubmitted", tag_field="event_type"):
    """The model's draft of a report, as parsed by `missions.report`. It is a claim, not a fact."""

    call: int
    draft: dict[str, Any]


class GateFailure(Struct, frozen=True):
    """One gate that a draft did not pass."""

    gate: str
    """Name of the gate, e.g. `evidence_refs`."""
    code: str
    """Reason code, e.g. `evidence_not_shown`."""
    message: str
    """One sentence for the model and the person."""
    finding: int = -1
    """Index of the finding it concerns; -1 for the report as a whole."""


class ReportRefused(Struct, frozen=True, tag="ReportRefused", tag_field="event_type"):
    """The draft did not pass; the model gets one chance to mend it."""

    call: int
    failures: tuple[GateFailure, ...]


class MissionClosed(Struct, frozen=True, tag="MissionClosed", tag_field="event_type"):
    """The end. `report_source` says who wrote the findings that stand."""

    status: MissionStatus
    confidence: Confidence
    reason_codes: tuple[str, ...]
    """Why the status is below COMPLETE, most important first; empty only for COMPLETE."""
    report_source: Literal["model_report", "model_report_downgraded", "runtime_evidence"]
    requested_status: str = ""
    """What the model asked for; empty when it submitted nothing."""
    synthesis: Literal["", "SOURCE_PACK_RECOVERY"] = ""
    """SOURCE_PACK_RECOVERY when the model died and the runtime closed from gathered evidence."""
    failures: tuple[GateFailure, ...] = ()
    """Gates that the last draft did not pass; its findings concerned were left out."""
    detail: str = ""
    """One sentence for a person about what ended the mission, e.g. the upstream's failure."""


class MissionResumed(Struct, frozen=True, tag="MissionResumed", tag_field="event_type"):
    """Another writer goes on with the run. What had been asked and not answered is unknown, and is asked again."""

    paused_ms: int
    """From the last event to this one; it does not count against the time of the mission."""
    reason: str = "writer_gone"
    """writer_gone, writer_stopped or writer_silent."""


class LegacyEvent(Struct, frozen=True):
    """An event of the older vocabulary, kept but not interpreted."""

    event_type: str
    payload: dict[str, Any]


Known = (
    MissionOpened
    | ModelAsked
    | ModelAnswered
    | ActionProposed
    | ActionAllowed
    | ActionDenied
    | ToolStarted
    | ToolFinished
    | ReportSubmitted
    | ReportRefused
    | MissionClosed
    | MissionResumed
)
MissionEvent = Known | LegacyEvent

LEGACY_TYPES: Final = frozenset(
    {
        "MissionAdmitted",
        "ModelNarrationEmitted",
        "RuntimeProgressEmitted",
        "DesktopTranscriptCaptured",
        "DesktopMessageObserved",
        "ToolCallEmitted",
        "DesktopToolCallResolved",
        "RuntimeRecoveryRecorded",
        "PatchIntentProposed",
        "PatchAppliedByRuntime",
        "VerificationRan",
        "RollbackRecorded",
        "MissionFinalized",
        "ProjectionWritten",
        "ClaimGateEvaluated",
    }
)

MODEL_AUTHORED: Final = frozenset({"ModelAnswered", "ActionProposed", "ReportSubmitted"})
"""Types whose content is a model's word; their envelope says `model_narrative`."""


class Envelope(Struct, frozen=True):
    """One line of the log."""

    run_id: str
    mission_id: str
    event_id: str
    seq: int
    """1-based, without gaps."""
    prev_hash: str
    event_type: str
    source_kind: str
    authority: str
    created_at: str
    """ISO 8601 in UTC with milliseconds, e.g. `2026-11-20T18:40:00.000Z`."""
    payload: dict[str, Any]
    event_hash: str = ""
    schema_version: str = SCHEMA_VERSION
    epoch: int = 1
    mac: str = ""
    """`hmac-sha256:` and hex; empty when the writer had no key."""


class Recorded(Struct, frozen=True):
    """An event with its place in the log: what `missions.record.evolve` takes."""

    seq: int
    at: str
    event: MissionEvent
    event_hash: str


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(Envelope)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: the bytes that are hashed and the bytes of every JSON projection line."""
    return _ENCODER.encode(value)


def event_type_of(event: MissionEvent) -> str:
    """The name that stands in the envelope."""
    return event.event_type if isinstance(event, LegacyEvent) else type(event).__name__


OBSERVED: Final = frozenset({"TranscriptJudged"})
"""Types of a delivery log (`missions.delivery`) whose content a client wrote down."""


def seal(
    event: Struct,
    *,
    run_id: str,
    mission_id: str,
    seq: int,
    prev_hash: str,
    created_at: str,
    epoch: int = 1,
    key: bytes = b"",
) -> tuple[str, bytes]:
    """Wrap an event for its log: one of `Known`, or of `missions.delivery`. key: of the MAC; without it there is none.

    Returns the event's hash and the JSON line (without the line end) to append.
    """
    payload = msgspec.to_builtins(event)
    event_type = payload.pop("event_type")
    by_model = event_type in MODEL_AUTHORED and getattr(event, "proposer", "model") == "model"
    line: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "mission_id": mission_id,
        "event_id": f"evt_{seq:06d}",
        "seq": seq,
        "epoch": epoch,
        "prev_hash": prev_hash,
        "event_type": event_type,
        "source_kind": "model" if by_model else "desktop_app" if event_type in OBSERVED else "runtime",
        "authority": _authority(event_type, by_model=by_model),
        "created_at": created_at,
        # Encoded once: what a tool showed may be long, and the line is written three times.
        "payload": msgspec.Raw(canonical_json(payload)),
    }
    if key:
        line["mac"] = _mac(line, key)
    line["event_hash"] = _digest(line)
    return line["event_hash"], canonical_json(line)


def unseal(line: bytes, key: bytes = b"") -> Envelope:
    """Decode one log line and verify its own hash and, with a key, its MAC if it has one.

    Raises ValueError with a reason code (`event_json_invalid`, `schema_version_invalid`, `event_hash_mismatch`,
    `mac_mismatch`). The place in the chain is the reader's to check, and whether a MAC is missed.
    """
    try:
        envelope = _DECODER.decode(line)
        bare = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError("event_json_invalid") from exc
    if envelope.schema_version != SCHEMA_VERSION:
        raise ValueError("schema_version_invalid")
    if bare.pop("event_hash", "") != _digest(bare):
        raise ValueError("event_hash_mismatch")
    if key and envelope.mac and not hmac.compare_digest(bare.pop("mac", ""), _mac(bare, key)):
        raise ValueError("mac_mismatch")
    return envelope


def open_event(envelope: Envelope) -> MissionEvent:
    """The event inside an envelope.

    Raises ValueError (`unsupported_event_type`, `payload_invalid`) for what this version cannot read.
    """
    if envelope.event_type in LEGACY_TYPES:
        return LegacyEvent(envelope.event_type, envelope.payload)
    try:
        event: Known = msgspec.convert({**envelope.payload, "event_type": envelope.event_type}, Known)
    except msgspec.ValidationError as exc:
        known = {kind.__name__ for kind in get_args(Known)}
        raise ValueError("payload_invalid" if envelope.event_type in known else "unsupported_event_type") from exc
    return event


def record_of(envelope: Envelope) -> Recorded:
    """Open an envelope for folding; raises as `open_event`."""
    return Recorded(envelope.seq, envelope.created_at, open_event(envelope), envelope.event_hash)


def _authority(event_type: str, *, by_model: bool) -> str:
    if by_model:
        return "model_narrative"
    return "desktop_observed" if event_type in OBSERVED else "runtime_authoritative"


def _mac(bare: dict[str, Any], key: bytes) -> str:
    return "hmac-sha256:" + hmac.digest(key, canonical_json(bare), "sha256").hex()


def _digest(bare: dict[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(canonical_json(bare)).hexdigest()
