"""Why a mission ended as it did, in plain words.

Counterparts: `missions.closing` and `missions.gates` give the reason codes, `cli.records` prints what is worded here.

Every reason code that can stand in a closing has one sentence in `REASONS`; a test walks the sources and compares.
"""

from __future__ import annotations

from typing import Any, Final

from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import build_report, parse_draft
from codex_oss.policy.printable import printable

REASONS: Final[dict[str, str]] = {
    # what ended the mission
    "mission_not_closed": "The mission has not ended, or its process was killed before it could close the log.",
    "cancelled": "The mission was cut off: its client left or the bridge was told to stop.",
    "log_unwritable": "The disk refused a step of the event log, so nothing further was done.",
    "log_conflict": "Another program wrote to the event log, so nothing further was done.",
    "budget_exhausted": "The tool budget was spent before a report held.",
    "model_call_limit_reached": "The model used up the answers that the mission allows.",
    "deadline_reached": "The time was up before a report held.",
    "duplicate_actions": "The model repeated actions that had been done already.",
    "low_information": "Too many actions in a row brought nothing new.",
    "context_full": "The conversation had grown to what the model can read.",
    "observation_limit_reached": "The mission allows no more content to be shown.",
    "model_call_failed": "The model could not be asked.",
    "model_timeout": "The model did not answer in time.",
    "final_report_required": "A report was asked for, and the model proposed something else instead.",
    "report_missing": "The log holds no report where one was expected.",
    "mission_not_opened": "The log holds a report of a mission that was never opened.",
    "capacity_timeout": "No slot of its scheduler lane became free for it.",
    "lane_queue_full": "As many missions were waiting for the lane already as may wait.",
    "lane_wait_over": "It waited for a slot as long as the lane allows.",
    "lanes_locked": "Another process held the lock of the scheduler lanes and did not let go.",
    # refused at the door
    "tier_not_available": "This tier can be written and validated, but not run yet.",
    "risk_tier_critical": "Work of critical risk is for a person or GPT to decide.",
    "broad_scope": "The allowed roots are too broad for a delegated mission.",
    "critical_path_detected": "The model wanted to read a critical path that the mission does not open.",
    # answers that could not be used
    "action_parse_failed": "The model's answer (or the arguments of its call) was not one JSON object, twice in a row.",
    "action_too_long": "The model's answer was far too long to be an action.",
    "action_empty": "The model answered nothing.",
    "action_ambiguous": "The model's answer could be read in two ways.",
    "action_missing": "The model wrote text and called no function, twice in a row.",
    "too_many_calls": "The model made far too many calls in one answer.",
    "report_not_alone": "The model reported beside calls whose results it had not seen.",
    "invalid_action": "The model's answer was not one of the two actions.",
    "report_not_dict": "The model's report was not an object.",
    # what the model said itself
    "model_reported_partial": "The model itself reported an incomplete result.",
    "model_escalated": "The model itself asked for someone else to decide.",
    "model_reported_failure": "The model itself reported that it failed.",
    "required_floor_reached": "Everything that had to be read was read, and the mission asked for no more.",
    "exploration_limit_reached": "The mission allows no more looking around after the required reading.",
    "topic_forbidden": "The model turned to a topic that the mission leaves out.",
    # gates
    "source_not_whole": "A file that must be read whole was read in part.",
    "source_not_searched": "A source that must be searched was not searched.",
    "source_contradicted": "A required source speaks against the answer, and no finding says so.",
    "evidence_shape_missing": "What was cited does not have the form that the mission asks for.",
    "objective_not_shown": "No finding cites a line that shows what the objective names.",
    "objective_not_searched": "Nobody searched for what the objective names.",
    "required_value_missing": "A value that must be found was not shown.",
    "exploration_unmet": "The model looked at too little beyond what it had to read.",
    "contradiction_search_missing": "The model did not search for what would contradict its answer.",
    "closure_not_by_model": "The mission asks for a report of the model's own accord, and it had to be asked for.",
    "status_missing": "The report had no status that exists.",
    "required_output_missing": "The report lacks an output that the mission requires.",
    "complete_with_missing_fields": "The report said COMPLETE and named fields that are missing.",
    "mission_id_changed": "The report says that it is of another mission.",
    "file_not_read": "The report lists a file that was never read.",
    "file_not_read_whole": "The report says that a whole file was seen of which only parts were shown.",
    "command_not_run": "The report lists a command that was never run.",
    "required_source_missing": "A source that must be read was not read.",
    "complete_without_findings": "The report said COMPLETE and found nothing.",
    "too_few_findings": "The report has fewer findings than the mission asks for.",
    "obligation_unknown": "A finding answers a question that was not asked.",
    "obligation_unanswered": "A required question has no finding of its own.",
    "remark_not_shown": "The report states lines or code outside its findings that were never shown.",
    "claim_empty": "A finding says nothing.",
    "evidence_missing": "A finding cites no evidence.",
    "evidence_ref_malformed": "A finding cites something that is no evidence ref.",
    "evidence_file_not_read": "A finding cites a file that was never read.",
    "evidence_not_shown": "A finding cites an extract or match that was never shown.",
    "evidence_command_not_run": "A finding cites a command that was never run.",
    "evidence_command_failed": "A finding cites a command that failed.",
    "evidence_no_zero_match": "A finding cites a search as proof of absence, and that search proves none.",
    "absence_not_searched": "A finding says that something is absent without a search that found nothing.",
    "claim_without_lines": "A finding states something about code and cites no line of it.",
    "claim_not_grounded": "A finding has no word, name or number in common with what it cites.",
    "absence_unnamed": "A finding rests on an empty search and does not name what was searched for.",
    "absence_too_wide": "A finding says that something is absent where nobody searched.",
    "claim_unreadable": "A finding holds characters that cannot be seen, or that look like others.",
    "claim_too_dense": "A finding states more than anybody could check.",
    "value_not_in_evidence": "A finding states a value that does not stand in the lines it cites.",
    "value_of_something_else": "A finding states a number that stands in its lines beside something else.",
    "count_not_borne_out": "A finding states a count that what it cites does not come to.",
    "path_not_cited": "A finding names a file that none of its evidence comes from.",
    "line_not_shown": "A finding names a line that is not among those it cites.",
    "line_about_something_else": "A finding names a line in which nothing stands that it speaks of.",
    "definition_not_shown": "A finding says that something is defined in lines that do not define it.",
    "usage_not_shown": "A finding says that something is used in lines that only declare it.",
    "contradiction_one_sided": "A finding says that two things contradict each other and cites one of them.",
    "execution_not_on_record": "A finding says that something was executed; only the tools on record were.",
    "symbol_not_in_evidence": "A finding names a symbol that does not stand in the lines it cites.",
    "quote_not_in_evidence": "A finding quotes something that does not stand in the lines it cites.",
    "code_not_in_evidence": "A finding shows code that does not stand in the lines it cites.",
}


