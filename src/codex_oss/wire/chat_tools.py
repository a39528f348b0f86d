"""Tools for a Chat Completions upstream: their wire names, their form, and the way back.

Counterparts: `wire.chat_request` writes the tools, `wire.chat_answer` asks `ToolNames` what a called name means.

    functions/exec (custom) ─► "functions__exec" ─► the model calls it ─► CustomCallStart("exec", "functions")

Rules that hold here:

1. A wire name has 1 to 64 characters of `[A-Za-z0-9_-]` and is unique in its request; it depends on the tools only,
   never on the conversation, so that the prefix an upstream caches stays the same.
2. A custom tool becomes a function with one required string `input`. Its grammar goes into the description; nobody
   enforces it, the client's tool must check.
3. A call id is unique in the conversation and at most 64 characters: ids that are missing, too long or used
   before are replaced by one made from the response id. Several upstreams send `call_0` in each turn.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from codex_oss.wire.events import CallStart, CustomCallStart, FunctionCallStart, ToolSearchStart
from codex_oss.wire.items import CustomTool, FunctionTool, SearchTool, Tool, ToolChoice
from codex_oss.wire.loose_json import clean_text, decode_loose

MAX_NAME_CHARS: Final = 64
MAX_CALL_ID_CHARS: Final = 64


class ToolNames:
    """The names of one request's tools as the upstream sees them, and the call ids in use.

    response_id: seed for call ids that must be made. used_call_ids: those of earlier turns.
    """

    def __init__(self, tools: Sequence[Tool] = (), *, response_id: str = "", used_call_ids: Iterable[str] = ()) -> None:
        self._seed = response_id.removeprefix("resp_")[: MAX_CALL_ID_CHARS - 16] or "0"
        self._used = set(used_call_ids)
        self._made = 0
        self._tools: dict[str, Tool] = {}
        self._wire: dict[tuple[str | None, str], str] = {}
        for tool in tools:
            key = (tool.namespace, tool.name)
            if key not in self._wire:
                name = _unique(flat_name(*key), key, self._tools)
                self._tools[name] = tool
                self._wire[key] = name

    def wire_name(self, namespace: str | None, name: str) -> str:
        """Return the wire name of a tool; a tool that the request does not list gets its plain flat name."""
        return self._wire.get((namespace, name)) or flat_name(namespace, name)

    def items(self) -> Iterable[tuple[str, Tool]]:
        """Give wire name and tool, in the order of the request."""
        return self._tools.items()

    def chosen(self, choice: ToolChoice) -> list[str]:
        """Return the wire names that *choice* names; the client names them without their namespace."""
        return [wire for wire, tool in self._tools.items() if tool.name in choice.names or wire in choice.names]

    def start_of(self, wire_name: str, call_id: str) -> CallStart:
        """Return what opens when the model calls *wire_name*.

        A name that was never offered passes as a plain function: clients answer it with an error the model reads.
        """
        tool = self._tools.get(wire_name) or self._only_tool_named(wire_name)
        if tool is None:
            return FunctionCallStart(call_id, wire_name)
        if isinstance(tool, CustomTool):
            return CustomCallStart(call_id, tool.name, tool.namespace)
        if isinstance(tool, SearchTool):
            return ToolSearchStart(call_id)
        return FunctionCallStart(call_id, tool.name, tool.namespace)

    def _only_tool_named(self, name: str) -> Tool | None:
        """Find the tool whose namespace the model left out, when no other tool has that name."""
        found = [tool for tool in self._tools.values() if tool.name == name]
        return found[0] if len(found) == 1 else None

    def take_call_id(self, upstream_id: str) -> str:
        """Return *upstream_id* if it is usable and unused, else a new id; the result counts as used."""
        call_id = upstream_id
        while not call_id or len(call_id) > MAX_CALL_ID_CHARS or call_id in self._used:
            call_id = f"call_{self._seed}_{self._made}"
            self._made += 1
        self._used.add(call_id)
        return call_id


def flat_name(namespace: str | None, name: str) -> str:
    """Return `ns__name` cut and cleaned to what chat upstreams accept; a long name ends in a part of its hash."""
    full = f"{namespace}__{name}" if namespace else name
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", full) or "_"
    return clean if len(clean) <= MAX_NAME_CHARS else _with_digest(clean, full)


def encode_tools(names: ToolNames, choice: ToolChoice) -> list[dict[str, Any]]:
    """Return the `tools` of a chat request; with names in an auto or required *choice* only those."""
    allowed = set(names.chosen(choice)) if choice.names and choice.mode != "named" else None
    return [_encode_tool(wire, tool) for wire, tool in names.items() if allowed is None or wire in allowed]


def encode_tool_choice(names: ToolNames, choice: ToolChoice) -> str | dict[str, Any]:
    """Return the `tool_choice` of a chat request."""
    if choice.mode != "named":
        return choice.mode
    chosen = names.chosen(choice)
    return {"type": "function", "function": {"name": chosen[0]}} if chosen else "auto"


def custom_arguments(text: str) -> str:
    """Wrap the raw input of a freeform call as function arguments."""
    return msgspec.json.encode({"input": clean_text(text)}).decode()


def unwrap_custom_arguments(arguments: str) -> str:
    """Return the raw input inside function arguments, *arguments* itself when the model did not wrap it."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return arguments
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        text = value.get("input")
        if isinstance(text, str):
            return text
        if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
            # Small models name the one string as they like: `patch`, `code`, `text`.
            return only
    return arguments


def search_arguments(arguments: str) -> dict[str, Any]:
    """Return the arguments of a search for tools as the object that its item holds."""
    try:
        value = decode_loose(arguments.encode("utf-8", "replace"))
    except ValueError:
        value = arguments
    if isinstance(value, dict):
        return value
    # A search with the model's words is worth more than an error.
    return {"query": value} if isinstance(value, str) and value.strip() else {}


def _encode_tool(wire: str, tool: Tool) -> dict[str, Any]:
    if isinstance(tool, CustomTool):
        description, parameters = _custom_description(tool), _CUSTOM_PARAMETERS
    else:
        description, parameters = tool.description, tool.parameters or _NO_PARAMETERS
    function: dict[str, Any] = {"name": wire, "description": description, "parameters": parameters}
    if isinstance(tool, FunctionTool) and tool.strict:
        # `false` is the default; upstreams that do not know the field refuse it.
        function["strict"] = True
    return {"type": "function", "function": function}


_NO_PARAMETERS: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_CUSTOM_PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole raw input of the tool."}},
    "required": ["input"],
    "additionalProperties": False,
}


def _custom_description(tool: CustomTool) -> str:
    if not tool.grammar:
        return tool.description
    return f"{tool.description}\n\nThe string `input` must match this grammar:\n{tool.grammar}".strip()


def _unique(name: str, key: tuple[str | None, str], taken: dict[str, Tool]) -> str:
    """Return *name*, or a variant with a digest of *key* (and of a counter) when another tool has it already."""
    namespace, plain = key
    attempt = 0
    while name in taken:
        name = _with_digest(name, f"{namespace}\0{plain}\0{attempt}")
        attempt += 1
    return name


def _with_digest(name: str, source: str) -> str:
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: MAX_NAME_CHARS - 9]}_{digest}"
