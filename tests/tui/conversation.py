"""A session of the agent that says what a test gave it, event by event, and a host that opens such sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from msgspec import structs

from codex_oss.agent.events import (
    AgentEvent,
    Notice,
    Proposal,
    ReasoningDelta,
    TextDelta,
    TextEnded,
    ToolApproved,
    ToolFinished,
    ToolProposed,
    ToolRefused,
    TurnBegan,
    TurnEnded,
    UsageTold,
)
from codex_oss.errors import BridgeError
from codex_oss.services.agent_session import Approve
from codex_oss.tui.chat_app import Chat
from codex_oss.wire.events import Usage
from codex_oss.wire.items import FunctionCall, Item, Message, ReasoningItem, TextPart, ToolOutput

SESSION = "5f0c2d1e"
WAIT = "wait"
"""In a script: wait until the turn is cancelled or `go_on` is set."""
DIFF = """\
--- a/src/retry.py
+++ b/src/retry.py
@@ -10,3 +10,3 @@
 def wait_s(attempt: int) -> float:
-    return 2 ** attempt
+    return min(2 ** attempt, 30.0)
"""
EDIT = Proposal("call_2", "edit_file", "edit src/retry.py (+1 -1)", asks=True, path="src/retry.py", diff=DIFF)
LONG_EDIT = structs.replace(EDIT, diff=DIFF + "".join(f"+line {number}\n" for number in range(100)))
SHELL = Proposal("call_3", "shell", "shell: pytest -q tests", asks=True, command="pytest -q tests", sandbox="bwrap")
READ = Proposal("call_1", "read_file", "read src/retry.py", asks=False, path="src/retry.py")
Step = AgentEvent | Proposal | str | BridgeError
"""An event; a proposal that is asked about; WAIT; what the turn fails with."""

THOUGHT = ReasoningDelta("The wait grows without bound.\nA cap is needed.")
LOOKING = (
    THOUGHT,
    TextDelta("I look at the "),
    TextDelta("retry code first."),
    TextEnded("commentary"),
    ToolProposed(READ),
    ToolApproved("call_1", "policy"),
    ToolFinished("call_1", "read_file", True, "lines 1-40 of 40", "10: def wait_s(attempt: int):\n11:     …", 30),
)
DONE = (TextDelta("The wait is capped at 30 seconds now."), TextEnded("final_answer"), UsageTold(Usage(2140, 310)))


class ScriptedSession:
    """Turns as they were written down. A proposal in a script is asked about, and refused unless approved."""

    def __init__(self, *scripts: Sequence[Step], model: str = "ocg-kimi-k2.6", past: Sequence[Item] = ()) -> None:
        self.session_id = SESSION
        self.model = model
        self.past = past
        self.prompts: list[str] = []
        self.answers: list[bool] = []
        self.go_on = asyncio.Event()
        self._scripts = list(scripts)
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """End the turn."""
        self._cancelled.set()

    async def turn(self, prompt: str, *, approve: Approve | None = None) -> AsyncGenerator[AgentEvent, None]:
        """Say the next script."""
        self.prompts.append(prompt)
        self._cancelled.clear()
        yield TurnBegan(self.session_id, self.model, bool(self.past))
        for step in self._scripts.pop(0):
            if isinstance(step, BridgeError):
                raise step
            if isinstance(step, str):
                await self._first(self.go_on.wait())
            elif isinstance(step, Proposal):
                async for event in self._asked(step, approve):
                    yield event
            else:
                yield step
            if isinstance(step, TurnEnded):
                return
            if self._cancelled.is_set():
                yield TurnEnded("cancelled", SESSION, "cancelled", "The turn was cancelled.", "Go on, or ask again.")
                return
        yield TurnEnded("done", self.session_id)

    async def _asked(self, proposal: Proposal, approve: Approve | None) -> AsyncGenerator[AgentEvent, None]:
        yield ToolProposed(proposal)
        assert approve is not None
        answer = asyncio.ensure_future(approve(proposal))
        await self._first(answer)
        if answer.cancelled():
            return
        self.answers.append(answer.result())
        if not answer.result():
            yield ToolRefused(proposal.call_id, "declined", "Not done: the user declined it.")
            return
        yield ToolApproved(proposal.call_id, "person")
        yield ToolFinished(proposal.call_id, proposal.tool, True, "done", "", 120)

    async def _first(self, waited_for: Awaitable[object]) -> None:
        """Wait for this or for `cancel`; what did not come is cancelled."""
        both = [asyncio.ensure_future(self._cancelled.wait()), asyncio.ensure_future(waited_for)]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.wait(both)


class ScriptedHost:
    """Opens ScriptedSessions. refuses: what `switch` fails with."""

    def __init__(self, session: ScriptedSession, account: str = "") -> None:
        self.session = session
        self.refuses: BridgeError | None = None
        self.answers = account

    async def switch(self, model: str) -> None:
        """The same session, another model."""
        if self.refuses:
            raise self.refuses
        self.session.model = model

    async def models(self) -> Sequence[tuple[str, str]]:
        """Two of them."""
        return [("ocg-kimi-k2.6", "ocg-kimi-k2.6  (kimi-k2.6)"), ("gpt-5.5-codex", "gpt-5.5-codex")]

    async def account(self, model: str, session_id: str) -> str:
        """Who answers."""
        return self.answers

    def chat(self) -> Chat:
        """The program, whose questions take answers at once."""
        return Chat(self, settle_s=0.0)


def chat_of(*scripts: Sequence[Step], past: Sequence[Item] = (), account: str = "") -> Callable[[object], Chat]:
    """Opens a chat with these turns."""
    return lambda _: ScriptedHost(ScriptedSession(*scripts, past=past), account).chat()


PAST = (
    Message("user", (TextPart("cap the wait"),)),
    ReasoningItem(summary="A cap is needed."),
    FunctionCall("call_1", "edit_file", '{"path": "src/retry.py"}'),
    ToolOutput("call_1", (TextPart("edited src/retry.py"),)),
    Message("assistant", (TextPart("The wait is capped at 30 seconds now."),)),
)
BROKEN = TurnEnded("failed", SESSION, "stream_interrupted", "The answer did not come to its end.", "Ask it to go on.")
CUT = (TextDelta("The first half of an answer that"), Notice("stream_cut", "The answer was cut off."))
