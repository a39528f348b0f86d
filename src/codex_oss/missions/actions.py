"""Parsing a model's answer into exactly one action: the protocol `json`.

Counterparts: `missions.prompt` tells the model the shapes, `missions.native_calls` is the protocol `tools`,
`missions.decide` judges what both parse.

    {"action_type": "tool_call", "tool_name": "...", "arguments": {...}, "reason": "..."}
    {"action_type": "final_report", "report": {...}}

Rules that hold here:

1. One JSON object, bare or in exactly one fence. Prose around it, arrays, several objects, an object that is both
   a call and a report, or a name that stands twice are invalid: guessing which one was meant would be inventing.
2. What is mended is a habit of models that leaves no doubt: arguments as a JSON text inside the JSON, and the names of
   `missions.arguments`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from codex_oss.missions.arguments import normalise_arguments
from codex_oss.missions.events import ActionProposed
from codex_oss.missions.strict_json import MAX_ANSWER_CHARS, Unreadable, read_object

_FENCE: Final = re.compile(r"\A```(?:json|JSON)?[ \t]*\n(?P<body>.*?)\n?[ \t]*```\Z", re.DOTALL)


def parse_action(call: int, text: str) -> ActionProposed:
    """Parse one answer. Never raises: what cannot be parsed is an `invalid` proposal with a code and a sentence."""
    body = text.strip()
    fenced = _FENCE.match(body) if len(body) <= MAX_ANSWER_CHARS else None
    if fenced:
        body = fenced["body"].strip()
    if not body:
        return invalid(call, "action_empty", "The answer is empty; one JSON object is expected.")
    value = read_object(body, "The answer")
    return invalid(call, value.code, value.message) if isinstance(value, Unreadable) else _action_of(call, value)


def _action_of(call: int, value: dict[str, Any]) -> ActionProposed:
    kind = value.get("action_type")
    has_tool, has_report = "tool_name" in value, "report" in value
    if has_tool and has_report:
        return invalid(call, "action_ambiguous", "The object has both tool_name and report; one action per turn.")
    if kind == "final_report" or (kind is None and has_report):
        report = value.get("report")
        if not isinstance(report, dict):
            return invalid(call, "report_not_dict", "`report` must be an object.")
        return ActionProposed(call, "final_report", raw_arguments=report, reason=short_text(value.get("reason")))
    if kind == "tool_call" or (kind is None and has_tool):
        return _tool_call_of(call, value)
    return invalid(call, "invalid_action", "`action_type` must be tool_call or final_report.")


def _tool_call_of(call: int, value: dict[str, Any]) -> ActionProposed:
    tool = value.get("tool_name")
    raw = value.get("arguments", {})
    if not isinstance(tool, str) or not tool:
        return invalid(call, "invalid_action", "`tool_name` must name a tool.")
    if isinstance(raw, str):
        inner = read_object(raw.strip() or "{}", "`arguments`")
        if isinstance(inner, Unreadable):
            return invalid(call, inner.code, inner.message)
        raw = inner
    if not isinstance(raw, dict):
        return invalid(call, "invalid_action", "`arguments` must be an object.")
    arguments, unsupported = normalise_arguments(tool, raw)
    return ActionProposed(
        call,
        "tool_call",
        tool=tool[:80],
        arguments=arguments,
        raw_arguments=raw,
        unsupported=unsupported,
        reason=short_text(value.get("reason")),
        target_question=short_text(value.get("target_question")),
    )


def short_text(value: Any) -> str:
    """A text as far as it is kept; empty for anything else."""
    return value[:1_000] if isinstance(value, str) else ""


def invalid(call: int, code: str, message: str, call_id: str = "") -> ActionProposed:
    """A proposal that is none, and why."""
    return ActionProposed(call, "invalid", problem_code=code, problem=message, call_id=call_id)
