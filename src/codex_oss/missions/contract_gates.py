"""The gates that a contract adds to those which always hold: its sources, its objective, its exploration, its topics.

Counterparts: `missions.gates` asks these after its own, `missions.sources`, `missions.objective` and
`missions.exploration` say what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.events import GateFailure
from codex_oss.missions.exploration import check_exploration
from codex_oss.missions.objective import check_objective
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import Draft
from codex_oss.missions.sources import Objection, check_source, requirements_of
from codex_oss.missions.topics import named_topic


def _check_source_requirements(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    if draft.status == "COMPLETE":
        for _, source in requirements_of(mission):
            yield from _failures("source_requirements", check_source(record, source, draft))


def _check_objective_spec(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    if draft.status == "COMPLETE":
        yield from _failures("objective_spec", check_objective(record, mission, draft))


def _check_exploration_policy(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    if draft.status == "COMPLETE":
        yield from _failures("exploration_policy", check_exploration(record, mission, draft))


def _check_forbidden_topics(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    for index, finding in enumerate(draft.findings):
        said = "\n".join((finding.claim, finding.subject.symbol, finding.subject.quote))
        if topic := named_topic(said, mission.forbidden_topics):
            yield GateFailure("forbidden_topics", "topic_forbidden", f"The mission leaves {topic!r} out.", index)


def _failures(gate: str, objections: Iterator[Objection]) -> Iterator[GateFailure]:
    for code, message in objections:
        yield GateFailure(gate, code, message)


ContractCheck = Callable[[RunRecord, MissionV1, Draft], Iterator[GateFailure]]
CONTRACT_GATES: Final[tuple[tuple[str, str, tuple[str, ...], ContractCheck], ...]] = (
    (
        "source_requirements",
        "Each required source gives what is asked of it, and what speaks against the answer is told.",
        ("source_not_whole", "source_not_searched", "evidence_shape_missing", "source_contradicted"),
        _check_source_requirements,
    ),
    (
        "objective_spec",
        "What is cited shows what the machine-readable objective names.",
        ("objective_not_shown", "objective_not_searched", "evidence_shape_missing", "required_value_missing"),
        _check_objective_spec,
    ),
    (
        "exploration_policy",
        "What must follow the required reading was done, and the report came as it should.",
        ("exploration_unmet", "contradiction_search_missing", "closure_not_by_model"),
        _check_exploration_policy,
    ),
    (
        "forbidden_topics",
        "No finding names a topic that the mission leaves out.",
        ("topic_forbidden",),
        _check_forbidden_topics,
    ),
)
"""Name, what it asks in one sentence, its reason codes, and the check."""
