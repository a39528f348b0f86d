"""Background responses through the real process: begun, looked at, streamed again, cancelled, what a kill leaves."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from websockets.sync.client import connect

from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action, cut, error, held, text
from tests.server.test_missions import READ, REPORT, handed

MODEL = "ocg-kimi-k2.6"
NO_RETRY = {"UPSTREAM_RETRIES": "0", "FALLBACK_MODEL_MAP_JSON": '{"kimi": []}'}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
FAILING: dict[str, Answer] = {"cut": cut(text("hello there", pieces=6), 700), "broken": error(503, "overloaded")}


def answer_to(request: Request) -> Answer:
    """`hold NAME` is answered in half until the test releases NAME."""
    last = str(request.messages[-1].get("content"))
    if last.startswith("hold "):
        return held(text("hello there", pieces=4), last.removeprefix("hold "), after=2)
    return FAILING.get(last, text(f"seen {len(request.messages)}"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream for all turns."""
    with ChatUpstream(answer_to) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all turns."""
    project = tmp_path_factory.mktemp("background") / "project"
    with running_bridge(project, upstream=upstream.base_url, **NO_RETRY) as process:
        yield process


@pytest.fixture(scope="module")
def sdk(bridge: BridgeProcess) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(api_key=LOCAL_KEY, base_url=bridge.base_url, max_retries=0) as client:
        yield client


def begun(bridge: BridgeProcess, words: str, **fields: Any) -> dict[str, Any]:
    """A background turn, as it was answered."""
    answer = bridge.post({"model": MODEL, "input": words, "background": True, **fields})
    assert answer.status == 200, answer.body
    response: dict[str, Any] = answer.json
    return response


def seen(bridge: BridgeProcess, response_id: str, *statuses: str) -> dict[str, Any]:
    """The response once it has one of *statuses*."""
    while (response := bridge.request("GET", f"/v1/responses/{response_id}").json)["status"] not in statuses:
        time.sleep(0.02)
    found: dict[str, Any] = response
    return found


def events_of(bridge: BridgeProcess, response_id: str, after: int | None = None) -> list[dict[str, Any]]:
    """Its events from the retrieving stream."""
    query = "stream=true" if after is None else f"stream=true&starting_after={after}"
    answer = bridge.request("GET", f"/v1/responses/{response_id}?{query}")
    assert answer.status == 200, answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    return answer.events


def first_id(response: http.client.HTTPResponse) -> str:
    """The id in the first frame of a stream."""
    response.readline()
    return str(json.loads(response.readline().removeprefix(b"data: "))["response"]["id"])


def test_by_the_sdk(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """Begun, polled until it ended, continued, deleted."""
    first = sdk.responses.create(model=MODEL, input="hold sdk", background=True)
    assert (first.status, first.background, first.output) == ("queued", True, [])
    assert sdk.responses.retrieve(first.id).status in ("queued", "in_progress")
    with pytest.raises(openai.BadRequestError) as early:
        sdk.responses.create(model=MODEL, input="x", previous_response_id=first.id)
    assert "has not ended" in early.value.message
    upstream.release("sdk")
    while (found := sdk.responses.retrieve(first.id)).status in ("queued", "in_progress"):
        time.sleep(0.02)
    assert (found.status, found.output_text, found.background) == ("completed", "hello there", True)
    assert found.usage is not None
    assert sdk.responses.cancel(first.id).status == "completed"
    assert sdk.responses.create(model=MODEL, input="x", previous_response_id=first.id).output_text == "seen 3"
    sdk.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(first.id)


def test_a_stream_and_its_second_reading_by_the_sdk(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """Left in the middle and picked up from a number; the joined events are one whole stream."""
    stream = sdk.responses.create(model=MODEL, input="hold picked", background=True, stream=True)
    before = []
    for event in stream:
        before.append(event)
        if event.type == "response.output_text.delta":
            break
    stream.close()
    created: Any = before[0]
    upstream.release("picked")
    again = sdk.responses.retrieve(created.response.id, stream=True, starting_after=before[-1].sequence_number)
    events = [*before, *again]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type.removeprefix("response.") for event in events[:3]] == ["created", "queued", "in_progress"]
    final: Any = events[-1]
    assert (final.type, final.response.output_text) == ("response.completed", "hello there")


def test_every_event_is_official_and_kept(bridge: BridgeProcess) -> None:
    """A background stream, read at once or later, from the begin or from any number: the same events."""
    body = {"model": MODEL, "input": "hi", "background": True, "stream": True}
    events = bridge.post(body).events
    for event in events:
        EVENT.validate_python(event)
    assert [event["response"]["status"] for event in events if "response" in event] == [
        "queued",
        "queued",
        "in_progress",
        "completed",
    ]
    response_id = events[0]["response"]["id"]
    assert events_of(bridge, response_id) == events
    for after in (0, 3, len(events) - 2, len(events) - 1, len(events) + 5):
        assert events_of(bridge, response_id, after) == events[after + 1 :]
    assert bridge.request("GET", f"/v1/responses/{response_id}").json == events[-1]["response"]
    for odd in ("-1", "x", "", "%00", "9" * 40, "%D9%A1"):
        refused = bridge.request("GET", f"/v1/responses/{response_id}?stream=true&starting_after={odd}")
        assert (refused.status, refused.error["param"]) == (400, "starting_after")


def test_progress_is_seen(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """While it runs: in progress, listed with its input, and many may stream it at once."""
    response_id = begun(bridge, "hold seen")["id"]
    assert seen(bridge, response_id, "in_progress")["output"] == []
    items = bridge.request("GET", f"/v1/responses/{response_id}/input_items").json["data"]
    assert items[0]["content"][0]["text"] == "hold seen"
    streams: list[list[dict[str, Any]]] = []
    readers = [threading.Thread(target=lambda: streams.append(events_of(bridge, response_id, 1))) for _ in range(4)]
    for reader in readers:
        reader.start()
    upstream.release("seen")
    for reader in readers:
        reader.join(20)
    assert len(streams) == 4
    assert all(stream == streams[0] for stream in streams)
    assert streams[0][-1]["type"] == "response.completed"


@pytest.mark.parametrize("stream", [False, True])
def test_cancel(bridge: BridgeProcess, upstream: ChatUpstream, stream: bool) -> None:
    """The upstream is closed at once, whoever streams sees the end, and cancelling again changes nothing."""
    name = f"never {stream}"
    fields = {"model": MODEL, "input": f"hold {name}", "background": True}
    connection, response = bridge.open_stream(fields) if stream else (None, None)
    response_id = first_id(response) if response else begun(bridge, f"hold {name}")["id"]
    seen(bridge, response_id, "in_progress")
    asked = next(chat for chat in upstream.chats if chat.messages[-1]["content"] == f"hold {name}")
    path = f"/v1/responses/{response_id}"
    cancelled = bridge.request("POST", f"{path}/cancel").json
    assert (cancelled["status"], cancelled["error"]) == ("cancelled", None)
    assert asked.client_left.wait(10)
    assert bridge.request("POST", f"{path}/cancel").json == cancelled
    assert bridge.request("GET", path).json == cancelled
    last = events_of(bridge, response_id)[-1]
    assert (last["type"], last["response"]) == ("response.incomplete", cancelled)
    if response and connection:
        assert response.read().endswith(b"data: [DONE]\n\n")
        connection.close()
    refused = bridge.post({"model": MODEL, "input": "x", "previous_response_id": response_id})
    assert "It is cancelled" in refused.error["message"]


def test_it_outlives_its_client(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """Neither leaving a stream nor leaving right after the request ends the turn."""
    connection, response = bridge.open_stream({"model": MODEL, "input": "hold left", "background": True})
    response_id = first_id(response)
    response.close()
    connection.close()
    upstream.release("left")
    assert seen(bridge, response_id, "completed", "failed", "cancelled")["status"] == "completed"


@pytest.mark.parametrize(("words", "code"), [("cut", "server_error"), ("broken", "server_error")])
def test_a_failure_is_looked_at(bridge: BridgeProcess, words: str, code: str) -> None:
    """Before the first byte of the upstream or after it: the request was accepted, so it is a failed response."""
    response = seen(bridge, begun(bridge, words)["id"], "failed", "completed")
    assert response["status"] == "failed"
    assert response["error"]["code"] == code
    events = events_of(bridge, response["id"])
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1]["response"] == response


def test_delete_ends_it(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """Deleted while it runs, it is gone for good: its end does not bring it back."""
    response_id = begun(bridge, "hold deleted")["id"]
    seen(bridge, response_id, "in_progress")
    asked = next(chat for chat in upstream.chats if chat.messages[-1]["content"] == "hold deleted")
    assert bridge.request("DELETE", f"/v1/responses/{response_id}").json["deleted"] is True
    assert asked.client_left.wait(10)
    for path in ("", "?stream=true", "/input_items"):
        assert bridge.request("GET", f"/v1/responses/{response_id}{path}").status == 404


def test_what_is_refused(bridge: BridgeProcess) -> None:
    """Unstored, unknown model, nothing said: an error at once. Streaming what was no background turn: 400."""
    refused = bridge.post({"model": MODEL, "input": "x", "background": True, "store": False})
    assert (refused.status, refused.error["param"]) == (400, "background")
    assert bridge.post({"model": "nobody", "input": "x", "background": True}).status == 404
    assert bridge.post({"model": MODEL, "background": True}).status == 400
    plain = bridge.post({"model": MODEL, "input": "x"}).json
    assert plain["background"] is False
    assert bridge.request("GET", f"/v1/responses/{plain['id']}?stream=true").error["param"] == "stream"
    assert bridge.request("GET", "/v1/responses/resp_x?stream=true").status == 404


def test_a_mission_in_the_background(tmp_path: Path) -> None:
    """Begun and left, its report is there later."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "limits.py").write_text("LIMIT = 3\n")
    with ChatUpstream([action(READ), action(REPORT)]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": "mission-a3-kimi", "input": handed(), "background": True}).json
        response = seen(bridge, answer["id"], "completed", "failed")
        assert '"mission_id": "m_http"' in response["output"][-1]["content"][0]["text"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_bridge_that_ends(upstream: ChatUpstream, tmp_path: Path, how: signal.Signals) -> None:
    """Killed or stopped, nothing stays in progress for ever: the next bridge says that it failed, and why."""
    project = tmp_path / "project"
    extra = {"BRIDGE_SHUTDOWN_DRAIN_SECONDS": "0"}
    with running_bridge(project, upstream=upstream.base_url, **extra) as bridge:
        ids = [begun(bridge, f"hold {how.name} {number}")["id"] for number in range(2)]
        seen(bridge, ids[0], "in_progress")
        bridge.process.send_signal(how)
        bridge.process.wait(10)
    with running_bridge(project, upstream=upstream.base_url, **extra) as bridge:
        for response_id in ids:
            response = bridge.request("GET", f"/v1/responses/{response_id}").json
            assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
            words = {signal.SIGKILL: "The bridge ended", signal.SIGTERM: "shutting down"}[how]
            assert words in response["error"]["message"]
            assert bridge.request("POST", f"/v1/responses/{response_id}/cancel").json == response
            assert bridge.request("GET", f"/v1/responses/{response_id}?stream=true").status == 400
            refused = bridge.post({"model": MODEL, "input": "x", "previous_response_id": response_id})
            assert refused.error["code"] == "previous_response_not_found"
            assert bridge.request("DELETE", f"/v1/responses/{response_id}").status == 200


def test_another_bridge_of_the_same_file(upstream: ChatUpstream, tmp_path: Path) -> None:
    """It says that the turn runs, as long as the other one does."""
    extra = {"PROXY_STATE_DB": str(tmp_path / "shared.sqlite3")}
    with running_bridge(tmp_path / "two", upstream=upstream.base_url, **extra) as two:
        with running_bridge(tmp_path / "one", upstream=upstream.base_url, **extra) as one:
            path = f"/v1/responses/{begun(one, 'hold shared')['id']}"
            assert two.request("GET", path).json["status"] == "queued"
            one.process.kill()
            one.process.wait(10)
        assert two.request("GET", path).json["status"] == "failed"


def test_a_disk_that_takes_nothing(upstream: ChatUpstream, tmp_path: Path) -> None:
    """What cannot be stored can be looked at for as long as this process remembers it."""
    state = tmp_path / "project/.codex-oss/state/responses.sqlite3"
    state.mkdir(parents=True)
    with running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge:
        answer = begun(bridge, "hi")
        response = bridge.request("GET", f"/v1/responses/{answer['id']}")
        assert response.status in (200, 500)
        assert events_of(bridge, answer["id"])[-1]["type"] == "response.completed"


def test_too_many(upstream: ChatUpstream, tmp_path: Path) -> None:
    """Beyond the bound a turn is refused with a time to come back, and the others go on."""
    extra = {"MAX_GLOBAL_UPSTREAM_CONCURRENCY": "100", "MODEL_CONCURRENCY_JSON": '{"kimi": 100}'}
    with running_bridge(tmp_path / "project", upstream=upstream.base_url, **NO_RETRY, **extra) as bridge:
        ids = [begun(bridge, "hold many")["id"] for _ in range(64)]
        refused = bridge.post({"model": MODEL, "input": "x", "background": True})
        assert (refused.status, refused.error["code"]) == (429, "capacity_exceeded")
        assert int(refused.headers["retry-after"]) > 0
        upstream.release("many")
        assert {seen(bridge, response_id, "completed", "failed")["status"] for response_id in ids} == {"completed"}
        assert begun(bridge, "hi")["status"] == "queued"


def test_cancelled_before_it_has_a_slot(upstream: ChatUpstream, tmp_path: Path) -> None:
    """A turn that only waits ends at once too, and the one before it is not disturbed."""
    extra = {"MAX_GLOBAL_UPSTREAM_CONCURRENCY": "1"}
    with running_bridge(tmp_path / "project", upstream=upstream.base_url, **NO_RETRY, **extra) as bridge:
        first = begun(bridge, "hold slot")["id"]
        seen(bridge, first, "in_progress")
        second = begun(bridge, "hi")["id"]
        assert bridge.request("GET", f"/v1/responses/{second}").json["status"] == "queued"
        assert bridge.request("POST", f"/v1/responses/{second}/cancel").json["status"] == "cancelled"
        assert [event["type"].removeprefix("response.") for event in events_of(bridge, second)] == [
            "created",
            "queued",
            "in_progress",
            "incomplete",
        ]
        upstream.release("slot")
        assert seen(bridge, first, "completed", "failed")["status"] == "completed"


def test_not_over_websocket(bridge: BridgeProcess) -> None:
    """It is refused in words, and the connection goes on."""
    headers = {"Authorization": f"Bearer {LOCAL_KEY}"}
    with connect(bridge.base_url.replace("http", "ws") + "/responses", additional_headers=headers) as socket:
        create = {"type": "response.create", "model": MODEL, "input": "hi"}
        socket.send(json.dumps({**create, "background": True}))
        refused = json.loads(socket.recv(timeout=20))
        assert (refused["type"], refused["status"], refused["error"]["param"]) == ("error", 400, "background")
        socket.send(json.dumps(create))
        assert json.loads(socket.recv(timeout=20))["type"] == "response.created"
