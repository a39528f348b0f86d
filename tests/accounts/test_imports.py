"""Files of other programs: what is read of them, and what the book is afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Credential, Switch
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.changes import switched
from codex_oss.accounts.imports import accounts_in_file, brought_in
from codex_oss.errors import InvalidRequest
from tests.accounts.strategies import books
from tests.fakes.issuer import jwt

NOW = 1_800_000_000_000
CLAIMS = {
    "email": "Ann@X.y",
    "https://api.openai.com/auth": {
        "chatgpt_account_id": "acc1",
        "chatgpt_user_id": "u1",
        "chatgpt_plan_type": "plus",
    },
}


def codex(refresh: str = "rt", exp: float = NOW / 1000 + 60) -> bytes:
    """An auth.json of the Codex CLI."""
    tokens = {
        "id_token": jwt(CLAIMS),
        "access_token": jwt({"exp": exp}),
        "refresh_token": refresh,
        "account_id": "acc1",
    }
    told = {"OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2026-11-01T00:00:00Z"}
    return json.dumps(told).encode()


def opencode(**more: Any) -> bytes:
    """An auth.json of OpenCode, with a sign-in of another vendor beside ours."""
    ours = {"type": "oauth", "refresh": "rt", "access": jwt(CLAIMS), "expires": NOW + 5, **more}
    return json.dumps({"anthropic": {"type": "api", "key": "k"}, "openai": ours}).encode()


@pytest.mark.parametrize(
    ("data", "program", "ends_ms"), [(codex(), "Codex CLI", NOW + 60_000), (opencode(), "OpenCode", NOW + 5)]
)
def test_a_login_of_another_program(data: bytes, program: str, ends_ms: int) -> None:
    """The account is the one that its tokens name, and the active one afterwards."""
    found = accounts_in_file(data, NOW)
    assert found.program == program
    done = brought_in(Book(), found)
    (account,) = done.taken
    assert (account.key, account.user_id) == ("acc1|ann@x.y|plus", "u1")
    assert (account.credential.refresh, account.credential.expires_ms) == ("rt", ends_ms)
    assert (account.hindrance(NOW), account.added_ms) == (None, NOW)
    assert done.book.active == Meant(NOW, account.person_key)


def test_several_accounts_keep_who_was_meant_and_who_was_disabled() -> None:
    """A store of a plugin comes over as it is: its active account, its disabled one."""
    rows = [
        {"refreshToken": "r1", "accountId": "a1", "email": "a@x.y", "plan": "plus", "expiresAt": NOW},
        {"refreshToken": "r2", "accountId": "a2", "email": "b@x.y", "plan": "plus", "enabled": False},
        {"refreshToken": "r3", "accountId": "a3", "email": "c@x.y", "plan": "plus"},
    ]
    found = accounts_in_file(json.dumps({"accounts": rows, "activeIndex": 2}).encode(), NOW)
    done = brought_in(Book(), found)
    assert [account.hindrance(NOW) for account in done.taken] == [None, "disabled", None]
    assert done.book.active.person == "c@x.y|a3"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"tokens": {}}',
        b'{"tokens": {"refresh_token": 3}}',
        b'{"OPENAI_API_KEY": "sk-abcdef", "tokens": null}',
        b'{"openai": {"type": "api", "key": "sk-abcdef"}}',
        b"{}",
    ],
)
def test_what_is_no_sign_in_is_refused(data: bytes) -> None:
    """With the reason and without a word of the file."""
    with pytest.raises(InvalidRequest) as caught:
        accounts_in_file(data, NOW)
    assert caught.value.code == "import_unknown"
    assert "abcdef" not in caught.value.message


def test_what_is_known_better_stays() -> None:
    """A usable credential that ends later is kept; one that needs a login is replaced, and one in use is untouched."""
    first = brought_in(Book(), accounts_in_file(codex("rt1", NOW / 1000 + 600), NOW))
    older = brought_in(first.book, accounts_in_file(codex("rt2", NOW / 1000 + 60), NOW + 1))
    assert (older.book, older.taken, [known.credential.refresh for known in older.kept]) == (first.book, (), ["rt1"])
    (known,) = first.taken
    dead = first.book.with_account(structs.replace(known, dead_generation=known.credential.generation))
    mended = brought_in(dead, accounts_in_file(codex("rt2", NOW / 1000 + 60), NOW + 1))
    (account,) = mended.taken
    assert (account.credential.refresh, account.needs_login, len(mended.book.accounts)) == ("rt2", False, 1)


def test_an_import_enables_again() -> None:
    """Whoever asks for the account wants to use it."""
    first = brought_in(Book(), accounts_in_file(codex("rt1"), NOW))
    off = switched(first.book, first.taken[0].person_key, NOW + 1, enabled=False)
    again = brought_in(off, accounts_in_file(codex("rt2", NOW / 1000 + 600), NOW + 2))
    assert again.taken[0].switch == Switch(NOW + 2, True)


@given(books(), st.integers(0, 80))
def test_an_import_loses_nobody(book: Book, ends: int) -> None:
    """Every account of the book is still there, and exactly one may be new."""
    row = {"type": "oauth", "refresh": "new", "access": "", "expires": ends, "accountId": "acc1", "email": "a@x.y"}
    done = brought_in(book, accounts_in_file(json.dumps({"openai": row}).encode(), NOW))
    before = {account.person_key for account in book.accounts}
    after = {account.person_key for account in done.book.accounts}
    assert before <= after
    assert len(after) <= len(before) + 1
    assert len(done.taken) + len(done.kept) == 1
    assert all(account.credential != Credential() for account in done.taken)
