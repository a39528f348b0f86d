"""The shape of the closing report: as a function it follows from the contract, as a response format from the record.

Counterparts: `missions.native_calls` offers the function, `missions.action_schema` the response format,
`missions.report` reads what comes, whatever its shape.
"""

from __future__ import annotations

from typing import Any, Final

from codex_oss.contracts.mission import MissionV1
from codex_oss.missions.outputs import custom_outputs
from codex_oss.missions.report import CLAIM_KINDS

STATUSES: Final = ["COMPLETE", "PARTIAL", "ESCALATE", "FAILED"]
CONFIDENCES: Final = ["LOW", "MEDIUM", "HIGH"]
SUBJECT: Final[dict[str, str]] = {
    "path": "string",
    "symbol": "string",
    "line": "integer",
    "end_line": "integer",
    "quote": "string",
}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}


def report_parameters(mission: MissionV1) -> dict[str, Any]:
    """The parameters of the closing function. They say what may be told and refuse little: they never change."""
    finding: dict[str, Any] = {
        "claim": _TEXT,
        "kind": {"enum": list(CLAIM_KINDS)},
        "subject": _open({name: {"type": kind} for name, kind in SUBJECT.items()}),
        "evidence_refs": {**_TEXTS, "minItems": 1},
        "confidence": {"enum": CONFIDENCES},
        **_obligation_of(mission),
    }
    properties = {
        "status": {"enum": STATUSES},
        "confidence": {"enum": CONFIDENCES},
        "findings": _list_of(_open(finding, "claim", "kind", "evidence_refs", "confidence")),
        "files_inspected": _list_of(_open({"path": _TEXT}, "path")),
        "commands_run": _list_of(_open({"tool": _TEXT, "args": {"type": "object"}})),
        "uncertainties": _TEXTS,
        "caveats": _TEXTS,
        "escalation_recommendation": _TEXT,
    }
    outputs = custom_outputs(mission)
    properties |= dict.fromkeys(outputs, _TEXT)
    return _open(properties, "status", "confidence", "findings", "uncertainties", "caveats", *outputs)


def report_schema(mission: MissionV1, refs: list[str], *, small: bool) -> dict[str, Any]:
    """The report as it may be now. refs: all that can be cited.

    small: for models that fill in little sensibly; short texts, few findings, nothing optional.
    """
    finding: dict[str, Any] = {
        "claim": {"type": "string", "minLength": 8, "maxLength": 160 if small else 600},
        "kind": {"enum": list(CLAIM_KINDS)},
        **({} if small else {"subject": closed({name: nullable(kind) for name, kind in SUBJECT.items()})}),
        "evidence_refs": {
            "type": "array",
            "items": {"enum": refs} if refs else _TEXT,
            "minItems": 1,
            "maxItems": 3 if small else 8,
        },
        "confidence": {"enum": CONFIDENCES},
        **_obligation_of(mission),
    }
    notes = {"type": "array", "items": {"type": "string", "maxLength": 160}, "maxItems": 2 if small else 10}
    more = {"caveats": notes, "escalation_recommendation": {"type": "string", "maxLength": 400}}
    return closed(
        {
            "status": {"enum": STATUSES},
            "confidence": {"enum": CONFIDENCES},
            "findings": {
                "type": "array",
                "items": closed(finding),
                "minItems": min(1, len(refs)),
                "maxItems": (3 if small else 20) if refs else 0,
            },
            "uncertainties": notes,
            **({} if small else more),
            **{name: {"type": "string", "minLength": 1, "maxLength": 400} for name in custom_outputs(mission)},
        }
    )


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object of exactly these properties, all required: what strict upstreams take."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def nullable(kind: str) -> dict[str, Any]:
    """What strict upstreams take for an optional property."""
    return {"type": [kind, "null"]}


def _open(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _obligation_of(mission: MissionV1) -> dict[str, Any]:
    ids = [obligation.id for obligation in mission.answer_obligations]
    return {"obligation_id": {"enum": ids}} if ids else {}
