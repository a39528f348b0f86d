"""The items of `input` as the ChatGPT backend takes them, and sealed reasoning that only goes back to who made it.

Counterparts: `wire.account_body` does the other fields; `wire.seals` marks what an account sealed.

| item | what happens |
| --- | --- |
| any with an `id` | the id is left out: nothing is kept there that it could name |
| `item_reference` | left out, for the same reason |
| a system message | becomes a developer message |
| an output that answers no call | becomes the text of an assistant message |
| a call that no output answers | left out |
| reasoning without its sealed text, or with nothing of the model behind it | left out |

Rules that hold here:

1. Reasoning goes to the account that sealed it, and to no other one (`own_seals`). What carries no mark of ours was not
   sealed through this bridge; it is tried once, as long as the account stays the same.
2. Items keep their order; the given ones are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from codex_oss.wire.seals import owner_of, unmarked
from codex_oss.wire.summary_text import summary_text

Raw = dict[str, Any]
LIFTED: Final = ("system", "developer")
CALLS: Final = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
OUTPUTS: Final = frozenset(CALLS.values())
NO_OUTPUT: Final = "(no output)"
_TEXTS: Final = ("input_text", "output_text", "text")


class Lines:
    """What happened, each thing told once however many items it met."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Literal["converted", "dropped"], str]] = []

    def dropped(self, field: str, reason: str) -> None:
        """Something was left out."""
        self._tell(field, "dropped", reason)

    def converted(self, field: str, reason: str) -> None:
        """Something was said otherwise."""
        self._tell(field, "converted", reason)

    def _tell(self, field: str, action: Literal["converted", "dropped"], reason: str) -> None:
        if (field, action, reason) not in self.told:
            self.told.append((field, action, reason))


def adapted_input(value: Any, lines: Lines) -> list[Raw]:
    """The items as they are sent. value: the field as it came; anything that is no item is left out."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    given = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    items = [_plain(item, lines) for item in given if not _is_reference(item, lines)]
    return _without_dangling_reasoning(_paired(items, lines), lines)


def lifted(items: list[Raw]) -> tuple[str, list[Raw]]:
    """Instructions out of the first item, if that is text of the system; the items that are left."""
    first = items[0] if items else {}
    if first.get("type", "message") != "message" or first.get("role") not in LIFTED:
        return "", items
    text = _text_of(first.get("content"))
    return (text, items[1:]) if text.strip() and len(items) > 1 else ("", items)


def own_seals(items: Iterable[Any], owner: str | None, *, keep_unmarked: bool) -> list[Any]:
    """The items with what *owner* sealed as it sealed it, and without what others did.

    owner: of `wire.seals`; None for whoever sealed it. keep_unmarked: what nobody marked goes along.
    """
    return [_own_seal(item, owner, keep_unmarked=keep_unmarked) for item in items]


def without_reasoning(items: Iterable[Any]) -> list[Any]:
    """The items without any reasoning: after the backend could not open it."""
    return [item for item in items if not (isinstance(item, dict) and item.get("type") == "reasoning")]


def opened(items: Iterable[Any], summaries: Mapping[str, str]) -> list[Any]:
    """The items with sealed summaries of this bridge as messages. summaries: sealed text to what it holds."""
    out = []
    for place, item in enumerate(items):
        sealed = item.get("encrypted_content") if isinstance(item, dict) else None
        if isinstance(sealed, str) and sealed in summaries:
            item = _message("user", "input_text", summary_text(summaries[sealed], place))
        out.append(item)
    return out


def _own_seal(item: Any, owner: str | None, *, keep_unmarked: bool) -> Any:
    sealed = item.get("encrypted_content") if isinstance(item, dict) else None
    if not isinstance(sealed, str) or item.get("type") != "reasoning":
        return item
    marked_by = owner_of(sealed)
    if not marked_by:
        own = sealed if keep_unmarked else ""
    else:
        own = unmarked(marked_by if owner is None else owner, sealed)
    rest = {key: value for key, value in item.items() if key != "encrypted_content"}
    return {**rest, "encrypted_content": own} if own else rest


def _is_reference(item: Raw, lines: Lines) -> bool:
    if item.get("type") != "item_reference":
        return False
    lines.dropped("input[].item_reference", "nothing is kept there that it could name")
    return True


def _plain(item: Raw, lines: Lines) -> Raw:
    if "id" in item:
        lines.dropped("input[].id", "nothing is kept there that it could name")
        item = {key: value for key, value in item.items() if key != "id"}
    if item.get("role") == "system" and item.get("type", "message") == "message":
        lines.converted("input[].role", "the backend refuses system messages; a developer message says the same")
        item = {**item, "role": "developer"}
    return item


def _paired(items: Sequence[Raw], lines: Lines) -> list[Raw]:
    """Calls with their outputs; what has no other half is said otherwise or left out."""
    called = {(CALLS[kind], _text(item, "call_id")) for item in items if (kind := _text(item, "type")) in CALLS}
    answered = {(_text(item, "type"), _text(item, "call_id")) for item in items if _text(item, "type") in OUTPUTS}
    out: list[Raw] = []
    for item in items:
        kind, call_id = _text(item, "type"), _text(item, "call_id")
        if kind in CALLS and (CALLS[kind], call_id) not in answered:
            lines.dropped("input[].call", "no output answers this call")
        elif kind in OUTPUTS and (kind, call_id) not in called:
            lines.converted("input[].output", "it answers no call of the conversation")
            out.append(_message("assistant", "output_text", _text_of(item.get("output")) or NO_OUTPUT))
        else:
            out.append(item)
    return out


def _without_dangling_reasoning(items: Sequence[Raw], lines: Lines) -> list[Raw]:
    """Reasoning stays only with its sealed text and in front of what came of it."""
    kept: list[Raw] = []
    goes_on = False
    for item in reversed(items):
        if item.get("type") == "reasoning":
            sealed = item.get("encrypted_content")
            if not (isinstance(sealed, str) and sealed):
                lines.dropped("input[].reasoning", "it is sealed by somebody else, or not at all")
                continue
            if not goes_on:
                lines.dropped("input[].reasoning", "nothing came of it")
                continue
        else:
            goes_on = _is_of_model(item)
        kept.append(item)
    return kept[::-1]


def _is_of_model(item: Raw) -> bool:
    kind = item.get("type", "message")
    if kind == "message":
        return bool(item.get("role") == "assistant")
    return isinstance(kind, str) and kind.endswith("_call")


def _text(item: Raw, key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _message(role: str, kind: str, text: str) -> Raw:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _text_of(content: Any) -> str:
    """Text of a content; empty when it holds anything else."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    if not all(isinstance(part, dict) and part.get("type") in _TEXTS for part in parts):
        return ""
    return "\n".join(str(part.get("text", "")) for part in parts)
