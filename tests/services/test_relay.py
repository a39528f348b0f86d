"""The relaying client against a rude loopback backend: bytes and headers identical, cuts seen, nothing followed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from codex_oss.errors import StreamInterrupted, Unavailable, UpstreamError
from codex_oss.services.relay import RelayClient
from codex_oss.services.upstream import Deadlines
from tests.fakes.chat_upstream import (
    Answer,
    Hangup,
    Reset,
    Send,
    Stall,
    Step,
    body,
    cut,
    error,
    held,
    html,
    mute,
    payload_of,
    recut,
)
from tests.fakes.gpt_backend import GptBackend, message

QUICK = Deadlines(first_byte_s=0.3, idle_s=0.3, total_s=5.0)
PATIENT = Deadlines(first_byte_s=10, idle_s=10, total_s=20)
TOKEN = (b"authorization", b"Bearer sk-own-api-key")
SENT = [
    TOKEN,
    (b"content-encoding", b"zstd"),
    (b"x-codex-turn-metadata", '{"workspace": "/häuser"}'.encode()),
    (b"x-twice", b"1"),
    (b"x-long", b"v" * 20_000),
]
BYTES = b"\x28\xb5\x2f\xfd not really zstd \x00\xff"


@asynccontextmanager
async def _client(deadlines: Deadlines = PATIENT) -> AsyncIterator[RelayClient]:
    client = RelayClient(deadlines)
    try:
        yield client
    finally:
        await client.aclose()


async def _post(client: RelayClient, backend: GptBackend) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    async with client.open("POST", f"{backend.base_url}/responses", SENT, BYTES) as answer:
        return answer.status, list(answer.headers), b"".join([chunk async for chunk in answer.chunks()])


async def test_bytes_and_headers_are_those_of_the_client() -> None:
    """Body and headers arrive as given; nothing is added but Host and Content-Length."""
    with GptBackend([message("x")]) as backend:
        async with _client() as client:
            await _post(client, backend)
    (arrived,) = backend.requests
    assert arrived.body == BYTES
    assert set(arrived.headers) == {name.decode() for name, _ in SENT} | {"host", "content-length"}
    assert arrived.headers["x-codex-turn-metadata"].encode("latin-1") == SENT[2][1]
    assert arrived.headers["authorization"] == "Bearer sk-own-api-key"


LIMITED = replace(
    error(429, "slow down", retry_after="7"),
    headers=(("Retry-After", "7"), ("x-codex-primary-used-percent", "100"), ("X-Twice", "a"), ("X-Twice", "b")),
)
ANSWERS: list[Answer] = [
    message("héllo \U0001f600"),
    recut(message("every byte"), range(1, 4000)),
    LIMITED,
    error(401, "expired", code="token_expired"),
    error(500),
    html(502),
    html(200),
    body(b"", status=204),
    Answer((), status=307, headers=(("Location", "https://evil.example/v1/responses"),)),
    replace(body(gzip.compress(b"{}" * 500)), headers=(("Content-Encoding", "gzip"),)),
    replace(body(b"\x00\xff not gzip at all"), headers=(("Content-Encoding", "gzip"),)),
    replace(message("x"), content_type=None),
    replace(message("x"), headers=(("x-codex-turn-state", "s" * 20_000),)),
]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_the_answer_is_that_of_the_backend(answer: Answer) -> None:
    """Whatever the status and encoding: status, headers in order and every byte of the body; asked once."""
    with GptBackend([answer, message("never asked")]) as backend:
        async with _client() as client:
            status, headers, data = await _post(client, backend)
        assert len(backend.requests) == 1
    assert status == answer.status
    assert data == payload_of(answer)
    given = [(name.encode(), value.encode()) for name, value in answer.headers]
    assert [header for header in headers if header[0].decode() in dict(answer.headers)] == given


SHORT = recut(message("ab"), range(0, 5000, 97))


@pytest.mark.parametrize("how", [Reset(), Hangup()])
async def test_a_cut_at_any_offset_is_a_cut(how: Step) -> None:
    """What came before arrives, up to the cut, and the cut is never taken for an end."""
    whole = payload_of(SHORT)
    offsets = [*range(40), *range(40, len(whole), 41), len(whole) - 1, len(whole)]
    with GptBackend([cut(SHORT, at, how) for at in offsets], max_requests=500) as backend:
        async with _client() as client:
            for at in offsets:
                got, ended = b"", False
                with contextlib.suppress(StreamInterrupted, Unavailable):
                    async with client.open("POST", f"{backend.base_url}/responses", SENT, BYTES) as answer:
                        async for chunk in answer.chunks():
                            got += chunk
                        ended = True
                assert whole[:at].startswith(got)
                assert not ended


START = Send(b"data: {}\n\n")
SLOW: list[tuple[Answer, type[UpstreamError], str]] = [
    (mute(), Unavailable, "did not answer in time."),
    (mute(Reset()), Unavailable, "closed the connection without an answer."),
    (Answer((Stall(),)), Unavailable, "sent nothing within 0.3 s."),
    (Answer((START, Stall())), Unavailable, "fell silent for 0.3 s"),
    (Answer((START, Reset())), StreamInterrupted, "The backend broke the connection"),
]


@pytest.mark.parametrize(("answer", "kind", "said"), SLOW)
async def test_silence_ends(answer: Answer, kind: type[UpstreamError], said: str) -> None:
    """The deadlines hold before the head, before the first byte and between bytes."""
    with GptBackend([answer]) as backend:
        async with _client(QUICK) as client:
            with pytest.raises(kind) as caught:
                await _post(client, backend)
        assert len(backend.requests) == 1
    assert said in caught.value.message
    assert "sk-own" not in caught.value.message


async def test_leaving_closes_the_backend_at_once() -> None:
    """A cancelled reader drops its connection."""
    with GptBackend([held(message("x"), "never")]) as backend:
        async with _client() as client:
            task = asyncio.create_task(_post(client, backend))
            await asyncio.to_thread(backend.wait_for_requests, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(backend.requests[0].client_left.wait, 5)


async def test_no_cookie_is_kept() -> None:
    """What one answer sets is not sent with the next request."""
    with GptBackend([message("x"), message("y")]) as backend:
        async with _client() as client:
            await _post(client, backend)
            await _post(client, backend)
    assert "cookie" not in backend.requests[1].headers


async def test_a_dead_backend() -> None:
    """Host and port are named."""
    async with _client() as client:
        with pytest.raises(Unavailable, match=r"Cannot connect to the backend at 127\.0\.0\.1:9\."):
            async with client.open("GET", "http://127.0.0.1:9/v1/models", [], None):
                pass
