"""uvicorn's HTTP protocol, with a bound that it lacks and short ways beside ASGI.

Counterparts: `server.process` opens one for each connection; `server.request_body` and `server.turn_response` take the
short ways.

    a body that is here already   ─► `Exchange.take_body`                      (no message, no time-out to arm)
    head, first batch, last batch ─► ASGI `send`, through everything that wraps it
    a delta in between            ─► `Exchange.write` ─► transport             (no coroutine, no task)
    the client leaves             ─► `Exchange.on_left`                        (no task that waits for it)

Rules that hold here:

1. What is written directly is what `send` would have written, or nothing: a body that is not chunked, not begun, at its
   end, or whose client reads too slowly is not open for it.
2. A body is taken whole or not at all; what `receive` would have told, the short way tells as well.
Observed: uvicorn 0.54; `tests/server/test_http_protocol.py` holds both ways against each other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Final, cast

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES: Final = 64 * 1024
EXCHANGE: Final = "exchange"
"""Key of the `Exchange` in the state of an ASGI scope."""


class Exchange:
    """One request and its answer, beside ASGI. Look at `open` before each write; nothing may happen in between."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        # Its scope holds this: without the weak end each request would wait for the garbage collector.
        self._cycle = weakref.ref(cycle)
        self._transport = cycle.transport
        self.on_left: Callable[[], None] | None = None
        """Called when the connection is lost before the answer is whole."""

    @property
    def left(self) -> bool:
        """Whether the client is gone."""
        cycle = self._cycle()
        return cycle is None or cycle.disconnected

    @property
    def open(self) -> bool:
        """Whether more of the answer's body can be written now, without waiting."""
        cycle = self._cycle()
        if cycle is None or cycle.response_complete or cycle.disconnected or cycle.flow.write_paused:
            return False
        return cycle.chunked_encoding is True and cycle.scope["method"] != "HEAD"

    def write(self, data: bytes) -> None:
        """Write *data*, at least one byte, as one chunk."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def take_body(self, receive: Receive) -> bytes | None:
        """The request's body, if all of it is here; else None, and *receive* gives it.

        receive: with which the body would be read, from its begin; another one than the server's own may give another
        body, so that this one is left where it is.
        """
        cycle = self._cycle()
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        if receive != cycle.receive:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        cycle.flow.resume_reading()
        return body


def exchange_of(scope: Scope) -> Exchange | None:
    """The short ways of a request; None where another server than ours carries it."""
    exchange: Exchange | None = scope.get("state", {}).get(EXCHANGE)
    return exchange


class BoundedHttp(HttpToolsProtocol):
    """HTTP by httptools, with a bound on the head of a request (the parser itself has none) and an `Exchange` each."""

    _in_head = True
    _head_bytes = 0

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            # Its application begins later, with this scope.
            self.scope["state"][EXCHANGE] = Exchange(self.cycle)

    def data_received(self, data: bytes) -> None:
        """One read; when it leaves the head open beyond the bound, the connection ends with a 400."""
        super().data_received(data)
        self._head_bytes += len(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; whoever answers it is told."""
        super().connection_lost(exc)
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        if cycle is not None and cycle.disconnected:
            exchange = exchange_of(cast("Scope", cycle.scope))
            if exchange is not None and exchange.on_left is not None:
                exchange.on_left()
