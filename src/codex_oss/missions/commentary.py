"""What a person sees while a mission runs, as a fold of its log; the only bridge from mission to turn events.

Counterparts: `lanes.mission` streams what this file says, `missions.projections` writes the same lines to
`visible_commentary.jsonl`.

Rules that hold here:

1. Each remark is a message item of its own, opened and closed at once, with phase `commentary`: that is what Codex
   and OpenCode show before the end (Observed: Codex CLI 0.169, OpenCode 1.18).
2. Never hidden reasoning, file bodies, system prompts or raw tool output; only what was done, where, and its verdict.
3. The maximum is one: never more remarks than `trace_max_events`. When there would be more, the first ones stand, then
   warnings only (a quarter is kept for them), then one line that says how many were left out, then the last one.
4. A level only leaves out. `off` says nothing, `summary` all but what is marked debug, `detailed` everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, assert_never

from msgspec import Struct

from codex_oss.contracts.tools import ToolResult
from codex_oss.missions.events import (
    ActionAllowed,
    ActionDenied,
    ActionProposed,
    LegacyEvent,
    MissionClosed,
    MissionEvent,
    MissionOpened,
    MissionQueued,
    MissionResumed,
    MissionScheduled,
    ModelAnswered,
    ModelAsked,
    ModelReplaced,
    Recorded,
    ReportRefused,
    ReportSubmitted,
    ToolFinished,
    ToolStarted,
)
from codex_oss.missions.record import RunRecord, evolve, new_record
from codex_oss.missions.replacements import describe_replacement, is_news
from codex_oss.policy.printable import printable
from codex_oss.wire.events import ItemDone, ItemStarted, MessageStart, Phase, TextDelta, TurnEvent

Severity = Literal["debug", "info", "warning", "error"]
LEVELS: Final = ("off", "summary", "detailed")
TITLE_CHARS: Final = 120


class Remark(Struct, frozen=True):
    """One line of visible commentary (`visible_commentary_event.v1`)."""

    mission_id: str
    seq: int
    """1-based among the remarks."""
    timestamp: str
    phase: str
    event_type: str
    title: str
    message: str
    source: str
    severity: Severity
    model: str = ""
    runtime_decision: str = ""
    evidence_refs: tuple[str, ...] = ()
    source_seq: int = 0
    """Sequence number of the log event that this remark is about."""
    safe_for_user: bool = True

    @property
    def item(self) -> str:
        """How this remark is called among the items of its run."""
        return f"remark:{self.seq}"


class _Line(Struct, frozen=True):
    event_type: str
    message: str
    source: str
    severity: Severity = "info"
    decision: str = ""
    evidence_refs: tuple[str, ...] = ()


ENDING: Final[dict[str, tuple[str, Severity]]] = {
    "COMPLETE": ("mission_completed", "info"),
    "PARTIAL": ("mission_partial", "warning"),
    "ESCALATE": ("mission_escalated", "warning"),
    "FAILED": ("mission_failed", "error"),
}


class Commentator:
    """Turns events into remarks, in order. One per reader of a log; `take` is called after `evolve`."""

    def __init__(self) -> None:
        self.emitted = 0
        self.hidden = 0

    def take(self, record: RunRecord, recorded: Recorded) -> list[Remark]:
        """The remarks about one event; often none."""
        opened = record.opened
        if opened is None or opened.trace_level == "off":
            return []
        remarks: list[Remark] = []
        last = isinstance(recorded.event, MissionClosed)
        if last and self.hidden:
            hidden = f"{self.hidden} remarks are not shown here; the trace has every step."
            remarks.append(self._remark(record, recorded, _Line("commentary_compacted", hidden, "runtime")))
        for line in _describe(record, recorded.event):
            if line.severity == "debug" and opened.trace_level != "detailed":
                continue
            if last or self.emitted < _room(opened.trace_max_events, line.severity):
                remarks.append(self._remark(record, recorded, line))
            else:
                self.hidden += 1
        return remarks

    def _remark(self, record: RunRecord, recorded: Recorded, line: _Line) -> Remark:
        opened = record.opened
        bound = opened.trace_max_chars if opened else 500
        self.emitted += 1
        message = _one_line(line.message, bound)
        return Remark(
            mission_id=record.mission_id,
            seq=self.emitted,
            timestamp=recorded.at,
            phase=record.stage,
            event_type=line.event_type,
            title=_one_line(message, TITLE_CHARS),
            message=message,
            source=line.source,
            severity=line.severity,
            model=opened.upstream_model if opened else "",
            runtime_decision=line.decision,
            evidence_refs=line.evidence_refs[:8],
            source_seq=recorded.seq,
        )


def remarks_of(run_id: str, mission_id: str, events: Iterable[Recorded]) -> list[Remark]:
    """Everything that was said of a run, as its log gives it."""
    record, commentator, remarks = new_record(run_id, mission_id), Commentator(), []
    for recorded in events:
        evolve(record, recorded)
        remarks += commentator.take(record, recorded)
    return remarks


def _room(max_events: int, severity: Severity) -> int:
    """How many remarks may stand before the last two: the line about what is hidden, and the closing."""
    before_last = max(0, max_events - 2)
    return before_last if severity in ("warning", "error") else before_last - max_events // 4


def message_events(index: int, text: str, phase: Phase) -> list[TurnEvent]:
    """A whole message item: opened, filled and closed in one batch."""
    return [ItemStarted(index, MessageStart(phase)), TextDelta(index, text), ItemDone(index)]


def _describe(record: RunRecord, event: MissionEvent) -> Iterator[_Line]:
    match event:
        case MissionOpened():
            yield _describe_opening(event)
        case ModelAsked() | ModelAnswered() | ModelReplaced():
            yield from _describe_model(record, event)
        case ActionProposed():
            if event.kind == "tool_call":
                why = f" ({event.reason})" if event.reason else ""
                yield _Line("tool_action_planned", f"{describe_call(event.tool, event.arguments)}{why}", "model_action")
        case ActionDenied():
            kind = "model_action_invalid" if event.decision == "repaired" else "runtime_redirect"
            yield _Line(kind, f"Not done ({event.code}): {event.reason}", "runtime", "warning", event.decision)
        case ToolStarted(step=step, tool=tool):
            yield _Line("tool_action_started", f"Step {step} began: {tool}.", "tool", "debug")
        case ToolFinished():
            yield _describe_result(record, event.result)
            yield _Line("coverage_update", _describe_coverage(record), "coverage", "debug")
        case ReportSubmitted() | ReportRefused():
            yield _describe_report(event)
        case MissionClosed():
            yield _describe_closing(record, event)
        case MissionResumed() | MissionQueued() | MissionScheduled():
            yield _describe_wait(event)
        case ActionAllowed() | LegacyEvent():
            pass
        case _:
            assert_never(event)


def _describe_opening(event: MissionOpened) -> _Line:
    mission = event.mission
    budget = f"{mission.budget.tool_calls} tool calls, {mission.budget.time_s} s"
    text = f"Mission {mission.mission_id} ({mission.tier}) on {event.upstream_model}, {budget}: {mission.objective}"
    return _Line("mission_started", text, "runtime")


def _describe_model(record: RunRecord, event: ModelAsked | ModelAnswered | ModelReplaced) -> Iterator[_Line]:
    match event:
        case ModelAsked():
            text = f"Asked {_model(record)} for its next step ({event.purpose})."
            yield _Line("model_action_requested", text, "runtime", "debug")
        case ModelAnswered():
            if event.outcome in ("failed", "unknown"):
                text = f"The model gave no answer: {event.error_message}"
                yield _Line("model_action_failed", text, "runtime", "warning")
        case ModelReplaced():
            if is_news(record.replaced):
                yield _Line("model_replaced", describe_replacement(event), "runtime", "warning")


def _describe_closing(record: RunRecord, event: MissionClosed) -> _Line:
    kind, severity = ENDING[event.status]
    reasons = f" ({', '.join(event.reason_codes)})" if event.reason_codes else ""
    text = f"{event.status}{reasons}: {record.tool_runs} tool runs, {len(record.calls)} model calls."
    return _Line(kind, text, "runtime", severity)


def _describe_report(event: ReportSubmitted | ReportRefused) -> _Line:
    match event:
        case ReportSubmitted(proposer="runtime"):
            told = "One look decides the objective; the runtime reports, and no model is asked."
            return _Line("deterministic_fast_path_used", told, "report_acceptance")
        case ReportSubmitted():
            findings = event.draft.get("findings")
            count = len(findings) if isinstance(findings, list) else 0
            told = f"The model reports {count} finding(s); checking them against the record."
            return _Line("model_report_received", told, "report_acceptance")
        case ReportRefused():
            codes = ", ".join(dict.fromkeys(failure.code for failure in event.failures))
            told = f"The report does not hold yet: {codes}. One correction is asked for."
            return _Line("report_downgraded", told, "report_acceptance", "warning")


def _describe_wait(event: MissionResumed | MissionQueued | MissionScheduled) -> _Line:
    match event:
        case MissionResumed(paused_ms):
            text = f"The run stood still for {round(paused_ms / 1000)} s and goes on."
            return _Line("mission_resumed", text, "runtime", "warning")
        case MissionQueued():
            wait = f"{event.capacity} run at once, and it waits at most {event.max_wait_ms / 1000:g} s"
            text = f"Waits for a slot in {event.lane}: place {event.place} of {event.waiting}; {wait}."
            return _Line("mission_queued", text, "runtime")
        case MissionScheduled():
            return _Line("mission_scheduled", f"Begins after {event.waited_ms / 1000:.1f} s in the queue.", "runtime")


def describe_call(tool: str, arguments: dict[str, object]) -> str:
    """A tool call in a few words for a person; not yet bounded."""
    path = str(arguments.get("path", "")) or "the whole scope"
    if tool == "rtk_read":
        start, end = arguments.get("start_line"), arguments.get("end_line")
        lines = f" lines {start or 1}-{end or 'end'}" if start or end else ""
        return f"Read {path}{lines}"
    if tool == "rtk_grep":
        return f"Search {str(arguments.get('pattern', ''))!r} in {path}"
    if tool == "rtk_ls":
        return f"List {path}"
    return f"Run {tool}"


def _describe_result(record: RunRecord, result: ToolResult) -> _Line:
    if result.kind == "error":
        return _Line("tool_result_summary", f"{result.tool}: {result.error_code}. {result.message}", "tool", "warning")
    refs = _newest_ref(record, result)
    if result.kind == "extract":
        last = result.start_line + len(result.lines) - 1
        text = f"Read {result.path}: lines {result.start_line}-{last} of {result.total_lines}"
    elif result.kind == "matches":
        text = f"Search met {result.match_count} matches in {result.files_searched} files"
    else:
        text = f"{result.tool}: {len(result.lines)} lines"
    if result.redactions:
        text += f"; {result.redactions} secret-looking values were redacted"
    return _Line("tool_result_summary", text + ".", "tool", evidence_refs=refs)


def _describe_coverage(record: RunRecord) -> str:
    """How far a mission is, in numbers."""
    opened = record.opened
    if opened is None:
        return "Nothing is covered."
    mission, read = opened.mission, record.evidence.extracts
    required = sum(path in read for path in mission.must_inspect)
    files = f"{required} of {len(mission.must_inspect)} required files read" if mission.must_inspect else ""
    return (
        f"Covered: {files or f'{len(read)} files read'}, {record.tool_runs} of {mission.budget.tool_calls} tool calls, "
        f"{record.counted_calls} of {mission.max_model_calls} questions."
    )


def _newest_ref(record: RunRecord, result: ToolResult) -> tuple[str, ...]:
    if result.tool == "rtk_read":
        extracts = record.evidence.extracts.get(result.path, [])
        return (extracts[-1].ref,) if extracts else ()
    return (record.evidence.commands[-1].ref,) if record.evidence.commands else ()


def _model(record: RunRecord) -> str:
    return record.opened.upstream_model if record.opened else "the model"


_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _one_line(text: str, bound: int) -> str:
    flat = printable(_BLANKS.sub(" ", text)).strip()
    return flat if len(flat) <= bound else flat[: bound - 1] + "…"
