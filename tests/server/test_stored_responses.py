"""Stored responses through the real bridge process, mostly by the official SDK: continue, look at, delete."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action, cut, error, held, text, tool_call
from tests.server.test_missions import READ, REPORT, handed

MODEL = "ocg-kimi-k2.6"
TURN = {"model": MODEL, "input": "hi"}
NO_RETRY = {"UPSTREAM_RETRIES": "0", "FALLBACK_MODEL_MAP_JSON": '{"kimi": []}'}
SCRIPTED: dict[str, Answer] = {
    "held": held(text("hello there", pieces=4), "rest", after=2),
    "left": held(text("hello there", pieces=4), "never", after=2),
    "cut": cut(text("hello there", pieces=6), 700),
    "broken": error(503, "overloaded"),
    "short": tool_call("shell", '{"command": "l', finish="length"),
    "call": tool_call("shell", {"command": "ls"}),
}


def answer_to(request: Request) -> Answer:
    """What the last message names; otherwise how many messages came."""
    last = request.messages[-1]
    return SCRIPTED.get(str(last.get("content")), text(f"seen {len(request.messages)}"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream for all turns."""
    with ChatUpstream(answer_to) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all turns."""
    project = tmp_path_factory.mktemp("stored") / "project"
    with running_bridge(project, upstream=upstream.base_url, **NO_RETRY) as process:
        yield process


@pytest.fixture(scope="module")
def sdk(bridge: BridgeProcess) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(api_key=LOCAL_KEY, base_url=bridge.base_url, max_retries=0) as client:
        yield client


def said(upstream: ChatUpstream) -> list[tuple[str, Any]]:
    """Role and content of each message of the last upstream request."""
    return [(message["role"], message.get("content")) for message in upstream.chats[-1].messages]


def test_a_conversation_by_the_sdk(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """Three turns, each with only what is new; the upstream sees the whole, instructions are not inherited."""
    first = sdk.responses.create(model=MODEL, input="one", instructions="be brief")
    second = sdk.responses.create(model=MODEL, input="two", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert said(upstream) == [("user", "one"), ("assistant", "seen 2"), ("user", "two")]
    with sdk.responses.stream(model=MODEL, input="three", previous_response_id=second.id) as stream:
        third = stream.get_final_response()
    assert third.output_text == "seen 5"
    branch = sdk.responses.create(model=MODEL, input="other", previous_response_id=first.id)
    assert branch.output_text == "seen 3"


def test_a_tool_loop_by_the_sdk(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """After a call only its output is sent; the call itself comes from the store."""
    tools: Any = [{"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": False}]
    asked = sdk.responses.create(model=MODEL, input="call", tools=tools)
    call: Any = asked.output[0]
    outcome: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "a.py"}]
    answer = sdk.responses.create(model=MODEL, input=outcome, previous_response_id=asked.id, tools=tools)
    assert answer.output_text == "seen 3"
    user, assistant, tool = upstream.chats[-1].messages
    assert user["content"] == "call"
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == call.call_id
    assert tool["content"] == "a.py"


@pytest.mark.parametrize("stream", [False, True])
def test_retrieve_gives_what_was_sent(bridge: BridgeProcess, sdk: OpenAI, stream: bool) -> None:
    """`GET` answers with the object of the JSON answer, or of the last event."""
    body = {**TURN, "stream": stream, "metadata": {"key": "välue"}, "tools": [{"type": "web_search"}]}
    answer = bridge.post(body)
    sent = answer.events[-1]["response"] if stream else answer.json
    assert bridge.request("GET", f"/v1/responses/{sent['id']}").json == sent
    assert bridge.request("GET", f"/responses/{sent['id']}").json == sent
    assert sdk.responses.retrieve(sent["id"]).output_text == "seen 1"


def test_delete_by_the_sdk(sdk: OpenAI, bridge: BridgeProcess) -> None:
    """Deleted, a response is 404 and cannot be continued, its child goes on."""
    first = sdk.responses.create(model=MODEL, input="one")
    second = sdk.responses.create(model=MODEL, input="two", previous_response_id=first.id)
    sdk.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError) as gone:
        sdk.responses.retrieve(first.id)
    assert (gone.value.code, gone.value.param) == ("response_not_found", "response_id")
    with pytest.raises(openai.NotFoundError):
        sdk.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.responses.create(model=MODEL, input="x", previous_response_id=first.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    assert sdk.responses.create(model=MODEL, input="three", previous_response_id=second.id).output_text == "seen 5"
    deleted = bridge.request("DELETE", f"/v1/responses/{second.id}").json
    assert deleted == {"id": second.id, "object": "response", "deleted": True}


def test_an_unknown_response(bridge: BridgeProcess) -> None:
    """The words are those that OpenAI uses, so that clients which match on them resend the whole."""
    answer = bridge.post({**TURN, "previous_response_id": "resp_unknown"})
    assert answer.status == 400
    assert answer.error == {
        "message": "Previous response with id 'resp_unknown' not found.",
        "type": "invalid_request_error",
        "code": "previous_response_not_found",
        "param": "previous_response_id",
    }
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
        for odd in ("resp_unknown", "%00", "x" * 3000, "%F0%9F%92%A9", "..%2f"):
            assert bridge.request(method, f"/v1/responses/{odd}{path}").status in (404, 405), (method, path, odd)
    assert bridge.post({**TURN, "previous_response_id": 7}).error["param"] == "previous_response_id"


def test_input_items_by_the_sdk(sdk: OpenAI) -> None:
    """Everything the answer was made from, the newest first, in pages of typed items with stable ids."""
    first = sdk.responses.create(model=MODEL, input="one")
    second = sdk.responses.create(model=MODEL, input="two", previous_response_id=first.id)
    items: Any = list(sdk.responses.input_items.list(second.id, limit=2))
    assert [item.content[0].text for item in items] == ["two", "seen 1", "one"]
    assert [item.role for item in items] == ["user", "assistant", "user"]
    assert items[1].id == first.output[0].id
    again = sdk.responses.input_items.list(second.id, order="asc", limit=1)
    assert again.has_more
    assert again.data[0].id == items[2].id == f"msg_{first.id.removeprefix('resp_')}_i0"


def test_item_references(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """An item of a stored response is resolved by its id, also without `previous_response_id`; others are refused."""
    first = bridge.post({**TURN, "input": "one"}).json
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    body = {**TURN, "input": [{"role": "user", "content": "one"}, reference, {"role": "user", "content": "two"}]}
    second = bridge.post(body).json
    assert said(upstream) == [("user", "one"), ("assistant", "seen 1"), ("user", "two")]
    bridge.request("DELETE", f"/v1/responses/{first['id']}")
    refused = bridge.post(body)
    assert (refused.status, refused.error["param"]) == (400, "input[1]")
    bridge.post({**TURN, "input": "three", "previous_response_id": second["id"]})
    assert said(upstream)[1] == ("assistant", "seen 1")


def test_the_model_may_be_left_out(bridge: BridgeProcess) -> None:
    """A continuation without a model is answered by the one before."""
    first = bridge.post(TURN).json
    second = bridge.post({"input": "two", "previous_response_id": first["id"]}).json
    assert second["model"] == MODEL


def test_input_tokens_by_the_sdk(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """An estimate that counts the stored history too, without asking the upstream or storing anything."""
    first = sdk.responses.create(model=MODEL, input="word " * 400)
    asked = len(upstream.chats)
    alone = sdk.responses.input_tokens.count(model=MODEL, input="hi")
    whole = sdk.responses.input_tokens.count(model=MODEL, input="hi", previous_response_id=first.id)
    assert alone.object == "response.input_tokens"
    assert 0 < alone.input_tokens < 100 < 400 < whole.input_tokens < 700
    assert len(upstream.chats) == asked


def test_not_stored(bridge: BridgeProcess, sdk: OpenAI) -> None:
    """With `store: false` a turn may continue a stored one and leaves nothing itself."""
    first = bridge.post(TURN).json
    second = bridge.post({**TURN, "store": False, "previous_response_id": first["id"]}).json
    assert second["output"][0]["content"][0]["text"] == "seen 3"
    assert bridge.request("GET", f"/v1/responses/{second['id']}").status == 404
    assert bridge.post({**TURN, "previous_response_id": second["id"]}).status == 400


def test_nothing_touches_the_disk_without_store(upstream: ChatUpstream, tmp_path: Path) -> None:
    """A bridge whose clients all say `store: false`, as Codex and OpenCode do, never makes the file of responses."""
    with running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge:
        assert bridge.post({**TURN, "store": False, "stream": True}).status == 200
        assert bridge.stop() == 0
    state = tmp_path / "project/.codex-oss/state"
    assert [path.name for path in state.iterdir()] == ["requests.jsonl"]


def test_a_running_response(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """While it streams it can be looked at; it is no background response, so it cannot be cancelled."""
    connection, response = bridge.open_stream({**TURN, "input": "held"})
    created = json.loads(response.readline() and response.readline().removeprefix(b"data: "))
    path = f"/v1/responses/{created['response']['id']}"
    assert bridge.request("GET", path).json["status"] == "in_progress"
    refused = bridge.request("POST", f"{path}/cancel")
    assert (refused.status, refused.error["param"]) == (400, "response_id")
    upstream.release("rest")
    response.read()
    connection.close()
    assert bridge.request("GET", path).json["status"] == "completed"
    assert bridge.request("POST", f"{path}/cancel").json["status"] == "completed"
    assert bridge.request("GET", f"{path}?stream=true").error["param"] == "stream"


def test_failed_turns(bridge: BridgeProcess) -> None:
    """One that failed inside its stream can be looked at and not continued; one refused before it has no id."""
    failed = bridge.post({**TURN, "input": "cut", "stream": True}).events[-1]
    assert failed["type"] == "response.failed"
    assert bridge.request("GET", f"/v1/responses/{failed['response']['id']}").json == failed["response"]
    refused = bridge.post({**TURN, "previous_response_id": failed["response"]["id"]})
    assert refused.error["code"] == "previous_response_not_found"
    assert "It is failed; continue the response before it." in refused.error["message"]
    before = bridge.request("GET", "/health", headers={}).json["state_db"]["responses"]
    assert bridge.post({**TURN, "input": "broken"}).status == 503
    assert bridge.request("GET", "/health", headers={}).json["state_db"]["responses"] == before


def test_an_incomplete_turn_can_be_continued(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """The half-written call that ended it is not sent to the model again."""
    tools = [{"type": "function", "name": "shell", "parameters": {"type": "object"}}]
    first = bridge.post({**TURN, "input": "short", "tools": tools}).json
    assert first["status"] == "incomplete"
    assert bridge.post({**TURN, "input": "go on", "previous_response_id": first["id"]}).status == 200
    assert said(upstream) == [("user", "short"), ("user", "go on")]


def test_a_client_that_leaves(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """Its response is kept as cancelled, with what it had, and cannot be continued."""
    connection, response = bridge.open_stream({**TURN, "input": "left"})
    created = json.loads(response.readline() and response.readline().removeprefix(b"data: "))["response"]
    asked = upstream.chats[-1]
    response.close()
    connection.close()
    assert asked.client_left.wait(10)
    path = f"/v1/responses/{created['id']}"
    status = "in_progress"
    while status == "in_progress":
        # The turn and what is stored of it end one after the other; between them there is never a gap for long.
        answer = bridge.request("GET", path).json
        status = answer.get("status", "in_progress")
    assert status == "cancelled"
    assert bridge.post({**TURN, "previous_response_id": created["id"]}).status == 400


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_between_two_turns(upstream: ChatUpstream, tmp_path: Path, how: signal.Signals) -> None:
    """Whoever read the end of a turn can continue it, whatever happened to the bridge in between."""
    project = tmp_path / "project"
    with running_bridge(project, upstream=upstream.base_url) as bridge:
        connection, response = bridge.open_stream({**TURN, "input": "one"})
        lines = iter(response.readline, b"")
        completed = next(line for line in lines if b'"response.completed"' in line and line.startswith(b"data"))
        bridge.process.send_signal(how)
        bridge.process.wait(10)
        response.close()
        connection.close()
    first = json.loads(completed.removeprefix(b"data: "))["response"]
    with running_bridge(project, upstream=upstream.base_url) as bridge:
        assert bridge.request("GET", f"/v1/responses/{first['id']}").json == first
        bridge.post({**TURN, "input": "two", "previous_response_id": first["id"]})
    assert said(upstream) == [("user", "one"), ("assistant", "seen 1"), ("user", "two")]


def test_bounds_and_place_are_settings(upstream: ChatUpstream, tmp_path: Path) -> None:
    """PROXY_STATE_DB is a path from the project on; beyond PROXY_STATE_MAX_RESPONSES the oldest is gone."""
    extra = {"PROXY_STATE_DB": "kept/mine.sqlite3", "PROXY_STATE_MAX_RESPONSES": "2"}
    with running_bridge(tmp_path / "project", upstream=upstream.base_url, **extra) as bridge:
        ids = [bridge.post(TURN).json["id"] for _ in range(3)]
        found = [bridge.request("GET", f"/v1/responses/{response_id}").status for response_id in ids]
        facts = bridge.request("GET", "/health", headers={}).json["state_db"]
    assert found == [404, 200, 200]
    assert (tmp_path / "project/kept/mine.sqlite3").stat().st_mode & 0o777 == 0o600
    assert facts["path"] == str(tmp_path / "project/kept/mine.sqlite3")
    assert (facts["responses"], facts["problem"]) == (2, "")


def test_a_conversation_beyond_the_largest_body(upstream: ChatUpstream, tmp_path: Path) -> None:
    """What a client could not send at once is not put together for it either."""
    project = tmp_path / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss/config.toml").write_text("max_body_bytes = 4000\n")
    with running_bridge(project, upstream=upstream.base_url) as bridge:
        first = bridge.post({**TURN, "input": "x" * 2000}).json
        second = bridge.post({**TURN, "input": "x" * 2000, "previous_response_id": first["id"]}).json
        answer = bridge.post({**TURN, "previous_response_id": second["id"]})
    assert (answer.status, answer.error["param"]) == (413, "previous_response_id")


@pytest.mark.parametrize("content", [b"noise " * 5000, b""])
def test_a_damaged_file_at_the_start(upstream: ChatUpstream, tmp_path: Path, content: bytes) -> None:
    """The bridge starts, old ids are unknown, new turns are kept, and the log has no traceback."""
    state = tmp_path / "project/.codex-oss/state"
    state.mkdir(parents=True)
    (state / "responses.sqlite3").write_bytes(content)
    with running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge:
        assert bridge.post({**TURN, "previous_response_id": "resp_old"}).status == 400
        first = bridge.post(TURN).json
        assert bridge.post({**TURN, "previous_response_id": first["id"]}).status == 200
        log = bridge.log.read_text()
    assert "Traceback" not in log
    assert log.count("start anew") == (1 if content else 0)


def test_a_locked_file(upstream: ChatUpstream, tmp_path: Path) -> None:
    """Turns are answered while another program holds the file; a continuation is told to send the whole."""
    state = tmp_path / "project/.codex-oss/state"
    state.mkdir(parents=True)
    holder = sqlite3.connect(state / "responses.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge:
        first = bridge.post(TURN)
        assert first.status == 200
        refused = bridge.post({**TURN, "previous_response_id": first.json["id"]})
        assert refused.error["code"] == "previous_response_not_found"
        assert "locked" in refused.error["message"]
        assert bridge.request("GET", f"/v1/responses/{first.json['id']}").status == 500
        assert "locked" in bridge.request("GET", "/health", headers={}).json["state_db"]["problem"]
        assert "Traceback" not in bridge.log.read_text()
    holder.close()


def test_a_mission_can_be_continued(tmp_path: Path) -> None:
    """The turn after a mission has its report as history, and does not run it again."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "limits.py").write_text("LIMIT = 3\n")
    script = [action(READ), action(REPORT), text("because it says so")]
    with ChatUpstream(script) as up, running_bridge(project, upstream=up.base_url) as bridge:
        mission = bridge.post({"model": "mission-a3-kimi", "input": handed(), "stream": True}).events[-1]["response"]
        answer = bridge.post({"model": MODEL, "input": "why?", "previous_response_id": mission["id"]}).json
        assert answer["output"][0]["content"][0]["text"] == "because it says so"
        roles = [message["role"] for message in up.chats[-1].messages]
        assert (roles[0], roles[-2:]) == ("user", ["assistant", "user"])
        assert '"mission_id": "m_http"' in str(up.chats[-1].messages[-2]["content"])
        assert bridge.request("GET", f"/v1/responses/{mission['id']}").json == mission
