"""Each row of the failure table, and whatever else a backend may send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.failures import MAX_COOLDOWN_S, MAX_THROTTLED_S, failure_of_answer, failure_of_event

NOW = 1_800_000_000.0
ROWS: list[tuple[int, dict[str, str], Any, str, float | None, bool]] = [
    (401, {}, {"error": {"code": "token_expired"}}, "expired", None, False),
    (401, {}, {"detail": "Unauthorized"}, "expired", None, False),
    (401, {}, b"", "expired", None, False),
    (401, {}, {"error": {"code": "token_revoked"}}, "revoked", None, False),
    (401, {}, {"error": {"code": "token_invalidated"}}, "revoked", None, False),
    (402, {}, {"detail": {"code": "deactivated_workspace"}}, "workspace", None, False),
    (403, {}, {"detail": {"code": "codex_workspace_access_denied"}}, "workspace", None, False),
    (403, {}, b" <html>Just a moment...</html>", "edge", None, False),
    (403, {"cf-mitigated": "challenge"}, b"", "edge", None, False),
    (403, {}, {"detail": "Forbidden"}, "refused", None, False),
    (400, {}, {"error": {"code": "model_not_found"}}, "model", None, False),
    (
        400,
        {},
        {"detail": "The 'x' model is not supported when using Codex with a ChatGPT account."},
        "model",
        None,
        False,
    ),
    (400, {}, {"detail": "Store must be set to false"}, "refused", None, False),
    (429, {}, {"error": {"type": "usage_limit_reached", "resets_at": NOW + 3}}, "used_up", 3, True),
    (429, {}, {"error": {"type": "usage_limit_reached", "resets_in_seconds": 7200}}, "used_up", 7200, True),
    (429, {}, {"error": {"type": "usage_limit_reached", "resets_at": NOW + 1e9}}, "used_up", MAX_COOLDOWN_S, True),
    (429, {}, {"error": {"type": "usage_limit_reached", "resets_at": "soon"}}, "used_up", 300, False),
    (429, {"retry-after": "10"}, {"error": {"type": "usage_limit_reached"}}, "used_up", 60, False),
    (429, {}, {"error": {"type": "workspace_owner_usage_limit_reached"}}, "used_up", 3600, False),
    (429, {"retry-after": "17"}, {"error": {"code": "rate_limit_exceeded"}}, "throttled", 17, False),
    (429, {"retry-after": "1.5"}, b"", "throttled", 5, False),
    (429, {"retry-after": "-3"}, b"", "throttled", 5, False),
    (503, {}, {"error": {"code": "server_is_overloaded"}}, "overloaded", None, False),
    (500, {}, b"<html>", "overloaded", None, False),
    (418, {}, b"[]", "refused", None, False),
]


@pytest.mark.parametrize(("status", "headers", "body", "kind", "for_s", "believed"), ROWS)
def test_each_row(
    status: int, headers: dict[str, str], body: Any, kind: str, for_s: float | None, believed: bool
) -> None:
    """Kind, cooldown, and whether its end was named by the backend."""
    failure = failure_of_answer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode(), NOW)
    until = None if failure.until_s is None else failure.until_s - NOW
    assert (failure.kind, until, failure.believed) == (kind, for_s, believed)


@pytest.mark.parametrize(("status", "headers", "body", "kind", "for_s", "believed"), ROWS)
def test_the_same_code_in_the_stream(
    status: int, headers: dict[str, str], body: Any, kind: str, for_s: float | None, believed: bool
) -> None:
    """A code that names its row does so within a stream, too, in both events."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or headers or kind in ("expired", "model"):
        return
    for event in ({"type": "error", "error": error}, {"type": "response.failed", "response": {"error": error}}):
        failure = failure_of_event(event, NOW)
        assert failure is not None
        until = None if failure.until_s is None else failure.until_s - NOW
        assert (failure.kind, until, failure.believed) == (kind, for_s, believed)
    assert failure_of_event({"type": "codex.rate_limits", "limit_reached": True}, NOW) is None


def test_throttled_again_and_again_cools_longer() -> None:
    """From five seconds on, twice as long each time, up to a bound."""
    pauses = [failure_of_answer(429, {}, b"", NOW, failed_before=n).until_s for n in range(8)]
    assert [pause and pause - NOW for pause in pauses[:3]] == [5, 10, 20]
    assert pauses[-1] == NOW + MAX_THROTTLED_S


FIELDS = ("code", "type", "message", "resets_at", "resets_in_seconds", "error", "response")
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "detail", "code", "type", "message", "resets_at", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "cf-mitigated", "x"]), st.text(max_size=20), max_size=3)


@given(st.integers(100, 599), HEADERS, JSON | st.binary(max_size=40))
def test_nothing_is_raised(status: int, headers: dict[str, str], body: Any) -> None:
    """Any status, headers and body have a row; a cooldown lies ahead and within its bound."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    failure = failure_of_answer(status, headers, data, NOW)
    assert failure.until_s is None or NOW <= failure.until_s <= NOW + MAX_COOLDOWN_S
    event = failure_of_event({"type": "error", "error": body}, NOW)
    assert event is not None


FIELDS = ("code", "type", "message", "resets_at", "resets_in_seconds", "error", "response")
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["error", "response.failed", "response.completed"]),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(FIELDS, JSON),
    ),
)
def test_no_event_breaks_the_reading(kind: str, fields: dict[str, Any]) -> None:
    """Whatever a peer puts into it, half characters included: a failure of a known kind, or none."""
    event = {**fields, "type": kind}
    nested = {"type": kind, "error": fields, "response": {"error": fields}}
    for told in (event, nested):
        failure = failure_of_event(told, 1000.0)
        assert (failure is None) == (kind == "response.completed")
        if failure is not None:
            assert failure.code.isascii()
        if failure is not None and failure.until_s is not None:
            assert 1000.0 <= failure.until_s <= 1000.0 + MAX_COOLDOWN_S
