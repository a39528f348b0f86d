"""The gates: a draft's claims, checked against what was shown.

Counterparts: `missions.report` parses the draft, `missions.claims` holds one finding against its lines,
`missions.decide` acts on failures, `missions.explain` has the sentence of each reason code.

Rules that hold here:

1. A gate judges structure against evidence: refs, paths, line numbers, symbols, quotes. No word of a sentence decides
   anything by its tone ("valid", "correct", "not found" mean nothing here).
2. A negative answer is as good as a positive one if it was really searched for.
3. Gates only object. Nothing here raises a status; the closing status is the lower of what was asked and what stands.
4. A finding is judged by itself: what stands beside it in the report neither helps nor hurts it.
5. A gate is total: any JSON that a model can send is judged, none raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from msgspec import Struct

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.arguments import normalise_arguments
from codex_oss.missions.cited import Cited, Passages
from codex_oss.missions.claim import MAX_STATED, Claim, FindingCheck
from codex_oss.missions.claims import CHECKS, MAX_OBJECTIONS
from codex_oss.missions.contract_gates import CONTRACT_GATES, ContractCheck
from codex_oss.missions.events import GateFailure
from codex_oss.missions.kinds import IDENTIFIER, said_to_be_executed
from codex_oss.missions.outputs import DRAFT_KEYS, custom_outputs
from codex_oss.missions.passage import Passage
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import Draft, Finding
from codex_oss.missions.sources import missing_sources
from codex_oss.missions.stated import read_sentence, stems_of

RULES_VERSION: Final = 2
"""Of the rules below; it stands in each closing, so that an audit can tell a false verdict from an older rule."""


@dataclass(frozen=True)
class Case:
    """A draft before its judge."""

    record: RunRecord
    mission: MissionV1
    draft: Draft
    passages: Passages

    @cached_property
    def claims(self) -> list[tuple[int, Claim]]:
        """Every finding that cites anything, with its index; each read once for all gates."""
        areas = (*self.mission.allowed_roots, *self.mission.allowed_paths)
        claims = []
        for index, finding in enumerate(self.draft.findings):
            resolved = map(self.passages.resolve, finding.evidence_refs)
            passages = tuple(passage for passage in resolved if isinstance(passage, Passage))
            if passages:
                claims.append((index, Claim(finding, Cited(passages), self.passages.all_shown, areas)))
        return claims


class Gate(Struct, frozen=True):
    """One gate. asks: what it demands, in one sentence; check: its objections to the whole draft."""

    name: str
    asks: str
    codes: tuple[str, ...]
    """Every reason code that it can give; `missions.explain` has a sentence for each."""
    check: Callable[[Case], Iterator[GateFailure]]


def judge_draft(record: RunRecord, draft: Draft) -> tuple[GateFailure, ...]:
    """Every objection to a draft, in the order of the gates; empty when it may stand as submitted."""
    mission = record.opened.mission if record.opened else None
    if mission is None:
        return (GateFailure("record", "mission_not_opened", "There is no opened mission."),)
    case = Case(record, mission, draft, Passages(record.evidence))
    return tuple(failure for gate in GATES for failure in gate.check(case))


# ------------------------------------------------------------------------------------------ of the whole draft


def _check_shape(case: Case) -> Iterator[GateFailure]:
    draft = case.draft
    if not draft.status:
        yield GateFailure("shape", "status_missing", "`status` must be COMPLETE, PARTIAL, ESCALATE or FAILED.")
    for name in custom_outputs(case.mission):
        if name not in draft.outputs and not (name in DRAFT_KEYS and name in draft.present):
            yield GateFailure("shape", "required_output_missing", f"The required output {name!r} is missing.")
    if draft.status == "COMPLETE" and draft.missing_fields:
        names = ", ".join(draft.missing_fields[:5])
        yield GateFailure("shape", "complete_with_missing_fields", f"COMPLETE, but missing_fields names {names}.")


def _check_identity(case: Case) -> Iterator[GateFailure]:
    if case.draft.mission_id and case.draft.mission_id != case.record.mission_id:
        message = f"This is not mission {case.draft.mission_id[:80]!r}; leave mission_id out, the runtime fills it in."
        yield GateFailure("identity", "mission_id_changed", message)


def _check_files(case: Case) -> Iterator[GateFailure]:
    known = case.record.evidence.extracts
    for claim in case.draft.files_inspected:
        shown = claim.path[:200] or "(no path)"
        if claim.path not in known:
            yield GateFailure("files_inspected", "file_not_read", f"{shown} was never read in this mission.")
        elif claim.complete and not _read_whole(case.record, claim.path):
            yield GateFailure("files_inspected", "file_not_read_whole", f"Only parts of {shown} were shown.")


def _read_whole(record: RunRecord, path: str) -> bool:
    seen = 0
    for extract in sorted(record.evidence.extracts[path], key=lambda extract: extract.start_line):
        if extract.start_line <= seen + 1:
            seen = max(seen, extract.end_line)
    return any(seen >= extract.total_lines for extract in record.evidence.extracts[path])


def _check_commands(case: Case) -> Iterator[GateFailure]:
    judged = case.record.judged
    ran = [(each.proposal.tool, each.proposal.arguments) for each in judged if each.result is not None]
    for claim in case.draft.commands_run:
        wanted, _ = normalise_arguments(claim.tool, claim.args)
        if not any(claim.tool == tool and wanted.items() <= arguments.items() for tool, arguments in ran):
            message = f"{claim.tool[:80] or '(no tool)'} was not run with these arguments."
            yield GateFailure("commands_run", "command_not_run", message)


def _check_sources(case: Case) -> Iterator[GateFailure]:
    if case.draft.status != "COMPLETE":
        return
    for path in missing_sources(case.record, case.mission):
        yield GateFailure("required_sources", "required_source_missing", f"{path} must be read before COMPLETE.")


def _check_substance(case: Case) -> Iterator[GateFailure]:
    draft, wanted = case.draft, case.mission.sufficiency_policy.min_main_claims
    if draft.status != "COMPLETE":
        return
    if not draft.findings:
        message = "COMPLETE needs at least one finding with evidence."
        yield GateFailure("substance", "complete_without_findings", message)
        return
    distinct = len({_gist(finding) for finding in draft.findings})
    if distinct < wanted:
        yield GateFailure("substance", "too_few_findings", f"{distinct} finding(s), the mission asks for {wanted}.")


def _gist(finding: Finding) -> object:
    """What is left of a claim without order, case and stops: the same words are the same claim."""
    return stems_of(finding.claim) or finding.claim.strip()


def _check_obligations(case: Case) -> Iterator[GateFailure]:
    draft, known = case.draft, {obligation.id: obligation for obligation in case.mission.answer_obligations}
    answered: dict[str, object] = {}
    for index, finding in enumerate(draft.findings):
        if finding.obligation_id and finding.obligation_id not in known:
            message = f"There is no obligation {finding.obligation_id[:80]!r}."
            yield GateFailure("obligations", "obligation_unknown", message, index)
        elif finding.obligation_id not in answered and _gist(finding) not in answered.values():
            answered[finding.obligation_id] = _gist(finding)
    required = [obligation for obligation in known.values() if obligation.required]
    if draft.status != "COMPLETE" or not required or not draft.findings:
        return  # without any finding `substance` objects
    if len(required) == 1 and set(answered) == {""}:
        return  # one question: every finding can only answer that one
    for obligation in required:
        if obligation.id not in answered:
            message = f"No finding of its own has obligation_id {obligation.id!r} ({obligation.question[:120]})."
            yield GateFailure("obligations", "obligation_unanswered", message)


def _check_remarks(case: Case) -> Iterator[GateFailure]:
    """Caveats and the like cite nothing: what they state as code or line must have been shown somewhere."""
    shown = case.passages.all_shown
    for text in case.draft.remarks:
        stated = read_sentence(text)
        for place in stated.places[:MAX_STATED]:
            if place.path and not shown.shows(place):
                message = f"{place.text[:200]} is stated outside the findings, and was never shown."
                yield GateFailure("remarks", "remark_not_shown", message)
        for code in stated.codes[:MAX_STATED]:
            if _is_of_shown_code(code, shown) and not shown.has_text(code) and not _was_searched(case, code):
                message = f"`{code[:120]}` is stated outside the findings, and was never shown."
                yield GateFailure("remarks", "remark_not_shown", message)
        if said := said_to_be_executed(text, shown):
            message = f"{said[:80]!r}: nothing was executed in this mission but its tools."
            yield GateFailure("remarks", "execution_not_on_record", message)


def _is_of_shown_code(code: str, shown: Cited) -> bool:
    """Whether it is more than a name, and about a name that was shown; a command that nobody ran is not."""
    names = IDENTIFIER.findall(code)
    return not code.isidentifier() and " " in code and any(shown.stands(name) for name in names)


def _was_searched(case: Case, code: str) -> bool:
    return any(code in str(run.arguments.get("pattern", "")) for run in case.record.evidence.commands)


# ------------------------------------------------------------------------------------------ of each finding


def _check_evidence(case: Case) -> Iterator[GateFailure]:
    wanted = max(1, case.mission.sufficiency_policy.min_evidence_refs_per_claim)
    for index, finding in enumerate(case.draft.findings):
        if not finding.claim.strip():
            yield GateFailure("evidence", "claim_empty", "A finding has no claim.", index)
        if len(finding.evidence_refs) < wanted:
            message = f"Finding {index + 1} needs {wanted} evidence ref(s)."
            yield GateFailure("evidence", "evidence_missing", message, index)
        for ref in finding.evidence_refs:
            resolved = case.passages.resolve(ref)
            if not isinstance(resolved, Passage):
                yield GateFailure("evidence", resolved.code, resolved.message, index)


def _of_findings(name: str, asks: str, codes: tuple[str, ...], check: FindingCheck) -> Gate:
    """A gate that asks about each finding that cites anything."""

    def check_all(case: Case) -> Iterator[GateFailure]:
        for index, claim in case.claims:
            for code, message in islice(check(claim), MAX_OBJECTIONS):
                yield GateFailure(name, code, message, index)

    return Gate(name, asks, codes, check_all)


def _of_contract(name: str, asks: str, codes: tuple[str, ...], check: ContractCheck) -> Gate:
    """A gate that the contract opens: quiet where it asks for nothing."""
    return Gate(name, asks, codes, lambda case: check(case.record, case.mission, case.draft))


GATES: tuple[Gate, ...] = (
    Gate(
        "shape",
        "The report has the shape and the outputs that the mission asks for.",
        ("status_missing", "required_output_missing", "complete_with_missing_fields"),
        _check_shape,
    ),
    Gate("identity", "The report is of this mission.", ("mission_id_changed",), _check_identity),
    Gate(
        "files_inspected",
        "Every file that is listed was read, wholly if it says so.",
        ("file_not_read", "file_not_read_whole"),
        _check_files,
    ),
    Gate("commands_run", "Every command that is listed was run.", ("command_not_run",), _check_commands),
    Gate("required_sources", "What must be read was read.", ("required_source_missing",), _check_sources),
    Gate(
        "substance",
        "A complete report finds something, and as many different things as were asked for.",
        ("complete_without_findings", "too_few_findings"),
        _check_substance,
    ),
    Gate(
        "obligations",
        "Each question has a finding of its own.",
        ("obligation_unknown", "obligation_unanswered"),
        _check_obligations,
    ),
    Gate(
        "remarks",
        "Lines and code that are stated outside the findings were shown.",
        ("remark_not_shown", "execution_not_on_record"),
        _check_remarks,
    ),
    Gate(
        "evidence",
        "Each finding says something and cites refs that were offered.",
        (
            "claim_empty",
            "evidence_missing",
            "evidence_ref_malformed",
            "evidence_file_not_read",
            "evidence_not_shown",
            "evidence_command_not_run",
            "evidence_command_failed",
            "evidence_no_zero_match",
        ),
        _check_evidence,
    ),
    *(_of_findings(*row) for row in CHECKS),
    *(_of_contract(*row) for row in CONTRACT_GATES),
)
"""Every gate, in the order in which they are asked."""
