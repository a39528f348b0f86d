"""Connections to model servers: opened, kept for the next request, and led through a proxy where one is named.

Counterparts: `services.upstream_connection` is one of them, `services.upstream` posts through the pool.

    post ─► idle connection to the same place ─┬─► exchange ─► Connection with the head of its answer
      └───► new one: TCP ─► (CONNECT) ─► (TLS) ┘       └─ closed by the server before it said a word: one new one
                                                release ─► idle, for at most IDLE_S

Rules that hold here:

1. The connection used last is used next, so that the others grow old and are closed.
2. A request is sent again only when a *kept* connection broke before a single byte of the answer: that is what a server
   does which closed an idle connection in the same moment. Never on a new one, never twice.
3. TLS always verifies, by the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
4. A proxy sees the name of the host; for https it sees nothing else. Its password appears in no message.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

from codex_oss.services.upstream_connection import Connection, ConnectionBroken

IDLE_S: Final = 15.0
MAX_IDLE: Final = 256
PORTS: Final = {"http": 80, "https": 443}
PATH_SAFE: Final = "/%:@!$&'()*+,;=~"


class CannotConnect(Exception):
    """Nothing listens there, the name is unknown, or the proxy refuses."""


class TlsFailed(Exception):
    """The handshake failed: a certificate that does not fit, or no TLS at all."""


class Place(NamedTuple):
    """Where a connection leads. proxy: its URL, or empty."""

    scheme: str
    host: str
    port: int
    proxy: str


class ConnectionPool:
    """All connections of one client. max_idle: of all places together; idle_s: how long one is kept unused."""

    def __init__(self, *, max_idle: int = MAX_IDLE, idle_s: float = IDLE_S) -> None:
        self._max_idle = max_idle
        self._idle_s = idle_s
        self._idle: deque[tuple[float, Connection]] = deque()
        """(kept since, connection), the oldest first; seconds of the loop."""
        self._timer: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, proxy: str = "") -> Connection:
        """POST *body* and return the connection when the head of its answer arrived; give it back with `release`.

        Raises CannotConnect, TlsFailed, ConnectionBroken, and ValueError for a URL or header that cannot be sent.
        """
        place, first_lines = _way_to(url, proxy)
        head = _head(first_lines, headers, len(body))
        connection = self._take(place)
        if connection is not None:
            try:
                return await _exchanged(connection, head, body)
            except ConnectionBroken:
                if connection.heard:
                    raise
        return await _exchanged(await self._open(place), head, body)

    def release(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end; close any other at once."""
        if not connection.reusable or self._max_idle == 0:
            connection.abort()
            return
        connection.rest()
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), connection))
        if len(self._idle) > self._max_idle:
            self._idle.popleft()[1].abort()
        if self._timer is None:
            self._timer = loop.call_later(self._idle_s, self._close_old, loop)

    def close(self) -> None:
        """Close every idle connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop()[1].abort()

    def _take(self, place: Place) -> Connection | None:
        """The connection to *place* that was used last, if the server still keeps it."""
        for at in range(len(self._idle) - 1, -1, -1):
            connection = self._idle[at][1]
            if connection.place == place:
                del self._idle[at]
                if connection.reusable:
                    return connection
        return None

    def _close_old(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._idle and self._idle[0][0] <= now - self._idle_s:
            self._idle.popleft()[1].abort()
        if self._idle:
            self._timer = loop.call_at(self._idle[0][0] + self._idle_s, self._close_old, loop)

    async def _open(self, place: Place) -> Connection:
        proxy = urlsplit(place.proxy)
        try:
            if not place.proxy:
                connection = await _connect(place.host, place.port, await self._context(place))
            elif proxy.scheme != "http":
                raise CannotConnect(f"a proxy must be http://, not {proxy.scheme}://")
            else:
                connection = await _connect(_ascii_host(proxy), proxy.port or PORTS["http"], None)
                if place.scheme == "https":
                    connection = await self._tunnel(connection, place, proxy)
        except ssl.SSLError as exc:
            raise TlsFailed(str(exc)) from exc
        except OSError as exc:
            raise CannotConnect(str(exc)) from exc
        connection.place = place
        return connection

    async def _tunnel(self, outer: Connection, place: Place, proxy: SplitResult) -> Connection:
        """Ask the proxy for a way through, and speak TLS with the server on it."""
        target = _authority(place)
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *_proxy_key(proxy)]
        try:
            await outer.exchange("\r\n".join([*lines, "\r\n"]).encode("ascii"))
            if outer.status // 100 != 2:
                raise CannotConnect(f"the proxy answered with status {outer.status}")
            inner = Connection()
            transport = await asyncio.get_running_loop().start_tls(
                outer.transport, inner, cast("ssl.SSLContext", await self._context(place)), server_hostname=place.host
            )
        except ConnectionBroken as exc:
            raise CannotConnect("the proxy closed the connection") from exc
        except BaseException:
            outer.abort()
            raise
        if transport is None:
            raise CannotConnect("the proxy closed the connection")
        inner.connection_made(transport)
        return inner

    async def _context(self, place: Place) -> ssl.SSLContext | None:
        """The TLS settings, made with the first https request: reading the certificates takes a while, and memory."""
        if place.scheme == "http":
            return None
        if self._tls is None:
            context = await asyncio.to_thread(ssl.create_default_context)
            context.set_alpn_protocols(["http/1.1"])
            self._tls = context
        return self._tls


async def _exchanged(connection: Connection, head: bytes, body: bytes) -> Connection:
    try:
        await connection.exchange(head, body)
    except BaseException:
        connection.abort()
        raise
    return connection


async def _connect(host: str, port: int, context: ssl.SSLContext | None) -> Connection:
    """A connection to an address, or to the first address of a name that answers (RFC 8305)."""
    loop = asyncio.get_running_loop()
    name = host if context is not None else None
    if ":" in host or host.rpartition(".")[2].isdecimal() or host == "localhost":
        _, connection = await loop.create_connection(Connection, host, port, ssl=context, server_hostname=name)
        return connection
    from aiohappyeyeballs import start_connection

    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = await start_connection(infos, happy_eyeballs_delay=0.25, interleave=1)
    try:
        _, connection = await loop.create_connection(Connection, sock=sock, ssl=context, server_hostname=name)
    except BaseException:
        sock.close()
        raise
    return connection


@lru_cache(64)
def _way_to(url: str, proxy: str) -> tuple[Place, str]:
    """Where a request to *url* goes, and the lines of its head that are always the same. Raises ValueError."""
    parts = urlsplit(url)
    place = Place(parts.scheme, _ascii_host(parts), parts.port or PORTS[parts.scheme], proxy)
    target = quote(parts.path or "/", safe=PATH_SAFE)
    lines = [f"Host: {_host_header(place)}"]
    if proxy and place.scheme == "http":
        target = f"http://{_host_header(place)}{target}"
        lines += _proxy_key(urlsplit(proxy))
    lines.insert(0, f"POST {target} HTTP/1.1")
    _check_lines(lines)
    return place, "\r\n".join(lines)


def _head(first_lines: str, headers: Mapping[str, str], size: int) -> bytes:
    """The head of a request. Raises ValueError for what would not stay on its line."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    _check_lines(lines)
    return "\r\n".join([first_lines, *lines, f"Content-Length: {size}", "\r\n"]).encode("ascii")


def _check_lines(lines: list[str]) -> None:
    for line in lines:
        if not line.isprintable():
            raise ValueError("a header holds control characters")


def _ascii_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _authority(place: Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{host}:{place.port}"


def _host_header(place: Place) -> str:
    """As `_authority`, without a port that goes without saying."""
    text = _authority(place)
    return text.rpartition(":")[0] if place.port == PORTS[place.scheme] else text


def _proxy_key(proxy: SplitResult) -> list[str]:
    if proxy.username is None:
        return []
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode('ascii')}"]
