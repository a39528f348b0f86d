"""Which account a person names at the shell, and what becomes of it: the verbs of `accounts` share this.

Counterparts: `accounts.book.named` finds, `accounts.changes` changes; `cli.accounts` has the verbs.

Rule: a name is resolved inside the change, under the lock: what the person meant is what is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from codex_oss.accounts.book import named
from codex_oss.cli.account_table import shown
from codex_oss.errors import AccountError, RequestError

if TYPE_CHECKING:
    from codex_oss.accounts.account import Account
    from codex_oss.accounts.book import Book
    from codex_oss.accounts.quota import Quota
    from codex_oss.wiring.accounts import Accounts

Act = Callable[["Book", str, int], "Book"]
"""A change by person key, at an instant in epoch milliseconds."""


def one_named(book: Book, name: str) -> Account:
    """The account that is meant.

    Errors: RequestError, `account_unknown` or `account_ambiguous`; the hint lists the keys.
    """
    found = named(book, name)
    if len(found) == 1:
        return found[0]
    if found:
        keys = "\n".join(f"  {account.key}" for account in found)
        raise RequestError(
            f"{len(found)} accounts are called {name!r}.",
            hint=f"Name one by its key:\n{keys}",
            code="account_ambiguous",
        )
    keys = "\n".join(f"  {account.key}" for account in book.accounts)
    hint = f"There are:\n{keys}" if keys else "There is none yet. Sign in: codex-oss login"
    raise RequestError(f"No account is called {name!r}.", hint=hint, code="account_unknown")


def enabled_named(book: Book, name: str) -> Account:
    """As `one_named`, for what needs an account in use. Errors: AccountError `account_disabled`, too."""
    account = one_named(book, name)
    if not account.switch.enabled:
        raise AccountError(
            "This account is disabled.",
            hint=f"Enable it first: {command('enable', account.key)}",
            code="account_disabled",
        )
    return account


def change_named(
    accounts: Accounts, name: str, act: Act, find: Callable[[Book, str], Account] = one_named
) -> tuple[Book, Book, str]:
    """Change the account of this name: the book before, the book after, and whose account it is."""
    seen: list[tuple[Book, str]] = []

    def change(book: Book) -> Book:
        person = find(book, name).person_key
        seen.append((book, person))
        return act(book, person, now_ms())

    after = accounts.store.change(change)
    before, person = seen[-1]
    return before, after, person


def now_ms() -> int:
    """The instant, as the book counts."""
    return time.time_ns() // 1_000_000


def known_quotas(accounts: Accounts) -> Mapping[str, Quota]:
    """What was last heard of each account's windows, by person key; nothing is asked."""
    return accounts.quotas.known()


def command(*words: str) -> str:
    """A command of ours as a person types it: keys hold bars, which a shell would take for pipes."""
    import shlex

    return shown(shlex.join(("codex-oss", "accounts", *words)))
