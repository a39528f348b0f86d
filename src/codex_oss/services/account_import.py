"""Bringing in the accounts of another program's file: read beside the store, written into it when the person agreed.

Counterparts: `accounts.imports` reads and joins; `cli/login --import` and `cli/accounts transfer` warn and ask in
between. The file itself is never changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from codex_oss.accounts.book import Book
from codex_oss.accounts.imports import BroughtIn, Found, accounts_in_file, brought_in
from codex_oss.errors import InvalidRequest
from codex_oss.services.account_store import AccountStore
from codex_oss.services.state_files import read_plain

MAX_BYTES: Final = 4 * 1024 * 1024


def read_accounts(path: Path, now_ms: int) -> Found:
    """What a file holds. Errors: InvalidRequest `import_unreadable`, `import_unknown`."""
    try:
        data = read_plain(path, MAX_BYTES, follow_link=True)
    except OSError as exc:
        raise InvalidRequest(f"{path} cannot be read: {exc.strerror}.", code="import_unreadable") from exc
    return accounts_in_file(data, now_ms)


def bring_in(store: AccountStore, found: Found) -> BroughtIn:
    """Write what was found into the book; what came of it. Errors: StoreError."""
    done: list[BroughtIn] = []

    def put(book: Book) -> Book:
        done.append(brought_in(book, found))
        return done[-1].book

    store.change(put)
    return done[-1]
