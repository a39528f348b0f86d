"""The chat: a conversation with the agent on a full screen.

Counterparts: `tui.chat` is its verb, `tui.chat_session` opens what it talks to, `services.agent_session` answers.

    Enter ─► turn(prompt) ─► events ─► ChatLog ─(every DRAW_S)─► view
                 └► approve(proposal) ─► question ─► y / no

Rules that hold here:

1. Nothing of the conversation is written to stdout: it is on the screen, and in the session's journal.
2. Esc and Ctrl-C end the turn under way, which is said; without one Ctrl-C leaves.
3. One turn at a time. Switching the model keeps the session.
4. Events are drawn together, so that a fast answer costs no more than a slow one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import ClassVar, Final, Protocol

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from codex_oss.agent.events import AgentEvent, Proposal
from codex_oss.policy.printable import printable
from codex_oss.services.agent_session import Approve
from codex_oss.tui.approval import SETTLE_S, Approval
from codex_oss.tui.chat_blocks import drawn_usage
from codex_oss.tui.chat_log import ChatLog
from codex_oss.tui.chat_view import ChatView, PromptField
from codex_oss.tui.full_screen import FullScreen, sentence_of
from codex_oss.tui.questions import Choice, Help
from codex_oss.wire.items import Item

DRAW_S: Final = 0.05
KEYS: Final = (
    ("Enter", "Send the prompt"),
    ("Ctrl-J", "Begin a new line in it"),
    ("Esc", "End the turn under way; the session goes on"),
    ("Ctrl-O", "Choose another model for what follows"),
    ("Ctrl-R", "Unfold or fold reasoning and the output of tools"),
    ("PgUp PgDn", "Scroll through the conversation"),
    ("F1", "This page"),
    ("Ctrl-C", "End the turn under way; without one, quit"),
    ("Ctrl-D", "Quit, when nothing is typed"),
)


class Session(Protocol):
    """A conversation with the agent; `services.agent_session.AgentSession`."""

    @property
    def session_id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def past(self) -> Sequence[Item]: ...
    def turn(self, prompt: str, *, approve: Approve | None = None) -> AsyncGenerator[AgentEvent, None]: ...
    def cancel(self) -> None: ...


class ChatHost(Protocol):
    """Whoever opens sessions; `tui.chat_session.AgentHost`. session: the one that is open."""

    @property
    def session(self) -> Session: ...

    async def switch(self, model: str) -> None:
        """Open the same session with another model. Raises BridgeError; then it is open with the old one."""
        ...

    async def models(self) -> Sequence[tuple[str, str]]:
        """Models that can be asked: name and words about it."""
        ...

    async def account(self, model: str, session_id: str) -> str:
        """Which account answers, in words; empty where none is needed or nothing is known."""
        ...


class Chat(FullScreen):
    """The program. settle_s: see `tui.approval`."""

    TITLE = "codex-oss chat"
    CSS_PATH: ClassVar = ["screens.tcss", "chat.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help"),
        Binding("escape", "end_turn", "End turn"),
        Binding("ctrl+o", "choose_model", "Model", priority=True),
        Binding("ctrl+r", "fold", "Unfold", priority=True),
        Binding("ctrl+c", "end_or_leave", "Quit", priority=True),
    ]

    def __init__(self, host: ChatHost, *, settle_s: float = SETTLE_S) -> None:
        super().__init__()
        self.log_of_chat = ChatLog()
        self.running = False
        self._host = host
        self._settle_s = settle_s
        self._account = ""
        self._status_shown = ""
        self._view = ChatView()
        self._field = PromptField()
        self._title = Static(id="title")
        self._said = Static(id="said")
        self._status = Static(id="status")

    def compose(self) -> ComposeResult:
        """Title, conversation, field, what it costs, and the keys."""
        yield self._title
        yield self._view
        yield self._said
        yield self._field
        yield self._status
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show what was said before, and begin."""
        self.log_of_chat.past(self.session.past)
        self._field.focus()
        self.set_interval(DRAW_S, self.draw)
        self._show_title()
        self.draw()
        self.run_worker(self._look_who_answers(), exit_on_error=False)

    @property
    def session(self) -> Session:
        """The session that is open."""
        return self._host.session

    # What is shown.

    def draw(self) -> None:
        """Draw what changed; nothing once the screen is being taken down."""
        if not self._view.is_attached:
            return
        self._view.draw(self.log_of_chat)
        working = "working … Esc ends the turn" if self.running else ""
        parts = (working, self._account, drawn_usage(self.log_of_chat.usage))
        status = " · ".join(part for part in parts if part)
        if status != self._status_shown:
            self._status_shown = status
            self._status.update(Text(status))

    def say(self, sentence: str, *, bad: bool = False) -> None:
        """Show one sentence above the field; empty takes it away."""
        self._said.update(Text(sentence))
        self._said.set_class(bad, "bad")
        self._said.display = bool(sentence)

    def _show_title(self) -> None:
        model, session_id = printable(self.session.model), self.session.session_id
        self._title.update(Text(f"{model}  session {session_id}"))
        self.say("")

    async def _look_who_answers(self) -> None:
        try:
            told = await self._host.account(self.session.model, self.session.session_id)
        except Exception as exc:
            told = sentence_of(exc)
        self._account = printable(told)
        self.draw()

    # A turn.

    def on_prompt_field_sent(self, event: PromptField.Sent) -> None:
        """Begin a turn, unless one is under way."""
        if self.running:
            self.say("A turn is under way; Esc ends it.", bad=True)
            return
        self._field.text = ""
        self.say("")
        self.running = True
        self.log_of_chat.prompt(event.text)
        self._view.anchor()
        self.run_worker(self._turn(event.text), exit_on_error=False)

    async def _turn(self, prompt: str) -> None:
        try:
            async with aclosing(self.session.turn(prompt, approve=self._approve)) as happened:
                async for event in happened:
                    self.log_of_chat.take(event)
        except Exception as exc:
            self.say(sentence_of(exc), bad=True)
        finally:
            self.running = False
            self.draw()
        await self._look_who_answers()

    async def _approve(self, proposal: Proposal) -> bool:
        answered: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        question = Approval(proposal, self._settle_s)

        def answer(yes: bool | None) -> None:
            if not answered.done():
                answered.set_result(yes)

        self.push_screen(question, answer)
        try:
            return await answered is True
        finally:
            if answered.cancelled() and question.is_current:
                question.dismiss(False)

    def action_end_turn(self) -> None:
        """End the turn under way."""
        if self.running:
            self.session.cancel()

    async def action_end_or_leave(self) -> None:
        """End the turn under way; without one, end the program."""
        if self.running:
            self.session.cancel()
        else:
            await self.action_leave()

    # The rest.

    def action_fold(self) -> None:
        """Unfold or fold."""
        self._view.unfolded = not self._view.unfolded
        self.log_of_chat.draw_all()
        self.draw()

    def action_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._view.scroll_relative(y=pages * max(self._view.size.height - 1, 1), animate=False)

    def action_choose_model(self) -> None:
        """Offer the models."""
        if isinstance(self.screen, ModalScreen):
            return
        if self.running:
            self.say("A turn is under way; Esc ends it.", bad=True)
            return
        self.run_worker(self._choose_model(), exit_on_error=False, exclusive=True, group="model")

    async def _choose_model(self) -> None:
        try:
            rows = [(name, printable(words)) for name, words in await self._host.models()]
            if not rows:
                self.say("No model is configured.", bad=True)
                return
            chosen = await self.push_screen_wait(Choice("Which model answers from now on?", rows, self.session.model))
            if chosen and chosen != self.session.model:
                await self._host.switch(chosen)
                self._show_title()
                await self._look_who_answers()
        except Exception as exc:
            self.say(sentence_of(exc), bad=True)

    def action_help(self) -> None:
        """What each key does."""
        if not isinstance(self.screen, ModalScreen):
            self.push_screen(Help("Keys", KEYS))
