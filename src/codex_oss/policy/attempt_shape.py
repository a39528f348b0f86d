"""The shape of a request and of its answer's head: enough to see why a backend refused it, nothing of what was said.

Counterpart: `services.attempt_snapshots` writes it, when the user asked for that.

Rules that hold here:

1. Of headers only those on a list are shown; of any other one its length, and the scheme of a credential.
2. Of a body only numbers, truth values, sizes and the protocol's own words are shown: no text, no name of a tool, no
   key that a client chose.
3. However long a conversation is, its shape has a bound.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from codex_oss.policy.pseudonyms import GPT

SHOWN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "content-type", "content-length", "originator", "retry-after", "server", "user-agent"}
)
LIMIT_HEADERS: Final = "x-codex-"
"""Windows and credits; shown where the value is a number or a truth value."""
KNOWN_FIELDS: Final = frozenset(
    {
        *("include", "input", "instructions", "model", "parallel_tool_calls", "prompt_cache_key", "reasoning"),
        *("service_tier", "store", "stream", "text", "tool_choice", "tools"),
    }
)
KNOWN_TYPES: Final = frozenset(
    {
        *("message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "compaction"),
        *("custom_tool_call_output", "web_search_call", "local_shell_call", "function", "custom", "web_search"),
        *("namespace", "tool_search", "user", "assistant", "developer", "system"),
    }
)
KNOWN_WORDS: Final = frozenset(
    {
        *("auto", "none", "required", "concise", "detailed", "priority", "flex"),
        *("minimal", "low", "medium", "high", "xhigh", "max"),
    }
)
MAX_ITEMS: Final = 400


def shape_of_request(url: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Method, path, headers and body of a request as a shape."""
    return {
        "method": "POST",
        "path": urlsplit(url).path,
        "headers": shape_of_headers(headers),
        "body_bytes": len(body),
        "body": shape_of_body(body),
    }


def shape_of_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Header names in lower case, with values that may be shown and the lengths of the others."""
    return {name.lower(): _header(name.lower(), value) for name, value in headers.items()}


def shape_of_body(body: bytes) -> dict[str, Any]:
    """A request body's shape; empty for what is no JSON object."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    shape: dict[str, Any] = {name: _field(name, value) for name, value in told.items() if name in KNOWN_FIELDS}
    if unknown := len(told) - len(shape):
        shape["unknown_fields"] = unknown
    return shape


def _header(name: str, value: str) -> str:
    if name in SHOWN_HEADERS:
        return value[:200]
    if name.startswith(LIMIT_HEADERS) and (value.lower() in ("true", "false") or _is_number(value)):
        return value
    scheme, separator, _ = value.partition(" ")
    if name == "authorization" and separator and scheme.lower() in ("bearer", "basic"):
        return f"{scheme} [{len(value) - len(scheme) - 1} characters]"
    return f"[{len(value)} characters]"


def _field(name: str, value: Any) -> Any:
    match value:
        case bool() | int() | float() | None:
            return value
        case str():
            shown = value in KNOWN_WORDS or (name == "model" and GPT.fullmatch(value))
            return value if shown else {"chars": len(value)}
        case dict() if name == "reasoning":
            return {key: _field("", inner) for key, inner in value.items() if key in ("effort", "summary")}
        case dict():
            return {"keys": len(value)}
        case list() if name == "input":
            return {"count": len(value), "last": [_item(item) for item in value[-MAX_ITEMS:]]}
        case list():
            return {"count": len(value), "types": dict(Counter(_word(item) for item in value))}
        case _:
            return "?"


def _item(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {"type": "?"}
    told: dict[str, Any] = {"type": _word(item), "chars": len(json.dumps(item, ensure_ascii=False))}
    role = item.get("role")
    return told | {"role": role} if isinstance(role, str) and role in KNOWN_TYPES else told


def _word(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else item
    if kind is None and isinstance(item, dict) and "role" in item:
        return "message"
    return kind if isinstance(kind, str) and kind in KNOWN_TYPES else "other"


def _is_number(value: str) -> bool:
    return len(value) < 32 and value.replace(".", "", 1).removeprefix("-").isdecimal() and value.isascii()
