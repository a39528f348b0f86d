"""A sign-in on another device, as values: the code that the person types there, and what each poll came to.

Counterpart: `services.sign_in` asks and waits. Source: RFC 8628 in the dialect of this issuer, where the verifier comes
with the code and "not yet" may be a 400, a 403 or a 404.

Rules that hold here:

1. Only a word of the issuer ends the waiting early. A status without one (403, 404, 429, 5xx), a web page or no answer
   at all means "ask again": between us and the issuer stand proxies and challenges.
2. `slow_down` adds one base interval, up to MAX_PAUSE_S. Each pause is EXTRA_S longer than was asked for.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from msgspec import Struct

from codex_oss.accounts.oauth import Refusal, object_of, refusal_of

DEFAULT_INTERVAL_S: Final = 5.0
MAX_PAUSE_S: Final = 30.0
EXTRA_S: Final = 3.0
USER_CODE: Final = re.compile(r"[A-Za-z0-9-]{1,40}")
OVER: Final = frozenset({"access_denied", "authorization_declined", "expired_token"})
"""Words after which asking again is of no use, whatever the status."""
_NOT_YET: Final = frozenset({0, 403, 404, 429})


class DeviceCode(Struct, frozen=True):
    """What the issuer gave. auth_id: names the sign-in, never shown; interval_s: how often it may be asked after."""

    auth_id: str
    user_code: str
    interval_s: float = DEFAULT_INTERVAL_S


class Granted(Struct, frozen=True):
    """The person agreed. verifier: the PKCE verifier, which here comes from the issuer."""

    code: str
    verifier: str


class Later(Struct, frozen=True):
    """Ask again. interval_s: from now on."""

    interval_s: float

    @property
    def pause_s(self) -> float:
        """How long to wait before the next question."""
        return self.interval_s + EXTRA_S


def device_code_of(status: int, body: bytes) -> DeviceCode | Refusal:
    """Read the answer to the request for a code."""
    raw = object_of(body)
    auth_id, user_code = (raw.get(name) for name in ("device_auth_id", "user_code"))
    if status // 100 != 2:
        return refusal_of(status, body)
    if not (isinstance(auth_id, str) and auth_id and isinstance(user_code, str)):
        return Refusal(status, "no_user_code")
    if not USER_CODE.fullmatch(user_code.strip()):
        return Refusal(status, "no_user_code")
    return DeviceCode(auth_id, user_code.strip(), _interval_s(raw.get("interval")))


def polled(status: int, body: bytes, device: DeviceCode, interval_s: float) -> Granted | Later | Refusal:
    """Read the answer to one poll. interval_s: as it stood before."""
    raw, refusal = object_of(body), refusal_of(status, body)
    if status == 200:
        code, verifier = raw.get("authorization_code"), raw.get("code_verifier")
        if isinstance(code, str) and isinstance(verifier, str) and code and verifier:
            return Granted(code, verifier)
        return Refusal(status, "no_authorization_code") if raw else Later(interval_s)
    if refusal.code in OVER:
        return refusal
    if refusal.code == "slow_down":
        return Later(min(interval_s + device.interval_s, MAX_PAUSE_S))
    if refusal.code == "authorization_pending" or status in _NOT_YET or status >= 500:
        return Later(interval_s)
    return refusal


def _interval_s(value: Any) -> float:
    """Seconds, from the string that the issuer sends, or a number."""
    try:
        told = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        told = 0.0
    return min(max(told, 1.0), MAX_PAUSE_S) if math.isfinite(told) and told else DEFAULT_INTERVAL_S
