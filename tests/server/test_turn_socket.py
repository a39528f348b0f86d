"""WebSocket mode through the real process, with the client of the `websockets` package."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, cut, error, held, text, tool_call

MODEL = "ocg-kimi-k2.6"
CAP = 200_000
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
OFFICIAL: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SCRIPTED: dict[str, Answer] = {
    "held": held(text("hello there", pieces=4), "rest", after=2),
    "left": held(text("hello there", pieces=4), "never", after=2),
    "call": tool_call("shell", {"command": "ls"}),
    "limited": error(429, "slow down", retry_after="30"),
    "cut": cut(text("hello there", pieces=6), 700),
}


def script(request: Request) -> Answer:
    """The last word names the answer; any other gets a text."""
    return SCRIPTED.get(str(request.messages[-1]["content"]), text("hello there"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream for all turns."""
    with ChatUpstream(script) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """A bridge that takes messages of 200 kB and does not retry."""
    project: Path = tmp_path_factory.mktemp("sockets") / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss" / "config.toml").write_text(f"max_body_bytes = {CAP}\n")
    with running_bridge(project, upstream=upstream.base_url, UPSTREAM_RETRIES="0") as running:
        yield running


def dial(bridge: BridgeProcess, path: str = "/responses", key: str = LOCAL_KEY, **options: Any) -> Connection:
    """A connection; a context manager."""
    url = bridge.base_url.replace("http://", "ws://") + path
    headers = {"Authorization": f"Bearer {key}", **options.pop("headers", {})}
    return connect(url, additional_headers=headers, open_timeout=10, close_timeout=5, max_size=None, **options)


def create(connection: Connection, said: Any, **more: Any) -> None:
    """Ask for one response."""
    connection.send(json.dumps({"type": "response.create", "model": MODEL, "store": False, "input": said, **more}))


