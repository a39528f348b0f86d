"""Mending the arguments of a proposed tool call: the names that models commonly vary, and plain values in quotes.

Counterparts: `missions.actions` and `missions.native_calls` bring what the model wrote, `policy.scope` judges what
comes out. Names are repaired by table; a value is never invented. Source: mission contract, argument repair.
"""

from __future__ import annotations

import re
from typing import Any, Final

from codex_oss.contracts.tools import REQUIRED_ARGUMENTS, TOOL_ARGUMENTS

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


def normalise_arguments(tool: str, raw: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Rename known variants and coerce plain numbers and booleans given as strings.

    Returns the arguments and the names that cannot be used (sorted): those that this tool does not know, and those
    that say twice, differently, what one argument is. An unknown tool keeps all names.
    """
    known = TOOL_ARGUMENTS.get(tool)
    if known is None:
        return dict(raw), ()
    arguments: dict[str, Any] = {}
    unsupported: list[str] = []
    for name, value in _with_ranges(raw, known).items():
        target = name if name in known else ARGUMENT_NAMES.get(name, name)
        if name in ("paths", "files") and isinstance(value, list) and value:
            target, value = "path", value[0]
        if name in ("-i", "i", "ignore_case") and isinstance(ignores := _coerce(value, bool), bool):
            target, value = "case_sensitive", not ignores
        if name in DROPPED_ARGUMENTS or value is None:
            continue
        if target not in known or arguments.setdefault(target, coerced := _coerce(value, known[target])) != coerced:
            unsupported.append(name)
    return arguments, tuple(sorted(unsupported))


def missing_arguments(tool: str, arguments: dict[str, Any]) -> tuple[str, ...]:
    """Required names that are absent."""
    return tuple(name for name in REQUIRED_ARGUMENTS.get(tool, ()) if name not in arguments)


def _with_ranges(raw: dict[str, Any], known: dict[str, type]) -> dict[str, Any]:
    """offset and limit of other tools' readers become start_line and end_line."""
    if "start_line" not in known or not {"offset", "limit"} & set(raw):
        return raw
    offset, limit = (_coerce(raw.get(name), int) for name in ("offset", "limit"))
    if _whole(offset) is None and _whole(limit) is None:
        return raw
    rest = {name: value for name, value in raw.items() if name not in ("offset", "limit")}
    start = max(1, _whole(offset) or 1)
    rest.setdefault("start_line", start)
    if (count := _whole(limit)) is not None:
        rest.setdefault("end_line", start + max(1, count) - 1)
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
