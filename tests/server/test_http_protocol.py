"""Deltas that are written directly against the same answer through ASGI's `send`: the same bytes for any client."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from codex_oss.server.http_protocol import DIRECT_BODY, BoundedHttp, DirectBody


class Wire(asyncio.Transport):
    """A connection to a client: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += bytes(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """No addresses, no TLS."""
        return default

    def is_closing(self) -> bool:
        """After `close`."""
        return self.closed

    def close(self) -> None:
        """The server ended it."""
        self.closed = True

    def pause_reading(self) -> None:
        """Nobody reads here."""

    def resume_reading(self) -> None:
        """Nobody reads here."""


class Served:
    """One request on one connection, and the application that answers it."""

    def __init__(self, app: ASGIApp, *, method: str = "POST") -> None:
        config = uvicorn.Config(app, http=BoundedHttp, log_config=None, access_log=False, date_header=False)
        config.load()
        self.state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0, default_headers=[])
        self.protocol = BoundedHttp(config=config, server_state=cast("Any", self.state), app_state={})
        self.wire = Wire()
        self.protocol.connection_made(self.wire)
        self.protocol.data_received(f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())

    async def end(self) -> bytes:
        """Let the application end; all that was written."""
        await asyncio.gather(*self.state.tasks)
        self.protocol.connection_lost(None)
        return self.wire.written


async def answered(parts: list[bytes], direct: list[bool], *, method: str = "POST", full_at: int = -1) -> bytes:
    """What a client gets when these parts are the body, some of them written directly where that is open."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body: DirectBody = scope["state"][DIRECT_BODY]
        assert not body.open
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number, part in enumerate(parts):
            if number == full_at:
                served.protocol.pause_writing()
                assert not body.open
                served.protocol.resume_writing()
            if part and direct[number % len(direct)] and body.open:
                body.write(part)
            else:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"end", "more_body": False})
        assert not body.open

    served = Served(app, method=method)
    return await served.end()


@given(
    st.lists(st.binary(max_size=40), max_size=8),
    st.lists(st.booleans(), min_size=1, max_size=4),
    st.sampled_from(["POST", "GET", "HEAD"]),
    st.integers(-1, 8),
)
async def test_both_ways_write_the_same(parts: list[bytes], direct: list[bool], method: str, full_at: int) -> None:
    """Whichever parts take the short way, and whenever the client reads slowly in between."""
    through_send = await answered(parts, [False], method=method)
    assert await answered(parts, direct, method=method, full_at=full_at) == through_send


async def test_the_short_way_is_taken() -> None:
    """A test that compares the two ways is worth nothing if one of them is never open."""
    taken: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body: DirectBody = scope["state"][DIRECT_BODY]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        taken.append(body.open)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    await Served(app).end()
    assert taken == [True]


async def test_a_client_that_left_closes_it() -> None:
    """And an answer that is over, whose parts nobody holds any more, is closed as well."""
    bodies: list[DirectBody] = []
    begun, gone = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append(scope["state"][DIRECT_BODY])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert bodies[0].open
        begun.set()
        await gone.wait()
        assert not bodies[0].open

    served = Served(app)
    await begun.wait()
    served.protocol.connection_lost(None)
    gone.set()
    await asyncio.gather(*served.state.tasks)
    assert not bodies[0].open


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 70_000])
async def test_sizes_are_hexadecimal(size: int) -> None:
    """The length of a chunk is written as RFC 9112 wants it."""
    written = await answered([b"x" * size], [True])
    assert b"\r\n\r\n%x\r\n%b\r\n3\r\nend\r\n0\r\n\r\n" % (size, b"x" * size) in written
