"""The accounts on disk: many writers, torn and foreign files, rights."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import time
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Credential
from codex_oss.accounts.book import Book
from codex_oss.errors import StoreError
from codex_oss.services.account_store import KEPT, AccountStore, accounts_folder, exclusive

SPAWN = multiprocessing.get_context("spawn")
ANN = Account(key="a|a@x.y|plus", account_id="a", email="a@x.y", plan="plus", credential=Credential(1, 2, "at", "rt"))


def add_many(folder: Path, writer: int, count: int) -> None:
    """Put so many accounts into the book, one change each."""
    store = AccountStore(folder)
    for number in range(count):
        store.change(partial(Book.with_account, account=Account(key=f"{writer}-{number}")))


def hold(folder: Path) -> None:
    """Lock the book and never let go."""
    with exclusive(folder / "codex-accounts.json.lock", 5):
        (folder / "held").touch()
        time.sleep(60)


def test_no_change_is_lost(tmp_path: Path) -> None:
    """Four processes at once, and every change of each is there."""
    writers = [SPAWN.Process(target=add_many, args=(tmp_path, number, 50)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    keys = {account.key for account in AccountStore(tmp_path).read().accounts}
    assert keys == {f"{writer}-{number}" for writer in range(4) for number in range(50)}


def test_who_dies_with_the_lock_blocks_nobody(tmp_path: Path) -> None:
    """The kernel frees it; while its holder only sleeps, waiting is bounded."""
    store = AccountStore(tmp_path)
    store.change(lambda book: book.with_account(ANN))
    holder = SPAWN.Process(target=hold, args=(tmp_path,))
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    assert store.read().accounts == (ANN,)
    with pytest.raises(StoreError) as caught, exclusive(tmp_path / "codex-accounts.json.lock", 0.1):
        pass
    assert caught.value.code == "accounts_busy"
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert store.change(lambda book: book.without(ANN.person_key)) == Book()


@pytest.mark.parametrize("data", [b"{", b"[]", b'"x"', b"\0" * 100, b'{"accounts": ['])
def test_what_is_no_book_is_put_aside(tmp_path: Path, data: bytes) -> None:
    """Said once, with its place; nothing of it is lost, and then there is no account."""
    store = AccountStore(tmp_path)
    store.path.write_bytes(data)
    with pytest.raises(StoreError) as caught:
        store.read()
    assert caught.value.code == "accounts_corrupt"
    (aside,) = (tmp_path / "quarantine").iterdir()
    assert str(aside) in caught.value.message
    assert aside.read_bytes() == data
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert store.read() == Book()


def test_the_newest_of_what_was_put_aside_stay(tmp_path: Path) -> None:
    """Ordered by their instants as numbers, not as text."""
    store = AccountStore(tmp_path)
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    for instant in (9, 10, 11, 100, 1000, 99):
        (quarantine / f"codex-accounts.json.{instant}.quarantine.json").touch()
    store.path.write_bytes(b"{")
    with pytest.raises(StoreError):
        store.change(lambda book: book)
    left = sorted(int(path.name.split(".")[-3]) for path in quarantine.iterdir())
    assert left[:-1] == [11, 99, 100, 1000]
    assert len(left) == KEPT


def test_rights_are_narrow_whatever_they_were(tmp_path: Path) -> None:
    """Folder 0700, file 0600 after each write."""
    folder = tmp_path / "config" / "codex-oss"
    folder.mkdir(parents=True, mode=0o755)
    store = AccountStore(folder)
    store.path.write_text(json.dumps({"openai": {"refresh": "rt"}}))
    store.path.chmod(0o644)
    store.change(lambda book: structs.replace(book, strategy="hybrid"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert store.read().accounts[0].credential.refresh == "rt"


def test_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    """A change that changes nothing leaves the file alone; a failed one as well."""
    store = AccountStore(tmp_path)
    store.change(lambda book: book.with_account(ANN))
    before = store.path.stat().st_ino
    store.change(lambda book: book.with_account(ANN))

    def fail(book: Book) -> Book:
        raise LookupError

    with pytest.raises(LookupError):
        store.change(fail)
    assert store.path.stat().st_ino == before


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """The folder may be a link of the user's own; the file that holds tokens may not."""
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    store = AccountStore(tmp_path / "link")
    store.change(lambda book: book.with_account(ANN))
    assert (real / "codex-accounts.json").exists()
    store.path.unlink()
    store.path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("{}")
    with pytest.raises(StoreError):
        store.read()


def test_where_accounts_lie() -> None:
    """An absolute XDG folder, else below the home."""
    assert accounts_folder({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == Path("/c/codex-oss")
    assert accounts_folder({"XDG_CONFIG_HOME": "c", "HOME": "/h"}) == Path("/h/.config/codex-oss")
    assert accounts_folder({}) is None


def test_a_kill_while_writing_leaves_a_whole_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the rename: the old book stands, and the next change works and sweeps."""
    store = AccountStore(tmp_path)
    store.change(lambda book: book.with_account(ANN))
    child = os.fork()
    if not child:
        monkeypatch.setattr(os, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        store.change(lambda book: book.without(ANN.person_key))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert store.read().accounts == (ANN,)
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    assert store.change(lambda book: book.without(ANN.person_key)) == Book()
    assert list(tmp_path.glob(".*.tmp")) == []
