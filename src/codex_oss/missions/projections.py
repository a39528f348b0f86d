"""Every file under `.codex-oss/missions/<mission_id>/`, as a function of the log.

Counterparts: `services.mission_store` writes them, `services.audit` rebuilds them and compares byte for byte.

Rules that hold here:

1. Same log, same bytes: no clock, no environment, keys sorted. Deleting the folder loses nothing.
2. Every JSON object carries `source_seq` and `source_run_record_hash`, so that a stale file is seen as stale.
3. A person opens `summary.md` first; everything in it stands in `report.json` too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from codex_oss.contracts.codes import hint_of
from codex_oss.contracts.mission import Problem
from codex_oss.missions.commentary import Commentator, Remark
from codex_oss.missions.events import Recorded, canonical_json
from codex_oss.missions.record import Judged, RunRecord, epoch_ms, evolve, new_record
from codex_oss.missions.report import build_report, commands_run
from codex_oss.missions.sources import required_sources
from codex_oss.policy.printable import printable, printable_json

NAMES: Final = (
    "report.json",
    "summary.md",
    "visible_commentary.jsonl",
    "trace.jsonl",
    "decision_trace.json",
    "ledger.json",
    "claim_graph.json",
    "run_record.json",
    "mission_summary.json",
)


def project_files(run_id: str, mission_id: str, events: Iterable[Recorded]) -> dict[str, bytes]:
    """Fold a log and render all of its files; keys are `NAMES` in that order."""
    record, commentator, remarks = new_record(run_id, mission_id), Commentator(), []
    for recorded in events:
        evolve(record, recorded)
        remarks.extend(commentator.take(record, recorded))
    return render_files(record, remarks)


def render_files(record: RunRecord, remarks: list[Remark]) -> dict[str, bytes]:
    """Render all files of a folded record."""
    run_record = project_run_record(record)
    stamp: dict[str, Any] = {"source_seq": record.last_seq, "source_run_record_hash": run_record["run_record_hash"]}
    report = {**build_report(record), "source_run_record_hash": run_record["run_record_hash"]}
    return {
        "report.json": _pretty(report),
        "summary.md": render_summary(report).encode(),
        "visible_commentary.jsonl": _lines(msgspec.to_builtins(remark) for remark in remarks),
        "trace.jsonl": _lines(project_trace(record)),
        "decision_trace.json": _pretty({**project_decisions(record), **stamp}),
        "ledger.json": _pretty({**project_ledger(record), **stamp}),
        "claim_graph.json": _pretty({**project_claims(record, report), **stamp}),
        "run_record.json": _pretty(run_record),
        "mission_summary.json": _pretty({**project_summary(record), **stamp}),
    }


def final_report(record: RunRecord) -> dict[str, Any]:
    """`report.json`, also what a client gets at the end."""
    return {**build_report(record), "source_run_record_hash": project_run_record(record)["run_record_hash"]}


def project_run_record(record: RunRecord) -> dict[str, Any]:
    """`run_record.json` with its own hash over the rest."""
    opened, closed = record.opened, record.closed
    body = {
        "schema_version": "run_record.v1",
        "run_id": record.run_id,
        "mission_id": record.mission_id,
        "task_spec": msgspec.to_builtins(opened.mission) if opened else None,
        "route_authority": {
            "route_class": "managed_mission",
            "model_alias": opened.model_alias if opened else "",
            "profile": opened.profile if opened else "",
            "upstream_model": opened.upstream_model if opened else "",
            "write_allowed": opened.mission.write_allowed if opened else False,
        },
        "tool_calls": {
            "count": record.tool_runs,
            "items": commands_run(record),
            "all_resolved": record.running is None,
        },
        "model_calls": [msgspec.to_builtins(call) for call in record.calls],
        "evidence": {"event_count": record.last_seq, "source_event_hash": record.last_hash},
        "stage": record.stage,
        "final_status": closed.status if closed else None,
        "claim_state": msgspec.to_builtins(closed) if closed else None,
        "event_ids_by_type": {
            name: [f"evt_{seq:06d}" for seq in seqs] for name, seqs in record.event_ids_by_type.items()
        },
        "source_event_hash": record.last_hash,
        "source_seq": record.last_seq,
    }
    digest = hashlib.sha256(canonical_json(body)).hexdigest()
    return {**body, "run_record_hash": f"sha256:{digest}"}


def project_summary(record: RunRecord) -> dict[str, Any]:
    """`mission_summary.json`: what a list of missions shows."""
    opened, closed = record.opened, record.closed
    elapsed = epoch_ms(record.closed_at) - epoch_ms(record.opened_at) if closed else None
    # Only while it waits, so that the file of an ended mission has the form that it always had.
    queue = (
        {"queue": {"lane": queued.lane, "place": queued.place, "waiting": queued.waiting}}
        if (queued := record.queued)
        else {}
    )
    return {
        **queue,
        "schema_version": "mission_summary.v1",
        "mission_id": record.mission_id,
        "source_run_id": record.run_id,
        "status": closed.status if closed else "OPEN",
        "confidence": closed.confidence if closed else "LOW",
        "reason_codes": list(closed.reason_codes) if closed else ["mission_not_closed"],
        "tier": opened.mission.tier if opened else None,
        "objective": opened.mission.objective if opened else "",
        "model_alias": opened.model_alias if opened else "",
        "opened_at": record.opened_at,
        "closed_at": record.closed_at,
        "elapsed_ms": elapsed,
        "tool_runs": record.tool_runs,
        "model_calls": len(record.calls),
        "tokens": {
            "input": sum(call.input_tokens for call in record.calls),
            "cached": sum(call.cached_tokens for call in record.calls),
            "output": sum(call.output_tokens for call in record.calls),
            "estimated": any(call.usage_estimated for call in record.calls),
        },
    }


def project_ledger(record: RunRecord) -> dict[str, Any]:
    """`ledger.json`: what was read and run, and every extract that can be cited."""
    budget = record.opened.mission.budget.tool_calls if record.opened else 0
    files: list[dict[str, Any]] = []
    for path, extracts in record.evidence.extracts.items():
        files.append(
            {
                "path": path,
                "complete": any(extract.complete for extract in extracts),
                "total_lines": extracts[-1].total_lines,
                "sha256": extracts[-1].file_sha256,
                "extract_refs": [
                    {
                        "ref": extract.ref,
                        "start_line": extract.start_line,
                        "end_line": extract.end_line,
                        "lines": list(extract.lines),
                    }
                    for extract in extracts
                ],
            }
        )
    runs = [
        {
            "ref": run.ref,
            "tool": run.tool,
            "args": run.arguments,
            "exit_code": run.result.exit_code,
            "matches_count": run.result.match_count,
            "matches": [{"path": m.path, "line": m.line, "text": m.text} for m in run.result.matches],
            "lines": list(run.result.lines),
            "complete": run.result.complete,
            "error_code": run.result.error_code,
        }
        for run in record.evidence.commands
    ]
    return {
        "mission_id": record.mission_id,
        "tool_budget_remaining": max(0, budget - record.tool_runs),
        "total_bytes_read": record.bytes_observed,
        "redactions_applied": record.redactions,
        "duplicate_actions_blocked": record.duplicates,
        "files_inspected": files,
        "commands_run": runs,
    }


def project_claims(record: RunRecord, report: dict[str, Any]) -> dict[str, Any]:
    """`claim_graph.json`: each claim, what bears it out, and what was refused."""
    claims: list[dict[str, Any]] = [
        {
            "claim_id": "claim_" + hashlib.sha256(finding["claim"].encode()).hexdigest()[:10],
            "text": finding["claim"],
            "status": "supported",
            "evidence_refs": finding["evidence_refs"],
            "confidence": finding["confidence"],
            "source": report["report_source"],
        }
        for finding in report["findings"]
    ]
    for finding in report["refused_findings"]:
        claims.append(
            {
                "claim_id": "claim_" + hashlib.sha256(finding["claim"].encode()).hexdigest()[:10],
                "text": finding["claim"],
                "status": "refused",
                "evidence_refs": finding["evidence_refs"],
                "source": "model",
                "missing_evidence": finding["codes"],
            }
        )
    mission = record.opened.mission if record.opened else None
    inspected = list(record.evidence.extracts)
    wanted = [*mission.allowed_paths, *required_sources(mission)] if mission else []
    return {
        "claim_graph_version": "1.0",
        "mission_id": record.mission_id,
        "objective": mission.objective if mission else "",
        "objective_style": mission.objective_style if mission else "",
        "claims": claims,
        "inspected_paths": inspected,
        "uninspected_allowed_paths": [path for path in dict.fromkeys(wanted) if path not in record.evidence.extracts],
    }


def project_trace(record: RunRecord) -> list[dict[str, Any]]:
    """`trace.jsonl`, one object a proposal."""
    return [_trace_line(turn, judged) for turn, judged in enumerate(record.judged, 1)]


def project_decisions(record: RunRecord) -> dict[str, Any]:
    """`decision_trace.json`: every verdict with its reason."""
    decisions: list[dict[str, Any]] = [
        {
            "decision_type": "tool_call" if judged.proposal.kind == "tool_call" else judged.proposal.kind,
            "result": judged.decision,
            "reason_code": judged.code or judged.decision,
            "reason": judged.reason,
            "input": {"tool": judged.proposal.tool, "arguments": judged.proposal.arguments},
            "proposer": judged.proposal.proposer,
            "seq": judged.seq,
            "timestamp": judged.at,
        }
        for judged in record.judged
    ]
    if record.closed:
        decisions.append(
            {
                "decision_type": "closure",
                "result": record.closed.status,
                "reason_code": ",".join(record.closed.reason_codes) or "claims_hold",
                "reason": record.closed.detail,
                "failures": [msgspec.to_builtins(failure) for failure in record.closed.failures],
                "seq": record.last_seq,
                "timestamp": record.closed_at,
            }
        )
    return {"decision_trace_version": "1.0", "mission_id": record.mission_id, "decisions": decisions}


def render_summary(report: Mapping[str, Any]) -> str:
    """`summary.md`: the human form of a report. Sections: Outcome, Findings, Checked, Left out, Gaps, Escalation."""
    name = report["mission_id"] or "(refused)"
    lines = [f"# Mission {name}: {report['status']}", "", f"Objective: {report['objective'] or '-'}", ""]
    reasons = ", ".join(report["reason_codes"]) or "every claim stands on the lines it cites"
    lines += ["## Outcome", "", f"{report['status']} with confidence {report['confidence']} ({reasons})."]
    if report.get("synthesis_status"):
        lines.append(f"Synthesis status: {report['synthesis_status']}")
    lines += ["", "## Findings", ""]
    lines += [
        f"- {finding['claim']} [{', '.join(finding['evidence_refs'][:3])}]" for finding in report["findings"]
    ] or ["- none"]
    files = ", ".join(entry["path"] for entry in report["files_inspected"]) or "none"
    runs = ", ".join(entry["tool"] for entry in report["commands_run"]) or "none"
    lines += [
        "",
        "## Checked",
        "",
        f"Files read: {files}. Commands run: {runs}. Findings by: {report['report_source']}.",
    ]
    if report["refused_findings"]:
        lines += ["", "## Left out", ""]
        lines += [f"- {finding['claim']} ({', '.join(finding['codes'])})" for finding in report["refused_findings"]]
    gaps = [*report["uncertainties"], *report["caveats"]]
    if gaps:
        lines += ["", "## Gaps", "", *(f"- {gap}" for gap in gaps)]
    if report["escalation_recommendation"]:
        lines += ["", "## Escalation", "", report["escalation_recommendation"]]
    return printable("\n".join(lines) + "\n")


def refusal_report(problems: Iterable[Problem]) -> dict[str, Any]:
    """The report of a mission that was never opened: FAILED, with every problem as a caveat and no log behind it."""
    listed = list(problems)
    errors = dict.fromkeys(problem.code for problem in listed if problem.severity == "error")
    hints = [f"What to do about {code}: {hint_of(code)}" for code in errors if hint_of(code)]
    return {
        **build_report(new_record("", "")),
        "status": "FAILED",
        "reason_codes": list(errors),
        "caveats": [f"{one.code} {one.field}: {one.message}".replace(" :", ":") for one in listed] + hints,
        "problems": [{**msgspec.to_builtins(problem), "hint": hint_of(problem.code)} for problem in listed],
    }


def render_final_text(report: Mapping[str, Any]) -> str:
    """What a client reads at the end: the human form, then the report as one fenced JSON block."""
    body = printable_json(_pretty(report).decode().replace("```", "``\\u0060"))
    return f"{render_summary(report)}\n```json\n{body.rstrip()}\n```\n"


def _trace_line(turn: int, judged: Judged) -> dict[str, Any]:
    proposal, result = judged.proposal, judged.result
    summary = None
    if result is not None:
        summary = {
            "kind": result.kind,
            "exit_code": result.exit_code,
            "lines": len(result.lines) or len(result.matches),
            "matches_count": result.match_count,
            "complete": result.complete,
            "redactions_applied": result.redactions,
            "error_code": result.error_code,
            "duration_ms": judged.duration_ms,
        }
    return {
        "turn": turn,
        "seq": judged.seq,
        "timestamp": judged.at,
        "call": proposal.call,
        "proposer": proposal.proposer,
        "action_type": proposal.kind,
        "tool_name": proposal.tool,
        "raw_arguments": proposal.raw_arguments if proposal.kind == "tool_call" else {},
        "normalized_arguments": proposal.arguments,
        "unsupported_arguments": list(proposal.unsupported),
        "model_rationale": proposal.reason,
        "runtime_decision": judged.decision,
        "decision_code": judged.code,
        "decision_reason": judged.reason,
        "step": judged.step,
        "tool_result_summary": summary,
    }


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(canonical_json(value), indent=2) + b"\n"


def _lines(values: Iterable[Any]) -> bytes:
    return b"".join(canonical_json(value) + b"\n" for value in values)
