"""Accounts for the screens: a fixed afternoon, accounts in every state, and peers that do what a test says.

Every token here is a CANARY: none may ever be on a screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch, identity_key
from codex_oss.accounts.book import Book, Meant, signed_in
from codex_oss.accounts.quota import FIVE_HOURS_S, WEEK_S, Credits, Quota, Window
from codex_oss.services.account_store import AccountStore
from codex_oss.tui.account_manager import AccountManager
from codex_oss.tui.account_work import AccountWork, DevicePrompt, Paste, Say

NOW_S = datetime(2026, 3, 2, 14, 5, tzinfo=UTC).timestamp()
NOW_MS = int(NOW_S * 1000)
HOUR_S = 3600
CANARY = "CANARY"
"""Stands in every token."""


def in_utc(at_s: float) -> datetime:
    """The time of an instant, wherever the test runs."""
    return datetime.fromtimestamp(at_s, UTC)


def account(email: str, plan: str = "plus", account_id: str = "", **more: object) -> Account:
    """An account that can be used, with tokens that must not be seen."""
    place = account_id or f"acc-{email.partition('@')[0]}"
    made = Account(
        key=identity_key(place, email, plan),
        account_id=place,
        email=email,
        plan=plan,
        user_id=f"user-{email}",
        credential=Credential(1, NOW_MS + HOUR_S * 1000, f"at-{CANARY}-{email}", f"rt-{CANARY}-{email}"),
        added_ms=NOW_MS - 40 * 24 * HOUR_S * 1000,
        last_used_ms=NOW_MS - 5 * 60_000,
    )
    return structs.replace(made, **more)


def quota(five_hours: float | None, week: float | None, credits: Credits | None = None) -> Quota:
    """Two windows with so many percent left; None for what nobody said."""
    return Quota(
        NOW_S - 60,
        (
            Window(FIVE_HOURS_S, None if five_hours is None else 100 - five_hours, NOW_S + 2 * HOUR_S),
            Window(WEEK_S, None if week is None else 100 - week, NOW_S + 3 * 24 * HOUR_S),
        ),
        credits or Credits(),
    )


ANN = account("ann@example.org")
BEA = account("bea@example.org", "team", cooldown=Cooldown(NOW_MS + 55 * 60_000, "usage_limit_reached", True))
CAY = account("cay@example.org", switch=Switch(NOW_MS, False, "by_person"))
DEE = account("dee@example.org", "pro", dead_generation=1, last_error=(NOW_MS, "refresh_token_reused"))
EVE = account("eve@example.org", "business", workspace=Switch(NOW_MS, False, "deactivated_workspace"))
FAY = account("fay@example.org", "free")
ALL = (ANN, BEA, CAY, DEE, EVE, FAY)
QUOTAS = {
    ANN.person_key: quota(72.0, 38.0),
    BEA.person_key: quota(0.0, 12.5),
    CAY.person_key: quota(None, 4.4, Credits(has=True, balance="12")),
    FAY.person_key: Quota(NOW_S - 60, (Window(WEEK_S),)),
}
"""DEE and EVE were never asked; FAY's only window ended, and nobody asked since."""


def book(*accounts: Account, active: Account | None = None, pin: Account | None = None) -> Book:
    """A book of these."""
    return Book(
        accounts=accounts,
        active=Meant(NOW_MS, active.person_key) if active else Meant(),
        pinned=Meant(NOW_MS, pin.person_key) if pin else Meant(),
    )


ADDRESS = "https://auth.example.org/oauth/authorize?client_id=app_test&state=s1"


class Prompt(Struct, frozen=True):
    """Where a code is typed."""

    url: str
    user_code: str


class FakeSignIn:
    """Signs *account* in as soon as `agreed` is set; a pasted address must hold `code=`."""

    def __init__(self, store: AccountStore, account: Account) -> None:
        self._store = store
        self._account = account
        self.agreed = asyncio.Event()
        self.opened: list[str] = []
        self.fails: Exception | None = None

    async def by_browser(
        self, show: Say, *, open_browser: Say | None = None, paste: Paste | None = None, complain: Say | None = None
    ) -> Account:
        """Show an address, open it, wait; a pasted address counts as if the browser had come back."""
        show(ADDRESS)
        if open_browser:
            open_browser(ADDRESS)
        pasting = asyncio.ensure_future(self._pasted(paste, complain)) if paste else None
        try:
            return await self._stored()
        finally:
            if pasting:
                pasting.cancel()

    async def by_device(self, show: Callable[[DevicePrompt], None]) -> Account:
        """Show a code, wait."""
        show(Prompt("https://auth.example.org/codex/device", "WDJB-MJHT"))
        return await self._stored()

    async def by_paste(self, show: Say, paste: Paste, *, complain: Say | None = None) -> Account:
        """Show an address, take one."""
        show(ADDRESS)
        await self._pasted(paste, complain)
        return await self._stored()

    async def _pasted(self, paste: Paste, complain: Say | None) -> None:
        while "code=" not in await paste():
            if complain:
                complain("That is no address that a browser comes back with.")
        self.agreed.set()

    async def _stored(self) -> Account:
        await self.agreed.wait()
        if self.fails:
            raise self.fails
        await self._store.change_soon(lambda book: signed_in(book, self._account)[0])
        return self._account


class FakeQuotas:
    """What is known, and a backend that knows `told`; an exception there is raised."""

    def __init__(self, known: Mapping[str, Quota]) -> None:
        self._known = dict(known)
        self.told: dict[str, Quota | Exception] = {}
        self.asked: list[str] = []

    def known(self) -> Mapping[str, Quota]:
        """What was read so far."""
        return dict(self._known)

    async def poll(self, person: str, *, insists: bool = False) -> Quota | None:
        """Ask for one."""
        assert insists, "a person asks"
        self.asked.append(person)
        answer = self.told.get(person)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            self._known[person] = answer
        return answer


class FakeRefresh:
    """Answers a renewal with a rotated credential, with None, or by raising."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store
        self.answer: str | Exception = "fresh"
        self.asked: list[tuple[str, int]] = []

    async def fresh(self, person: str, *, not_generation: int = -1) -> Account | None:
        """Renew one."""
        self.asked.append((person, not_generation))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self._store.read().get(person) if self.answer == "fresh" else None


class World:
    """A folder with a book, peers, and the program on them."""

    def __init__(self, folder: Path, contents: Book, quotas: Mapping[str, Quota] = QUOTAS) -> None:
        self.store = AccountStore(folder)
        self.store.change(lambda _: contents)
        self.sign_in = FakeSignIn(self.store, account("new@example.org"))
        self.quotas = self.quota_poll = FakeQuotas(quotas)
        self.refresh = FakeRefresh(self.store)

    def manager(self, *, headless: bool = False) -> AccountManager:
        """The account manager on this folder, in UTC."""
        work = AccountWork(self, clock=lambda: NOW_S)
        return AccountManager(work, open_browser=self.sign_in.opened.append, headless=headless, local=in_utc)

    def read(self) -> Book:
        """What the file says."""
        return self.store.read()
