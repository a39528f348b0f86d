"""The report: parsing a model's draft, and building the final report from the record.

Counterparts: `missions.gates` judges drafts, `missions.projections` writes `report.json` and `summary.md`.

Rules that hold here:

1. A draft is parsed leniently in shape and never in substance: a missing list is empty, a missing ref is missing.
2. What the runtime knows itself (files read, commands run) is taken from the record, not from the draft.
3. The final report is a function of the record: findings whose gates failed stand apart under `refused_findings`.
4. When nothing of the model's stands, the runtime lists what it read, and says that it is no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from codex_oss.contracts.mission import Confidence, MissionStatus, MissionV1
from codex_oss.missions.completion import runtime_may_close
from codex_oss.missions.coverage import question_findings, uninspected_areas
from codex_oss.missions.events import GateFailure
from codex_oss.missions.outputs import custom_outputs, outputs_of
from codex_oss.missions.record import RunRecord
from codex_oss.missions.replacements import describe_all
from codex_oss.missions.topics import WITHHELD, named_topic, without_topics

ClaimKind = Literal["definition", "usage", "value", "behaviour", "count", "absence", "contradiction", "other"]

CLAIM_KINDS: Final[tuple[str, ...]] = (
    "definition",
    "usage",
    "value",
    "behaviour",
    "count",
    "absence",
    "contradiction",
    "other",
)
MAX_FINDINGS: Final = 100
MAX_TEXT_CHARS: Final = 2_000
MAX_REMARKS: Final = 200
_JUDGED_FIELDS: Final = frozenset(
    {"findings", "files_inspected", "commands_run", "mission_id", "missing_fields", "status"}
)
"""Fields with gates of their own; texts of all others are remarks."""
_CONFIDENCES: Final[tuple[Confidence, ...]] = ("LOW", "MEDIUM", "HIGH")
_STATUSES: Final[tuple[MissionStatus, ...]] = ("COMPLETE", "PARTIAL", "ESCALATE", "FAILED")


class Subject(Struct, frozen=True, omit_defaults=True):
    """What a finding states about the code, in checkable form."""

    path: str = ""
    symbol: str = ""
    line: int = 0
    end_line: int = 0
    quote: str = ""


class Finding(Struct, frozen=True, omit_defaults=False):
    """One claim with the refs that must bear it out."""

    claim: str
    evidence_refs: tuple[str, ...] = ()
    kind: str = "other"
    subject: Subject = Subject()
    confidence: Confidence = "LOW"
    obligation_id: str = ""


class FileClaim(Struct, frozen=True):
    """A file that the draft says was inspected."""

    path: str
    complete: bool = False
    """It says that the whole file was seen."""


class CommandClaim(Struct, frozen=True):
    """A tool run that the draft claims."""

    tool: str
    args: dict[str, Any] = {}


class Draft(Struct, frozen=True):
    """A model's report, parsed."""

    status: MissionStatus | Literal[""] = ""
    """Empty when the draft gave none that exists."""
    confidence: Confidence = "LOW"
    findings: tuple[Finding, ...] = ()
    files_inspected: tuple[FileClaim, ...] = ()
    commands_run: tuple[CommandClaim, ...] = ()
    uncertainties: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    escalation_recommendation: str = ""
    missing_fields: tuple[str, ...] = ()
    outputs: dict[str, Any] = {}
    """What the model wrote beside the known fields, see `missions.outputs`."""
    present: tuple[str, ...] = ()
    """Names of the fields that the model wrote."""
    mission_id: str = ""
    """Empty when it gave none, as it should: the runtime knows the mission."""
    remarks: tuple[str, ...] = ()
    """Every text outside the findings, whatever its field is called."""


def parse_draft(raw: dict[str, Any]) -> Draft:
    """Read a draft. Never raises; what has the wrong shape is left out, and so fails its gate."""
    status = str(raw.get("status", "")).strip().upper()
    return Draft(
        status=next((known for known in _STATUSES if known == status), ""),
        confidence=_confidence(raw.get("confidence")),
        findings=tuple(_finding(item) for item in _list(raw.get("findings"))[:MAX_FINDINGS]),
        files_inspected=tuple(_file_claim(item) for item in _list(raw.get("files_inspected"))[:1000]),
        commands_run=tuple(_command_claim(item) for item in _list(raw.get("commands_run"))[:1000]),
        uncertainties=_texts(raw.get("uncertainties")),
        caveats=_texts(raw.get("caveats")),
        escalation_recommendation=_text(raw.get("escalation_recommendation")),
        missing_fields=_texts(raw.get("missing_fields")),
        outputs=outputs_of(raw),
        present=tuple(sorted(str(name) for name in raw)),
        mission_id=_text(raw.get("mission_id")).strip(),
        remarks=tuple(islice(_remarks(raw), MAX_REMARKS)),
    )


