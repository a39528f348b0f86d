"""What a mission did not look at, and what the runtime saw for each question: facts of the record, for the report.

Counterparts: `sufficiency_policy` of the contract asks for both, `missions.report` writes them down.
"""

from __future__ import annotations

from typing import Any, Final

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.evidence import Evidence

MAX_FILES: Final = 50


def uninspected_areas(evidence: Evidence, mission: MissionV1) -> list[dict[str, str]]:
    """Allowed places of which nothing was read, and files that were met and not read.

    Each `{"path", "seen"}`; seen is nothing, listed or searched.
    """
    areas = [
        {"path": place, "seen": _seen(evidence, place)}
        for place in (*mission.allowed_roots, *mission.allowed_paths)
        if not any(_lies_in(path, place) for path in evidence.extracts)
    ]
    known = {area["path"] for area in areas} | set(evidence.extracts)
    met = dict.fromkeys(match.path for run in evidence.commands for match in run.result.matches)
    return areas + [{"path": path, "seen": "searched"} for path in met if path not in known][:MAX_FILES]


def _seen(evidence: Evidence, place: str) -> str:
    for tool, word in (("rtk_grep", "searched"), ("rtk_ls", "listed")):
        for run in evidence.commands:
            where = str(run.arguments.get("path", "")) or "."
            if run.tool == tool and run.result.kind != "error" and (_lies_in(place, where) or _lies_in(where, place)):
                return word
    return "nothing"


def _lies_in(path: str, place: str) -> bool:
    folder = place.removeprefix("./").rstrip("/") or "."
    return folder == "." or path == folder or path.startswith(f"{folder}/")


def question_findings(evidence: Evidence, mission: MissionV1) -> list[dict[str, Any]]:
    """One entry for each question and each of its files of which something was shown; claims only that."""
    found = []
    for obligation in mission.answer_obligations:
        for source in obligation.source_requirements:
            for extract in evidence.extracts.get(source.path, [])[:1]:
                if extract.lines:
                    lines = f"lines {extract.start_line}-{extract.end_line} of {extract.total_lines}"
                    claim = f"For {obligation.id}, {extract.path}: {lines} were read."
                    found.append({"claim": claim, "ref": extract.ref, "path": extract.path, "id": obligation.id})
    return found
