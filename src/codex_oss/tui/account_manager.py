"""The account manager: the accounts as a table that follows the file, and a key for everything that can be done.

Counterparts: `tui.accounts` is its verb, `tui.account_rows` what it shows, `tui.account_work` what it does.

    files ─(every LOOK_S, in a thread)─► Seen ─► rows and details
    key ─► change ─► one at a time, in the order of the keys ─► file ─► Seen, and a sentence
        └► call (refresh, quota, sign-in) ─► beside everything else ─► a sentence

Rules that hold here:

1. The cursor stays on its account, whatever the file does.
2. What a key does is decided by what is shown when its turn comes; pressing a toggle twice changes nothing.
3. Leaving waits for changes under way; leaving twice does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static

from codex_oss.accounts.account import Account
from codex_oss.accounts.quota_text import Local
from codex_oss.accounts.view import label_of
from codex_oss.policy.printable import printable
from codex_oss.tui.account_rows import COLUMNS, AccountRow, column_names, details_of, headline, rows_of, widths
from codex_oss.tui.account_work import AccountWork, Said, Seen
from codex_oss.tui.full_screen import FullScreen, sentence_of
from codex_oss.tui.questions import Choice, Confirm, Help
from codex_oss.tui.sign_in_screen import WAYS, SignInScreen, Way

LOOK_S: Final = 0.5
NONE_YET: Final = "There is no account yet. Press a to sign in."
KEYS: Final = (
    ("a", "Sign in with another account"),
    ("u, Enter", "Use: the account answers from now on; a pin is taken away"),
    ("p", "Pin, or take the pin away: a pinned account answers whenever it can"),
    ("e", "Enable or disable"),
    ("r", "Renew the tokens of the account now"),
    ("w", "End its waiting: ask it again before its pause is over"),
    ("l", "Ask for the quota of every account that can be asked"),
    ("d", "Delete the account from this machine (asks first)"),
    ("D", "Delete all accounts from this machine (asks first)"),
    ("?", "This page"),
    ("q", "Quit"),
)
MARKS: Final = "● is the active account, ◆ the pinned one. What is shown of quotas is what was left when it was read."
Change = Callable[[], Awaitable[Said]]


class AccountTable(DataTable[Text]):
    """The table; Home and End go to the first and the last account."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]


