"""What a machine-readable objective asks of the evidence.

Counterparts: `contracts.objective_fields` has the types and their targets, `missions.contract_gates` asks here before a
COMPLETE, `missions.fast_path` answers the simplest ones without a model.

Rules that hold here:

1. Judged are the lines that findings cite, never the sentences around them.
2. That something is not there answers any objective, when a search that would have met it found nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from codex_oss.contracts.evidence_shapes import EVIDENCE_SHAPES
from codex_oss.contracts.mission import AnswerObligation, MissionV1, ObjectiveSpec
from codex_oss.missions.absence import speaks_for
from codex_oss.missions.evidence import Citation
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import Draft, Finding
from codex_oss.missions.shapes import cited_shape, described, names, shows
from codex_oss.missions.sources import Objection, citations_of

DEFINING: Final = ("function_definition", "class_definition", "mapping_assignment")
SETTING: Final = ("dictionary_entry", "mapping_assignment", "config_value")
SHAPES_OF_TYPE: Final[dict[str, tuple[str, ...]]] = {
    "function_location": DEFINING,
    "mapping_lookup": SETTING,
    "config_value_extraction": SETTING,
}
"""Objective type to shapes of which one must be cited, with the target's name."""

Evidenced = list[tuple[Finding, list[Citation]]]


def check_objective(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[Objection]:
    """What the findings of a COMPLETE do not show of the objective, and of the shapes that questions ask for."""
    if mission.objective_spec is None and not mission.answer_obligations:
        return
    evidenced = [(finding, citations_of(record.evidence, finding)) for finding in draft.findings]
    for obligation in mission.answer_obligations:
        if obligation.required:
            yield from _check_needed(obligation, mission, evidenced)
    spec = mission.objective_spec
    if spec is None:
        return
    yield from _check_type(spec, evidenced)
    yield from _check_values(spec, evidenced)
    cited = [citation for _, citations in evidenced for citation in citations]
    for shape in spec.required_evidence_shapes:
        if not cited_shape(shape, cited):
            yield "evidence_shape_missing", f"No finding cites {described(shape)}."


def target_names(spec: ObjectiveSpec) -> tuple[str, ...]:
    """The names that an objective looks for; any of them will do."""
    return tuple(str(spec.target[key]) for key in ("symbol", "key") if spec.target.get(key))


def shows_target(spec: ObjectiveSpec, text: str) -> bool:
    """Whether one line shows what the objective's type asks for, by the target's name."""
    shapes = SHAPES_OF_TYPE.get(spec.objective_type, ())
    return any(shows(shape, text, name) for shape in shapes for name in target_names(spec))


def _check_needed(obligation: AnswerObligation, mission: MissionV1, evidenced: Evidenced) -> Iterator[Objection]:
    """The shapes among `evidence_needed`; a report with one question needs no ids."""
    required = [one for one in mission.answer_obligations if one.required]
    alone = len(required) == 1
    answers = [
        citation
        for finding, citations in evidenced
        if finding.obligation_id == obligation.id or (alone and not finding.obligation_id)
        for citation in citations
    ]
    for shape in obligation.evidence_needed:
        if shape in EVIDENCE_SHAPES and not cited_shape(shape, answers):
            yield "evidence_shape_missing", f"{obligation.id}: no finding cites {described(shape)}."


def _check_type(spec: ObjectiveSpec, evidenced: Evidenced) -> Iterator[Objection]:
    pattern = str(spec.target.get("pattern", ""))
    if spec.objective_type == "zero_match_evidence":
        if not any(citation.pattern == pattern for _, citations in evidenced for citation in citations):
            yield "objective_not_searched", f"A finding must cite a search for exactly {pattern!r}."
        return
    wanted = target_names(spec)
    if any(_is_absent(finding, citations, (*wanted, pattern)) for finding, citations in evidenced):
        return
    lines = [line.text for _, citations in evidenced for citation in citations for line in citation.lines]
    if spec.objective_type in SHAPES_OF_TYPE:
        if not any(shows_target(spec, text) for text in lines):
            yield "objective_not_shown", f"No finding cites a line that defines or sets {_either(wanted)}."
        return
    if spec.objective_type == "test_coverage_location" and not any(
        shows(shape, text) for shape in ("test_definition", "test_assertion") for text in lines
    ):
        yield "objective_not_shown", "No finding cites a line of a test."
    if wanted and not any(_uses(spec, text, name) for text in lines for name in wanted):
        yield "objective_not_shown", f"No finding cites a line that {_doing(spec)} {_either(wanted)}."
    searched = any(citation.pattern == pattern for _, citations in evidenced for citation in citations)
    if pattern and not searched and not any(pattern in text for text in lines):
        yield "objective_not_shown", f"No finding cites a search for {pattern!r}, or a line with it."


def _uses(spec: ObjectiveSpec, text: str, name: str) -> bool:
    defines = spec.objective_type == "usage_location" and any(
        shows(shape, text, name) for shape in ("function_definition", "class_definition")
    )
    return names(text, name) and not defines


def _doing(spec: ObjectiveSpec) -> str:
    return "uses" if spec.objective_type == "usage_location" else "names"


def _either(wanted: tuple[str, ...]) -> str:
    return " or ".join(wanted)


def _is_absent(finding: Finding, citations: list[Citation], wanted: tuple[Any, ...]) -> bool:
    return finding.kind == "absence" and any(
        speaks_for(citation, name, finding.claim) or (name and citation.zero_match and citation.pattern == name)
        for citation in citations
        for name in wanted
    )


def _check_values(spec: ObjectiveSpec, evidenced: Evidenced) -> Iterator[Objection]:
    for value in spec.required_values:
        told = (
            (f"{finding.claim}\n{finding.subject.quote}", "\n".join(line.text for c in citations for line in c.lines))
            for finding, citations in evidenced
        )
        if not any(_holds(said, value) and _holds(cited, value) for said, cited in told):
            yield "required_value_missing", f"No finding says {value!r} and cites a line with it."


def _holds(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value.casefold())}(?!\w)", text.casefold()) is not None
