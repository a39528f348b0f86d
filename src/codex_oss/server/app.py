"""The HTTP application: routes, health.

| route | answer |
| --- | --- |
| `POST /v1/responses`, `/responses` | a turn, as SSE or as one JSON object; or begun in the background |
| `POST /v1/responses/compact` | a conversation as one sealed summary; see `server.compaction` |
| `POST /v1/responses/input_tokens` | an estimate of what a turn would send |
| `POST /v1/chat/completions`, `/chat/completions` | the same for chat clients; see `server.chat_completions` |
| `GET /v1/responses` with `Upgrade: websocket` | turns over WebSocket; see `server.turn_socket` |
| `GET /v1/responses/{id}` and the like | what is stored of a turn; see `server.stored_responses` |
| `GET /v1/models`, `/models` | every raw alias and admitted mission alias, and the accounts' models, in two forms |
| `GET /health`, `/v1/health` | who this bridge is and how it is; needs no key, tells no secret |
| `GET /metrics` | Prometheus |
| `/mcp` | the tools of `codex-oss mcp` over HTTP; see `server.mcp_endpoint` |
| `/api/missions` | the missions of the project; see `server.missions_api` |

Counterparts: `server.access` wraps it, `server.turn_response` runs a turn, `wiring.bridge` chooses its lane.
Any other path is a 404 and any other method a 405, both as JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.types import ASGIApp

from codex_oss.contracts.profiles import PRIMARY_KEY_ENV
from codex_oss.errors import BridgeError, RequestError
from codex_oss.server.access import Access
from codex_oss.server.account_models import AccountModels
from codex_oss.server.background import BackgroundTurns
from codex_oss.server.chat_completions import ChatCompletions
from codex_oss.server.compaction import Compactions
from codex_oss.server.errors import client_of, error_response, internal, json_response
from codex_oss.server.gpt_relay import GptRelay
from codex_oss.server.mcp_endpoint import McpEndpoint
from codex_oss.server.metrics import Metrics
from codex_oss.server.metrics_page import CONTENT_TYPE, Gauges, render_metrics
from codex_oss.server.missions_api import MissionsApi
from codex_oss.server.open_turns import OpenTurns
from codex_oss.server.request_body import read_body
from codex_oss.server.short_routes import Handler, ShortRoutes
from codex_oss.server.stored_responses import StoredResponses
from codex_oss.server.turn_desk import AcceptedTurn, TurnDesk
from codex_oss.server.turn_notes import Arrival, arrival_of
from codex_oss.server.turn_response import TurnResponse
from codex_oss.server.turn_socket import TurnSockets
from codex_oss.wire.chat_answer import BYTES_PER_TOKEN
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.codex_models import codex_models
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.relay_stream import RelayEncoder
from codex_oss.wire.responses_request import decode_body, decode_turn, turn_items
from codex_oss.wire.stored_items import RawItem
from codex_oss.wiring.bridge import Bridge

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is; the same facts stand in `bridge.json`."""

    version: str
    pid: int
    host: str
    port: int
    project_root: str
    source_hash: str
    started_at: float
    """Seconds since the epoch."""


