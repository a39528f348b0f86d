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

from codex_oss.errors import BridgeError
from codex_oss.server.open_turns import OpenTurns
from codex_oss.server.turn_desk import TurnDesk
from codex_oss.server.turn_notes import arrival_of
from codex_oss.server.turn_response import TurnResponse
from codex_oss.wire.completions_request import decode_chat_turn, wants_usage
from codex_oss.wire.completions_stream import ChatEncoder
from codex_oss.wire.responses_request import decode_body

ReadBody = Callable[[Request], Awaitable[bytes]]


class ChatCompletions:
    """The handler, bound to one bridge."""

    def __init__(self, desk: TurnDesk, turns: OpenTurns, read_body: ReadBody) -> None:
        self._desk = desk
        self._turns = turns
        self._read_body = read_body

    async def create(self, http: Request) -> Any:
        """Decode a turn, choose its lane, and leave the rest to a TurnResponse."""
        arrival = arrival_of(http.scope, "chat")
        try:
            obj = decode_body(await self._read_body(http))
            arrival.model = obj.get("model")
            request = decode_chat_turn(
                obj,
                response_id=f"resp_{secrets.token_hex(16)}",
                created_at=int(time.time()),
                headers=arrival.headers,
            )
            encoder = ChatEncoder(request, include_usage=wants_usage(obj))
            accepted = self._desk.accept(arrival.request_id, "chat", request, bytes_in=arrival.bytes_in)
        except BridgeError as exc:
            self._desk.refused(exc, arrival)
            raise
        return TurnResponse(accepted, self._turns, self._desk.ended, encoder=encoder)
