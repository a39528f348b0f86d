"""GPT traffic of the strategy `passthrough`: an ASGI layer that takes what a backend answers, and lets the rest by.

    Access ─► GptRelay ─┬─ a gpt name, a credential of the client's own ─► RelayedTurn ─► its backend
                        ├─ any other name, local key or vouched credential ─► the application, as ever
                        └─ any other name, anybody else ─► 401

Counterparts: `server.access` lets a stranger come this far and no further, on the addresses that
`policy.outbound.RELAYED` lists; `services.vouched_credentials` remembers whom a backend accepted.

Rules that hold here:

1. A client's credential goes to its own backend and nowhere else; no key of ours goes to a backend.
2. Only a turn that a backend answered with a 2xx vouches for a credential; a 401 takes the trust away.
3. Of a relayed body only the model's name is read. What is not relayed reaches the application byte for byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codex_oss.errors import BridgeError, Unauthorized, UpstreamError, UpstreamProtocolError
from codex_oss.policy.outbound import (
    RELAYED,
    Backends,
    Credential,
    Endpoint,
    Headers,
    answer_headers,
    own_credential,
    request_headers,
)
from codex_oss.server.errors import error_response, internal, json_response
from codex_oss.server.open_turns import OpenTurns
from codex_oss.server.relayed_turn import RelayedTurn
from codex_oss.server.request_body import plain_body, receive_body
from codex_oss.server.turn_desk import Surface, TurnDesk
from codex_oss.server.turn_notes import arrival_of
from codex_oss.services.relay import RelayedAnswer
from codex_oss.services.vouched_credentials import VouchedCredentials
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.merged_models import combined_tag, merge_models, their_tag
from codex_oss.wire.model_name import peek_model
from codex_oss.wire.responses_request import identity_fields

log = logging.getLogger(__name__)

MODELS_WAIT_S: Final = 4.0
"""For a backend's list of models; Codex 0.169 itself gives up after 5 s."""
MAX_MODELS_BYTES: Final = 8 * 1024 * 1024
MODELS_TAG: Final = b"x-models-etag"
CONDITIONS: Final = (b"accept-encoding", b"if-none-match")
SURFACES: Final[dict[Endpoint, Surface]] = {"chat/completions": "chat"}
OwnModels = Callable[[], dict[str, Any]]
"""Our answer to `GET /v1/models`."""


