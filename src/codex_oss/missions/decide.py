"""What happens next: record in, one step out. The loop of a mission without its hands.

Counterparts: `services.mission_runner` carries the steps out and appends what happened, `missions.verdicts` judges a
proposed tool call, `missions.closing` words the end.

    ready     ─► AskModel | Append(close)             answered  ─► Append(proposed) | Append(denied) | AskModel
    proposed  ─► Append(allowed | denied | submitted) allowed   ─► RunTool
    submitted ─► Append(refused | close)              closed    ─► Finished

Rules that hold here:

1. Pure: the same record, time and scope give the same step. Time is an argument.
2. The model proposes, policy answers, the runner acts: three events in that order.
3. Each kind of failure gets one chance to be mended; the chance returns after a tool ran.
4. There is always time kept back (`reserve_ms`) in which the mission closes honestly, whatever the model does.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from codex_oss.contracts.mission import RUNNABLE_TIERS, MissionV1
from codex_oss.contracts.tools import ToolCall
from codex_oss.missions.actions import parse_action
from codex_oss.missions.agenda import runtime_read
from codex_oss.missions.closing import close_by_runtime, close_draft
from codex_oss.missions.events import (
    ActionAllowed,
    ActionDenied,
    ActionProposed,
    Known,
    MissionOpened,
    Purpose,
    ReportRefused,
    ReportSubmitted,
)
from codex_oss.missions.exploration import exploration_stop
from codex_oss.missions.fast_path import fast_step
from codex_oss.missions.gates import judge_draft
from codex_oss.missions.native_calls import parse_call
from codex_oss.missions.observation import render_refusal
from codex_oss.missions.record import RunRecord, epoch_ms
from codex_oss.missions.report import parse_draft
from codex_oss.missions.verdicts import Denial, judge_tool_call
from codex_oss.missions.window import is_full, may_ask, observation_bytes
from codex_oss.policy.scope import Scope, check_breadth, names_critical_path

RETRYABLE_CALL_ERRORS: Final = frozenset(
    {
        "upstream_unavailable",
        "upstream_error",
        "upstream_protocol_error",
        "stream_interrupted",
        "rate_limited",
        "model_timeout",
    }
)
"""Failures of a model call that one more try may mend; the lane has already retried what it could."""

FINAL_INSTRUCTION: Final = (
    "STOP: {why}. Send one final_report now, from what was shown above. Cite only refs that were offered. "
    "If the evidence is not enough, status PARTIAL and say what is missing."
)

WHY_FINAL: Final[dict[str, str]] = {
    "budget_exhausted": "the tool budget is spent",
    "model_call_limit_reached": "this is the last answer you may give",
    "deadline_reached": "the time is nearly up",
    "duplicate_actions": "the same action was repeated too often",
    "low_information": "the last actions brought nothing new",
    "context_full": "the conversation is nearly as long as you can read",
    "observation_limit_reached": "no more content may be shown in this mission",
    "required_floor_reached": "everything that must be read was read, and the mission asks for no more",
    "exploration_limit_reached": "the mission allows no more looking around",
}


class AskModel(Struct, frozen=True):
    """Ask the model. instruction is added to the conversation; empty when the last entry says enough."""

    call: int
    purpose: Purpose
    instruction: str
    timeout_ms: int


class RunTool(Struct, frozen=True):
    """Run an allowed tool. again: it had been started before a crash, and only reads."""

    step: int
    call: int
    tool: ToolCall
    max_bytes: int
    """Most that the model may be shown of it."""
    again: bool = False


class Append(Struct, frozen=True):
    """Nothing to perform: these events follow from the record alone."""

    events: tuple[Known, ...]


class Finished(Struct, frozen=True):
    """The mission is closed."""


Step = AskModel | RunTool | Append | Finished


def decide(record: RunRecord, now_ms: int, scope: Scope) -> Step:
    """Choose the next step. now_ms: milliseconds since the epoch."""
    opened = record.opened
    if record.stage == "closed" or opened is None:
        return Finished()
    match record.stage:
        case "answered":
            return _after_answer(record, opened, now_ms)
        case "proposed":
            return _after_proposal(record, opened.mission, scope)
        case "allowed":
            proposal = record.judged[-1].proposal
            tool = ToolCall(proposal.tool, proposal.arguments)
            return RunTool(record.tool_runs + 1, proposal.call, tool, observation_bytes(record))
        case "running" if record.running is not None:
            started = record.running
            tool = ToolCall(started.tool, started.arguments)
            return RunTool(started.step, started.call, tool, observation_bytes(record), again=True)
        case "submitted":
            return _after_submission(record, opened, now_ms)
        case _:
            return _from_ready(record, opened, now_ms)


def remaining_ms(record: RunRecord, now_ms: int) -> int:
    """Time to the deadline, negative when it has passed."""
    if record.opened is None:
        return 0
    return epoch_ms(record.opened_at) + record.opened.mission.budget.time_s * 1000 + record.paused_ms - now_ms


def tool_time_ms(record: RunRecord, now_ms: int) -> int:
    """Time that a tool may take: to the deadline, without what is kept back for the closing."""
    return remaining_ms(record, now_ms) - (_reserve_ms(record.opened) if record.opened else 0)


def _from_ready(record: RunRecord, opened: MissionOpened, now_ms: int) -> Step:
    if not record.calls and not record.judged:
        refusal = refuse_at_door(opened)
        if refusal is not None:
            return refusal
    left = remaining_ms(record, now_ms)
    if left <= _reserve_ms(opened):
        return _close(record, "deadline_reached")
    if (own := _own_action(record, opened.mission, left)) is not None:
        return Append((own,))
    if spent := _spent_repair(record):
        return _close(record, spent)
    if record.counted_calls >= opened.mission.max_model_calls:
        return _close(record, "model_call_limit_reached")
    if not record.evidence and left <= _final_window_ms(opened):
        return _close(record, "deadline_reached")  # nothing was seen: no report could be honest
    if not record.evidence and is_full(record):
        return _close(record, "context_full")
    return _ask(record, opened, left)


def refuse_at_door(opened: MissionOpened) -> Append | None:
    """Missions that the runtime does not investigate at all."""
    mission = opened.mission
    if mission.tier not in RUNNABLE_TIERS:
        detail = f"Tier {mission.tier} compiles and validates; running it is not available yet."
        return Append((close_by_runtime(None, "tier_not_available", status="FAILED", detail=detail),))
    if mission.risk_tier == "critical":
        detail = "Missions of critical risk are for a person or GPT to decide."
        return Append((close_by_runtime(None, "risk_tier_critical", status="ESCALATE", detail=detail),))
    breadth = check_breadth(mission, opened.root_entries)
    if not breadth.allowed:
        return Append((close_by_runtime(None, breadth.code, status="ESCALATE", detail=breadth.reason),))
    return None


def _own_action(record: RunRecord, mission: MissionV1, left_ms: int) -> ActionProposed | None:
    """What the runtime does before the next question, without being asked."""
    if (fast := fast_step(record, mission)) is not None or is_full(record):
        return fast
    due = bool(force_final(record, left_ms)) or record.final_asked
    return runtime_read(record, mission, report_is_due=due)


def _ask(record: RunRecord, opened: MissionOpened, left_ms: int) -> Step:
    call = len(record.calls) + 1
    why = force_final(record, left_ms)
    if why or record.final_asked:
        instruction = "" if record.final_asked else FINAL_INSTRUCTION.format(why=WHY_FINAL[why])
        if not may_ask(record, instruction):
            return _close(record, "context_full")
        return AskModel(call, "final_report", instruction, min(left_ms - _reserve_ms(opened), opened.final_call_ms))
    purpose: Purpose = "repair" if record.failures_in_a_row else "action"
    return AskModel(call, purpose, "", left_ms - _final_window_ms(opened))


def force_final(record: RunRecord, left_ms: int) -> str:
    """Reason code why the next answer must be the report; empty when the model may go on."""
    opened = record.opened
    if opened is None:
        return ""
    mission = opened.mission
    checks: tuple[tuple[str, bool], ...] = (
        ("budget_exhausted", record.tool_runs >= mission.budget.tool_calls),
        ("model_call_limit_reached", record.counted_calls >= mission.max_model_calls - 1),
        ("deadline_reached", left_ms <= _final_window_ms(opened)),
        ("observation_limit_reached", record.bytes_shown >= mission.max_total_observation_bytes),
        (
            "duplicate_actions",
            mission.progress_policy_enabled and record.duplicates >= max(1, mission.max_duplicate_actions),
        ),
        (
            "low_information",
            mission.progress_policy_enabled and record.low_information >= max(1, mission.max_low_information_actions),
        ),
        (stop := exploration_stop(record, mission), bool(stop)),
        ("context_full", is_full(record)),
    )
    return next((code for code, reached in checks if reached), "")


def _reserve_ms(opened: MissionOpened) -> int:
    """The reserve, never more than a tenth of the mission's whole time."""
    return min(opened.reserve_ms, opened.mission.budget.time_s * 100)


