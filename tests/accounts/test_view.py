"""What is shown of the accounts: the fixed form, each reason, and never a token."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.quota import FIVE_HOURS_S, WEEK_S, Quota, Window
from codex_oss.accounts.view import active_of, as_listed, as_told, label_of, views_of
from tests.accounts.strategies import books

NOW_MS = 1_000_000
ANN = Account(
    key="acc1|ann@x.y|plus",
    account_id="acc1",
    email="ann@x.y",
    plan="plus",
    user_id="u1",
    credential=Credential(3, NOW_MS * 2, "access-canary", "refresh-canary"),
)


def listed(*accounts: Account, **quotas: Quota) -> list[dict[str, object]]:
    """These accounts in the fixed form."""
    book = Book(accounts, active=Meant(1, accounts[0].person_key if accounts else ""))
    views = views_of(book, {ANN.person_key: quotas["ann"]} if quotas else {}, NOW_MS)
    told: list[dict[str, object]] = json.loads(json.dumps([as_listed(view) for view in views]))
    return told


def test_the_fixed_form_word_by_word() -> None:
    """Every name that outside programs rely on, and no other; instants in epoch seconds, null for what is unknown."""
    windows = (Window(FIVE_HOURS_S, 27.5, 2000.0), Window(WEEK_S, None, 3000.0), Window(86_400, 1.0))
    tired = structs.replace(ANN, cooldown=Cooldown(NOW_MS + 1500, "usage_limit_reached"))
    assert listed(tired, ann=Quota(1.0, windows)) == [
        {
            "key": "acc1|ann@x.y|plus",
            "email": "ann@x.y",
            "plan": "plus",
            "enabled": True,
            "active": True,
            "reason": "cooling_down",
            "cooldown_until": 1001.5,
            "needs_login": False,
            "quota": [
                {"window": "5h", "used_percent": 27.5, "resets_at": 2000.0},
                {"window": "weekly", "used_percent": None, "resets_at": 3000.0},
                {"window": "86400s", "used_percent": 1.0, "resets_at": None},
            ],
        }
    ]
    nameless = Account(key="legacy|_|_|_", credential=Credential(0, 0, "a", "r"))
    (row,) = listed(nameless)
    assert list(row) == [
        *("key", "email", "plan", "enabled", "active"),
        *("reason", "cooldown_until", "needs_login", "quota"),
    ]
    assert (row["email"], row["plan"], row["reason"], row["cooldown_until"], row["quota"]) == (
        *(None, None, None, None),
        [],
    )


REASONS = [
    ({}, None, None),
    ({"switch": Switch(1, enabled=False, why="by_person")}, "disabled", "by_person"),
    ({"dead_generation": 3, "last_error": (1, "invalid_grant")}, "needs_login", "invalid_grant"),
    ({"credential": Credential(3)}, "needs_login", None),
    (
        {"workspace": Switch(1, enabled=False, why="deactivated_workspace")},
        "workspace_unavailable",
        "deactivated_workspace",
    ),
    ({"cooldown": Cooldown(NOW_MS + 1, "rate_limited")}, "cooling_down", "rate_limited"),
    ({"cooldown": Cooldown(NOW_MS, "rate_limited")}, None, None),
    (
        {"switch": Switch(1, enabled=False), "dead_generation": 3, "cooldown": Cooldown(NOW_MS + 1, "x")},
        *("disabled", None),
    ),
]


@pytest.mark.parametrize(("changes", "reason", "why"), REASONS)
def test_each_says_why_it_is_not_used(changes: dict[str, object], reason: str | None, why: str | None) -> None:
    """The first thing that holds it back, and that thing's own reason."""
    (view,) = views_of(Book((structs.replace(ANN, **changes),)), {}, NOW_MS)
    assert (view.reason, view.why) == (reason, why)
    assert view.enabled is (reason != "disabled")


@given(books())
def test_no_token_is_ever_shown(book: Book) -> None:
    """Nothing of a credential, of unknown fields or of an id that signs in is in any form."""
    marked = structs.replace(
        book,
        accounts=tuple(
            structs.replace(
                account,
                credential=Credential(7, 1, "access-canary", "refresh-canary"),
                extra={"id_token": "extra-canary"},
            )
            for account in book.accounts
        ),
        extra={"session": "extra-canary"},
    )
    views = views_of(marked, {}, NOW_MS)
    assert "canary" not in json.dumps([as_told(view) for view in views])
    assert "canary" not in " ".join(label_of(account) for account in marked.accounts)


@given(books())
def test_one_is_active_as_long_as_one_is_enabled(book: Book) -> None:
    """Never a disabled one, never two."""
    views = views_of(book, {}, NOW_MS)
    active = [view for view in views if view.active]
    assert len(active) == min(1, sum(view.enabled for view in views))
    assert all(view.enabled for view in active)
    found = active_of(book)
    assert [view.key for view in active] == ([found.key] if found else [])


def test_how_an_account_is_called() -> None:
    """E-mail and plan, as far as they are known."""
    assert label_of(ANN) == "ann@x.y (plus)"
    assert label_of(structs.replace(ANN, plan="")) == "ann@x.y"
    assert label_of(structs.replace(ANN, email="", account_id="123456789")) == "account …456789"
    assert label_of(structs.replace(ANN, email="", account_id="")) == ANN.key
