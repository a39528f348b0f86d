"""All accounts of the user: which are there, which one is meant, and what two copies of them say together.

Counterparts: `services.account_store` keeps the book on disk, `accounts.shapes` is its form there.

    one copy   A(gen 3, cooling)   B(gen 1)
    another    A(gen 2, disabled)            C(gen 1)
    joined     A(gen 3, cooling, disabled)   B   C

Rules that hold here:

1. `joined` is associative and idempotent, and loses no account, no newest credential and no unknown field. Each part of
   a record is ordered by itself: credentials by generation, what somebody said by when, cooldowns by their end.
2. Accounts keep their order; new ones come last.
3. A login replaces nothing but what it knows better, and is the newest word on everything that held the account back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field, structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch, identity_key

Strategy = Literal["sticky", "hybrid", "round_robin"]
STRATEGIES: tuple[Strategy, ...] = ("sticky", "hybrid", "round_robin")
T = TypeVar("T")


class Meant(Struct, frozen=True, rename="camel"):
    """Which account is meant, by its person key. at_ms: when that was said."""

    at_ms: int = 0
    person: str = ""


class Book(Struct, frozen=True, rename="camel"):
    """All accounts. active: used last; pinned: chosen by the person until unpinned."""

    accounts: tuple[Account, ...] = ()
    active: Meant = Meant()
    pinned: Meant = Meant()
    strategy: Strategy | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def get(self, person: str) -> Account | None:
        """The account of this person key."""
        return next((account for account in self.accounts if account.person_key == person), None)

    def with_account(self, account: Account) -> Book:
        """The book with this account in the place of the one of the same person key, or as the last one."""
        person, found = account.person_key, False
        kept = []
        for known in self.accounts:
            same = known.person_key == person
            found = found or same
            kept.append(account if same else known)
        return structs.replace(self, accounts=tuple(kept if found else [*kept, account]))

    def without(self, person: str) -> Book:
        """The book without an account; who meant it means none."""
        left = tuple(account for account in self.accounts if account.person_key != person)
        active = Meant() if self.active.person == person else self.active
        pinned = Meant() if self.pinned.person == person else self.pinned
        return structs.replace(self, accounts=left, active=active, pinned=pinned)


def named(book: Book, name: str) -> list[Account]:
    """The accounts that a person may mean: by key, by a key of an earlier plan, or by an e-mail."""
    wanted = name.strip()
    exact = [account for account in book.accounts if account.key == wanted]
    if exact:
        return exact
    lowered = wanted.lower()
    parts = lowered.split("|")
    if len(parts) == 3:
        return [account for account in book.accounts if [account.account_id.lower(), account.email] == parts[:2]]
    return [account for account in book.accounts if account.email == lowered]


def signed_in(book: Book, login: Account) -> tuple[Book, Account]:
    """The book after a login, and the account as it stands there then.

    login: a record made of the answer of the issuer, its instants all those of the login.
    """
    known = met_before(book, login)
    if known is None:
        return _meaning(book.with_account(login), login), login
    held = structs.replace(login.credential, generation=known.credential.generation + 1)
    account = structs.replace(
        login,
        credential=held,
        added_ms=known.added_ms or login.added_ms,
        last_used_ms=max(known.last_used_ms, login.last_used_ms),
        extra=known.extra,
    )
    place = tuple(account if other is known else other for other in book.accounts)
    renewed = structs.replace(book, accounts=place)
    if book.pinned.person == known.person_key:
        renewed = structs.replace(renewed, pinned=Meant(login.identified_ms, account.person_key))
    return _meaning(renewed, account), account


def met_before(book: Book, login: Account) -> Account | None:
    """The account in the book that a login belongs to, also where its e-mail changed or was not known before."""
    return book.get(login.person_key) or _known_by_user(book, login) or _known_by_token(book, login)


def joined(one: Book, other: Book) -> Book:
    """What two copies of the book say together."""
    accounts: dict[str, Account] = {}
    for account in (*one.accounts, *other.accounts):
        known = accounts.get(account.person_key)
        accounts[account.person_key] = account if known is None else joined_account(known, account)
    return Book(
        accounts=tuple(accounts.values()),
        active=_later(one.active, other.active),
        pinned=_later(one.pinned, other.pinned),
        strategy=one.strategy or other.strategy,
        extra=_joined_extra(one.extra, other.extra),
    )


def joined_account(one: Account, other: Account) -> Account:
    """What two records of one account say together; see the rules of this module."""
    who = max((one, other), key=lambda account: (account.identified_ms, account.key, account.plan, account.user_id))
    return Account(
        key=who.key,
        account_id=who.account_id,
        email=who.email,
        user_id=who.user_id,
        plan=who.plan,
        identified_ms=who.identified_ms,
        credential=_later(one.credential, other.credential),
        rejected_generation=max(one.rejected_generation, other.rejected_generation),
        dead_generation=max(one.dead_generation, other.dead_generation),
        switch=_later(one.switch, other.switch),
        cooldown=_later(one.cooldown, other.cooldown),
        workspace=_later(one.workspace, other.workspace),
        added_ms=_earliest(one.added_ms, other.added_ms),
        last_used_ms=max(one.last_used_ms, other.last_used_ms),
        last_error=max(one.last_error, other.last_error),
        extra=_joined_extra(one.extra, other.extra),
    )


Dated = TypeVar("Dated", Meant, Credential, Switch, Cooldown)


def _later(one: Dated, other: Dated) -> Dated:
    """The greater one: the first field says when, the others only keep the order total."""
    return max(one, other, key=structs.astuple)


def _earliest(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


def _joined_extra(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    out = dict(one)
    for name, value in other.items():
        out[name] = max(out[name], value, key=_ordered) if name in out else value
    return out


def _ordered(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _known_by_user(book: Book, login: Account) -> Account | None:
    """The account of a person whose e-mail changed."""
    return _only(
        account
        for account in book.accounts
        if login.user_id and (account.user_id, account.account_id) == (login.user_id, login.account_id)
    )


def _known_by_token(book: Book, login: Account) -> Account | None:
    """A record without identity that holds the very token: it is completed, not doubled."""
    return _only(
        account
        for account in book.accounts
        if login.credential.refresh
        and account.credential.refresh == login.credential.refresh
        and not identity_key(account.account_id, account.email, account.plan)
    )


def _only(found: Iterable[T]) -> T | None:
    """The one thing found; None for several, which is nobody's to choose among."""
    several = list(found)
    return several[0] if len(several) == 1 else None


def _meaning(book: Book, account: Account) -> Book:
    return structs.replace(book, active=Meant(account.identified_ms, account.person_key))
