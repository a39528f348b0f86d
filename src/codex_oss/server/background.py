"""Background turns: they run on when their client leaves, and are looked at, streamed again or cancelled later.

    POST background ─► queued, stored ─► answered at once
                          └─ TurnResponse ─► event log ─► a stream now, and any stream that comes later

Counterparts: `server.turn_response` runs the turn as any other, under the same caps and deadlines;
`server.stored_responses` has the routes; `services.response_store` keeps the response while it runs and when it ended.

Rules that hold here:

1. The events of a turn are a list; who streams reads it from a number on, at its own pace, and holds no other state.
2. What is kept of events: MAX_LOG_BYTES a turn, the newest; of ended turns the newest MAX_ENDED, and MAX_ENDED_BYTES
   together. They live in this process alone: after a restart a response can be retrieved, and not streamed again.
3. Nobody who streams is left without an end: who asks for events that are gone, or falls behind them, is told so.
4. A turn that runs is never forgotten; at most MAX_RUNNING do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from codex_oss.errors import InvalidRequest, RateLimited, RequestError, fault_of
from codex_oss.server.errors import error_response, json_response
from codex_oss.server.open_turns import Keep, OpenTurns
from codex_oss.server.turn_desk import AcceptedTurn
from codex_oss.server.turn_response import SSE_HEADERS, OnEnd, TurnResponse, disconnected
from codex_oss.wire.responses_stream import DONE_FRAME, ResponseEncoder, sse_frame

log = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Seconds since the epoch."""

MAX_RUNNING: Final = 64
MAX_LOG_BYTES: Final = 4 * 1024 * 1024
EVENT_BYTES: Final = 64
"""Counted for each event beside its text."""
MAX_ENDED: Final = 64
MAX_ENDED_BYTES: Final = 32 * 1024 * 1024
RETRY_AFTER_S: Final = 5
HTTP_SCOPE: Final = {"type": "http"}


class EventLog:
    """The events of one turn by their sequence numbers, the newest `max_bytes` of them."""

    def __init__(self, max_bytes: int = MAX_LOG_BYTES) -> None:
        self.first = 0
        """Sequence number of the oldest event that is kept."""
        self.size = 0
        self.ended = False
        self._max_bytes = max_bytes
        self._events: deque[bytes] = deque()
        self._more = asyncio.Event()

    @property
    def next(self) -> int:
        """The sequence number of the event that comes next."""
        return self.first + len(self._events)

    def append(self, lines: bytes) -> None:
        """Add events, one a line."""
        for line in lines.split(b"\n")[:-1]:
            self._events.append(line)
            self.size += len(line) + EVENT_BYTES
        while self.size > self._max_bytes and len(self._events) > 1:
            self.size -= len(self._events.popleft()) + EVENT_BYTES
            self.first += 1
        self._wake()

    def end(self) -> None:
        """Nothing will be added any more."""
        self.ended = True
        self._wake()

    def since(self, number: int) -> bytes:
        """The frames of the events from *number* on, which must be kept."""
        return b"".join(map(sse_frame, islice(self._events, number - self.first, None)))

    def grown(self) -> Coroutine[Any, Any, bool]:
        """Wait until something is added after this call, or the end is."""
        return self._more.wait()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()


class BackgroundTurn:
    """One turn, its event log, and the wish to end it."""

    def __init__(self, accepted: AcceptedTurn, turns: OpenTurns, on_end: OnEnd, keep: Keep, clock: Clock) -> None:
        request = msgspec.structs.replace(accepted.request, stream=True)
        accepted = msgspec.structs.replace(accepted, request=request)
        self.response_id = request.response_id
        self.log = EventLog()
        self.encoder = ResponseEncoder(request, now=clock, framing="lines")
        self.log.append(self.encoder.queue())
        self._unwanted = asyncio.Event()
        self._turn = TurnResponse(accepted, turns, on_end, keep, self.encoder, begun=True)

    async def run(self) -> None:
        """Run the turn to its end."""
        try:
            await self._turn(HTTP_SCOPE, self._receive, self._send)
        finally:
            self.log.end()

    async def cancel(self) -> None:
        """End it now; returns when it has ended."""
        self._unwanted.set()
        await self._turn.ended.wait()

    async def _receive(self) -> Message:
        await self._unwanted.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.log.append(message["body"])


