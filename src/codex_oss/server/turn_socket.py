"""WebSocket mode: many turns on one connection, one after the other, each continuing the last with only what is new.

    handshake ─► response.create ─► events … terminal event ─► response.create ─► … ─► 60 minutes ─► close

    reader: receive ─► create ─► queue            (one task; also sees the client leave)
    turns:  queue ─► TurnResponse ─► text frames  (the other task)

Counterparts: `server.app` joins the routes in; `server.turn_response` runs a turn exactly as over HTTP, driven by the
same encoder; `wire.responses_request` joins history and new input.

Rules that hold here:

1. One response at a time; creates that come meanwhile wait in order, within a bound.
2. The connection keeps its latest response, whether it is stored or not, as raw items and for itself alone. A turn that
   fails takes it along, since what it would continue is not certain any more. Any other id is looked up in the store.
3. A failure before the first event is one `error` frame with an HTTP status; after it `error` and `response.failed`.
   Neither ends the connection.
4. Whatever a client sends is answered by a frame or a close; a client that leaves cancels its turn at once.
5. Nothing of the conversation is inherited but the items, and the model if it is not named.
Source: Open Responses 2026-04-24; the sequence of Codex CLI 0.169 (warm-up, then deltas) was observed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.routing import WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from codex_oss.errors import BridgeError, InvalidRequest, RequestError
from codex_oss.server.errors import error_response, internal
from codex_oss.server.open_turns import Keep, OpenTurns
from codex_oss.server.stored_responses import StoredResponses
from codex_oss.server.turn_desk import AcceptedTurn, TurnDesk
from codex_oss.server.turn_notes import Arrival
from codex_oss.server.turn_response import SHUTDOWN, TurnResponse
from codex_oss.wire.events import TurnCompleted, TurnEvent, TurnFailed, TurnStarted
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_request import decode_body, decode_turn
from codex_oss.wire.responses_stream import ResponseEncoder
from codex_oss.wire.stored_items import RawItem, TurnItems, continued, new_items

log = logging.getLogger(__name__)

PATHS: Final = ("/v1/responses", "/responses")
LIFE_S: Final = 60 * 60
MAX_WAITING: Final = 8
"""Creates that may wait for the response under way."""
HTTP_SCOPE: Final = {"type": "http"}
NORMAL, UNSUPPORTED, FAILED, RESTART = 1000, 1003, 1011, 1012
"""Close codes of RFC 6455 and its registry."""
LIMIT_REACHED: Final = RequestError(
    "This connection has reached its life of 60 minutes.",
    hint="Open a new one and send the whole conversation.",
    code="websocket_connection_limit_reached",
)


@dataclass(frozen=True, slots=True)
class Latest:
    """The response that the next create may continue."""

    response_id: str
    model: str
    items: bytes
    """Its input and then its output as JSON: a connection may be idle for long, and values weigh several times that."""
    stored: bool


class TurnSockets:
    """The routes, bound to one bridge."""

    def __init__(self, desk: TurnDesk, turns: OpenTurns, stored: StoredResponses, *, life_s: float = LIFE_S) -> None:
        self.desk = desk
        self.turns = turns
        self.stored = stored
        self.life_s = life_s

    def routes(self) -> list[WebSocketRoute]:
        """Where turns are taken; an upgrade anywhere else is refused, which sends a client back to HTTP."""
        taken = [WebSocketRoute(path, self) for path in PATHS] if self.desk.bridge.config.websockets else []
        return [*taken, WebSocketRoute("/{path:path}", _Refused())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends."""
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        await TurnSocket(self, scope, receive, send).serve()


class _Refused:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = RequestError("This address speaks HTTP, not WebSocket.", code="upgrade_refused")
        await error_response(error)(scope, receive, send)


