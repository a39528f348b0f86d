"""What the runtime does by itself between two questions: reading what the contract requires.

Counterparts: `missions.decide` asks before each question, `missions.fast_path` has the runtime's other initiative.

    evidence_collection_mode   open style
    prefetch_floor             everything required is read before the first question
    agenda_guided              the model leads; when only as many calls are left as sources are missing, or the report
                               is due, the runtime reads them (phase_policy_enabled false: it does not)
    model_led                  the model reads, or its COMPLETE is refused

The runtime's own actions are judged like any other and count against the budget.
"""

from __future__ import annotations

from typing import Any

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.events import ActionProposed
from codex_oss.missions.record import RunRecord
from codex_oss.missions.sources import requirements_of, searches_over, wanted_pattern, wants_search

Item = tuple[str, dict[str, Any]]
"""Tool and arguments."""


def runtime_read(record: RunRecord, mission: MissionV1, *, report_is_due: bool) -> ActionProposed | None:
    """The next required source that the runtime looks at by itself; None when it is the model's turn."""
    if mission.objective_style != "open_investigation" or mission.evidence_collection_mode == "model_led":
        return None
    left = mission.budget.tool_calls - record.tool_runs
    waiting = [item for item in pending_items(record, mission) if not _was_tried(record, item)]
    if not waiting or left <= 0:
        return None
    if mission.evidence_collection_mode == "prefetch_floor":
        due = not record.calls
    else:
        due = mission.phase_policy_enabled and (left <= len(waiting) or (report_is_due and bool(record.calls)))
    if not due:
        return None
    tool, arguments = waiting[0]
    return ActionProposed(0, "tool_call", "runtime", tool, arguments, reason="required source")


def pending_items(record: RunRecord, mission: MissionV1) -> list[Item]:
    """Reads and searches that the contract requires, leaves to the runtime, and that nobody made yet."""
    evidence = record.evidence
    paths = list(mission.must_inspect)
    searches: list[Item] = []
    for _, source in requirements_of(mission):
        if not source.prefetch:
            continue
        if source.evidence_plane == "file_content":
            paths.append(source.path)
        pattern = wanted_pattern(source)
        if wants_search(source) and pattern and not searches_over(evidence, source.path, pattern):
            searches.append(("rtk_grep", {"pattern": pattern, "path": source.path}))
    reads: list[Item] = [("rtk_read", {"path": path}) for path in dict.fromkeys(paths) if path not in evidence.extracts]
    return reads + [item for index, item in enumerate(searches) if item not in searches[:index]]


def _was_tried(record: RunRecord, item: Item) -> bool:
    tool, arguments = item
    return any(
        judged.proposal.proposer == "runtime"
        and judged.proposal.tool == tool
        and judged.proposal.arguments == arguments
        for judged in record.judged
    )
