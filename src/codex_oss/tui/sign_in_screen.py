"""Signing in on a screen: the address or the code, and waiting until the person has agreed elsewhere.

Counterparts: `services.sign_in` does it (here a Protocol in `tui.account_work`); `tui.account_manager` pushes this.

    choose a way ─► address or code is shown ─► (paste) ─► account, or a sentence why not

Rule: Esc ends a sign-in that waits; nothing is stored then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Final, Literal

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from codex_oss.accounts.account import Account
from codex_oss.policy.printable import printable
from codex_oss.tui.account_work import DevicePrompt, SignIn
from codex_oss.tui.full_screen import sentence_of

Way = Literal["browser", "device", "paste"]
WAYS: Final[dict[Way, str]] = {
    "browser": "In a browser on this machine",
    "device": "With a code, in a browser anywhere",
    "paste": "By hand: paste the address that the browser ends at",
}


class SignInScreen(ModalScreen[Account | None]):
    """One sign-in; dismissed with the account that was stored, None for none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Give up"),
        Binding("f2", "copy", "Copy the address"),
    ]

    def __init__(self, sign_in: SignIn, way: Way, open_browser: Callable[[str], None] | None) -> None:
        super().__init__()
        self._sign_in = sign_in
        self._way = way
        self._open_browser = open_browser
        self._address = ""
        self._pasted: asyncio.Future[str] | None = None

    def compose(self) -> ComposeResult:
        """Title, what is shown, a field for a pasted address, and the keys."""
        with Vertical(classes="box"):
            yield Static(Text(WAYS[self._way]), classes="question")
            yield Static(Text("One moment …"), id="shown")
            yield Input(placeholder="http://localhost:1455/auth/callback?code=…", id="paste", password=True)
            yield Static(Text(), id="failure", classes="bad")
            yield Static(Text("Esc gives up"), classes="hint", id="keys")

    def on_mount(self) -> None:
        """Begin."""
        self.query_one("#paste").display = False
        self.run_worker(self._work(), exit_on_error=False)

    async def _work(self) -> None:
        try:
            account = await self._signed_in()
        except Exception as exc:
            self._complain(sentence_of(exc))
            self.query_one("#paste").display = False
            self.query_one("#keys", Static).update(Text("Nothing was stored. Esc goes back"))
        else:
            self.dismiss(account)

    async def _signed_in(self) -> Account:
        match self._way:
            case "browser":
                return await self._sign_in.by_browser(
                    self._show_address, open_browser=self._open_browser, paste=self._paste, complain=self._complain
                )
            case "device":
                return await self._sign_in.by_device(self._show_code)
            case "paste":
                return await self._sign_in.by_paste(self._show_address, self._paste, complain=self._complain)

    def _show_address(self, address: str) -> None:
        self._address = printable(address)
        shown = Text("Open this address and agree there:\n\n")
        shown.append(self._address, style=Style(underline=True, link=self._address))
        ends = "When the browser says that it cannot connect, paste" if self._way == "paste" else "Or paste"
        shown.append(f"\n\n{ends} the address at which it ends:")
        self._update(shown)

    def _show_code(self, prompt: DevicePrompt) -> None:
        self._address = printable(prompt.url)
        shown = Text("Open this address, anywhere:\n\n")
        shown.append(self._address, style=Style(underline=True, link=self._address))
        shown.append("\n\nand type this code there:\n\n").append(printable(prompt.user_code), style="bold")
        self._update(shown)

    def _update(self, shown: Text) -> None:
        self.query_one("#shown", Static).update(shown)
        self.query_one("#keys", Static).update(Text("F2 copies the address · Esc gives up"))

    async def _paste(self) -> str:
        """What the person pastes. The field hides it: the address holds the code of this sign-in."""
        field = self.query_one("#paste", Input)
        field.display = True
        field.value = ""
        field.focus()
        self._pasted = asyncio.get_running_loop().create_future()
        return await self._pasted

    def _complain(self, sentence: str) -> None:
        self.query_one("#failure", Static).update(Text(printable(sentence)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter hands the pasted address over."""
        self._complain("")
        if self._pasted is not None and not self._pasted.done() and event.value.strip():
            self._pasted.set_result(event.value.strip())

    def action_copy(self) -> None:
        """Give the address to the terminal's clipboard (OSC 52)."""
        if self._address:
            self.app.copy_to_clipboard(self._address)

    def action_give_up(self) -> None:
        """Go back; a sign-in under way ends with this screen."""
        self.dismiss(None)
