"""What a person does to the accounts: each a function from one book to the next.

Counterparts: `cli/accounts`, `tui` and the MCP tools call these inside `AccountStore.change`; `accounts.view` shows
what came of it. Signing in is `accounts.book.signed_in`.

Rules that hold here:

1. The account is named by its person key; one that is not in the book changes nothing.
2. What a person says is dated, so that of two copies of the book the later word wins.
3. Nobody else but a person makes an account usable again that a person disabled, and only a person removes a pin.
"""

from __future__ import annotations

from msgspec import structs

from codex_oss.accounts.account import Cooldown, Switch
from codex_oss.accounts.book import Book, Meant, Strategy

BY_PERSON = "by_person"
"""`Switch.why` of an account that its owner disabled."""


def used(book: Book, person: str, now_ms: int) -> Book:
    """Make an account the active one. A pin is left: it still wins."""
    return structs.replace(book, active=Meant(now_ms, person)) if book.get(person) else book


def pinned(book: Book, person: str, now_ms: int) -> Book:
    """Pin an account: it answers whenever it can, whatever the strategy says."""
    return structs.replace(book, pinned=Meant(now_ms, person)) if book.get(person) else book


def unpinned(book: Book, now_ms: int) -> Book:
    """Take the pin away."""
    return structs.replace(book, pinned=Meant(now_ms, ""))


def switched(book: Book, person: str, now_ms: int, *, enabled: bool, why: str = BY_PERSON) -> Book:
    """Enable or disable an account."""
    account = book.get(person)
    if account is None:
        return book
    return book.with_account(structs.replace(account, switch=Switch(now_ms, enabled, "" if enabled else why)))


def resumed(book: Book, person: str) -> Book:
    """End the cooldown of an account: the person knows better."""
    account = book.get(person)
    return book if account is None else book.with_account(structs.replace(account, cooldown=Cooldown()))


def removed(book: Book, person: str, now_ms: int) -> Book:
    """Forget an account; when it was the active one, the next usable one behind it is, else the one before it."""
    order = [account.person_key for account in book.accounts]
    if person not in order:
        return book
    at = order.index(person)
    behind = [*order[at + 1 :], *reversed(order[:at])]
    left = book.without(person)
    if book.active.person != person:
        return left
    able = (key for key in behind if (account := left.get(key)) and account.hindrance(now_ms) is None)
    return structs.replace(left, active=Meant(now_ms, next(able, "")))


def with_strategy(book: Book, strategy: Strategy | None) -> Book:
    """Choose how accounts are chosen; None for the default."""
    return structs.replace(book, strategy=strategy)
