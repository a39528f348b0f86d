"""The sources that a mission requires: which they are, and whether enough of each was seen.

Counterparts: `contracts.policy_fields` has the fields of a source, `missions.agenda` lets the runtime read what is
missing, `missions.contract_gates` asks here before a COMPLETE.

Rules that hold here:

1. Only what was shown counts. A file is whole when its shown lines cover it, in one extract or in several.
2. A search counts when it covers the file and was not cut off before it met anything.
3. A source that speaks against the answer does not stop a COMPLETE that says so: a finding of kind contradiction which
   cites those lines is an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from codex_oss.contracts.evidence_shapes import EVIDENCE_SHAPES, SEARCH_SHAPES
from codex_oss.contracts.mission import AnswerObligation, MissionV1, SourceRequirement
from codex_oss.missions.evidence import BadRef, Citation, CommandRun, Evidence, ShownLine, proves_absence, resolve_ref
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import Draft, Finding
from codex_oss.missions.shapes import shows
from codex_oss.policy.globs import glob_matches
from codex_oss.policy.scope import normalise_path

Objection = tuple[str, str]
"""Code and sentence."""

_SEARCHED: Final = ("scope_search_required", "negative_proof_required")


def required_sources(mission: MissionV1) -> tuple[str, ...]:
    """Paths that must be read before a COMPLETE: `must_inspect` and the required sources of obligations."""
    paths = list(mission.must_inspect)
    paths += [source.path for _, source in requirements_of(mission) if source.evidence_plane == "file_content"]
    return tuple(dict.fromkeys(paths))


def requirements_of(mission: MissionV1) -> Iterator[tuple[AnswerObligation, SourceRequirement]]:
    """The sources without which a required question is not answered."""
    for obligation in mission.answer_obligations:
        for source in obligation.source_requirements:
            if obligation.required and source.required:
                yield obligation, source


def missing_sources(record: RunRecord, mission: MissionV1) -> tuple[str, ...]:
    """Required files of which nothing was shown."""
    return tuple(path for path in required_sources(mission) if path not in record.evidence.extracts)


def open_sources(record: RunRecord, mission: MissionV1) -> tuple[str, ...]:
    """Required sources that were not looked at as they must be: unread, not whole, or not searched."""
    missing = dict.fromkeys(missing_sources(record, mission))
    for _, source in requirements_of(mission):
        whole = source.completeness_policy != "whole_file_required" or is_whole(record.evidence, source.path)
        searched = searches_over(record.evidence, source.path, wanted_pattern(source)) or not wants_search(source)
        if not (whole and searched):
            missing[source.path] = None
    return tuple(missing)


def wanted_pattern(source: SourceRequirement) -> str:
    """What must have been searched for in a source; empty for anything."""
    return source.pattern or str((source.command_requirement or {}).get("pattern", ""))


def wants_search(source: SourceRequirement) -> bool:
    """Whether reading the source is not enough."""
    asked = source.evidence_plane == "command_result" or wanted_pattern(source) != ""
    return asked or source.completeness_policy in _SEARCHED


def searches_over(evidence: Evidence, path: str, pattern: str = "") -> list[CommandRun]:
    """The searches that covered a file and can be relied on. pattern: searched for exactly this; empty for any."""
    return [
        run
        for run in evidence.commands
        if run.tool == "rtk_grep"
        and run.result.kind == "matches"
        and (not pattern or run.arguments.get("pattern") == pattern)
        and (run.result.match_count > 0 or proves_absence(run))
        and covers(str(run.arguments.get("path", "")), path)
        and _selects(str(run.arguments.get("include_glob", "")), path)
    ]


def covers(searched: str, path: str) -> bool:
    """Whether a search of one place looks at another."""
    folder, wanted = normalise_path(searched or ".") or searched, normalise_path(path) or path
    return folder == "." or wanted == folder or wanted.startswith(f"{folder}/")


def _selects(glob: str, path: str) -> bool:
    return not glob or glob_matches(path, glob)


def citations_of(evidence: Evidence, finding: Finding) -> list[Citation]:
    """What the refs of a finding resolve to; those that do not resolve are the gates' business."""
    found = (resolve_ref(evidence, ref) for ref in finding.evidence_refs)
    return [citation for citation in found if not isinstance(citation, BadRef)]


