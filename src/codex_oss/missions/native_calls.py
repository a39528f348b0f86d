"""Native tool calls: the protocol `tools`. What a model may call, and the parsing of what it called.

Counterparts: `missions.prompt` sends the functions with each question, `missions.actions` is the protocol `json`,
`missions.decide` judges what both parse.

Rules that hold here:

1. The functions depend on the contract only. Chat templates print them in front of the conversation, so a list that
   changed from turn to turn would cost the upstream's prompt cache each time.
2. Calls of one answer are taken one after the other, each judged as if it stood alone. A report stands alone: it
   cannot rest on what the calls beside it have not shown yet.
3. Text beside a call is the reason for it, text without a call is no action.
4. What is mended is a habit of models that leaves no doubt: arguments wrapped once more, JSON inside a JSON text, no
   arguments at all, and the names of `missions.arguments`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.tools import REQUIRED_ARGUMENTS, TOOL_ARGUMENTS, TOOL_CLASS
from codex_oss.missions.actions import invalid, short_text
from codex_oss.missions.arguments import normalise_arguments
from codex_oss.missions.events import ActionProposed, ModelAnswered, NativeCall
from codex_oss.missions.report_schema import report_parameters
from codex_oss.missions.strict_json import Unreadable, read_object
from codex_oss.wire.items import FunctionTool

REPORT_FUNCTION: Final = "final_report"
MAX_CALLS: Final = 16
"""Calls of one answer; with more it is refused as a whole."""
_WRAPPING: Final = frozenset({"action_type", "tool_name", "name", "arguments", "parameters", "reason"})
"""Names of an object that only wraps the arguments, as the protocol `json` has it."""
JSON_TYPE: Final = {str: "string", int: "integer", bool: "boolean"}

TOOL_PURPOSE: Final[dict[str, str]] = {
    "rtk_read": "Show lines of one file.",
    "rtk_grep": "Search for a regular expression; without path in all you may look at.",
    "rtk_ls": "List the names in a folder.",
    "rtk_git_status": "List changed files.",
    "rtk_git_log": "List recent commits (limit 1-20).",
    "rtk_git_show_stat": "List the files of a commit.",
    "rtk_git_diff_stat": "Show the size of uncommitted changes.",
}


def offered_tools(mission: MissionV1) -> tuple[str, ...]:
    """Tools whose class the mission allows, in table order."""
    return tuple(tool for tool in TOOL_ARGUMENTS if TOOL_CLASS[tool] in mission.allowed_tool_classes)


def offered_functions(mission: MissionV1) -> tuple[FunctionTool, ...]:
    """Every function of the mission: its tools, then the report."""
    tools = [
        FunctionTool(
            tool,
            TOOL_PURPOSE[tool],
            {
                "type": "object",
                "properties": {name: {"type": JSON_TYPE[kind]} for name, kind in TOOL_ARGUMENTS[tool].items()},
                "required": list(REQUIRED_ARGUMENTS.get(tool, ())),
            },
        )
        for tool in offered_tools(mission)
    ]
    return (*tools, FunctionTool(REPORT_FUNCTION, "Close the mission with your report.", report_parameters(mission)))


def parse_call(answer: ModelAnswered, place: int) -> ActionProposed:
    """The action at *place* (from 0) of an answer. Never raises: what is none is an `invalid` proposal."""
    if place >= len(answer.calls):
        if answer.text.strip():
            return invalid(answer.call, "action_missing", "You wrote text and called no function; call one.")
        return invalid(answer.call, "action_empty", "The answer is empty; call one function.")
    call = answer.calls[place]
    if answer.calls_dropped:
        told = f"One answer may have {MAX_CALLS} calls; none of these was done."
        return invalid(answer.call, "too_many_calls", told, call.call_id)
    arguments = _arguments_of(call)
    if isinstance(arguments, Unreadable):
        return invalid(answer.call, arguments.code, arguments.message, call.call_id)
    if call.name == REPORT_FUNCTION:
        return _report(answer, call, arguments)
    return _tool_call(answer, call, arguments)


def _report(answer: ModelAnswered, call: NativeCall, arguments: dict[str, Any]) -> ActionProposed:
    if len(answer.calls) > 1:
        told = "final_report must be the only call of its answer; the results of the others come first."
        return invalid(answer.call, "report_not_alone", told, call.call_id)
    inner = arguments.get("report")
    report = inner if isinstance(inner, dict) and set(arguments) <= {"report", "action_type", "reason"} else arguments
    return ActionProposed(
        answer.call, "final_report", raw_arguments=report, reason=short_text(answer.text.strip()), call_id=call.call_id
    )


def _tool_call(answer: ModelAnswered, call: NativeCall, raw: dict[str, Any]) -> ActionProposed:
    inner = raw.get("arguments", raw.get("parameters"))
    if isinstance(inner, dict) and set(raw) <= _WRAPPING and raw.get("tool_name", call.name) == call.name:
        raw = inner
    # Told by a name that the function does not have: a habit of the other protocol, and no argument.
    reason = raw.get("reason")
    plain = {name: value for name, value in raw.items() if name != "reason"}
    arguments, unsupported = normalise_arguments(call.name, plain)
    return ActionProposed(
        answer.call,
        "tool_call",
        tool=call.name[:80],
        arguments=arguments,
        raw_arguments=raw,
        unsupported=unsupported,
        reason=short_text(answer.text.strip() or reason),
        call_id=call.call_id,
    )


def _arguments_of(call: NativeCall) -> dict[str, Any] | Unreadable:
    text = call.arguments.strip() or "{}"
    if text.startswith('"'):
        text = _unquoted(text)
    return read_object("{}" if text == "null" else text, f"The arguments of {call.name[:80]!r}")


def _unquoted(text: str) -> str:
    """The text inside a JSON text; *text* itself when it is none."""
    try:
        return msgspec.json.decode(text.encode(), type=str)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return text
