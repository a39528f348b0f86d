"""`POST /v1/chat/completions`: a turn for clients that speak Chat Completions, in front of any lane.

Counterparts: `server.app` joins it in, `server.turn_response` runs the turn, `wire.completions_request` and
`wire.completions_stream` are its codecs. Errors, counters and the end of a turn are those of `/v1/responses`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route as Path

from codex_oss.errors import BridgeError
from codex_oss.policy.routing import Route
from codex_oss.server.metrics import Metrics
from codex_oss.server.turn_response import OpenTurns, Outcome, TurnResponse
from codex_oss.wire.completions_request import decode_chat_turn, wants_usage
from codex_oss.wire.completions_stream import ChatEncoder
from codex_oss.wire.events import Usage
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_request import decode_body
from codex_oss.wiring import Bridge

PATHS = ("/v1/chat/completions", "/chat/completions")
ReadBody = Callable[[Request, int], Awaitable[bytes]]
OnEnd = Callable[[str, TurnRequest, Route, Outcome, Usage | None, float], None]
"""Request id, turn, route, outcome, usage, seconds."""


class ChatCompletions:
    """The handler, bound to one bridge. on_end is called once for each turn that began."""

    def __init__(self, bridge: Bridge, turns: OpenTurns, metrics: Metrics, read_body: ReadBody, on_end: OnEnd) -> None:
        self._bridge = bridge
        self._turns = turns
        self._metrics = metrics
        self._read_body = read_body
        self._on_end = on_end

    def routes(self) -> list[Path]:
        """The routes to join into the application."""
        return [Path(path, self.create, methods=["POST"]) for path in PATHS]

    async def create(self, http: Request) -> Any:
        """Decode a turn, choose its lane, and leave the rest to a TurnResponse."""
        try:
            obj = decode_body(await self._read_body(http, self._bridge.config.max_body_bytes))
            request = decode_chat_turn(
                obj,
                response_id=f"resp_{secrets.token_hex(16)}",
                created_at=int(time.time()),
                headers={name.lower(): value for name, value in http.headers.items()},
            )
            encoder = ChatEncoder(request, include_usage=wants_usage(obj))
            route, lane = self._bridge.lane_for(request)
        except BridgeError:
            self._metrics.refused()
            raise
        self._metrics.begin(route)

        def on_end(outcome: Outcome, usage: Usage | None, seconds: float) -> None:
            self._on_end(http.state.request_id, request, route, outcome, usage, seconds)

        return TurnResponse(request, lane, self._turns, on_end, encoder=encoder)
