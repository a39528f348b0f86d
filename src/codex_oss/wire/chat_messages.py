"""Turn the items of a turn into the `messages` of Chat Completions.

Counterparts: `wire.chat_request` calls this; `wire.responses_items` made the items.

    instructions, leading system and developer items   ─► one system message
    later system and developer items                   ─► user message with a tag
    assistant text, reasoning, calls in a row          ─► one assistant message {content, tool_calls}
    the outputs of its calls, wherever they stand       ─► tool messages directly behind it, in the order of the calls

Rules that hold here:

1. The same items give the same bytes, and more items at the end change nothing before the last assistant group:
   upstream prompt caches live from that.
2. Each call has exactly one tool message: a missing output is replaced by a note, an output without its call
   becomes a user message. Upstreams refuse anything else, and interrupted turns produce both.
3. Nothing a user sent vanishes silently: what the model cannot see is replaced by a note or refused.
4. Another provider's `encrypted_content` is never forwarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import InvalidRequest
from codex_oss.wire.chat_tools import ToolNames, custom_arguments
from codex_oss.wire.file_text import UnreadableFile, file_as_text, text_of_file
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
    TextPart,
    ToolOutput,
)

NO_OUTPUT_NOTE: Final = "[no output was recorded for this call]"
ORPHAN_NOTE: Final = "[output of a tool call that is not part of this conversation]"
IMAGE_NOTE: Final = "[an image was sent here; this model cannot see images]"
IMAGE_BELOW_NOTE: Final = "[the image of this output follows in the next user message]"

_REFUSED: Final = {
    "compaction": "holds a summary that another provider sealed",
    "compaction_trigger": "asks for a sealed summary, which this bridge does not make",
}
"""Items without which the conversation would be wrong, so that leaving them out is worse than refusing."""

ChatMessage = dict[str, Any]


def encode_messages(
    items: Sequence[Item], names: ToolNames, profile: ModelProfile, *, instructions: str = "", system_note: str = ""
) -> list[ChatMessage]:
    """Return the messages of a chat request.

    system_note: text for the end of the system message (what the upstream cannot be told otherwise).
    Raises InvalidRequest for a file that is not text and for a sealed compaction.
    """
    leading = _count_leading_system(items)
    texts = [instructions, *(_plain_text(item.parts) for item in items[:leading] if isinstance(item, Message))]
    texts.append(system_note)
    system = "\n\n".join(text for text in texts if text)
    conversation = _Conversation(items, names, profile)
    if system:
        conversation.messages.append({"role": profile.quirks.system_role, "content": system})
    for position in range(leading, len(items)):
        conversation.take(position)
    conversation.close_group()
    return conversation.messages


def _count_leading_system(items: Sequence[Item]) -> int:
    for position, item in enumerate(items):
        if not (isinstance(item, Message) and item.role in ("system", "developer")):
            return position
    return len(items)


class _Conversation:
    """The messages so far and the assistant group that is still open."""

    def __init__(self, items: Sequence[Item], names: ToolNames, profile: ModelProfile) -> None:
        self.messages: list[ChatMessage] = []
        self._items = items
        self._names = names
        self._quirks = profile.quirks
        self._output_of, self._matched = _match_outputs(items)
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[int] = []
        self._answered = False

    def take(self, position: int) -> None:
        """Take the item at *position* into the messages or the open group."""
        item = self._items[position]
        match item:
            case Message(role="assistant", parts=parts):
                self._open_group()
                self._texts.append(_plain_text(parts))
            case Message(role=role, parts=parts):
                self.close_group()
                self._take_message(role, parts, position)
            case FunctionCall() | CustomToolCall():
                self._open_group()
                self._calls.append(position)
            case ReasoningItem(summary=summary, text=text):
                self._open_group()
                self._reasoning.append(text or summary)
            case ToolOutput(parts=parts):
                if position in self._matched:
                    self._answered = True
                else:
                    self.close_group()
                    self._add_user((TextPart(ORPHAN_NOTE), *parts), position)
            case OpaqueItem(type=kind):
                if kind in _REFUSED:
                    raise InvalidRequest(f"`input[{position}]` {_REFUSED[kind]}.", param=f"input[{position}]")
            case _:
                assert_never(item)

    def close_group(self) -> None:
        """End the open assistant group: one assistant message, then the outputs of its calls."""
        content = "\n\n".join(text for text in self._texts if text)
        if content or self._calls:
            # "" and not null: some chat templates print a null as the word None.
            message: ChatMessage = {"role": "assistant", "content": content}
            reasoning = "\n\n".join(text for text in self._reasoning if text)
            if self._calls and reasoning and self._quirks.replay_reasoning:
                message["reasoning_content"] = reasoning
            if self._calls:
                message["tool_calls"] = [self._tool_call(position) for position in self._calls]
            self.messages.append(message)
            self._add_outputs()
        self._texts, self._reasoning, self._calls, self._answered = [], [], [], False

    def _open_group(self) -> None:
        """Begin a new group when the outputs of the present one were met: the model was asked again in between."""
        if self._answered:
            self.close_group()

    def _take_message(self, role: str, parts: Sequence[Part], position: int) -> None:
        if role == "user":
            self._add_user(parts, position)
        else:
            # Many chat templates allow one system message, at the start only.
            text = f"<{role}_message>\n{_plain_text(parts)}\n</{role}_message>"
            self.messages.append({"role": "user", "content": text})

    def _add_user(self, parts: Sequence[Part], position: int) -> None:
        self.messages.append({"role": "user", "content": self._content(parts, position)})

    def _tool_call(self, position: int) -> dict[str, Any]:
        call = self._items[position]
        if isinstance(call, CustomToolCall):
            arguments = custom_arguments(call.input)
        else:
            assert isinstance(call, FunctionCall)
            arguments = call.arguments if _is_json_object(call.arguments) else "{}"
        name = self._names.wire_name(call.namespace, call.name)
        return {"id": call.call_id, "type": "function", "function": {"name": name, "arguments": arguments}}

    def _add_outputs(self) -> None:
        images: list[Part] = []
        for position in self._calls:
            call = self._items[position]
            assert isinstance(call, FunctionCall | CustomToolCall)
            at = self._output_of.get(position)
            content = NO_OUTPUT_NOTE
            if at is not None:
                output = self._items[at]
                assert isinstance(output, ToolOutput)
                content = "\n".join(self._output_texts(output.parts, at))
                images.extend(part for part in output.parts if isinstance(part, ImagePart) and self._quirks.images)
            self.messages.append({"role": "tool", "tool_call_id": call.call_id, "content": content})
        if images:
            # No upstream takes images in a tool message; they go behind the last one of the group.
            self._add_user(images, self._calls[-1])

    def _output_texts(self, parts: Sequence[Part], position: int) -> list[str]:
        image_text = IMAGE_BELOW_NOTE if self._quirks.images else IMAGE_NOTE
        return [image_text if isinstance(part, ImagePart) else _part_text(part, position) for part in parts]

    def _content(self, parts: Sequence[Part], position: int) -> str | list[dict[str, Any]]:
        """Return message content: one string, or a part list when there are images that the model can see."""
        if not (self._quirks.images and any(isinstance(part, ImagePart) for part in parts)):
            return "\n".join(_part_text(part, position) for part in parts)
        return [_image(part) if isinstance(part, ImagePart) else _text(_part_text(part, position)) for part in parts]


def _match_outputs(items: Sequence[Item]) -> tuple[dict[int, int], set[int]]:
    """Pair calls with outputs: each output belongs to the nearest earlier call of its id without one.

    Returns the position of the output by the position of its call, and the positions of all paired outputs.
    """
    waiting: dict[str, list[int]] = {}
    output_of: dict[int, int] = {}
    for position, item in enumerate(items):
        if isinstance(item, FunctionCall | CustomToolCall):
            waiting.setdefault(item.call_id, []).append(position)
        elif isinstance(item, ToolOutput) and waiting.get(item.call_id):
            output_of[waiting[item.call_id].pop()] = position
    return output_of, set(output_of.values())


def _plain_text(parts: Sequence[Part]) -> str:
    return "\n".join(_part_text(part, None) for part in parts)


def _part_text(part: Part, position: int | None) -> str:
    match part:
        case TextPart(text) | RefusalPart(text):
            return text
        case ImagePart():
            return IMAGE_NOTE
        case FilePart():
            return _file_text(part, position)
        case _:
            assert_never(part)


def _file_text(part: FilePart, position: int | None) -> str:
    """Return a text file as text with its name; anything else no chat upstream can open."""
    try:
        return file_as_text(part.filename, text_of_file(part))
    except UnreadableFile as exc:
        where = "input" if position is None else f"input[{position}]"
        raise InvalidRequest(f"`{where}` holds {exc.what}.", param=where, hint=exc.hint) from None


def _image(part: ImagePart) -> dict[str, Any]:
    detail = "high" if part.detail == "original" else part.detail
    return {"type": "image_url", "image_url": {"url": part.url, "detail": detail}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _is_json_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True
