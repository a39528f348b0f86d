"""uvicorn's HTTP protocol, with a bound that it lacks and a way for a body that is written delta by delta.

Counterparts: `server.process` opens one for each connection; `server.turn_response` writes by it.

    head, first batch, last batch ─► ASGI `send`, through everything that wraps it
    a delta in between            ─► `DirectBody.write` ─► transport          (no coroutine, no task)

Rule: what is written directly is what `send` would have written, or nothing: a body that is not chunked, not begun, at
its end, or whose client reads too slowly is not open for it.
Observed: uvicorn 0.54; `tests/server/test_http_protocol.py` holds both ways against each other.
"""

from __future__ import annotations

import weakref
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES: Final = 64 * 1024
DIRECT_BODY: Final = "direct_body"
"""Key of the `DirectBody` in the state of an ASGI scope."""


class DirectBody:
    """The body of one answer. Look at `open` before each write; nothing may happen in between."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        # Its scope holds this: without the weak end each request would wait for the garbage collector.
        self._cycle = weakref.ref(cycle)
        self._transport = cycle.transport

    @property
    def open(self) -> bool:
        """Whether more of the body can be written now, without waiting."""
        cycle = self._cycle()
        return (
            cycle is not None
            and cycle.chunked_encoding is True
            and not cycle.response_complete
            and not cycle.disconnected
            and not cycle.flow.write_paused
            and cycle.scope["method"] != "HEAD"
        )

    def write(self, data: bytes) -> None:
        """Write *data*, at least one byte, as one chunk."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))


class BoundedHttp(HttpToolsProtocol):
    """HTTP by httptools, with a bound on the head of a request (the parser itself has none) and a direct body."""

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
            self.scope["state"][DIRECT_BODY] = DirectBody(self.cycle)

    def data_received(self, data: bytes) -> None:
        """One read; when it leaves the head open beyond the bound, the connection ends with a 400."""
        super().data_received(data)
        self._head_bytes += len(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
