"""The upstream client against a rude loopback server: deadlines, broken connections, redirects, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import StreamInterrupted, Unavailable, UpstreamError, UpstreamProtocolError, UpstreamRefused
from codex_oss.services.upstream import Deadlines, UpstreamAnswer, UpstreamClient
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Hangup,
    Reset,
    Send,
    Stall,
    body,
    error,
    held,
    mute,
    payload_of,
    recut,
    text,
)

QUICK = Deadlines(first_byte_s=0.3, idle_s=0.3, total_s=5.0)
PATIENT = Deadlines(first_byte_s=10, idle_s=10, total_s=20)


def _profile(upstream: ChatUpstream, key_env: str = "KEY") -> ModelProfile:
    return ModelProfile("m", "ocg-m", "model-m", upstream.base_url, key_env=key_env)


@asynccontextmanager
async def _client(deadlines: Deadlines = PATIENT, key: str = "synthetic") -> AsyncIterator[UpstreamClient]:
    client = UpstreamClient(lambda _: key, deadlines, may_hold_key=lambda url: "untrusted" not in url)
    try:
        yield client
    finally:
        await client.aclose()


async def _read(client: UpstreamClient, profile: ModelProfile) -> bytes:
    async with client.post(profile, b'{"stream": true}', stream=True) as answer:
        return await _body(answer)


async def _body(answer: UpstreamAnswer) -> bytes:
    read = b""
    while chunk := await answer.read():
        read += chunk
    return read


async def test_bytes_arrive_unchanged_and_the_connection_is_kept() -> None:
    """The body comes as it was sent, and a second request uses the same connection."""
    answer = text("héllo \U0001f600", pieces=4)
    with ChatUpstream([answer, recut(answer, range(1, 500, 3))]) as upstream:
        async with _client() as client:
            assert await _read(client, _profile(upstream)) == payload_of(answer)
            assert await _read(client, _profile(upstream)) == payload_of(answer)
        assert upstream.connections == 1
        sent = upstream.requests[0].headers
    assert sent["authorization"] == "Bearer synthetic"
    assert sent["accept-encoding"] == "identity"
    assert "cookie" not in sent


async def test_no_key_no_header() -> None:
    """A profile without a key variable sends no Authorization at all."""
    with ChatUpstream([text("x")]) as upstream:
        async with _client() as client:
            await _read(client, _profile(upstream, key_env=""))
        assert "authorization" not in upstream.requests[0].headers


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "kéy"])
async def test_an_unusable_key_sends_nothing(key: str) -> None:
    """A missing key, or one that cannot be a header, is told by its variable and stays unsent."""
    with ChatUpstream([text("x")]) as upstream:
        async with _client(key=key) as client:
            with pytest.raises(UpstreamRefused) as caught:
                await _read(client, _profile(upstream))
        assert upstream.requests == []
    assert caught.value.code == "upstream_key_missing"
    assert "KEY" in caught.value.message
    assert not key or key not in caught.value.message + caught.value.hint


async def test_a_key_is_withheld_from_an_address_of_the_project() -> None:
    """An address that only the project names gets no key and no request; one without a key may be asked."""
    async with _client() as client:
        with pytest.raises(UpstreamRefused) as caught:
            await _read(client, ModelProfile("m", "ocg-m", "m", "https://untrusted.invalid/v1", key_env="KEY"))
        assert caught.value.code == "upstream_key_withheld"
        assert caught.value.message == (
            "KEY is not sent to untrusted.invalid:443: only this project's files name that address."
        )
        with pytest.raises(Unavailable):
            await _read(client, ModelProfile("m", "ocg-m", "m", "https://untrusted.invalid/v1", key_env=""))


START = Send(b"data: {}\n\n")
BROKEN: list[tuple[Answer, type[UpstreamError], str]] = [
    (mute(), Unavailable, "did not answer in time."),
    (mute(Reset()), Unavailable, "closed the connection without an answer."),
    (mute(Hangup()), Unavailable, "closed the connection without an answer."),
    (Answer((Stall(),)), Unavailable, "The upstream sent nothing within 0.3 s."),
    (Answer((START, Stall())), Unavailable, "The upstream fell silent for 0.3 s in the middle of its answer."),
    (Answer((START, Reset())), StreamInterrupted, "The upstream broke the connection in the middle of its answer."),
    (Answer((START, Hangup())), StreamInterrupted, "The upstream broke the connection in the middle of its answer."),
    (error(503, "busy"), Unavailable, "failed (HTTP 503)."),
    (body("{}", status=204), UpstreamError, ""),
    (
        Answer((START,), headers=(("Content-Encoding", "gzip"),)),
        UpstreamProtocolError,
        "The upstream compressed its answer although it was asked not to.",
    ),
    (
        Answer((), status=307, headers=(("Location", "/v1/chat/completions"),)),
        UpstreamRefused,
        "answered with a redirect (HTTP 307), which is never followed.",
    ),
]


@pytest.mark.parametrize(("answer", "kind", "message"), BROKEN)
async def test_every_break_becomes_our_error(answer: Answer, kind: type[UpstreamError], message: str) -> None:
    """Silence, resets, half bodies and strange statuses are our errors with one sentence; one request each."""
    with ChatUpstream([answer, text("never asked")]) as upstream:
        async with _client(QUICK) as client:
            with pytest.raises(kind) as caught:
                await _read(client, _profile(upstream))
        assert len(upstream.requests) == 1
    assert message in caught.value.message


async def test_the_total_deadline_ends_a_chatty_answer() -> None:
    """An answer that never falls silent still ends."""
    with ChatUpstream([held(text("x" * 50, pieces=50), "never", after=3)]) as upstream:
        async with _client(Deadlines(first_byte_s=5, idle_s=5, total_s=0.3)) as client:
            with pytest.raises(Unavailable, match=r"did not finish within 0\.3 s"):
                await _read(client, _profile(upstream))


async def test_a_slow_reader_is_no_silent_upstream() -> None:
    """Silence counts only while a read waits: a client that pauses longer than the deadline loses nothing."""
    answer = text("x" * 40, pieces=4)
    with ChatUpstream([answer]) as upstream:
        async with (
            _client(Deadlines(first_byte_s=0.2, idle_s=0.2, total_s=20)) as client,
            client.post(_profile(upstream), b'{"stream": true}', stream=True) as opened,
        ):
            seen = await opened.read()
            await asyncio.sleep(0.6)  # the pause is what is tested
            assert seen + await _body(opened) == payload_of(answer)


async def test_a_dead_address_is_final() -> None:
    """A refused connection names host and port and is not worth a retry."""
    async with _client() as client:
        with pytest.raises(Unavailable) as caught:
            await _read(client, ModelProfile("m", "ocg-m", "m", "http://127.0.0.1:9/v1"))
    assert caught.value.message == "Cannot connect to the upstream at 127.0.0.1:9."
    assert not caught.value.retryable


async def test_cancelling_closes_the_upstream_at_once() -> None:
    """A cancelled reader drops its connection; the client goes on working."""
    with ChatUpstream([held(text("abc"), "never"), text("next")]) as upstream:
        async with _client() as client:
            task = asyncio.create_task(_read(client, _profile(upstream)))
            await asyncio.to_thread(upstream.wait_for_requests, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(upstream.requests[0].client_left.wait, 5)
            assert await _read(client, _profile(upstream)) == payload_of(text("next"))


async def test_the_environment_proxy_spares_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is used for other hosts only."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with ChatUpstream([text("direct")]) as upstream:
        async with _client() as client:
            assert await _read(client, _profile(upstream)) == payload_of(text("direct"))
            with pytest.raises(Unavailable):
                await _read(client, ModelProfile("m", "ocg-m", "m", "http://upstream.invalid/v1"))
