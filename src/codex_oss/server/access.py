"""Who may speak to the bridge: an ASGI wrapper around the whole application.

A web page in the user's browser must get nothing. Checks, in this order:

1. Origin: any `Origin` that is not in `allowed_origins` is refused, on every route; so is a request that a browser
   marks as cross-site without sending an Origin. No CORS header is ever sent.
2. Host: must name loopback or the configured host, so that a name rebound to 127.0.0.1 is refused.
3. Key: `Authorization: Bearer <local key>`, compared in constant time, on every route but `/health`.

Every answer gets an `x-request-id`, which is also in the log.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codex_oss.config import LOOPBACK_HOSTS, Config
from codex_oss.errors import BridgeError, RequestError, Unauthorized
from codex_oss.server.errors import error_response
from codex_oss.server.turn_notes import Arrival, arrival_of

OPEN_PATHS: Final = ("/health", "/v1/health")
PATHS_OF_TURNS: Final = (("responses", "responses"), ("chat/completions", "chat"))
HEADS: Final = ("http.response.start", "websocket.http.response.start", "websocket.accept")
SURFACES: Final = {f"{base}/{path}": surface for base in ("", "/v1") for path, surface in PATHS_OF_TURNS}
"""Where turns are taken; a request refused there is told to the request log."""
WILDCARD_HOSTS: Final = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)


class Access:
    """The wrapper. config: `local_key`, `host` and `allowed_origins` are used. on_refusal: told of refused turns."""

    def __init__(
        self, app: ASGIApp, config: Config, on_refusal: Callable[[BridgeError, Arrival], None] = lambda *_: None
    ) -> None:
        self._app = app
        self._on_refusal = on_refusal
        self._key = config.local_key.encode()
        self._hosts = {*LOOPBACK_HOSTS, config.host.lower()}
        self._any_host = config.host in WILDCARD_HOSTS
        self._origins = frozenset(config.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on, answer any other."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        header = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] in HEADS:
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        refusal = self.refusal(Headers(scope=scope), scope["path"])
        app = self._app if refusal is None else error_response(refusal)
        if refusal is not None and (surface := _surface(scope)):
            self._on_refusal(refusal, arrival_of(HTTPConnection(scope), surface))
        await app(scope, receive, send_with_id)

    def refusal(self, headers: Headers, path: str) -> RequestError | None:
        """Why a request is refused; None when it may pass."""
        origins = headers.getlist("origin")
        if any(origin not in self._origins for origin in origins):
            return RequestError(
                "Requests from web pages are refused.",
                hint="Add the origin to allowed_origins to trust it.",
                code="forbidden_origin",
            )
        if not origins and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return RequestError("Requests from web pages are refused.", code="forbidden_origin")
        hosts = headers.getlist("host")
        if not self._any_host and (len(hosts) != 1 or host_name(hosts[0]) not in self._hosts):
            return RequestError(
                "The Host header does not name this bridge.",
                hint="Use http://127.0.0.1:<port>/v1 as the address.",
                code="forbidden_host",
            )
        if path not in OPEN_PATHS and not self._has_key(headers):
            return Unauthorized(
                "The local key is missing or wrong.",
                hint="Send the bridge's PROXY_API_KEY (not the upstream key) as `Authorization: Bearer`.",
            )
        return None

    def _has_key(self, headers: Headers) -> bool:
        values = headers.getlist("authorization")
        if len(values) != 1:
            return False
        scheme, _, token = values[0].partition(" ")
        presented = token.strip().encode("latin-1", "replace")
        return scheme.lower() == "bearer" and hmac.compare_digest(presented, self._key)


def _surface(scope: Scope) -> str:
    """The way in of a turn; empty for a request that asks for none."""
    surface = SURFACES.get(scope["path"], "")
    if scope["type"] == "websocket":
        return "websocket" if surface else ""
    return surface if scope["method"] == "POST" else ""


def host_name(host: str) -> str:
    """The name of a Host header, lower case, without port and brackets; empty for nonsense."""
    text = host.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        return name if bracket and (not rest or _is_port(rest)) else ""
    name, colon, _ = text.partition(":")
    return name if not colon or _is_port(text[len(name) :]) else ""


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isdigit() and text[1:].isascii()