def _final_window_ms(opened: MissionOpened) -> int:
    """With less than this left, only a report is asked for: the final call and the reserve, at most a third of all."""
    return min(opened.final_call_ms + _reserve_ms(opened), opened.mission.budget.time_s * 333)


def _spent_repair(record: RunRecord) -> str:
    """Reason code of a failure kind that was met again after its one chance; empty when there is none."""
    for kind, count in record.failures_in_a_row.items():
        if kind == "model_call_failed":
            retryable = record.answer is not None and record.answer.error_code in RETRYABLE_CALL_ERRORS
            if count > 1 or not retryable:
                return kind
        elif kind != "report" and count > 1:
            return kind
    return ""


def _after_answer(record: RunRecord, opened: MissionOpened, now_ms: int) -> Step:
    answer = record.answer
    if answer is None or answer.outcome in ("failed", "unknown"):
        return _from_ready(record, opened, now_ms)
    if record.taken and remaining_ms(record, now_ms) <= _reserve_ms(opened):
        return _close(record, "deadline_reached")
    if opened.action_protocol == "tools":
        return Append((parse_call(answer, record.taken),))
    return Append((parse_action(answer.call, answer.text),))


def _after_proposal(record: RunRecord, mission: MissionV1, scope: Scope) -> Step:
    proposal = record.judged[-1].proposal
    match proposal.kind:
        case "invalid":
            return Append((ActionDenied(proposal.call, proposal.problem_code, proposal.problem, "repaired"),))
        case "final_report":
            return Append((ReportSubmitted(proposal.call, proposal.raw_arguments, proposal.proposer),))
        case "tool_call":
            if record.final_asked and proposal.proposer == "model":
                reason = "Only a final_report is accepted now."
                return Append((ActionDenied(proposal.call, "final_report_required", reason, "redirected"),))
            if spent := _spent_by_calls_before(record, mission):
                reason = f"The calls before this one left no room for it: {WHY_FINAL[spent]}."
                return Append((ActionDenied(proposal.call, spent, reason, "redirected"),))
            denial = judge_tool_call(record, mission, proposal, scope)
            if denial is not None:
                return _deny(record, mission, proposal, denial)
            critical = names_critical_path(proposal.arguments.get("path"), scope)
            return Append((ActionAllowed(proposal.call, proposal.tool, critical),))


