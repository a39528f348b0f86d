"""Parsing a model's answer into exactly one action, and mending argument names that models commonly vary.

Counterparts: `missions.prompt` tells the model the shapes, `missions.decide` judges what this file parses.

    {"action_type": "tool_call", "tool_name": "...", "arguments": {...}, "reason": "..."}
    {"action_type": "final_report", "report": {...}}

Rules that hold here:

1. One JSON object, bare or in exactly one fence. Prose around it, arrays, several objects, an object that is both
   a call and a report, or a name that stands twice are invalid: guessing which one was meant would be inventing.
2. Argument names are repaired by table; a value is never invented. Source: mission contract, argument repair.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from codex_oss.contracts.tools import REQUIRED_ARGUMENTS, TOOL_ARGUMENTS
from codex_oss.missions.events import ActionProposed

MAX_ANSWER_CHARS: Final = 200_000
MAX_NAMES: Final = 200
"""Names in one object; no action has as many."""

_FENCE: Final = re.compile(r"\A```(?:json|JSON)?[ \t]*\n(?P<body>.*?)\n?[ \t]*```\Z", re.DOTALL)

ARGUMENT_NAMES: Final[dict[str, str]] = {
    "query": "pattern",
    "regex": "pattern",
    "file_path": "path",
    "filepath": "path",
    "file": "path",
    "filename": "path",
    "root": "path",
    "dir": "path",
    "directory": "path",
    "folder": "path",
    "include": "include_glob",
    "glob": "include_glob",
    "output_context_lines": "context_lines",
    "context": "context_lines",
    "context_line_count": "context_lines",
    "start": "start_line",
    "end": "end_line",
    "n": "limit",
    "revision": "rev",
    "commit": "rev",
}
"""What models write, and what the tool calls it."""

DROPPED_ARGUMENTS: Final = frozenset({"recurse", "recursive", "-r", "-n", "encoding"})
"""Harmless extras: the tools behave so anyway."""


def parse_action(call: int, text: str) -> ActionProposed:
    """Parse one answer. Never raises: what cannot be parsed is an `invalid` proposal with a code and a sentence."""
    body = text.strip()
    if len(body) > MAX_ANSWER_CHARS:
        return _invalid(call, "action_too_long", f"The answer is longer than {MAX_ANSWER_CHARS} characters.")
    fenced = _FENCE.match(body)
    if fenced:
        body = fenced["body"].strip()
    if not body:
        return _invalid(call, "action_empty", "The answer is empty; one JSON object is expected.")
    try:
        value = msgspec.json.decode(body.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _invalid(call, "action_parse_failed", "The answer is not one JSON object (no prose, no second object).")
    if not isinstance(value, dict):
        return _invalid(call, "action_parse_failed", "The answer is JSON, but not one object.")
    if name := _repeated_name(body):
        return _invalid(
            call, "action_ambiguous", f"The name {name[:80]!r} stands twice in one object; which one counts?"
        )
    return _action_of(call, value)


def _repeated_name(body: str) -> str:
    """The first name that an object of this valid JSON has twice; empty when none has."""
    repeated: list[str] = []

    def take(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        repeated.extend(name for name in names if names.count(name) > 1 and len(names) <= MAX_NAMES)
        repeated.extend(["(too many)"] if len(names) > MAX_NAMES else [])

    try:
        json.loads(body, object_pairs_hook=take)
    except (RecursionError, ValueError):
        return "(too deep)"
    return repeated[0] if repeated else ""


def _action_of(call: int, value: dict[str, Any]) -> ActionProposed:
    kind = value.get("action_type")
    has_tool, has_report = "tool_name" in value, "report" in value
    if has_tool and has_report:
        return _invalid(call, "action_ambiguous", "The object has both tool_name and report; one action per turn.")
    if kind == "final_report" or (kind is None and has_report):
        report = value.get("report")
        if not isinstance(report, dict):
            return _invalid(call, "report_not_dict", "`report` must be an object.")
        return ActionProposed(call, "final_report", raw_arguments=report, reason=_text(value.get("reason")))
    if kind == "tool_call" or (kind is None and has_tool):
        return _tool_call_of(call, value)
    return _invalid(call, "invalid_action", "`action_type` must be tool_call or final_report.")


def _tool_call_of(call: int, value: dict[str, Any]) -> ActionProposed:
    tool = value.get("tool_name")
    raw = value.get("arguments", {})
    if not isinstance(tool, str) or not tool:
        return _invalid(call, "invalid_action", "`tool_name` must name a tool.")
    if not isinstance(raw, dict):
        return _invalid(call, "invalid_action", "`arguments` must be an object.")
    arguments, unsupported = normalise_arguments(tool, raw)
    return ActionProposed(
        call,
        "tool_call",
        tool=tool[:80],
        arguments=arguments,
        raw_arguments=raw,
        unsupported=unsupported,
        reason=_text(value.get("reason")),
        target_question=_text(value.get("target_question")),
    )


def normalise_arguments(tool: str, raw: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Rename known variants and coerce plain numbers and booleans given as strings.

    Returns the arguments and the names that this tool does not know (sorted). An unknown tool keeps all names.
    """
    known = TOOL_ARGUMENTS.get(tool)
    if known is None:
        return dict(raw), ()
    arguments: dict[str, Any] = {}
    unsupported: list[str] = []
    for name, value in _with_ranges(raw).items():
        target = name if name in known else ARGUMENT_NAMES.get(name, name)
        if name in ("paths", "files") and isinstance(value, list) and value:
            target, value = "path", value[0]
        if name in ("-i", "i", "ignore_case"):
            target, value = "case_sensitive", not value
        if name in DROPPED_ARGUMENTS or value is None:
            continue
        if target in known:
            arguments.setdefault(target, _coerce(value, known[target]))
        else:
            unsupported.append(name)
    return arguments, tuple(sorted(unsupported))


def missing_arguments(tool: str, arguments: dict[str, Any]) -> tuple[str, ...]:
    """Required names that are absent."""
    return tuple(name for name in REQUIRED_ARGUMENTS.get(tool, ()) if name not in arguments)


def _with_ranges(raw: dict[str, Any]) -> dict[str, Any]:
    """offset/limit of other tools' readers become start_line/end_line."""
    offset, limit = _whole(raw.get("offset")), _whole(raw.get("limit"))
    if offset is None:
        return raw
    rest = {name: value for name, value in raw.items() if name not in ("offset", "limit")}
    start = max(1, offset)
    rest.setdefault("start_line", start)
    if limit is not None:
        rest.setdefault("end_line", start + max(1, limit) - 1)
    return rest


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _coerce(value: Any, kind: type) -> Any:
    if kind is int and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value.strip()):
        return int(value)
    if kind is int and isinstance(value, float) and value.is_integer() and abs(value) < 1e9:
        return int(value)
    if kind is bool and isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value


def _text(value: Any) -> str:
    return value[:1_000] if isinstance(value, str) else ""


def _invalid(call: int, code: str, message: str) -> ActionProposed:
    return ActionProposed(call, "invalid", problem_code=code, problem=message)
