"""The end of a mission, worded as one event.

Counterparts: `missions.decide` says when, this file says with which status; `missions.report` renders what stands.

Rules that hold here:

1. A status only goes down: the lower of what the model asked for and what the gates leave.
2. Without a draft that stands, evidence makes it PARTIAL and nothing makes it FAILED; never COMPLETE.
3. Confidence is what the model said, capped by partial extracts and by refused findings.
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.mission import Confidence, MissionStatus
from codex_oss.missions.events import GateFailure, MissionClosed, ReportSource
from codex_oss.missions.evidence import BadRef, resolve_ref
from codex_oss.missions.gates import RULES_VERSION, judge_draft
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import Draft, accepted_findings, parse_draft

RANK: Final[dict[str, int]] = {"LOW": 0, "MEDIUM": 1, "HIGH": 2}

SUBMITTED_REASON: Final[dict[str, str]] = {
    "PARTIAL": "model_reported_partial",
    "ESCALATE": "model_escalated",
    "FAILED": "model_reported_failure",
}
"""Why a mission ends below COMPLETE although no gate objected: the model said so itself."""

MODEL_DIED: Final = frozenset({"model_call_failed", "deadline_reached"})


def close_draft(record: RunRecord, draft: Draft, failures: tuple[GateFailure, ...]) -> MissionClosed:
    """Close on a submitted report, with the failures that remain after its one repair."""
    requested = draft.status or "PARTIAL"
    standing = accepted_findings(draft, failures)
    if not failures:
        reasons = () if requested == "COMPLETE" else (SUBMITTED_REASON[requested],)
        by_runtime = record.draft is not None and record.draft.proposer == "runtime"
        source: ReportSource = "deterministic_fast_path" if by_runtime else "model_report"
        confidence = _confidence(record, draft, False)
        return MissionClosed(requested, confidence, reasons, source, draft.status, rules=RULES_VERSION)
    codes = tuple(dict.fromkeys(failure.code for failure in failures))
    status: MissionStatus = "PARTIAL" if requested == "COMPLETE" else requested
    if status == "PARTIAL" and not standing and not record.evidence:
        status = "FAILED"
    return MissionClosed(
        status,
        _confidence(record, draft, True),
        codes,
        "model_report_downgraded" if standing else "runtime_evidence",
        draft.status,
        failures=failures,
        detail="The report did not pass every gate; what could not be borne out was left out.",
        rules=RULES_VERSION,
    )


def close_by_runtime(
    record: RunRecord | None, *codes: str, status: MissionStatus | None = None, detail: str = ""
) -> MissionClosed:
    """Close without a report that stands. record None: nothing has been done yet."""
    draft = parse_draft(record.draft.draft) if record is not None and record.draft else Draft()
    failures = judge_draft(record, draft) if record is not None and record.draft else ()
    standing = accepted_findings(draft, failures) if failures or draft.findings else ()
    gathered = record is not None and bool(record.evidence)
    died = bool(MODEL_DIED.intersection(codes)) and gathered
    return MissionClosed(
        status or ("PARTIAL" if gathered else "FAILED"),
        "LOW",
        tuple(codes),
        "model_report_downgraded" if standing else "runtime_evidence",
        draft.status,
        "SOURCE_PACK_RECOVERY" if died else "",
        failures,
        detail,
        RULES_VERSION,
    )


def _confidence(record: RunRecord, draft: Draft, downgraded: bool) -> Confidence:
    caps: list[Confidence] = [draft.confidence]
    if downgraded:
        caps.append("LOW")
    if record.opened is not None:
        mission = record.opened.mission
        if _cites_partial_extract(record, draft):
            caps.append(mission.sufficiency_policy.confidence_cap_if_partial_extracts)
        spec = mission.objective_spec
        most = spec.confidence_policy.get("max_confidence") if spec else None
        if most in RANK:
            caps.append(most)
    return min(caps, key=RANK.__getitem__)


def _cites_partial_extract(record: RunRecord, draft: Draft) -> bool:
    """Whether a finding rests on a file of which only a part was ever shown."""
    for finding in draft.findings:
        for ref in finding.evidence_refs:
            citation = resolve_ref(record.evidence, ref)
            if isinstance(citation, BadRef) or not ref.startswith("file:"):
                continue
            if not any(extract.complete for extract in record.evidence.extracts.get(citation.path, [])):
                return True
    return False