def _spent_by_calls_before(record: RunRecord, mission: MissionV1) -> str:
    """Reason code why a tool that may run in itself cannot: calls of one answer are judged one by one."""
    checks = (
        ("budget_exhausted", record.tool_runs >= mission.budget.tool_calls),
        ("observation_limit_reached", record.bytes_shown >= mission.max_total_observation_bytes),
        ("context_full", not observation_bytes(record)),
    )
    return next((code for code, reached in checks if reached), "")


def _deny(record: RunRecord, mission: MissionV1, proposal: ActionProposed, denial: Denial) -> Append:
    event = ActionDenied(proposal.call, denial.code, denial.reason, denial.decision)
    if denial.code in mission.stop_conditions:
        return Append((event, close_by_runtime(record, denial.code, detail=denial.reason)))
    return Append((event,))


def _after_submission(record: RunRecord, opened: MissionOpened, now_ms: int) -> Step:
    submitted = record.draft
    if submitted is None:
        return _close(record, "report_missing")
    draft = parse_draft(submitted.draft)
    failures = judge_draft(record, draft)
    calls_left = record.counted_calls < opened.mission.max_model_calls
    time_left = remaining_ms(record, now_ms) > _reserve_ms(opened) + 1000
    refusal = ReportRefused(submitted.call, failures)
    chance = calls_left and time_left and not record.failures_in_a_row["report"]
    if failures and chance and may_ask(record, render_refusal(refusal)):
        return Append((refusal,))
    return Append((close_draft(record, draft, failures),))


def _close(record: RunRecord, code: str) -> Append:
    codes, detail = [code], ""
    if code == "model_call_failed" and record.answer is not None:
        codes.append(record.answer.error_code)
        detail = f"The model could not be asked: {record.answer.error_message}"
    codes.append(force_final(record, FAR_AWAY_MS))
    return Append((close_by_runtime(record, *dict.fromkeys(filter(None, codes)), detail=detail),))


FAR_AWAY_MS: Final = 1 << 40
"""A deadline that decides nothing: to ask for the other reasons only."""
