"""What every full-screen program here does the same way: how it ends, what it says when it breaks, its colours.

Counterparts: `tui.account_manager` and `tui.chat_app` are the programs; `tui.terminal` says whether one can be shown.

Rules that hold here:

1. However it ends (a key, Ctrl-C, SIGTERM, SIGHUP, a fault of ours), the terminal is what it was before. When the
   terminal itself is gone the program ends too, whether or not anybody sends SIGHUP.
2. A fault is told in one sentence after the screen is gone. Textual would print every local variable, tokens among
   them.
3. With NO_COLOR no colour is sent at all; what has the cursor is then shown reversed.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from contextlib import suppress
from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType

from codex_oss.errors import BridgeError
from codex_oss.policy.printable import printable

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
HUNG_UP_S: Final = 1.0
"""How often it is looked whether the terminal is still there."""


class FullScreen(App[None]):
    """A program that takes the whole terminal. Its return code is the exit status of its verb."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True),
        Binding("ctrl+q", "leave", "Quit", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.animation_level = "none"

    async def action_leave(self) -> None:
        """End the program."""
        self.exit()

    def _fatal_error(self) -> None:
        """Close after a fault, without the traceback that Textual would print (rule 2)."""
        self._close_messages_no_wait()

    @property
    def fault(self) -> BaseException | None:
        """What broke it, if anything did."""
        return self._exception


async def shown(program: FullScreen) -> int:
    """Show a program until it ends; the exit status. Raises BridgeError `internal` after a fault of ours."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, program.exit, None, 128 + number)
    watching = asyncio.create_task(_leave_when_hung_up(program))
    try:
        await program.run_async()
    finally:
        watching.cancel()
        for number in SIGNALS:
            with suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(number)
    if isinstance(program.fault, BridgeError):
        raise program.fault
    if program.fault is not None:
        raise BridgeError(
            f"The screen ended by a fault of its own ({type(program.fault).__name__}).",
            hint="Nothing that was already done is lost. Please report what you did.",
        ) from None
    return program.return_code or 0


async def _leave_when_hung_up(program: FullScreen) -> None:
    """End the program when nobody is at the other end of stdin any more."""
    stdin = select.poll()
    stdin.register(sys.stdin.fileno(), 0)  # nothing but hang-ups and errors
    while True:
        await asyncio.sleep(HUNG_UP_S)
        if stdin.poll(0):
            program.exit(return_code=128 + signal.SIGHUP)
            return


def sentence_of(error: BaseException) -> str:
    """An error for the person, in one or two sentences; of a foreign one only its kind."""
    if isinstance(error, BridgeError):
        return printable(f"{error.message} {error.hint}".strip()).replace("\n", " ")
    return f"That failed inside codex-oss ({type(error).__name__}); nothing else was changed."
