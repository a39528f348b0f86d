"""Errors as HTTP answers: `{"error": {"message", "type", "code", "param"}}`.

Rules that hold here:

1. The hint is part of the message, because clients show nothing else.
2. An error that is not ours is `internal` with generic words, and its details go to the log.
3. A used-up plan is told to each client so that it stops with a sentence. Observed: Codex 0.169 wants a 429 of type
   `usage_limit_reached` and shows the time of `resets_at`; OpenCode 1.18 repeats any 429, but no 400 whose words are
   final (`policy.final_words`).
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any, Final, Literal

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from codex_oss.errors import (
    BridgeError,
    CircuitOpen,
    NoAccountReady,
    QuotaExhausted,
    RateLimited,
    RequestError,
    fault_of,
    http_status,
)
from codex_oss.policy.final_words import final_words

log = logging.getLogger(__name__)

Client = Literal["codex", "opencode", "other"]

MAX_RETRY_AFTER_S: Final = 60
"""OpenCode sits silent for as long as `Retry-After` says, so a plan limit of hours is not passed on."""
INTERNAL_MESSAGE: Final = "The bridge failed; its log has the details."
USED_UP: Final = "usage_limit_reached"
TYPE_BY_STATUS: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found",
    429: "rate_limit_error",
}
"""`error.type`; otherwise 4xx is `invalid_request_error` and 5xx `server_error`."""


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def client_of(scope: Scope) -> Client:
    """Which program asks, by its `User-Agent`."""
    if "headers" not in scope:
        return "codex"  # a turn on a WebSocket; OpenCode has none
    agent = Headers(scope=scope).get("user-agent", "").lower()
    return "opencode" if agent.startswith("opencode/") else "codex" if agent.startswith("codex") else "other"


def error_response(error: BridgeError, *, client: Client = "other") -> Response:
    """The answer for an error met before the first byte went out. client: who asked, for what clients differ in."""
    status = http_status(error.code, asked_wrongly=isinstance(error, RequestError))
    if isinstance(error, QuotaExhausted):
        return _final_response(error, 400) if client == "opencode" else _quota_response(error, status, client)
    if isinstance(error, NoAccountReady) and error.code == USED_UP:
        return _final_response(error, 400) if client == "opencode" else _used_up_response(error, status, client)
    if isinstance(error, CircuitOpen) and client != "other":
        status = 400  # both would repeat a 503, and show less
    if client == "opencode" and status < 500 and status != 429 and error.code != "context_length_exceeded":
        return _final_response(error, status)
    headers: dict[str, str] = {}
    if isinstance(error, RateLimited | CircuitOpen) and error.retry_after_s is not None:
        headers["Retry-After"] = str(min(math.ceil(error.retry_after_s), MAX_RETRY_AFTER_S))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 408:
        headers["Connection"] = "close"  # what is still to come of the body must not be read as a request
    return json_response({"error": _error_object(error, _kind(status))}, status, headers)


def _final_response(error: BridgeError, status: int) -> Response:
    body = _error_object(error, _kind(status))
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return json_response({"error": body | {"message": final_words(body["message"])}}, status, headers)


def _kind(status: int) -> str:
    return TYPE_BY_STATUS.get(status, "invalid_request_error" if status < 500 else "server_error")


def _quota_response(error: QuotaExhausted, status: int, client: Client) -> Response:
    """The time of its end in the body; nobody is to wait for hours with a request in the hand."""
    body = _error_object(error, "usage_limit_reached" if client == "codex" else _kind(status))
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        seconds = math.ceil(error.retry_after_s)
        body |= {"resets_in_seconds": seconds, "resets_at": int(time.time()) + seconds}
        if client == "other":
            headers["Retry-After"] = str(min(seconds, MAX_RETRY_AFTER_S))
    if client == "other":
        headers["x-should-retry"] = "false"  # the official SDKs go by it; they would wait a minute, twice, for nothing
    return json_response({"error": body}, status, headers)


def _used_up_response(error: NoAccountReady, status: int, client: Client) -> Response:
    """Every account is used up: type and code that Codex goes by, with the reset only where the backend named it."""
    body = _error_object(error, USED_UP)
    if error.resets_at is not None:
        body |= {
            "resets_at": math.ceil(error.resets_at),
            "resets_in_seconds": max(math.ceil(error.resets_at - time.time()), 0),
        }
    headers = {"x-should-retry": "false"} if client == "other" else None
    return json_response({"error": body}, status, headers)


def _error_object(error: BridgeError, kind: str) -> dict[str, Any]:
    sentence = error.message if error.message[-1:] in ".!?…" or not error.hint else f"{error.message}."
    return {
        "message": f"{sentence} {error.hint}".rstrip(),
        "type": kind,
        "code": error.code,
        "param": error.param if isinstance(error, RequestError) else None,
    }


def internal(error: Exception) -> BridgeError:
    """Log an error that nobody expected and return what may be said about it."""
    log.error("unexpected error: %s", fault_of(error))
    return BridgeError(INTERNAL_MESSAGE)
