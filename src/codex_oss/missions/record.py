"""`RunRecord`: what is known of a run, as a fold over its log.

Counterparts: `missions.events` defines what is folded, `missions.decide` reads the record to choose the next step,
`missions.projections` turns it into files.

    ready ─► asked ─► answered ─► proposed ─► allowed ─► running ─► ready | answered
                                     │   └──► (denied) ready | answered
                                     └──────► submitted ─► (refused) ready | closed

An answer with several native calls is `answered` again until each of them was proposed and judged.

Rules that hold here:

1. `evolve` is the only function that changes a record, and it changes it in place: a record belongs to one fold.
   (Copying at each event made a fold of 100,000 events quadratic.)
2. `evolve` never raises for an event it can read, whatever the order: any prefix of any log folds.
3. The conversation with the model is part of the record, so the prompt is a function of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, assert_never

from msgspec import Struct, field

from codex_oss.contracts.tools import ToolResult
from codex_oss.missions.events import (
    ActionAllowed,
    ActionDenied,
    ActionProposed,
    GateFailure,
    LegacyEvent,
    MissionClosed,
    MissionOpened,
    MissionQueued,
    MissionResumed,
    MissionScheduled,
    ModelAnswered,
    ModelAsked,
    ModelReplaced,
    NativeCall,
    Purpose,
    Recorded,
    ReportRefused,
    ReportSubmitted,
    ToolFinished,
    ToolStarted,
    event_type_of,
)
from codex_oss.missions.evidence import Evidence
from codex_oss.missions.observation import render_denial, render_observation, render_refusal
from codex_oss.missions.observation_limit import shown_bytes

Stage = Literal["unopened", "ready", "asked", "answered", "proposed", "allowed", "running", "submitted", "closed"]


class Said(Struct, frozen=True):
    """One entry of the conversation with the model, kept as it was said."""

    role: Literal["user", "assistant"]
    text: str
    calls: tuple[NativeCall, ...] = ()
    """Of the assistant: its native tool calls."""
    reasoning: str = ""
    call_id: str = ""
    """Of the user: the native call that this answers; empty when it is a message of its own."""

    @property
    def size(self) -> int:
        """Bytes of what the model reads, as UTF-8."""
        calls = sum(_size(call.name) + _size(call.arguments) for call in self.calls)
        return _size(self.text) + _size(self.reasoning) + calls


class ModelCall(Struct):
    """One question and what came of it."""

    call: int
    purpose: Purpose
    asked_at: str
    timeout_ms: int = 0
    prompt_chars: int = 0
    prompt_bytes: int = 0
    outcome: str = "unknown"
    error_code: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usage_estimated: bool = False
    duration_ms: int = 0


class Judged(Struct):
    """A proposal, the verdict on it, and the outcome."""

    at: str
    seq: int
    proposal: ActionProposed
    decision: str = "pending"
    """allowed, blocked, duplicate, repaired, redirected, invalid, report, or pending."""
    code: str = ""
    reason: str = ""
    step: int = 0
    """Number of the tool run; 0 when nothing ran."""
    result: ToolResult | None = None
    duration_ms: int = 0


class RunRecord(Struct):
    """Everything that follows from the log so far."""

    run_id: str = ""
    mission_id: str = ""
    stage: Stage = "unopened"
    opened: MissionOpened | None = None
    opened_at: str = ""
    closed: MissionClosed | None = None
    closed_at: str = ""
    calls: list[ModelCall] = field(default_factory=list)
    answer: ModelAnswered | None = None
    """The last answer."""
    taken: int = 0
    """How many of its actions were proposed; native calls are taken one after the other."""
    form: str = ""
    """How the last answer was asked for (`ModelAnswered.form`); what was refused once is not asked again."""
    judged: list[Judged] = field(default_factory=list)
    running: ToolStarted | None = None
    evidence: Evidence = field(default_factory=Evidence)
    transcript: list[Said] = field(default_factory=list)
    said_bytes: int = 0
    """Bytes of the transcript, as UTF-8."""
    draft: ReportSubmitted | None = None
    """The last report that was submitted."""
    refused: tuple[GateFailure, ...] = ()
    """Why the last submitted report was refused; empty when it was not."""
    failures_in_a_row: Counter[str] = field(default_factory=Counter)
    """Failure kind to the number of answers that had it since the last tool run that worked."""
    failed_call: dict[str, int] = field(default_factory=dict)
    """Failure kind to the answer that had it last: several bad calls of one answer are one failure."""
    tool_runs: int = 0
    """Runs that count against the budget (the runtime's own prefetch counts too)."""
    bytes_observed: int = 0
    bytes_shown: int = 0
    """Content shown to the model; what `max_total_observation_bytes` limits."""
    redactions: int = 0
    duplicates: int = 0
    low_information: int = 0
    final_asked: bool = False
    paused_ms: int = 0
    """Time in which nobody wrote this run, or it waited for a slot; it does not count against the deadline."""
    critical_read: list[str] = field(default_factory=list)
    """Critical paths that calls were allowed on."""
    critical_refused: list[str] = field(default_factory=list)
    """Critical paths that calls were refused on."""
    critical_left_out: int = 0
    """Critical files and folders that the widest search or listing left out."""
    replaced: list[ModelReplaced] = field(default_factory=list)
    """Whenever another model than the one asked for took the mission or a question."""
    queued: MissionQueued | None = None
    """Its place in the queue of its lane, as long as it waits."""
    queued_at: str = ""
    """Until when the wait is part of `paused_ms`."""
    lost_calls: int = 0
    """Questions whose answer was lost with the writer; they do not count against the limit of questions."""
    last_seq: int = 0
    last_hash: str = ""
    last_at: str = ""
    """`created_at` of the last event."""
    event_ids_by_type: dict[str, list[int]] = field(default_factory=dict)
    """Event type to the sequence numbers of its events."""

    @property
    def counted_calls(self) -> int:
        """Questions that count against the limit."""
        return len(self.calls) - self.lost_calls

    @property
    def calls_waiting(self) -> bool:
        """Whether the last answer has native calls that nothing was said to yet."""
        return self.answer is not None and self.taken < len(self.answer.calls)


def new_record(run_id: str, mission_id: str) -> RunRecord:
    """The record of an empty log."""
    return RunRecord(run_id=run_id, mission_id=mission_id)


def fold(run_id: str, mission_id: str, events: Iterable[Recorded]) -> RunRecord:
    """The record of a log, or of any prefix of one."""
    record = new_record(run_id, mission_id)
    for recorded in events:
        evolve(record, recorded)
    return record


def evolve(record: RunRecord, recorded: Recorded) -> None:
    """Take one event into the record, in place."""
    event = recorded.event
    record.last_seq, record.last_hash, record.last_at = recorded.seq, recorded.event_hash, recorded.at
    record.event_ids_by_type.setdefault(event_type_of(event), []).append(recorded.seq)
    match event:
        case MissionOpened():
            record.opened, record.opened_at, record.stage = event, recorded.at, "ready"
        case ModelAsked():
            _asked(record, event, recorded.at)
        case ModelAnswered():
            _answered(record, event)
        case ActionProposed():
            record.judged.append(Judged(recorded.at, recorded.seq, event))
            record.taken += event.proposer == "model"
            record.stage = "proposed"
        case ActionAllowed():
            _judge(record, "allowed", "", "")
            record.stage = "allowed"
            if event.critical and record.judged:
                record.critical_read.append(str(record.judged[-1].proposal.arguments.get("path", "")))
        case ActionDenied():
            _denied(record, event)
        case ToolStarted():
            record.running, record.stage = event, "running"
            record.tool_runs += 1
        case ToolFinished():
            _finished(record, event)
        case ReportSubmitted():
            _judge(record, "report", "", "")
            record.draft, record.refused, record.stage = event, (), "submitted"
        case ReportRefused():
            record.refused, record.stage = event.failures, "ready"
            record.failures_in_a_row["report"] += 1
            _tell(record, render_refusal(event))
        case MissionClosed():
            record.closed, record.closed_at, record.stage = event, recorded.at, "closed"
            record.queued = None
        case MissionResumed():
            record.paused_ms += max(0, event.paused_ms)
            record.queued_at = recorded.at
        case MissionQueued():
            _waited(record, recorded.at)
            record.queued = event
        case MissionScheduled():
            _waited(record, recorded.at)
            record.queued = None
        case ModelReplaced():
            record.replaced.append(event)
        case LegacyEvent():
            pass
        case _:
            assert_never(event)


def _waited(record: RunRecord, at: str) -> None:
    """Take the wait since the last event of the queue into the pause; the pause of a resumption is in it already."""
    if record.queued is not None:
        record.paused_ms += max(0, epoch_ms(at) - epoch_ms(record.queued_at))
    record.queued_at = at


def epoch_ms(at: str) -> int:
    """Milliseconds since the epoch of an envelope's `created_at`; 0 when it does not parse."""
    try:
        return round(datetime.fromisoformat(at).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return 0


def _asked(record: RunRecord, event: ModelAsked, at: str) -> None:
    record.stage = "asked"
    record.final_asked = record.final_asked or event.purpose == "final_report"
    asked = ModelCall(event.call, event.purpose, at, event.timeout_ms, event.prompt_chars, event.prompt_bytes)
    record.calls.append(asked)
    if event.instruction:
        _say(record, Said("user", event.instruction))


def _answered(record: RunRecord, event: ModelAnswered) -> None:
    record.answer, record.taken, record.stage = event, 0, "answered"
    record.form = event.form or record.form
    record.redactions += event.redactions
    if record.calls:
        call = record.calls[-1]
        call.outcome, call.error_code, call.duration_ms = event.outcome, event.error_code, event.duration_ms
        call.input_tokens, call.output_tokens = event.input_tokens, event.output_tokens
        call.cached_tokens, call.usage_estimated = event.cached_tokens, event.usage_estimated
    if event.outcome == "unknown":
        record.lost_calls += 1
    elif event.outcome == "failed":
        record.failures_in_a_row["model_call_failed"] += 1
    else:
        record.failures_in_a_row.pop("model_call_failed", None)
        _say(record, Said("assistant", event.text, event.calls, event.reasoning))


def _judge(record: RunRecord, decision: str, code: str, reason: str) -> None:
    if record.judged:
        last = record.judged[-1]
        last.decision, last.code, last.reason = decision, code, reason


def _denied(record: RunRecord, event: ActionDenied) -> None:
    invalid = bool(record.judged) and record.judged[-1].proposal.kind == "invalid"
    _judge(record, "invalid" if invalid else event.decision, event.code, event.reason)
    record.stage = "answered" if record.calls_waiting else "ready"
    if not invalid and event.code != "final_report_required":
        record.low_information += 1
    elif record.failed_call.get(event.code) != event.call:
        record.failures_in_a_row[event.code] += 1
        record.failed_call[event.code] = event.call
    record.duplicates += event.decision == "duplicate"
    if event.code == "critical_path_detected" and record.judged:
        record.critical_refused.append(str(record.judged[-1].proposal.arguments.get("path", "")))
    _tell(record, render_denial(event))


def _finished(record: RunRecord, event: ToolFinished) -> None:
    arguments: dict[str, Any] = record.running.arguments if record.running else {}
    entry = record.evidence.add(event.step, arguments, event.result)
    record.running, record.stage = None, "answered" if record.calls_waiting else "ready"
    record.bytes_observed += event.result.bytes_read
    record.bytes_shown += shown_bytes(event.result)
    record.redactions += event.result.redactions
    record.critical_left_out = max(record.critical_left_out, event.result.critical_left_out)
    record.failures_in_a_row.clear()
    record.failed_call.clear()
    if entry is None:
        record.low_information += 1
    if record.judged:
        last = record.judged[-1]
        last.step, last.result, last.duration_ms = event.step, event.result, event.duration_ms
    _tell(record, render_observation(event.result, entry))


def _tell(record: RunRecord, text: str) -> None:
    """Say to the model what became of its last proposal: as the answer to its call where it made one."""
    call_id = record.judged[-1].proposal.call_id if record.judged else ""
    _say(record, Said("user", text, call_id=call_id))


def _say(record: RunRecord, said: Said) -> None:
    record.transcript.append(said)
    record.said_bytes += said.size


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
