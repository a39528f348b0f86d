"""What a person does to the accounts: each a function from one book to the next.

Counterparts: `cli/accounts`, `tui` and the MCP tools call these inside `AccountStore.change`; `accounts.view` shows
what came of it. Signing in is `accounts.book.signed_in`; `accounts.selection` follows what is said here.

Rules that hold here:

1. The account is named by its person key; one that is not in the book changes nothing.
2. What a person says is dated, so that of two copies of the book the later word wins.
3. Nobody else but a person makes an account usable again that a person disabled, and only a person removes a pin.
4. A disabled or removed account is not the active one: the next one behind it is, else the nearest before it; the
   first of those that could answer now, else the first that is enabled, else none.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from codex_oss.accounts.account import Cooldown, Switch
from codex_oss.accounts.book import Book, Meant, Strategy

BY_PERSON = "by_person"
"""`Switch.why` of an account that its owner disabled."""


def used(book: Book, person: str, now_ms: int) -> Book:
    """Make an account the active one, as the strategy does. A pin is left: it still wins."""
    return structs.replace(book, active=Meant(now_ms, person)) if book.get(person) else book


def chosen(book: Book, person: str, now_ms: int) -> Book:
    """Have an account answer from now on: it is the active one, no pin stands against it, nor an older conversation."""
    return unpinned(used(book, person, now_ms), now_ms) if book.get(person) else book


def pinned(book: Book, person: str, now_ms: int) -> Book:
    """Pin an account: it answers whenever it can, whatever the strategy says."""
    return structs.replace(book, pinned=Meant(now_ms, person)) if book.get(person) else book


def unpinned(book: Book, now_ms: int) -> Book:
    """Take the pin away; conversations that were bound before this go where the strategy says."""
    return structs.replace(book, pinned=Meant(now_ms, ""))


def switched(book: Book, person: str, now_ms: int, *, enabled: bool, why: str = BY_PERSON) -> Book:
    """Enable or disable an account."""
    account = book.get(person)
    if account is None:
        return book
    after = book.with_account(structs.replace(account, switch=Switch(now_ms, enabled, "" if enabled else why)))
    if enabled:
        return after if _is_enabled(after, after.active.person) else used(after, person, now_ms)
    return _succeeded(after, _behind(book, person), now_ms) if book.active.person == person else after


def resumed(book: Book, person: str) -> Book:
    """End the cooldown of an account: the person knows better."""
    account = book.get(person)
    return book if account is None else book.with_account(structs.replace(account, cooldown=Cooldown()))


def removed(book: Book, person: str, now_ms: int) -> Book:
    """Forget an account."""
    if book.get(person) is None:
        return book
    left = book.without(person)
    return _succeeded(left, _behind(book, person), now_ms) if book.active.person == person else left


def with_strategy(book: Book, strategy: Strategy | None) -> Book:
    """Choose how accounts are chosen; None for the default."""
    return structs.replace(book, strategy=strategy)


def _behind(book: Book, person: str) -> list[str]:
    """The others in the order in which they take over: those behind it, then those before it, the nearest first."""
    order = [account.person_key for account in book.accounts]
    at = order.index(person)
    return [*order[at + 1 :], *reversed(order[:at])]


def _succeeded(book: Book, order: Sequence[str], now_ms: int) -> Book:
    """The book with the first of these active that may be used, else the first that is enabled, else none."""
    able = (person for person in order if (account := book.get(person)) and account.hindrance(now_ms) is None)
    enabled = (person for person in order if _is_enabled(book, person))
    return structs.replace(book, active=Meant(now_ms, next(able, "") or next(enabled, "")))


def _is_enabled(book: Book, person: str) -> bool:
    account = book.get(person)
    return account is not None and account.switch.enabled
