"""The lines of a protocol on two pipes: bounded, handed over whole, and quiet when the peer is gone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.services import stdio_lines
from codex_oss.services.line_streams import LineSink, LineSource
from codex_oss.services.stdio_lines import Lines


@contextmanager
def pipes(data: bytes) -> Iterator[tuple[Lines, BinaryIO]]:
    """Lines that read *data*, and where what they write can be read."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sender:
        sender.write(data)
    read_back, written = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(read_back, "rb") as back, os.fdopen(written, "wb", 0) as writer:
        yield Lines(reader, writer), back


LINES = st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"") + b"\n"), max_size=8)


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"") + b"\n"), max_size=8), st.integers(0, 8)
)
def test_what_was_read_and_what_comes_make_one_stream(lines: list[bytes], cut: int) -> None:
    """Some lines are read before the hand-over: none is lost, doubled or out of order."""

    async def all_of(channel: Lines) -> list[str]:
        first = [channel.read() for _ in lines[:cut]]
        return [line async for line in LineSource(channel, first)]

    with pipes(b"".join(lines)) as (channel, _):
        assert asyncio.run(all_of(channel)) == [line.decode("utf-8", "replace") for line in lines]


def test_a_line_that_is_too_long_becomes_one_that_is_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a flood is read as it is, half a line at the end too."""
    monkeypatch.setattr(stdio_lines, "MAX_LINE_BYTES", 8)
    with pipes(b"1234567\n" + b"x" * 21 + b"\nnext\nhalf") as (channel, _):
        assert [channel.read() for _ in range(5)] == [b"1234567\n", stdio_lines.TOO_LONG, b"next\n", b"half", b""]


async def test_one_answer_is_left_out_once() -> None:
    """The SDK's answer to the handshake is swallowed; a request of the server with that id, and a later answer, go."""
    request, answer = {"id": 0, "method": "ping"}, {"id": 0, "result": {}}
    with pipes(b"") as (channel, back):
        sink = LineSink(channel, 0)
        for one in (json.dumps(request), json.dumps(answer), json.dumps(answer), "no JSON"):
            await sink.write(one + "\n")
        sent = [back.readline() for _ in range(3)]
    assert sent == [json.dumps(request).encode() + b"\n", json.dumps(answer).encode() + b"\n", b"no JSON\n"]


def test_a_peer_that_is_gone_is_no_error() -> None:
    """Writing to a closed pipe says nothing."""
    with pipes(b"") as (channel, back):
        back.close()
        channel.write(b"x\n")


CHILD = """
import os, subprocess, sys
from codex_oss.services.stdio_lines import claim_stdio
with claim_stdio() as lines:
    print("stray")
    subprocess.run([sys.executable, "-c", "import sys; print('child', repr(sys.stdin.read()))"], check=True)
    lines.write(lines.read())
"""


def test_only_the_protocol_is_on_the_pipes() -> None:
    """What is printed goes to stderr, and a child reads nothing of the peer's."""
    done = subprocess.run([sys.executable, "-c", CHILD], input=b"first\n", capture_output=True, timeout=60, check=True)
    assert done.stdout == b"first\n"
    assert b"stray" in done.stderr
    assert b"child ''" in done.stderr
