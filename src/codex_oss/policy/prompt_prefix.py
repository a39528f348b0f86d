"""The fingerprint of what an upstream's prompt cache sees first: instructions, tools, then item after item.

Counterpart: `policy.cache_monitor` compares two of them. Rules that hold here:

1. Leading system and developer items are instructions: Codex sends its base prompt as the first item.
2. Ids, phases and ciphertexts are left out: no upstream reads them, and clients change them freely.
3. One hash of 64 bits an item, by Python's own `hash`: it differs from process to process and is never stored. It costs
   about a millisecond a megabyte, and 8 bytes of memory an item; beyond `MAX_ITEMS` items nothing is compared.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.wire.items import Item, Message, TurnRequest

MAX_ITEMS: Final = 4096
FIRST_ITEMS: Final = 4
"""Items behind the instructions that are named apart: a change there costs nearly the whole cache."""
UNREAD: Final = frozenset({"id", "phase", "encrypted_content"})
"""Fields of items that no upstream sees."""


class Prefix(Struct, frozen=True):
    """What a prompt begins with."""

    instructions: int
    tools: int
    items: array[int]
    """A hash for each item behind the instructions."""

    @property
    def opening(self) -> int:
        """What stays the same from the first turn of a conversation to the last."""
        return hash((self.instructions, self.items[0] if self.items else 0))


def prefix_of(request: TurnRequest) -> Prefix:
    """The fingerprint of a turn. Its cost grows with the conversation: call it off the event loop."""
    leading = _count_leading(request.items)
    instructions = hash((request.instructions, *map(_hash_of, request.items[:leading])))
    tools = hash(tuple(map(_hash_of, request.tools)))
    return Prefix(instructions, tools, array("q", map(_hash_of, request.items[leading : leading + MAX_ITEMS])))


def changed_layer(before: Prefix, now: Prefix, shared: int) -> tuple[str, int]:
    """The first layer of *before* that *now* does not begin with (empty when it does), and *shared* of the next turn.

    shared: items of *before* that must stay. Those behind them stood in one prompt only, and may be replaced without
    harm.
    """
    common = _common(before.items, now.items)
    layer = ""
    if now.instructions != before.instructions:
        layer = "instructions_changed"
    elif now.tools != before.tools:
        layer = "tools_changed"
    elif common < min(shared, len(before.items)):
        layer = "first_items_changed" if common < FIRST_ITEMS else "history_rewritten"
    return layer, (min(len(before.items), len(now.items)) if layer else common)


def _common(before: Sequence[int], now: Sequence[int]) -> int:
    if now[: len(before)] == before:
        return len(before)
    return next(at for at, item in enumerate(before) if at >= len(now) or now[at] != item)


def _count_leading(items: Sequence[Item]) -> int:
    for position, item in enumerate(items):
        if not (isinstance(item, Message) and item.role in ("system", "developer")):
            return position
    return len(items)


def _hash_of(value: Struct) -> int:
    fields = tuple(getattr(value, name) for name in value.__struct_fields__ if name not in UNREAD)
    try:
        return hash((type(value).__name__, fields))
    except TypeError:  # it holds an object or a list
        return hash((type(value).__name__, _bytes_of(fields)))


def _bytes_of(fields: tuple[Any, ...]) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except (UnicodeEncodeError, ValueError, TypeError):
        return repr(fields).encode("utf-8", "replace")
