"""One connection against a server that sends any bytes at any border: llhttp's strictness, bounds, reuse.

The server is a raw socket: what it sends is the test's, byte for byte.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_oss.services.upstream_connection import MAX_BARREN_BYTES, MAX_BUFFERED_BYTES, Connection, ConnectionBroken
from codex_oss.services.upstream_pool import CannotConnect, ConnectionPool, TlsFailed

BODY = "one two ä three".encode()
CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX-Two: a\r\nX-Two: b\r\n\r\n"
    b"4;name=value\r\none \r\n5\r\ntwo \xc3\r\n7\r\n\xa4 three\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + BODY
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def server(
    serve: Serve, *, max_idle: int = 8, idle_s: float = 15.0
) -> AsyncIterator[tuple[str, list[bytes], ConnectionPool]]:
    """A server whose connections are numbered; yields its URL, the heads of the requests that it saw, and a pool."""
    heads: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []
    pool = ConnectionPool(max_idle=max_idle, idle_s=idle_s)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(Recording(reader, heads), writer, number)
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(one(reader, writer, len(tasks) + 1)))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", heads, pool
    finally:
        pool.close()
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Recording(asyncio.StreamReader):
    """A reader of requests that notes their heads."""

    def __init__(self, inner: asyncio.StreamReader, heads: list[bytes]) -> None:
        self.inner, self.heads = inner, heads

    async def request(self) -> None:
        """Read one request with a body of two bytes."""
        self.heads.append(await self.inner.readuntil(b"\r\n\r\n"))
        await self.inner.readexactly(2)


def answering(pieces: Iterable[bytes], *, close: bool = True) -> Serve:
    """Answer every request with these writes; then close, or go on."""
    kept = list(pieces)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        assert isinstance(reader, Recording)
        while True:
            await reader.request()
            for piece in kept:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                writer.close()
                await writer.wait_closed()
                return

    return serve


async def post(pool: ConnectionPool, url: str) -> bytes:
    """One request; the whole body of its answer."""
    connection = await pool.post(url, {"X-Key": "k"}, b"{}")
    try:
        return await rest_of(connection)
    finally:
        pool.release(connection)


async def rest_of(connection: Connection) -> bytes:
    """Read to the end."""
    got = b""
    while chunk := await connection.read():
        got += chunk
    return got


def cut(data: bytes, borders: Iterable[int]) -> list[bytes]:
    """*data* in pieces that end at these offsets."""
    marks = sorted({0, len(data), *(border for border in borders if 0 < border < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([CHUNKED, COUNTED, UNTIL_CLOSE]), st.lists(st.integers(0, len(CHUNKED)), max_size=40))
async def test_any_split_gives_the_same_body(answer: bytes, borders: list[int]) -> None:
    """Wherever the writes are cut, the body is the same, 1xx, chunk extensions and trailers read over."""
    async with server(answering(cut(answer, borders))) as (url, _, pool):
        assert await post(pool, url) == BODY


@pytest.mark.parametrize("answer", [CHUNKED, COUNTED, UNTIL_CLOSE])
async def test_a_body_cut_at_any_byte(answer: bytes) -> None:
    """A cut answer is broken, never shorter; only a body without any length ends with its connection."""
    head = answer.rindex(b"\r\n\r\n", 0, answer.index(b"one") + 1) + 4
    for at in range(len(answer)):
        async with server(answering([answer[:at]])) as (url, _, pool):
            if answer is UNTIL_CLOSE and at >= head:
                assert await post(pool, url) == answer[head:at]
            else:
                with pytest.raises(ConnectionBroken):
                    await post(pool, url)


OK = b"HTTP/1.1 200 OK\r\n"
RUDE = {
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "length beside chunked": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "negative length": OK + b"Content-Length: -1\r\n\r\n",
    "length beyond 64 bits": OK + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "negative chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "chunk longer than said": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "folded header": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "blank before colon": OK + b"Content-Length : 0\r\n\r\n",
    "zero in a header": OK + b"A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "other protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless head": OK + b"A: " + b"x" * (5 * MAX_BARREN_BYTES),
    "endless continue": b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_BARREN_BYTES // 5),
    "endless extension": OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * (5 * MAX_BARREN_BYTES),
    "endless trailer": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"x" * (5 * MAX_BARREN_BYTES),
}


@pytest.mark.parametrize("answer", RUDE.values(), ids=RUDE.keys())
async def test_what_is_no_answer_breaks(answer: bytes) -> None:
    """Framing that two readers could read in two ways, and heads without end, break the exchange at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        assert isinstance(reader, Recording)
        await reader.request()
        for start in range(0, len(answer), 16384):
            writer.write(answer[start : start + 16384])
            await writer.drain()
        await reader.inner.read()  # stays open: the client must not wait for an end

    async with server(serve) as (url, heads, pool), asyncio.timeout(20):
        with pytest.raises(ConnectionBroken):
            await post(pool, url)
        assert len(heads) == 1


