"""`truncation: auto`: which of the oldest items a turn leaves out, so that its model can read the rest.

Counterparts: `contracts.profiles` says how much a model reads; `server.turn_desk` asks before a lane is begun.

Rules that hold here:

1. What told the model how to work (system, developer) and a compaction stay, and so does all from the last user
   message on.
2. A call and its output stay or go together.
3. Sizes are guesses from bytes, as every count before a tokenizer is. A guess that is too low ends as the upstream's
   own refusal, never as a wrong answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.wire.chat_answer import BYTES_PER_TOKEN
from codex_oss.wire.items import CompactionItem, CustomToolCall, FunctionCall, Item, Message, ToolOutput, TurnRequest

ANSWER_SHARE: Final = 8
"""The part of the context that is kept free for an answer whose length nobody limited: one in so many."""


def truncated(request: TurnRequest, profile: ModelProfile) -> TurnRequest:
    """The request without the oldest items that do not fit; the same object when all fit."""
    sizes = [len(msgspec.json.encode(item)) for item in request.items]
    excess = sum(sizes) + _fixed_bytes(request) - _room_bytes(request, profile)
    if excess <= 0:
        return request
    items, outputs = request.items, _outputs_of(request.items)
    left_out: set[int] = set()
    for position in range(_last_user(items)):
        if excess <= 0:
            break
        if position in left_out or _stays(items[position]):
            continue
        for place in (position, *outputs.get(position, ())):
            left_out.add(place)
            excess -= sizes[place]
    kept = tuple(item for position, item in enumerate(items) if position not in left_out)
    return msgspec.structs.replace(request, items=kept)


def _room_bytes(request: TurnRequest, profile: ModelProfile) -> int:
    answer = min(request.max_output_tokens or profile.context_tokens // ANSWER_SHARE, profile.context_tokens // 2)
    return (profile.context_tokens - answer) * BYTES_PER_TOKEN


def _fixed_bytes(request: TurnRequest) -> int:
    return len(request.instructions.encode()) + len(msgspec.json.encode(request.tools))


def _outputs_of(items: Sequence[Item]) -> dict[int, list[int]]:
    """The positions of the outputs of each call, by the position of the call."""
    calls: dict[str, int] = {}
    outputs: dict[int, list[int]] = {}
    for position, item in enumerate(items):
        if isinstance(item, FunctionCall | CustomToolCall):
            calls[item.call_id] = position
        elif isinstance(item, ToolOutput) and item.call_id in calls:
            outputs.setdefault(calls[item.call_id], []).append(position)
    return outputs


def _last_user(items: Sequence[Item]) -> int:
    users = (position for position, item in enumerate(items) if isinstance(item, Message) and item.role == "user")
    return max(users, default=len(items))


def _stays(item: Item) -> bool:
    return isinstance(item, CompactionItem) or (isinstance(item, Message) and item.role in ("system", "developer"))
