"""The verdict on a proposed tool call: scope first, then what the record says about repetition and budget.

Counterparts: `policy.scope` knows paths and tools, this file knows the run so far; `missions.decide` asks it.
A call that passes may run once.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.tools import TOOL_ARGUMENTS, ToolCall
from codex_oss.missions.events import ActionProposed
from codex_oss.missions.record import RunRecord
from codex_oss.missions.topics import searched_topic
from codex_oss.policy.scope import Scope, check_tool

Decision = Literal["blocked", "duplicate", "repaired", "redirected"]


class Denial(Struct, frozen=True):
    """Why a call is not run. decision: how the trace calls it."""

    code: str
    reason: str
    decision: Decision = "blocked"


def judge_tool_call(record: RunRecord, mission: MissionV1, proposal: ActionProposed, scope: Scope) -> Denial | None:
    """None when the call may run; otherwise the first reason against it."""
    verdict = check_tool(ToolCall(proposal.tool, proposal.arguments), mission.allowed_tool_classes, scope)
    if not verdict.allowed:
        return Denial(verdict.code, verdict.reason)
    if proposal.unsupported:
        known = ", ".join(TOOL_ARGUMENTS.get(proposal.tool, {})) or "none"
        reason = f"{proposal.tool} does not take {', '.join(proposal.unsupported[:5])}; it takes: {known}."
        return Denial("argument_unsupported", reason, "repaired")
    return (
        _judge_topic(mission, proposal)
        or _judge_repetition(record, proposal)
        or _judge_bounds(record, mission, proposal)
    )


def _judge_topic(mission: MissionV1, proposal: ActionProposed) -> Denial | None:
    topic = searched_topic(str(proposal.arguments.get("pattern", "")), mission.forbidden_topics)
    return Denial("topic_forbidden", f"The mission leaves {topic!r} out; do not search for it.") if topic else None


def _judge_repetition(record: RunRecord, proposal: ActionProposed) -> Denial | None:
    if proposal.tool == "rtk_read":
        ref = _shown_already(record, proposal)
        if ref:
            return Denial("duplicate_action", f"These lines were already shown, cite {ref}.", "duplicate")
    for judged in record.judged[:-1]:
        same = judged.proposal.tool == proposal.tool and judged.proposal.arguments == proposal.arguments
        if same and judged.result is not None:
            return Denial("duplicate_action", f"This was already done in step {judged.step}; see above.", "duplicate")
    return None


def _shown_already(record: RunRecord, proposal: ActionProposed) -> str:
    """The ref of an extract that covers the wanted lines; empty when there is none."""
    start = proposal.arguments.get("start_line", 1)
    for extract in record.evidence.extracts.get(str(proposal.arguments.get("path", "")), []):
        end = proposal.arguments.get("end_line", extract.total_lines)
        if extract.start_line <= start and min(end, extract.total_lines) <= extract.end_line:
            return extract.ref
    return ""


def _judge_bounds(record: RunRecord, mission: MissionV1, proposal: ActionProposed) -> Denial | None:
    if record.bytes_shown >= mission.max_total_observation_bytes:
        limit = mission.max_total_observation_bytes
        return Denial(
            "observation_limit_reached", f"{limit} bytes were shown; the mission allows no more.", "redirected"
        )
    if proposal.tool == "rtk_read":
        path = str(proposal.arguments.get("path", ""))
        known = record.evidence.extracts
        if path not in known and len(known) >= mission.max_files_to_inspect:
            limit = mission.max_files_to_inspect
            return Denial("max_files_reached", f"{limit} files were read; the mission allows no more.", "redirected")
    if proposal.tool == "rtk_grep" and mission.progress_policy_enabled and _is_broad(proposal):
        broad = sum(1 for judged in record.judged[:-1] if judged.result is not None and _is_broad(judged.proposal))
        if broad >= mission.max_broad_searches:
            reason = "Too many broad searches; name a path, a longer pattern or a glob."
            return Denial("broad_search_limit", reason, "redirected")
    return None


def _is_broad(proposal: ActionProposed) -> bool:
    """A search over everything for next to nothing."""
    if proposal.tool != "rtk_grep":
        return False
    pattern, path = str(proposal.arguments.get("pattern", "")), str(proposal.arguments.get("path", ""))
    return path in ("", ".") and (len(pattern) <= 3 or "include_glob" not in proposal.arguments)
