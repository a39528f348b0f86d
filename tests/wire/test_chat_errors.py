"""Upstream errors: which of our codes they are, and what of their words is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from codex_oss.errors import HTTP_STATUS
from codex_oss.wire.chat_errors import MAX_MESSAGE_CHARS, classify_chat_error, decode_chat_error
from tests.wire.scripts import json_values

TABLE: list[tuple[Any, str]] = [
    ({"message": "This model's maximum context length is 8192 tokens."}, "context_length_exceeded"),
    ({"code": "context_length_exceeded", "message": "x"}, "context_length_exceeded"),
    ({"type": "exceed_context_size_error", "message": "x", "n_ctx": 4096}, "context_length_exceeded"),
    ({"message": "prompt is too long: 9 tokens"}, "context_length_exceeded"),
    ({"code": 429, "message": "Slow down"}, "rate_limited"),
    ({"type": "rate_limit_error", "message": "Try again in 1.5s"}, "rate_limited"),
    ({"code": "insufficient_quota", "message": "Check your plan and billing."}, "quota_exhausted"),
    ({"message": "You exceeded your current quota"}, "quota_exhausted"),
    ({"message": "Quota of requests per minute"}, "rate_limited"),
    ({"code": 401, "message": "no"}, "upstream_unauthorized"),
    ({"code": 503, "message": "no"}, "upstream_unavailable"),
    ("The engine is overloaded", "upstream_unavailable"),
    ({"message": "Something else"}, "upstream_error"),
    ({"message": "Cannot read 4290 files of 5030"}, "upstream_error"),
    (7, "upstream_error"),
]


@pytest.mark.parametrize(("raw", "code"), TABLE, ids=[str(raw) for raw, _ in TABLE])
def test_codes(raw: Any, code: str) -> None:
    """Vendors' errors are told apart by code, type and words; every code has an HTTP status."""
    assert classify_chat_error(raw).code == code
    assert code in HTTP_STATUS


def test_the_reason_is_shown_short_and_without_keys() -> None:
    """The vendor's words are kept on one line, cut, and without anything that looks like a key."""
    shown = classify_chat_error({"message": "Incorrect API key provided: sk-synthetic0123456789.\nSee docs."}).message
    assert shown == "The model server reported an error: Incorrect API key provided: [key]. See docs."
    assert len(classify_chat_error({"message": "x" * 5000}).message) < MAX_MESSAGE_CHARS + 50
    assert classify_chat_error({}).message.endswith("it gave no reason.")


def test_nothing_that_steers_a_terminal_is_shown() -> None:
    """Escapes, bells and direction marks of an upstream do not reach the client, which prints them as they come."""
    shown = classify_chat_error({"message": "bad \x1b[2J\x07\u202ename\x9b31m\u2028end"}).message
    assert shown == "The model server reported an error: bad [2J name 31m end"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"message": "too many requests"}}', "rate_limited"),
        (b'{"object": "error", "message": "maximum context length", "code": 400}', "context_length_exceeded"),
        (b"<html>503 Service Unavailable</html>", "upstream_unavailable"),
        (b"", "upstream_error"),
        (b"\xff", "upstream_error"),
    ],
)
def test_bodies(body: bytes, code: str) -> None:
    """HTTP error bodies of every form are read."""
    assert decode_chat_error(body).code == code


@given(json_values)
def test_arbitrary_errors_are_classified(value: Any) -> None:
    """Any JSON as error value is some failure with words that can be sent."""
    failure = decode_chat_error(json.dumps({"error": value}).encode())
    assert failure.code in HTTP_STATUS
    failure.message.encode()
