"""What a person does to the accounts: any order of verbs, who takes over, and what a later word stands against."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.affinity import Bound
from codex_oss.accounts.book import STRATEGIES, Book, Meant, joined
from codex_oss.accounts.changes import (
    BY_PERSON,
    chosen,
    pinned,
    removed,
    resumed,
    switched,
    unpinned,
    used,
    with_strategy,
)
from codex_oss.accounts.selection import choose
from codex_oss.accounts.view import active_of
from tests.accounts.strategies import books

NOW = 1000
Verb = Callable[[Book, str, int], Book]
VERBS: dict[str, Verb] = {
    "use": chosen,
    "used": used,
    "pin": pinned,
    "unpin": lambda book, _, now_ms: unpinned(book, now_ms),
    "enable": lambda book, person, now_ms: switched(book, person, now_ms, enabled=True),
    "disable": lambda book, person, now_ms: switched(book, person, now_ms, enabled=False),
    "resume": lambda book, person, _: resumed(book, person),
    "remove": removed,
    "strategy": lambda book, _, now_ms: with_strategy(book, (None, *STRATEGIES)[now_ms % 4]),
}
STEPS = st.lists(st.tuples(st.sampled_from(sorted(VERBS)), st.integers(0, 5)), max_size=8)


def one(name: str, **changes: object) -> Account:
    """An account that may be used."""
    held = Credential(1, 1 << 50, "at", "rt")
    account = Account(key=f"{name}|{name}@x.y|plus", account_id=name, email=f"{name}@x.y", credential=held)
    return structs.replace(account, **changes)


A, B, C = one("a"), one("b"), one("c")
OFF = Switch(1, enabled=False, why=BY_PERSON)


def people_of(book: Book) -> list[str]:
    """Whom a step may name: everybody, and somebody who is not there."""
    return [*(account.person_key for account in book.accounts), "gone|gone"]


@given(books(), STEPS)
def test_whatever_a_person_does(book: Book, steps: list[tuple[str, int]]) -> None:
    """The active account is never a disabled one, nobody answers who is disabled, and nobody else is touched."""
    for at, (verb, number) in enumerate(steps):
        people = people_of(book)
        person = people[number % len(people)]
        after = VERBS[verb](book, person, NOW + at)
        for account in book.accounts:
            kept = after.get(account.person_key)
            if account.person_key != person:
                assert kept == account
            elif verb != "remove":
                assert kept is not None
                assert (kept.credential, kept.extra) == (account.credential, account.extra)
        assert after.extra == book.extra
        assert [account.person_key for account in after.accounts] == [
            key for key in people[:-1] if not (verb == "remove" and key == person)
        ]
        active = active_of(after)
        assert active is None or active.switch.enabled
        for strategy in STRATEGIES:
            answers = choose(after, {"s": Bound(1, person)}, NOW, session="s", strategy=strategy).account
            assert answers is None or answers.switch.enabled
        book = after


@given(books(), st.sampled_from(sorted(set(VERBS) - {"unpin", "strategy"})))
def test_who_is_not_there_changes_nothing(book: Book, verb: str) -> None:
    """A name that somebody removed meanwhile is no reason to change anything."""
    assert VERBS[verb](book, "gone|gone", NOW) == book


@given(books(), st.sampled_from(["use", "used", "pin", "unpin", "enable", "disable"]), st.integers(0, 4))
def test_the_later_word_wins(book: Book, verb: str, number: int) -> None:
    """Joined with an older copy of the book, what the person said last stands."""
    people = people_of(book)
    after = VERBS[verb](book, people[number % len(people)], NOW)
    both = joined(book, after)
    assert (both.active, both.pinned) == (after.active, after.pinned)
    assert [account.switch for account in both.accounts] == [account.switch for account in after.accounts]


TIRED = structs.replace(B, cooldown=Cooldown(NOW + 1, "usage_limit_reached"))
SUCCESSION: list[tuple[str, tuple[Account, ...], Account, str]] = [
    ("the next one", (A, B, C), A, "b"),
    ("the next one, from the middle", (A, B, C), B, "c"),
    ("the nearest before the last one", (A, B, C), C, "b"),
    ("over a disabled one", (A, structs.replace(B, switch=OFF), C), A, "c"),
    ("over one that cools", (A, TIRED, C), A, "c"),
    ("over one that needs a login", (A, structs.replace(B, dead_generation=1), C), A, "c"),
    ("one that cools, where nobody else is", (A, TIRED), A, "b"),
    ("nobody, where all are disabled", (A, structs.replace(B, switch=OFF)), A, ""),
    ("nobody is left", (A,), A, ""),
]


@pytest.mark.parametrize("verb", ["remove", "disable"])
@pytest.mark.parametrize(("why", "accounts", "leaves", "takes"), SUCCESSION, ids=[row[0] for row in SUCCESSION])
def test_who_takes_over(verb: str, why: str, accounts: tuple[Account, ...], leaves: Account, takes: str) -> None:
    """When the active account goes: the next usable one, else one before, else an enabled one, else nobody."""
    book = Book(accounts, active=Meant(1, leaves.person_key))
    after = VERBS[verb](book, leaves.person_key, NOW)
    found = after.get(after.active.person)
    assert (found.account_id if found else "") == takes, why
    assert active_of(after) == found


def test_who_was_not_active_takes_nothing_along() -> None:
    """Removing or disabling another account leaves the active one and the pin as they are."""
    book = Book((A, B), active=Meant(1, A.person_key), pinned=Meant(2, A.person_key))
    for verb in ("remove", "disable"):
        after = VERBS[verb](book, B.person_key, NOW)
        assert (after.active, after.pinned) == (book.active, book.pinned)


def test_the_first_one_enabled_again_is_active() -> None:
    """Where nobody is active, whoever is enabled is."""
    book = Book((structs.replace(A, switch=OFF), structs.replace(B, switch=OFF)))
    assert active_of(book) is None
    after = switched(book, B.person_key, NOW, enabled=True)
    found = active_of(after)
    assert found is not None
    assert found.account_id == "b"


def test_choosing_stands_against_what_was_bound_before() -> None:
    """`use` takes a conversation along and the pin away; what is bound after it stays where it is."""
    book = Book((A, B), active=Meant(1, A.person_key), pinned=Meant(2, A.person_key))
    session = {"s": Bound(NOW - 1, A.person_key)}
    assert choose(book, session, NOW, session="s").account == A
    after = chosen(book, B.person_key, NOW)
    choice = choose(after, session, NOW, session="s")
    assert (choice.account, choice.way, choice.binds) == (B, "active", True)
    later = choose(after, {"s": Bound(NOW + 1, A.person_key)}, NOW + 2, session="s")
    assert (later.account, later.way) == (A, "session")


def test_a_pin_outlives_the_strategy_and_an_outage() -> None:
    """Whoever becomes active meanwhile: after its reset the pinned account answers again."""
    book = pinned(Book((A, B)), A.person_key, NOW)
    tired = book.with_account(structs.replace(A, cooldown=Cooldown(NOW * NOW, "usage_limit_reached")))
    assert choose(tired, {}, NOW).account == B
    moved = used(tired, B.person_key, NOW + 1)
    assert choose(moved, {}, NOW * NOW).account == moved.get(A.person_key)


def test_only_a_person_ends_what_a_person_said() -> None:
    """Enabling clears who disabled it; a cooldown ends by hand."""
    off = switched(Book((A,)), A.person_key, NOW, enabled=False)
    assert off.accounts[0].switch == Switch(NOW, enabled=False, why=BY_PERSON)
    assert switched(off, A.person_key, NOW + 1, enabled=True).accounts[0].switch == Switch(NOW + 1)
    tired = Book((structs.replace(A, cooldown=Cooldown(NOW + 5, "usage_limit_reached")),))
    assert resumed(tired, A.person_key).accounts[0].hindrance(NOW) is None
