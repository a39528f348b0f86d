"""One turn at the shell: the events of a session as lines, a person's answers, and signals.

Counterparts: `wiring.agent` opens the session, `cli.run_display` writes the events, `cli.run` is the verb.

Rules that hold here:

1. Ctrl-C, SIGTERM and SIGHUP cancel the turn; it ends as any other, and the session stays resumable. A second one
   ends the process at once.
2. Who reads stdout may leave: that cancels the turn too.
3. A person is asked only where one can be: stdin and stderr are a terminal, and stdin is not the prompt. What was typed
   before the question is thrown away, so that it approves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

from codex_oss.agent.events import Proposal, TurnEnded
from codex_oss.agent.loop import Limits
from codex_oss.cli.run_display import Display
from codex_oss.services.agent_session import AgentSession, Approve
from codex_oss.wiring.agent import open_agent

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STDIN = 0


@dataclass(frozen=True, slots=True)
class Errand:
    """What was asked at the shell."""

    project: Path
    prompt: str
    model: str
    session_id: str
    yes: bool
    max_steps: int
    timeout_s: float
    as_json: bool
    asked_from_stdin: bool
    """stdin is free for answers."""


def run_turn(errand: Errand) -> int:
    """Run one turn and show it; the exit code. Raises BridgeError when it could not begin."""
    # What goes wrong is said by an event; the log lines of lanes would only repeat it.
    logging.getLogger("codex_oss").addHandler(logging.NullHandler())
    return asyncio.run(_run(errand))


async def _run(errand: Errand) -> int:
    display = Display(as_json=errand.as_json)
    async with open_agent(
        errand.project,
        os.environ,
        model=errand.model,
        session_id=errand.session_id,
        limits=Limits(errand.max_steps, errand.timeout_s),
        approve_all=errand.yes,
    ) as session:
        _cancel_on_signals(session)
        return await _show(session, errand, display)


async def _show(session: AgentSession, errand: Errand, display: Display) -> int:
    ended: TurnEnded | None = None
    try:
        async with aclosing(session.turn(errand.prompt, approve=_asking(errand, display))) as events:
            async for event in events:
                if isinstance(event, TurnEnded):
                    ended = event
                try:
                    await display.show(event)
                except OSError as error:
                    display.stdout_is_gone(error)
                    session.cancel()
    finally:
        display.tell_session(session.session_id)
    return 0 if ended is not None and ended.outcome == "done" and not display.broken else 1


def _cancel_on_signals(session: AgentSession) -> None:
    loop = asyncio.get_running_loop()
    seen = False

    def stop() -> None:
        nonlocal seen
        if seen:
            os._exit(1)  # whoever asks twice does not want to wait for anything; the journal minds
        seen = True
        session.cancel()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup`, or a job in the background
            loop.add_signal_handler(number, stop)


def _asking(errand: Errand, display: Display) -> Approve | None:
    """How a person is asked; None where nobody can be."""
    terminals = (sys.stdin, sys.stderr)
    if not errand.asked_from_stdin or not all(stream is not None and stream.isatty() for stream in terminals):
        return None

    async def approve(proposal: Proposal) -> bool:
        _forget_typed()
        display.ask("Do it? [y/N] ")
        answer = await _line_from_terminal()
        return answer.strip().lower() in ("y", "yes")

    return approve


def _forget_typed() -> None:
    import termios

    with suppress(termios.error):
        termios.tcflush(STDIN, termios.TCIFLUSH)


async def _line_from_terminal() -> str:
    """The line that is typed next; empty at its end. The terminal gives whole lines."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[bytes] = loop.create_future()

    def readable() -> None:
        if not typed.done():
            try:
                typed.set_result(os.read(STDIN, 4096))
            except OSError:
                typed.set_result(b"")

    loop.add_reader(STDIN, readable)
    try:
        return (await typed).decode(errors="replace")
    finally:
        loop.remove_reader(STDIN)
