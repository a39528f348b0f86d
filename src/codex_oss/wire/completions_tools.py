"""Decode the `tools` and `tool_choice` of a Chat Completions request.

Counterparts: `wire.completions_request` calls this; `wire.responses_tools` is its twin for Responses requests.

Rules that hold here:

1. Tools that are neither functions nor custom land in the list of dropped types and are never an error.
2. A tool listed twice counts once, the first one; order is kept because upstream prompt caches depend on it.
3. The deprecated `functions` are refused with a hint: their answer would have to be a `function_call`, which no client
   of today reads.
Source: OpenAI API reference "create chat completion"; the `openai` package 3.52.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from codex_oss.wire.fields import as_object, invalid, kind_of, list_at, object_at, required_text_at, text_at
from codex_oss.wire.items import CustomTool, FunctionTool, Tool, ToolChoice


def decode_chat_tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """Decode every tool of a request; returns the tools in order and the types of those left out, each once."""
    if list_at(body, "functions", ""):
        raise invalid("functions", "is not served", "Send them as `tools`.")
    tools: dict[str, Tool] = {}
    dropped: dict[str, None] = {}
    for position, raw in enumerate(list_at(body, "tools", "")):
        where = f"tools[{position}]"
        obj = as_object(raw, where)
        kind = required_text_at(obj, "type", where)
        read = _TOOLS.get(kind)
        if read is None:
            dropped.setdefault(kind)
        else:
            tool = read(_inner(obj, kind, where), f"{where}.{kind}")
            tools.setdefault(tool.name, tool)
    if object_at(body, "web_search_options", "") is not None:
        dropped.setdefault("web_search")
    return tuple(tools.values()), tuple(dropped)


def decode_chat_tool_choice(value: Any, tools: tuple[Tool, ...]) -> ToolChoice:
    """Decode `tool_choice`. Raises InvalidRequest for a named tool that the request does not list."""
    if value is None:
        return ToolChoice()
    if isinstance(value, str):
        mode = _MODES.get(value)
        if mode is None:
            raise invalid("tool_choice", "must be auto, none, required or an object")
        return ToolChoice(mode)
    obj = as_object(value, "tool_choice")
    kind = text_at(obj, "type", "tool_choice")
    if kind == "allowed_tools":
        return _allowed_tools(_inner(obj, kind, "tool_choice"), tools)
    if kind not in _TOOLS:
        raise invalid("tool_choice.type", "must be function, custom or allowed_tools")
    name = required_text_at(_inner(obj, kind, "tool_choice"), "name", f"tool_choice.{kind}")
    if name not in {tool.name for tool in tools}:
        raise invalid(f"tool_choice.{kind}.name", "names a tool that `tools` does not list")
    return ToolChoice("named", (name,))


_MODES: Final[dict[str, Literal["auto", "none", "required"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
}


def _allowed_tools(allowed: dict[str, Any], tools: tuple[Tool, ...]) -> ToolChoice:
    where = "tool_choice.allowed_tools"
    mode = _MODES.get(text_at(allowed, "mode", where, "auto"))
    if mode is None or mode == "none":
        raise invalid(f"{where}.mode", "must be auto or required")
    known = {tool.name for tool in tools}
    names = []
    for position, raw in enumerate(list_at(allowed, "tools", where)):
        place = f"{where}.tools[{position}]"
        obj = as_object(raw, place)
        kind = text_at(obj, "type", place, "function")
        name = text_at(object_at(obj, kind, place) or {}, "name", f"{place}.{kind}")
        if name in known:
            names.append(name)
    # Only tools that were dropped are allowed: that is "none" and not "any".
    return ToolChoice(mode, tuple(names)) if names else ToolChoice("none")


def _inner(obj: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    inner = object_at(obj, kind, where)
    if inner is None:
        hint = "This is the Responses form; Chat Completions nests it." if "name" in obj else ""
        raise invalid(f"{where}.{kind}", "is required", hint)
    return inner


def _function(obj: dict[str, Any], where: str) -> Tool:
    strict = obj.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise invalid(f"{where}.strict", f"must be true, false or null, not {kind_of(strict)}")
    name, description = required_text_at(obj, "name", where), text_at(obj, "description", where)
    return FunctionTool(name, description, object_at(obj, "parameters", where) or {}, strict)


def _custom(obj: dict[str, Any], where: str) -> Tool:
    form = object_at(obj, "format", where) or {}
    grammar = object_at(form, "grammar", f"{where}.format") or {}
    return CustomTool(
        required_text_at(obj, "name", where),
        text_at(obj, "description", where),
        text_at(grammar, "definition", f"{where}.format.grammar"),
    )


_TOOLS: Final = {"function": _function, "custom": _custom}
"""Reader by kind of tool; the definition stands under the key of that name."""