class BackgroundTurns:
    """The background turns of one bridge, those that run and those that ended lately."""

    def __init__(self, turns: OpenTurns, on_end: OnEnd, clock: Clock) -> None:
        self._turns = turns
        self._on_end = on_end
        self._clock = clock
        self._running: dict[str, BackgroundTurn] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: OrderedDict[str, BackgroundTurn] = OrderedDict()

    def check_room(self) -> None:
        """Raise RateLimited `capacity_exceeded` when no further turn may begin."""
        if len(self._running) >= MAX_RUNNING:
            raise _full()

    async def begin(self, accepted: AcceptedTurn, keep: Keep) -> Response | EventStream:
        """Begin a turn. Returns the ASGI response: what is known of it now, or its stream."""
        turn = BackgroundTurn(accepted, self._turns, self._on_end, keep, self._clock)
        self._running[turn.response_id] = turn
        queued = turn.encoder.response()
        await keep(queued)
        task = asyncio.create_task(self._run(turn))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return EventStream(turn.log, 0) if accepted.request.stream else json_response(queued)

    def find(self, response_id: str) -> BackgroundTurn | None:
        """The turn that runs, or ended lately."""
        return self._running.get(response_id) or self._ended.get(response_id)

    def running(self, response_id: str) -> BackgroundTurn | None:
        """The turn that runs."""
        return self._running.get(response_id)

    def forget(self, response_id: str) -> None:
        """Drop the events of a turn that ended."""
        self._ended.pop(response_id, None)

    async def _run(self, turn: BackgroundTurn) -> None:
        try:
            await turn.run()
        except Exception as exc:
            log.error("%s: could not end properly: %s", turn.response_id, fault_of(exc))
        finally:
            del self._running[turn.response_id]
            self._ended[turn.response_id] = turn
            while len(self._ended) > MAX_ENDED or sum(t.log.size for t in self._ended.values()) > MAX_ENDED_BYTES:
                self._ended.popitem(last=False)


class EventStream:
    """The ASGI response that follows an event log. first: the number of the first event to send."""

    def __init__(self, log: EventLog, first: int) -> None:
        self._log = log
        self._next = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is kept, then what comes, until the turn ended or the client left."""
        if self._next < self._log.first:
            await error_response(events_gone())(scope, receive, send)
            return
        gone = asyncio.create_task(disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(SSE_HEADERS)})
            await self._follow(send, gone)
        except OSError:
            pass
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _follow(self, send: Send, gone: asyncio.Task[None]) -> None:
        log = self._log
        while not gone.done():
            ended, upto = log.ended, log.next
            if self._next < log.first:
                await _write(send, _LAGGED, last=True)
                return
            if self._next < upto:
                frames = log.since(self._next)
                self._next = upto
                await _write(send, frames)
            elif ended:
                await _write(send, DONE_FRAME, last=True)
                return
            else:
                more = asyncio.create_task(log.grown())
                await asyncio.wait((more, gone), return_when=asyncio.FIRST_COMPLETED)
                more.cancel()


def stream_from(http: Request) -> int | None:
    """The first event that a `GET` with `stream=true` asks for; None for one that asks for no stream.

    Raises InvalidRequest for a `starting_after` that is no number.
    """
    if http.query_params.get("stream", "false").lower() in ("false", "0", ""):
        return None
    after = http.query_params.get("starting_after")
    if after is None:
        return 0
    if not (after.isascii() and after.isdecimal() and len(after) < 16):
        raise InvalidRequest("`starting_after` must be the sequence number of an event.", param="starting_after")
    return int(after) + 1


def events_gone() -> RequestError:
    """The error for events that are not kept any more, or never were."""
    return InvalidRequest(
        "The events of this response are not kept.",
        hint="Only those of a background response are, for a while; retrieve it without `stream`.",
        param="stream",
    )


async def _write(send: Send, frames: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": frames, "more_body": not last})


def _full() -> RateLimited:
    return RateLimited(
        f"{MAX_RUNNING} background responses run already. Please try again in {RETRY_AFTER_S}s.",
        code="capacity_exceeded",
        retry_after_s=RETRY_AFTER_S,
    )


_LAGGED: Final = (
    b'event: error\ndata: {"type":"error","error":{"type":"server_error","code":"server_error",'
    b'"message":"This stream fell too far behind; retrieve the response.","param":null}}\n\n' + DONE_FRAME
)
