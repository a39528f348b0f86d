"""The compaction lane: the conversation so far becomes one sealed summary.

Counterparts: `lanes.oss` asks the model that the client named; `services.sealing` seals what it wrote;
`wire.chat_messages` shows it to a model again.

    request without its trigger + HANDOFF_PROMPT ─► oss lane ─► text ─► seal ─► one compaction item ─► completed

Rules that hold here:

1. The model gets no tools: a summary that ends in a call is none.
2. Only a whole, non-empty text is sealed. A model that wrote nothing or was cut off is a failure: a client throws the
   older turns away when it gets a compaction.
3. Nothing is shown before the summary is sealed; until then a failure closes no item.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from codex_oss.errors import StoreError
from codex_oss.wire.events import (
    CompactionStart,
    ItemDone,
    ItemStarted,
    Lane,
    MessageStart,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    UsageReported,
    batches_of,
)
from codex_oss.wire.items import Message, Sampling, TextFormat, TextPart, ToolChoice, TurnRequest
from codex_oss.wire.loose_json import clean_text

HANDOFF_PROMPT: Final = """\
Everything above will be removed now, and whoever continues this work sees only what you write here. Write a handover \
note for them. Keep whatever they would otherwise have to find out again:

1. The goal in the user's own words, with every wish and limit that still holds.
2. What was done, and what came of it: files by path, commands, results, decisions with their reasons.
3. Facts that were found: names, numbers, error texts, places in the code.
4. What is open or under way, and the next step.

Write facts, not praise. Do not continue the work, do not call tools, do not address the user. \
Answer with the note alone."""

Seal = Callable[[str, str], str]
"""A text and the name of the model that wrote it, to what travels. Errors: StoreError."""


class CompactionLane:
    """A `Lane`. ask: the lane of raw models."""

    def __init__(self, ask: Lane, seal: Seal) -> None:
        self._ask = ask
        self._seal = seal

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        """Answer one turn. Raises BridgeError before the first event only."""
        texts: list[str] = []
        note: set[int] = set()
        async with aclosing(batches_of(self._ask, handoff_request(request))) as batches:
            async for events in batches:
                for event in events:
                    match event:
                        case TurnStarted() | UsageReported():
                            yield [event]
                        case ItemStarted(index, MessageStart()):
                            note.add(index)
                        case TextDelta(index, text) if index in note:
                            texts.append(text)
                        case TurnFailed():
                            yield [event]
                            return
                        case TurnCompleted() | TurnIncomplete():
                            yield self._closing(event, clean_text("".join(texts)).strip(), request.model)
                            return
                        case _:
                            pass

    def _closing(self, end: TurnCompleted | TurnIncomplete, text: str, model: str) -> list[TurnEvent]:
        if isinstance(end, TurnIncomplete):
            return [_failed("The model's summary was cut off.")]
        if not text:
            return [_failed("The model wrote no summary.")]
        try:
            sealed = self._seal(text, model)
        except StoreError as exc:
            return [TurnFailed(exc.code, f"{exc.message} {exc.hint}".rstrip())]
        return [ItemStarted(0, CompactionStart(sealed)), ItemDone(0), TurnCompleted()]


def handoff_request(request: TurnRequest) -> TurnRequest:
    """What the model is asked: the same conversation, and then for the note."""
    return msgspec.structs.replace(
        request,
        items=(*request.items, Message("user", (TextPart(HANDOFF_PROMPT),))),
        tools=(),
        tool_choice=ToolChoice(),
        sampling=Sampling(),
        text_format=TextFormat(),
        compacts=False,
    )


def _failed(message: str) -> TurnFailed:
    return TurnFailed("compaction_failed", f"{message} The conversation is as it was.")
