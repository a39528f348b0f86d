"""Reading and pumping one connection, mixed in any way: the same bytes, each once, and no fault is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import StreamInterrupted, Unavailable
from codex_oss.services.upstream import Deadlines, UpstreamClient
from codex_oss.services.upstream_connection import Connection, ConnectionBroken
from tests.fakes.chat_upstream import ChatUpstream, held, text
from tests.services.test_upstream_connection import BODY, CHUNKED, COUNTED, UNTIL_CLOSE, answering, cut, server


def keeping(got: list[bytes]) -> Callable[[bytes], bool]:
    """Takes every chunk."""

    def take(chunk: bytes) -> bool:
        got.append(chunk)
        return True

    return take


async def body_by(connection: Connection, plan: list[int]) -> bytes:
    """The whole body: for each number of the plan so many chunks are pumped and one is read, then it is read out."""
    got: list[bytes] = []
    for most in plan:
        left = most

        def take(chunk: bytes) -> bool:
            nonlocal left
            got.append(chunk)
            left -= 1
            return left > 0

        if most:
            await connection.pump(take)
        got.append(await connection.read())
    while chunk := await connection.read():
        got.append(chunk)
    return b"".join(got)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([CHUNKED, COUNTED, UNTIL_CLOSE]),
    st.lists(st.integers(0, len(CHUNKED)), max_size=40),
    st.lists(st.integers(0, 4), max_size=8),
)
async def test_any_mix_gives_the_same_body(answer: bytes, borders: list[int], plan: list[int]) -> None:
    """Whatever is pumped and whatever is read, in whichever pieces it comes, the body is whole and in order."""
    async with server(answering(cut(answer, borders))) as (url, _, pool), asyncio.timeout(20):
        connection = await pool.post(url, {}, b"{}")
        assert await body_by(connection, plan) == BODY
        pool.release(connection)


@pytest.mark.parametrize("at", range(len(CHUNKED) - 20, len(CHUNKED), 3))
async def test_a_break_ends_the_pump_and_is_told_by_the_next_read(at: int) -> None:
    """A cut answer ends the pump; what arrived was handed over, and the reason is not lost."""
    async with server(answering([CHUNKED[:60], CHUNKED[60:at]])) as (url, _, pool), asyncio.timeout(20):
        connection = await pool.post(url, {}, b"{}")
        got: list[bytes] = []
        await connection.pump(keeping(got))
        assert BODY.startswith(b"".join(got))
        with pytest.raises(ConnectionBroken):
            await connection.read()
        pool.release(connection)


async def test_a_fault_of_the_taker_is_raised_where_the_pump_waits() -> None:
    """Not in the loop, where nobody would hear of it; afterwards the body can still be read."""
    async with server(answering([CHUNKED[:60], CHUNKED[60:]])) as (url, _, pool), asyncio.timeout(20):
        connection = await pool.post(url, {}, b"{}")

        def take(_: bytes) -> bool:
            raise LookupError("the taker's own fault")

        with pytest.raises(LookupError, match="own fault"):
            await connection.pump(take)
        while await connection.read():
            pass
        pool.release(connection)


class Line(asyncio.Transport):
    """A transport that goes nowhere."""

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """The request."""

    def is_closing(self) -> bool:
        """It stays."""
        return False

    def abort(self) -> None:
        """Nothing to drop."""


async def test_a_cancelled_pump_takes_nothing_more() -> None:
    """What arrives afterwards waits for a reader."""
    connection = Connection()
    got: list[bytes] = []
    connection.connection_made(Line())
    asking = asyncio.create_task(connection.exchange(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
    await asking
    pumping = asyncio.create_task(connection.pump(keeping(got)))
    await asyncio.sleep(0)
    connection.data_received(b"one")
    pumping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pumping
    connection.data_received(b"two")
    assert (got, await connection.read()) == ([b"one"], b"two")


async def test_silence_ends_a_pump_and_chunks_hold_it_off() -> None:
    """The deadline of silence counts from the last chunk that was handed over."""
    with ChatUpstream([held(text("x" * 40, pieces=20), "never", after=10)]) as upstream:
        client = UpstreamClient(lambda _: "k", Deadlines(5, 0.4, 20), may_hold_key=lambda _: True)
        profile = ModelProfile("m", "ocg-m", "model-m", upstream.base_url)
        got: list[bytes] = []
        async with client.post(profile, b'{"stream": true}', stream=True) as answer, asyncio.timeout(10):
            await answer.pump(keeping(got))
            with pytest.raises(Unavailable, match=r"fell silent for 0\.4 s"):
                await answer.read()
        await client.aclose()
    assert b"".join(got)


async def test_a_reset_within_a_pump_is_our_error() -> None:
    """The read after the pump tells of it in our words."""
    with ChatUpstream([held(text("x" * 40, pieces=20), "never", after=10)]) as upstream:
        client = UpstreamClient(lambda _: "k", Deadlines(5, 5, 20), may_hold_key=lambda _: True)
        profile = ModelProfile("m", "ocg-m", "model-m", upstream.base_url)
        async with client.post(profile, b'{"stream": true}', stream=True) as answer, asyncio.timeout(10):

            def take(_: bytes) -> bool:
                asyncio.get_running_loop().call_soon(answer.connection.abort)
                return True

            await answer.pump(take)
            with pytest.raises(StreamInterrupted):
                await answer.read()
        await client.aclose()
