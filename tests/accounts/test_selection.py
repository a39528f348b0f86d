"""Which account answers: what is never chosen, who is meant, and where a conversation stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.affinity import MAX_BOUND, TTL_MS, Bound, bound_to, joined_affinity
from codex_oss.accounts.book import STRATEGIES, Book, Meant, Strategy
from codex_oss.accounts.selection import LONG_MS, WAIT_MS, choose, earliest_ms
from tests.accounts.strategies import books

NOW = 1_000_000_000


def one(name: str, **changes: object) -> Account:
    """An account that may be used."""
    held = Credential(1, NOW * 2, "at", "rt")
    account = Account(key=f"{name}|{name}@x.y|plus", account_id=name, email=f"{name}@x.y", credential=held)
    return structs.replace(account, **changes)


A, B, C = one("a"), one("b"), one("c")


def cooling(account: Account, for_ms: int) -> Account:
    """The account, cooling."""
    return structs.replace(account, cooldown=Cooldown(NOW + for_ms, "usage_limit_reached"))


@given(
    books(),
    st.integers(0, 45),
    st.sampled_from([None, *STRATEGIES]),
    st.lists(st.sampled_from(["a@x.y|acc1", "b@x.y|acc1"]), max_size=2),
    st.sampled_from(["", "s1"]),
    st.sampled_from(["a@x.y|acc1", "a@x.y|acc2", "gone|gone"]),
)
def test_what_is_held_back_is_never_chosen(
    book: Book, now_ms: int, strategy: Strategy | None, tried: list[str], session: str, bound: str
) -> None:
    """Pinned, bound or neither: disabled, refused, signed-out, cooling and tried accounts do not answer.

    One that is meant and comes back within moments is waited for: after the wait nothing holds it back.
    """
    choice = choose(book, {"s1": Bound(1, bound)}, now_ms, session=session, strategy=strategy, tried=tried)
    if choice.account is None:
        able = [account for account in book.accounts if account.person_key not in tried]
        assert all(account.hindrance(now_ms) for account in able)
        return
    assert choice.account.person_key not in tried
    assert choice.account.hindrance(now_ms + choice.wait_ms) is None
    assert 0 <= choice.wait_ms <= WAIT_MS


TABLE: list[tuple[Strategy, Book, str, str]] = [
    ("sticky", Book((A, B, C), active=Meant(1, B.person_key)), "b", "active"),
    ("sticky", Book((A, B, C)), "a", "first"),
    ("sticky", Book((cooling(A, 99_000), B, C), active=Meant(1, A.person_key)), "b", "first"),
    ("hybrid", Book((one("a", last_used_ms=9), one("b", last_used_ms=3), C)), "c", "least_recent"),
    ("hybrid", Book((A, B), active=Meant(1, B.person_key)), "b", "active"),
    ("round_robin", Book((A, B, C), active=Meant(1, C.person_key)), "a", "next"),
    ("round_robin", Book((A, cooling(B, 99_000), C), active=Meant(1, A.person_key)), "c", "next"),
    ("round_robin", Book((A, B, C)), "a", "first"),
    ("round_robin", Book((A, B), active=Meant(1, A.person_key), pinned=Meant(1, A.person_key)), "a", "pinned"),
]


@pytest.mark.parametrize(("strategy", "book", "name", "way"), TABLE)
def test_the_table(strategy: Strategy, book: Book, name: str, way: str) -> None:
    """Each row of the strategies."""
    choice = choose(book, {}, NOW, strategy=strategy)
    assert choice.account is not None
    assert (choice.account.account_id, choice.way) == (name, way)


def test_the_pin_returns_after_the_reset() -> None:
    """While the pinned account is used up another one answers; nothing changes the pin, and it answers again."""
    book = Book((cooling(A, LONG_MS), B), pinned=Meant(1, A.person_key), active=Meant(2, B.person_key))
    for now_ms, name in ((NOW, "b"), (NOW + LONG_MS, "a")):
        choice = choose(book, {}, now_ms, session="s")
        assert choice.account is not None
        assert choice.account.account_id == name


@pytest.mark.parametrize(
    ("state", "name", "wait_ms", "binds"),
    [
        (A, "a", 0, False),
        (cooling(A, WAIT_MS), "a", WAIT_MS, False),
        (cooling(A, WAIT_MS + 1), "b", 0, False),
        (cooling(A, LONG_MS - 1), "b", 0, False),
        (cooling(A, LONG_MS), "b", 0, True),
        (one("a", switch=Switch(1, enabled=False)), "b", 0, True),
        (one("a", dead_generation=1), "b", 0, True),
        (one("a", workspace=Switch(1, enabled=False)), "b", 0, True),
    ],
)
def test_a_conversation_stays_with_its_account(state: Account, name: str, wait_ms: int, binds: bool) -> None:
    """A short outage is waited for or bridged, a long one binds the conversation anew."""
    choice = choose(Book((state, B), active=Meant(1, B.person_key)), {"s": Bound(1, A.person_key)}, NOW, session="s")
    assert choice.account is not None
    assert (choice.account.account_id, choice.wait_ms, choice.binds) == (name, wait_ms, binds)


def test_only_those_whose_catalog_has_the_model() -> None:
    """The pinned account is passed over for a model that it does not have."""
    book = Book((A, B), pinned=Meant(1, A.person_key))
    choice = choose(book, {}, NOW, serves={B.person_key})
    assert choice.account == B
    assert choose(book, {}, NOW, serves=set()).account is None


def test_when_somebody_can_answer_again() -> None:
    """The earliest end among those that only cool."""
    book = Book((cooling(A, 900), cooling(B, 500), cooling(one("c", switch=Switch(1, enabled=False)), 100)))
    assert earliest_ms(book, NOW) == NOW + 500
    assert earliest_ms(Book((A,)), NOW) is None


BOUNDS = st.dictionaries(
    st.sampled_from(["s1", "s2", "s3"]), st.builds(Bound, st.integers(0, 9), st.sampled_from(["a", "b"])), max_size=3
)


@given(BOUNDS, BOUNDS, BOUNDS)
def test_bindings_of_several_processes(
    first: dict[str, Bound], second: dict[str, Bound], third: dict[str, Bound]
) -> None:
    """In whichever order they meet: each key has its latest binding."""
    left = joined_affinity(joined_affinity(first, second, 5), third, 5)
    assert left == joined_affinity(first, joined_affinity(second, third, 5), 5)
    for known in (first, second, third):
        assert all(left[session] >= bound for session, bound in known.items())


def test_bindings_are_bounded_and_forgotten() -> None:
    """The newest 200 stay, and none for longer than a day without use."""
    bound: dict[str, Bound] = {}
    for number in range(MAX_BOUND + 5):
        bound = bound_to(bound, f"s{number}", "a", NOW + number)
    assert len(bound) == MAX_BOUND
    assert "s4" not in bound
    assert bound_to(bound, "new", "a", NOW + 2 * TTL_MS).keys() == {"new"}