def accepted_findings(draft: Draft, failures: tuple[GateFailure, ...]) -> tuple[Finding, ...]:
    """The findings that no gate objects to."""
    refused = {failure.finding for failure in failures}
    return tuple(finding for i, finding in enumerate(draft.findings) if i not in refused)


def build_report(record: RunRecord) -> dict[str, Any]:
    """`report.json`: the report as it stands. Before the mission is closed its status is `OPEN`."""
    closed = record.closed
    draft = parse_draft(record.draft.draft) if record.draft else Draft()
    failures = closed.failures if closed else record.refused
    from_model = closed is None or closed.report_source != "runtime_evidence"
    findings = accepted_findings(draft, failures) if from_model else ()
    refused = {failure.finding for failure in failures if failure.finding >= 0}
    opened = record.opened
    topics = opened.mission.forbidden_topics if opened else ()
    report: dict[str, Any] = {
        "oss_report_version": "1.0",
        "mission_id": record.mission_id,
        "run_id": record.run_id,
        "status": closed.status if closed else "OPEN",
        "confidence": closed.confidence if closed else "LOW",
        "reason_codes": list(closed.reason_codes) if closed else ["mission_not_closed"],
        "objective": opened.mission.objective if opened else "",
        "findings": [msgspec.to_builtins(finding) for finding in findings] or _runtime_findings(record),
        "refused_findings": _refused_findings(draft, failures, topics) if refused else [],
        "files_inspected": files_inspected(record),
        "commands_run": commands_run(record),
        "uncertainties": without_topics(draft.uncertainties, topics) if from_model else [],
        "caveats": without_topics(_caveats(record, draft, bool(findings)), topics),
        "escalation_recommendation": "".join(without_topics([draft.escalation_recommendation], topics))
        if from_model
        else "",
        "missing_fields": list(draft.missing_fields) if from_model else [],
        "report_source": closed.report_source if closed else "runtime_evidence",
        "requested_status": closed.requested_status if closed else "",
        "model_alias": opened.model_alias if opened else "",
        "upstream_model": opened.upstream_model if opened else "",
        "source_seq": record.last_seq,
        "source_event_hash": record.last_hash,
    }
    if opened is not None:
        report |= _asked_for(record, opened.mission, draft if from_model else Draft())
    if record.critical_read or record.critical_refused or record.critical_left_out:
        report["critical_paths"] = {
            "read": list(dict.fromkeys(record.critical_read)),
            "refused": list(dict.fromkeys(record.critical_refused)),
            "left_out": record.critical_left_out,
        }
    if record.replaced:
        report["model_replacements"] = [msgspec.to_builtins(event) for event in record.replaced]
    if closed and closed.synthesis:
        report["synthesis_status"] = closed.synthesis
    return report


def _asked_for(record: RunRecord, mission: MissionV1, draft: Draft) -> dict[str, Any]:
    """Parts that only some missions ask for."""
    asked: dict[str, Any] = {}
    if names := custom_outputs(mission):
        given = {name: draft.outputs[name] for name in names if name in draft.outputs}
        topics = mission.forbidden_topics
        asked["outputs"] = {n: WITHHELD if named_topic(str(value), topics) else value for n, value in given.items()}
    if mission.sufficiency_policy.must_list_uninspected_areas:
        asked["uninspected_areas"] = uninspected_areas(record.evidence, mission)
    return asked


def files_inspected(record: RunRecord) -> list[dict[str, Any]]:
    """Files that were really read; complete when one extract shows the whole file."""
    return [
        {"path": path, "complete": any(extract.complete for extract in extracts), "extracts": len(extracts)}
        for path, extracts in record.evidence.extracts.items()
    ]


def commands_run(record: RunRecord) -> list[dict[str, Any]]:
    """Tools other than rtk_read that really ran, in order; index is the one of `command:<index>`."""
    return [
        {"index": run.index, "tool": run.tool, "args": run.arguments, "exit_code": run.result.exit_code}
        for run in record.evidence.commands
    ]


def _runtime_findings(record: RunRecord) -> list[dict[str, Any]]:
    """What can be said without any model: which lines were read and what searches found."""
    return [msgspec.to_builtins(finding) for finding in islice(_seen_by_runtime(record), 20)]


