"""The short ways beside ASGI against the way through it: the same bytes in both directions, the same end."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from codex_oss.server.http_protocol import EXCHANGE, BoundedHttp, Exchange


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

    def __init__(self, app: ASGIApp, *, method: str = "POST", head: str = "Content-Length: 0\r\n") -> None:
        config = uvicorn.Config(app, http=BoundedHttp, log_config=None, access_log=False, date_header=False)
        config.load()
        self.state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0, default_headers=[])
        self.protocol = BoundedHttp(config=config, server_state=cast("Any", self.state), app_state={})
        self.wire = Wire()
        self.protocol.connection_made(self.wire)
        self.protocol.data_received(f"{method} / HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())

    async def end(self) -> bytes:
        """Let the application end; all that was written."""
        await asyncio.gather(*self.state.tasks)
        self.protocol.connection_lost(None)
        return self.wire.written


async def answered(parts: list[bytes], direct: list[bool], *, method: str = "POST", full_at: int = -1) -> bytes:
    """What a client gets when these parts are the body, some of them written directly where that is open."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body: Exchange = scope["state"][EXCHANGE]
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
        body: Exchange = scope["state"][EXCHANGE]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        taken.append(body.open)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    await Served(app).end()
    assert taken == [True]


async def test_a_client_that_left_closes_it() -> None:
    """And an answer that is over, whose parts nobody holds any more, is closed as well."""
    bodies: list[Exchange] = []
    begun, gone = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append(scope["state"][EXCHANGE])
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


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=3), st.booleans(), st.integers(0, 3))
async def test_a_body_is_the_same_by_both_ways(body: bytes, cuts: list[int], chunked: bool, reads_after: int) -> None:
    """However it is cut, and however much of it is here when the application looks: taken whole, or received."""
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [piece for start, end in itertools.pairwise(edges) if (piece := body[start:end])]
    if chunked:
        wire, head = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces], "Transfer-Encoding: chunked\r\n"
        wire.append(b"0\r\n\r\n")
    else:
        wire, head = pieces, f"Content-Length: {len(body)}\r\n"
    taken: list[bytes] = []
    here = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def replayed() -> Any:
            raise AssertionError("not called")

        await here.wait()
        exchange: Exchange = scope["state"][EXCHANGE]
        assert exchange.take_body(replayed) is None
        whole = exchange.take_body(receive)
        assert (whole is not None) == (reads_after >= len(wire))
        parts = [] if whole is None else [whole]
        while whole is None and (message := await receive()):
            parts.append(message["body"])
            if not message["more_body"]:
                break
        taken.append(b"".join(parts))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    served = Served(app, head=head)
    for piece in wire[:reads_after]:
        served.protocol.data_received(piece)
    here.set()
    await asyncio.sleep(0)
    for piece in wire[reads_after:]:
        served.protocol.data_received(piece)
    await served.end()
    assert taken == [body]


async def test_a_body_that_waits_for_leave_is_received() -> None:
    """`Expect: 100-continue` is answered by the way through ASGI alone."""
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"][EXCHANGE].take_body(receive))
        seen.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    served = Served(app, head="Content-Length: 0\r\nExpect: 100-continue\r\n")
    assert (await served.end()).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    assert seen == [None, b""]


@pytest.mark.parametrize("whole", [False, True])
async def test_who_answers_is_told_that_the_client_left(whole: bool) -> None:
    """Once, and only while the answer is not whole."""
    told: list[bool] = []
    begun, gone = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["state"][EXCHANGE]
        exchange.on_left = lambda: told.append(exchange.left)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": not whole})
        begun.set()
        await gone.wait()

    served = Served(app)
    await begun.wait()
    served.protocol.connection_lost(None)
    gone.set()
    await asyncio.gather(*served.state.tasks)
    assert told == ([] if whole else [True])
