"""What happens in a mission and is kept: the event vocabulary, the envelope, its hash chain and its keyed MAC.

Counterparts: `services.event_log` stores envelopes as JSON lines, `missions.record` folds them, `missions.commentary`
is the only place that turns them into what a client sees.

    MissionOpened ─► ( ModelAsked ─► ModelAnswered ─► ActionProposed ─► ActionAllowed ─► ToolStarted ─► ToolFinished
                                                                    └─► ActionDenied
                                                   └─► ReportSubmitted ─► ReportRefused )* ─► MissionClosed

A run that went on after its writer died has a MissionResumed where it was taken over. One that had to wait for a slot
has MissionQueued, for each place it was told, and MissionScheduled before its first step.

Rules that hold here:

1. Proposal, verdict and outcome are three events, written in that order and as they happen.
2. `event_hash` is the SHA-256 of the canonical JSON (sorted keys, no spaces, UTF-8) of the envelope without
   `event_hash`; `prev_hash` is the hash before it, empty for the first. Source: mission_event.v1.
   A line is that canonical JSON itself, so the hash covers each byte of it: no other spelling is taken for it, and
   nobody needs a JSON writer of ours to make the hash again, since the member can be cut out of the line.
3. Numbers of ours in payloads are integers (milliseconds, bytes, counts): every JSON writer spells them alike.
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
from msgspec import Raw, Struct

from codex_oss.contracts.mission import Confidence, MissionStatus, MissionV1
from codex_oss.contracts.profiles import ActionProtocol
from codex_oss.contracts.tools import ToolResult
from codex_oss.policy.admission import ModelAdmission

SCHEMA_VERSION: Final = "mission_event.v1"

Purpose = Literal["action", "repair", "final_report"]
Proposer = Literal["model", "runtime"]
ReportSource = Literal["model_report", "model_report_downgraded", "runtime_evidence", "deterministic_fast_path"]


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
    action_protocol: ActionProtocol = "json"
    max_output_tokens: int = 0
    """Most that one answer may be; 0 in logs that do not say."""
    admission: ModelAdmission = ModelAdmission()
    """Which model takes it, and how it was found."""
    replay_reasoning: bool = False
    """The upstream wants what the model thought back beside its tool calls."""


class NativeCall(Struct, frozen=True):
    """A tool call as the model made it. arguments: text as it came, redacted; possibly no JSON at all."""

    call_id: str
    name: str
    arguments: str


class ModelAsked(Struct, frozen=True, tag="ModelAsked", tag_field="event_type"):
    """A question went out. instruction: what was added to the conversation for this question, often nothing."""

    call: int
    purpose: Purpose
    instruction: str
    prompt_chars: int
    prompt_sha256: str
    timeout_ms: int
    prompt_bytes: int = 0  # UTF-8, of all that the model reads; older logs do not say


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
    calls: tuple[NativeCall, ...] = ()
    """Native tool calls, in the order made; none where the protocol is json."""
    calls_dropped: int = 0
    reasoning: str = ""
    """What was thought beside the calls, kept only where the upstream wants it back."""
    answered_by: str = ""
    """The profile that answered, when it is not the one of the mission."""
    form: str = ""
    """How the answer was asked for: json_schema, json_object or text; required or auto. Empty when not known."""


class ModelReplaced(Struct, frozen=True, tag="ModelReplaced", tag_field="event_type"):
    """Another model than the one asked for took the mission, or answered one question."""

    call: int
    """The question; 0 when it took the mission from the beginning."""
    asked: str
    """Profile that should have answered, or the name that was asked for."""
    answered: str
    """Profile that does."""
    upstream_model: str
    reason: str
    """A key of `policy.admission.REFUSALS` or of `policy.deviation.REASONS`."""
    asked_capability: int = 0
    capability: int = 0
    """1 to 5; 0 when not known. Lower than `asked_capability` is a downgrade."""
    approval: str = "not_required"
    """explicit for a downgrade: the user's files approve it."""

    @property
    def downgrade(self) -> bool:
        """Whether the one that answers is the weaker one."""
        return 0 < self.capability < self.asked_capability


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
    call_id: str = ""
    """Of the native call that this is; empty for JSON, for an answer without a call, and for the runtime."""


