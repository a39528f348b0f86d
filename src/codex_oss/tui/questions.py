"""Small screens over another one: a question whose answer is No unless somebody says yes, a choice, a page of help.

Counterparts: `tui.account_manager` and `tui.chat_app` push them and await what they are dismissed with.

Rule: Esc always takes back. Enter on a question that was not moved says No.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option


class Confirm(ModalScreen[bool]):
    """A question: True only for an explicit yes (y, or the button)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._yes = yes

    def compose(self) -> ComposeResult:
        """The question and its two answers."""
        with Vertical(classes="box"):
            yield Static(Text(self._question), classes="question")
            with Horizontal(classes="answers"):
                yield Button("No", id="no", compact=True)
                yield Button(Text(self._yes), id="yes", variant="error", compact=True)
            yield Static(Text("y yes · n, Esc or Enter no"), classes="hint")

    def on_mount(self) -> None:
        """No is meant until somebody moves."""
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button is an answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """A key is an answer."""
        self.dismiss(yes)


class Choice(ModalScreen[str | None]):
    """One of several things, by its id; None for none. rows: (id, words)."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(self, question: str, rows: Sequence[tuple[str, str]], chosen: str = "") -> None:
        super().__init__()
        self._question = question
        self._rows = rows
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """The question and the list."""
        with Vertical(classes="box"):
            yield Static(Text(self._question), classes="question")
            yield OptionList(*(Option(Text(words), id=key) for key, words in self._rows), compact=True)
            yield Static(Text("↑ ↓ move · Enter takes · Esc back"), classes="hint")

    def on_mount(self) -> None:
        """What is likely meant has the cursor."""
        keys = [key for key, _ in self._rows]
        options = self.query_one(OptionList)
        options.highlighted = keys.index(self._chosen) if self._chosen in keys else 0 if keys else None
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter takes the option under the cursor."""
        self.dismiss(event.option.id)


class Help(ModalScreen[None]):
    """What each key does. rows: (keys, words)."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss(None)", "Back")]

    def __init__(self, title: str, rows: Iterable[tuple[str, str]], notes: str = "") -> None:
        super().__init__()
        self._title = title
        self._rows = list(rows)
        self._notes = notes

    def compose(self) -> ComposeResult:
        """The table of keys."""
        page = Text("\n").join(Text.assemble((f"{keys:<9}", "bold"), words) for keys, words in self._rows)
        with VerticalScroll(classes="box"):
            yield Static(Text(self._title), classes="question")
            yield Static(page)
            if self._notes:
                yield Static(Text(self._notes), classes="hint")