async def test_a_kept_connection_is_used_again() -> None:
    """Answers with a length and chunked ones leave the connection for the next request."""
    for answer in (CHUNKED, COUNTED):
        async with server(answering([answer], close=False)) as (url, heads, pool):
            connection = await pool.post(url, {}, b"{}")
            assert connection.headers.get("x-two", "a, b") == "a, b"
            await rest_of(connection)
            pool.release(connection)
            again = await pool.post(url, {}, b"{}")
            assert again is connection
            assert await rest_of(again) == BODY
            pool.release(again)
        assert len(heads) == 2


@pytest.mark.parametrize(
    "answer",
    [
        COUNTED + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        COUNTED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        COUNTED.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["a second answer", "connection: close", "http/1.0"],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer: bytes) -> None:
    """An answer that nobody asked for never becomes the answer of the next request."""
    async with server(answering([answer], close=False)) as (url, heads, pool):
        assert await post(pool, url) == BODY
        assert await post(pool, url) == BODY
        assert len(heads) == 2
        assert not pool._idle


async def test_a_late_second_answer_ends_an_idle_connection() -> None:
    """Bytes on an idle connection close it; the next request gets its own answer on a new one."""
    planted = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        assert isinstance(reader, Recording)
        await reader.request()
        writer.write(COUNTED)
        if number == 1:
            await planted.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await reader.inner.read()

    async with server(serve) as (url, heads, pool):
        connection = await pool.post(url, {}, b"{}")
        await rest_of(connection)
        pool.release(connection)
        planted.set()
        async with asyncio.timeout(10):
            while connection.reusable:  # noqa: ASYNC110 (the transport tells nobody)
                await asyncio.sleep(0.01)
        assert await post(pool, url) == BODY
        assert len(heads) == 2


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["silent", "after a word"])
async def test_a_stale_connection_is_replaced_only_when_nothing_was_said(said: bytes) -> None:
    """A kept connection closed before the first byte costs nothing; after a byte nothing is repeated."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        assert isinstance(reader, Recording)
        await reader.request()
        writer.write(COUNTED)
        if number == 1:
            await reader.request()
            writer.write(said)
            await writer.drain()
            writer.close()
        else:
            await reader.inner.read()

    async with server(serve) as (url, heads, pool):
        assert await post(pool, url) == BODY
        if said:
            with pytest.raises(ConnectionBroken):
                await post(pool, url)
            assert len(heads) == 2
        else:
            assert await post(pool, url) == BODY
            assert len(heads) == 3


async def test_a_new_connection_is_never_tried_twice() -> None:
    """A server that takes a request on a new connection and hangs up was asked once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        assert isinstance(reader, Recording)
        await reader.request()

    async with server(serve) as (url, heads, pool):
        with pytest.raises(ConnectionBroken):
            await post(pool, url)
        assert len(heads) == 1


async def test_a_reader_that_left_early_costs_the_connection() -> None:
    """What was not read of an answer can never be taken for the next one."""
    async with server(answering([COUNTED], close=False)) as (url, heads, pool):
        connection = await pool.post(url, {}, b"{}")
        pool.release(connection)
        assert await post(pool, url) == BODY
        assert len(heads) == 2


