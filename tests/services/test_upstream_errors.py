"""What an upstream's refusal means, and that nothing of it leaks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import QuotaExhausted, RateLimited
from codex_oss.services.upstream_errors import MAX_RETRY_AFTER_S, error_for_status, parse_retry_after

PROFILE = ModelProfile("kimi", "ocg-kimi", "kimi-k2.6", "http://h:1/v1", key_env="MY_KEY")
KEYLESS = ModelProfile("own", "ocg-own", "own", "http://h:1/v1", key_env="")
CONTEXT = b'{"error": {"message": "This model\'s maximum context length is 8192 tokens"}}'

TABLE = [
    (401, b"", "upstream_unauthorized", False, "The upstream at h:1 refused the key in MY_KEY (HTTP 401)."),
    (403, b"no", "upstream_unauthorized", False, "The upstream at h:1 refused the key in MY_KEY (HTTP 403)."),
    (404, b"", "model_not_found", False, "The upstream at h:1 does not know model 'kimi-k2.6' (HTTP 404)."),
    (413, b"", "context_length_exceeded", False, "The conversation is too long for 'kimi-k2.6'."),
    (400, CONTEXT, "context_length_exceeded", False, "The conversation is too long for 'kimi-k2.6'."),
    (500, CONTEXT, "context_length_exceeded", False, "The conversation is too long for 'kimi-k2.6'."),
    (400, b"{}", "upstream_refused", False, "The upstream at h:1 refused the request (HTTP 400)."),
    (307, b"", "upstream_refused", False, "The upstream at h:1 answered with a redirect (HTTP 307), which is never"),
    (204, b"", "upstream_refused", False, "The upstream at h:1 refused the request (HTTP 204)."),
    (408, b"", "upstream_unavailable", True, "The upstream at h:1 failed (HTTP 408)."),
    (
        503,
        b"<html>x",
        "upstream_unavailable",
        True,
        "The upstream at h:1 failed (HTTP 503). It answered with an HTML page.",
    ),
    (599, b"", "upstream_unavailable", True, "The upstream at h:1 failed (HTTP 599)."),
    (429, b"", "rate_limited", True, "The upstream at h:1 limits the rate of 'kimi-k2.6'."),
    (429, b'{"error":{"code":"insufficient_quota"}}', "quota_exhausted", False, "The plan or quota for 'kimi-k2.6' at"),
    (402, b"", "quota_exhausted", False, "The plan or quota for 'kimi-k2.6' at h:1 is used up (HTTP 402)."),
]


@pytest.mark.parametrize(("status", "body", "code", "retryable", "message"), TABLE)
def test_table(status: int, body: bytes, code: str, retryable: bool, message: str) -> None:
    """Status and body to code, whether to try again, and the sentence."""
    error = error_for_status(status, body, profile=PROFILE, place="h:1")
    assert (error.code, error.retryable) == (code, retryable)
    assert error.message.startswith(message)


def test_a_keyless_profile_is_told_to_name_a_key() -> None:
    """A 401 for a profile without a key asks for the variable's name."""
    error = error_for_status(401, b"", profile=KEYLESS, place="h:1")
    assert error.message == "The upstream at h:1 wants a key (HTTP 401), but profile 'own' has none."
    assert error.hint == "Set `key_env` of the profile to the name of the variable that holds the key."


@given(st.integers(201, 599), st.binary(max_size=300), st.booleans())
def test_messages_are_short_lines_without_the_key(status: int, noise: bytes, as_json: bool) -> None:
    """Whatever the body, the message is one printable, bounded line, and the key that was sent is not in it."""
    secret = "synthetic-key-value"
    text = f"bad key {secret} " + noise.decode("utf-8", "replace")
    body = json.dumps({"error": {"message": text}}).encode() if as_json else text.encode()
    error = error_for_status(status, body, profile=PROFILE, place="h:1", secret=secret)
    assert secret not in error.message + error.hint
    assert len(error.message) < 500
    assert "\n" not in error.message
    assert "\x1b" not in error.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("2", 2.0),
        (" 1.5 ", 1.5),
        ("999999999", MAX_RETRY_AFTER_S),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds and HTTP dates are read, bounded, and nonsense is nothing."""
    assert parse_retry_after(value, now=60.0) == seconds


@given(st.text(max_size=40))
def test_retry_after_never_raises(value: str) -> None:
    """Any header value gives a bounded number or nothing."""
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("retry_after", "kind", "shown"),
    [
        ("60", RateLimited, "limits the rate"),
        ("61", QuotaExhausted, "again in 61 s."),
        ("3600", QuotaExhausted, "again in 60 min."),
        ("86400", QuotaExhausted, "again in 24 h 0 min."),
    ],
)
def test_a_long_limit_is_a_used_up_plan(retry_after: str, kind: type[RateLimited], shown: str) -> None:
    """What nobody can wait out is another error, and says when it is over."""
    error = error_for_status(429, b"", profile=PROFILE, place="h:1", retry_after=retry_after)
    assert type(error) is kind
    assert shown in error.message
    assert error.retry_after_s == float(retry_after)


def test_rate_limited_carries_its_delay() -> None:
    """The delay travels with the error."""
    error = error_for_status(429, b"", profile=PROFILE, place="h:1", retry_after="3")
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 3.0
