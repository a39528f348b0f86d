"""The gates: a draft's claims, checked against what was shown.

Counterparts: `missions.report` parses the draft, `missions.evidence` resolves refs, `missions.decide` acts on failures.

Rules that hold here:

1. A gate judges structure against evidence: refs, paths, line numbers, symbols, quotes. No word of a sentence decides
   anything by its tone ("valid", "correct", "not found" mean nothing here).
2. What `subject` states, and every `path:LINE`, "line N", back-ticked code and name that can only be code
   (`snake_case`, `lowerCamel`, `call()`) inside the claim, is checked against the cited lines.
3. A claim must speak of what it cites: at least one word, name or number of it stands in the cited lines, their paths
   or the pattern searched for. Words are compared by their beginnings, so that "returns" meets `return`.
4. A negative answer is as good as a positive one if it was really searched for.
5. Gates only object. Nothing here raises a status; the closing status is the lower of what was asked and what stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.actions import normalise_arguments
from codex_oss.missions.events import GateFailure
from codex_oss.missions.evidence import BadRef, Citation, ShownLine, resolve_ref
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import Draft, Finding, Subject

_BACKTICKED: Final = re.compile(r"`([^`\n]{1,400})`")
_PATH_LINE: Final = re.compile(
    r"(?<![\w/.-])(?P<path>[\w.@+-]*[\w/.@+-]*[\w@+-]\.[A-Za-z0-9_]{1,12}|[\w.@+-]+(?:/[\w.@+-]+)+):(?P<line>[0-9]{1,7})"
    r"(?:-(?P<end>[0-9]{1,7}))?"
)
_LINE_WORD: Final = re.compile(
    r"\blines?\s+(?P<line>[0-9]{1,7})(?:\s*(?:-|–|to|through)\s*(?P<end>[0-9]{1,7}))?", re.IGNORECASE
)

_NAME: Final = re.compile(
    r"(?<![\w.])(?:(?P<call>[A-Za-z_]\w*)\(\)|(?P<snake>_*[A-Za-z][A-Za-z0-9]*_\w+)|(?P<camel>[a-z]{2,}[A-Z]\w*))(?!\w)"
)
"""Names that are code whatever the sentence around them; a plain word is not judged."""

_WORD: Final = re.compile(r"[0-9]+|[A-Z]{2,}(?![a-z])|[^\W\d_]{4,}|(?<=_)[^\W\d_]{2,}|[^\W\d_]{2,}(?=_)")

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
    elif len(draft.findings) < mission.sufficiency_policy.min_main_claims:
        wanted = mission.sufficiency_policy.min_main_claims
        yield GateFailure(
            "substance", "too_few_findings", f"{len(draft.findings)} finding(s), the mission asks for {wanted}."
        )


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
            for code, message in _check_claim(finding, citations):
                yield GateFailure("claims", code, message, index)


Objection = tuple[str, str]


def _check_claim(finding: Finding, citations: list[Citation]) -> Iterator[Objection]:
    lines = [line for citation in citations for line in citation.lines]
    if finding.kind == "absence" and not any(citation.zero_match for citation in citations):
        yield "absence_not_searched", "A claim of absence must cite a search that found nothing (#zero_match)."
    if finding.kind not in ("absence", "other") and not lines:
        yield "claim_without_lines", f"A claim of kind {finding.kind} must cite lines, not an empty search."
    if not _speaks_of(finding, citations, lines):
        yield "claim_not_grounded", "The claim shares no word, name or number with what it cites."
    yield from _check_subject(finding.subject, citations, lines)
    yield from _check_stated_lines(finding.claim, citations, lines)
    for code in _BACKTICKED.findall(finding.claim):
        if not _is_borne_out(code.strip(), citations, lines):
            yield "code_not_in_evidence", f"`{code[:120]}` does not stand in the cited lines."
    for name in _names_in(_BACKTICKED.sub(" ", finding.claim)):
        if not _is_borne_out(name, citations, lines) and not any(
            name in path for path in _cited_paths(citations, lines)
        ):
            yield "symbol_not_in_evidence", f"{name[:120]!r} is named, but does not stand in the cited lines."


def _speaks_of(finding: Finding, citations: list[Citation], lines: list[ShownLine]) -> bool:
    subject = finding.subject
    if subject.line or _LINE_WORD.search(finding.claim) or _PATH_LINE.search(finding.claim):
        return True  # it names a line, which is judged by itself
    cited = [line.text for line in lines]
    cited += _cited_paths(citations, lines)
    cited += [citation.pattern for citation in citations]
    stated = _stems(" ".join((finding.claim, subject.path, subject.symbol, subject.quote)))
    return not stated.isdisjoint(_stems("\n".join(cited)))


def _stems(text: str) -> set[str]:
    """Numbers, capitals of two letters and more, and the first four letters of longer words (names are split)."""
    words = _WORD.findall(text)
    return {word[:4].casefold() if word[0].isalpha() else word for word in words}


def _check_subject(subject: Subject, citations: list[Citation], lines: list[ShownLine]) -> Iterator[Objection]:
    if subject.path and subject.path not in _cited_paths(citations, lines):
        yield "path_not_cited", f"{subject.path[:200]} is stated, but no cited evidence comes from it."
    scoped = [line for line in lines if not subject.path or line.path == subject.path]
    if subject.line or subject.end_line:
        first = subject.line or subject.end_line
        last = subject.end_line or subject.line
        shown = {line.number for line in scoped}
        if first < 1 or last < first or first not in shown or last not in shown:
            yield (
                "line_not_shown",
                f"Line {first if first == last else f'{first}-{last}'} is not among the cited lines.",
            )
        scoped = [line for line in scoped if first <= line.number <= last]
    if subject.symbol and not _symbol_stands(subject.symbol, citations, scoped):
        yield "symbol_not_in_evidence", f"{subject.symbol[:120]!r} does not stand in the cited lines."
    if subject.quote and subject.quote.strip() not in "\n".join(line.text for line in scoped):
        yield "quote_not_in_evidence", f"The quote {subject.quote[:80]!r} does not stand in the cited lines."


def _symbol_stands(symbol: str, citations: list[Citation], lines: list[ShownLine]) -> bool:
    word = re.compile(rf"(?<!\w){re.escape(symbol)}(?!\w)")
    if any(word.search(line.text) for line in lines):
        return True
    # An absence names what was searched for: its pattern must be about that symbol.
    return not lines and any(citation.zero_match and symbol in citation.pattern for citation in citations)


def _check_stated_lines(claim: str, citations: list[Citation], lines: list[ShownLine]) -> Iterator[Objection]:
    rest = claim
    for found in _PATH_LINE.finditer(claim):
        rest = rest.replace(found[0], " ")
        path, first = found["path"], int(found["line"])
        last = int(found["end"] or first)
        shown = {line.number for line in lines if _same_file(path, line.path)}
        if not {first, last} <= shown:
            yield "line_not_shown", f"{found[0]} is stated, but that line is not among the cited ones."
    for found in _LINE_WORD.finditer(rest):
        first = int(found["line"])
        last = int(found["end"] or first)
        if not {first, last} <= {line.number for line in lines if line.number}:
            yield "line_not_shown", f"{found[0]!r} is stated, but that line is not among the cited ones."


def _names_in(text: str) -> list[str]:
    """Names of code in a sentence, each once, in order."""
    return list(dict.fromkeys(found["call"] or found["snake"] or found["camel"] for found in _NAME.finditer(text)))


def _is_borne_out(code: str, citations: list[Citation], lines: list[ShownLine]) -> bool:
    if not code or any(code in line.text for line in lines):
        return True
    if _PATH_LINE.fullmatch(code):
        return True  # judged as path:LINE already
    if any(_same_file(code.rstrip("/"), path) for path in _cited_paths(citations, lines)):
        return True
    return any(citation.zero_match and (code in citation.pattern or citation.pattern in code) for citation in citations)


def _cited_paths(citations: list[Citation], lines: list[ShownLine]) -> set[str]:
    return {line.path for line in lines if line.path} | {citation.path for citation in citations if citation.path}


def _same_file(stated: str, cited: str) -> bool:
    """A path, or the tail of one (`client.py` for `src/client.py`)."""
    return bool(stated) and (stated == cited or cited.endswith("/" + stated))


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
