"""A session of the agent: prompts in, events out, and between them a model that uses tools.

Counterparts: `agent` decides, a lane answers, `services.agent_tools` does what was approved, `services.session_journal`
keeps it; `cli.run` and the chat screen are its callers, `wiring.agent` builds it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from codex_oss.agent.events import AgentEvent, Proposal

Approve = Callable[[Proposal], Awaitable[bool]]
"""Asks a person. It may wait as long as it likes; when the turn is cancelled, it is cancelled too."""


class AgentSession:
    """One conversation with tools. One turn at a time.

    session_id: as given or made; model: the name that is asked.
    """

    session_id: str
    model: str

    def turn(self, prompt: str, *, approve: Approve | None = None) -> AsyncGenerator[AgentEvent, None]:
        """Answer *prompt*; the last event is a `TurnEnded`. Close the generator to abandon the turn.

        approve: None refuses whatever asks (nobody can be asked).
        Raises StoreError when the journal cannot be written, LocalProtocolError while another turn runs.
        """
        raise NotImplementedError

    def cancel(self) -> None:
        """End the turn under way with the outcome `cancelled`; the session stays resumable. Harmless without one."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Let the session go: its lock, its file."""
        raise NotImplementedError
