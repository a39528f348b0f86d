"""Which tokens are renewed ahead: of accounts in use, that end soon, and of no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.book import Book
from codex_oss.accounts.renewal import AHEAD_MS, IDLE_MS, due
from tests.accounts.strategies import books

NOW = IDLE_MS * 2
ANN = Account(
    key="a|a@x.y|plus",
    account_id="a",
    email="a@x.y",
    credential=Credential(1, NOW + AHEAD_MS, "at", "rt"),
    last_used_ms=NOW - 1,
)

CASES = [
    ("ends soon", {}, True),
    ("lasts", {"credential": Credential(1, NOW + AHEAD_MS + 1, "at", "rt")}, False),
    ("has ended", {"credential": Credential(1, 5, "at", "rt")}, True),
    ("no end is known", {"credential": Credential(1, 0, "at", "rt")}, True),
    ("nothing to renew it with", {"credential": Credential(1, 5, "at", "")}, False),
    ("disabled", {"switch": Switch(1, enabled=False)}, False),
    ("needs a login", {"dead_generation": 1}, False),
    ("workspace refuses", {"workspace": Switch(1, enabled=False)}, False),
    ("cools", {"cooldown": Cooldown(NOW + 1, "usage_limit_reached")}, False),
    ("cooled", {"cooldown": Cooldown(NOW, "usage_limit_reached")}, True),
    ("unused for days", {"last_used_ms": NOW - IDLE_MS}, False),
    ("new and not used yet", {"last_used_ms": 0, "added_ms": NOW - 1}, True),
    ("migrated and not used yet", {"last_used_ms": 0}, False),
]


@pytest.mark.parametrize(("why", "changes", "renewed"), CASES, ids=[case[0] for case in CASES])
def test_what_is_due(why: str, changes: dict[str, object], renewed: bool) -> None:
    """Each reason by itself."""
    assert bool(due(Book((structs.replace(ANN, **changes),)), NOW)) is renewed, why


@given(books(), st.integers(0, 45))
def test_what_is_held_back_is_never_renewed(book: Book, now_ms: int) -> None:
    """Whatever the book: nothing with a hindrance, nothing twice, the first to end first."""
    found = due(book, now_ms)
    assert all(account.hindrance(now_ms) is None and account.credential.refresh for account in found)
    assert len({account.person_key for account in found}) == len(found)
    ends = [account.credential.expires_ms for account in found]
    assert ends == sorted(ends)