MAX_CLAIM_CHARS: Final = 160


def explain_record(record: RunRecord) -> dict[str, Any]:
    """The explanation as data: status, reasons with sentences, what was done, what was refused."""
    report = build_report(record)
    refused = [
        judged for judged in record.judged if judged.decision in ("blocked", "duplicate", "redirected", "repaired")
    ]
    return {
        "mission_id": record.mission_id,
        "run_id": record.run_id,
        "status": report["status"],
        "confidence": report["confidence"],
        "report_source": report["report_source"],
        "reasons": [{"code": code, "sentence": sentence_of(code)} for code in report["reason_codes"]],
        "objections": sorted({failure.message for failure in (record.closed.failures if record.closed else ())}),
        "gates": _gates_not_passed(record),
        "model_calls": len(record.calls),
        "tool_runs": record.tool_runs,
        "files_read": [entry["path"] for entry in report["files_inspected"]],
        "refused_actions": [{"code": judged.code, "reason": judged.reason} for judged in refused][:10],
        "caveats": report["caveats"],
    }


def render_explanation(explained: dict[str, Any]) -> str:
    """The explanation for a person."""
    lines = [f"Mission {explained['mission_id']} ended {explained['status']} (confidence {explained['confidence']})."]
    lines += [f"- {reason['sentence']} [{reason['code']}]" for reason in explained["reasons"]]
    if not explained["reasons"]:
        lines.append("- Every claim of its report stands on lines that were shown to the model.")
    if explained["gates"]:
        lines += ["What did not hold:", *(_told(failure) for failure in explained["gates"])]
    files = ", ".join(explained["files_read"]) or "none"
    lines.append(
        f"It asked the model {explained['model_calls']} times, ran {explained['tool_runs']} tools, read: {files}."
    )
    if explained["refused_actions"]:
        lines += ["Refused on the way:", *(f"- {a['reason']} [{a['code']}]" for a in explained["refused_actions"])]
    lines += [f"Note: {caveat}" for caveat in explained["caveats"]]
    return printable("\n".join(lines) + "\n")


def _gates_not_passed(record: RunRecord) -> list[dict[str, Any]]:
    """Every objection to the last report with its gate, and the claim it is about; empty for the whole report."""
    findings = parse_draft(record.draft.draft).findings if record.draft else ()
    failures = record.closed.failures if record.closed else ()
    return [
        {
            "gate": failure.gate,
            "code": failure.code,
            "message": failure.message,
            "claim": findings[failure.finding].claim if 0 <= failure.finding < len(findings) else "",
        }
        for failure in failures
    ]


def _told(failure: dict[str, Any]) -> str:
    claim = " ".join(failure["claim"].split())[:MAX_CLAIM_CHARS]
    return f"- {failure['message']} [gate {failure['gate']}]" + (f" The claim: {claim}" if claim else "")


def sentence_of(code: str) -> str:
    """The sentence of a reason code; codes of upstream failures speak through the closing's detail."""
    return REASONS.get(code, "The failure is named by its code; the note below says more.")