def shown_of(evidence: Evidence, path: str) -> list[ShownLine]:
    """Every line of a file that was shown, by reading or by searching."""
    lines = [
        ShownLine(path, extract.start_line + offset, text)
        for extract in evidence.extracts.get(path, [])
        for offset, text in enumerate(extract.lines)
    ]
    matches = (match for run in evidence.commands for match in run.result.matches if match.path == path)
    return [*lines, *(ShownLine(path, match.line, match.text) for match in matches)]


def check_source(record: RunRecord, source: SourceRequirement, draft: Draft) -> Iterator[Objection]:
    """What is missing of one required source, and what in it speaks against the answer."""
    evidence, path = record.evidence, source.path
    if source.evidence_plane == "file_content" and path not in evidence.extracts:
        return  # said once, for all sources, by the gate of required sources
    if source.completeness_policy == "whole_file_required" and not is_whole(evidence, path):
        yield "source_not_whole", f"All lines of {path} must have been read, and some were not shown."
    searches = searches_over(evidence, path, wanted_pattern(source))
    if wants_search(source) and not searches:
        what = f"for {wanted_pattern(source)!r} " if wanted_pattern(source) else ""
        yield "source_not_searched", f"A search {what}over {path} is required, and none was made."
    if missing := _missing_shapes(evidence, source, searches):
        yield "evidence_shape_missing", f"Nothing shown of {path} is a {' and a '.join(missing)}."
    against = _against(evidence, source, searches)
    if against and not _is_told(record, draft, against):
        told = against[0].text.strip()[:120]
        yield (
            "source_contradicted",
            f"{path}:{against[0].number} speaks against the answer, and no finding says so: {told}",
        )


def is_whole(evidence: Evidence, path: str) -> bool:
    """Whether the extracts of a file cover it."""
    extracts = evidence.extracts.get(path, [])
    if any(extract.complete for extract in extracts):
        return True
    total = max((extract.total_lines for extract in extracts), default=0)
    seen = {extract.start_line + offset for extract in extracts for offset in range(len(extract.lines))}
    same = len({extract.file_sha256 for extract in extracts}) == 1
    return same and total > 0 and seen.issuperset(range(1, total + 1))


def _missing_shapes(evidence: Evidence, source: SourceRequirement, searches: list[CommandRun]) -> list[str]:
    kind = source.evidence_kind
    implied = (kind,) if kind in EVIDENCE_SHAPES and source.completeness_policy == "shape_sufficient" else ()
    wanted = source.required_shapes or implied
    lines = shown_of(evidence, source.path)
    missing = [shape for shape in wanted if not _has(shape, lines, searches)]
    return [] if source.shape_match_policy == "any" and len(missing) < len(wanted) else missing


def _has(shape: str, lines: Iterable[ShownLine], searches: list[CommandRun]) -> bool:
    if shape in SEARCH_SHAPES:
        return any(proves_absence(run) for run in searches)
    return any(shows(shape, line.text) for line in lines)


def _against(evidence: Evidence, source: SourceRequirement, searches: list[CommandRun]) -> list[ShownLine]:
    """Shown lines that contradict: those with a marker, and matches where there should have been none."""
    markers = source.contradiction_markers
    lines = [line for line in shown_of(evidence, source.path) if any(marker in line.text for marker in markers)]
    if source.completeness_policy == "negative_proof_required" and not any(map(proves_absence, searches)):
        lines += [ShownLine(m.path, m.line, m.text) for run in searches for m in run.result.matches]
    return lines


def _is_told(record: RunRecord, draft: Draft, against: list[ShownLine]) -> bool:
    places = {(line.path, line.number) for line in against}
    return any(
        (line.path, line.number) in places
        for finding in draft.findings
        if finding.kind == "contradiction"
        for citation in citations_of(record.evidence, finding)
        for line in citation.lines
    )
