"""The compaction lane: one sealed item for a whole summary, a failure for anything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from codex_oss.errors import StoreError, Unavailable
from codex_oss.lanes.compaction import HANDOFF_PROMPT, CompactionLane
from codex_oss.wire.events import (
    ArgumentsDelta,
    CompactionStart,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import FunctionTool, Message, TextPart, ToolChoice, TurnRequest

SAID = Message("user", (TextPart("build it"),))
REQUEST = TurnRequest("resp_1", "ocg-kimi", (SAID,), tools=(FunctionTool("read"),), compacts=True)
MESSAGE: list[TurnEvent] = [ItemStarted(0, MessageStart()), TextDelta(0, " we "), TextDelta(0, "did x "), ItemDone(0)]
USAGE = UsageReported(Usage(7, 3))


class Asked:
    """A raw lane that gives one script."""

    def __init__(self, batches: Sequence[Sequence[TurnEvent]], error: Exception | None = None) -> None:
        self.requests: list[TurnRequest] = []
        self._batches = batches
        self._error = error

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        self.requests.append(request)
        for batch in self._batches:
            yield batch
        if self._error is not None:
            raise self._error


async def answer(asked: Asked, seal: Any = lambda text, model: f"<{model}:{text}>") -> list[TurnEvent]:
    """Every event of one turn."""
    return [event async for batch in CompactionLane(asked, seal)(REQUEST) for event in batch]


async def test_a_summary_is_sealed() -> None:
    """The text alone, without reasoning; what the client sees is one item."""
    reasoning: list[TurnEvent] = [ItemStarted(0, ReasoningStart()), ReasoningDelta(0, "hm"), ItemDone(0)]
    text: list[TurnEvent] = [ItemStarted(1, MessageStart()), TextDelta(1, "we did x"), ItemDone(1)]
    asked = Asked([[TurnStarted("kimi")], reasoning, text, [USAGE, TurnCompleted()]])
    start = CompactionStart("<ocg-kimi:we did x>")
    expected = [TurnStarted("kimi"), USAGE, ItemStarted(0, start), ItemDone(0), TurnCompleted()]
    assert await answer(asked) == expected


async def test_what_the_model_is_asked() -> None:
    """The same conversation, the prompt behind it, and no tools."""
    asked = Asked([[TurnStarted()], MESSAGE, [TurnCompleted()]])
    await answer(asked)
    (request,) = asked.requests
    assert request.items == (SAID, Message("user", (TextPart(HANDOFF_PROMPT),)))
    assert (request.tools, request.tool_choice, request.compacts) == ((), ToolChoice(), False)


CALL: list[TurnEvent] = [ItemStarted(0, FunctionCallStart("c", "read")), ArgumentsDelta(0, "{}"), ItemDone(0)]


@pytest.mark.parametrize(
    "batches",
    [
        [[TurnStarted()], [TurnCompleted()]],
        [[TurnStarted()], [ItemStarted(0, MessageStart()), TextDelta(0, " \n"), ItemDone(0), TurnCompleted()]],
        [[TurnStarted()], CALL, [TurnCompleted()]],
        [[TurnStarted()], MESSAGE, [TurnIncomplete("max_output_tokens")]],
    ],
    ids=["nothing", "blank", "a call", "cut off"],
)
async def test_no_summary_is_a_failure(batches: list[list[TurnEvent]]) -> None:
    """An empty or cut compaction would cost the client its older turns."""
    events = await answer(Asked(batches))
    assert isinstance(events[-1], TurnFailed)
    assert events[-1].code == "compaction_failed"
    assert not any(isinstance(event, ItemStarted) for event in events)


async def test_failures_pass() -> None:
    """One inside the answer, one before it, a stream that just ends, and a key that cannot be used."""
    failed = TurnFailed("upstream_error", "no")
    assert (await answer(Asked([[TurnStarted()], [*MESSAGE, failed]])))[-1] == failed
    with pytest.raises(Unavailable):
        await answer(Asked([], Unavailable("down")))
    assert await answer(Asked([[TurnStarted()], MESSAGE])) == [TurnStarted()]

    def broken(text: str, model: str) -> str:
        raise StoreError("The key is gone.")

    events = await answer(Asked([[TurnStarted()], MESSAGE, [TurnCompleted()]]), broken)
    assert events[-1] == TurnFailed("store_error", "The key is gone.")
