"""Decode the `tools` and `tool_choice` of a Responses request.

Counterparts: `wire.responses_request` calls this, `wire.chat_tools` writes the tools for a chat upstream.

Rules that hold here:

1. Namespaces are flattened: each inner tool carries `namespace`, because Codex needs name *and* namespace back.
2. Hosted tools (web_search and its like) and client-executed ones that need their own item types (local_shell,
   shell, apply_patch) land in the list of dropped types. They are never an error: Codex sends one in each turn. A
   `tool_search` that the client executes is kept, and `defer_loading` is read over: what is listed is offered.
3. Tools that items of the conversation bring (`additional_tools`, what a `tool_search` found) stand behind those of
   the request, in the order of their items: they are there for the rest of the conversation, and never move.
4. A tool listed twice counts once, the first one; order is kept because upstream prompt caches depend on it.
Source: captures of Codex CLI 0.169 and OpenCode 1.18; the `openai` package 3.52 for the other kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from codex_oss.wire.fields import as_object, invalid, kind_of, list_at, object_at, required_text_at, text_at
from codex_oss.wire.items import CustomTool, FunctionTool, SearchTool, Tool, ToolChoice


def decode_tools(
    body: dict[str, Any], declarations: Sequence[tuple[dict[str, Any], str]]
) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """Decode every tool of a request.

    declarations: the items of the input that bring tools, with their paths.
    Returns the tools in order and the types of those left out, each once.
    """
    tools: dict[tuple[str | None, str], Tool] = {}
    dropped: dict[str, None] = {}
    for holder, prefix in [(body, ""), *declarations]:
        for position, raw in enumerate(list_at(holder, "tools", prefix)):
            where = f"{prefix}.tools[{position}]" if prefix else f"tools[{position}]"
            _take_tool(as_object(raw, where), where, None, tools, dropped)
    return tuple(tools.values()), tuple(dropped)


def decode_tool_choice(value: Any, tools: Sequence[Tool]) -> ToolChoice:
    """Decode `tool_choice`; a choice among hosted tools falls back to auto because these are left out.

    Raises InvalidRequest for a named tool that the request does not list.
    """
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
        return _allowed_tools(obj, tools)
    if kind not in ("function", "custom"):
        return ToolChoice()
    name = required_text_at(obj, "name", "tool_choice")
    if name not in {tool.name for tool in tools}:
        raise invalid("tool_choice.name", "names a tool that `tools` does not list")
    return ToolChoice("named", (name,))


_MODES: Final[dict[str, Literal["auto", "none", "required"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
}


def _allowed_tools(obj: dict[str, Any], tools: Sequence[Tool]) -> ToolChoice:
    mode = _MODES.get(text_at(obj, "mode", "tool_choice", "auto"))
    if mode is None or mode == "none":
        raise invalid("tool_choice.mode", "must be auto or required")
    known = {tool.name for tool in tools}
    names = []
    for position, raw in enumerate(list_at(obj, "tools", "tool_choice")):
        where = f"tool_choice.tools[{position}]"
        name = text_at(as_object(raw, where), "name", where)
        if name in known:
            names.append(name)
    # Only hosted tools allowed means that no tool is left, which is "none" and not "any".
    return ToolChoice(mode, tuple(names)) if names else ToolChoice("none")


def _take_tool(
    obj: dict[str, Any],
    where: str,
    namespace: str | None,
    tools: dict[tuple[str | None, str], Tool],
    dropped: dict[str, None],
) -> None:
    kind = required_text_at(obj, "type", where)
    match kind:
        case "function":
            function = _function_tool(obj, where, namespace)
            tools.setdefault((namespace, function.name), function)
        case "custom":
            custom = _custom_tool(obj, where, namespace)
            tools.setdefault((namespace, custom.name), custom)
        case "namespace" if namespace is None:
            name = required_text_at(obj, "name", where)
            for position, raw in enumerate(list_at(obj, "tools", where)):
                inner = f"{where}.tools[{position}]"
                _take_tool(as_object(raw, inner), inner, name, tools, dropped)
        case "tool_search" if namespace is None and text_at(obj, "execution", where) == "client":
            search = SearchTool(text_at(obj, "description", where), object_at(obj, "parameters", where) or _SEARCH)
            tools.setdefault((None, search.name), search)
        case _:
            dropped.setdefault(kind)


_SEARCH: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "number"}},
    "required": ["query"],
}
"""For a search that says nothing of its parameters; Codex 0.169 has these two."""


def _function_tool(obj: dict[str, Any], where: str, namespace: str | None) -> FunctionTool:
    if "name" not in obj and isinstance(obj.get("function"), dict):
        raise invalid(f"{where}.name", "is required", "This is the Chat Completions form; Responses tools are flat.")
    strict = obj.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise invalid(f"{where}.strict", f"must be true, false or null, not {kind_of(strict)}")
    return FunctionTool(
        required_text_at(obj, "name", where),
        text_at(obj, "description", where),
        object_at(obj, "parameters", where) or {},
        strict,
        namespace,
    )


def _custom_tool(obj: dict[str, Any], where: str, namespace: str | None) -> CustomTool:
    form = object_at(obj, "format", where) or {}
    return CustomTool(
        required_text_at(obj, "name", where),
        text_at(obj, "description", where),
        text_at(form, "definition", f"{where}.format"),
        namespace,
        text_at(form, "syntax", f"{where}.format", "lark"),
    )
