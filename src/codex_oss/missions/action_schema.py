"""The JSON Schema of the next answer, computed from the record.

Many illegal actions become unrepresentable: only offered tools, only paths in scope, only refs that exist, a report
only once something was seen. It helps a model that is held to it and is trusted from none: upstreams ignore such
fields silently, so `missions.actions`, `missions.verdicts` and `missions.gates` check everything again.
"""

from __future__ import annotations

import re
from typing import Any, Final

from codex_oss.contracts.tools import TOOL_ARGUMENTS
from codex_oss.missions.events import Purpose
from codex_oss.missions.evidence import CommandRun, Extract
from codex_oss.missions.native_calls import offered_tools
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import CLAIM_KINDS

MAX_REFS: Final = 40
SMALL_CONTEXT_TOKENS: Final = 4_096
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+|[a-z]+[A-Z][A-Za-z0-9]*")


def action_schema(record: RunRecord, purpose: Purpose) -> dict[str, Any]:
    """Schema of one action. With purpose final_report only a report fits; without evidence only a tool call does."""
    if record.opened is None:
        return {"type": "object"}
    refs = offered_refs(record)
    report = _report_action(record, refs)
    if purpose == "final_report":
        return report
    calls = [_tool_action(tool, places) for tool, places in _useful_tools(record).items()]
    return {"anyOf": [*calls, report]} if refs or not calls else {"anyOf": calls}


def offered_refs(record: RunRecord) -> list[str]:
    """Every ref that an observation offered, the newest last, at most `MAX_REFS`."""
    entries: list[Extract | CommandRun] = [e for extracts in record.evidence.extracts.values() for e in extracts]
    entries.extend(run for run in record.evidence.commands if run.result.kind != "error")
    return [entry.ref for entry in sorted(entries, key=lambda entry: entry.step)][-MAX_REFS:]


def _useful_tools(record: RunRecord) -> dict[str, dict[str, Any]]:
    """Offered tools that still have something to do, with the schemas of their arguments.

    A read needs a file that is known and unread. The smallest models search only for identifiers of the objective
    that were not searched for yet: left to themselves they search for a word of the prompt (observed with 135M).
    """
    assert record.opened is not None
    arguments: dict[str, dict[str, Any]] = {}
    unread, places = _unread_paths(record), _places(record)
    for tool in offered_tools(record.opened.mission):
        known: dict[str, Any] = {}
        if "path" in TOOL_ARGUMENTS[tool] and places:
            known["path"] = {"enum": places}
        if tool == "rtk_read":
            known["path"] = {"enum": unread}
        if tool == "rtk_grep":
            words = _untried_words(record) if _is_small(record) else None
            known["pattern"] = {"type": "string", "minLength": 2, "maxLength": 60} if words is None else {"enum": words}
        if all(schema.get("enum", ["-"]) for schema in known.values()):
            arguments[tool] = known
    return arguments


def _tool_action(tool: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Only the arguments that a small model can fill sensibly: what to look for, and where among known places."""
    return _object(
        {
            "action_type": {"const": "tool_call"},
            "tool_name": {"const": tool},
            "arguments": _object(properties),
            "reason": {"type": "string", "maxLength": 80},
        }
    )


def _is_small(record: RunRecord) -> bool:
    return record.opened is not None and record.opened.context_tokens <= SMALL_CONTEXT_TOKENS


def _untried_words(record: RunRecord) -> list[str]:
    """Identifiers of the objective that no search was made for."""
    objective = record.opened.mission.objective if record.opened else ""
    tried = {judged.proposal.arguments.get("pattern") for judged in record.judged}
    return [word for word in dict.fromkeys(_IDENTIFIER.findall(objective)) if word not in tried]


def _report_action(record: RunRecord, refs: list[str]) -> dict[str, Any]:
    confidence = {"enum": ["LOW", "MEDIUM", "HIGH"]}
    finding: dict[str, Any] = {
        "claim": {"type": "string", "minLength": 8, "maxLength": 160},
        "kind": {"enum": list(CLAIM_KINDS)},
        "evidence_refs": {
            "type": "array",
            "items": {"enum": refs} if refs else {"type": "string"},
            "minItems": 1,
            "maxItems": 3,
        },
        "confidence": confidence,
    }
    if record.opened is not None and record.opened.mission.answer_obligations:
        finding["obligation_id"] = {"enum": [obligation.id for obligation in record.opened.mission.answer_obligations]}
    report = _object(
        {
            "status": {"enum": ["COMPLETE", "PARTIAL", "ESCALATE", "FAILED"]},
            "confidence": confidence,
            "findings": {
                "type": "array",
                "items": _object(finding),
                "minItems": min(1, len(refs)),
                "maxItems": 3 if refs else 0,
            },
            "uncertainties": {"type": "array", "items": {"type": "string", "maxLength": 160}, "maxItems": 2},
        }
    )
    return _object({"action_type": {"const": "final_report"}, "report": report})


def _unread_paths(record: RunRecord) -> list[str]:
    """Exact paths that may be read and were not yet: allowed ones, and those that searches and listings showed."""
    if record.opened is None:
        return []
    paths = dict.fromkeys(record.opened.mission.allowed_paths)
    for run in record.evidence.commands:
        paths.update(dict.fromkeys(match.path for match in run.result.matches))
        if run.result.kind == "entries":
            folder = run.result.path.rstrip("/")
            names = [name for name in run.result.lines if not name.endswith(("/", "@"))]
            paths.update(dict.fromkeys(f"{folder}/{name}" if folder not in ("", ".") else name for name in names))
    return [path for path in paths if path not in record.evidence.extracts][:MAX_REFS]


def _places(record: RunRecord) -> list[str]:
    if record.opened is None:
        return []
    mission = record.opened.mission
    return [*mission.allowed_roots, *mission.allowed_paths][:MAX_REFS]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
