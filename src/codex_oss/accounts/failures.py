"""What a failing answer of the ChatGPT backend means for the account that asked, row by row.

Counterparts: `lanes.chatgpt` meets it, `accounts.account` keeps what it does to the account.

| answer | kind | what follows |
| --- | --- | --- |
| 401, code unspecified or `token_expired` | expired | read the store again, refresh, once more; then the next account |
| 401 `token_revoked`, `token_invalidated` | revoked | the access token is dead: one refresh, else a login |
| 402 or 403 with a workspace's code | workspace | the account is left alone until a login; the next one |
| 403 as HTML or `cf-mitigated: challenge` | edge | nothing of the account: told as it is |
| 400, the model is not for this account | model | another account whose catalog has it |
| 429 `usage_limit_reached` and the like | used_up | cools until the reset |
| other 429 | throttled | cools as long as told, else longer each time |
| 5xx, `server_is_overloaded`, `slow_down` | overloaded | the same account twice more, then the next |
| any other | refused | told as it is |

Rules that hold here:

1. A reset that the backend names is believed as it is, at most MAX_COOLDOWN_S ahead; the floor is for guesses.
2. An in-stream failure is read by its code alone, with the same outcome as the status that carries this code.
3. The words of the backend go to the client; they decide nothing but the row of the model.
Source: observed behaviour of the backend, gathered in public threads; `tests/accounts/test_failures.py` fixes each row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

Kind = Literal["expired", "revoked", "workspace", "edge", "model", "used_up", "throttled", "overloaded", "refused"]

MAX_COOLDOWN_S: Final = 8 * 24 * 3600
MIN_GUESS_S: Final = 60
USED_UP_GUESS_S: Final = 5 * 60
WORKSPACE_GUESS_S: Final = 3600
THROTTLED_S: Final = 5
MAX_THROTTLED_S: Final = 120
MAX_CODE_CHARS: Final = 80
MAX_BODY_BYTES: Final = 64 * 1024

REVOKED: Final = frozenset({"token_revoked", "token_invalidated", "invalidated"})
WORKSPACE: Final = frozenset({"deactivated_workspace", "invalid_workspace_selected", "codex_workspace_access_denied"})
USED_UP: Final = frozenset({"usage_limit_reached", "usage_not_included", "insufficient_quota"})
OVERLOADED: Final = frozenset({"server_is_overloaded", "slow_down", "server_error", "internal_server_error"})
THROTTLED: Final = frozenset({"rate_limit_exceeded", "too_many_requests"})


class Failure(Struct, frozen=True):
    """What an answer means. status: as it came, or that of its code; until_s: epoch seconds, of a cooldown."""

    kind: Kind
    status: int
    code: str
    message: str
    until_s: float | None = None
    believed: bool = False
    """The backend named the instant; it may be told on."""


def failure_of_answer(
    status: int, headers: Mapping[str, str], body: bytes, now_s: float, *, failed_before: int = 0
) -> Failure:
    """Read an answer that is no 200. headers: names in lower case. failed_before: throttled answers in a row."""
    challenged = "challenge" in headers.get("cf-mitigated", "").lower()
    if status == 403 and (challenged or body.lstrip()[:1] == b"<"):
        return Failure("edge", status, "edge_challenge", "")
    return _failure(status, headers, _error_of(body), now_s, failed_before)


def _failure(
    status: int, headers: Mapping[str, str], error: Mapping[str, Any], now_s: float, failed_before: int
) -> Failure:
    code, message = _code(error), _text(error.get("message"))
    kind = _kind(status, code, message)
    if kind == "used_up":
        until_s, believed = _reset_of(error, headers, now_s)
        return Failure(kind, status, code, message, until_s, believed)
    if kind == "throttled":
        return Failure(kind, status, code, message, now_s + _pause_s(headers, now_s, failed_before))
    return Failure(kind, status, code, message)


def failure_of_event(event: Mapping[str, Any], now_s: float, *, failed_before: int = 0) -> Failure | None:
    """Read an `error` or `response.failed` event; None for any other event."""
    match event.get("type"):
        case "error":
            error = _object(event.get("error")) or event
        case "response.failed":
            error = _object(_object(event.get("response")).get("error"))
        case _:
            return None
    code = _code(error)
    status = _STATUS.get(_kind(0, code, _text(error.get("message"))), 400)
    return _failure(status, {}, error, now_s, failed_before)


_STATUS: Final[dict[Kind, int]] = {
    "revoked": 401,
    "workspace": 403,
    "used_up": 429,
    "throttled": 429,
    "overloaded": 503,
}
"""The status that carries such a code where there is none."""


def _kind(status: int, code: str, message: str) -> Kind:
    if code in WORKSPACE:
        return "workspace"
    if code in REVOKED:
        return "revoked"
    if code in USED_UP or code.startswith("workspace_"):
        return "used_up"
    if code in OVERLOADED or status >= 500:
        return "overloaded"
    if status == 401:
        return "expired"
    if code in THROTTLED or status == 429:
        return "throttled"
    return "model" if status == 400 and _is_of_model(code, message) else "refused"


def _is_of_model(code: str, message: str) -> bool:
    return code in ("model_not_found", "model_not_supported") or "model is not supported when using Codex" in message


def _reset_of(error: Mapping[str, Any], headers: Mapping[str, str], now_s: float) -> tuple[float, bool]:
    """Until when a used-up account cools, and whether that was said."""
    at, after = _number(error.get("resets_at")), _number(error.get("resets_in_seconds"))
    told = at if at is not None else now_s + after if after is not None else None
    if told is not None and told > now_s - MAX_COOLDOWN_S:
        return min(max(told, now_s), now_s + MAX_COOLDOWN_S), True
    guess = _retry_after_s(headers, now_s)
    if guess is None:
        guess = WORKSPACE_GUESS_S if _code(error).startswith("workspace_") else USED_UP_GUESS_S
    return now_s + min(max(guess, MIN_GUESS_S), MAX_COOLDOWN_S), False


def _pause_s(headers: Mapping[str, str], now_s: float, failed_before: int) -> float:
    told = _retry_after_s(headers, now_s)
    if told is not None:
        return min(told, MAX_COOLDOWN_S)
    return float(min(THROTTLED_S * 2 ** min(failed_before, 10), MAX_THROTTLED_S))


def _retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Whole seconds or an HTTP date; None for anything else."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now_s, 0.0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _error_of(body: bytes) -> Mapping[str, Any]:
    """The error object of a body, whichever of its forms: `error`, `detail` as object or text, or the body itself."""
    try:
        raw = msgspec.json.decode(body[:MAX_BODY_BYTES])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    if not isinstance(raw, dict):
        return {}
    for name in ("error", "detail"):
        part = raw.get(name)
        if isinstance(part, dict):
            return part
        if isinstance(part, str):
            return {"message": part}
    return raw


def _code(error: Mapping[str, Any]) -> str:
    """The code; the type where there is none, since `usage_limit_reached` stands there."""
    kind = _word(error.get("type"))
    return kind if kind in USED_UP or kind.startswith("workspace_") else _word(error.get("code")) or kind


def _word(value: object) -> str:
    """A code as it may be kept and logged; empty for anything that is none."""
    text = _text(value)
    return text if len(text) <= MAX_CODE_CHARS and text.isascii() and text.isprintable() else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