class ActionAllowed(Struct, frozen=True, tag="ActionAllowed", tag_field="event_type"):
    """Policy allows the proposed tool call. critical: it reads a critical path, which the mission opens."""

    call: int
    tool: str
    critical: bool = False


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
    proposer: Proposer = "model"
    """runtime on the deterministic fast path."""


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
    report_source: ReportSource
    requested_status: str = ""
    """What the model asked for; empty when it submitted nothing."""
    synthesis: Literal["", "SOURCE_PACK_RECOVERY"] = ""
    """SOURCE_PACK_RECOVERY when the model died and the runtime closed from gathered evidence."""
    failures: tuple[GateFailure, ...] = ()
    """Gates that the last draft did not pass; its findings concerned were left out."""
    detail: str = ""
    """One sentence for a person about what ended the mission, e.g. the upstream's failure."""
    rules: int = 1
    """Version of the gates that judged it (`missions.gates.RULES_VERSION`); 1 in logs that do not say."""


class MissionResumed(Struct, frozen=True, tag="MissionResumed", tag_field="event_type"):
    """Another writer goes on with the run. What had been asked and not answered is unknown, and is asked again."""

    paused_ms: int
    """From the last event to this one; it does not count against the time of the mission."""
    reason: str = "writer_gone"
    """writer_gone, writer_stopped or writer_silent."""


class MissionQueued(Struct, frozen=True, tag="MissionQueued", tag_field="event_type"):
    """The mission waits for a slot of its scheduler lane, or moved up. Waiting does not count against its time."""

    lane: str
    place: int
    """From 1."""
    waiting: int
    """How many wait in all."""
    capacity: int
    max_wait_ms: int = 0


class MissionScheduled(Struct, frozen=True, tag="MissionScheduled", tag_field="event_type"):
    """A slot became free for it. A mission that need not wait has no such event."""

    lane: str
    waited_ms: int


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
    | MissionQueued
    | MissionScheduled
    | ModelReplaced
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


class Envelope(Struct, frozen=True, gc=False):
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
    payload: Raw
    """The event as canonical JSON, opened by `open_event`: a long log is kept as its own bytes."""
    event_hash: str = ""
    schema_version: str = SCHEMA_VERSION
    epoch: int = 1
    mac: str = ""
    """`hmac-sha256:` and hex; empty when the writer had no key."""


