"""Which claims stand: those of one mission's report, and those that this program makes about itself.

Counterparts: `missions.gates` judges a report again, `cli.claims` prints. Everything here is a function of folded logs;
no report file, no projection and no earlier verdict is read.

| claim of the program | its basis is a mission that |
| --- | --- |
| `runtime_backed_investigation` | ended COMPLETE, and every finding stands when it is judged again |
| `open_investigation_runtime` | the same, of an open investigation whose required questions are answered |
| `bounded_implementation` and the two after it | changed files; none does yet |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from codex_oss.missions.gates import judge_draft
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import parse_draft

Standing = Literal["SUPPORTED", "UNCONFIRMED"]

PROOF_PREFIX: Final = "proof_"
"""Missions of this name were run to show something, the others for their own sake."""
NO_CHANGES: Final = "No log can show it: this version runs no mission that changes files (A4 to A6)."
CLAIMS: Final[dict[str, str]] = {
    "runtime_backed_investigation": "No mission of this project ended COMPLETE with findings that all stand.",
    "open_investigation_runtime": "No open investigation of this project ended COMPLETE with its questions answered.",
    "bounded_implementation": NO_CHANGES,
    "workspace_apply_evidence": NO_CHANGES,
    "critical_certification_evidence": NO_CHANGES,
}
"""Each claim of the program, and what is said when it has no basis."""


class MissionClaim(Struct, frozen=True):
    """One finding of a report, judged again."""

    claim: str
    status: Standing
    evidence_refs: tuple[str, ...]
    codes: tuple[str, ...] = ()
    """Why it does not stand."""


def claims_of(record: RunRecord) -> list[MissionClaim]:
    """The findings that the model reported, each with its standing. Empty when it reported none."""
    if record.draft is None:
        return []
    draft = parse_draft(record.draft.draft)
    failures = judge_draft(record, draft)
    claims = []
    for number, finding in enumerate(draft.findings):
        codes = dict.fromkeys(failure.code for failure in failures if failure.finding == number)
        standing: Standing = "UNCONFIRMED" if codes or record.closed is None else "SUPPORTED"
        claims.append(MissionClaim(finding.claim, standing, finding.evidence_refs, tuple(codes)))
    return claims


def is_complete(record: RunRecord) -> bool:
    """Whether a mission ended COMPLETE and deserved to: its report passes every gate when it is judged again."""
    if record.closed is None or record.closed.status != "COMPLETE" or record.draft is None:
        return False
    draft = parse_draft(record.draft.draft)
    return draft.status == "COMPLETE" and bool(draft.findings) and not judge_draft(record, draft)


def status_of_mission(record: RunRecord) -> dict[str, Any]:
    """The claims of one mission. `ok`: it is COMPLETE, and each of them stands."""
    claims = claims_of(record)
    return {
        "mission_id": record.mission_id,
        "run_id": record.run_id,
        "status": record.closed.status if record.closed else "OPEN",
        "ok": is_complete(record),
        "claims": [
            {
                "claim": claim.claim,
                "status": claim.status,
                "evidence_refs": list(claim.evidence_refs),
                "codes": list(claim.codes),
            }
            for claim in claims
        ],
    }


def status_of_program(records: Sequence[RunRecord]) -> dict[str, Any]:
    """What the missions of a project bear out about the program. `ok`: every claim of it is supported."""
    complete = [record for record in records if is_complete(record)]
    basis: dict[str, list[str]] = {name: [] for name in CLAIMS}
    basis["runtime_backed_investigation"] = [record.mission_id for record in complete]
    basis["open_investigation_runtime"] = [record.mission_id for record in complete if _is_open_style(record)]
    claims: list[dict[str, Any]] = [
        {
            "claim": name,
            "status": "SUPPORTED" if basis[name] else "UNCONFIRMED",
            "basis": basis[name],
            "missing": "" if basis[name] else missing,
        }
        for name, missing in CLAIMS.items()
    ]
    return {"ok": all(basis.values()), "missions": len(records), "claims": claims}


def _is_open_style(record: RunRecord) -> bool:
    """An open investigation with questions of its own; the gates have seen to it that they are answered."""
    mission = record.opened.mission if record.opened else None
    return mission is not None and mission.objective_style == "open_investigation" and bool(mission.answer_obligations)
