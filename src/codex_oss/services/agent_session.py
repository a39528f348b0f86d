"""A session of the agent: prompts in, events out, and between them a model that uses tools.

Counterparts: `services.agent_turn` does the work of one turn, `services.session_journal` keeps it; `cli.run` and the
chat screen are its callers, `wiring.agent` builds it.

    turn(prompt) ─► AgentTurn, in a task ─► queue of events ─► whoever reads ─► TurnEnded

Rules that hold here:

1. `TurnEnded` is yielded in one place, once, whatever ended the turn: the model, a limit, a failure, `cancel`.
2. Whoever stops reading (`aclose`) abandons the turn: its work is cancelled, and open calls are settled.
3. A reader that is slow slows the work down, and with it the upstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from codex_oss.agent.events import AgentEvent, Notice, TurnEnded
from codex_oss.agent.loop import End
from codex_oss.errors import LocalProtocolError
from codex_oss.services.agent_turn import AgentTurn, Approve, Reader, Setup
from codex_oss.wire.items import Item

__all__ = ["AgentSession", "Approve", "Setup"]

EVENTS_AHEAD: Final = 256
"""Events that may wait for whoever reads; then the work waits."""


class AgentSession:
    """One conversation with tools. One turn at a time; `resumed` says whether it had turns before."""

    def __init__(self, setup: Setup) -> None:
        self.session_id: Final = setup.session_id
        self.model: Final = setup.model
        self.resumed: Final = setup.journal.conversation.turns > 0
        self._setup = setup
        self._journal = setup.journal
        self._work: asyncio.Task[End] | None = None
        self._notices: list[Notice] = []
        self._fresh = True
        """Nobody was asked by this process yet."""

    def tell(self, notice: Notice) -> None:
        """Show this with the turn under way, or with the next one."""
        self._notices.append(notice)

    @property
    def past(self) -> tuple[Item, ...]:
        """What was said so far, for a person who reads it again."""
        return self._journal.conversation.said

    async def turn(self, prompt: str, *, approve: Approve | None = None) -> AsyncGenerator[AgentEvent, None]:
        """Answer *prompt*; the last event is a `TurnEnded`. Close the generator to abandon the turn.

        approve: None refuses whatever asks (nobody can be asked).
        Raises StoreError when the journal cannot be written, LocalProtocolError while another turn runs.
        """
        if self._work is not None:
            raise LocalProtocolError("A turn is under way in this session.")
        queue: asyncio.Queue[AgentEvent] = asyncio.Queue(EVENTS_AHEAD)
        turn = AgentTurn(self._setup, Reader(queue), approve, fresh=self._fresh)
        self._fresh = False
        self._work = work = asyncio.create_task(turn.run(prompt))
        try:
            while not work.done() or not queue.empty():
                reading = asyncio.ensure_future(queue.get())
                try:
                    await asyncio.wait((reading, work), return_when=asyncio.FIRST_COMPLETED)
                    if reading.done():
                        yield reading.result()
                        queue.task_done()
                finally:
                    reading.cancel()
                while self._notices and turn.began:
                    yield self._notices.pop(0)
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait((work,))
            self._work = None
            end = turn.close(work)
        while self._notices and turn.began:
            yield self._notices.pop(0)
        yield TurnEnded(end.outcome, self.session_id, end.code, end.message, end.hint, turn.steps)

    def cancel(self) -> None:
        """End the turn under way with the outcome `cancelled`; the session stays resumable. Harmless without one."""
        if self._work is not None:
            self._work.cancel()

    async def aclose(self) -> None:
        """Let the session go: its lock, its file."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait((self._work,))
        self._journal.close()