class Recorded(Struct, frozen=True, gc=False):
    """An event with its place in the log: what `missions.record.evolve` takes."""

    seq: int
    at: str
    event: MissionEvent
    event_hash: str


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(Envelope)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_KINDS: Final = {kind.__name__: msgspec.json.Decoder(kind) for kind in get_args(Known)}
_BEFORE_HASH: Final = b',"event_id":'
"""Sorted, `event_hash` stands before this member; what stands before both holds no text that others chose."""
_BEFORE_MAC: Final = b',"mission_id":'


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: the bytes that are hashed and the bytes of every JSON projection line."""
    return _ENCODER.encode(value)


def event_type_of(event: MissionEvent) -> str:
    """The name that stands in the envelope."""
    return event.event_type if isinstance(event, LegacyEvent) else type(event).__name__


OBSERVED: Final = frozenset({"TranscriptJudged"})
"""Types of a delivery log (`missions.delivery`) whose content a client wrote down."""


def provenance_of(event: Struct) -> tuple[str, str]:
    """`source_kind` and `authority` of an event: whose word it is."""
    if type(event).__name__ in MODEL_AUTHORED and getattr(event, "proposer", "model") == "model":
        return "model", "model_narrative"
    if type(event).__name__ in OBSERVED:
        return "desktop_app", "desktop_observed"
    return "runtime", "runtime_authoritative"


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
    source_kind, authority = provenance_of(event)
    line: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "mission_id": mission_id,
        "event_id": f"evt_{seq:06d}",
        "seq": seq,
        "epoch": epoch,
        "prev_hash": prev_hash,
        "event_type": event_type,
        "source_kind": source_kind,
        "authority": authority,
        "created_at": created_at,
        "payload": payload,
    }
    # Encoded once: what a tool showed may be long. Both marks are put where sorting would put them.
    body = canonical_json(line)
    if key:
        body = _put(body, _BEFORE_MAC, b',"mac":"%s"' % _mac(body, key).encode())
    event_hash = _digest(body)
    return event_hash, _put(body, _BEFORE_HASH, b',"event_hash":"%s"' % event_hash.encode())


def unseal(line: bytes, key: bytes = b"") -> Envelope:
    """Decode one log line and verify its own hash and, with a key, its MAC if it has one.

    Raises ValueError with a reason code (`event_json_invalid`, `schema_version_invalid`, `event_hash_mismatch`,
    `event_not_canonical`, `mac_mismatch`). The place in the chain is the reader's to check, and whether a MAC is
    missed.
    """
    try:
        envelope = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("event_json_invalid") from exc
    if envelope.schema_version != SCHEMA_VERSION:
        raise ValueError("schema_version_invalid")
    bare = _cut(line, b',"event_hash":"')
    if key and envelope.mac and _vouched(envelope, bare, key):
        return envelope
    if _spelled(envelope) != line:
        bare = _respelled(line)
    if envelope.event_hash != _digest(bare):
        raise ValueError("event_hash_mismatch")
    if key and envelope.mac and not _vouched(envelope, bare, key):
        raise ValueError("mac_mismatch")
    return envelope


def claimed(line: bytes) -> Envelope | None:
    """What a line says of itself, nothing of it verified; None when it is no line of a log."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def open_event(envelope: Envelope) -> MissionEvent:
    """The event inside an envelope.

    Raises ValueError (`unsupported_event_type`, `payload_invalid`) for what this version cannot read.
    """
    if envelope.event_type in LEGACY_TYPES:
        payload: dict[str, Any] = msgspec.json.decode(envelope.payload)
        return LegacyEvent(envelope.event_type, payload)
    decoder = _KINDS.get(envelope.event_type)
    if decoder is None:
        raise ValueError("unsupported_event_type")
    try:
        event: Known = decoder.decode(envelope.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("payload_invalid") from exc
    return event


def record_of(envelope: Envelope) -> Recorded:
    """Open an envelope for folding; raises as `open_event`."""
    return Recorded(envelope.seq, envelope.created_at, open_event(envelope), envelope.event_hash)


def _put(body: bytes, before: bytes, member: bytes) -> bytes:
    """The JSON object with a member more, in front of another one."""
    at = body.index(before)
    return body[:at] + member + body[at:]


def _cut(line: bytes, name: bytes) -> bytes:
    """The line without a member whose value needs no escapes; as it is when the member does not stand in it."""
    at = line.find(name)
    return line if at < 0 else line[:at] + line[line.index(b'"', at + len(name)) + 1 :]


def _vouched(envelope: Envelope, bare: bytes, key: bytes) -> bool:
    """Whether hash and MAC are those of these very bytes: then somebody with the key wrote them, so spelled."""
    made = _mac(_cut(bare, b',"mac":"'), key)
    return envelope.event_hash == _digest(bare) and hmac.compare_digest(envelope.mac.encode(), made.encode())


def _spelled(envelope: Envelope) -> bytes:
    """The envelope as this version writes it. Raises ValueError `event_json_invalid` for a payload that is none."""
    try:
        payload = _OBJECT.decode(envelope.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("event_json_invalid") from exc
    if canonical_json(payload) != bytes(envelope.payload):
        return b""
    line = canonical_json(envelope)
    return line if envelope.mac else line.replace(b'"mac":"",', b"", 1)


def _respelled(line: bytes) -> bytes:
    """The same for a line that an earlier version or a later one wrote, without `event_hash`. Raises ValueError."""
    members = msgspec.json.decode(line)
    spelled = canonical_json(members)
    told = members.pop("event_hash", "")
    bare = canonical_json(members)
    if spelled != line and told == _digest(bare):
        raise ValueError("event_not_canonical")
    return bare


def _mac(bare: bytes, key: bytes) -> str:
    return "hmac-sha256:" + hmac.digest(key, bare, "sha256").hex()


def _digest(bare: bytes) -> str:
    return "sha256:" + hashlib.sha256(bare).hexdigest()
