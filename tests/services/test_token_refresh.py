"""Refreshing against a rude issuer: many tasks, many processes, kills at each step, and answers of every kind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Credential, Switch, identity_key
from codex_oss.accounts.book import Book, signed_in
from codex_oss.errors import Unavailable
from codex_oss.services.account_store import AccountStore
from codex_oss.services.issuer import Issuer
from codex_oss.services.token_refresh import TokenRefresh
from tests.fakes.issuer import Issuer as RudeIssuer

SPAWN = multiprocessing.get_context("spawn")
PERSON = "ann@x.y|acc1"


def sign_in(store: AccountStore, issuer: RudeIssuer, *, ends_ms: int = 0) -> Account:
    """A login whose access token ends at once."""
    told = issuer.login("ann@x.y")
    account = Account(
        key=identity_key("acc1", "ann@x.y", "plus"),
        account_id="acc1",
        email="ann@x.y",
        plan="plus",
        switch=Switch(1),
        credential=Credential(0, ends_ms, told["access_token"], told["refresh_token"]),
    )
    held = store.change(lambda book: signed_in(book, account)[0]).get(PERSON)
    assert held is not None
    return held


async def ask(store: AccountStore, url: str, times: int = 1, **options: Any) -> list[Account | None]:
    """So many askers at once, in this process."""
    issuer = Issuer(url)
    refresh = TokenRefresh(store, issuer)
    try:
        return await asyncio.gather(*(refresh.fresh(PERSON, **options) for _ in range(times)))
    finally:
        await refresh.aclose()
        await issuer.aclose()


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that other processes do."""
    async with asyncio.timeout(90):
        while not true():  # noqa: ASYNC110 (other processes set no event)
            await asyncio.sleep(0.02)


async def test_many_askers_are_one_refresh(tmp_path: Path) -> None:
    """All get the new token, which is in the book; the next one asks nobody."""
    store = AccountStore(tmp_path)
    with RudeIssuer(slow_s=0.05) as rude:
        sign_in(store, rude)
        found = await ask(store, rude.url, 20)
        assert (rude.refreshes, rude.reuses) == (1, [])
        assert len({account.credential.access for account in found if account}) == 1
        assert store.read().get(PERSON) == found[0]
        await ask(store, rude.url)
        assert rude.refreshes == 1


def keep_asking(folder: Path, url: str) -> None:
    """Ask until told to stop, as a bridge with many turns does. Ends with 3 when a login is needed."""

    async def main() -> None:
        store, issuer = AccountStore(folder), Issuer(url)
        refresh = TokenRefresh(store, issuer)
        while not (folder / "stop").exists():
            if await refresh.fresh(PERSON) is None:
                os._exit(3)
        await refresh.aclose()
        await issuer.aclose()

    asyncio.run(main())


async def test_eight_processes_spend_each_token_once(tmp_path: Path) -> None:
    """Access tokens that live for moments, and eight who want one all the time."""
    store = AccountStore(tmp_path)
    with RudeIssuer(life_s=60.1) as rude:
        sign_in(store, rude)
        askers = [SPAWN.Process(target=keep_asking, args=(tmp_path, rude.url)) for _ in range(8)]
        for asker in askers:
            asker.start()
        await until(lambda: rude.refreshes >= 20 or bool(rude.reuses))
        (tmp_path / "stop").touch()
        for asker in askers:
            await asyncio.to_thread(asker.join, 60)
        assert [asker.exitcode for asker in askers] == [0] * 8
        assert rude.reuses == []


STEPS = ("locked", "asked", "answered", "writing", "written")


def refresh_and_die(folder: Path, url: str, step: str) -> None:
    """Refresh once, killed at a step (`asked`: by the test, while the issuer takes its time)."""

    def die(*_: object) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    real_refresh, real_replace = Issuer.refresh, os.replace

    async def dying_refresh(self: Issuer, refresh: str) -> Any:
        if step == "locked":
            die()
        answer = await real_refresh(self, refresh)
        if step == "answered":
            die()
        return answer

    def dying_replace(*args: Any, **options: Any) -> None:
        if step == "writing":
            die()
        real_replace(*args, **options)
        if step == "written":
            die()

    Issuer.refresh = dying_refresh  # type: ignore[method-assign]
    os.replace = dying_replace
    asyncio.run(ask(AccountStore(folder), url))
    sys.exit(9)


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_each_step(tmp_path: Path, step: str) -> None:
    """Nobody waits for the dead, no account is lost, and only an answer that was never written costs a login."""
    store = AccountStore(tmp_path)
    with RudeIssuer(slow_s=1.0 if step == "asked" else 0.0) as rude:
        sign_in(store, rude)
        victim = SPAWN.Process(target=refresh_and_die, args=(tmp_path, rude.url, step))
        victim.start()
        if step == "asked":
            await until(lambda: rude.refreshes == 1)
            victim.kill()
        await asyncio.to_thread(victim.join, 60)
        assert victim.exitcode == -signal.SIGKILL
        (after,) = await ask(store, rude.url)
        unwritten = step in ("asked", "answered", "writing")
        assert len(rude.reuses) == unwritten
        (account,) = store.read().accounts
        if unwritten:
            assert after is None
            assert account.hindrance(0) == "needs_login"
        else:
            assert after is not None
            assert account == after
            assert account.hindrance(0) is None


