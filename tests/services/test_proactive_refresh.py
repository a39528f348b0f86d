"""Renewing ahead of need against a rude issuer: who does it, for whom, and what a failure costs."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Credential, Switch, identity_key
from codex_oss.accounts.book import signed_in
from codex_oss.services.account_store import AccountStore
from codex_oss.services.issuer import Issuer
from codex_oss.services.proactive_refresh import PAUSE_MS, ProactiveRefresh
from codex_oss.services.token_refresh import TokenRefresh
from tests.fakes.issuer import Issuer as RudeIssuer

SPAWN = multiprocessing.get_context("spawn")


def sign_in(store: AccountStore, rude: RudeIssuer, name: str = "ann", *, left_s: float = 120.0, **changes: Any) -> str:
    """An account in use whose token ends so soon; its person key."""
    told, now_ms = rude.login(f"{name}@x.y"), int(time.time() * 1000)
    account = Account(
        key=identity_key("acc1", f"{name}@x.y", "plus"),
        account_id="acc1",
        email=f"{name}@x.y",
        plan="plus",
        switch=Switch(1),
        last_used_ms=now_ms,
        credential=Credential(0, now_ms + int(left_s * 1000), told["access_token"], told["refresh_token"]),
    )
    stored = store.change(lambda book: signed_in(book, account)[0]).get(account.person_key)
    assert stored is not None
    store.change(lambda book: book.with_account(structs.replace(stored, **changes)))
    return account.person_key


@asynccontextmanager
async def proactive(store: AccountStore, url: str, **options: Any) -> AsyncIterator[ProactiveRefresh]:
    """One process' worth of it, not started."""
    issuer = Issuer(url)
    refresh = TokenRefresh(store, issuer)
    made = ProactiveRefresh(store, refresh, **options)
    try:
        yield made
    finally:
        await made.aclose()
        await refresh.aclose()
        await issuer.aclose()


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that others do."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 (other processes set no event)
            await asyncio.sleep(0.02)


async def test_what_ends_soon_is_renewed_once(tmp_path: Path) -> None:
    """Only the accounts that are in use and end soon; the next look finds nothing to do."""
    store = AccountStore(tmp_path)
    with RudeIssuer() as rude:
        ann = sign_in(store, rude)
        sign_in(store, rude, "bob", left_s=3600)
        sign_in(store, rude, "cid", switch=Switch(2, enabled=False))
        sign_in(store, rude, "dan", last_used_ms=1)
        before = store.read()
        async with proactive(store, rude.url) as looks:
            assert await looks.look() == [ann]
            assert await looks.look() == []
        assert (rude.refreshes, rude.reuses) == (1, [])
    after = store.read()
    assert [account.person_key for account in after.accounts if account not in before.accounts] == [ann]
    renewed = after.get(ann)
    assert renewed is not None
    assert renewed.credential.generation == 1
    assert renewed.fresh(int(time.time() * 1000) + 1_800_000)


async def test_nobody_signed_in_means_nothing_on_the_disk(tmp_path: Path) -> None:
    """No lock, no folder, no request; an account that comes later is found."""
    store = AccountStore(tmp_path / "none")
    with RudeIssuer() as rude:
        async with proactive(store, rude.url) as looks:
            assert await looks.look() == []
            assert not store.folder.exists()
            sign_in(store, rude)
            assert len(await looks.look()) == 1


ANSWERS = [
    ((503, "", b""), None, "it can still be sent, so nothing is lost"),
    ((403, "text/html", b"<html>"), None, "a challenge is nobody's fault"),
    ((400, "application/json", b'{"error": "invalid_grant"}'), "needs_login", "the book says so"),
]


@pytest.mark.parametrize(("answer", "hindrance", "why"), ANSWERS, ids=[row[2] for row in ANSWERS])
async def test_what_a_failure_costs(tmp_path: Path, answer: Any, hindrance: str | None, why: str) -> None:
    """While a token can be sent a failure of the moment holds nothing back; it is asked again after a pause."""
    store, shift_s = AccountStore(tmp_path), 0.0
    with RudeIssuer() as rude:
        ann = sign_in(store, rude)
        rude.trouble = [answer]
        async with proactive(store, rude.url, clock=lambda: time.time() + shift_s) as looks:
            assert await looks.look() == [ann]
            account = store.read().get(ann)
            assert account is not None
            assert account.hindrance(int(time.time() * 1000)) == hindrance, why
            assert account.last_error[1]
            assert await looks.look() == []
            shift_s = PAUSE_MS / 1000 + 1
            again = [ann] if hindrance is None else []
            assert await looks.look() == again
    assert rude.reuses == []


