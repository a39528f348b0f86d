"""What the account manager does when a key is pressed: each a change of the book or a call, and a sentence about it.

Counterparts: `tui.account_manager` calls these beside its loop, `accounts.changes` are the changes, `services` does
the calls.

Rules that hold here:

1. Everything is awaited: no file is read and no peer asked on the screen's own loop.
2. Every change goes through `AccountStore.change`, so that what another process wrote meanwhile stays.
3. A sentence names the account by its label, never by a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Protocol

from msgspec import Struct

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.changes import chosen, pinned, removed, resumed, switched, unpinned
from codex_oss.accounts.quota import Quota
from codex_oss.accounts.view import label_of
from codex_oss.errors import BridgeError
from codex_oss.policy.printable import printable
from codex_oss.services.account_store import AccountStore

MAX_POLLS: Final = 4
"""Accounts that are asked for their quota at the same time."""


class DevicePrompt(Protocol):
    """Where a code is to be typed, and which."""

    @property
    def url(self) -> str: ...
    @property
    def user_code(self) -> str: ...


Paste = Callable[[], Awaitable[str]]
"""Gives a line that the person pasted."""
Say = Callable[[str], None]


class SignIn(Protocol):
    """The three ways to sign in; each raises LoginFailed. complain: is told why a pasted line is not usable."""

    async def by_browser(
        self,
        show: Say,
        *,
        open_browser: Say | None = None,
        paste: Paste | None = None,
        complain: Say | None = None,
    ) -> Account: ...
    async def by_device(self, show: Callable[[DevicePrompt], None]) -> Account: ...
    async def by_paste(self, show: Say, paste: Paste, *, complain: Say | None = None) -> Account: ...


class Refresh(Protocol):
    """Fresh access tokens."""

    async def fresh(self, person: str, *, not_generation: int = -1) -> Account | None: ...


class Quotas(Protocol):
    """What is known of windows, by person key."""

    def known(self) -> Mapping[str, Quota]: ...


class QuotaPoll(Protocol):
    """Asks the backend for the windows of one account; None when it does not say. insists: a person asks, at once."""

    async def poll(self, person: str, *, insists: bool = False) -> Quota | None: ...


class AccountServices(Protocol):
    """What the work is done with; each is made when it is first needed."""

    @property
    def store(self) -> AccountStore: ...
    @property
    def refresh(self) -> Refresh: ...
    @property
    def sign_in(self) -> SignIn: ...
    @property
    def quotas(self) -> Quotas: ...
    @property
    def quota_poll(self) -> QuotaPoll: ...


class Seen(Struct, frozen=True):
    """What is shown. now_s: epoch seconds of the look."""

    book: Book = Book()
    quotas: Mapping[str, Quota] = {}
    now_s: float = 0.0


class Said(Struct, frozen=True):
    """One sentence for the person. bad: what was wanted was not done."""

    text: str
    bad: bool = False


GONE: Final = Said("That account is not there any more.", bad=True)


class AccountWork:
    """The work behind the screen. clock: epoch seconds."""

    def __init__(self, services: AccountServices, *, clock: Callable[[], float] = time.time) -> None:
        self.services = services
        self._clock = clock

    async def look(self) -> Seen:
        """What the files say now. Raises StoreError."""
        store, quotas = self.services.store, self.services.quotas
        return await asyncio.to_thread(lambda: Seen(store.read(), quotas.known(), self._clock()))

    async def use(self, person: str) -> Said:
        """Have an account answer from now on, whatever was pinned; unless it is disabled."""
        return await self._meant(person, chosen, ("{} answers from now on.", "{} is chosen; it answers"))

    async def pin(self, person: str) -> Said:
        """Pin an account, unless it is disabled."""
        return await self._meant(person, pinned, ("{} is pinned.", "{} is pinned; it answers"))

    async def unpin(self) -> Said:
        """Take the pin away."""
        await self.services.store.change_soon(lambda book: unpinned(book, self._now_ms()))
        return Said("No account is pinned any more.")

    async def _meant(self, person: str, change: Callable[[Book, str, int], Book], words: tuple[str, str]) -> Said:
        now_ms = self._now_ms()
        book = await self.services.store.change_soon(
            lambda book: change(book, person, now_ms) if _enabled(book, person) else book
        )
        account = book.get(person)
        if account is None:
            return GONE
        if not account.switch.enabled:
            return Said(f"{_label(account)} is disabled; enable it first (e).", bad=True)
        if account.hindrance(now_ms) is None:
            return Said(words[0].format(_label(account)))
        return Said(f"{words[1].format(_label(account))} as soon as it can be used.")

    async def enable(self, person: str, wanted: bool) -> Said:
        """Enable or disable an account."""
        now_ms = self._now_ms()
        book = await self.services.store.change_soon(lambda book: switched(book, person, now_ms, enabled=wanted))
        account = book.get(person)
        return Said(f"{_label(account)} is {'enabled' if wanted else 'disabled'}.") if account else GONE

    async def resume(self, person: str) -> Said:
        """End the pause of an account."""
        book = await self.services.store.change_soon(lambda book: resumed(book, person))
        account = book.get(person)
        return Said(f"{_label(account)} does not wait any longer.") if account else GONE

    async def delete(self, person: str) -> Said:
        """Forget an account and its tokens."""
        label = ""

        def change(book: Book) -> Book:
            nonlocal label
            account = book.get(person)
            label = _label(account) if account else ""
            return removed(book, person, self._now_ms())

        await self.services.store.change_soon(change)
        return Said(f"{label} is deleted; its tokens are gone from this machine.") if label else GONE

    async def renew(self, account: Account) -> Said:
        """Spend the refresh token of an account for new tokens, whether or not the old ones have ended."""
        label = _label(account)
        if not account.switch.enabled:
            return Said(f"{label} is disabled; enable it first (e).", bad=True)
        fresh = await self.services.refresh.fresh(account.person_key, not_generation=account.credential.generation)
        if fresh is None:
            return Said(f"{label} has no token that can be renewed: sign in again (a).", bad=True)
        return Said(f"{label} has fresh tokens.")

    async def ask_quotas(self, persons: Collection[str]) -> Said:
        """Ask the backend for the windows of these accounts, a few at a time."""
        gate = asyncio.Semaphore(MAX_POLLS)

        async def ask(person: str) -> Quota | None:
            async with gate:
                return await self.services.quota_poll.poll(person, insists=True)

        answers = await asyncio.gather(*(ask(person) for person in persons), return_exceptions=True)
        known = sum(isinstance(answer, Quota) for answer in answers)
        failed = next((answer for answer in answers if isinstance(answer, BridgeError)), None)
        if known == len(answers):
            return Said(f"The quota of {_accounts(known)} was read.")
        why = f": {failed.message}" if failed else "; for the others it stays as it was."
        return Said(f"The quota of {known} of {_accounts(len(answers))} was read{why}", bad=True)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _enabled(book: Book, person: str) -> bool:
    account = book.get(person)
    return account is not None and account.switch.enabled


def _label(account: Account) -> str:
    return printable(label_of(account)).replace("\n", " ")


def _accounts(count: int) -> str:
    return f"{count} account{'' if count == 1 else 's'}"
