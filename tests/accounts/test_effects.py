"""What a failure does to its account, and what follows it: tables, and what no failure ever does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.effects import after_exhaustion, after_failure, cools_for_usage, without_login
from codex_oss.accounts.failover import (
    MAX_LIMITED,
    MAX_OVERLOADED,
    MAX_REQUESTS,
    REASONS,
    SoFar,
    Tally,
    is_of_seal,
    next_step,
    reason_of,
)
from codex_oss.accounts.failures import Failure

NOW_MS = 1_000_000
HELD = Account(key="k", account_id="acc", email="a@b", credential=Credential(3, NOW_MS * 9, "at", "rt"))
KINDS = ("expired", "revoked", "workspace", "edge", "model", "used_up", "throttled", "overloaded", "refused")
FAILURES = st.builds(
    Failure,
    st.sampled_from(KINDS),
    st.sampled_from([400, 401, 402, 403, 429, 503]),
    st.sampled_from(["", "x", "usage_limit_reached", "invalid_encrypted_content"]),
    st.text(max_size=5),
    st.none() | st.floats(0, 10_000),
    st.booleans(),
)
COOLING = st.builds(Cooldown, st.integers(0, 10_000_000), st.text(max_size=3), st.booleans())


def failure(kind: str, **fields: object) -> Failure:
    """A failure of this kind."""
    return Failure(**{"kind": kind, "status": 0, "code": "code", "message": "", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["edge", "model", "overloaded", "refused", "expired"])
def test_what_costs_an_account_nothing(kind: str) -> None:
    """A challenge page, an overload, a wrong request, and a first 401."""
    assert after_failure(HELD, failure(kind), NOW_MS, 3) == HELD


def test_tokens() -> None:
    """A second 401 rejects this token; a revoked one at once, and twice it needs a login."""
    assert after_failure(HELD, failure("expired"), NOW_MS, 3, again=True).rejected_generation == 3
    once = after_failure(HELD, failure("revoked"), NOW_MS, 3)
    assert (once.rejected_generation, once.needs_login, once.fresh(NOW_MS)) == (3, False, False)
    assert after_failure(HELD, failure("revoked"), NOW_MS, 3, again=True).needs_login
    assert without_login(HELD, 3).needs_login


def test_what_is_said_of_an_older_token_is_of_no_account() -> None:
    """Whoever signed in meanwhile is not touched."""
    assert not after_failure(HELD, failure("revoked"), NOW_MS, 2, again=True).needs_login
    assert after_failure(HELD, failure("revoked"), NOW_MS, 2).fresh(NOW_MS)


def test_limits_and_workspaces() -> None:
    """A limit cools until then; a workspace is left alone and the credential kept."""
    cooling = after_failure(HELD, failure("used_up", until_s=5000.0, believed=True), NOW_MS, 3)
    assert cooling.cooldown == Cooldown(5_000_000, "code", True)
    shorter = after_failure(cooling, failure("throttled", until_s=4999.0), NOW_MS, 3)
    assert shorter.cooldown == cooling.cooldown
    assert after_exhaustion(cooling, 4999.0).cooldown == cooling.cooldown
    left = after_failure(HELD, failure("workspace"), NOW_MS, 3)
    assert (left.workspace, left.credential) == (Switch(NOW_MS, False, "code"), HELD.credential)
    assert cools_for_usage(after_exhaustion(HELD, 5000.0))
    assert not cools_for_usage(after_failure(HELD, failure("throttled", until_s=5000.0), NOW_MS, 3))


@given(COOLING, st.lists(st.tuples(FAILURES, st.booleans()), max_size=6), st.lists(st.floats(0, 10_000), max_size=3))
def test_errors_only_extend_a_cooldown(
    cooldown: Cooldown, failures: list[tuple[Failure, bool]], resets: list[float]
) -> None:
    """And never enable, disable, sign in or forget anything."""
    account = Account(key="k", account_id="acc", email="a@b", credential=HELD.credential, cooldown=cooldown)
    until_ms = cooldown.until_ms
    for met, again in failures:
        account = after_failure(account, met, NOW_MS, 3, again=again)
        assert account.cooldown.until_ms >= until_ms
        until_ms = account.cooldown.until_ms
    for reset in resets:
        account = after_exhaustion(account, reset)
        assert account.cooldown.until_ms >= until_ms
        until_ms = account.cooldown.until_ms
    assert (account.switch, account.credential, account.key) == (Switch(), HELD.credential, "k")


@given(st.lists(FAILURES, min_size=1, max_size=40), st.booleans())
def test_every_turn_ends(failures: list[Failure], sealed: bool) -> None:
    """However long the backend fails, and whatever it says: bounded on one account, bounded waits, a known reason."""
    tally, on_same, waited_s = Tally(), 0, 0.0
    for requests, met in enumerate(failures, 1):
        step = next_step(met, tally, SoFar(requests, waited_s, 0.0, sealed), 1.0)
        assert requests < MAX_REQUESTS or step.way in ("stop", "switch", "without_reasoning")
        assert requests < MAX_REQUESTS or step.way != "switch" or step.done
        assert reason_of(met, step.way, same=True) in REASONS
        assert reason_of(met, step.way, same=False) in REASONS
        if step.way in ("stop", "switch"):
            break
        on_same += 1
        waited_s += step.delay_s if met.kind == "used_up" else 0.0
        sealed = sealed and step.way != "without_reasoning"
        assert waited_s <= 10.0
    assert on_same <= 1 + MAX_LIMITED + MAX_OVERLOADED + 1


@pytest.mark.parametrize(
    ("code", "message", "of_seal"),
    [
        ("invalid_encrypted_content", "", True),
        ("", "The encrypted content gAAA... could not be verified.", True),
        ("", "The encrypted content could not be decrypted or parsed.", True),
        ("", "Something else could not be verified.", False),
    ],
)
def test_the_words_about_a_seal(code: str, message: str, of_seal: bool) -> None:
    """The backend says it in words; the code came later."""
    assert is_of_seal(failure("refused", status=400, code=code, message=message)) is of_seal


def test_what_took_long_is_not_repeated() -> None:
    """Five minutes of silence, three times for each account, would be an hour."""
    assert next_step(failure("overloaded"), Tally(), SoFar(1, took_s=301.0), 1.0).way == "stop"
    assert next_step(failure("overloaded"), Tally(), SoFar(1, took_s=1.0), 1.0).way == "same"


def test_an_account_that_cools_may_come_back_within_the_turn() -> None:
    """It is only done with when it met its limit again and again."""
    tally = Tally()
    met = failure("throttled", until_s=3.0)
    assert [next_step(met, tally, SoFar(1), 1.0).done for _ in range(MAX_LIMITED + 1)] == [False] * MAX_LIMITED + [True]
