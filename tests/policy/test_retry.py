"""Retry: never after an event, bounded waits, no downgrade."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import RateLimited, Unavailable, UpstreamError, UpstreamRefused
from codex_oss.policy.retry import (
    GiveUp,
    NextAttempt,
    RetryPolicy,
    TryAgain,
    TryFallback,
    may_replace,
    narrowest_window,
    next_attempt,
)

POLICY = RetryPolicy(max_retries=2)


def _refused_connection() -> Unavailable:
    error = Unavailable("refused")
    error.retryable = False
    return error


TABLE: list[tuple[UpstreamError, int, float, NextAttempt]] = [
    (Unavailable("503"), 1, 900, TryAgain(0.5)),
    (Unavailable("503"), 2, 900, TryAgain(1.0)),
    (Unavailable("503"), 3, 900, TryFallback()),
    (Unavailable("503"), 1, 0.4, TryFallback()),
    (_refused_connection(), 1, 900, TryFallback()),
    (UpstreamRefused("400"), 1, 900, GiveUp()),
    (RateLimited("429", retry_after_s=7), 1, 900, TryAgain(7)),
    (RateLimited("429", retry_after_s=0), 1, 900, TryAgain(0)),
    (RateLimited("429", retry_after_s=61), 1, 900, TryFallback()),
    (RateLimited("429"), 2, 900, TryAgain(1.0)),
]


@pytest.mark.parametrize(("error", "attempt", "remaining_s", "expected"), TABLE)
def test_table(error: UpstreamError, attempt: int, remaining_s: float, expected: NextAttempt) -> None:
    """What follows each kind of failure."""
    chosen = next_attempt(error, attempt=attempt, events_sent=0, remaining_s=remaining_s, policy=POLICY)
    assert chosen == expected


errors = st.one_of(
    st.just(Unavailable("x")),
    st.just(UpstreamRefused("x")),
    st.builds(lambda s: RateLimited("x", retry_after_s=s), st.none() | st.floats(0, 1e6)),
)


@given(errors, st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1e6))
def test_nothing_after_the_first_event(error: UpstreamError, attempt: int, sent: int, remaining_s: float) -> None:
    """Once an event went out every failure is final."""
    chosen = next_attempt(error, attempt=attempt, events_sent=sent, remaining_s=remaining_s, policy=POLICY)
    assert chosen == GiveUp()


@given(errors, st.integers(1, 10**6), st.floats(0, 1e6), st.integers(0, 10))
def test_waits_are_bounded(error: UpstreamError, attempt: int, remaining_s: float, retries: int) -> None:
    """A wait fits into the time that is left and into its bound, and the retries end."""
    policy = replace(POLICY, max_retries=retries)
    chosen = next_attempt(error, attempt=attempt, events_sent=0, remaining_s=remaining_s, policy=policy)
    if isinstance(chosen, TryAgain):
        assert 0 <= chosen.delay_s < remaining_s
        assert chosen.delay_s <= policy.max_retry_after_s
        assert attempt <= retries


@pytest.mark.parametrize(("asked", "fallback", "allowed"), [(5, 5, True), (3, 5, True), (5, 3, False)])
def test_no_silent_downgrade(asked: int, fallback: int, allowed: bool) -> None:
    """A weaker model never answers for a stronger one; nor does a model for itself."""
    one = ModelProfile("one", "ocg-one", "one", "http://x/v1", capability=asked)
    two = ModelProfile("two", "ocg-two", "two", "http://x/v1", capability=fallback)
    assert may_replace(one, two) is allowed
    assert not may_replace(one, one)


def test_the_narrowest_window_is_that_of_whoever_may_answer() -> None:
    """Fallbacks that may stand in count, weaker ones that nobody approved and unknown ones do not."""

    def model(name: str, tokens: int, **fields: Any) -> ModelProfile:
        return ModelProfile(name, f"ocg-{name}", name, "http://127.0.0.1:9/v1", context_tokens=tokens, **fields)

    asked = model("asked", 100_000, fallbacks=("equal", "weak", "gone"))
    profiles = {one.name: one for one in (asked, model("equal", 50_000), model("weak", 8_000, capability=1))}
    assert narrowest_window(asked, profiles) == 50_000
    approved = msgspec.structs.replace(asked, approved_downgrades=("weak",))
    assert narrowest_window(approved, profiles) == 8_000
    assert narrowest_window(profiles["equal"], profiles) == 50_000
