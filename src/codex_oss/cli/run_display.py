"""The events of a turn at the shell: the assistant's words on stdout, everything else on stderr.

Counterpart: `agent.events`, which says what the events mean; `cli.run_turn` feeds them.

Rules that hold here:

1. Nothing that a model, a file or a server wrote reaches the terminal unclean (`policy.printable`).
2. stdout is flushed with each piece, in a thread, so that a reader that is slow does not keep Ctrl-C away.
3. Each message of the assistant ends its line, so that what follows on the same terminal begins a new one.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from contextlib import suppress
from typing import assert_never

import msgspec

from codex_oss.agent.events import (
    AgentEvent,
    Notice,
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
from codex_oss.policy.printable import printable, printable_json
from codex_oss.wire.loose_json import clean_value


class Display:
    """Writes events. broken: nobody reads stdout any more."""

    def __init__(self, *, as_json: bool) -> None:
        self.broken = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal may know fewer characters than a model
                stream.reconfigure(errors="replace")
        self._as_json = as_json
        self._line_open = False
        self._held = ""
        """A carriage return at the end of a piece: what it means depends on what follows."""

    async def show(self, event: AgentEvent) -> None:
        """Show one event. Raises OSError when stdout takes no more: nobody reads it, or the disk is full."""
        if self._as_json:
            await self._out(_json_line(event))
        match event:
            case TextDelta(text=text) if not self._as_json:
                await self._say(text)
            case TextEnded() if not self._as_json:
                await self._end_line()
            case ToolProposed(proposal=proposal):
                self._err(f"> {proposal.summary}")
                if proposal.command:
                    self._err(f"  in the sandbox ({proposal.sandbox}):\n{_indented(proposal.command)}")
                if proposal.diff:
                    self._err(proposal.diff.rstrip("\n"))
            case ToolRefused(code=code, reason=reason):
                self._err(f"  refused: {reason} [{code}]")
            case ToolFinished(summary=summary, ok=ok):
                self._err(f"  {summary}" if ok else f"  failed: {summary}")
            case Notice(code=code, text=text):
                await self._end_line()
                self._err(f"note: {text} [{code}]")
            case TurnEnded():
                await self._end_line()
                self._end(event)
            case TextDelta() | TextEnded() | ReasoningDelta() | ToolApproved() | TurnBegan() | UsageTold():
                pass
            case _:
                assert_never(event)

    def ask(self, question: str) -> None:
        """Put a question to the person; the answer follows on the same line."""
        sys.stderr.write(question)
        sys.stderr.flush()

    def tell_session(self, session_id: str) -> None:
        """How the session is gone on with; the last line."""
        self._err(f"session: {session_id}")

    def stdout_is_gone(self, error: OSError) -> None:
        """Write nothing more there, and let the interpreter not try to when it ends."""
        if self.broken:
            return
        self.broken = True
        if not isinstance(error, BrokenPipeError):
            self._err(f"error: the answer cannot be written to stdout: {error.strerror}. [stdout_failed]")
        if sys.stdout is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)

    def _end(self, event: TurnEnded) -> None:
        if event.outcome == "done":
            return
        self._err(f"error: {event.message} [{event.code or event.outcome}]")
        if event.hint:
            self._err(f"hint: {event.hint}")

    async def _say(self, text: str) -> None:
        text, self._held = self._held + text, ""
        if text.endswith("\r"):
            text, self._held = text[:-1], "\r"
        if text:
            await self._out(printable(text))

    async def _end_line(self) -> None:
        if self._held:
            held, self._held = self._held, ""
            await self._out(printable(held))
        if self._line_open and not self._as_json:
            await self._out("\n")

    async def _out(self, text: str) -> None:
        if self.broken:
            return
        self._line_open = not text.endswith("\n")
        await asyncio.to_thread(_write_out, text)

    def _err(self, text: str) -> None:
        """Whole lines on stderr; that nobody reads them ends nothing."""
        if sys.stderr is not None:
            with suppress(OSError):
                sys.stderr.write(f"{printable(text)}\n")
                sys.stderr.flush()


def _write_out(text: str) -> None:
    if sys.stdout is None:  # the process was started without one
        raise BrokenPipeError
    sys.stdout.write(text)
    sys.stdout.flush()


def _json_line(event: AgentEvent) -> str:
    try:
        text = msgspec.json.encode(event).decode()
    except UnicodeEncodeError:  # half a character
        text = msgspec.json.encode(clean_value(msgspec.to_builtins(event))).decode()
    return f"{printable_json(text)}\n"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
