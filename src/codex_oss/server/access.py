"""Who may speak to the bridge: an ASGI wrapper around the whole application.

A web page in the user's browser must get nothing. Checks, in this order:

1. Origin: any `Origin` that is not in `allowed_origins` is refused, on every route; so is a request that a browser
   marks as cross-site without sending an Origin. No CORS header is ever sent.
2. Host: must name loopback or the configured host, so that a name rebound to 127.0.0.1 is refused.
3. Key: `Authorization: Bearer <local key>` or `x-codex-oss-key: <local key>`, compared in constant time, on every route
   but `/health`.
4. With `GPT_MODEL_STRATEGY=passthrough` a credential of the client's own comes as far as `server.gpt_relay`, which
   judges it, on the addresses that are relayed; a WebSocket with one is sent back to HTTP.

Every answer gets an `x-request-id`, which is also in the log; beside one that a backend gave, it is named
`x-codex-oss-request-id`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codex_oss.config import LOOPBACK_HOSTS, Config
from codex_oss.errors import BridgeError, RequestError, Unauthorized
from codex_oss.policy.outbound import OUR_KEY_HEADER, RELAYED, own_credential, shown_bearer
from codex_oss.server.errors import error_response
from codex_oss.server.turn_notes import Arrival, arrival_of

OPEN_PATHS: Final = ("/health", "/v1/health")
PATHS_OF_TURNS: Final = (("responses", "responses"), ("chat/completions", "chat"))
HEADS: Final = ("http.response.start", "websocket.http.response.start", "websocket.accept")
SURFACES: Final = {f"{base}/{path}": surface for base in ("", "/v1") for path, surface in PATHS_OF_TURNS}
"""Where turns are taken; a request refused there is told to the request log."""
_OUR_KEY: Final = OUR_KEY_HEADER.encode()
WILDCARD_HOSTS: Final = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)


class Access:
    """The wrapper. config: `local_key`, `host`, `allowed_origins` and `gpt_strategy` are used.

    ours: every key of this bridge; none of them is a credential of a client's own. on_refusal: told of refused turns.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: Config,
        ours: frozenset[bytes] = frozenset(),
        on_refusal: Callable[[BridgeError, Arrival], None] = lambda *_: None,
    ) -> None:
        self._app = app
        self._on_refusal = on_refusal
        self._key = config.local_key.encode()
        self._ours = ours | {self._key}
        self._relays = config.gpt_strategy == "passthrough"
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

        async def send_with_id(message: Message) -> None:
            if message["type"] in HEADS:
                headers = list(message.get("headers", ()))
                relayed = any(name.lower() == b"x-request-id" for name, _ in headers)
                name = b"x-codex-oss-request-id" if relayed else b"x-request-id"
                message = {**message, "headers": [*headers, (name, request_id.encode())]}
            await send(message)

        headers = Headers(scope=scope)
        if self._relays:
            scope["state"]["has_local_key"] = self._has_key(headers)
        refusal = self.refusal(headers, scope["path"], scope.get("method", "WEBSOCKET"))
        app = self._app if refusal is None else error_response(refusal)
        if refusal is not None and (surface := _surface(scope)):
            self._on_refusal(refusal, arrival_of(scope, surface))
        await app(scope, receive, send_with_id)

    def refusal(self, headers: Headers, path: str, method: str = "GET") -> RequestError | None:
        """Why a request is refused; None when it may pass. method: `WEBSOCKET` for an upgrade."""
        told: dict[bytes, list[str]] = {b"origin": [], b"sec-fetch-site": [], b"host": []}
        for name, value in headers.raw:
            if name in told:
                told[name].append(value.decode("latin-1"))
        origins, hosts = told[b"origin"], told[b"host"]
        if any(origin not in self._origins for origin in origins):
            return RequestError(
                "Requests from web pages are refused.",
                hint="Add the origin to allowed_origins to trust it.",
                code="forbidden_origin",
            )
        if not origins and (told[b"sec-fetch-site"] or ["none"])[0] not in ("none", "same-origin"):
            return RequestError("Requests from web pages are refused.", code="forbidden_origin")
        if not self._any_host and (len(hosts) != 1 or host_name(hosts[0]) not in self._hosts):
            return RequestError(
                "The Host header does not name this bridge.",
                hint="Use http://127.0.0.1:<port>/v1 as the address.",
                code="forbidden_host",
            )
        own = own_credential(headers.raw, self._ours) if self._relays else None
        if own is not None and method == "WEBSOCKET":
            return RequestError("With a credential of its own a client speaks HTTP here.", code="upgrade_refused")
        if path in OPEN_PATHS or self._has_key(headers) or (own is not None and (method, path) in RELAYED):
            return None
        return Unauthorized(
            "The local key is missing or wrong.",
            hint="Send the bridge's PROXY_API_KEY (not the upstream key) as `Authorization: Bearer`.",
        )

    def _has_key(self, headers: Headers) -> bool:
        shown = [value.strip() for name, value in headers.raw if name == _OUR_KEY]
        shown = shown if len(shown) == 1 else []
        return any([hmac.compare_digest(key, self._key) for key in (*shown, shown_bearer(headers.raw))])  # noqa: C419


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
