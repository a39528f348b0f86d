"""A lane that says, with its first event, why another model answers than the name asks for.

Counterparts: `policy.routing` gives the reason of a route, `wiring` puts this around the lane of such a route.
Rule: what the lane itself says of a retry or a fallback is not replaced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from msgspec import structs

from codex_oss.wire.events import Lane, TurnEvent, TurnStarted, batches_of
from codex_oss.wire.items import TurnRequest

UNSAID = TurnStarted().reason
"""What a lane says when it has nothing to explain."""


def aliased(lane: Lane, reason: str) -> Lane:
    """*lane*, whose `TurnStarted` carries *reason*."""

    async def answer(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        async with aclosing(batches_of(lane, request)) as batches:
            async for batch in batches:
                yield [_explained(event, reason) for event in batch]

    return answer


def _explained(event: TurnEvent, reason: str) -> TurnEvent:
    if isinstance(event, TurnStarted) and event.reason == UNSAID:
        return structs.replace(event, reason=reason)
    return event
