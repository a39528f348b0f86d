"""`POST /v1/responses/compact`: a conversation in, the messages that stay and one sealed summary out.

    {model, input?, previous_response_id?, instructions?}
        ─► {id, object: "response.compaction", created_at, output, usage}

Counterparts: `server.app` joins it in; `lanes.compaction` makes the summary, as for an input that ends in a
`compaction_trigger`; `wire.stored_items` says which messages stay. Nothing is stored: the answer *is* the conversation.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route as Path

from codex_oss.errors import BridgeError
from codex_oss.server.open_turns import OpenTurns
from codex_oss.server.stored_responses import StoredResponses
from codex_oss.server.turn_desk import TurnDesk
from codex_oss.server.turn_notes import arrival_of
from codex_oss.server.turn_response import TurnResponse
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_request import decode_body, decode_turn
from codex_oss.wire.responses_stream import ResponseEncoder
from codex_oss.wire.stored_items import RawItem, listed_items, new_items, retained

PATHS: Final = ("/v1/responses/compact", "/responses/compact")
TRIGGER: Final = {"type": "compaction_trigger"}
FIELDS: Final = ("model", "instructions", "previous_response_id", "prompt_cache_key", "reasoning")
"""What counts of the request; everything else is about an answer that nobody wants."""
ReadBody = Callable[[Request], Awaitable[bytes]]


class Compactions:
    """The handler, bound to one bridge."""

    def __init__(self, desk: TurnDesk, turns: OpenTurns, stored: StoredResponses, read_body: ReadBody) -> None:
        self._desk = desk
        self._turns = turns
        self._stored = stored
        self._read_body = read_body

    def routes(self) -> list[Path]:
        """The routes to join into the application."""
        return [Path(path, self.create, methods=["POST"]) for path in PATHS]

    async def create(self, http: Request) -> Any:
        """Decode the conversation, choose its lane, and leave the rest to a TurnResponse."""
        arrival = arrival_of(http.scope, "responses")
        try:
            obj = decode_body(await self._read_body(http))
            arrival.model = obj.get("model")
            obj, history = await self._stored.complete(obj)
            said = new_items(obj)
            items = said if said[-1:] == [TRIGGER] else [*said, TRIGGER]
            request = decode_turn(
                {**{key: obj.get(key) for key in FIELDS}, "input": items, "store": False},
                response_id=f"resp_{secrets.token_hex(16)}",
                created_at=int(time.time()),
                headers=arrival.headers,
                history=history,
            )
            accepted = self._desk.accept(arrival.request_id, "responses", request, bytes_in=arrival.bytes_in)
        except BridgeError as exc:
            self._desk.refused(exc, arrival)
            raise
        kept = retained([*(history or ()), *said])
        encoder = CompactionEncoder(request, listed_items(request.response_id, kept))
        return TurnResponse(accepted, self._turns, self._desk.ended, encoder=encoder)


class CompactionEncoder(ResponseEncoder):
    """The answer as the object of this route. kept: the messages in front of the summary."""

    def __init__(self, request: TurnRequest, kept: list[RawItem]) -> None:
        super().__init__(request)
        self._kept = kept

    def response(self) -> dict[str, Any]:
        """Return the object as it stands."""
        response = super().response()
        return {
            "id": response["id"],
            "object": "response.compaction",
            "created_at": response["created_at"],
            "output": [*self._kept, *response["output"]],
            "usage": response["usage"],
        }
