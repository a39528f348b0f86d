"""The question before a tool changes something: what exactly it would do, and whether it may.

Counterparts: `tui.chat_app` pushes it for the agent's `approve`; `services.agent_session` waits for the answer.

Rules that hold here:

1. Only an explicit y approves. Enter, n and Esc decline.
2. What was typed into the prompt when the question came up is no answer: a key counts once nothing was typed for
   SETTLE_S.
3. All of the diff or the command can be seen before anybody answers.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from codex_oss.agent.events import Proposal
from codex_oss.policy.printable import printable
from codex_oss.tui.chat_blocks import proposal_lines

SETTLE_S: Final = 0.6
FRAME_LINES: Final = 8
"""Lines of the box that are not the proposal: border, a title of two lines, keys, space between."""


class Approval(ModalScreen[bool]):
    """True when the person said yes. settle_s: see rule 2."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,enter", "answer(False)", "No"),
        Binding("escape", "decline", "No"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
    ]

    def __init__(self, proposal: Proposal, settle_s: float = SETTLE_S) -> None:
        super().__init__()
        self._proposal = proposal
        self._settle_s = settle_s
        self._quiet_at = 0.0

    def compose(self) -> ComposeResult:
        """What would be done, all of it, and the keys."""
        shown = proposal_lines(self._proposal)
        lines = shown.plain.count("\n") + 1
        with Vertical(classes="box wide"):
            yield Static(Text(f"May this be done?  {printable(self._proposal.summary)}"), classes="question")
            with VerticalScroll(id="proposal", can_focus=False):
                yield Static(shown)
            yield Static(Text(f"y yes · n, Enter or Esc no · ↑ ↓ scroll ({lines} lines)"), classes="hint")

    def on_mount(self) -> None:
        """Begin to wait for silence."""
        self._quiet_at = self._now() + self._settle_s

    def on_resize(self, event: events.Resize) -> None:
        """The proposal scrolls in what title and keys leave of the screen."""
        self.query_one("#proposal").styles.max_height = max(event.size.height - FRAME_LINES, 1)

    def on_key(self, event: events.Key) -> None:
        """Typing goes on being no answer until it stops."""
        if self._now() < self._quiet_at and event.key != "escape":
            self._quiet_at = self._now() + self._settle_s

    def action_answer(self, yes: bool) -> None:
        """A key is an answer, once somebody can have read the question."""
        if self._now() >= self._quiet_at:
            self.dismiss(yes)

    def action_decline(self) -> None:
        """No."""
        self.dismiss(False)

    def action_scroll(self, lines: int) -> None:
        """Move through the proposal."""
        self.query_one("#proposal").scroll_relative(y=lines, animate=False)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
