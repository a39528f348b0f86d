"""Deviations: one safe line, and only when there is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.failover import REASONS as ATTEMPT_REASONS
from codex_oss.errors import HTTP_STATUS
from codex_oss.policy.deviation import MAX_CHARS, REASONS, fallback_reason, is_deviation, word_deviation, word_switch


def test_the_words() -> None:
    """Who was asked, who answers, and why."""
    told = word_deviation("ocg-kimi-k2.6", "ocg-deepseek-v4-pro", fallback_reason("upstream_unavailable"))
    assert told == "asked=ocg-kimi-k2.6; answered=ocg-deepseek-v4-pro; reason=fallback_upstream_unavailable"


def test_the_asked_model_is_no_deviation() -> None:
    """Neither at once nor after retries."""
    assert [reason for reason in REASONS if not is_deviation(reason)] == ["initial_attempt", "retry_same_model"]
    assert word_deviation("a", "b", "retry_same_model") == ""


def test_every_error_has_a_reason() -> None:
    """Whatever failed, the reason is in the table."""
    assert {fallback_reason(code) for code in [*HTTP_STATUS, "never heard of"]} <= set(REASONS)


@given(st.text(), st.text(), st.sampled_from(sorted(REASONS)))
def test_it_can_travel_in_a_header(asked: str, answered: str, reason: str) -> None:
    """Any name: printable ASCII, one line, three parts, bounded."""
    told = word_deviation(asked, answered, reason)
    assert told.isascii()
    assert told == "" or told.isprintable()
    assert len(told) <= MAX_CHARS
    assert told == "" or [part.partition("=")[0] for part in told.split("; ")] == ["asked", "answered", "reason"]


def test_another_account_is_no_deviation() -> None:
    """The same model answers, as it was asked for."""
    assert not [reason for reason in ATTEMPT_REASONS if is_deviation(reason)]


@given(st.text(), st.text(), st.sampled_from(sorted(ATTEMPT_REASONS)))
def test_a_switch_can_travel_in_a_header(answers: str, instead_of: str, why: str) -> None:
    """Any label: printable ASCII, one line, three parts, bounded."""
    told = word_switch(answers, instead_of, why)
    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= MAX_CHARS
    assert [part.partition("=")[0].strip() for part in told.split(";")] == ["account", "instead_of", "reason"]
