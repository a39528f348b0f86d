"""Forgetting accounts, and looking whether anything to sign in with is left of them on disk.

Counterparts: `cli/logout` asks and tells; `accounts.changes.removed` is what the book is afterwards.

Rules that hold here:

1. The book is changed first; then every file in the accounts folder is read and searched for the tokens. What is said
   to be gone is what was looked for and not found.
2. The issuer knows no call that ends a sign-in for this client, so none is pretended: what another program copied
   before goes on to work until it ends by itself.
3. Lock files stay: they are empty, and removing one that another process waits for would let two in at once.
4. Damaged stores that were put aside may hold tokens of several accounts. They are removed when every account goes,
   else they are named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.changes import removed
from codex_oss.services.account_store import MAX_BYTES, AccountStore
from codex_oss.services.state_files import read_plain

CACHE: Final = "cache"
QUARANTINE: Final = "quarantine"


class SignedOut(Struct, frozen=True):
    """What came of it. left: files in the accounts folder that still hold a token of these accounts."""

    accounts: tuple[Account, ...]
    left: tuple[Path, ...]


def sign_out(store: AccountStore, people: Collection[str], clock: Callable[[], float] = time.time) -> SignedOut:
    """Forget the accounts of these person keys. Errors: StoreError."""
    now_ms = int(clock() * 1000)
    gone: list[Account] = []

    def forget(book: Book) -> Book:
        gone[:] = [account for account in book.accounts if account.person_key in people]
        for account in gone:
            book = removed(book, account.person_key, now_ms)
        return book

    store.change(forget)
    return SignedOut(tuple(gone), _holding(store.folder, gone))


def sign_out_all(store: AccountStore, clock: Callable[[], float] = time.time) -> SignedOut:
    """Forget every account, what was remembered of them, and damaged stores that were put aside."""
    people = {account.person_key for account in store.read().accounts}
    done = sign_out(store, people, clock)
    for folder in (store.folder / CACHE, store.folder / QUARANTINE):
        for path in folder.glob("codex-*"):
            if path.suffix != ".lock":
                with suppress(OSError):
                    path.unlink()
    return SignedOut(done.accounts, _holding(store.folder, done.accounts))


def _holding(folder: Path, accounts: Collection[Account]) -> tuple[Path, ...]:
    """The files that hold a token of one of these accounts."""
    held = (token for account in accounts for token in (account.credential.access, account.credential.refresh))
    tokens = [token.encode() for token in held if token]
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            data = read_plain(path, MAX_BYTES) if path.is_file() and not path.is_symlink() else b""
            if any(token in data for token in tokens):
                found.append(path)
    return tuple(found)
