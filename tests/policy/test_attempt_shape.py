"""The shape of an attempt: whatever was said, nothing of it is kept, and the shape has a bound."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.attempt_shape import KNOWN_FIELDS, shape_of_body, shape_of_headers, shape_of_request

MARK = "Canary"
"""In every text that a client chose; no word of ours has it."""
TEXTS = st.text().map(lambda text: MARK + text)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(KNOWN_FIELDS)) | TEXTS, VALUES))
def test_no_text_of_a_client_is_in_a_shape(body: dict[str, Any]) -> None:
    """Neither as a value nor as a key, at any depth."""
    assert MARK not in json.dumps(shape_of_body(json.dumps(body).encode()))


@given(st.dictionaries(st.text("abcdefghij-", min_size=1).map(str), TEXTS))
def test_no_unlisted_header_shows_its_value(headers: dict[str, str]) -> None:
    """Only its length."""
    assert MARK not in json.dumps(shape_of_headers(headers))


@given(st.binary() | st.sampled_from([b"[]", b"null", b"[" * 100_000, b'{"input": {"a": 1}}', b'{"input": [1, null]}']))
def test_any_bytes_have_a_shape(body: bytes) -> None:
    """What is no request has an empty one."""
    assert isinstance(shape_of_body(body), dict)


def test_a_request_can_be_understood_by_its_shape() -> None:
    """The path, the credential's scheme, fields, items with their kinds and sizes, tools by kind."""
    body = {
        "model": "gpt-5.1-codex",
        "store": False,
        "instructions": "x" * 10,
        "reasoning": {"effort": "high", "summary": "auto", "other": "secret"},
        "input": [{"role": "user", "content": "hello"}, {"type": "function_call", "name": "n", "arguments": "{}"}],
        "tools": [{"type": "function", "name": "a"}, {"type": "function", "name": "b"}, {"type": "mine"}],
        "metadata": {},
    }
    headers = {"Authorization": "Bearer abcdef", "User-Agent": "codex-oss/1", "session-id": "abc"}
    shape = shape_of_request("https://h/backend-api/codex/responses?x=secret", headers, json.dumps(body).encode())
    assert shape["path"] == "/backend-api/codex/responses"
    assert shape["headers"] == {
        "authorization": "Bearer [6 characters]",
        "user-agent": "codex-oss/1",
        "session-id": "[3 characters]",
    }
    assert shape["body"]["model"] == "gpt-5.1-codex"
    assert shape["body"]["reasoning"] == {"effort": "high", "summary": "auto"}
    assert [(item["type"], item.get("role")) for item in shape["body"]["input"]["last"]] == [
        ("message", "user"),
        ("function_call", None),
    ]
    assert shape["body"]["tools"] == {"count": 3, "types": {"function": 2, "other": 1}}
    assert shape["body"]["unknown_fields"] == 1


def test_limits_are_shown_where_they_are_numbers() -> None:
    """A header of the family with words in it is not."""
    told = shape_of_headers({"x-codex-primary-used-percent": "12.5", "x-codex-plan": "somebody", "x-codex-ok": "True"})
    assert list(told.values()) == ["12.5", "[8 characters]", "True"]


def test_a_long_conversation_has_a_short_shape() -> None:
    """The last items stand for all."""
    body = json.dumps({"input": [{"role": "user", "content": "x"}] * 100_000}).encode()
    assert len(json.dumps(shape_of_body(body))) < 40_000
