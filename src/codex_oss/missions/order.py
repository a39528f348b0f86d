"""Which event may follow in a log, and what of it must agree with what stands before.

Counterparts: `missions.record` folds any order, so that no log is unreadable; `services.audit` asks here whether the
order is one that the runtime writes.

This needs no key. Whoever makes a log anew without the key must at least tell a story that holds together: a dropped,
swapped or repeated event leaves an answer to no question, a tool that was never allowed, a number that skips. What an
edit changed consistently is for the MAC to show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from codex_oss.missions.envelope import Envelope, provenance_of
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
    ReportRefused,
    ReportSubmitted,
    ToolFinished,
    ToolStarted,
)
from codex_oss.missions.record import RunRecord, Stage

_OPEN: Final[frozenset[Stage]] = frozenset(
    {"ready", "asked", "answered", "proposed", "allowed", "running", "submitted"}
)
STAGES: Final[dict[type, frozenset[Stage]]] = {
    MissionOpened: frozenset({"unopened"}),
    ModelAsked: frozenset({"ready", "answered"}),
    ModelAnswered: frozenset({"asked"}),
    ActionProposed: frozenset({"ready", "answered"}),
    ActionAllowed: frozenset({"proposed"}),
    ActionDenied: frozenset({"proposed"}),
    ToolStarted: frozenset({"allowed"}),
    ToolFinished: frozenset({"running"}),
    ReportSubmitted: frozenset({"proposed"}),
    ReportRefused: frozenset({"submitted"}),
    MissionClosed: _OPEN,
    MissionResumed: _OPEN,
    MissionQueued: _OPEN,
    MissionScheduled: _OPEN,
    ModelReplaced: frozenset({"ready", "asked"}),
}
"""Event to the stages of a record in which the runtime writes it. After a failed answer the stage stays `answered`."""


def check_order(record: RunRecord, envelope: Envelope, event: MissionEvent) -> str:
    """Why *event* cannot stand after what was folded into *record*; empty when it can."""
    kind = type(event)
    if kind is LegacyEvent:
        return ""
    if record.stage not in STAGES[kind]:
        return f"{envelope.event_type} cannot follow when the mission is {record.stage}"
    if (envelope.source_kind, envelope.authority) != provenance_of(event):
        return f"{envelope.event_type} is not the word of {envelope.authority}"
    agrees = _AGREEMENTS.get(kind)
    if agrees is not None and not agrees(record, event):
        return f"{envelope.event_type} does not agree with the events before it"
    return ""


def _opened(record: RunRecord, event: MissionOpened) -> bool:
    return event.mission.mission_id == record.mission_id


def _asked(record: RunRecord, event: ModelAsked) -> bool:
    return event.call == len(record.calls) + 1


def _answered(record: RunRecord, event: ModelAnswered) -> bool:
    return event.call == record.calls[-1].call


def _proposed(record: RunRecord, event: ActionProposed) -> bool:
    return event.proposer == "runtime" or (record.answer is not None and event.call == record.answer.call)


def _allowed(record: RunRecord, event: ActionAllowed) -> bool:
    proposal = record.judged[-1].proposal
    return (event.call, event.tool, "tool_call") == (proposal.call, proposal.tool, proposal.kind)


def _denied(record: RunRecord, event: ActionDenied) -> bool:
    return event.call == record.judged[-1].proposal.call


def _started(record: RunRecord, event: ToolStarted) -> bool:
    proposal = record.judged[-1].proposal
    same = (event.step, event.call, event.tool) == (record.tool_runs + 1, proposal.call, proposal.tool)
    return same and event.arguments == proposal.arguments


def _finished(record: RunRecord, event: ToolFinished) -> bool:
    running = record.running
    return running is not None and (event.step, event.result.tool) == (running.step, running.tool)


def _submitted(record: RunRecord, event: ReportSubmitted) -> bool:
    proposal = record.judged[-1].proposal
    same = (event.call, "final_report") == (proposal.call, proposal.kind)
    return same and event.draft == proposal.raw_arguments


def _refused(record: RunRecord, event: ReportRefused) -> bool:
    return record.draft is not None and event.call == record.draft.call


def _closed(record: RunRecord, event: MissionClosed) -> bool:
    """In the middle of a step only the runtime closes, because it was cut off; that is never a success."""
    return record.stage in ("ready", "answered", "submitted") or event.status != "COMPLETE"


def _scheduled(record: RunRecord, event: MissionScheduled) -> bool:
    return record.queued is not None and record.queued.lane == event.lane


def _replaced(record: RunRecord, event: ModelReplaced) -> bool:
    return event.call == 0 or (record.stage == "asked" and event.call == record.calls[-1].call)


_AGREEMENTS: Final[dict[type, Callable[[RunRecord, Any], bool]]] = {
    MissionOpened: _opened,
    ModelAsked: _asked,
    ModelAnswered: _answered,
    ActionProposed: _proposed,
    ActionAllowed: _allowed,
    ActionDenied: _denied,
    ToolStarted: _started,
    ToolFinished: _finished,
    ReportSubmitted: _submitted,
    ReportRefused: _refused,
    MissionClosed: _closed,
    MissionScheduled: _scheduled,
    ModelReplaced: _replaced,
}
"""Numbers and names that stand in two events must be the same; asked only in a stage that `STAGES` allows."""
