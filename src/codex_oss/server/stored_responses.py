"""What the bridge remembers of answered turns: continuing, keeping, and the routes to look at them.

| route | answer |
| --- | --- |
| `GET /v1/responses/{id}` | the response object as it was sent, or as it stands |
| `GET /v1/responses/{id}?stream=true&starting_after=N` | the events of a background response behind number N |
| `DELETE /v1/responses/{id}` | it can no longer be retrieved or continued; a background one ends first |
| `GET /v1/responses/{id}/input_items` | what it was made from, with everything before it, in pages |
| `POST /v1/responses/{id}/cancel` | a background one, ended now; one that ended, as it is; others are refused |

Counterparts: `server.background` holds what runs on its own; `services.response_store` keeps, `wire.stored_items` makes
the items, `server.app` asks before a turn, `server.turn_response` hands the response over before its last event goes
out.

Rules that hold here:

1. `store: false` leaves no trace. A turn whose id no client saw (refused before its first byte) leaves none either.
2. A response that failed or was cancelled is kept for looking at, and cannot be continued.
3. When the store cannot be read, a continuation is `previous_response_not_found`: clients answer that one by sending
   the whole conversation, which always works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from codex_oss.errors import InvalidRequest, RequestError, StoreError
from codex_oss.server.background import BackgroundTurns, EventStream, events_gone, stream_from
from codex_oss.server.errors import json_response
from codex_oss.server.open_turns import Keep, OpenTurns
from codex_oss.services.response_rows import StoredTurn
from codex_oss.services.response_store import ResponseStore
from codex_oss.wire.fields import optional_text_at
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_request import previous_not_found
from codex_oss.wire.stored_items import (
    RawItem,
    history_of,
    listed_input,
    listed_items,
    new_items,
    page_of,
    referred_ids,
    response_id_of,
    with_items,
)

CONTINUABLE: Final = ("completed", "incomplete")
RUNNING: Final = ("queued", "in_progress")
MAX_REFERRED: Final = 1000
"""Responses whose items one request may refer to."""


class StoredResponses:
    """The stored responses as HTTP sees them.

    max_bytes: the longest conversation that is read back. redact: a JSON value without its secrets.
    """

    def __init__(
        self,
        store: ResponseStore,
        turns: OpenTurns,
        background: BackgroundTurns,
        max_bytes: int,
        redact: Callable[[Any], Any],
    ) -> None:
        self._store = store
        self._turns = turns
        self._background = background
        self._max_bytes = max_bytes
        self._redact = redact

    def routes(self) -> list[Path]:
        """The routes of the table above, with and without `/v1`."""
        return [
            Path(f"{prefix}/responses/{{response_id}}{path}", handler, methods=[method])
            for prefix in ("/v1", "")
            for method, path, handler in (
                ("GET", "", self.retrieve),
                ("DELETE", "", self.delete),
                ("GET", "/input_items", self.input_items),
                ("POST", "/cancel", self.cancel),
            )
        ]

    # ------------------------------------------------------------------------------------------------ for a turn

    async def complete(self, obj: dict[str, Any]) -> tuple[dict[str, Any], list[RawItem] | None]:
        """Complete a create request from what is stored.

        Returns the request with stored items in the place of its references and with the model of the response that
        it continues when it names none; and the history for `decode_turn`.
        Raises InvalidRequest `previous_response_not_found`, RequestError `request_too_large`.
        """
        previous = optional_text_at(obj, "previous_response_id", "")
        history: list[RawItem] | None = None
        if previous is not None:
            history, model = await self._history(previous)
            if obj.get("model") is None:
                obj = {**obj, "model": model}
        new = obj.get("input")
        if isinstance(new, list) and (ids := referred_ids(new)):
            obj = {**obj, "input": with_items(new, await self._found(ids, history or []))}
        return obj, history

    def keeper(self, request: TurnRequest, obj: dict[str, Any], lane: str) -> Keep | None:
        """What keeps the response of a turn; None for one that is not to be stored.

        A mission's turn is redacted as its log is; any other is kept as it came, because its continuation must be the
        same conversation.
        """
        if not request.store:
            return None
        store, clean = self._store, self._redact if lane == "mission" else _as_it_came
        items = clean(new_items(obj))

        async def keep(response: dict[str, Any]) -> None:
            owner = store.mark if response["status"] in RUNNING else ""
            turn = StoredTurn(response["id"], request.previous_response_id, items, clean(response), owner)
            await store.keep(turn)

        return keep

    async def _history(self, previous: str) -> tuple[list[RawItem], str]:
        try:
            chain = await self._store.chain(previous, self._max_bytes)
        except StoreError as exc:
            raise previous_not_found(previous, exc.message) from exc
        if chain is None:
            raise previous_not_found(previous)
        if chain.status in RUNNING:
            raise previous_not_found(previous, "It has not ended.")
        if chain.status not in CONTINUABLE:
            raise previous_not_found(previous, f"It is {chain.status}; continue the response before it.")
        if not chain.turns:
            raise RequestError(
                f"The conversation before this turn is longer than {self._max_bytes} bytes.",
                hint="Begin a new one with a summary.",
                code="request_too_large",
                param="previous_response_id",
            )
        return history_of(chain.turns), chain.model

    async def _found(self, ids: list[str], history: list[RawItem]) -> dict[str, RawItem]:
        """The items of these ids, of the history and of any stored response."""
        owners = {owner: None for item_id in ids if (owner := response_id_of(item_id))}
        try:
            turns = await self._store.items(list(owners)[:MAX_REFERRED])
        except StoreError:
            turns = []
        known = [*history]
        for turn in turns:
            known += listed_items(turn.response_id, turn.items)
            known += turn.output
        wanted = set(ids)
        return {item["id"]: item for item in known if isinstance(item.get("id"), str) and item["id"] in wanted}

    # -------------------------------------------------------------------------------------------------- the routes

    async def retrieve(self, http: Request) -> Any:
        """The response object, or its events."""
        first = stream_from(http)
        if first is not None and (turn := self._background.find(http.path_params["response_id"])):
            return EventStream(turn.log, first)
        response = await self._response(http)
        if first is not None:
            raise events_gone()
        return json_response(response)

    async def delete(self, http: Request) -> Response:
        """Make it irretrievable."""
        response_id = http.path_params["response_id"]
        if turn := self._background.running(response_id):
            await turn.cancel()
        self._background.forget(response_id)
        if not await self._store.delete(response_id):
            raise _not_found(response_id)
        return json_response({"id": response_id, "object": "response", "deleted": True})

    async def input_items(self, http: Request) -> Response:
        """One page of its input."""
        response_id = http.path_params["response_id"]
        chain = await self._store.chain(response_id, self._max_bytes)
        if chain is None:
            raise _not_found(response_id)
        query = http.query_params
        items = listed_input(chain.turns) if chain.turns else []
        return json_response(
            page_of(items, limit=query.get("limit"), order=query.get("order"), after=query.get("after"))
        )

    async def cancel(self, http: Request) -> Response:
        """A background response ends; what ended stays as it is; what has a client is left to it."""
        if turn := self._background.running(http.path_params["response_id"]):
            await turn.cancel()
        response = await self._response(http)
        if response["status"] in RUNNING:
            raise InvalidRequest(
                "Only a background response can be cancelled.", param="response_id", hint="Close its connection."
            )
        return json_response(response)

    async def _response(self, http: Request) -> dict[str, Any]:
        response_id = http.path_params["response_id"]
        if turn := self._background.running(response_id):
            return turn.encoder.response()
        response = self._turns.response_of(response_id) or await self._store.response(response_id)
        if response is None and (turn := self._background.find(response_id)):
            return turn.encoder.response()  # the disk did not take it
        if response is None:
            raise _not_found(response_id)
        return response


def _not_found(response_id: str) -> RequestError:
    return RequestError(
        f"Response with id '{response_id[:100]}' not found.", code="response_not_found", param="response_id"
    )


def _as_it_came(value: Any) -> Any:
    return value
