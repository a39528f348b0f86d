"""What happens in a mission and is kept: the event vocabulary.

Counterparts: `missions.envelope` makes a line of the log of each, `missions.record` folds them, `missions.order` says
which may follow which, `missions.commentary` is the only place that turns them into what a client sees.

    MissionOpened ─► ( ModelAsked ─► ModelAnswered ─► ActionProposed ─► ActionAllowed ─► ToolStarted ─► ToolFinished
                                                                    └─► ActionDenied
                                                   └─► ReportSubmitted ─► ReportRefused )* ─► MissionClosed

A run that went on after its writer died has a MissionResumed where it was taken over. One that had to wait for a slot
has MissionQueued, for each place it was told, and MissionScheduled before its first step.

Rules that hold here:

1. Proposal, verdict and outcome are three events, written in that order and as they happen.
2. Numbers of ours in payloads are integers (milliseconds, bytes, counts): every JSON writer spells them alike.
3. Nothing unredacted enters a payload; whoever builds an event redacts first.
4. Log lines with the older event types (`LEGACY_TYPES`) stay readable; they fold to nothing.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from codex_oss.contracts.mission import Confidence, MissionStatus, MissionV1
from codex_oss.contracts.profiles import ActionProtocol
from codex_oss.contracts.tools import ToolResult
from codex_oss.policy.admission import ModelAdmission

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


class Recorded(Struct, frozen=True, gc=False):
    """An event with its place in the log: what `missions.record.evolve` takes."""

    seq: int
    at: str
    event: MissionEvent
    event_hash: str


_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: the bytes that are hashed and the bytes of every JSON projection line."""
    return _ENCODER.encode(value)


def event_type_of(event: MissionEvent) -> str:
    """The name that stands in the envelope."""
    return event.event_type if isinstance(event, LegacyEvent) else type(event).__name__
