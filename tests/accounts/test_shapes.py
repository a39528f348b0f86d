"""The book on disk: our form there and back, every older one, and what is damaged."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.book import Book
from codex_oss.accounts.shapes import ShapeUnknown, Who, decoded, encoded, who_of
from tests.accounts.strategies import books


def jwt(claims: dict[str, Any]) -> str:
    """A token that says this, unsigned."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.sig"


ACCESS = jwt(
    {
        "https://api.openai.com/auth": {
            "chatgpt_account_id": "acc1",
            "chatgpt_user_id": "u1",
            "chatgpt_plan_type": "Plus",
        },
        "https://api.openai.com/profile": {"email": "Ann@X.y"},
    }
)
LOGIN = {"refresh": "rt", "access": ACCESS, "expires": 5}
NAMED = {"accountId": "acc1", "email": "ann@x.y", "plan": "plus"}
OLD: dict[str, Any] = {
    "one login": {"openai": {"type": "oauth", **LOGIN}},
    "one named login": {"openai": {"type": "oauth", **LOGIN, **NAMED}},
    "flat": {"openai": {"type": "oauth", "accounts": [{**LOGIN, **NAMED, "authTypes": ["native"]}]}},
    "domains": {
        "openai": {
            "type": "oauth",
            "accounts": [],
            "native": {"accounts": [{**LOGIN, **NAMED}], "activeIdentityKey": "acc1|ann@x.y|plus"},
            "codex": {"accounts": [{**LOGIN, **NAMED, "expires": 3, "refresh": "older"}]},
        }
    },
    "older plugin": {
        "accounts": [{"accessToken": "x"}, {"refreshToken": "rt", "accessToken": ACCESS, "expiresAt": 5}],
        "activeIndex": 1,
    },
}


@given(books())
def test_there_and_back(book: Book) -> None:
    """What is written is read as it was."""
    assert decoded(encoded(book)) == book


@pytest.mark.parametrize("form", OLD)
def test_every_older_form(form: str) -> None:
    """One account, known by its token where nothing else says who it is; the fresher pair of tokens is kept."""
    book = decoded(json.dumps(OLD[form]).encode())
    (account,) = book.accounts
    assert (account.key, account.user_id) == ("acc1|ann@x.y|plus", "u1")
    assert (account.credential.refresh, account.credential.expires_ms) == ("rt", 5)
    assert book.active.person in ("", account.person_key)
    assert decoded(encoded(book)) == book


def test_the_active_account_is_followed() -> None:
    """By key, in the forms that name it."""
    for form in ("domains", "older plugin"):
        book = decoded(json.dumps(OLD[form]).encode())
        assert book.active.person == book.accounts[0].person_key


def test_unknown_fields_stay() -> None:
    """Of the file and of an account; a field of ours with another type is as if it were absent."""
    raw = {"schemaVersion": 1, "later": [1], "accounts": [{"key": "k", "later": {"a": 1}, "addedMs": "soon"}]}
    book = decoded(json.dumps(raw).encode())
    again = json.loads(encoded(book))
    assert again["later"] == [1]
    assert again["accounts"][0]["later"] == {"a": 1}
    assert (book.accounts[0].key, book.accounts[0].added_ms) == ("k", 0)


def test_nameless_accounts_stay_apart() -> None:
    """Two logins of which nobody knows whose they are."""
    rows = [{"refresh": "one"}, {"refresh": "two"}]
    book = decoded(json.dumps({"openai": {"accounts": rows}}).encode())
    assert [account.credential.refresh for account in book.accounts] == ["one", "two"]
    assert len({account.person_key for account in book.accounts}) == 2


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"text"', b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_object_is_unknown(data: bytes) -> None:
    """A damaged file is put aside by the store, never read as an empty one."""
    with pytest.raises(ShapeUnknown):
        decoded(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["openai", "native", "accounts", "schemaVersion", "refresh", "credential", "active", "email"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["openai", "accounts", "schemaVersion", "active"]), JSON))
def test_any_object_is_a_book(raw: dict[str, Any]) -> None:
    """Nothing else is raised, and what was read is stable from then on."""
    book = decoded(json.dumps(raw).encode())
    assert decoded(encoded(book)) == book


def test_whose_token_it_is() -> None:
    """The id token is asked first, then the access token; nested claims count; nonsense says nothing."""
    assert who_of(ACCESS) == Who("acc1", "u1", "ann@x.y", "plus")
    assert who_of(jwt({"email": "B@x.y", "organizations": [{"id": "org"}]}), "no.jwt").account_id == "org"
    assert who_of("", "a.b.c", "a.!!.c", jwt({"email": 3})) == Who()
