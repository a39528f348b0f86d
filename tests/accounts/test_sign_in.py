"""What comes back from a browser, as tables and properties."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book, signed_in
from codex_oss.accounts.oauth import Refusal, Tokens
from codex_oss.accounts.sign_in import (
    Answer,
    Phase,
    Waiting,
    clock_skew_s,
    login_of,
    on_callback,
    on_cancel,
    on_paste,
    query_of,
)
from codex_oss.accounts.sign_in_failures import FAILURES, login_failed, refused
from codex_oss.accounts.sign_in_pages import PAGES, render_page
from tests.accounts.strategies import books
from tests.fakes.issuer import access_token, jwt

STATE = "s" * 43
WAITING = Waiting(STATE)
GOOD = {"state": STATE, "code": "abcdef"}
PHASES: list[Phase] = ["waiting", "redeeming", "done", "failed"]
QUERIES = st.dictionaries(st.sampled_from(["state", "code", "error", "error_description", "x"]), st.text(max_size=5))


@pytest.mark.parametrize(
    ("phase", "query", "after", "answer"),
    [
        ("waiting", GOOD, "redeeming", Answer("signed_in", code="abcdef")),
        ("waiting", {"state": "x", "code": "c"}, "waiting", Answer("wrong_state")),
        ("waiting", {"state": "", "code": "c"}, "waiting", Answer("wrong_state")),
        ("waiting", {"state": "x", "error": "access_denied"}, "waiting", Answer("wrong_state")),
        ("waiting", {"code": "c"}, "waiting", Answer("wrong_state")),
        ("waiting", {}, "waiting", Answer("wrong_state")),
        ("waiting", {"state": STATE, "error": "access_denied"}, "failed", Answer("refused", failure="login_denied")),
        ("waiting", {**GOOD, "error": "server_error"}, "failed", Answer("refused", failure="login_refused")),
        ("waiting", {"state": STATE}, "failed", Answer("no_code", failure="login_refused")),
        ("waiting", {"state": STATE, "code": "c" * 5000}, "failed", Answer("no_code", failure="login_refused")),
        ("redeeming", GOOD, "redeeming", Answer("used")),
        ("done", GOOD, "done", Answer("used")),
        ("failed", GOOD, "failed", Answer("used")),
        ("failed", {"state": STATE, "error": "access_denied"}, "failed", Answer("refused")),
        ("done", {"state": STATE, "error": "access_denied"}, "done", Answer("used")),
    ],
)
def test_callbacks(phase: Phase, query: dict[str, str], after: Phase, answer: Answer) -> None:
    """Each row: where the sign-in stood, what came, where it stands, what is answered."""
    waiting, answered = on_callback(Waiting(STATE, phase), query)
    assert (waiting.phase, answered) == (after, answer)


@pytest.mark.parametrize(
    ("phase", "query", "after", "answer"),
    [
        ("waiting", {"state": STATE}, "failed", Answer("cancelled", failure="login_cancelled", closes=True)),
        ("waiting", {"state": "x"}, "waiting", Answer("wrong_state")),
        ("waiting", {}, "waiting", Answer("wrong_state")),
        ("redeeming", {"state": STATE}, "redeeming", Answer("wrong_state")),
        ("done", {}, "done", Answer("cancelled", closes=True)),
        ("failed", {"state": "x"}, "failed", Answer("cancelled", closes=True)),
    ],
)
def test_cancels(phase: Phase, query: dict[str, str], after: Phase, answer: Answer) -> None:
    """Only who knows the state ends a sign-in; a listener that waits for nothing goes for anybody."""
    waiting, answered = on_cancel(Waiting(STATE, phase), query)
    assert (waiting.phase, answered) == (after, answer)


@given(QUERIES, st.sampled_from(PHASES))
def test_a_stranger_changes_nothing(query: dict[str, str], phase: Phase) -> None:
    """Without the state every request leaves the phase as it is, and none gets a code redeemed."""
    before = Waiting(STATE, phase)
    for on in (on_callback, on_cancel):
        after, answer = on(before, query)
        assert (after.phase, after.said, answer.code, answer.failure) == (phase, "", "", "")


@given(st.lists(QUERIES | st.just(GOOD) | st.just({"state": STATE, "error": "e"}), max_size=8))
def test_one_code_at_most(queries: list[dict[str, str]]) -> None:
    """However often and in whatever order it comes, one code is redeemed or one failure is said, never both."""
    waiting, ends = WAITING, 0
    for query in queries:
        waiting, answer = on_callback(waiting, query)
        ends += bool(answer.code) + bool(answer.failure)
    assert ends <= 1


def test_a_parameter_that_stands_twice_is_empty() -> None:
    """Whatever another reader would make of it."""
    assert query_of("state=a&code=b&state=a&x=") == {"state": "", "code": "b", "x": ""}


BACK = f"http://localhost:1455/auth/callback?{urlencode(GOOD)}"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (BACK, Answer("signed_in", code="abcdef")),
        (f"  <{BACK}>\r\n", Answer("signed_in", code="abcdef")),
        (f'"{BACK}"', Answer("signed_in", code="abcdef")),
        (BACK.removeprefix("http://localhost:1455"), Answer("signed_in", code="abcdef")),
        (f"?{urlencode(GOOD)}", Answer("signed_in", code="abcdef")),
        (urlencode(GOOD), Answer("signed_in", code="abcdef")),
        ("abcdef", Answer("signed_in", code="abcdef")),
        (f"abcdef#{STATE}", Answer("signed_in", code="abcdef")),
        ("abcdef#other", Answer("wrong_state")),
        (BACK.replace("state=s", "state=t"), Answer("wrong_state")),
        ("code=abcdef", Answer("wrong_state")),
        (f"http://x/?state={STATE}&error=access_denied", Answer("refused", failure="login_denied")),
        (f"https://auth.openai.com/oauth/authorize?state={STATE}&client_id=x", Answer("unreadable")),
        ("http://localhost:1455/", Answer("unreadable")),
        ("http://[::1/?code=x", Answer("unreadable")),
        ("two words", Answer("unreadable")),
        ("", Answer("unreadable")),
        ("y", Answer("unreadable")),
    ],
)
def test_pastes(text: str, answer: Answer) -> None:
    """What a person may paste, and what it means."""
    after, answered = on_paste(WAITING, text)
    assert answered == answer
    if answer.page == "unreadable":
        assert after == WAITING


@given(st.text(max_size=60))
def test_any_paste_is_judged(text: str) -> None:
    """Nothing that is typed raises."""
    on_paste(WAITING, text)
    on_paste(WAITING, f"http://{text}")


def test_a_login_is_an_account() -> None:
    """Named by its claims, the id token first; its end counts by our clock."""
    tokens = Tokens(access_token("Ann@X.y", "acc1", "plus", 1), "rt", jwt({"email": "new@x.y"}), 10.0)
    login = login_of(tokens, 5_000)
    assert login is not None
    assert (login.key, login.user_id, login.credential.expires_ms) == ("acc1|new@x.y|plus", "user-Ann@X.y", 15_000)
    assert login.hindrance(5_000) is None
    assert login_of(Tokens("opaque", "rt", "a.b"), 5_000) is None


@given(books(), st.sampled_from(["acc1", "acc2"]), st.sampled_from(["a@x.y", "b@x.y", "c@x.y"]))
def test_a_login_makes_its_account_usable_and_active(book: Book, account_id: str, email: str) -> None:
    """Whatever held it back before; nobody else is lost or touched."""
    login = login_of(Tokens(access_token(email, account_id, "pro", 1), "new"), 1_000)
    assert login is not None
    after, account = signed_in(book, login)
    assert (account.hindrance(1_000), after.active.person) == (None, account.person_key)
    others: dict[str, Account] = {one.person_key: one for one in book.accounts if one != book.get(account.person_key)}
    assert all(after.get(person) == one for person, one in others.items())


@pytest.mark.parametrize(
    ("claims", "skew_s"),
    [({"iat": 1000}, 0.0), ({"iat": 1299}, 0.0), ({"iat": 4600}, -3600.0), ({"iat": "x"}, 0.0), ({}, 0.0)],
)
def test_the_clock(claims: dict[str, object], skew_s: float) -> None:
    """Told by when the token was made; small differences and nonsense are none."""
    assert clock_skew_s(jwt(claims), 1000.0) == skew_s


@pytest.mark.parametrize(
    ("refusal", "code", "told"),
    [
        (Refusal(0), "issuer_unavailable", "no answer"),
        (Refusal(503), "issuer_unavailable", "status 503"),
        (Refusal(429, "slow"), "issuer_unavailable", "slow"),
        (Refusal(302), "issuer_unavailable", "status 302"),
        (Refusal(400, "invalid_grant", "rt-secret"), "login_refused", "invalid_grant"),
        (Refusal(403), "login_refused", "status 403"),
        (Refusal(400, "\x1b[31m rt-secret"), "login_refused", "status 400"),
        (Refusal(400, "access_denied"), "login_denied", ""),
        (Refusal(400, "expired_token"), "login_expired", ""),
    ],
)
def test_refusals_in_words(refusal: Refusal, code: str, told: str) -> None:
    """Status and plain code are told, no other word of the issuer."""
    error = refused(refusal)
    assert (error.code, told in error.message, bool(error.hint)) == (code, True, True)
    assert "secret" not in error.message + error.hint


@given(st.sampled_from(sorted(FAILURES)), st.text(max_size=500))
def test_failures_are_one_clean_sentence(code: str, said: str) -> None:
    """Whatever the issuer said is cut short, on one line and without control characters."""
    message = login_failed(code, said).message
    assert message.endswith(".")
    assert len(message) < 320
    assert message.isprintable() or "\ufffd" in message or not said.isprintable()
    assert not {"\n", "\x1b", "\r"} & set(message)


@given(st.sampled_from(sorted(PAGES)), st.text(max_size=300))
def test_pages_escape(page: str, said: str) -> None:
    """The only tags of a page are ours."""
    plain = render_page(page, "x")[1]  # type: ignore[arg-type]
    assert render_page(page, f"{said}<script>'\"")[1].count("<") == plain.count("<")  # type: ignore[arg-type]
