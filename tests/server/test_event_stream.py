"""The event log of a background turn and those who follow it, by hand: bounds, stragglers, clients that leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.server.background import EVENT_BYTES, EventLog, EventStream


def lines(first: int, count: int) -> bytes:
    """Events whose text says their number."""
    return b"".join(b'{"type":"t","sequence_number":%d}\n' % number for number in range(first, first + count))


def numbers(data: bytes) -> list[int]:
    """The numbers of the frames that were sent."""
    parts = data.split(b'"sequence_number":')[1:]
    return [int(part[: part.index(b"}")]) for part in parts]


class Client:
    """Someone who streams. slow: held back in each write until it is let go."""

    def __init__(self, log: EventLog, first: int = 0) -> None:
        self.data = b""
        self.status = 0
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.task = asyncio.create_task(EventStream(log, first)({"type": "http"}, self.receive, self.send))

    async def receive(self) -> dict[str, Any]:
        """Nothing, until it leaves."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a write when it reads."""
        await self.reads.wait()
        self.status = message.get("status", self.status)
        self.data += message.get("body", b"")


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(100, 1500))
def test_the_newest_are_kept(batches: list[int], max_bytes: int) -> None:
    """Numbers never shift, the bound holds, and what is read from any kept number on is exactly what follows it."""
    log, count = EventLog(max_bytes), 0
    for size in batches:
        log.append(lines(count, size))
        count += size
        assert log.next == count
        assert log.size <= max_bytes or log.next - log.first == 1
        assert log.size == sum(len(event) + EVENT_BYTES for event in log._events)
    for number in range(log.first, log.next + 1):
        assert numbers(log.since(number)) == list(range(number, count))


async def test_a_follower_gets_everything_once() -> None:
    """However the events come, before, while and after it waits."""
    log = EventLog()
    log.append(lines(0, 2))
    client, late = Client(log), Client(log, 4)
    for number in range(2, 9):
        log.append(lines(number, 1))
        for _ in range(number % 3):
            await asyncio.sleep(0)
    log.append(lines(9, 1))
    log.end()
    await asyncio.wait_for(asyncio.gather(client.task, late.task), 10)
    assert numbers(client.data) == list(range(10))
    assert numbers(late.data) == list(range(4, 10))
    assert client.data.endswith(b"data: [DONE]\n\n")


async def test_a_straggler_is_told() -> None:
    """Who does not read until its events are gone gets an error event and an end, never a silent gap."""
    log = EventLog(max_bytes=300)
    log.append(lines(0, 1))
    client = Client(log)
    await asyncio.sleep(0)
    client.reads.clear()
    log.append(lines(1, 50))
    client.reads.set()
    await asyncio.wait_for(client.task, 10)
    assert b"event: error" in client.data
    assert client.data.endswith(b"data: [DONE]\n\n")


async def test_events_that_are_gone_are_refused() -> None:
    """Asked for from the begin, when the begin is not kept: a 400 instead of half a stream."""
    log = EventLog(max_bytes=300)
    log.append(lines(0, 50))
    client = Client(log)
    await asyncio.wait_for(client.task, 10)
    assert client.status == 400
    assert b"not kept" in client.data


@pytest.mark.parametrize("ended", [False, True])
async def test_who_leaves_is_let_go(ended: bool) -> None:
    """While it waits, or with everything sent; the log does not notice."""
    log = EventLog()
    log.append(lines(0, 3))
    client = Client(log)
    await asyncio.sleep(0)
    client.gone.set()
    if ended:
        log.end()
    await asyncio.wait_for(client.task, 10)
    assert numbers(client.data) in ([], [0, 1, 2])
    assert log.next == 3
