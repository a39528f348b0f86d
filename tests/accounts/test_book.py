"""Joining copies of the book, logins, and how a person names an account."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch, cooled, rotated
from codex_oss.accounts.book import Book, Meant, joined, named, signed_in
from tests.accounts.strategies import accounts, books

ANN = Account(
    key="acc1|ann@x.y|plus",
    account_id="acc1",
    email="ann@x.y",
    user_id="u1",
    plan="plus",
    identified_ms=1,
    credential=Credential(3, 100, "at", "rt"),
    switch=Switch(1),
    added_ms=1,
    extra={"note": "hers"},
)


@given(books(), books(), books())
def test_joining_is_associative(one: Book, two: Book, three: Book) -> None:
    """In whichever order copies meet, they say the same together."""
    assert joined(joined(one, two), three) == joined(one, joined(two, three))


@given(books(), books())
def test_joining_is_idempotent(one: Book, two: Book) -> None:
    """What was joined already changes nothing more."""
    both = joined(one, two)
    assert joined(one, one) == one
    assert joined(both, two) == joined(both, one) == both


@given(books(), books())
def test_joining_loses_nothing(one: Book, two: Book) -> None:
    """Each account is there, with the newest credential, longest cooldown, latest switch and all unknown fields."""
    both = joined(one, two)
    for book in (one, two):
        assert book.extra.keys() <= both.extra.keys()
        for account in book.accounts:
            kept = both.get(account.person_key)
            assert kept is not None
            assert structs.astuple(kept.credential) >= structs.astuple(account.credential)
            assert kept.cooldown.until_ms >= account.cooldown.until_ms
            assert kept.switch.at_ms >= account.switch.at_ms
            assert kept.dead_generation >= account.dead_generation
            assert account.extra.keys() <= kept.extra.keys()


@given(accounts(), st.lists(st.integers(0, 50), max_size=6))
def test_errors_only_extend_a_cooldown(account: Account, ends: list[int]) -> None:
    """Whatever errors say, and in whichever order, the longest stands."""
    after = account
    for end in ends:
        after = cooled(after, Cooldown(end, "rate_limited"))
    assert after.cooldown.until_ms == max([account.cooldown.until_ms, *ends])


def test_a_changed_plan_is_no_second_account() -> None:
    """The key that is shown follows the plan, the account stays; its own name before still finds it."""
    login = structs.replace(
        ANN, key="acc1|ann@x.y|pro", plan="pro", identified_ms=9, credential=Credential(0, 9, "n", "m")
    )
    book, account = signed_in(Book((ANN,)), login)
    assert book.accounts == (account,)
    assert (account.key, account.plan, account.extra) == ("acc1|ann@x.y|pro", "pro", {"note": "hers"})
    assert account.credential == Credential(4, 9, "n", "m")
    assert named(book, "acc1|ann@x.y|plus") == [account]


def test_plus_and_team_of_one_person_stay_apart() -> None:
    """Two workspaces are two accounts; their e-mail alone names neither."""
    team = structs.replace(ANN, key="acc2|ann@x.y|team", account_id="acc2", plan="team")
    book, _ = signed_in(Book((ANN,)), team)
    assert len(book.accounts) == 2
    assert len(named(book, "ann@x.y")) == 2
    assert named(book, "acc2|ann@x.y|team")[0].plan == "team"


def test_a_changed_email_keeps_its_account_and_its_pin() -> None:
    """The user id tells that it is the same person."""
    login = structs.replace(ANN, key="acc1|new@x.y|plus", email="new@x.y", identified_ms=9)
    book, account = signed_in(Book((ANN,), pinned=Meant(1, ANN.person_key)), login)
    assert [known.email for known in book.accounts] == ["new@x.y"]
    assert book.pinned.person == account.person_key == book.active.person


def test_a_nameless_record_is_completed_by_its_token() -> None:
    """A migrated token without any identity becomes the account that signs in with it; two such ones stay apart."""
    nameless = Account(key="legacy|_|_|_", credential=Credential(0, 1, "", "rt"))
    book, _ = signed_in(Book((nameless,)), ANN)
    assert [known.key for known in book.accounts] == [ANN.key]
    twins = Book((nameless, structs.replace(nameless, key="legacy|_|_|_|dup:2")))
    book, _ = signed_in(twins, ANN)
    assert len(book.accounts) == 3


def test_a_login_lifts_what_held_the_account_back() -> None:
    """Disabled, without a login and cooling: after it signed in it may be used."""
    held = structs.replace(
        ANN, switch=Switch(5, enabled=False, why="by hand"), dead_generation=3, cooldown=Cooldown(10_000_000, "usage")
    )
    assert held.hindrance(7) == "disabled"
    login = structs.replace(ANN, identified_ms=7, switch=Switch(7), credential=Credential(0, 10_000_000, "n", "m"))
    _, account = signed_in(Book((held,)), login)
    assert account.hindrance(7) is None
    assert account.fresh(7)


def test_the_old_refresh_token_stays_where_none_is_returned() -> None:
    """RFC 6749 section 6."""
    assert rotated(ANN, "n", "", 5).credential == Credential(4, 5, "n", "rt")
    assert rotated(ANN, "n", "m", 5).credential == Credential(4, 5, "n", "m")


@given(books(), accounts())
def test_putting_and_taking(book: Book, account: Account) -> None:
    """An account that is put in is found, once; one that is taken out is meant by nobody."""
    put = book.with_account(account)
    assert put.get(account.person_key) == account
    assert len({known.person_key for known in put.accounts}) == len(put.accounts)
    taken = put.without(account.person_key)
    assert taken.get(account.person_key) is None
    assert account.person_key not in (taken.active.person, taken.pinned.person)
    assert msgspec.json.encode(taken.accounts) == msgspec.json.encode(book.without(account.person_key).accounts)
