"""Errors as HTTP answers: `{"error": {"message", "type", "code", "param"}}`.

Rules that hold here: the hint is part of the message, because clients show nothing else; an error that is not ours is
`internal` with generic words, and its details go to the log.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Final

import msgspec
from starlette.responses import Response

from codex_oss.errors import BridgeError, RateLimited, RequestError, fault_of, http_status

log = logging.getLogger(__name__)

MAX_RETRY_AFTER_S: Final = 60
"""OpenCode sits silent for as long as `Retry-After` says, so a plan limit of hours is not passed on."""
INTERNAL_MESSAGE: Final = "The bridge failed; its log has the details."
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


def error_response(error: BridgeError) -> Response:
    """The answer for an error met before the first byte went out."""
    status = http_status(error.code, asked_wrongly=isinstance(error, RequestError))
    headers: dict[str, str] = {}
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        headers["Retry-After"] = str(min(math.ceil(error.retry_after_s), MAX_RETRY_AFTER_S))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {
        "message": f"{error.message} {error.hint}".rstrip(),
        "type": TYPE_BY_STATUS.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "code": error.code,
        "param": error.param if isinstance(error, RequestError) else None,
    }
    return json_response({"error": body}, status, headers)


def internal(error: Exception) -> BridgeError:
    """Log an error that nobody expected and return what may be said about it."""
    log.error("unexpected error: %s", fault_of(error))
    return BridgeError(INTERNAL_MESSAGE)
