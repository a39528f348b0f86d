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