class TurnSocket:
    """One connection."""

    def __init__(self, sockets: TurnSockets, scope: Scope, receive: Receive, send: Send) -> None:
        self._sockets = sockets
        self._headers = {name.lower(): value for name, value in Headers(scope=scope).items()}
        self._request_id = scope["state"]["request_id"]
        self._receive = receive
        self._send = send
        self._waiting: asyncio.Queue[tuple[dict[str, Any], int] | None] = asyncio.Queue()
        self._waiting_bytes = 0
        self._gone = asyncio.Event()
        self._latest: Latest | None = None
        self._status = 200
        self._closed = False

    async def serve(self) -> None:
        """Take turns until the client leaves, the connection has lived its life, or the bridge stops."""
        reader = asyncio.create_task(self._read())
        try:
            await self._take_turns(asyncio.get_running_loop().time() + self._sockets.life_s)
        except OSError as exc:
            log.info("%s: the client's connection broke: %s", self._request_id, exc)
        except Exception as exc:
            with suppress(OSError):
                await self._refuse(exc)
                await self._close(FAILED, "")
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _take_turns(self, end_at: float) -> None:
        while (create := await self._next(end_at)) is not None and not self._gone.is_set():
            obj, size = create
            del create
            self._waiting_bytes -= size
            if self._sockets.turns.stopping:
                await self._refuse(SHUTDOWN)
                await self._close(RESTART, "")
                return
            await self._answer(obj, size)
            del obj  # nothing of a conversation but `Latest` is held while the connection is idle

    async def _next(self, end_at: float) -> tuple[dict[str, Any], int] | None:
        """The create that is due; None when there will be none, because the client left or the time is over."""
        try:
            async with asyncio.timeout_at(end_at):
                await asyncio.sleep(0)
                return await self._waiting.get()
        except TimeoutError:
            await self._refuse(LIMIT_REACHED)
            await self._close(NORMAL, LIMIT_REACHED.code)
            return None

    async def _read(self) -> None:
        """Sort what the client sends, until it leaves."""
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                if (text := message.get("text")) is None:
                    await self._close(UNSUPPORTED, "Send text frames.")
                    return
                try:
                    await self._sort(text)
                except BridgeError as exc:
                    self._sockets.desk.refused(exc, Arrival(self._request_id, "websocket", self._headers))
                    await self._refuse(exc)
        except OSError:
            pass
        except Exception as exc:
            with suppress(OSError):
                await self._refuse(exc)
                await self._close(FAILED, "")
        finally:
            self._gone.set()
            self._waiting.put_nowait(None)

    async def _sort(self, text: str) -> None:
        body = text.encode()
        obj = decode_body(body)
        kind = obj.get("type")
        if kind == "response.steer":
            await self._text(_steer_failed(obj))
        elif kind != "response.create":
            raise InvalidRequest("The type of a frame must be response.create.", param="type")
        elif self._waiting.qsize() >= MAX_WAITING or self._waiting_bytes + len(body) > self._max_bytes:
            raise RequestError("Too many responses wait on this connection.", code="capacity_exceeded")
        else:
            self._waiting_bytes += len(body)
            self._waiting.put_nowait((obj, len(body)))

    async def _answer(self, obj: dict[str, Any], size: int) -> None:
        """Run one turn and keep what the next one may continue."""
        previous = obj.get("previous_response_id")
        latest = self._latest if self._latest is not None and previous == self._latest.response_id else None
        arrival = Arrival(self._request_id, "websocket", self._headers, obj.get("model"), time.monotonic(), size)
        warms_up = obj.pop("generate", True) is False
        try:
            obj, history = await self._completed(obj, latest, size)
            request = self._decode(obj, history)
            accepted = self._sockets.desk.accept(self._request_id, "websocket", request, bytes_in=arrival.bytes_in)
        except BridgeError as exc:
            self._sockets.desk.refused(exc, arrival)
            if latest is not None:
                self._latest = None
            await self._refuse(exc)
            return
        if warms_up:
            accepted = msgspec.structs.replace(accepted, lane=_warm_up)
        keep = self._keeper(accepted, obj, () if latest is None or latest.stored else history or ())
        encoder = await self._run(accepted, keep)
        self._latest = None
        if encoder.outcome is not None and not isinstance(encoder.outcome, TurnFailed):
            output = encoder.response()["output"]
            items = continued(history or (), TurnItems(request.response_id, new_items(obj), output))
            self._latest = Latest(request.response_id, request.model, msgspec.json.encode(items), request.store)

    async def _completed(
        self, obj: dict[str, Any], latest: Latest | None, size: int
    ) -> tuple[dict[str, Any], Sequence[RawItem] | None]:
        """The create with what is kept here or stored, and the history that it continues; within the bound of both."""
        complete = self._sockets.stored.complete
        history: Sequence[RawItem] | None
        if latest is None:
            obj, history = await complete(obj)
            size += len(msgspec.json.encode(history)) if history else 0
        else:
            obj, _ = await complete({**obj, "previous_response_id": None})
            obj = {**obj, "previous_response_id": latest.response_id, "model": obj.get("model") or latest.model}
            history = msgspec.json.decode(latest.items, type=list[dict[str, Any]])
            size += len(latest.items)
        if size > self._max_bytes:
            raise RequestError(
                f"The conversation is larger than {self._max_bytes} bytes.",
                hint="Raise max_body_bytes in .codex-oss/config.toml, or shorten the conversation.",
                code="request_too_large",
            )
        return obj, history

    def _decode(self, obj: dict[str, Any], history: Sequence[RawItem] | None) -> TurnRequest:
        if obj.get("stream_id") is not None:
            raise InvalidRequest("Lanes are not supported: one response at a time.", param="stream_id")
        if obj.get("background"):
            raise InvalidRequest("`background` is not possible over WebSocket: ask by POST.", param="background")
        return decode_turn(
            {**obj, "stream": True},
            response_id=f"resp_{secrets.token_hex(16)}",
            created_at=int(time.time()),
            headers=self._headers,
            history=history,
        )

    def _keeper(self, accepted: AcceptedTurn, obj: dict[str, Any], unstored: Sequence[RawItem]) -> Keep | None:
        """What stores the turn. unstored: what it continues, when only this connection knows it; it begins anew."""
        request = accepted.request
        if unstored:
            request = msgspec.structs.replace(request, previous_response_id=None)
            obj = {**obj, "input": [*unstored, *new_items(obj)]}
        return self._sockets.stored.keeper(request, obj, accepted.route.lane)

    async def _run(self, accepted: AcceptedTurn, keep: Keep | None) -> ResponseEncoder:
        sockets = self._sockets
        encoder = ResponseEncoder(accepted.request, now=time.time, framing="lines")
        turn = TurnResponse(accepted, sockets.turns, sockets.desk.ended, keep, encoder)
        await turn(HTTP_SCOPE, self._left, self._send_turn)
        return encoder

    async def _left(self) -> Message:
        """What a turn receives: nothing, until the client is gone."""
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send_turn(self, message: Message) -> None:
        """Pass on what a turn writes: lines are events, a body with another status than 200 is an error."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif self._status == 200:
            for line in message["body"].split(b"\n")[:-1]:
                await self._text(line)
        else:
            await self._text(_error_frame(self._status, message["body"]))

    async def _refuse(self, error: Exception) -> None:
        known = error if isinstance(error, BridgeError) and error.code != "internal" else internal(error)
        answer = error_response(known)
        await self._text(_error_frame(answer.status_code, bytes(answer.body)))

    async def _text(self, frame: bytes) -> None:
        if self._closed:
            raise ConnectionAbortedError("this side closed it")
        await self._send({"type": "websocket.send", "text": frame.decode()})

    async def _close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    @property
    def _max_bytes(self) -> int:
        return self._sockets.desk.bridge.config.max_body_bytes


async def _warm_up(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
    """The lane of `generate: false`: no model is asked, but the id can be continued."""
    yield [TurnStarted(request.model), TurnCompleted()]


def _error_frame(status: int, body: bytes) -> bytes:
    """The `error` event of this transport: the body of the HTTP error with its status."""
    return b'{"type":"error","status":%d,%b' % (status, body[1:])


def _steer_failed(obj: dict[str, Any]) -> bytes:
    error = {
        "type": "invalid_request_error",
        "code": "steering_not_supported",
        "message": "A running response cannot be steered here.",
    }
    steer = {key: obj.get(key, "") for key in ("input", "previous_response_id")}
    return json.dumps({"type": "response.steer.failed", "error": error, "steer": steer, "sequence_number": 0}).encode()
