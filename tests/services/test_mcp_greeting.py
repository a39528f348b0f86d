"""What is answered before the SDK is there: the same as the SDK would, and only what is exactly understood."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.server.stdio import stdio_server

from codex_oss.services.delegation import ToolReply
from codex_oss.services.mcp_greeting import GREETED_VERSIONS, Greeter
from codex_oss.services.mcp_host import build_mcp_server

ABOUT = "About."


def line(**fields: Any) -> bytes:
    """One message of a client."""
    return json.dumps({"jsonrpc": "2.0", **fields}).encode() + b"\n"


def initialize(version: str = GREETED_VERSIONS[0], **more: Any) -> bytes:
    """The first message, as Codex sends it."""
    capabilities: dict[str, Any] = {"experimental": {"codex/auth-change": {}}, "elicitation": {"form": {}, "url": {}}}
    client = {"name": "codex-mcp-client", "title": "Codex", "version": "0.169.0"}
    params = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": client} | more
    return line(id=0, method="initialize", params=params)


INITIALIZED = line(method="notifications/initialized")
LIST = line(id="two", method="tools/list", params={"_meta": {"progressToken": 0}})
PING = line(id=3, method="ping")


class Written:
    """Stands for stdout."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def write(self, text: str) -> None:
        self.lines.append(text.encode())

    async def flush(self) -> None:
        pass


async def sdk_answers(*lines: bytes) -> list[Any]:
    """What the SDK's server says to the same lines."""

    async def call(name: str, arguments: Any, tell: Any, caller: Any) -> ToolReply:
        return ToolReply("", {})

    async def source() -> Any:
        for one in lines:
            yield one.decode()
            await anyio.wait_all_tasks_blocked()

    written: Any = Written()
    server = build_mcp_server(call, ABOUT)
    stdin: Any = source()
    async with stdio_server(stdin, written) as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())
    return [json.loads(one) for one in written.lines]


def greeted(*lines: bytes) -> list[Any]:
    """What the greeter says to them; None where the SDK must take over."""
    greeter = Greeter(ABOUT)
    answers = [greeter.take(one) for one in lines]
    return [json.loads(answer) if answer else answer for answer in answers if answer != b""]


@pytest.mark.parametrize("version", GREETED_VERSIONS)
async def test_the_greeting_is_what_the_sdk_says(version: str) -> None:
    """Handshake, list and ping: the same answers, for each version that is greeted."""
    lines = (initialize(version), INITIALIZED, LIST, PING)
    assert greeted(*lines) == await sdk_answers(*lines)


@pytest.mark.parametrize(
    "first",
    [
        initialize("2024-11-05"),
        initialize("2026-07-28"),
        initialize("9999-01-01"),
        initialize(capabilities=3),
        initialize(clientInfo={}),
        line(id=0, method="initialize"),
        line(method="initialize", params={}),
        line(id=None, method="initialize", params={}),
        LIST,
        PING,
        INITIALIZED,
        b"",
        b"\n",
        b"garbage\n",
        b"[]\n",
        b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000,
    ],
)
def test_anything_unusual_is_for_the_sdk(first: bytes) -> None:
    """Nothing is guessed, and nothing is kept for a replay."""
    greeter = Greeter(ABOUT)
    assert greeter.take(first) is None
    assert (greeter.replay, greeter.answered_id) == ([], None)


@pytest.mark.parametrize(
    "later",
    [
        initialize(),
        line(id=1, method="tools/list", params={"cursor": "x"}),
        line(id=0, method="tools/list"),
        line(id=1, method="tools/call", params={"name": "delegate"}),
        line(id=1, method="resources/list"),
        line(method="notifications/cancelled", params={"requestId": 0}),
        line(id=1, result={}),
    ],
)
def test_the_rest_of_a_session_is_for_the_sdk(later: bytes) -> None:
    """What comes after the handshake and is not greeted brings the SDK, with the handshake to replay."""
    greeter = Greeter(ABOUT)
    assert greeter.take(initialize())
    assert greeter.take(INITIALIZED) == b""
    assert greeter.take(later) is None
    assert (greeter.replay, greeter.answered_id) == ([initialize(), INITIALIZED], 0)


@given(st.lists(st.sampled_from([initialize(), INITIALIZED, LIST, PING, b"x\n"]) | st.binary(max_size=40), max_size=6))
def test_no_bytes_make_it_fail(lines: list[bytes]) -> None:
    """Whatever comes is answered, kept or passed on; an answer is one line of JSON."""
    greeter = Greeter(ABOUT)
    for one in lines:
        answer = greeter.take(one)
        assert answer is None or answer == b"" or answer.count(b"\n") == 1
