"""The deterministic fast path: objectives that one read or one search decides, answered without asking a model.

Counterparts: `missions.objective` says what an objective asks for; the draft made here passes the same gates as a
model's, and its reads the same policy.

Rules that hold here:

1. Only for an objective_spec of four types, with exactly one allowed file and no roots, in the deterministic style.
2. Only what is beyond doubt: a file that was read whole with exactly one line that fits, or a whole search. In any
   other case the model is asked, with the evidence that is there already.
3. Confidence is LOW: the form was seen, nobody thought about it.
"""

from __future__ import annotations

from typing import Any, Final

from codex_oss.contracts.mission import MissionV1, ObjectiveSpec
from codex_oss.missions.completion import runtime_may_close
from codex_oss.missions.events import ActionProposed
from codex_oss.missions.evidence import proves_absence
from codex_oss.missions.gates import judge_draft
from codex_oss.missions.objective import shows_target, target_names
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import parse_draft

FAST_TYPES: Final = ("function_location", "mapping_lookup", "config_value_extraction", "zero_match_evidence")
MAX_QUOTE_CHARS: Final = 200


def fast_step(record: RunRecord, mission: MissionV1) -> ActionProposed | None:
    """The runtime's own next action on the fast path; None when there is none, or when it leads nowhere."""
    spec = mission.objective_spec
    if spec is None or record.calls or not _is_eligible(mission, spec):
        return None
    if not record.judged:
        return _look(mission, spec)
    if len(record.judged) > 1:
        return None
    draft = _draft(record, mission, spec)
    if draft is None or judge_draft(record, parse_draft(draft)):
        return None
    return ActionProposed(0, "final_report", "runtime", raw_arguments=draft, reason="the record answers it")


def _is_eligible(mission: MissionV1, spec: ObjectiveSpec) -> bool:
    return (
        spec.objective_type in FAST_TYPES
        and mission.objective_style == "deterministic_lookup"
        and mission.evidence_collection_mode == "prefetch_floor"
        and not mission.allowed_roots
        and len(mission.allowed_paths) == 1
        and runtime_may_close(mission)
    )


def _look(mission: MissionV1, spec: ObjectiveSpec) -> ActionProposed | None:
    path = mission.allowed_paths[0]
    searches = spec.objective_type == "zero_match_evidence"
    if ("search" if searches else "read") not in mission.allowed_tool_classes:
        return None
    arguments: dict[str, Any] = {"path": path}
    if searches:
        arguments["pattern"] = str(spec.target.get("pattern", ""))
    tool = "rtk_grep" if searches else "rtk_read"
    return ActionProposed(0, "tool_call", "runtime", tool, arguments, reason="deterministic fast path")


def _draft(record: RunRecord, mission: MissionV1, spec: ObjectiveSpec) -> dict[str, Any] | None:
    path = mission.allowed_paths[0]
    if spec.objective_type == "zero_match_evidence":
        runs = [run for run in record.evidence.commands if proves_absence(run)]
        pattern = str(spec.target.get("pattern", ""))
        if not runs:
            return None
        return _report(f"`{pattern}` matches no line of {path}", "absence", {"path": path}, runs[0].ref)
    extract = next(iter(record.evidence.extracts.get(path, [])), None)
    if extract is None or not extract.complete:
        return None
    fitting = [(n, text) for n, text in enumerate(extract.lines, extract.start_line) if shows_target(spec, text)]
    if len(fitting) != 1:
        return None
    number, text = fitting[0]
    subject: dict[str, Any] = {"path": path, "line": number}
    if len(text) <= MAX_QUOTE_CHARS:
        subject["quote"] = text.strip()
    name = next(name for name in target_names(spec) if name in text)
    if spec.objective_type == "function_location":
        return _report(f"`{name}` is defined at {path}:{number}", "definition", subject, extract.ref)
    return _report(f"`{name}` is set at {path}:{number}: `{text.strip()}`", "value", subject, extract.ref)


def _report(claim: str, kind: str, subject: dict[str, Any], ref: str) -> dict[str, Any]:
    finding = {"claim": claim, "kind": kind, "subject": subject, "evidence_refs": [ref], "confidence": "LOW"}
    caveat = "The runtime answered from the form of the lines; no model was asked."
    return {"status": "COMPLETE", "confidence": "LOW", "findings": [finding], "caveats": [caveat], "uncertainties": []}
