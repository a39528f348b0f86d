"""The JSON Schema of the next answer, computed from the record.

Many illegal actions become unrepresentable: only offered tools, only paths in scope, only refs that exist, a report
only once something was seen. It helps a model that is held to it and is trusted from none: upstreams ignore such
fields silently, so `missions.actions`, `missions.verdicts` and `missions.gates` check everything again.
"""

from __future__ import annotations

from typing import Any, Final

from codex_oss.contracts.tools import REQUIRED_ARGUMENTS, TOOL_ARGUMENTS
from codex_oss.missions.events import Purpose
from codex_oss.missions.evidence import CommandRun, Extract
from codex_oss.missions.prompt import offered_tools
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import CLAIM_KINDS

MAX_REFS: Final = 40
_JSON_TYPE: Final = {str: "string", int: "integer", bool: "boolean"}


def action_schema(record: RunRecord, purpose: Purpose) -> dict[str, Any]:
    """Schema of one action. With purpose final_report only a report fits; without evidence only a tool call does."""
    if record.opened is None:
        return {"type": "object"}
    refs = offered_refs(record)
    report = _report_action(record, refs)
    if purpose == "final_report":
        return report
    calls = [_tool_action(record, tool) for tool in offered_tools(record.opened.mission)]
    return {"anyOf": [*calls, report]} if refs else {"anyOf": calls}


def offered_refs(record: RunRecord) -> list[str]:
    """Every ref that an observation offered, the newest last, at most `MAX_REFS`."""
    entries: list[Extract | CommandRun] = [e for extracts in record.evidence.extracts.values() for e in extracts]
    entries.extend(run for run in record.evidence.commands if run.result.kind != "error")
    return [entry.ref for entry in sorted(entries, key=lambda entry: entry.step)][-MAX_REFS:]


def _tool_action(record: RunRecord, tool: str) -> dict[str, Any]:
    required = REQUIRED_ARGUMENTS.get(tool, ())
    properties: dict[str, Any] = {
        name: {"type": _JSON_TYPE[kind], **({"maxLength": 200} if kind is str else {})}
        for name, kind in TOOL_ARGUMENTS[tool].items()
        if name in required or name in ("path", "start_line", "end_line")
    }
    if tool == "rtk_read" and (paths := _unread_paths(record)):
        properties["path"] = {"enum": paths}
    elif "path" in properties and (roots := _roots(record)):
        properties["path"] = {"enum": roots}
    arguments = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return _object(
        {
            "action_type": {"const": "tool_call"},
            "tool_name": {"const": tool},
            "arguments": arguments,
            "reason": {"type": "string", "maxLength": 160},
        }
    )


def _report_action(record: RunRecord, refs: list[str]) -> dict[str, Any]:
    confidence = {"enum": ["LOW", "MEDIUM", "HIGH"]}
    finding: dict[str, Any] = {
        "claim": {"type": "string", "maxLength": 240},
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
            "findings": {"type": "array", "items": _object(finding), "maxItems": 4},
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


def _roots(record: RunRecord) -> list[str]:
    if record.opened is None:
        return []
    mission = record.opened.mission
    return [*mission.allowed_roots, *mission.allowed_paths][:MAX_REFS]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
