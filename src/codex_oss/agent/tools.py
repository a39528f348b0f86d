"""The tools that the model is offered, as one table: their schemas, and the reading of a call's arguments.

Counterparts: `services.agent_tools` does the work; the reading tools are those of `contracts.tools` under names that
models know. `agent.loop` asks `parse_call` before anything else happens.

Rules that hold here:

1. Arguments are judged by the same table that the schema is made of.
2. What models commonly vary is mended (`ALIASES`, a number in quotes); everything else is told to the model in one
   sentence and is not run.
3. The table's order and its words never change within a session: they are the begin of every prompt, which upstreams
   cache.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from codex_oss.contracts.tools import Verdict, denied
from codex_oss.wire.items import FunctionCall, FunctionTool
from codex_oss.wire.loose_json import decode_loose

Kind = Literal["text", "line", "path", "number", "flag"]
"""`text` may have lines, `line` and `path` may not."""

MAX_TEXT_CHARS: Final = 400_000
MAX_LINE_CHARS: Final = 1_000
MAX_COMMAND_CHARS: Final = 20_000
MAX_SHELL_S: Final = 600
DEFAULT_SHELL_S: Final = 120


class Argument(Struct, frozen=True):
    """One argument of a tool."""

    kind: Kind
    help: str
    required: bool = False
    low: int = 1
    high: int = 1 << 31


class ToolRow(Struct, frozen=True):
    """One tool. asks: it changes something, so a person approves it."""

    help: str
    arguments: dict[str, Argument]
    asks: bool = False


_PATH: Final = Argument("path", "Relative to the project, separated by `/`.", required=True)

TOOLS: Final[dict[str, ToolRow]] = {
    "read_file": ToolRow(
        "Read a text file of the project, or a range of its lines. Secrets in it are shown as [REDACTED:…].",
        {
            "path": _PATH,
            "start_line": Argument("number", "First line, counted from 1."),
            "end_line": Argument("number", "Last line, itself included."),
        },
    ),
    "list_files": ToolRow(
        "List one folder of the project. Folders end in `/`.",
        {"path": Argument("path", "Folder; the project itself when left out.")},
    ),
    "search": ToolRow(
        "Search the lines of the project's files for a regular expression.",
        {
            "pattern": Argument("line", "A regular expression, matched line by line.", required=True),
            "path": Argument("path", "Folder or file to search; the whole project when left out."),
            "include_glob": Argument("line", "Only files that match, e.g. `*.py`."),
            "case_sensitive": Argument("flag", "Default true."),
            "max_results": Argument("number", "Most matches to show.", high=1_000),
            "context_lines": Argument("number", "Lines to show around each match.", low=0, high=20),
        },
    ),
    "edit_file": ToolRow(
        "Replace text in a file. `old_text` must stand in it exactly once, unless `replace_all` is true. Read first.",
        {
            "path": _PATH,
            "old_text": Argument("text", "The text as it stands in the file, without line numbers.", required=True),
            "new_text": Argument("text", "What takes its place; may be empty.", required=True),
            "replace_all": Argument("flag", "Replace every occurrence. Default false."),
        },
        asks=True,
    ),
    "create_file": ToolRow(
        "Create a file that does not exist yet, and the folders that lead to it.",
        {"path": _PATH, "content": Argument("text", "The whole content.", required=True)},
        asks=True,
    ),
    "shell": ToolRow(
        "Run a command line in the project's folder, in a sandbox without network that can write only there.",
        {
            "command": Argument("text", "The command line.", required=True),
            "timeout_s": Argument("number", f"Default {DEFAULT_SHELL_S}.", high=MAX_SHELL_S),
        },
        asks=True,
    ),
}
"""Every tool by the name that the model calls."""

ALIASES: Final[dict[str, str]] = {
    "file_path": "path", "filepath": "path", "filename": "path", "file": "path", "directory": "path",
    "query": "pattern", "regex": "pattern", "glob": "include_glob", "include": "include_glob",
    "old_string": "old_text", "old_str": "old_text", "new_string": "new_text", "new_str": "new_text",
    "text": "content", "contents": "content", "file_text": "content", "cmd": "command", "timeout": "timeout_s",
}  # fmt: skip
"""Names that models give to arguments -> ours; used where the tool has no argument of that name."""

RUNTIME_TOOL: Final[dict[str, str]] = {"read_file": "rtk_read", "list_files": "rtk_ls", "search": "rtk_grep"}
"""Reading tools -> the runtime tool that does the work."""

_JSON_TYPE: Final[dict[Kind, str]] = {
    "text": "string", "line": "string", "path": "string", "number": "integer", "flag": "boolean",
}  # fmt: skip


class Wanted(Struct, frozen=True):
    """A call whose tool exists and whose arguments fit it. arguments: only those that were given."""

    call_id: str
    tool: str
    arguments: dict[str, Any]

    @property
    def asks(self) -> bool:
        """It changes something."""
        return TOOLS[self.tool].asks

    def text(self, name: str) -> str:
        """A text argument; empty when it was not given."""
        return str(self.arguments.get(name, ""))


def function_tools() -> tuple[FunctionTool, ...]:
    """The tools as a turn offers them."""
    return tuple(FunctionTool(name, row.help, _schema(row)) for name, row in TOOLS.items())


def parse_call(call: FunctionCall, *, left_out: bool = False) -> Wanted | Verdict:
    """What a call wants, or why it cannot be run, as a denied Verdict with a sentence for the model.

    left_out: its arguments were too long to keep. Codes: tool_unknown, arguments_too_long, arguments_malformed,
    argument_missing, argument_invalid. Never raises.
    """
    row = TOOLS.get(call.name)
    if row is None:
        return denied("tool_unknown", f"There is no tool {call.name[:64]!r}; there are {', '.join(TOOLS)}.")
    if left_out:
        return denied("arguments_too_long", "The arguments were too long; do it in smaller pieces.")
    try:
        given = decode_loose(call.arguments.encode(errors="replace") or b"{}")
    except ValueError as exc:
        return denied("arguments_malformed", f"The arguments are no JSON: {exc}. Send one JSON object.")
    if not isinstance(given, dict):
        return denied("arguments_malformed", "The arguments must be one JSON object.")
    arguments: dict[str, Any] = {}
    for name, value in given.items():
        known = name if name in row.arguments else ALIASES.get(name, "")
        if known not in row.arguments:
            supported = ", ".join(row.arguments)
            return denied("argument_invalid", f"{call.name} has no argument {name[:64]!r}; it knows: {supported}.")
        if value is None:
            continue
        read, breach = _value(value, row.arguments[known])
        if breach:
            return denied("argument_invalid", f"{call.name}: {known} {breach}.")
        arguments[known] = read
    for name, argument in row.arguments.items():
        if argument.required and name not in arguments:
            return denied("argument_missing", f"{call.name} needs the argument {name}.")
    return Wanted(call.call_id, call.name, arguments)


def signature(call: FunctionCall) -> str:
    """What two calls have in common that ask for the same."""
    return f"{call.name}\0{call.arguments}"


def _value(value: Any, argument: Argument) -> tuple[Any, str]:
    """The value as the tool takes it, and what is wrong with it (empty when nothing is)."""
    match argument.kind:
        case "number":
            if isinstance(value, str) and value.strip().isdecimal() and len(value) < 12:
                value = int(value)
            if not isinstance(value, int) or isinstance(value, bool):
                return None, "must be a whole number"
            fits = argument.low <= value <= argument.high
            return value, "" if fits else f"must be between {argument.low} and {argument.high}"
        case "flag":
            value = {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value
            return value, "" if isinstance(value, bool) else "must be true or false"
        case kind:
            if not isinstance(value, str):
                return None, "must be a text"
            return value, _text_breach(value, kind)


def _text_breach(text: str, kind: Kind) -> str:
    if "\0" in text:
        return "must not hold a NUL character"
    if kind == "text":
        return "" if len(text) <= MAX_TEXT_CHARS else f"is longer than {MAX_TEXT_CHARS} characters"
    if not text.strip():
        return "must not be empty"
    if "\n" in text or "\r" in text:
        return "must be one line"
    return "" if len(text) <= MAX_LINE_CHARS else f"is longer than {MAX_LINE_CHARS} characters"


def _schema(row: ToolRow) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _property(argument) for name, argument in row.arguments.items()},
        "required": [name for name, argument in row.arguments.items() if argument.required],
        "additionalProperties": False,
    }


def _property(argument: Argument) -> dict[str, Any]:
    told: dict[str, Any] = {"type": _JSON_TYPE[argument.kind], "description": argument.help}
    if argument.kind == "number":
        told |= {"minimum": argument.low, "maximum": argument.high}
    return told
