"""The parts of an agent's session that tests put in: a lane that plays answers, a shell that only remembers.

session = scripted(tmp_path, [whole(called("read_file", {"path": "a"})), whole(said("ok"))])
events = await all_events(session, "hi")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from codex_oss.agent.events import AgentEvent
from codex_oss.agent.loop import Limits
from codex_oss.errors import SandboxError
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import Scope
from codex_oss.services.agent_session import AgentSession, Approve, Setup
from codex_oss.services.agent_tools import AgentTools
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.sandbox import CommandResult
from codex_oss.services.session_journal import SessionJournal
from codex_oss.wire.events import Lane, TurnEvent
from codex_oss.wire.items import TurnRequest

Playing = Sequence[Sequence[TurnEvent]] | BaseException


class PlayedLane:
    """A lane that plays one answer a question; after the last one it plays the last again.

    An exception in place of an answer is raised. requests: what it was asked.
    """

    def __init__(self, answers: Sequence[Playing], *, hold: asyncio.Event | None = None) -> None:
        self.requests: list[TurnRequest] = []
        self.closed = 0
        self._answers = list(answers)
        self._hold = hold

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        """One answer; waits before its last batch when it is told to hold."""
        self.requests.append(request)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        try:
            if isinstance(answer, BaseException):
                raise answer
            for at, batch in enumerate(answer):
                if self._hold is not None and at == len(answer) - 1:
                    await self._hold.wait()
                yield batch
        finally:
            self.closed += 1


class RememberingShell:
    """A sandbox that runs nothing. answer: what it says of every command; none: there is no sandbox."""

    def __init__(self, *, none: bool = False, output: str = "ok\n", hold: asyncio.Event | None = None) -> None:
        self.commands: list[str] = []
        self._none = none
        self._output = output
        self._hold = hold

    async def level(self) -> str:
        """`bwrap`, or `none`."""
        return "none" if self._none else "bwrap"

    async def problem(self) -> str:
        """Why not."""
        return "bwrap: it is not installed"

    async def run(self, command: str, *, timeout_s: float, max_output_bytes: int) -> CommandResult:
        """Remember it; waits when it is told to hold. `refuse` is refused, `fail` exits with 1."""
        self.commands.append(command)
        if command == "refuse":
            raise SandboxError("It would not start.", code="sandbox_failed")
        if self._hold is not None:
            await self._hold.wait()
        return CommandResult(int(command == "fail"), self._output, False, "bwrap")


def scripted(
    folder: Path,
    answers: Sequence[Playing] | PlayedLane,
    *,
    session_id: str = "s1",
    approve_all: bool = False,
    limits: Limits | None = None,
    shell: RememberingShell | None = None,
    held: Sequence[str] = (),
    fit: Callable[[TurnRequest], TurnRequest] = lambda request: request,
) -> AgentSession:
    """A session on `folder/project` whose journal lies in `folder/state`; the model is a script."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    lane = answers if isinstance(answers, PlayedLane) else PlayedLane(answers)
    lane_for: Callable[[TurnRequest], Lane] = lambda request: lane  # noqa: E731
    tools = AgentTools(
        ProjectRoot(project), Scope(roots=(".",), guards_critical=False), Redactor(held), shell or RememberingShell()
    )
    journal = SessionJournal(folder / "state" / "p", session_id)
    return AgentSession(
        Setup(session_id, "ocg-test", lane_for, tools, journal, limits or Limits(), approve_all=approve_all, fit=fit)
    )


async def all_events(session: AgentSession, prompt: str = "hi", *, approve: Approve | None = None) -> list[AgentEvent]:
    """Every event of one turn."""
    return [event async for event in session.turn(prompt, approve=approve)]