REFUSALS = [
    ((200, "", b'{"access_token": "new"}'), "new", None),
    ((400, "application/json", b'{"error": "invalid_grant"}'), None, "needs_login"),
    ((401, "application/json", b'{"error": {"code": "Refresh_Token_Revoked"}}'), None, "needs_login"),
    (
        (400, "application/json", b'{"error": "x", "error_description": "Your refresh token has expired"}'),
        None,
        "needs_login",
    ),
    ((401, "application/json", b'{"error": "invalid_token"}'), Unavailable, "cooling_down"),
    ((403, "text/html", b"<html>challenge</html>"), Unavailable, "cooling_down"),
    ((200, "text/html", b"<html>"), Unavailable, "cooling_down"),
    ((302, "", b""), Unavailable, "cooling_down"),
    ((503, "", b"[" * 5000), Unavailable, "cooling_down"),
]


@pytest.mark.parametrize(("answer", "found", "hindrance"), REFUSALS)
async def test_what_the_issuer_says(tmp_path: Path, answer: Any, found: Any, hindrance: str | None) -> None:
    """Terminal refusals ask for a login, others for patience; an answer without a refresh token keeps the old one."""
    store = AccountStore(tmp_path)
    with RudeIssuer() as rude:
        held = sign_in(store, rude)
        rude.trouble = [answer]
        if found is Unavailable:
            with pytest.raises(Unavailable):
                await ask(store, rude.url)
        else:
            (account,) = await ask(store, rude.url)
            assert (account and account.credential.access) == found
        (after,) = store.read().accounts
        assert after.credential.refresh == held.credential.refresh
        assert after.hindrance(0) == hindrance


async def test_an_answer_that_comes_in_pieces_is_read_whole(tmp_path: Path) -> None:
    """Half an answer would lose the account: the token that was spent for it is gone."""
    store = AccountStore(tmp_path)
    with RudeIssuer() as rude:
        held = sign_in(store, rude)
        rude.piece_bytes = 100
        (account,) = await ask(store, rude.url)
        assert account is not None
        assert account.credential.refresh not in ("", held.credential.refresh)
        assert rude.reuses == []


async def test_a_login_in_between_stands(tmp_path: Path) -> None:
    """The person signs in while the old token is refused: the new login is used, not marked."""
    store = AccountStore(tmp_path)
    with RudeIssuer(slow_s=0.3) as rude:
        sign_in(store, rude)
        rude.trouble = [(400, "application/json", b'{"error": "invalid_grant"}')]
        asking = asyncio.create_task(ask(store, rude.url))
        await asyncio.sleep(0.15)
        fresh = sign_in(store, rude, ends_ms=1 << 50)
        (account,) = await asking
        assert account is not None
        assert account.credential.refresh == fresh.credential.refresh
        assert account.hindrance(0) is None


async def test_who_asks_may_leave(tmp_path: Path) -> None:
    """A turn that is cancelled while its token is renewed does not lose the answer."""
    store = AccountStore(tmp_path)
    with RudeIssuer(slow_s=0.2) as rude:
        held = sign_in(store, rude)
        issuer = Issuer(rude.url)
        refresh = TokenRefresh(store, issuer)
        asking = asyncio.create_task(refresh.fresh(PERSON))
        await asyncio.sleep(0.1)
        asking.cancel()
        await refresh.aclose()
        await issuer.aclose()
        (after,) = store.read().accounts
        assert after.credential.generation == held.credential.generation + 1


async def test_a_refused_token_is_renewed_before_its_end(tmp_path: Path) -> None:
    """Once; who comes later finds the new one."""
    store = AccountStore(tmp_path)
    with RudeIssuer() as rude:
        held = sign_in(store, rude, ends_ms=1 << 50)
        (same,) = await ask(store, rude.url)
        assert same == held
        (renewed,) = await ask(store, rude.url, not_generation=held.credential.generation)
        assert renewed is not None
        assert renewed.credential.generation == held.credential.generation + 1
        await ask(store, rude.url, not_generation=held.credential.generation)
        assert rude.refreshes == 1


async def test_unknown_and_signed_out_accounts(tmp_path: Path) -> None:
    """Nobody is asked about them."""
    store = AccountStore(tmp_path)
    assert await ask(store, "http://127.0.0.1:9") == [None]
    store.change(
        lambda _: Book((structs.replace(Account(key="k"), account_id="acc1", email="ann@x.y", dead_generation=3),))
    )
    assert await ask(store, "http://127.0.0.1:9") == [None]