async def test_a_token_that_is_old_when_it_comes_does_not_make_a_loop(tmp_path: Path) -> None:
    """The issuer's tokens end at once (or the clock is wrong): the account cools, and is not asked again at once."""
    store = AccountStore(tmp_path)
    with RudeIssuer(life_s=5.0) as rude:
        ann = sign_in(store, rude)
        async with proactive(store, rude.url) as looks:
            assert await looks.look() == [ann]
            account = store.read().get(ann)
            assert account is not None
            assert (account.hindrance(int(time.time() * 1000)), account.cooldown.why) == ("cooling_down", "still_due")
            assert await looks.look() == []
        assert rude.refreshes == 1


async def test_a_short_life_is_no_reason_to_hold_an_account_back(tmp_path: Path) -> None:
    """A token of four minutes can be sent: no cooldown, and half of its life passes before the next one."""
    store, shift_s = AccountStore(tmp_path), 0.0
    with RudeIssuer(life_s=600.0) as rude:
        ann = sign_in(store, rude)
        rude.life_s = 250.0
        async with proactive(store, rude.url, clock=lambda: time.time() + shift_s) as looks:
            assert await looks.look() == [ann]
            account = store.read().get(ann)
            assert account is not None
            assert account.hindrance(int(time.time() * 1000)) is None
            shift_s = 60.0
            assert await looks.look() == []
            shift_s = 130.0
            assert await looks.look() == [ann]


async def test_a_damaged_book_stops_nothing(tmp_path: Path) -> None:
    """It is put aside by whoever reads it; the next look goes on."""
    store = AccountStore(tmp_path)
    with RudeIssuer() as rude:
        sign_in(store, rude)
        async with proactive(store, rude.url) as looks:
            store.path.write_text("{")
            assert await looks.look() == []
            ann = sign_in(store, rude)
            assert await looks.look() == [ann]


def look_for_ever(folder: Path, url: str) -> None:
    """A bridge that looks all the time."""

    async def main() -> None:
        async with proactive(AccountStore(folder), url, every_s=0.02) as looks:
            looks.start()
            looks.start()
            await until((folder / "stop").exists)

    asyncio.run(main())


async def test_one_process_of_the_machine_does_it(tmp_path: Path) -> None:
    """Four that look all the time: one renews, and when it is killed another one takes over."""
    store = AccountStore(tmp_path)
    with RudeIssuer(life_s=3600.0) as rude:
        ann = sign_in(store, rude)
        lookers = [SPAWN.Process(target=look_for_ever, args=(tmp_path, rude.url)) for _ in range(4)]
        for looker in lookers:
            looker.start()
        await until(lambda: rude.refreshes == 1)
        holder = _holder(tmp_path / "proactive-refresh.lock")
        assert holder in [looker.pid for looker in lookers]
        os.kill(holder, signal.SIGKILL)

        def end_soon() -> None:
            account = store.read().get(ann)
            assert account is not None
            held = structs.replace(account.credential, expires_ms=int(time.time() * 1000) + 100_000)
            store.change(lambda book: book.with_account(structs.replace(account, credential=held)))

        end_soon()
        await until(lambda: rude.refreshes == 2)
        assert _holder(tmp_path / "proactive-refresh.lock") not in (holder, 0)
        (tmp_path / "stop").touch()
        for looker in lookers:
            await asyncio.to_thread(looker.join, 30)
        assert sorted(looker.exitcode or 0 for looker in lookers) == [-signal.SIGKILL, 0, 0, 0]
        assert rude.reuses == []


def _holder(lock: Path) -> int:
    """The process that holds a file lock, as the kernel says; 0 for none."""
    inode = lock.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" not in fields and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return 0


async def test_it_ends_with_whoever_began_it(tmp_path: Path) -> None:
    """Closed in the middle of a renewal: the answer is written, and the place is free."""
    store = AccountStore(tmp_path)
    with RudeIssuer(slow_s=0.4) as rude:
        ann = sign_in(store, rude)
        async with proactive(store, rude.url, every_s=0.01) as looks:
            looks.start()
            await until(lambda: rude.refreshes == 1)
        account = store.read().get(ann)
        assert account is not None
        assert account.credential.generation == 1
        async with proactive(store, rude.url) as others:
            store.change(
                lambda book: book.with_account(
                    structs.replace(account, credential=structs.replace(account.credential, expires_ms=1))
                )
            )
            assert await others.look() == [ann]
