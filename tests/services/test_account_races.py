"""The book under many writers: eight processes, ten thousand changes, and kills wherever they hit."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Credential
from codex_oss.accounts.book import Book
from codex_oss.accounts.shapes import decoded
from codex_oss.services.account_store import AccountStore

SPAWN = multiprocessing.get_context("spawn")
WRITERS = 8
SHARED = "acc0|everybody@x.y|plus"


def one(number: int) -> Account:
    """The account that one writer alone changes; number 0 is everybody's."""
    name = "everybody" if number == 0 else f"w{number}"
    held = Credential(0, 0, "at", "rt")
    return Account(key=f"acc{number}|{name}@x.y|plus", account_id=f"acc{number}", email=f"{name}@x.y", credential=held)


def counted(book: Book, number: int) -> Book:
    """One more on this account, in a field of its own."""
    account = book.get(one(number).person_key) or one(number)
    return book.with_account(structs.replace(account, extra={"count": account.extra.get("count", 0) + 1}))


def count_up(folder: Path, number: int, times: int) -> None:
    """So many changes, each of the shared account and of one's own; every tenth takes it out and puts it back."""
    store, own = AccountStore(folder), one(number)
    for at in range(times):
        held = store.change(lambda book: counted(counted(book, 0), number)).get(own.person_key)
        assert held is not None
        if at % 10 == 9:
            store.change(partial(Book.without, person=own.person_key))
            store.change(partial(Book.with_account, account=held))


def started(folder: Path, times: int) -> list[SpawnProcess]:
    """The writers, running."""
    writers = [SPAWN.Process(target=count_up, args=(folder, number, times)) for number in range(1, WRITERS + 1)]
    for writer in writers:
        writer.start()
    return writers


def counts(book: Book) -> dict[str, int]:
    """Account to how often it was counted."""
    return {account.account_id: account.extra["count"] for account in book.accounts}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_thousand_changes_lose_none(tmp_path: Path) -> None:
    """Eight processes, 10,000 changes of one account and of their own: each is there, and each file was whole."""
    times = 10_000 // WRITERS
    writers = started(tmp_path, times)
    path, seen = tmp_path / "codex-accounts.json", 0
    ends_at = time.monotonic() + 360
    while any(writer.is_alive() for writer in writers) and time.monotonic() < ends_at:
        if path.exists():
            book = decoded(path.read_bytes())
            shared = book.get(one(0).person_key)
            assert shared is not None
            assert shared.extra["count"] >= seen
            seen = shared.extra["count"]
        time.sleep(0.05)
    for writer in writers:
        writer.join(max(ends_at - time.monotonic(), 0))
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    expected = {f"acc{number}": times for number in range(1, WRITERS + 1)} | {"acc0": 10_000}
    assert counts(AccountStore(tmp_path).read()) == expected


def test_kills_at_any_moment_leave_a_whole_book(tmp_path: Path) -> None:
    """Writers that die wherever they are: the file is always a book, nothing of it goes back, and nothing is left."""
    store, chance = AccountStore(tmp_path), random.Random(5)
    store.change(lambda book: counted(book, 0))
    before = 1
    for number in range(1, 6):
        writers = [SPAWN.Process(target=count_up, args=(tmp_path, number * 10 + at, 100_000)) for at in range(2)]
        for writer in writers:
            writer.start()
        while counts(store.read())["acc0"] < before + 20:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.02)
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join(30)
        after = counts(store.read())["acc0"]
        assert after >= before + 20
        before = counts(store.change(lambda book: counted(book, 0)))["acc0"]
        assert before == after + 1
    assert not (tmp_path / "quarantine").exists()
    assert list(tmp_path.glob(".*.tmp")) == []
