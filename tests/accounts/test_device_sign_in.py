"""The device flow as tables: what each answer means, and how long to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.device_sign_in import DeviceCode, Granted, Later, device_code_of, polled
from codex_oss.accounts.oauth import Refusal

DEVICE = DeviceCode("d1", "ABCD-1", 5.0)


def body(**fields: Any) -> bytes:
    """An object as JSON."""
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("status", "data", "told"),
    [
        (200, body(authorization_code="c", code_verifier="v", more=1), Granted("c", "v")),
        (200, body(authorization_code="c"), Refusal(200, "no_authorization_code")),
        (200, b"<html>Just a moment", Later(5.0)),
        (400, body(error="authorization_pending"), Later(5.0)),
        (400, body(error={"code": "authorization_pending", "message": ""}), Later(5.0)),
        (400, body(error="slow_down"), Later(10.0)),
        (400, body(error="bad"), Refusal(400, "bad")),
        (400, b"", Refusal(400)),
        (403, b"<html>", Later(5.0)),
        (403, body(error={"code": "unknown", "message": ""}), Later(5.0)),
        (403, body(error="access_denied"), Refusal(403, "access_denied")),
        (404, body(error={"code": "unknown"}), Later(5.0)),
        (400, body(error="expired_token"), Refusal(400, "expired_token")),
        (429, b"", Later(5.0)),
        (429, body(error="slow_down"), Later(10.0)),
        (503, b"", Later(5.0)),
        (0, b"", Later(5.0)),
        (401, b"", Refusal(401)),
        (302, b"", Refusal(302)),
        (418, b"", Refusal(418)),
    ],
)
def test_polls(status: int, data: bytes, told: Granted | Later | Refusal) -> None:
    """Each row: the answer of the issuer, and what it comes to."""
    assert polled(status, data, DEVICE, 5.0) == told


def test_slowing_down_ends_somewhere() -> None:
    """One base interval each time, thirty seconds at most; three more are added to each pause."""
    interval_s, pauses = 5.0, []
    for _ in range(7):
        told = polled(400, body(error="slow_down"), DEVICE, interval_s)
        assert isinstance(told, Later)
        interval_s = told.interval_s
        pauses.append(told.pause_s)
    assert pauses == [13.0, 18.0, 23.0, 28.0, 33.0, 33.0, 33.0]


@pytest.mark.parametrize(
    ("interval", "interval_s"),
    [("5", 5.0), ("2", 2.0), (7, 7.0), ("0", 5.0), ("0.2", 1.0), (None, 5.0), ("x", 5.0), (True, 5.0), ("nan", 5.0),
     ("inf", 5.0), ("1e9", 30.0), (-3, 1.0)],
)  # fmt: skip
def test_intervals(interval: object, interval_s: float) -> None:
    """A string, a number or nonsense; never below a second."""
    found = device_code_of(200, body(device_auth_id="d", user_code="ABCD-1", interval=interval))
    assert found == DeviceCode("d", "ABCD-1", interval_s)


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (404, b"<html>"),
        (200, b"<html>"),
        (200, body(device_auth_id="d")),
        (200, body(device_auth_id="d", user_code="\x1b[31mABCD")),
        (200, body(device_auth_id="", user_code="ABCD")),
    ],
)
def test_no_code_to_show(status: int, data: bytes) -> None:
    """What is no code, or is not fit for a terminal, is a refusal."""
    assert isinstance(device_code_of(status, data), Refusal)


@given(st.integers(0, 600), st.binary(max_size=40), st.floats(1, 30))
def test_any_answer_is_judged(status: int, data: bytes, interval_s: float) -> None:
    """Nothing raises, and the pause stays within bounds."""
    told = polled(status, data, DEVICE, interval_s)
    assert not isinstance(told, Later) or 1.0 <= told.interval_s <= 30.0
