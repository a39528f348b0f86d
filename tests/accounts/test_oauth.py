"""The words that go to the issuer, exactly, and those that come back."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.oauth import (
    CLIENT_ID,
    Refusal,
    Tokens,
    authorize_url,
    challenge_of,
    exchange_form,
    refresh_form,
    tokens_of,
)


def test_the_authorize_address() -> None:
    """Every parameter, in this order, blanks as %20."""
    url = authorize_url("https://auth.openai.com", "http://localhost:1455/auth/callback", "v" * 86, "s t")
    assert url == (
        "https://auth.openai.com/oauth/authorize?response_type=code&client_id=app_EMoamEEZ73f0CkXaXp7hrann"
        "&redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback&scope=openid%20profile%20email%20offline_access"
        f"&code_challenge={challenge_of('v' * 86)}&code_challenge_method=S256&id_token_add_organizations=true"
        "&codex_cli_simplified_flow=true&state=s%20t&originator=codex_oss"
    )


@given(st.text("abcXYZ019-._~", min_size=43, max_size=128))
def test_the_challenge(verifier: str) -> None:
    """base64url of the SHA-256, without padding. Source: RFC 7636, 4.2."""
    challenge = challenge_of(verifier)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge)
    assert base64.urlsafe_b64decode(challenge + "=") == hashlib.sha256(verifier.encode()).digest()


def test_forms() -> None:
    """What is posted, and nothing beside it."""
    assert exchange_form("c", "http://r", "v") == {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": "http://r",
        "client_id": CLIENT_ID,
        "code_verifier": "v",
    }
    assert refresh_form("r") == {"grant_type": "refresh_token", "refresh_token": "r", "client_id": CLIENT_ID}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (
            200,
            {"access_token": "a", "refresh_token": "r", "id_token": "i", "expires_in": 5},
            Tokens("a", "r", "i", 5.0),
        ),
        (200, {"access_token": "a"}, Tokens("a", "", "", 3600.0)),
        (200, {"access_token": "a", "expires_in": -1, "refresh_token": 7}, Tokens("a", "", "", 3600.0)),
        (400, {"error": "invalid_grant", "error_description": "old"}, Refusal(400, "invalid_grant", "old")),
        (401, {"error": {"code": "refresh_token_reused", "message": "m"}}, Refusal(401, "refresh_token_reused", "m")),
        (500, {"error": 7}, Refusal(500)),
        (403, None, Refusal(403)),
    ],
)
def test_answers(status: int, body: dict[str, object] | None, told: Tokens | Refusal) -> None:
    """Both shapes of an error, and a success with what may be missing."""
    assert tokens_of(status, b"<html>" if body is None else json.dumps(body).encode()) == told


@pytest.mark.parametrize(
    ("refusal", "terminal"),
    [
        (Refusal(400, "invalid_grant"), True),
        (Refusal(401, "Refresh_Token_Reused"), True),
        (Refusal(401, "x", "Your refresh token was revoked"), True),
        (Refusal(401, "invalid_token"), False),
        (Refusal(401, "", "the access token expired"), False),
        (Refusal(500), False),
        (Refusal(0), False),
    ],
)
def test_what_only_a_login_mends(refusal: Refusal, terminal: bool) -> None:
    """By code, whatever its case, or by message; `invalid_token` alone is none."""
    assert refusal.terminal is terminal
