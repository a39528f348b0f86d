"""The results of tools as the model reads them, and as one line for a person.

Counterparts: `contracts.tools` says what a reading tool returns, `services.agent_tools` runs them.

Rules that hold here:

1. What was left out is said; a part is never shown as if it were the whole.
2. Texts depend on the result only.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, assert_never

from codex_oss.contracts.tools import ToolResult

MAX_SUMMARY_CHARS: Final = 160
MORE: Final = "… more was left out; ask for a smaller part."
ENDED_BY: Final = {
    "time": "It did not end in its time and was killed",
    "processes": "It started too many processes and was killed",
    "memory": "It took too much memory and was killed",
}
"""Why the sandbox ends a command, in words."""
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)?)")


class Told(NamedTuple):
    """A result in words."""

    ok: bool
    summary: str
    output: str


def told_result(tool: str, result: ToolResult) -> Told:
    """The result of a reading tool. tool: the name that the model called."""
    match result.kind:
        case "error":
            return Told(False, f"{result.error_code}: {result.message}", f"{result.error_code}: {result.message}")
        case "extract":
            return _extract(result)
        case "matches":
            return _matches(result)
        case "entries" | "text":
            body = "\n".join(result.lines) or "(empty)"
            return Told(True, _count(len(result.lines), "line"), body if result.complete else f"{body}\n{MORE}")
        case kind:
            assert_never(kind)


def told_command(exit_code: int, output: str, *, ended_by: str = "", whole: bool = True) -> Told:
    """The result of a command. output: redacted. ended_by: `time`, `processes` or `memory` when it was killed for it.

    whole: *output* is all that the command wrote.
    """
    ended = ENDED_BY.get(ended_by, f"It was killed: {ended_by}.") if ended_by else f"exit code {exit_code}"
    note = "" if whole else f"\n{MORE}"
    told = f"{ended}\n{output}".rstrip("\n") + note
    return Told(exit_code == 0 and not ended_by, f"{ended}, {_count(len(output.splitlines()), 'line')} of output", told)


def one_line(text: str, max_chars: int = MAX_SUMMARY_CHARS) -> str:
    """The begin of *text* as one line."""
    line = " ".join(text.split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1]}…"


def without_colours(text: str) -> str:
    """*text* without the escape sequences that programs write for terminals."""
    return _ANSI.sub("", text)


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"


def _extract(result: ToolResult) -> Told:
    if not result.lines:
        return Told(True, f"{result.path} is empty", f"{result.path} is empty.")
    last = result.start_line + len(result.lines) - 1
    head = f"{result.path} lines {result.start_line}-{last} of {result.total_lines}"
    width = len(str(last))
    body = "\n".join(f"{number:>{width}}: {line}" for number, line in enumerate(result.lines, result.start_line))
    return Told(True, head, f"{head}\n{body}")


def _matches(result: ToolResult) -> Told:
    found = f"{_count(result.match_count, 'match', 'es')} in {_count(result.files_searched, 'file')}"
    if not result.match_count:
        note = "" if result.complete else " The search was not whole."
        return Told(True, found, f"No matches ({_count(result.files_searched, 'file')} searched).{note}")
    marked = [(match, ":") for match in result.matches] + [(match, "-") for match in result.context]
    marked.sort(key=lambda entry: (entry[0].path, entry[0].line))
    body = "\n".join(f"{match.path}{mark}{match.line}{mark} {match.text}" for match, mark in marked)
    return Told(True, found, f"{found}\n{body}" if result.complete else f"{found}\n{body}\n{MORE}")