async def test_a_slow_reader_holds_the_server_back() -> None:
    """Beyond the bound nothing more is read from the socket, and nothing is lost when reading goes on."""
    size = 64 * 1024 * 1024
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        nonlocal written
        assert isinstance(reader, Recording)
        await reader.request()
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(bytes(1 << 20))
            written += 1 << 20
            await writer.drain()
        await reader.inner.read()

    async with server(serve) as (url, _, pool), asyncio.timeout(60):
        connection = await pool.post(url, {}, b"{}")
        seen = -1
        while seen != written:  # until the server stands still
            seen = written
            await asyncio.sleep(0.2)
        assert written < size
        assert connection._ready_bytes < MAX_BUFFERED_BYTES + (1 << 20)
        got = 0
        while chunk := await connection.read():
            got += len(chunk)
        assert got == size
        pool.release(connection)


async def test_idle_connections_are_bounded_in_number_and_time() -> None:
    """The pool keeps no more than its bound, and none longer than its time."""
    async with server(answering([COUNTED], close=False), max_idle=2, idle_s=0.1) as (url, _, pool):
        connections = [await pool.post(url, {}, b"{}") for _ in range(4)]
        for connection in connections:
            await rest_of(connection)
            pool.release(connection)
        assert len(pool._idle) <= 2
        async with asyncio.timeout(10):
            while pool._idle:  # noqa: ASYNC110 (the timer of the pool is what is awaited)
                await asyncio.sleep(0.02)


async def test_what_would_split_a_head_is_not_sent() -> None:
    """A header value with a line end raises before anything is sent."""
    async with server(answering([COUNTED])) as (url, heads, pool):
        with pytest.raises(ValueError, match="control"):
            await pool.post(url, {"X-Key": "a\r\nX-Evil: 1"}, b"{}")
        assert heads == []


async def test_a_proxy_gets_the_whole_address_and_its_key() -> None:
    """A plain request through a proxy names its target in full; the proxy's password is a header, not a path."""
    async with server(answering([COUNTED])) as (url, heads, pool):
        proxy = url.replace("http://", "http://me:se%20cret@").removesuffix("/v1")
        connection = await pool.post("http://models.invalid/v1/x", {}, b"{}", proxy=proxy)
        assert await rest_of(connection) == BODY
        lines = heads[0].decode().split("\r\n")
        assert lines[0] == "POST http://models.invalid/v1/x HTTP/1.1"
        assert lines[1] == "Host: models.invalid"
        assert "Proxy-Authorization: Basic bWU6c2UgY3JldA==" in lines


async def test_a_proxy_that_refuses_the_tunnel() -> None:
    """For https the proxy is asked for a tunnel and sees the host only; its refusal is "cannot connect"."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        assert isinstance(reader, Recording)
        seen.append(await reader.inner.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Key Please\r\nContent-Length: 0\r\n\r\n")
        await reader.inner.read()

    async with server(serve) as (url, _, pool):
        with pytest.raises(CannotConnect, match="407"):
            await pool.post(
                "https://models.invalid/v1", {"Authorization": "Bearer k"}, b"{}", proxy=url.removesuffix("/v1")
            )
        assert seen == [b"CONNECT models.invalid:443 HTTP/1.1\r\nHost: models.invalid:443\r\n\r\n"]


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of `localhost` that nobody trusts yet, and a server's settings with it."""
    key, certificate = folder / "key", folder / "certificate"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=localhost"
    subprocess.run([*make.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.parametrize("tunnelled", [False, True])
async def test_tls_is_verified_also_through_a_tunnel(
    tunnelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown certificate is refused; a trusted one serves two requests on one connection, proxy or not."""
    certificate, context = make_certificate(tmp_path)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        assert isinstance(reader, Recording)
        if tunnelled:
            asked.append(await reader.inner.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.start_tls(context)
        while True:
            await reader.request()
            writer.write(CHUNKED)

    async with server(serve) as (url, heads, pool):
        port = url.removesuffix("/v1").rpartition(":")[2]
        proxy = f"http://127.0.0.1:{port}" if tunnelled else ""
        target = f"https://localhost:{port}/v1"
        with pytest.raises(TlsFailed):
            await pool.post(target, {"Authorization": "Bearer k"}, b"{}", proxy=proxy)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusting = ConnectionPool()
        for _ in range(2):
            connection = await trusting.post(target, {"Authorization": "Bearer k"}, b"{}", proxy=proxy)
            assert await rest_of(connection) == BODY
            trusting.release(connection)
        trusting.close()
        await asyncio.sleep(0)
    assert len(heads) == 2
    assert all(b"Bearer" not in head for head in asked)
    assert len(asked) == (2 if tunnelled else 0)
