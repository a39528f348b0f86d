"""Decode the items of tools that have item types of their own: searches for tools, shells, patches, hosted tools.

Counterpart: `wire.responses_items` calls this for each type in `TOOL_ITEMS`.

    tool_search_call · local_shell_call · shell_call · apply_patch_call · computer_call   ─► function call
    their …_output                                                                         ─► tool output
    web_search_call · file_search_call · code_interpreter_call · mcp_call · image_…_call   ─► both, from one item

Rules that hold here:

1. They come from a conversation that another model began, or from a client's own tools. The model reads them as what
   they were, a call and its result, under the name that the API gives the tool; none is an error.
2. A hosted call whose item keeps no result gets a note in its place: a call without any is read as interrupted.
3. Ids, statuses and callers are dropped. A call without an id gets the name of its tool: outputs find it by order.
Source: the `openai` package 3.52, `ResponseInputItem`; Codex CLI 0.169 for the search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from codex_oss.wire.fields import as_object, list_at, object_at, required_text_at, text_at
from codex_oss.wire.items import FunctionCall, ImagePart, Item, Part, TextPart, ToolOutput

NO_RESULT_NOTE: Final = "[the result of this call was not kept; what follows was written with it at hand]"
NO_TOOLS_NOTE: Final = "No tools found."

Decoder = Callable[[dict[str, Any], str], list[Item]]

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def _call(name: str, key: str) -> Decoder:
    """Decode a call whose arguments are the value at *key*."""

    def decode(obj: dict[str, Any], where: str) -> list[Item]:
        return [FunctionCall(_call_id(obj, where, name), name, _arguments(obj.get(key)))]

    return decode


def _output(name: str, read: Callable[[dict[str, Any], str], tuple[Part, ...]]) -> Decoder:
    """Decode an output whose parts *read* gives."""

    def decode(obj: dict[str, Any], where: str) -> list[Item]:
        return [ToolOutput(_call_id(obj, where, name), read(obj, where))]

    return decode


def _hosted(name: str, keys: tuple[str, ...], read: Callable[[dict[str, Any], str], tuple[Part, ...]]) -> Decoder:
    """Decode a call that an API ran by itself: its arguments are the values at *keys*, *read* gives its result."""

    def decode(obj: dict[str, Any], where: str) -> list[Item]:
        call_id = text_at(obj, "id", where) or name
        arguments = {key: obj[key] for key in keys if obj.get(key) is not None}
        return [
            FunctionCall(call_id, name, _arguments(arguments)),
            ToolOutput(call_id, read(obj, where) or (TextPart(NO_RESULT_NOTE),)),
        ]

    return decode


def _mcp_call(obj: dict[str, Any], where: str) -> list[Item]:
    name = f"{text_at(obj, 'server_label', where) or 'mcp'}__{required_text_at(obj, 'name', where)}"
    call_id = text_at(obj, "id", where) or name
    result = text_at(obj, "output", where) or _text_of(obj.get("error")) or NO_RESULT_NOTE
    return [FunctionCall(call_id, name, text_at(obj, "arguments", where)), ToolOutput(call_id, (TextPart(result),))]


def _found_tools(obj: dict[str, Any], where: str) -> tuple[Part, ...]:
    """Name the tools that a search found; the model sees their definitions among its tools."""
    names: list[str] = []
    for position, raw in enumerate(list_at(obj, "tools", where)):
        place = f"{where}.tools[{position}]"
        tool = as_object(raw, place)
        inner = list_at(tool, "tools", place) if tool.get("type") == "namespace" else [tool]
        names += (text_at(as_object(one, place), "name", place) for one in inner)
    found = ", ".join(filter(None, names))
    return (TextPart(f"Found and ready to be called: {found}" if found else NO_TOOLS_NOTE),)


def _text_output(obj: dict[str, Any], _where: str) -> tuple[Part, ...]:
    text = _text_of(obj.get("output") if obj.get("output") is not None else obj.get("result"))
    return (TextPart(text or _text_or_status(obj)),)


def _text_or_status(obj: dict[str, Any]) -> str:
    """Say how a call without any output ended."""
    status = obj.get("status")
    return status if isinstance(status, str) and status else "completed"


def _shell_output(obj: dict[str, Any], where: str) -> tuple[Part, ...]:
    if not isinstance(obj.get("output"), list):
        return _text_output(obj, where)
    texts = []
    for position, raw in enumerate(list_at(obj, "output", where)):
        place = f"{where}.output[{position}]"
        piece = as_object(raw, place)
        outcome = object_at(piece, "outcome", place) or {}
        end = f"exit code {outcome['exit_code']}" if "exit_code" in outcome else text_at(outcome, "type", place)
        texts += [text_at(piece, "stdout", place), text_at(piece, "stderr", place), f"[{end}]" if end else ""]
    return (TextPart("\n".join(text for text in texts if text)),)


def _screenshot(obj: dict[str, Any], where: str) -> tuple[Part, ...]:
    url = text_at(object_at(obj, "output", where) or {}, "image_url", f"{where}.output")
    return (ImagePart(url),) if url else (TextPart(NO_RESULT_NOTE),)


def _drawing(obj: dict[str, Any], where: str) -> tuple[Part, ...]:
    data = text_at(obj, "result", where)
    return (ImagePart(f"data:image/png;base64,{data}"),) if data else ()


def _at(key: str) -> Callable[[dict[str, Any], str], tuple[Part, ...]]:
    """Read the value at *key* as text; nothing when it is absent or empty."""

    def read(obj: dict[str, Any], _where: str) -> tuple[Part, ...]:
        text = _text_of(obj.get(key))
        return (TextPart(text),) if text else ()

    return read


TOOL_ITEMS: Final[dict[str, Decoder]] = {
    "tool_search_call": _call("tool_search", "arguments"),
    "tool_search_output": _output("tool_search", _found_tools),
    "local_shell_call": _call("local_shell", "action"),
    "local_shell_call_output": _output("local_shell", _text_output),
    "shell_call": _call("shell", "action"),
    "shell_call_output": _output("shell", _shell_output),
    "apply_patch_call": _call("apply_patch", "operation"),
    "apply_patch_call_output": _output("apply_patch", _text_output),
    "computer_call": _call("computer", "action"),
    "computer_call_output": _output("computer", _screenshot),
    "program": _call("program", "code"),
    "program_output": _output("program", _text_output),
    "web_search_call": _hosted("web_search", ("action",), _at("results")),
    "file_search_call": _hosted("file_search", ("queries",), _at("results")),
    "code_interpreter_call": _hosted("code_interpreter", ("code",), _at("outputs")),
    "image_generation_call": _hosted("image_generation", (), _drawing),
    "mcp_call": _mcp_call,
}
"""Decoder by item type; `wire.responses_items` has the other types."""


def _call_id(obj: dict[str, Any], where: str, name: str) -> str:
    # The output of a local shell names its call by `id`; a search of another provider's server has null.
    return text_at(obj, "call_id", where) or (text_at(obj, "id", where) if name == "local_shell" else "") or name


def _arguments(value: Any) -> str:
    """Return call arguments: an object as it is, any other value under `input`."""
    if isinstance(value, str):
        return _encode({"input": value}).decode()
    return _encode(value if isinstance(value, dict) else {} if value is None else {"input": value}).decode()


def _text_of(value: Any) -> str:
    if value is None or value == []:
        return ""
    return value if isinstance(value, str) else _encode(value).decode()
