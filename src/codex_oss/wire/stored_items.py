"""The items of stored turns: what a continuation sees of them, what a client may list, and what it may refer to.

Counterparts: `services.response_store` keeps the raw items, `wire.responses_output` gave the output items their ids,
`server.stored_responses` answers with what is made here.

Rules that hold here:

1. An item of the input keeps the id that its client gave; one without gets the prefix of its kind + the response id
   + `i` and its index. It is made anew each time, so it is stable without being stored.
2. Our ids name their response (`response_id_of`), so that a reference is found without an index of items.
3. A call that was cut short is not part of a continuation: no client ran it, and its arguments do not parse.
Source: OpenAI API reference "List input items", 2026; the `openai` package 3.52 (`ResponseItemList`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from codex_oss.errors import InvalidRequest

RawItem = dict[str, Any]

MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 20
_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
}
_OUR_ID: Final = re.compile(r"[a-z]+_([0-9a-zA-Z]+)_i?[0-9]+")
_CALLS: Final = ("function_call", "custom_tool_call", "tool_search_call")


class TurnItems(Struct, frozen=True):
    """The raw items of one stored turn: what was new in its input, and what was answered."""

    response_id: str
    items: list[RawItem]
    output: list[RawItem]


def new_items(obj: Mapping[str, Any]) -> list[RawItem]:
    """The items that a request adds to its conversation; a string is the user message that it means."""
    new = obj.get("input")
    if isinstance(new, str):
        return [{"type": "message", "role": "user", "content": new}]
    return list(new) if isinstance(new, list) else []


def history_of(chain: Iterable[TurnItems]) -> list[RawItem]:
    """What a continuation has before its own input. chain: the turns, the first one first."""
    history: list[RawItem] = []
    for turn in chain:
        history += turn.items
        history += (item for item in turn.output if not _is_cut_call(item))
    return history


def _is_cut_call(item: RawItem) -> bool:
    return item.get("type") in _CALLS and item.get("status") == "incomplete"


def listed_input(chain: Sequence[TurnItems]) -> list[RawItem]:
    """Every item that the last turn of *chain* was made from, in order, in the form that the API lists."""
    listed: list[RawItem] = []
    for turn in chain[:-1]:
        listed += listed_items(turn.response_id, turn.items)
        listed += (item for item in turn.output if not _is_cut_call(item))
    return listed + listed_items(chain[-1].response_id, chain[-1].items)


def listed_items(response_id: str, items: Iterable[RawItem]) -> list[RawItem]:
    """Give the input items of one turn their ids, and messages the type and the parts that clients may leave out."""
    return [_listed(response_id, index, item) for index, item in enumerate(items)]


def _listed(response_id: str, index: int, item: RawItem) -> RawItem:
    kind = item.get("type") or "message"
    given = item.get("id")
    own = f"{_PREFIXES.get(kind, 'item')}_{response_id.removeprefix('resp_')}_i{index}"
    listed = {**item, "type": kind, "id": given if isinstance(given, str) and given else own}
    if kind == "message":
        listed.setdefault("status", "completed")
        listed["content"] = _parts(item.get("content"), str(item.get("role")))
    return listed


def _parts(content: Any, role: str) -> list[Any]:
    if not isinstance(content, str):
        return content if isinstance(content, list) else []
    if role == "assistant":
        return [{"type": "output_text", "text": content, "annotations": []}]
    return [{"type": "input_text", "text": content}]


def page_of(items: list[RawItem], *, limit: str | None, order: str | None, after: str | None) -> dict[str, Any]:
    """One page of a list, as `GET …/input_items` answers. The arguments are its query parameters as they came.

    limit: 1 to 100, default 20. order: `desc` (default) or `asc`. after: the id of the item before the page.
    Raises InvalidRequest with the parameter that cannot be used.
    """
    size = DEFAULT_PAGE
    if limit is not None:
        if not (limit.isascii() and limit.isdecimal() and len(limit) <= 3 and 1 <= int(limit) <= MAX_PAGE):
            raise InvalidRequest(f"`limit` must be a whole number from 1 to {MAX_PAGE}.", param="limit")
        size = int(limit)
    if order not in (None, "asc", "desc"):
        raise InvalidRequest("`order` must be asc or desc.", param="order")
    ordered = items if order == "asc" else items[::-1]
    start = 0
    if after is not None:
        start = next((place for place, item in enumerate(ordered, 1) if item["id"] == after), 0)
        if not start:
            raise InvalidRequest("`after` names no item of this list.", param="after")
    page = ordered[start : start + size]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + size < len(ordered),
    }


def referred_ids(items: Iterable[Any]) -> list[str]:
    """The ids that `item_reference` items name, in order."""
    return [item["id"] for item in items if _is_reference(item)]


def _is_reference(item: Any) -> bool:
    """Say whether an item is a reference. OpenAI's schema lets the type of one be absent."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    return item.get("type") == "item_reference" or item.keys() == {"id"}


def response_id_of(item_id: str) -> str | None:
    """The response that brought the item of this id; None for an id that is not ours."""
    match = _OUR_ID.fullmatch(item_id)
    return None if match is None else f"resp_{match[1]}"


def with_items(items: Iterable[Any], found: Mapping[str, RawItem]) -> list[Any]:
    """Put the items in the place of the references to them; one that was not found stays and is refused later."""
    return [found.get(item["id"], item) if _is_reference(item) else item for item in items]