class Application:
    """The handlers, bound to one bridge."""

    def __init__(self, bridge: Bridge, identity: Identity, turns: OpenTurns) -> None:
        self._bridge = bridge
        self._identity = identity
        self._turns = turns
        config = bridge.config
        self._mcp = McpEndpoint(bridge)
        self._account_models = AccountModels(bridge.chatgpt.accounts.catalog if bridge.chatgpt else None)
        self._desk = TurnDesk(bridge, Metrics())
        self._background = BackgroundTurns(turns, self._desk.ended, time.time)
        self._stored = StoredResponses(
            bridge.responses, turns, self._background, config.max_body_bytes, bridge.redactor.redact_value
        )
        self._read_body = partial(read_body, max_bytes=config.max_body_bytes, idle_s=config.body_idle_timeout_s)

    def asgi(self) -> ASGIApp:
        """The whole application, access checks included."""
        chat = ChatCompletions(self._desk, self._turns, self._read_body)
        turns: dict[str, Handler] = {
            **dict.fromkeys(("/v1/responses", "/responses"), self.create_response),
            **dict.fromkeys(("/v1/chat/completions", "/chat/completions"), chat.create),
        }
        routes = [
            *(Path(path, handler, methods=["POST"]) for path, handler in turns.items()),
            *Compactions(self._desk, self._turns, self._stored, self._read_body).routes(),
            *(Path(path, self.models, methods=["GET"]) for path in ("/v1/models", "/models")),
            *(Path(path, self.health, methods=["GET"]) for path in ("/v1/health", "/health")),
            *(Path(f"{base}/responses/input_tokens", self.input_tokens, methods=["POST"]) for base in ("/v1", "")),
            *self._stored.routes(),
            *MissionsApi(self._bridge, self._read_body).routes(),
            *self._mcp.routes(),
            Path("/metrics", self.metrics, methods=["GET"]),
            *TurnSockets(self._desk, self._turns, self._stored).routes(),
        ]
        handlers: dict[Any, Any] = {HTTPException: _http_error, BridgeError: _bridge_error, Exception: _unexpected}
        framework = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)
        framework.router.redirect_slashes = False
        app = ShortRoutes(framework, turns, _turn_error)
        config, ours = self._bridge.config, self._bridge.held_keys()
        if config.gpt_strategy == "passthrough":
            relay = GptRelay(app, self._desk, self._turns, self._own_models, ours)
            return Access(relay, config, ours, on_refusal=self._desk.refused)
        return Access(app, config, on_refusal=self._desk.refused)

    async def create_response(self, http: Request) -> Any:
        """Decode a turn, choose its lane, and leave the rest to a TurnResponse."""
        arrival = arrival_of(http.scope, "responses")
        try:
            request, obj, history = await self._decoded(http, arrival)
            if request.background:
                self._background.check_room()
            accepted = self._desk.accept(arrival.request_id, "responses", request, bytes_in=arrival.bytes_in)
            accepted, encoder = _untranslated(accepted, obj, history)
        except BridgeError as exc:
            self._desk.refused(exc, arrival)
            raise
        keep = self._stored.keeper(request, obj, accepted.route.lane)
        if request.background and keep is not None:
            return await self._background.begin(accepted, keep)
        return TurnResponse(accepted, self._turns, self._desk.ended, keep, encoder)

    async def input_tokens(self, http: Request) -> Response:
        """How many tokens a turn would send, roughly: the upstream's tokenizer is not here."""
        request, _, _ = await self._decoded(http, arrival_of(http.scope, "responses"))
        profile = self._bridge.route(request.model).profile
        body, _ = encode_chat_request(self._desk.fitted(self._desk.opened(request), profile), profile, stream=False)
        return json_response({"object": "response.input_tokens", "input_tokens": len(body) // BYTES_PER_TOKEN})

    async def _decoded(
        self, http: Request, arrival: Arrival
    ) -> tuple[TurnRequest, dict[str, Any], list[RawItem] | None]:
        """The turn that a body asks for, its JSON object, both completed from what is stored, and the history."""
        obj = decode_body(await self._read_body(http))
        arrival.model = obj.get("model")
        obj, history = await self._stored.complete(obj)
        request = decode_turn(
            obj,
            response_id=f"resp_{secrets.token_hex(16)}",
            created_at=int(time.time()),
            headers=arrival.headers,
            history=history,
        )
        return request, obj, history

    async def models(self, http: Request) -> Response:
        """The list of models, for OpenAI's clients under `data` and for Codex under `models`; 304 if it is known."""
        listing = await self._account_models.beside(self._own_models())
        digest = hashlib.sha256(msgspec.json.encode(listing["models"])).hexdigest()
        etag = {"ETag": f'"{digest[:32]}"'}
        if http.headers.get("if-none-match") == etag["ETag"]:
            return Response(status_code=304, headers=etag)
        return json_response(listing, headers=etag)

    def _own_models(self) -> dict[str, Any]:
        created = int(self._identity.started_at)
        models = self._bridge.models()
        data = [
            {"id": name, "object": "model", "created": created, "owned_by": profile.name} for name, profile in models
        ]
        return {"object": "list", "data": data, "models": codex_models(models)}

    async def health(self, _: Request) -> Response:
        """Status, identity and what is needed to see why nothing works."""
        bridge = self._bridge
        keys = bridge.keys_present()
        facts = {
            "status": "ok",
            **asdict(self._identity),
            "uptime_s": round(time.time() - self._identity.started_at, 3),
            "upstream_key_present": keys.get(PRIMARY_KEY_ENV, True),
            "upstream_keys": keys,
            "lanes": sorted(bridge.lanes),
            "gpt_model_strategy": bridge.config.gpt_strategy,
            "in_flight": len(self._turns),
            "capacity": bridge.gate.facts(),
            "mission_lanes": bridge.missions.lanes.facts(),
            "circuits": bridge.breakers.facts(time.monotonic()),
            "state_db": msgspec.to_builtins(bridge.responses.facts),
            "request_log": msgspec.to_builtins(bridge.requests.facts),
            "prompt_cache": self._desk.notes.cache_summary(),
            "accounts": await bridge.account_facts(),
        }
        return json_response(facts)

    async def metrics(self, _: Request) -> Response:
        """Counters for Prometheus."""
        page = await asyncio.to_thread(render_metrics, self._desk.metrics.snapshot(), self._gauges())
        return Response(page, headers={"Content-Type": CONTENT_TYPE})

    def _gauges(self) -> Gauges:
        gate, stored = self._bridge.gate, self._bridge.responses.facts
        return Gauges(
            slots=gate.max_total,
            slots_taken=gate.under_way,
            waiting=gate.waiting,
            stored_responses=stored.responses,
            stored_bytes=stored.bytes,
            cache=self._desk.notes.monitor.facts,
            request_log=self._bridge.requests.facts,
            circuits={
                name: fact["state"] == "open"
                for name, fact in self._bridge.breakers.facts(time.monotonic()).items()
                if name in self._bridge.profiles
            },
            version=self._identity.version,
            source_hash=self._identity.source_hash,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._bridge.start()
        try:
            yield
        finally:
            await self._mcp.aclose()
            await self._bridge.aclose()


def _untranslated(
    accepted: AcceptedTurn, obj: dict[str, Any], history: list[RawItem] | None
) -> tuple[AcceptedTurn, RelayEncoder | None]:
    """A turn whose model speaks Responses, with the client's own body and the encoder that passes its answer on.

    One in the background is translated: what is kept of it must be streamed again later.
    """
    lane, request = accepted.route.lane, accepted.request
    speaks = lane == "chatgpt" or (lane == "oss" and accepted.route.profile.api == "responses")
    if not speaks or request.compacts or request.background:
        return accepted, None
    whole = {**obj, "input": turn_items(obj, history or ())}
    request = msgspec.structs.replace(request, untranslated=whole)
    return msgspec.structs.replace(accepted, request=request), RelayEncoder(request, now=time.time)


async def _http_error(http: Request, error: Exception) -> Response:
    """404 and 405 of the router."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return error_response(RequestError(f"There is no route {http.url.path[:200]!r}.", code="not_found"))
    response = error_response(RequestError(f"{http.method} is not possible here.", code="method_not_allowed"))
    response.headers["Allow"] = (error.headers or {}).get("Allow", "")
    return response


async def _bridge_error(http: Request, error: Exception) -> Response:
    assert isinstance(error, BridgeError)
    return error_response(internal(error) if error.code == "internal" else error, client=client_of(http.scope))


async def _turn_error(http: Request, error: Exception) -> Response:
    """What the framework would answer, for the routes that do without it."""
    known = isinstance(error, BridgeError)
    return await (_bridge_error(http, error) if known else _unexpected(http, error))


async def _unexpected(_: Request, error: Exception) -> Response:
    return error_response(internal(error))
