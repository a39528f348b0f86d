"""Decode the `input` of a Responses request into items.

Counterparts: `wire.responses_request` calls this, `wire.chat_messages` turns the items into chat messages.

Rules that hold here:

1. One row of `_DECODERS` or `wire.tool_items` per item type; a type without a row becomes an `OpaqueItem`, never an
   error.
2. Keys that no row reads are dropped (Observed: Codex 0.169 lite mode adds
   `internal_chat_message_metadata_passthrough` to items).
3. `configuration_update` is no item of the conversation either: `wire.responses_settings` reads it.
4. Whoever keeps items puts them in the place of each `item_reference` before (`wire.stored_items`); one that is
   left, and images by file id, are `InvalidRequest`.
5. `agent_message` (Codex multi-agent v2) is read as a user message. Its `encrypted_content` part is the plain
   text that the parent's open model wrote, so it is kept as text (Observed: Codex 0.169).
Source: Open Responses 2026-04-24; the `openai` package 3.52; captures of Codex CLI 0.169 and OpenCode 1.18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

from codex_oss.wire.fields import (
    as_object,
    invalid,
    kind_of,
    list_at,
    optional_text_at,
    required_text_at,
    text_at,
)
from codex_oss.wire.items import (
    CustomToolCall,
    FilePart,
    FunctionCall,
    ImagePart,
    Item,
    Message,
    OpaqueItem,
    Part,
    ReasoningItem,
    RefusalPart,
    Role,
    TextPart,
    ToolOutput,
)
from codex_oss.wire.tool_items import TOOL_ITEMS

_ROLES: Final[tuple[Role, ...]] = get_args(Role)


def decode_items(value: Any) -> tuple[tuple[Item, ...], list[tuple[dict[str, Any], str]]]:
    """Decode the `input` field.

    value: a string (one user message) or the list of items.
    Returns the items in order, and apart from them the objects that bring tools with their paths: `additional_tools`,
    which are no part of the conversation, and `tool_search_output`, which are.
    """
    if value is None:
        return (), []
    if isinstance(value, str):
        return (Message("user", (TextPart(value),)),), []
    if not isinstance(value, list):
        raise invalid("input", f"must be a string or a list of items, not {kind_of(value)}")
    items: list[Item] = []
    declarations: list[tuple[dict[str, Any], str]] = []
    for position, raw in enumerate(value):
        where = f"input[{position}]"
        obj = as_object(raw, where)
        kind = text_at(obj, "type", where, "message" if "role" in obj else "")
        if kind == "additional_tools":
            declarations.append((obj, where))
        elif not kind:
            raise invalid(f"{where}.type", "is required for an item without a role")
        elif kind in TOOL_ITEMS:
            if kind == "tool_search_output":
                declarations.append((obj, where))
            items += TOOL_ITEMS[kind](obj, where)
        elif kind != "configuration_update":
            items.append(_DECODERS.get(kind, _opaque)(obj, where))
    return tuple(items), declarations


def _message(obj: dict[str, Any], where: str) -> Message:
    role = text_at(obj, "role", where)
    for known in _ROLES:
        if role == known:
            return Message(
                known, _parts(obj.get("content"), f"{where}.content"), optional_text_at(obj, "phase", where), _id(obj)
            )
    raise invalid(f"{where}.role", "must be user, assistant, system or developer")


def _function_call(obj: dict[str, Any], where: str) -> FunctionCall:
    return FunctionCall(
        required_text_at(obj, "call_id", where),
        required_text_at(obj, "name", where),
        text_at(obj, "arguments", where),
        optional_text_at(obj, "namespace", where),
        _id(obj),
    )


def _custom_tool_call(obj: dict[str, Any], where: str) -> CustomToolCall:
    return CustomToolCall(
        required_text_at(obj, "call_id", where),
        required_text_at(obj, "name", where),
        text_at(obj, "input", where),
        optional_text_at(obj, "namespace", where),
        _id(obj),
    )


def _function_output(obj: dict[str, Any], where: str) -> ToolOutput:
    return ToolOutput(required_text_at(obj, "call_id", where), _parts(obj.get("output"), f"{where}.output"))


def _custom_output(obj: dict[str, Any], where: str) -> ToolOutput:
    return ToolOutput(required_text_at(obj, "call_id", where), _parts(obj.get("output"), f"{where}.output"), True)


def _reasoning(obj: dict[str, Any], where: str) -> ReasoningItem:
    return ReasoningItem(
        _joined_text(obj, "summary", where),
        _joined_text(obj, "content", where),
        text_at(obj, "encrypted_content", where),
        _id(obj),
    )


def _agent_message(obj: dict[str, Any], where: str) -> Message:
    return Message("user", _parts(obj.get("content"), f"{where}.content"), None, _id(obj))


def _item_reference(_obj: dict[str, Any], where: str) -> Item:
    raise invalid(where, "refers to an item that is not stored here", "Send the whole item instead.")


def _opaque(obj: dict[str, Any], _where: str) -> OpaqueItem:
    return OpaqueItem(obj["type"], obj)


_DECODERS: Final[dict[str, Callable[[dict[str, Any], str], Item]]] = {
    "message": _message,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "function_call_output": _function_output,
    "custom_tool_call_output": _custom_output,
    "reasoning": _reasoning,
    "agent_message": _agent_message,
    "item_reference": _item_reference,
}


def _parts(value: Any, where: str) -> tuple[Part, ...]:
    """Decode message content or tool output: a string, a list of parts, or null (Codex echoes `content: null`)."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),)
    if not isinstance(value, list):
        raise invalid(where, f"must be a string or a list of parts, not {kind_of(value)}")
    return tuple(_part(raw, f"{where}[{position}]") for position, raw in enumerate(value))


def _part(raw: Any, where: str) -> Part:
    if isinstance(raw, str):
        return TextPart(raw)
    obj = as_object(raw, where)
    kind = text_at(obj, "type", where)
    key = _TEXT_KEYS.get(kind)
    if key is not None:
        return TextPart(text_at(obj, key, where))
    match kind:
        case "refusal":
            return RefusalPart(text_at(obj, "refusal", where))
        case "input_image":
            return _image(obj, where)
        case "input_file":
            return FilePart(
                text_at(obj, "filename", where),
                text_at(obj, "file_data", where),
                text_at(obj, "file_url", where),
                text_at(obj, "file_id", where),
            )
    raise invalid(f"{where}.type", "is not a content part that an open model can read")


_TEXT_KEYS: Final = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "reasoning_text": "text",
    "summary_text": "text",
    "encrypted_content": "encrypted_content",
}
"""Kinds of parts that are text, and the key that holds it."""


def _image(obj: dict[str, Any], where: str) -> ImagePart:
    url = obj.get("image_url")
    if isinstance(url, dict):
        # The nested form of Chat Completions; SDK users mix the two.
        url = url.get("url")
    if not isinstance(url, str) or not url:
        raise invalid(f"{where}.image_url", "must be a data or http URL", "Files by id are not stored here.")
    return ImagePart(url, text_at(obj, "detail", where, "auto"))


def _joined_text(obj: dict[str, Any], key: str, where: str) -> str:
    texts = []
    for position, raw in enumerate(list_at(obj, key, where)):
        place = f"{where}.{key}[{position}]"
        texts.append(text_at(as_object(raw, place), "text", place))
    return "\n\n".join(texts)


def _id(obj: dict[str, Any]) -> str:
    value = obj.get("id")
    return value if isinstance(value, str) else ""
