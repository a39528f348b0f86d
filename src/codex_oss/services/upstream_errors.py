"""What an upstream's refusal means: HTTP status, headers and the begin of a body become one of our errors.

Counterpart: `services.upstream` meets the refusal. Rules that hold here:

1. 401 and 403 name the *variable* of the upstream key, so that nobody takes them for the local key.
2. Of an upstream body at most one short, printable line is quoted, with everything key-like taken out.
3. A longer `Retry-After` than `MAX_RETRY_AFTER_S` is cut: OpenCode would sit silent for as long as it says.
Source: responses-protocol "Error map"; `tests/services/test_upstream_errors.py` has the table.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import ContextWindowExceeded, RateLimited, Unavailable, UpstreamError, UpstreamRefused

MAX_EXCERPT_CHARS: Final = 200
MAX_RETRY_AFTER_S: Final = 3600.0
RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 500, 502, 503, 504, 529})
CONTEXT_WORDS: Final = re.compile(
    r"context_length_exceeded|context (?:length|window|size)|maximum context|prompt is too long|too many tokens"
    r"|exceed_context_size",
    re.IGNORECASE,
)
QUOTA_WORDS: Final = re.compile(r"insufficient_quota|usage_limit_reached|billing", re.IGNORECASE)
KEY_LIKE: Final = re.compile(r"(?i)\bbearer\s+\S+|\b(?:sk|pk|key|tok|rt)[-_][A-Za-z0-9_*.-]{4,}|[A-Za-z0-9_+/=-]{40,}")


def error_for_status(
    status: int, body: bytes, *, profile: ModelProfile, place: str, retry_after: str = "", secret: str = ""
) -> UpstreamError:
    """The error for any status but 200.

    body: the begin of the answer. place: `host:port`. secret: the key that was sent, never quoted.
    """
    said = render_excerpt(body, secret)
    quote = f" It said: {said}" if said else ""
    if status in (401, 403):
        return _unauthorised(status, profile, place)
    if status == 413 or (status in (400, 422, 500) and CONTEXT_WORDS.search(said)):
        return ContextWindowExceeded(f"The conversation is too long for {profile.model!r}.{quote}")
    if status == 404:
        return UpstreamRefused(
            f"The upstream at {place} does not know model {profile.model!r} (HTTP 404).{quote}",
            hint=f"Check `model` and `base_url` of profile {profile.name!r}; base_url usually ends in /v1.",
            code="model_not_found",
        )
    if status == 429:
        limited = RateLimited(
            f"The upstream at {place} limits the rate of {profile.model!r}.{quote}",
            retry_after_s=parse_retry_after(retry_after),
        )
        limited.retryable = not QUOTA_WORDS.search(said)
        return limited
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


def render_excerpt(body: bytes, secret: str = "") -> str:
    """One short printable line of an upstream's error body; its `error.message` if it is JSON."""
    text = body.decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        return "an HTML page"
    found = _message_of(text)
    if secret:
        found = found.replace(secret, "[key]")
    printable = "".join(char if char.isprintable() else " " for char in found)
    line = KEY_LIKE.sub("[key]", " ".join(printable.split()))
    return line if len(line) <= MAX_EXCERPT_CHARS else line[: MAX_EXCERPT_CHARS - 1] + "…"


def _message_of(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(value, dict):
        return text
    error = value.get("error", value)
    if isinstance(error, dict):
        parts = [error.get(key) for key in ("code", "message", "detail")]
        return ": ".join(part for part in parts if isinstance(part, str) and part) or text
    return error if isinstance(error, str) else text


def _unauthorised(status: int, profile: ModelProfile, place: str) -> UpstreamRefused:
    if profile.key_env:
        message = f"The upstream at {place} refused the key in {profile.key_env} (HTTP {status})."
        hint = f"Set a valid key in {profile.key_env} and start the bridge again."
    else:
        message = f"The upstream at {place} wants a key (HTTP {status}), but profile {profile.name!r} has none."
        hint = "Set `key_env` of the profile to the name of the variable that holds the key."
    return UpstreamRefused(message, hint=hint, code="upstream_unauthorized")
