"""A lane behind an alias says so, once, and changes nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from codex_oss.lanes.aliased import aliased
from codex_oss.wire.events import TextDelta, TurnCompleted, TurnEvent, TurnStarted
from codex_oss.wire.items import TurnRequest

REQUEST = TurnRequest("resp_1", "gpt-5.5", ())


@pytest.mark.parametrize(("said", "told"), [("initial_attempt", "gpt_alias"), ("fallback_rate_limited",) * 2])
async def test_the_reason_is_told(said: str, told: str) -> None:
    """The first event carries it, unless the lane has something of its own to say; batches stay as they are."""
    closed = []

    async def lane(_: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        try:
            yield [TurnStarted("kimi", reason=said)]
            yield [TextDelta(0, "a"), TurnCompleted()]
        finally:
            closed.append(True)

    batches = [list(batch) async for batch in aliased(lane, "gpt_alias")(REQUEST)]
    assert batches == [[TurnStarted("kimi", reason=told)], [TextDelta(0, "a"), TurnCompleted()]]
    assert closed == [True]
