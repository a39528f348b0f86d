"""The gates: a draft's claims, checked against what was shown.

Counterparts: `missions.report` parses the draft, `missions.evidence` resolves refs, `missions.decide` acts on failures.

Rules that hold here:

1. A gate judges structure against evidence: refs, paths, line numbers, symbols, quotes. No word of a sentence decides
   anything by its tone ("valid", "correct", "not found" mean nothing here).
2. What a finding states about code is checked against the lines it cites, see `missions.claims`.
3. A negative answer is as good as a positive one if it was really searched for.
4. Gates only object. Nothing here raises a status; the closing status is the lower of what was asked and what stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.arguments import normalise_arguments
from codex_oss.missions.claims import check_claim, cited_by
from codex_oss.missions.events import GateFailure
from codex_oss.missions.evidence import BadRef, Citation, resolve_ref
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import Draft

_KNOWN_OUTPUTS: Final = frozenset(
    {
        "files_inspected",
        "commands_run",
        "findings",
        "uncertainties",
        "confidence",
        "caveats",
        "escalation_recommendation",
    }
)
"""Outputs that the runtime fills in itself, or that are honestly empty when the model left them out."""


def judge_draft(record: RunRecord, draft: Draft) -> tuple[GateFailure, ...]:
    """Every objection to a draft, in the order of the gates; empty when it may stand as submitted."""
    mission = record.opened.mission if record.opened else None
    if mission is None:
        return (GateFailure("record", "mission_not_opened", "There is no opened mission."),)
    failures: list[GateFailure] = []
    for gate in _GATES:
        failures.extend(gate(record, mission, draft))
    return tuple(failures)


def required_sources(mission: MissionV1) -> tuple[str, ...]:
    """Paths that must be read before a COMPLETE: `must_inspect` and the required sources of obligations."""
    paths = list(mission.must_inspect)
    for obligation in mission.answer_obligations:
        for source in obligation.source_requirements:
            if obligation.required and source.required and source.evidence_plane == "file_content":
                paths.append(source.path)
    return tuple(dict.fromkeys(paths))


def missing_sources(record: RunRecord, mission: MissionV1) -> tuple[str, ...]:
    """Required sources of which nothing was shown."""
    return tuple(path for path in required_sources(mission) if path not in record.evidence.extracts)


def _check_shape(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    if not draft.status:
        yield GateFailure("shape", "status_missing", "`status` must be COMPLETE, PARTIAL, ESCALATE or FAILED.")
    for name in mission.required_outputs:
        if name not in _KNOWN_OUTPUTS and name not in draft.present:
            yield GateFailure("shape", "required_output_missing", f"The required output {name!r} is missing.")
    if draft.status == "COMPLETE" and draft.missing_fields:
        names = ", ".join(draft.missing_fields[:5])
        yield GateFailure("shape", "complete_with_missing_fields", f"COMPLETE, but missing_fields names {names}.")


def _check_files(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    for claim in draft.files_inspected:
        if claim.path not in record.evidence.extracts:
            shown = claim.path[:200] or "(no path)"
            yield GateFailure("files_inspected", "file_not_read", f"{shown} was never read in this mission.")


def _check_commands(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    ran = [(judged.proposal.tool, judged.proposal.arguments) for judged in record.judged if judged.result is not None]
    for claim in draft.commands_run:
        wanted, _ = normalise_arguments(claim.tool, claim.args)
        if not any(claim.tool == tool and wanted.items() <= arguments.items() for tool, arguments in ran):
            yield GateFailure(
                "commands_run", "command_not_run", f"{claim.tool[:80] or '(no tool)'} was not run with these arguments."
            )


def _check_sources(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    if draft.status != "COMPLETE":
        return
    for path in missing_sources(record, mission):
        yield GateFailure("required_sources", "required_source_missing", f"{path} must be read before COMPLETE.")


def _check_substance(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    if draft.status != "COMPLETE":
        return
    if not draft.findings:
        yield GateFailure(
            "substance", "complete_without_findings", "COMPLETE needs at least one finding with evidence."
        )
        return
    distinct = len({" ".join(finding.claim.casefold().split()) for finding in draft.findings})
    wanted = mission.sufficiency_policy.min_main_claims
    if distinct < wanted:
        yield GateFailure("substance", "too_few_findings", f"{distinct} finding(s), the mission asks for {wanted}.")


def _check_obligations(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    known = {obligation.id for obligation in mission.answer_obligations}
    for index, finding in enumerate(draft.findings):
        if finding.obligation_id and finding.obligation_id not in known:
            yield GateFailure(
                "obligations", "obligation_unknown", f"There is no obligation {finding.obligation_id!r}.", index
            )
    required = [obligation for obligation in mission.answer_obligations if obligation.required]
    if draft.status != "COMPLETE" or not required:
        return
    answered = {finding.obligation_id for finding in draft.findings}
    if len(required) == 1 and draft.findings and answered == {""}:
        return  # one question: every finding can only answer that one
    for obligation in required:
        if obligation.id not in answered:
            message = f"No finding has obligation_id {obligation.id!r} ({obligation.question[:120]})."
            yield GateFailure("obligations", "obligation_unanswered", message)


def _check_findings(record: RunRecord, mission: MissionV1, draft: Draft) -> Iterator[GateFailure]:
    wanted = max(1, mission.sufficiency_policy.min_evidence_refs_per_claim)
    areas = (*mission.allowed_roots, *mission.allowed_paths)
    for index, finding in enumerate(draft.findings):
        if not finding.claim.strip():
            yield GateFailure("claims", "claim_empty", "A finding has no claim.", index)
        if len(finding.evidence_refs) < wanted:
            yield GateFailure(
                "evidence_refs", "evidence_missing", f"Finding {index + 1} needs {wanted} evidence ref(s).", index
            )
        citations: list[Citation] = []
        for ref in finding.evidence_refs:
            resolved = resolve_ref(record.evidence, ref)
            if isinstance(resolved, BadRef):
                yield GateFailure("evidence_refs", resolved.code, resolved.message, index)
            else:
                citations.append(resolved)
        if citations:
            for code, message in check_claim(finding, cited_by(citations), areas):
                yield GateFailure("claims", code, message, index)


Gate = Callable[[RunRecord, MissionV1, Draft], Iterator[GateFailure]]
_GATES: Final[tuple[Gate, ...]] = (
    _check_shape,
    _check_files,
    _check_commands,
    _check_sources,
    _check_substance,
    _check_obligations,
    _check_findings,
)
GATES: Final = tuple(gate.__name__.removeprefix("_check_") for gate in _GATES)
"""Names of the gates in the order in which they are asked."""
