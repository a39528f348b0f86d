"""The words of the sign-in: the authorize address, forms, and what the issuer's answers mean.

Counterparts: `services.issuer` speaks with the issuer, `services.sign_in` leads a person through it.
Source: the sign-in of the official client as observed with Codex 0.169; RFC 6749, 7636, 8628.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

ISSUER: Final = "https://auth.openai.com"
CLIENT_ID: Final = "app_EMoamEEZ73f0CkXaXp7hrann"
"""The public client of the official tool; it has no secret."""
SCOPE: Final = "openid profile email offline_access"
PORTS: Final = (1455, 1457)
"""The only ports that the issuer sends a browser back to."""
CALLBACK_PATH: Final = "/auth/callback"
DEVICE_CALLBACK: Final = "/deviceauth/callback"
DEVICE_PAGE: Final = "/codex/device"
DEVICE_CODE_PATH: Final = "/api/accounts/deviceauth/usercode"
DEVICE_POLL_PATH: Final = "/api/accounts/deviceauth/token"
ORIGINATOR: Final = "codex_oss"
DEFAULT_LIFE_S: Final = 3600

TERMINAL: Final = frozenset(
    {
        "invalid_grant",
        "invalid_refresh_token",
        "refresh_token_expired",
        "refresh_token_reused",
        "refresh_token_invalidated",
        "refresh_token_revoked",
        "token_revoked",
    }
)
"""Codes after which only a new login helps. `invalid_token` is none of them."""
_GONE: Final = ("invalid", "expired", "reused", "revoked")


class Tokens(Struct, frozen=True):
    """What the issuer gave. refresh: empty where it named none. life_s: of the access token."""

    access: str
    refresh: str = ""
    id_token: str = ""
    life_s: float = DEFAULT_LIFE_S


class Refusal(Struct, frozen=True):
    """What the issuer said instead. status: 0 when it said nothing."""

    status: int
    code: str = ""
    message: str = ""

    @property
    def terminal(self) -> bool:
        """Whether only a new login helps."""
        if self.code.lower() in TERMINAL:
            return True
        said = self.message.lower()
        return "invalid_grant" in said or ("refresh token" in said and any(word in said for word in _GONE))

    @property
    def shown(self) -> str:
        """For a person: the code, else the status."""
        return self.code or (f"status {self.status}" if self.status else "no answer")


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier."""
    return unpadded(hashlib.sha256(verifier.encode()).digest())


def unpadded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def authorize_url(issuer: str, redirect_uri: str, verifier: str, state: str) -> str:
    """Where the browser of the person begins."""
    fields = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": redirect_uri,
        "scope": SCOPE,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        "state": state,
        "originator": ORIGINATOR,
    }
    return f"{issuer}/oauth/authorize?{urlencode(fields, quote_via=quote)}"


def exchange_form(code: str, redirect_uri: str, verifier: str) -> dict[str, str]:
    """The form that turns a code into tokens. redirect_uri: the very one that was used."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": CLIENT_ID,
        "code_verifier": verifier,
    }


def refresh_form(refresh: str) -> dict[str, str]:
    """The form that turns a refresh token into new tokens; it is spent with that."""
    return {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": CLIENT_ID}


def tokens_of(status: int, body: bytes) -> Tokens | Refusal:
    """Read an answer of the token endpoint."""
    raw = object_of(body)
    access = raw.get("access_token")
    if status // 100 == 2 and isinstance(access, str) and access:
        return Tokens(
            access, _text(raw.get("refresh_token")), _text(raw.get("id_token")), _life_s(raw.get("expires_in"))
        )
    if status // 100 == 2:
        return Refusal(status, "no_access_token", "The issuer answered without an access token.")
    return refusal_of(status, body)


def refusal_of(status: int, body: bytes) -> Refusal:
    """Read an answer that is no success, in either of the two shapes that the issuer uses."""
    raw = object_of(body)
    error = raw.get("error")
    if isinstance(error, dict):
        return Refusal(status, _text(error.get("code")), _text(error.get("message")))
    return Refusal(status, _text(error), _text(raw.get("error_description")))


def _life_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e10:
        return DEFAULT_LIFE_S
    return float(value)


def object_of(body: bytes) -> Mapping[str, Any]:
    """The JSON object that an answer is; empty for anything else, as for the web page of a challenge."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
