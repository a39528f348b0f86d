"""What a contract asks of the answer, in the words that the model reads: questions, sources, limits.

Counterpart: `missions.prompt` puts these lines between the objective and the tools. Each says only what this mission
asks for, so that a plain mission stays short.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codex_oss.contracts.mission import AnswerObligation, MissionV1, ObjectiveSpec, SourceRequirement
from codex_oss.missions.completion import exploration_demands
from codex_oss.missions.outputs import custom_outputs
from codex_oss.missions.sources import required_sources, requirements_of, wanted_pattern, wants_search


def contract_lines(mission: MissionV1) -> list[str]:
    """The lines, most important first."""
    return list(_lines(mission))


def _lines(mission: MissionV1) -> Iterator[str]:
    if goal := str(mission.completion_contract.get("primary_goal", "")):
        yield f"WHAT MATTERS MOST: {goal}"
    if mission.objective_spec is not None:
        yield from _objective_lines(mission.objective_spec)
    for obligation in mission.answer_obligations:
        yield _question(obligation)
    if sources := required_sources(mission):
        yield "MUST BE READ BEFORE COMPLETE: " + ", ".join(sources)
    for _, source in requirements_of(mission):
        if told := _source(source):
            yield f"{source.path}: {told}"
    if outputs := custom_outputs(mission):
        yield "THE REPORT ALSO NEEDS THE KEYS: " + ", ".join(outputs)
    if mission.forbidden_topics:
        yield "DO NOT SEARCH FOR OR REPORT ON: " + ", ".join(mission.forbidden_topics)
    fewest, searches = exploration_demands(mission)
    if fewest or searches:
        what = "search (rtk_grep) for what would contradict the answer" if searches else "look further"
        yield f"BEFORE COMPLETE, after the required reading: {what} ({max(fewest, 1)} action(s) at least)"


def _objective_lines(spec: ObjectiveSpec) -> Iterator[str]:
    target = ", ".join(f"{key}={_plain(value)}" for key, value in sorted(spec.target.items()))
    yield f"KIND OF ANSWER: {spec.objective_type} {target}".rstrip()
    if spec.required_values:
        yield "VALUES TO FIND: " + ", ".join(spec.required_values)
    if spec.required_evidence_shapes:
        yield "CITE AT LEAST ONE: " + ", ".join(spec.required_evidence_shapes)
    for criterion in spec.completion_criteria:
        yield f"DONE WHEN: {criterion}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _question(obligation: AnswerObligation) -> str:
    need = "required" if obligation.required else "optional"
    line = f"QUESTION {obligation.id} ({need}; answer it in a finding with this obligation_id): {obligation.question}"
    if obligation.source_hints:
        line += f" | look at: {', '.join(obligation.source_hints)}"
    if obligation.evidence_needed:
        line += f" | proof: {', '.join(obligation.evidence_needed)}"
    return line


def _source(source: SourceRequirement) -> str:
    """What a required file must give beyond being read."""
    asks = []
    if source.evidence_kind != "source_read":
        asks.append(f"shows {source.evidence_kind}")
    if source.completeness_policy == "whole_file_required":
        asks.append("read all of it")
    if wants_search(source):
        asks.append(f"search it for {wanted_pattern(source)}" if wanted_pattern(source) else "search it")
    if source.required_shapes:
        asks.append(f"find {f' {source.shape_match_policy} '.join(source.required_shapes)}")
    return "; ".join(asks)
