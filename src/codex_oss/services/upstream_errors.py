"""What an upstream's refusal means: HTTP status, headers and the begin of a body become one of our errors.

Counterpart: `services.upstream` meets the refusal. Rules that hold here:

1. 401 and 403 name the *variable* of the upstream key, so that nobody takes them for the local key.
2. Of an upstream body at most one short, printable line is quoted, with everything key-like taken out
   (`wire.chat_errors` reads it, as it reads errors inside a stream).
3. A rate limit for longer than `LONG_LIMIT_S`, and a spent quota, is `quota_exhausted`: nobody waits that out.
Source: responses-protocol "Error map"; `tests/services/test_upstream_errors.py` has the table.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from typing import Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import (
    ContextWindowExceeded,
    QuotaExhausted,
    RateLimited,
    Unavailable,
    UpstreamError,
    UpstreamRefused,
)
from codex_oss.wire.chat_errors import decode_chat_error
from codex_oss.wire.events import TurnFailed

MAX_RETRY_AFTER_S: Final = 31 * 86_400.0
LONG_LIMIT_S: Final = 60.0
RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 500, 502, 503, 504, 529})


def error_for_status(
    status: int, body: bytes, *, profile: ModelProfile, place: str, retry_after: str = "", secret: str = ""
) -> UpstreamError:
    """The error for any status but 200.

    body: the begin of the answer. place: `host:port`. secret: the key that was sent, never quoted.
    """
    said = _reported(body, secret)
    quote = f" {said.message}" if said else ""
    code = said.code if said else ""
    if status in (401, 403):
        return _unauthorised(status, profile, place)
    if status == 413 or (status in (400, 422, 500) and code == "context_length_exceeded"):
        return ContextWindowExceeded(f"The conversation is too long for {profile.model!r}.{quote}")
    if status == 404:
        return UpstreamRefused(
            f"The upstream at {place} does not know model {profile.model!r} (HTTP 404).{quote}",
            hint=f"Check `model` and `base_url` of profile {profile.name!r}; base_url usually ends in /v1.",
            code="model_not_found",
        )
    if status in (402, 429):
        return _limited(status, code, quote, profile, place, parse_retry_after(retry_after))
    if status in RETRYABLE_STATUS or status >= 500:
        return Unavailable(f"The upstream at {place} failed (HTTP {status}).{quote}")
    if 300 <= status < 400:
        return UpstreamRefused(
            f"The upstream at {place} answered with a redirect (HTTP {status}), which is never followed.",
            hint=f"Set base_url of profile {profile.name!r} to the final address.",
        )
    return UpstreamRefused(f"The upstream at {place} refused the request (HTTP {status}).{quote}")


def parse_retry_after(value: str, *, now: float | None = None) -> float | None:
    """Seconds of a `Retry-After` header, as number or HTTP date, from 0 to MAX_RETRY_AFTER_S; None without one."""
    text = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _reported(body: bytes, secret: str) -> TurnFailed | None:
    """What the upstream says went wrong, short and on one line; None for an empty body."""
    if secret:
        body = body.replace(secret.encode(), b"[key]")
    text = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"<":
        return TurnFailed("upstream_error", "It answered with an HTML page.")
    if not text:
        return None
    said = decode_chat_error(text)
    # A message may end on a terminal: nothing that steers one passes.
    return TurnFailed(said.code, "".join(char if char.isprintable() else " " for char in said.message))


def _limited(
    status: int, code: str, quote: str, profile: ModelProfile, place: str, wait_s: float | None
) -> RateLimited:
    if status == 429 and code != "quota_exhausted" and (wait_s or 0.0) <= LONG_LIMIT_S:
        message = f"The upstream at {place} limits the rate of {profile.model!r}.{quote}"
        return RateLimited(message, retry_after_s=wait_s)
    when = "" if wait_s is None else f" It takes requests again in {_spoken(wait_s)}."
    return QuotaExhausted(
        f"The plan or quota for {profile.model!r} at {place} is used up (HTTP {status}).{when}{quote}",
        hint="Wait, choose another model, or look at your plan there.",
        retry_after_s=wait_s,
    )


def _spoken(seconds: float) -> str:
    """A time for a person: `45 s`, `12 min`, `3 h 20 min`."""
    minutes = math.ceil(seconds / 60)
    if seconds < 120:
        return f"{math.ceil(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _unauthorised(status: int, profile: ModelProfile, place: str) -> UpstreamRefused:
    if profile.key_env:
        message = f"The upstream at {place} refused the key in {profile.key_env} (HTTP {status})."
        hint = f"Set a valid key in {profile.key_env} and start the bridge again."
    else:
        message = f"The upstream at {place} wants a key (HTTP {status}), but profile {profile.name!r} has none."
        hint = "Set `key_env` of the profile to the name of the variable that holds the key."
    return UpstreamRefused(message, hint=hint, code="upstream_unauthorized")
