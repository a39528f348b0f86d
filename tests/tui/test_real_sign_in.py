"""The account manager with the real sign-in under it, against the rude issuer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from codex_oss.tui.account_manager import AccountManager
from codex_oss.tui.account_work import AccountWork
from codex_oss.tui.sign_in_screen import SignInScreen
from codex_oss.wiring.accounts import Accounts, open_accounts
from tests.cli.signing_in import visit, where_back
from tests.fakes.issuer import Issuer as RudeIssuer
from tests.tui.screen import WIDE, text_of, until, until_shown


@pytest.fixture
def rude() -> Iterator[RudeIssuer]:
    """The issuer."""
    with RudeIssuer() as issuer:
        yield issuer


@asynccontextmanager
async def managing(home: Path, rude: RudeIssuer) -> AsyncIterator[tuple[Pilot[Any], Accounts]]:
    """The manager on a screen, with services as the program opens them; only the port is any that is free."""
    accounts = open_accounts({"HOME": str(home), "CODEX_OSS_OAUTH_ISSUER": rude.url})
    sign_in: Any = accounts.sign_in
    sign_in.by_browser = functools.partial(sign_in.by_browser, ports=(0,))
    try:
        async with AccountManager(AccountWork(accounts), open_browser=None).run_test(size=WIDE) as pilot:
            yield pilot, accounts
    finally:
        await accounts.aclose()


async def address(pilot: Pilot[Any]) -> str:
    """What the sign-in screen shows to open."""
    await until(pilot, lambda: isinstance(pilot.app.screen, SignInScreen) and pilot.app.screen._address)
    assert isinstance(pilot.app.screen, SignInScreen)
    return pilot.app.screen._address


async def signed_in(pilot: Pilot[Any], accounts: Accounts) -> None:
    """It ends in the list, with the account on disk and none of its tokens on the screen."""
    await until_shown(pilot, "Signed in as ann@x.y (plus).")
    (account,) = accounts.store.read().accounts
    assert account.key == "acc1|ann@x.y|plus"
    shown = text_of(pilot.app)  # type: ignore[arg-type]
    assert account.credential.refresh not in shown
    assert account.credential.access[:20] not in shown


async def test_browser(tmp_path: Path, rude: RudeIssuer) -> None:
    """A stranger's callback changes nothing; denied says so; and the next sign-in works in the same program."""
    rude.pages.visits = ["wrong_state", "deny", "grant"]
    async with managing(tmp_path, rude) as (pilot, accounts):
        await pilot.press("a", "enter")
        url = await address(pilot)
        assert (await asyncio.to_thread(visit, url))[0] == 400
        assert (await asyncio.to_thread(visit, url))[0] == 200
        await until_shown(pilot, "The sign-in was not allowed in the browser")
        await pilot.press("escape")
        await until_shown(pilot, "No account was added.")
        await pilot.press("a", "enter")
        assert (await asyncio.to_thread(visit, await address(pilot)))[0] == 200
        await signed_in(pilot, accounts)


async def test_device(tmp_path: Path, rude: RudeIssuer) -> None:
    """The code stands on the screen."""
    async with managing(tmp_path, rude) as (pilot, accounts):
        rude.pages.script = ["grant"]
        await pilot.press("a", "down", "enter")
        await signed_in(pilot, accounts)


async def test_paste(tmp_path: Path, rude: RudeIssuer) -> None:
    """After Esc in the browser's way: what had begun is over, and the port is not kept."""
    async with managing(tmp_path, rude) as (pilot, accounts):
        await pilot.press("a", "enter")
        await address(pilot)
        await pilot.press("escape")
        await until_shown(pilot, "No account was added.")
        await pilot.press("a", "down", "down", "enter")
        back = await asyncio.to_thread(where_back, await address(pilot))
        await until(pilot, lambda: pilot.app.screen.query_one(Input).has_focus)
        pilot.app.screen.query_one(Input).value = back
        await pilot.press("enter")
        await signed_in(pilot, accounts)