class AccountManager(FullScreen):
    """The program. local: epoch seconds to the time that is shown. headless: no browser on this machine."""

    TITLE = "codex-oss accounts"
    CSS_PATH: ClassVar = ["screens.tcss", "accounts.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("a", "add", "Add"),
        Binding("u", "use", "Use"),
        Binding("p", "pin", "Pin"),
        Binding("e", "enable", "On/off"),
        Binding("r", "renew", "Renew"),
        Binding("w", "resume", "Resume"),
        Binding("l", "quotas", "Quota"),
        Binding("d", "delete", "Delete"),
        Binding("D", "delete_all", "Delete all", show=False),
        Binding("q", "leave", "Quit"),
    ]

    def __init__(
        self,
        work: AccountWork,
        *,
        open_browser: Callable[[str], None] | None,
        headless: bool = False,
        local: Local = datetime.fromtimestamp,
    ) -> None:
        super().__init__()
        self.work = work
        self.local = local
        self.seen = Seen()
        self._open_browser = open_browser
        self._headless = headless
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._shown: tuple[AccountRow, ...] | None = None
        self._looking = asyncio.Lock()
        self._look_failed = ""
        self._changes_left = 0
        self._leaving = False
        self._title = Static(id="title")
        self._table = AccountTable(id="table", cursor_type="row", cell_padding=1)
        self._empty = Static(Text("Reading the accounts …"), id="empty")
        self._details = Static(id="details")
        self._said = Static(id="said")

    def compose(self) -> ComposeResult:
        """Title, table, details, the last sentence, and the keys."""
        yield self._title
        yield self._table
        yield self._empty
        yield self._details
        yield self._said
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to look and to work."""
        self._table.focus()
        self.run_worker(self._look_again(), exit_on_error=False)
        self.run_worker(self._change_in_turn(), exit_on_error=False)

    # What is shown.

    async def _look_again(self) -> None:
        """Look at the files until the program ends."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look at the files once, and show what they say. One at a time: an older look never hides a newer one."""
        async with self._looking:
            try:
                seen = await self.work.look()
            except Exception as exc:
                if (sentence := sentence_of(exc)) != self._look_failed:
                    self._look_failed = sentence
                    self.say(Said(sentence, bad=True))
            else:
                self._look_failed = ""
                self.show(seen)

    def show(self, seen: Seen) -> None:
        """Show what was seen; the table is made anew only when something of it differs."""
        self.seen = seen
        rows = tuple(rows_of(seen, self.size.width, self.local))
        if rows != self._shown:
            self._show_rows(rows)
        self._title.update(Text(f"ChatGPT accounts  {headline(seen)}", no_wrap=True))
        self._empty.update(Text(NONE_YET))
        self._empty.display = not rows
        self._table.display = bool(rows)
        self._show_details()

    def _show_rows(self, rows: tuple[AccountRow, ...]) -> None:
        table = self._table
        person, at, top = self.person(), table.cursor_row, table.scroll_y
        wide = widths(self.size.width)
        self._shown = rows
        table.clear(columns=True)
        sizes = (wide.mark, wide.account, wide.state, *[wide.window] * len(COLUMNS))
        for name, width in zip(column_names(self.size.width), sizes, strict=True):
            table.add_column(name, width=width)
        for row in rows:
            table.add_row(*row.cells, key=row.person)
        persons = [row.person for row in rows]
        if rows:
            table.move_cursor(row=persons.index(person) if person in persons else min(at, len(rows) - 1), scroll=False)
            table.scroll_to(y=top, animate=False)

    def _show_details(self) -> None:
        self._details.update(details_of(self.seen, self.person() or "", self.local))

    def on_data_table_row_highlighted(self) -> None:
        """The details follow the cursor."""
        self._show_details()

    def on_data_table_row_selected(self) -> None:
        """Enter uses the account."""
        self.action_use()

    def on_resize(self, event: events.Resize) -> None:
        """The columns are shared anew."""
        if self._shown is not None:
            self.call_after_refresh(lambda: self.show(self.seen))

    def say(self, said: Said) -> None:
        """Show one sentence until the next one."""
        self._said.update(Text(said.text))
        self._said.set_class(said.bad, "bad")

    def person(self) -> str | None:
        """The person key of the account under the cursor."""
        table, rows = self._table, self._shown or ()
        return rows[table.cursor_row].person if 0 <= table.cursor_row < len(rows) else None

    def account(self) -> Account | None:
        """The account under the cursor, as it is shown."""
        person = self.person()
        return self.seen.book.get(person) if person else None

    # What is done.

    async def _change_in_turn(self) -> None:
        """Make the changes in the order of the keys."""
        while True:
            change = await self._changes.get()
            try:
                await self._done(change())
            finally:
                self._changes_left -= 1
                if self._leaving and not self._changes_left:
                    self.exit()

    async def _done(self, work: Awaitable[Said]) -> None:
        """Await a piece of work, tell what came of it, and show what it left."""
        try:
            said = await work
        except Exception as exc:
            said = Said(sentence_of(exc), bad=True)
        await self.look()
        self.say(said)

    def _change(self, change: Callable[[Account], Awaitable[Said]]) -> None:
        """Queue a change of the account under the cursor."""
        account = self.account()
        if account is None:
            self.say(Said(NONE_YET, bad=True))
            return
        person = account.person_key

        async def change_it() -> Said:
            now = self.seen.book.get(person)
            return Said("That account is not there any more.", bad=True) if now is None else await change(now)

        self._queue(change_it)

    def _queue(self, change: Change) -> None:
        self._changes_left += 1
        self._changes.put_nowait(change)

    def action_use(self) -> None:
        """Make the account the active one."""
        self._change(lambda account: self.work.use(account.person_key))

    def action_pin(self) -> None:
        """Pin, or take the pin away."""
        self._change(
            lambda account: (
                self.work.unpin()
                if self.seen.book.pinned.person == account.person_key
                else self.work.pin(account.person_key)
            )
        )

    def action_enable(self) -> None:
        """Enable or disable."""
        self._change(lambda account: self.work.enable(account.person_key, not account.switch.enabled))

    def action_resume(self) -> None:
        """End its waiting."""
        self._change(lambda account: self.work.resume(account.person_key))

    def action_delete(self) -> None:
        """Delete the account, after a question."""
        account = self.account()
        if account is None:
            self.say(Said(NONE_YET, bad=True))
            return
        label, person = printable(label_of(account)), account.person_key

        def answered(yes: bool | None) -> None:
            if yes:
                self._queue(lambda: self.work.delete(person))
            else:
                self.say(Said("Nothing was deleted."))

        question = f"Delete {label} from this machine? It can be used again only after signing in again."
        self.push_screen(Confirm(question, "Yes, delete it"), answered)

    def action_delete_all(self) -> None:
        """Delete every account that is shown now, after a question."""
        persons = [account.person_key for account in self.seen.book.accounts]
        if not persons:
            self.say(Said(NONE_YET, bad=True))
            return

        def answered(yes: bool | None) -> None:
            if not yes:
                self.say(Said("Nothing was deleted."))
                return
            for person in persons:
                self._queue(partial(self.work.delete, person))

        question = f"Delete all {len(persons)} accounts from this machine?"
        self.push_screen(Confirm(question, "Yes, delete all"), answered)

    def action_renew(self) -> None:
        """Renew the tokens."""
        account = self.account()
        if account is None:
            self.say(Said(NONE_YET, bad=True))
            return
        self.say(Said(f"Renewing the tokens of {printable(label_of(account))} …"))
        self.run_worker(self._done(self.work.renew(account)), exit_on_error=False)

    def action_quotas(self) -> None:
        """Ask for the quota of every account that can be asked."""
        now_ms = int(self.seen.now_s * 1000)
        able = [account for account in self.seen.book.accounts if account.hindrance(now_ms) in (None, "cooling_down")]
        if not able:
            self.say(Said("There is no account that could be asked for its quota.", bad=True))
            return
        self.say(Said("Asking for quotas …"))
        work = self.work.ask_quotas([account.person_key for account in able])
        self.run_worker(self._done(work), exit_on_error=False, exclusive=True, group="quota")

    def action_add(self) -> None:
        """Sign in with another account."""

        def chosen(way: str | None) -> None:
            for known in WAYS:
                if known == way:
                    self._sign_in(known)

        likely = "device" if self._headless else "browser"
        self.push_screen(Choice("Sign in with a ChatGPT account", tuple(WAYS.items()), likely), chosen)

    def _sign_in(self, way: Way) -> None:
        async def came(account: Account | None) -> None:
            await self.look()
            if account is None:
                self.say(Said("No account was added."))
            else:
                self.say(Said(f"Signed in as {printable(label_of(account))}."))

        self.push_screen(SignInScreen(self.work.services.sign_in, way, self._open_browser), came)

    def action_help(self) -> None:
        """What each key does."""
        self.push_screen(Help("Keys", KEYS, MARKS))

    async def action_leave(self) -> None:
        """End the program, after the changes under way (rule 3)."""
        if self._leaving or not self._changes_left:
            self.exit()
            return
        self._leaving = True
        self.say(Said("Waiting for a change to be written; once more leaves at once."))