def _seen_by_runtime(record: RunRecord) -> Iterator[Finding]:
    mission = record.opened.mission if record.opened else None
    if mission and mission.sufficiency_policy.allow_runtime_answer_graph_closure and runtime_may_close(mission):
        for seen in question_findings(record.evidence, mission):
            subject = Subject(path=seen["path"])
            yield Finding(seen["claim"], (seen["ref"],), subject=subject, obligation_id=seen["id"])
    for extracts in record.evidence.extracts.values():
        for extract in extracts:
            if extract.lines:
                claim = (
                    f"{extract.path}: lines {extract.start_line}-{extract.end_line} of {extract.total_lines} were read."
                )
                yield Finding(claim, (extract.ref,), subject=Subject(path=extract.path))
    for run in record.evidence.commands:
        if run.result.kind == "matches":
            where = str(run.arguments.get("path", "")) or "the scope"
            pattern = str(run.arguments.get("pattern", ""))
            claim = f"A search for {pattern!r} in {where} met {run.result.match_count} matches."
            yield Finding(claim, (run.ref,))


def _refused_findings(draft: Draft, failures: tuple[GateFailure, ...], topics: tuple[str, ...]) -> list[dict[str, Any]]:
    by_finding: dict[int, list[GateFailure]] = {}
    for failure in failures:
        by_finding.setdefault(failure.finding, []).append(failure)
    return [
        {
            "claim": WITHHELD if named_topic(draft.findings[index].claim, topics) else draft.findings[index].claim,
            "evidence_refs": list(draft.findings[index].evidence_refs),
            "codes": [failure.code for failure in reasons],
            "reasons": [failure.message for failure in reasons],
        }
        for index, reasons in sorted(by_finding.items())
        if 0 <= index < len(draft.findings)
    ]


def _caveats(record: RunRecord, draft: Draft, has_findings: bool) -> list[str]:
    closed = record.closed
    caveats = list(draft.caveats) if closed is None or closed.report_source != "runtime_evidence" else []
    if closed and not has_findings and record.evidence:
        caveats.append("The findings list only what the runtime read; no conclusion of the model stands.")
    caveats += [*describe_all(record.replaced), *_critical_caveats(record)]
    if closed and closed.detail:
        caveats.append(closed.detail)
    return caveats


def _critical_caveats(record: RunRecord) -> list[str]:
    """What a reader must know of critical paths: which were read and why, which were not."""
    caveats = []
    if record.critical_read and record.opened is not None:
        reason = record.opened.mission.critical_path_reason
        caveats.append(f"Critical paths were read, as the mission allows ({reason}): {_some(record.critical_read)}.")
    if record.critical_refused:
        caveats.append(
            f"Critical paths were not read, the mission does not open them: {_some(record.critical_refused)}."
        )
    if record.critical_left_out:
        caveats.append(
            f"A search or listing left out {record.critical_left_out} critical files or folders; nothing here is known "
            "of them."
        )
    return caveats


def _some(paths: Sequence[str], most: int = 10) -> str:
    """Some paths for a sentence."""
    listed = list(dict.fromkeys(paths))
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else _list(value)
    return tuple(_text(item) for item in items[:50] if isinstance(item, str) and item.strip())


def _line_number(value: Any) -> int:
    """0 when absent; -1 for what is no line number, so that the gate refuses it instead of looking away."""
    if value is None:
        return 0
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value[:12])
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else -1


def _confidence(value: Any) -> Confidence:
    word = str(value).strip().upper()
    return next((known for known in _CONFIDENCES if known == word), "LOW")


def _finding(raw: Any) -> Finding:
    if not isinstance(raw, dict):
        return Finding(_text(raw))
    kind = str(raw.get("kind", "other")).strip().lower()
    return Finding(
        claim=_text(raw.get("claim")),
        evidence_refs=tuple(dict.fromkeys(ref.strip() for ref in _texts(raw.get("evidence_refs")))),
        kind=kind if kind in CLAIM_KINDS else "other",
        subject=_subject(raw.get("subject")),
        confidence=_confidence(raw.get("confidence")),
        obligation_id=_text(raw.get("obligation_id")),
    )


def _subject(raw: Any) -> Subject:
    if not isinstance(raw, dict):
        return Subject()
    return Subject(
        path=_text(raw.get("path")),
        symbol=_text(raw.get("symbol")),
        line=_line_number(raw.get("line")),
        end_line=_line_number(raw.get("end_line")),
        quote=_text(raw.get("quote")),
    )


def _remarks(raw: dict[str, Any]) -> Iterator[str]:
    """Texts outside of what is judged by itself, in order, however deep they lie."""
    waiting = [value for name, value in reversed(raw.items()) if name not in _JUDGED_FIELDS]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)
        elif _text(value).strip():
            yield _text(value)


def _file_claim(raw: Any) -> FileClaim:
    if not isinstance(raw, dict):
        return FileClaim(_text(raw))
    return FileClaim(_text(raw.get("path")), raw.get("complete") is True)


def _command_claim(raw: Any) -> CommandClaim:
    if not isinstance(raw, dict):
        return CommandClaim(_text(raw))
    args = raw.get("args", raw.get("arguments"))
    return CommandClaim(_text(raw.get("tool", raw.get("tool_name"))), args if isinstance(args, dict) else {})