class GptRelay:
    """The layer. app: everything that is not relayed. ours: every key of this bridge, never to be relayed."""

    def __init__(
        self, app: ASGIApp, desk: TurnDesk, turns: OpenTurns, own_models: OwnModels, ours: frozenset[bytes]
    ) -> None:
        self._app = app
        self._desk = desk
        self._bridge = desk.bridge
        self._turns = turns
        self._own_models = own_models
        self._ours = ours
        config = self._bridge.config
        self._backends = Backends(**_given(openai=config.openai_base_url, chatgpt=config.chatgpt_base_url))
        self._vouched = VouchedCredentials()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it by."""
        endpoint = RELAYED.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        credential = own_credential(scope["headers"], self._ours)
        answer: ASGIApp
        try:
            if endpoint != "models":
                answer, receive = await self._turn(scope, receive, endpoint, credential)
            elif credential is not None:
                answer = await self._models(scope, credential)
            else:
                answer = self._app
        except BridgeError as exc:
            self._desk.refused(exc, arrival_of(scope, SURFACES.get(endpoint, "responses")))
            answer = error_response(internal(exc) if exc.code == "internal" else exc)
        await answer(scope, receive, send)

    async def _turn(
        self, scope: Scope, receive: Receive, endpoint: Endpoint, credential: Credential | None
    ) -> tuple[ASGIApp, Receive]:
        """Who answers a turn, and what they receive."""
        http = Request(scope, receive)
        max_bytes = self._bridge.config.max_body_bytes
        body = await receive_body(http, max_bytes, self._bridge.config.body_idle_timeout_s)
        model = peek_model(plain_body(http, body, max_bytes))
        if credential is not None and self._bridge.relays(model):
            return self._relayed(scope, endpoint, credential, model, body), receive
        if scope["state"]["has_local_key"] or (credential is not None and credential in self._vouched):
            return self._app, _replayed(body, receive)
        raise Unauthorized(
            "This credential opens only GPT models here: no backend has accepted it through this bridge yet.",
            hint="Complete a GPT turn with it first, or send the bridge's PROXY_API_KEY in the header x-codex-oss-key.",
            code="credential_not_vouched",
        )

    def _relayed(
        self, scope: Scope, endpoint: Endpoint, credential: Credential, model: str, body: bytes
    ) -> RelayedTurn:
        url = self._backends.url(credential, endpoint, scope["query_string"])
        headers = request_headers(scope["headers"])
        named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        request = TurnRequest(
            f"resp_{secrets.token_hex(16)}",
            model,
            (),
            int(time.time()),
            store=False,
            **identity_fields(named),
        )
        surface = SURFACES.get(endpoint, "responses")
        accepted = self._desk.accept_relayed(scope["state"]["request_id"], surface, request, bytes_in=len(body))

        def open_answer() -> AbstractAsyncContextManager[RelayedAnswer]:
            return self._bridge.relay.open("POST", url, headers, body)

        def on_head(answer: RelayedAnswer) -> Headers:
            if 200 <= answer.status < 300:
                self._vouched.accept(credential)
            elif answer.status == 401:
                self._vouched.refuse(credential)
            return [(name, self._translated(name, value)) for name, value in answer_headers(answer.headers)]

        limit = self._bridge.config.model_concurrency.get(model, self._bridge.config.max_upstream_concurrency)
        return RelayedTurn(
            accepted,
            self._turns,
            self._desk.ended,
            slot=self._bridge.gate.slot(model, limit),
            open_answer=open_answer,
            on_head=on_head,
        )

    def _translated(self, name: bytes, value: bytes) -> bytes:
        """The one value that is not relayed as it is: Codex compares it with the tag of the merged list."""
        if name.lower() != MODELS_TAG:
            return value
        return combined_tag(value.decode("latin-1"), self._digest).encode("latin-1")

    @cached_property
    def _digest(self) -> str:
        """Of our list of models, which is the same as long as the process lives."""
        return hashlib.sha256(msgspec.json.encode(self._own_models()["models"])).hexdigest()[:32]

    async def _models(self, scope: Scope, credential: Credential) -> ASGIApp:
        """The backend's list and ours as one; ours alone when the backend fails."""
        digest = self._digest
        asked = Request(scope).headers.get("if-none-match", "")
        headers = [pair for pair in request_headers(scope["headers"]) if pair[0].lower() not in CONDITIONS]
        if (known := their_tag(asked, digest)) is not None:
            headers.append((b"if-none-match", known.encode("latin-1")))
        headers.append((b"accept-encoding", b"identity"))
        url = self._backends.url(credential, "models", scope["query_string"])
        try:
            async with asyncio.timeout(MODELS_WAIT_S), self._bridge.relay.open("GET", url, headers, None) as answer:
                body = await _bounded(answer)
        except (UpstreamError, TimeoutError) as exc:
            log.info("the backend gave no list of models: %s", getattr(exc, "code", "timeout"))
            return self._app
        if answer.status in (401, 403):  # the client can mend that: Codex refreshes its token
            return Response(body, answer.status, _pairs(answer))
        tag = combined_tag(_header(answer, b"etag"), digest)
        if answer.status == 304 and known is not None:
            return Response(status_code=304, headers={"ETag": asked})
        theirs = _object(body) if answer.status == 200 else None
        if theirs is None:
            log.info("the backend gave no list of models: HTTP %d", answer.status)
            return self._app
        return json_response(
            merge_models(theirs, self._own_models()), headers={"ETag": tag} if _header(answer, b"etag") else None
        )


def _given(**bases: str | None) -> dict[str, str]:
    return {name: base for name, base in bases.items() if base is not None}


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body that was received already, then whatever still comes."""
    left = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return replay


async def _bounded(answer: RelayedAnswer) -> bytes:
    body = bytearray()
    async for chunk in answer.chunks():
        body += chunk
        if len(body) > MAX_MODELS_BYTES:
            raise UpstreamProtocolError("The backend's list of models is too long.")
    return bytes(body)


def _header(answer: RelayedAnswer, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in answer.headers if key.lower() == name), "")


def _pairs(answer: RelayedAnswer) -> dict[str, str]:
    pairs = answer_headers(answer.headers)
    return {
        name.decode("latin-1"): value.decode("latin-1") for name, value in pairs if name.lower() != b"content-length"
    }


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
