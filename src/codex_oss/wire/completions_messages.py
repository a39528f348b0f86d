"""Decode the `messages` of a Chat Completions request into items.

Counterparts: `wire.completions_request` calls this; `wire.chat_messages` goes the other way, to an upstream.

    system, developer, user  ─► message
    assistant                ─► reasoning, message, calls, each only where it says something
    tool, function           ─► tool output

Rules that hold here:

1. `reasoning_content` (or `reasoning`) of an assistant message is kept: OpenCode sends it back, and some models need
   it within a tool loop (Observed: OpenCode 1.18, `@ai-sdk/openai-compatible`).
2. The form before `tool_calls` has no ids: a `function_call` gets one by its number, and the next `function` message
   of that name answers it.
3. A content part that no open model can read (audio) is refused, never left out. The `name` of a speaker is not kept.
Source: OpenAI API reference "create chat completion"; the `openai` package 3.52.
"""

from __future__ import annotations

from typing import Any, Final

from codex_oss.wire.fields import as_object, invalid, kind_of, list_at, object_at, required_text_at, text_at
from codex_oss.wire.items import (
    CustomToolCall,
    FilePart,
    FunctionCall,
    ImagePart,
    Item,
    Message,
    Part,
    ReasoningItem,
    RefusalPart,
    Role,
    TextPart,
    ToolOutput,
)

_SPEAKERS: Final[dict[str, Role]] = {"system": "system", "developer": "developer", "user": "user"}
_TEXT_KINDS: Final = ("text", "input_text", "output_text")
"""The last two are of the Responses API; users of both mix them."""


def decode_messages(value: Any) -> tuple[Item, ...]:
    """Decode the `messages` field. Raises InvalidRequest, also when nothing in it says anything."""
    if value is not None and not isinstance(value, list):
        raise invalid("messages", f"must be a list of messages, not {kind_of(value)}")
    calls = _Calls()
    items: list[Item] = []
    for position, raw in enumerate(value or ()):
        where = f"messages[{position}]"
        items += _decode_message(as_object(raw, where), where, calls)
    if not items:
        raise invalid("messages", "is required and must not be empty")
    return tuple(items)


class _Calls:
    """The calls so far, for the answers that name their kind or their call by it."""

    def __init__(self) -> None:
        self.custom: set[str] = set()
        """Ids of the calls that are custom."""
        self._made = 0
        self._waiting: dict[str, str] = {}
        """Id by function name, of the last `function_call` that has no answer yet."""

    def make_id(self, name: str) -> str:
        """Return the id of a `function_call`, which has none of its own."""
        self._made += 1
        self._waiting[name] = f"call_function_{self._made}"
        return self._waiting[name]

    def id_answered(self, name: str) -> str:
        """Return the id of the call that a `function` message answers; an unknown one when there is none."""
        return self._waiting.pop(name, "call_function_unknown")


def _decode_message(obj: dict[str, Any], where: str, calls: _Calls) -> list[Item]:
    role = required_text_at(obj, "role", where)
    speaker = _SPEAKERS.get(role)
    if speaker is not None:
        return [Message(speaker, _parts(obj, where))]
    match role:
        case "assistant":
            return _assistant(obj, where, calls)
        case "tool":
            call_id = required_text_at(obj, "tool_call_id", where)
            return [ToolOutput(call_id, _parts(obj, where), call_id in calls.custom)]
        case "function":
            name = required_text_at(obj, "name", where)
            return [ToolOutput(calls.id_answered(name), _parts(obj, where))]
    raise invalid(f"{where}.role", "must be system, developer, user, assistant, tool or function")


def _assistant(obj: dict[str, Any], where: str, calls: _Calls) -> list[Item]:
    items: list[Item] = []
    if object_at(obj, "audio", where) is not None:
        raise invalid(f"{where}.audio", "refers to speech that is not kept here", "Send what was said as `content`.")
    thought = text_at(obj, "reasoning_content", where) or text_at(obj, "reasoning", where)
    if thought:
        items.append(ReasoningItem(text=thought))
    parts = _parts(obj, where)
    refusal = text_at(obj, "refusal", where)
    if refusal:
        parts = (*parts, RefusalPart(refusal))
    if any(not isinstance(part, TextPart) or part.text for part in parts):
        items.append(Message("assistant", parts))
    for position, raw in enumerate(list_at(obj, "tool_calls", where)):
        place = f"{where}.tool_calls[{position}]"
        items.append(_call(as_object(raw, place), place, calls))
    function = object_at(obj, "function_call", where)
    if function is not None:
        inner = f"{where}.function_call"
        name = required_text_at(function, "name", inner)
        items.append(FunctionCall(calls.make_id(name), name, text_at(function, "arguments", inner)))
    return items


def _call(obj: dict[str, Any], where: str, calls: _Calls) -> Item:
    call_id = required_text_at(obj, "id", where)
    kind = text_at(obj, "type", where, "function")
    if kind not in ("function", "custom"):
        raise invalid(f"{where}.type", "must be function or custom")
    called = object_at(obj, kind, where)
    if called is None:
        raise invalid(f"{where}.{kind}", "is required")
    inner = f"{where}.{kind}"
    name = required_text_at(called, "name", inner)
    if kind == "function":
        return FunctionCall(call_id, name, text_at(called, "arguments", inner))
    calls.custom.add(call_id)
    return CustomToolCall(call_id, name, text_at(called, "input", inner))


def _parts(message: dict[str, Any], where: str) -> tuple[Part, ...]:
    """Decode the content of a message: a string, a list of parts, or null."""
    value, place = message.get("content"), f"{where}.content"
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),)
    if not isinstance(value, list):
        raise invalid(place, f"must be a string or a list of parts, not {kind_of(value)}")
    return tuple(_part(raw, f"{place}[{position}]") for position, raw in enumerate(value))


def _part(raw: Any, where: str) -> Part:
    if isinstance(raw, str):
        return TextPart(raw)
    obj = as_object(raw, where)
    kind = text_at(obj, "type", where)
    if kind in _TEXT_KINDS:
        return TextPart(text_at(obj, "text", where))
    match kind:
        case "refusal":
            return RefusalPart(text_at(obj, "refusal", where))
        case "image_url":
            return _image(obj, where)
        case "file":
            file = object_at(obj, "file", where) or {}
            inner = f"{where}.file"
            return FilePart(
                text_at(file, "filename", inner),
                text_at(file, "file_data", inner),
                file_id=text_at(file, "file_id", inner),
            )
    raise invalid(f"{where}.type", "is not a content part that an open model can read")


def _image(obj: dict[str, Any], where: str) -> ImagePart:
    value = obj.get("image_url")
    image = {"url": value} if isinstance(value, str) else object_at(obj, "image_url", where) or {}
    inner = f"{where}.image_url"
    return ImagePart(required_text_at(image, "url", inner), text_at(image, "detail", inner, "auto"))
