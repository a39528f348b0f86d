"""The conversation on the screen, and the field below it.

Counterparts: `tui.chat_log` says what there is, `tui.chat_blocks` how it is drawn, `tui.chat_app` holds both.

Rule: while the person has scrolled up, nothing that streams in moves what he reads.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static, TextArea

from codex_oss.tui.chat_blocks import drawn
from codex_oss.tui.chat_log import Block, ChatLog

MAX_PROMPT_LINES: Final = 8


class ChatView(VerticalScroll, can_focus=True):
    """The blocks of a log, one widget each."""

    def __init__(self) -> None:
        super().__init__(id="view")
        self._widgets: list[Static] = []
        self.unfolded = False

    def on_mount(self) -> None:
        """Stay at the end until somebody scrolls away from it."""
        self.anchor()

    def draw(self, log: ChatLog) -> None:
        """Draw what changed."""
        fresh: list[Static] = []
        for at in log.take_changed():
            block = log.blocks[at]
            if at < len(self._widgets):
                self._widgets[at].update(drawn(block, unfolded=self.unfolded))
            else:
                widget = Static(drawn(block, unfolded=self.unfolded), classes=_classes(block))
                self._widgets.append(widget)
                fresh.append(widget)
        if fresh:
            self.mount(*fresh)

    def clear(self) -> None:
        """Forget every block."""
        self._widgets = []
        self.remove_children()


class PromptField(TextArea):
    """Where the person types: Enter sends, Ctrl-J begins a new line. What is pasted keeps its lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send"),
        Binding("ctrl+j,shift+enter,alt+enter", "new_line", "New line"),
        Binding("ctrl+d", "delete_or_leave", show=False),
        Binding("pageup", "app.page(-1)", show=False),
        Binding("pagedown", "app.page(1)", show=False),
    ]

    class Sent(Message):
        """The person sent this."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(id="prompt", soft_wrap=True, tab_behavior="focus", highlight_cursor_line=False, compact=True)
        self.cursor_blink = False

    def action_send(self) -> None:
        """Hand the text over; whoever takes it clears the field."""
        if self.text.strip():
            self.post_message(self.Sent(self.text.strip()))

    def action_new_line(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    async def _on_key(self, event: events.Key) -> None:
        """Enter sends what was typed before it: a binding with priority would overtake keys that still wait."""
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.action_send()
            return
        await super()._on_key(event)

    async def action_delete_or_leave(self) -> None:
        """As in a shell: with nothing typed it is the end."""
        if self.text:
            self.action_delete_right()
        else:
            await self.app.run_action("leave")

    def on_text_area_changed(self) -> None:
        """Grow with what is typed."""
        self._fit()

    def on_resize(self, event: events.Resize) -> None:
        """Lines wrap anew."""
        self._fit()

    def _fit(self) -> None:
        self.styles.height = min(max(self.wrapped_document.height, 1), MAX_PROMPT_LINES)


def _classes(block: Block) -> str:
    return f"block {block.kind}" + (" continued" if block.continued else "")
