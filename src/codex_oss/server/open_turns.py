"""The turns under way: found by their id, waited for and ended when the bridge stops.

Counterparts: `server.turn_response` and `server.relayed_turn` are such turns, `server.process` drains them,
`server.stored_responses` looks at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

Keep = Callable[[dict[str, Any]], Awaitable[None]]
"""Takes the response object of an ended turn to where it is stored; bounded in time, never raises."""


class OpenTurn(Protocol):
    """What a shutdown and the stored responses ask of a turn under way."""

    keep: Keep | None
    ended: asyncio.Event

    @property
    def response_id(self) -> str:
        """`resp_…`."""

    def response(self) -> dict[str, Any]:
        """The response object as it stands."""

    def interrupt(self) -> None:
        """End it, because the bridge stops."""


class OpenTurns:
    """The turns under way, so that a shutdown can let them end and then ends them."""

    def __init__(self) -> None:
        self._turns: set[OpenTurn] = set()
        self.stopping = False
        """True from the begin of the shutdown; connections that live on begin no turn any more."""

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, turn: OpenTurn) -> None:
        """A turn began."""
        self._turns.add(turn)

    def discard(self, turn: OpenTurn) -> None:
        """A turn ended."""
        self._turns.discard(turn)

    def response_of(self, response_id: str) -> dict[str, Any] | None:
        """The response of this id as it stands; None for one that is not under way here or not to be stored."""
        kept = (turn.response() for turn in self._turns if turn.keep is not None)
        return next((response for response in kept if response["id"] == response_id), None)

    async def drain(self, patience_s: float, grace_s: float) -> None:
        """Wait up to *patience_s* for all turns, then interrupt the rest and give their last events *grace_s*."""
        self.stopping = True
        await self._wait(patience_s)
        self.interrupt()
        await self._wait(grace_s)

    def interrupt(self) -> None:
        """End every turn as failed."""
        for turn in list(self._turns):
            turn.interrupt()

    async def _wait(self, seconds: float) -> None:
        waits = [asyncio.create_task(turn.ended.wait()) for turn in self._turns]
        if waits:
            _, late = await asyncio.wait(waits, timeout=seconds)
            for wait in late:
                wait.cancel()