def answer(connection: Connection) -> list[dict[str, Any]]:
    """Every event up to the terminal one; a failure inside a turn is `error` and `response.failed`."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in ENDS or ("status" not in events[-1] and "error" in events[-1]):
        events.append(json.loads(connection.recv(timeout=10)))
    return events


def close_code(connection: Connection) -> int | None:
    """The code with which the bridge closes; what it sends before is passed over."""
    with suppress(ConnectionClosed):
        for _ in connection:
            pass
    return connection.close_code


def ask(connection: Connection, said: Any, **more: Any) -> list[dict[str, Any]]:
    """One whole turn."""
    create(connection, said, **more)
    return answer(connection)


def contents(request: Request) -> list[Any]:
    """What the upstream was told, role by role."""
    return [message["content"] for message in request.messages]


def joined_deltas(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adjacent deltas of one item as one, and all events numbered anew; checks that the numbers had no gap."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    out: list[dict[str, Any]] = []
    for event in events:
        last = out[-1] if out else {}
        if event["type"].endswith(".delta") and (last.get("type"), last.get("item_id")) == (
            event["type"],
            event["item_id"],
        ):
            out[-1] = {**last, "delta": last["delta"] + event["delta"]}
        else:
            out.append(event)
    return [{**event, "sequence_number": number} for number, event in enumerate(out)]


def without_ids(events: list[dict[str, Any]]) -> str:
    """The events as text, without what differs from turn to turn: ids, times, and where reads cut the deltas."""
    first = events[0]["response"]
    return (
        json.dumps(joined_deltas(events))
        .replace(first["id"].removeprefix("resp_"), "ID")
        .replace(f'"created_at": {first["created_at"]}', '"created_at": 1')
        .replace(f'"completed_at": {events[-1]["response"]["completed_at"]}', '"completed_at": 2')
    )


@pytest.mark.parametrize("said", ["hi", "call", "cut"])
def test_the_events_are_those_of_sse(bridge: BridgeProcess, said: str) -> None:
    """A turn over WebSocket is the same list of events, one a text frame, and each fits the official types."""
    streamed = bridge.post({"model": MODEL, "store": False, "input": said, "stream": True}).events
    with dial(bridge) as connection:
        events = ask(connection, said, stream=True)
    assert without_ids(events) == without_ids(streamed)
    for event in events:
        if event["type"] != "error":  # the package knows the flat form of this one only
            OFFICIAL.validate_python(event)


def test_a_conversation_by_deltas(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """Warm-up, question, tool output: each create sends only what is new, the upstream sees the whole."""
    with dial(bridge) as connection:
        before = len(upstream.chats)
        warm = ask(connection, [{"role": "developer", "content": "Be brief."}], generate=False)
        assert [event["type"] for event in warm] == ["response.created", "response.in_progress", "response.completed"]
        assert warm[-1]["response"]["output"] == []
        assert warm[-1]["response"]["usage"]["total_tokens"] == 0
        assert len(upstream.chats) == before
        called = ask(connection, "call", previous_response_id=warm[-1]["response"]["id"])
        (call,) = called[-1]["response"]["output"]
        result = [{"type": "function_call_output", "call_id": call["call_id"], "output": "file.txt"}]
        done = ask(connection, result, previous_response_id=called[-1]["response"]["id"], model=None)
    assert done[-1]["response"]["previous_response_id"] == called[-1]["response"]["id"]
    assert [message["role"] for message in upstream.chats[-1].messages] == ["system", "user", "assistant", "tool"]
    assert upstream.chats[-1].messages[-1]["content"] == "file.txt"
    assert contents(upstream.chats[-1])[:2] == ["Be brief.", "call"]
    assert upstream.chats[-1].messages[: len(upstream.chats[-2].messages)] == upstream.chats[-2].messages


def test_the_official_client(bridge: BridgeProcess) -> None:
    """`responses.connect` of the openai package holds a conversation of two turns, and reads a refusal."""
    with (
        OpenAI(base_url=bridge.base_url, api_key=LOCAL_KEY) as client,
        client.responses.connect() as connection,
    ):
        previous = None
        for _ in range(2):
            connection.response.create(model=MODEL, input="hi", previous_response_id=previous)
            for event in connection:
                if event.type == "response.completed":
                    previous = event.response.id
                    assert event.response.output_text == "hello there"
                    break
        connection.response.create(model="nobody", input="hi")
        refused = connection.recv()
    assert refused.type == "error"


def test_only_the_latest_is_kept(bridge: BridgeProcess) -> None:
    """An older id, an invented one and that of another connection are refused as the protocol says."""
    with dial(bridge) as connection, dial(bridge) as other:
        first = ask(connection, "hi")[-1]["response"]["id"]
        latest = ask(connection, "hi")[-1]["response"]["id"]
        for where, unknown in ((connection, first), (connection, "resp_none"), (connection, ""), (other, latest)):
            (refused,) = ask(where, "more", previous_response_id=unknown)
            assert (refused["type"], refused["status"]) == ("error", 400)
            assert refused["error"]["type"] == "invalid_request_error"
            assert refused["error"]["code"] == "previous_response_not_found"
            assert refused["error"]["param"] == "previous_response_id"
        assert ask(connection, "more", previous_response_id=latest)[-1]["type"] == "response.completed"


def test_what_is_stored_outlives_the_connection(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """A stored response continues over either transport, with all before it; what only the connection knew, too."""
    posted = bridge.post({"model": MODEL, "input": "one"}).json["id"]
    with dial(bridge) as connection:
        unstored = ask(connection, "two", previous_response_id=posted)[-1]["response"]["id"]
        stored = ask(connection, "three", previous_response_id=unstored, store=True)[-1]["response"]
    assert stored["previous_response_id"] == unstored
    assert bridge.request("GET", f"/v1/responses/{unstored}").status == 404
    with dial(bridge) as connection:
        assert ask(connection, "four", previous_response_id=stored["id"])[-1]["type"] == "response.completed"
    assert bridge.post({"model": MODEL, "input": "four", "previous_response_id": stored["id"]}).status == 200
    for chat in upstream.chats[-2:]:
        said = [message["content"] for message in chat.messages if message["role"] == "user"]
        assert said == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("said", "more"), [("limited", {}), ("cut", {}), ("hi", {"model": "nobody"}), ("hi", {"temperature": "hot"})]
)
def test_a_failed_turn_drops_the_state(bridge: BridgeProcess, said: str, more: dict[str, Any]) -> None:
    """What a failed turn continued cannot be continued again; the connection itself goes on."""
    with dial(bridge) as connection:
        latest = ask(connection, "hi")[-1]["response"]["id"]
        assert ask(connection, said, previous_response_id=latest, **more)[-1]["type"] in ("error", "response.failed")
        (refused,) = ask(connection, "hi", previous_response_id=latest)
        assert refused["error"]["code"] == "previous_response_not_found"
        assert ask(connection, "hi")[-1]["type"] == "response.completed"


def test_a_failure_before_the_first_event_has_its_status(bridge: BridgeProcess) -> None:
    """The frame is the body of the HTTP error with its status; after the first event it is error and failed."""
    with dial(bridge) as connection:
        (refused,) = ask(connection, "limited")
        assert (refused["status"], refused["error"]["code"]) == (429, "rate_limited")
        (unknown,) = ask(connection, "hi", model="nobody")
        assert (unknown["status"], unknown["error"]["code"]) == (404, "model_not_found")
        assert [event["type"] for event in ask(connection, "cut")[-2:]] == ["error", "response.failed"]


@pytest.mark.parametrize(
    ("frame", "param"),
    [
        ("{", None),
        ("[]", None),
        ("null", None),
        ("[" * 100_000, None),
        ('{"type": "response.cancel"}', "type"),
        ("{}", "type"),
        ('{"type": "response.create"}', "model"),
        (json.dumps({"type": "response.create", "model": MODEL, "input": []}), "input"),
        (json.dumps({"type": "response.create", "model": MODEL, "input": "hi", "background": True}), "background"),
        (json.dumps({"type": "response.create", "model": MODEL, "input": "hi", "stream_id": "a"}), "stream_id"),
        (json.dumps({"type": "response.create", "model": MODEL, "input": "\ud800", "tools": 3}), "tools"),
    ],
)
def test_nonsense_is_an_error_frame(bridge: BridgeProcess, frame: str, param: str | None) -> None:
    """Every unusable frame is answered, and the connection goes on."""
    with dial(bridge) as connection:
        connection.send(frame)
        (refused,) = answer(connection)
        assert (refused["status"], refused["error"]["code"]) == (400, "invalid_request")
        assert refused["error"]["param"] == param
        assert ask(connection, "hi")[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("frame", "code"), [(b"binary", 1003), ("x" * (CAP + 1), 1009)], ids=["binary", "larger than a body may be"]
)
def test_what_cannot_be_read_closes(bridge: BridgeProcess, frame: bytes | str, code: int) -> None:
    """A binary frame and one beyond the bound end the connection with the code that says why."""
    with dial(bridge) as connection:
        connection.send(frame)
        assert close_code(connection) == code


def test_a_conversation_has_the_bound_of_a_body(bridge: BridgeProcess) -> None:
    """Deltas cannot grow past what one body may hold."""
    with dial(bridge) as connection:
        latest = ask(connection, "x" * (CAP // 2))[-1]["response"]["id"]
        (refused,) = ask(connection, "y" * (CAP // 2), previous_response_id=latest)
    assert (refused["status"], refused["error"]["code"]) == (413, "request_too_large")


def test_one_response_at_a_time(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """Creates that come meanwhile wait in order, and may continue each other; beyond the bound they are refused."""
    with dial(bridge) as connection:
        create(connection, "held")
        while json.loads(connection.recv(timeout=10))["type"] != "response.output_text.delta":
            pass
        for number in range(9):
            create(connection, f"number {number}")
        while (event := json.loads(connection.recv(timeout=10)))["type"] != "error":
            assert event["type"] == "response.output_text.delta"
        assert (event["status"], event["error"]["code"]) == (429, "capacity_exceeded")
        upstream.release("rest")
        assert answer(connection)[-1]["type"] == "response.completed"
        for _ in range(8):
            assert answer(connection)[-1]["type"] == "response.completed"
    assert [contents(chat) for chat in upstream.chats[-8:]] == [[f"number {number}"] for number in range(8)]


def test_steering_is_refused(bridge: BridgeProcess) -> None:
    """A steer gets its own failed event, in the official form, with its input."""
    with dial(bridge) as connection:
        connection.send(json.dumps({"type": "response.steer", "previous_response_id": "resp_1", "input": "stop"}))
        refused = json.loads(connection.recv(timeout=10))
        assert (refused["type"], refused["error"]["code"]) == ("response.steer.failed", "steering_not_supported")
        assert refused["steer"] == {"input": "stop", "previous_response_id": "resp_1"}
        assert ask(connection, "hi")[-1]["type"] == "response.completed"


@pytest.mark.parametrize("politely", [True, False])
def test_a_leaving_client_closes_the_upstream(bridge: BridgeProcess, upstream: ChatUpstream, politely: bool) -> None:
    """By a close frame or without: the turn is cancelled at once, and what waits behind it never begins."""
    before = len(upstream.chats)
    with dial(bridge) as connection:
        create(connection, "left")
        create(connection, "never asked")
        while json.loads(connection.recv(timeout=10))["type"] != "response.output_text.delta":
            pass
        if politely:
            connection.close()
        else:
            connection.socket.shutdown(socket.SHUT_RDWR)
        assert upstream.chats[before].client_left.wait(10)
    assert ask_once(bridge) == "response.completed"
    assert [contents(chat)[-1] for chat in upstream.chats[before:]] == ["left", "hi"]


def ask_once(bridge: BridgeProcess) -> str:
    """How a turn on a fresh connection ends."""
    with dial(bridge) as connection:
        return str(ask(connection, "hi")[-1]["type"])


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"key": "wrong"}, 401),
        ({"headers": {"Origin": "http://evil.example"}}, 403),
        ({"headers": {"Origin": "null"}}, 403),
        ({"path": "/models"}, 426),
        ({"path": "/health"}, 426),
        ({"path": "/nowhere"}, 426),
    ],
)
def test_the_handshake_is_checked(bridge: BridgeProcess, options: dict[str, Any], status: int) -> None:
    """Key and origin are those of HTTP, and no other path takes an upgrade; the refusal is our JSON."""
    with pytest.raises(InvalidStatus) as refused:
        dial(bridge, **options)
    response = refused.value.response
    assert response.status_code == status
    assert response.headers["x-request-id"].startswith("req_")
    assert json.loads(response.body or b"")["error"]["message"]


HANDSHAKE = "Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
VERSION = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
KEY = f"Authorization: Bearer {LOCAL_KEY}\r\n"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", HANDSHAKE + KEY, b"400"),
        ("POST", HANDSHAKE + VERSION + KEY, b"400"),
        ("GET", HANDSHAKE.replace("127.0.0.1", "evil.example") + VERSION + KEY, b"403"),
        ("GET", HANDSHAKE + VERSION + KEY + "".join(f"X-{n}: 1\r\n" for n in range(300)), b"400"),
        ("GET", HANDSHAKE + VERSION + KEY, b"101"),
        ("GET", "Host: 127.0.0.1\r\nConnection: close\r\n" + KEY, b"405"),
    ],
    ids=["no key of a handshake", "post", "rebound name", "many headers", "right", "no upgrade"],
)
def test_every_handshake_is_answered(bridge: BridgeProcess, method: str, headers: str, status: bytes) -> None:
    """No client waits for ever, whatever it calls a handshake."""
    with socket.create_connection(("127.0.0.1", bridge.port), 10) as peer:
        peer.sendall(f"{method} /v1/responses HTTP/1.1\r\n{headers}\r\n".encode())
        assert peer.recv(65536).split(b" ")[1] == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_turn_and_connections(tmp_path: Path, number: signal.Signals) -> None:
    """The running turn gets its failed event, what waits is not begun, both connections are closed with 1012."""
    with (
        ChatUpstream([held(text("never ends", pieces=4), "never", after=2)]) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0.2") as bridge,
        dial(bridge) as busy,
        dial(bridge) as idle,
    ):
        create(busy, "hi")
        create(busy, "waits")
        while json.loads(busy.recv(timeout=10))["type"] != "response.output_text.delta":
            pass
        bridge.process.send_signal(number)
        events = answer(busy)
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["response"]["error"]["message"] == "The bridge is shutting down."
        for connection in (busy, idle):
            assert close_code(connection) == 1012
        assert bridge.process.wait(10) == 0
        assert len(upstream.chats) == 1


def test_a_client_that_does_not_read_cannot_hold_the_end_up(tmp_path: Path) -> None:
    """A stuck client costs its own connection, not the 5 s."""
    flood = text("x" * 8_000_000, pieces=200)
    with (
        ChatUpstream([flood]) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0.2") as bridge,
        socket.create_connection(("127.0.0.1", bridge.port), 10) as peer,
    ):
        peer.sendall(f"GET /v1/responses HTTP/1.1\r\n{HANDSHAKE}{VERSION}{KEY}\r\n".encode())
        assert b" 101 " in peer.recv(4096)
        said = json.dumps({"type": "response.create", "model": MODEL, "input": "hi"}).encode()
        peer.sendall(bytes((0x81, 0x80 | len(said), 0, 0, 0, 0)) + said)
        upstream.wait_for_requests(1)
        begun = time.monotonic()
        bridge.process.terminate()
        bridge.process.wait(10)
        assert time.monotonic() - begun < 5  # the promise of the process, not a measurement


def test_a_bridge_without_websockets(tmp_path: Path) -> None:
    """Switched off, an upgrade is refused with 426, which sends a client back to HTTP."""
    project = tmp_path / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss" / "config.toml").write_text("websockets = false\n")
    with running_bridge(project) as bridge, pytest.raises(InvalidStatus) as refused:
        dial(bridge)
    assert refused.value.response.status_code == 426


def test_nothing_unexpected_was_logged(bridge: BridgeProcess) -> None:
    """All of the above left no error in the log."""
    assert " ERROR " not in bridge.log.read_text()
