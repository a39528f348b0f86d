"""One connection to a model server: one request at a time, its answer as bytes; HTTP/1.1 read by llhttp.

Counterparts: `services.upstream_pool` opens and keeps connections, `services.upstream` gives the answers deadlines and
turns what breaks into our errors.

    idle ─ exchange ─► head ─ headers ─► body ─ last byte ─► done ─ (pool) ─► idle
      └ any byte from    └──────────────┴── anything wrong, or the connection lost ──► broken
        the server: broken

Rules that hold here:

1. What one read of the socket brought is one chunk, however many HTTP chunks it was; what came while nobody read is
   joined to it. Nothing is decoded but the transfer coding. Who pumps gets a chunk within the read that brought it:
   no task is woken for it (decision 0032).
2. llhttp judges the bytes, without leniencies: two lengths, a length beside `chunked`, a bare LF or a bad chunk size
   break the exchange. A second answer to one request never becomes an answer: the connection is not used again.
3. Memory is bounded: reading pauses above MAX_BUFFERED_BYTES, and a server that sends more than MAX_BARREN_BYTES that
   are no body (an endless head, 1xx answers, chunk extensions, trailers) breaks the exchange.
4. A body without length or `chunked` ends with the connection, but a reset is never an end.
Source: RFC 9112; decision 0021 says why this is our own.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Final, cast

import httptools

MAX_BUFFERED_BYTES: Final = 512 * 1024
"""Above this the server has to wait for our reader; two full reads of uvloop."""
MAX_BARREN_BYTES: Final = 64 * 1024
NO_BODY: Final = (204, 304)


class ConnectionBroken(Exception):
    """The exchange cannot go on; the text is for the log."""


class State(enum.Enum):
    """Where a connection stands."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    BROKEN = enum.auto()


IDLE: Final = State.IDLE
HEAD: Final = State.HEAD
BODY: Final = State.BODY
DONE: Final = State.DONE
BROKEN: Final = State.BROKEN
# Names of their own, since they are asked for with each chunk: CPython 3.11 looks a member up like a property.


