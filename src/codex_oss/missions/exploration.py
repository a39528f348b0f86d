"""What must and may follow the required reading: the exploration policy and the completion contract.

Counterparts: `contracts.policy_fields` and `contracts.completion_fields` have the fields, `missions.decide` asks when
the report is due, `missions.contract_gates` whether a COMPLETE may stand.

Rules that hold here:

1. The floor is reached with the run after which every required file has been read; without any it is reached at once.
2. An optional action is a tool run that the model proposed after the floor and that showed something.
3. A search for the opposite is a search really made, never a word that announces one.
"""

from __future__ import annotations

from collections.abc import Iterator

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.completion import closure_needs_model, exploration_demands
from codex_oss.missions.record import Judged, RunRecord
from codex_oss.missions.report import Draft
from codex_oss.missions.sources import Objection, open_sources, required_sources


def optional_actions(record: RunRecord, mission: MissionV1) -> list[Judged]:
    """The model's own tool runs after the floor; none before it is reached."""
    open_paths = set(required_sources(mission))
    runs = [judged for judged in record.judged if judged.result is not None and judged.result.kind != "error"]
    for index, judged in enumerate(runs):
        if not open_paths:
            return [later for later in runs[index:] if later.proposal.proposer == "model"]
        if judged.result is not None and judged.proposal.tool == "rtk_read":
            open_paths.discard(judged.result.path)
    return []


def exploration_stop(record: RunRecord, mission: MissionV1) -> str:
    """Reason code why the report is due after the required reading; empty while the model may go on."""
    policy = mission.exploration_policy
    if policy is None or open_sources(record, mission):
        return ""
    if policy.after_required_floor == "close_immediately" and required_sources(mission):
        return "required_floor_reached"
    most = policy.max_optional_actions_after_floor
    done = len(optional_actions(record, mission))
    return "exploration_limit_reached" if record.evidence and done >= most else ""


def check_exploration(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[Objection]:
    """What a COMPLETE lacks of the exploration that the mission asks for."""
    fewest, searches = exploration_demands(mission)
    done = optional_actions(record, mission)
    if len(done) < fewest:
        yield "exploration_unmet", f"{fewest} action(s) must follow the required reading; there were {len(done)}."
    if searches and not any(judged.proposal.tool == "rtk_grep" for judged in done):
        yield (
            "contradiction_search_missing",
            "Search once more (rtk_grep) for what would contradict the answer, then report.",
        )
    if record.final_asked and closure_needs_model(mission):
        yield "closure_not_by_model", "The mission asks for a report of the model's own accord; this one was asked for."
