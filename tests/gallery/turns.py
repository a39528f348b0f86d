"""What a scripted model says in one turn, apart from the protocol it says it in.

A turn is written once; `spoken` puts it into one of the two action protocols. A model script is a list of turns: the
n-th answer is the n-th turn, and the last turn is said again as often as it is asked for, because a liar insists.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.fakes import chat_upstream
from tests.fakes.chat_upstream import Answer

Protocol = Literal["json", "tools"]
CAVEAT = "Only what is cited was looked at."
"""In every report unless told otherwise: open investigations must say what was not looked at."""
PROTOCOLS: tuple[Protocol, ...] = ("json", "tools")


@dataclass(frozen=True)
class Look:
    """A proposed tool call. said: assistant text around it, which is worth nothing."""

    tool: str
    arguments: dict[str, Any]
    said: str = ""


@dataclass(frozen=True)
class Report:
    """A submitted report."""

    body: dict[str, Any]


@dataclass(frozen=True)
class Say:
    """Prose, and no action."""

    text: str


@dataclass(frozen=True)
class Both:
    """A tool call and the report that rests on it, in one answer."""

    look: Look
    report: Report


Turn = Look | Report | Say | Both
Script = Sequence[Turn]


def spoken(turn: Turn, protocol: Protocol, number: int) -> Answer:
    """The upstream's answer. number: of the turn, for the id of a native call."""
    match turn:
        case Say(text):
            return chat_upstream.text(text, pieces=1)
        case Both(look, report_) if protocol == "json":
            action = {"tool_name": look.tool, "arguments": look.arguments, "report": report_.body}
            return _as_text(action)
        case Both(look, report_):
            calls = [(look.tool, look.arguments), ("final_report", report_.body)]
            return chat_upstream.tool_calls([(f"call_{number}_{at}", *call) for at, call in enumerate(calls)])
        case Look(tool, arguments, said) if protocol == "json":
            action = {"action_type": "tool_call", "tool_name": tool, "arguments": arguments, "reason": said or "look"}
            return _as_text(action)
        case Report(body) if protocol == "json":
            return _as_text({"action_type": "final_report", "report": body})
        case Look(tool, arguments, said):
            return _called(tool, arguments, said, number)
        case Report(body):
            return _called("final_report", body, "", number)


def _as_text(action: dict[str, Any]) -> Answer:
    return chat_upstream.text(json.dumps(action, ensure_ascii=False), pieces=1)


def _called(name: str, arguments: dict[str, Any], said: str, number: int) -> Answer:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
    deltas: list[dict[str, Any]] = [{"content": said}] if said else []
    return chat_upstream.stream([*deltas, {"tool_calls": [call]}], finish="tool_calls")


def read(path: str, start_line: int | None = None, end_line: int | None = None, said: str = "") -> Look:
    """Read lines of a file."""
    bounds = {"start_line": start_line, "end_line": end_line}
    return Look("rtk_read", {"path": path, **{name: at for name, at in bounds.items() if at is not None}}, said)


def grep(pattern: str, path: str | None = None, said: str = "", **more: Any) -> Look:
    """Search for an expression."""
    return Look("rtk_grep", {"pattern": pattern, **({"path": path} if path else {}), **more}, said)


def finding(claim: str, *refs: str, kind: str = "other", **more: Any) -> dict[str, Any]:
    """One finding."""
    return {"claim": claim, "kind": kind, "evidence_refs": list(refs), "confidence": "MEDIUM", **more}


def report(*findings: dict[str, Any], status: str = "COMPLETE", **more: Any) -> Report:
    """A report; COMPLETE unless told otherwise, as a liar's is."""
    body = {
        "status": status,
        "confidence": "MEDIUM",
        "findings": list(findings),
        "caveats": [CAVEAT],
        "uncertainties": [],
    }
    return Report({**body, **more})