class Connection(asyncio.Protocol):
    """One connection and the exchange on it. status and headers (names in lower case) are those of the last answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.heard = False
        """Whether a byte of the present answer arrived."""
        self.spoke = False
        """Whether a byte of its body arrived."""
        self.silent_since: float | None = None
        """Since when somebody waits for more of the body, by the loop's clock; None while nobody does."""
        self.place: object = None
        """The pool's note of where this connection leads."""
        self._state = IDLE
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._failure = ""
        self._parts: list[bytes] = []
        # llhttp calls it for each HTTP chunk, often for each token: as a bound builtin it costs a third of a method.
        self.on_body = self._parts.append
        self._ready: list[bytes] = []
        self._ready_bytes = 0
        self._barren_bytes = 0
        self._paused = False
        self._keep = False
        self._until_close = False

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last answer is whole, and the server keeps the connection."""
        alive = self._transport is not None and not self._transport.is_closing()
        return alive and (self._state is IDLE or (self._state is DONE and self._keep and not self._ready))

    @property
    def transport(self) -> asyncio.Transport:
        """The transport; for the pool, which may have to wrap it in TLS."""
        assert self._transport is not None
        return self._transport

    async def exchange(self, head: bytes, body: bytes = b"") -> None:
        """Send a request and wait for the head of its answer. Raises ConnectionBroken."""
        assert self._state is IDLE or self.reusable
        if self._transport is None or self._transport.is_closing():
            raise ConnectionBroken("closed before the request")
        self._state, self.heard, self.spoke, self._keep, self._barren_bytes = HEAD, False, False, False, 0
        self._parser = httptools.HttpResponseParser(self)
        self._transport.writelines((head, body))
        while self._state is HEAD:
            await self._wait()
        if self._state is BROKEN and not self._ready:
            raise ConnectionBroken(self._failure)

    async def read(self) -> bytes:
        """What arrived of the body, at least one byte; b"" at its end. Raises ConnectionBroken."""
        while not self._ready:
            if self._state is not BODY:
                if self._state is BROKEN:
                    raise ConnectionBroken(self._failure)
                return b""
            await self._wait_for_more()
        return self._ready_chunk()

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        """Hand each chunk to *take* as it arrives, until that returns False or nothing comes any more.

        Why nothing comes is told by the next `read`. Raises what *take* raises.
        """
        while self._ready:
            if not take(self._ready_chunk()):
                return
        if self._state is BODY:
            self._take = take
            try:
                await self._wait_for_more()
            finally:
                self._take = None

    def rest(self) -> None:
        """Wait for the next exchange; from now on the server has nothing to say."""
        self._state = IDLE

    def abort(self) -> None:
        """Drop the connection at once; a reader that waits is woken with ConnectionBroken."""
        if self._state is not DONE:
            self._break("aborted")
        elif self._transport is not None:
            self._transport.abort()

    def _ready_chunk(self) -> bytes:
        ready = self._ready
        chunk = ready[0] if len(ready) == 1 else b"".join(ready)
        ready.clear()
        self._ready_bytes = 0
        if self._paused:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()
        return chunk

    async def _wait_for_more(self) -> None:
        self.silent_since = self._loop.time()
        try:
            await self._wait()
        finally:
            self.silent_since = None

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _hand_over(self, chunk: bytes, take: Callable[[bytes], bool]) -> None:
        """Give a chunk to who pumps; a fault there is raised in the task that waits."""
        self.silent_since = self._loop.time()
        try:
            if take(chunk):
                return
        except Exception as exc:
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(exc)
        self._take = None
        self._wake()

    def _store(self, chunk: bytes) -> None:
        """Keep a chunk until somebody reads; too many make the server wait."""
        self._ready.append(chunk)
        self._ready_bytes += len(chunk)
        if self._ready_bytes > MAX_BUFFERED_BYTES and not self._paused and self._state is BODY:
            self._paused = True
            self.transport.pause_reading()

    def _break(self, why: str) -> None:
        if self._state is not BROKEN:
            self._state, self._failure, self._parser = BROKEN, why, None
            if self._transport is not None:
                self._transport.abort()
            self._wake()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """One read of the socket."""
        if self._parser is None:
            # Nothing was asked, or all was said: an answer that is planted here must not meet the next request.
            self._keep = False
            self.abort()
            return
        self.heard = True
        failure = ""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            failure = str(exc) or "not HTTP"
        parts = self._parts
        if parts:
            chunk = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            self._barren_bytes = 0
            self.spoke = True
            if self._take is not None:
                self._hand_over(chunk, self._take)
            else:
                self._store(chunk)
        else:
            self._barren_bytes += len(data)
            if self._barren_bytes > MAX_BARREN_BYTES:
                failure = "more than the bound without a byte of the body"
        if self._state is DONE:
            self._parser = None
            if failure:
                self.abort()
        elif failure:
            self._break(failure)
        if self._take is None or self._state is not BODY:
            self._wake()

    def eof_received(self) -> None:
        """The server closed its side; the transport closes itself."""
        if self._state is BODY and self._until_close:
            self._state, self._parser = DONE, None
            self._wake()
        elif self._state is not DONE:
            self._break("closed by the server")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._state is not DONE:
            self._break(str(exc or "closed"))
        self._transport = None

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """An answer begins: the one asked for, or the one after a 1xx."""
        if self._state is not HEAD:
            self._keep = False
            raise ValueError("a second answer")
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or (not read) a trailer."""
        if self._state is HEAD:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is whole."""
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        framed = "transfer-encoding" in self.headers or "content-length" in self.headers
        self._until_close = not framed and self.status not in NO_BODY
        self._state = BODY

    def on_message_complete(self) -> None:
        """The answer is whole; a 1xx is not the answer yet."""
        assert self._parser is not None
        if self._state is BODY:
            self._state, self._keep = DONE, self._parser.should_keep_alive()
