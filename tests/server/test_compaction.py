"""Sealed compaction through the real process: by trigger and by its route, and what a conversation is afterwards."""

from __future__ import annotations

import base64
import json
import threading
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
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, error, text, tool_call
from tests.server.test_missions import handed

MODEL = "ocg-kimi-k2.6"
TRIGGER = {"type": "compaction_trigger"}
NO_RETRY = {"UPSTREAM_RETRIES": "0", "FALLBACK_MODEL_MAP_JSON": '{"kimi": []}'}
SUMMARY = "The secret word is heron. Next: answer."
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
FAILING: dict[str, Answer] = {
    "say nothing": text("", finish="stop"),
    "be cut": text("The secret", finish="length"),
    "be down": error(503, "overloaded"),
    "use the shell": tool_call("shell", {"command": "ls"}),
}


def answer_to(request: Request) -> Answer:
    """A summary when one is asked for, otherwise whether the summary was in what came."""
    last = str(request.messages[-1].get("content"))
    if "handover note" in last:
        return next((answer for word, answer in FAILING.items() if word in request.text), text(SUMMARY))
    return text("heron" if "heron" in request.text else "unknown")


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream for all turns."""
    with ChatUpstream(answer_to) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all turns."""
    with running_bridge(
        tmp_path_factory.mktemp("compact") / "project", upstream=upstream.base_url, **NO_RETRY
    ) as process:
        yield process


@pytest.fixture(scope="module")
def sdk(bridge: BridgeProcess) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(api_key=LOCAL_KEY, base_url=bridge.base_url, max_retries=0) as client:
        yield client


def user(words: str) -> dict[str, Any]:
    """A user message as Codex sends it."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}


HISTORY: list[dict[str, Any]] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
    user("what is the word?"),
    {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": '{"command": "cat word"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "it begins with h"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "working"}]},
]
TOOLS = [{"type": "function", "name": "shell", "parameters": {"type": "object"}}]


def as_codex(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A request as Codex' built-in provider sends it."""
    return {"model": MODEL, "input": items, "tools": TOOLS, "store": False, "stream": True}


def test_a_conversation_as_codex_compacts_it(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """History and trigger in, one sealed item out; the next request carries it in place of the older turns."""
    events = bridge.post(as_codex([*HISTORY, TRIGGER])).events
    for event in events:
        EVENT.validate_python(event)
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "completed",
    ]
    final = events[-1]["response"]
    (item,) = final["output"]
    assert item == events[-2]["item"]
    assert item.keys() == {"type", "id", "encrypted_content"}
    assert item["type"] == "compaction"
    assert "heron" not in json.dumps(events)
    assert final["usage"]["total_tokens"] > 0
    asked = upstream.chats[-1]
    assert "tools" not in asked.json
    assert [message["role"] for message in asked.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    after = bridge.post(as_codex([HISTORY[0], item, user("say it")])).events[-1]["response"]
    assert after["output"][0]["content"][0]["text"] == "heron"
    roles = [message["role"] for message in upstream.chats[-1].messages]
    assert roles == ["system", "user", "user"]
    again = bridge.post(as_codex([HISTORY[0], item, user("go on"), TRIGGER])).events[-1]["response"]
    assert again["output"][0]["type"] == "compaction"
    assert SUMMARY in upstream.chats[-1].text


def test_the_route_by_the_sdk(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """The messages of the user and one compaction; the output is the next input."""
    history: Any = HISTORY
    compacted = sdk.responses.compact(model=MODEL, input=history, instructions="be exact")
    assert (compacted.object, compacted.output[-1].type) == ("response.compaction", "compaction")
    assert [getattr(item, "role", None) for item in compacted.output] == ["developer", "user", None]
    assert compacted.usage.total_tokens == 18
    assert upstream.chats[-1].messages[0]["content"] == "be exact\n\nbe brief"
    output: Any = [item.to_dict(warnings=False) for item in compacted.output]
    next_input: Any = [*output, user("say it")]
    after = sdk.responses.create(model=MODEL, input=next_input)
    assert after.output_text == "heron"
    more: Any = [*output, user("and on")]
    once_more = sdk.responses.compact(model=MODEL, input=more)
    assert [item.type for item in once_more.output] == ["message", "message", "message", "compaction"]


def test_stored_turns_are_compacted(sdk: OpenAI, bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """By `previous_response_id`, through the route and by trigger; the item goes through the store like any other."""
    first = sdk.responses.create(model=MODEL, input="one", instructions="be brief")
    compacted = sdk.responses.compact(model=MODEL, previous_response_id=first.id)
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    trigger: Any = [TRIGGER]
    second = sdk.responses.create(model=MODEL, input=trigger, previous_response_id=first.id)
    item: Any = second.output[0]
    assert bridge.request("GET", f"/v1/responses/{second.id}").json["output"][0] == item.to_dict()
    third = sdk.responses.create(model=MODEL, input="say it", previous_response_id=second.id)
    assert third.output_text == "heron"
    assert [message["role"] for message in upstream.chats[-1].messages] == ["user", "user", "user"]
    reference: Any = [{"type": "item_reference", "id": item.id}, user("say it")]
    assert sdk.responses.create(model=MODEL, input=reference).output_text == "heron"


def test_over_websocket(bridge: BridgeProcess) -> None:
    """The same events, and the connection's own history is replaced by the item."""
    headers = {"Authorization": f"Bearer {LOCAL_KEY}"}
    with connect(bridge.base_url.replace("http", "ws") + "/responses", additional_headers=headers) as socket:

        def turn(**fields: Any) -> dict[str, Any]:
            socket.send(json.dumps({"type": "response.create", "model": MODEL, "store": False, **fields}))
            while not (event := json.loads(socket.recv(timeout=20)))["type"].endswith(("completed", "failed", "error")):
                pass
            response: dict[str, Any] = event["response"]
            return response

        first = turn(input=HISTORY)
        second = turn(input=[TRIGGER], previous_response_id=first["id"])
        assert second["output"][0]["type"] == "compaction"
        third = turn(input=[user("say it")], previous_response_id=second["id"])
        assert third["output"][0]["content"][0]["text"] == "heron"


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ("say nothing", 502, "upstream_protocol_error"),
        ("be cut", 502, "compaction_failed"),
        ("be down", 503, "upstream_unavailable"),
        ("use the shell", 502, "compaction_failed"),
    ],
)
def test_no_summary_is_a_failure(bridge: BridgeProcess, said: str, status: int, code: str) -> None:
    """An HTTP error on the route; in a stream `response.failed` without any item."""
    answer = bridge.request("POST", "/v1/responses/compact", json.dumps({"model": MODEL, "input": said}).encode())
    assert (answer.status, answer.error["code"]) == (status, code)
    streamed = bridge.post(as_codex([user(said), TRIGGER]))
    if streamed.status == 200:
        assert [event["type"] for event in streamed.events][-2:] == ["error", "response.failed"]
        assert streamed.events[-1]["response"]["output"] == []
    else:
        assert streamed.status == status


def test_a_foreign_compaction_is_refused(bridge: BridgeProcess, upstream: ChatUpstream, sdk: OpenAI) -> None:
    """Another provider's, a changed one and a made-up one: 400, and nothing reaches the upstream."""
    own: Any = sdk.responses.compact(model=MODEL, input="x").output[-1]
    changed = own.encrypted_content[:-2] + ("AA" if own.encrypted_content[-2:] != "AA" else "BB")
    asked = len(upstream.chats)
    for sealed in ("gAAAAABo" + "x" * 200, changed, "cxs1." + base64.urlsafe_b64encode(bytes(60)).decode()):
        for path in ("/v1/responses", "/responses/compact", "/v1/responses/input_tokens"):
            body = {"model": MODEL, "input": [{"type": "compaction", "encrypted_content": sealed}, user("go on")]}
            answer = bridge.request("POST", path, json.dumps(body).encode())
            assert (answer.status, answer.error["code"]) == (400, "compaction_unreadable"), path
    assert len(upstream.chats) == asked


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "mission-a3-kimi", "input": "x"}, 400, "model"),
        ({"model": MODEL}, 400, "input"),
        ({"input": "x"}, 400, "model"),
        ({"model": "nobody", "input": "x"}, 404, "model"),
        ({"model": MODEL, "previous_response_id": "resp_x"}, 400, "previous_response_id"),
        ({"model": MODEL, "input": [TRIGGER, user("x")]}, 400, "input[0]"),
    ],
)
def test_what_the_route_refuses(bridge: BridgeProcess, body: dict[str, Any], status: int, param: str) -> None:
    """With the place and a sentence."""
    answer = bridge.request("POST", "/v1/responses/compact", json.dumps(body).encode())
    assert (answer.status, answer.error["param"]) == (status, param)


def test_a_mission_is_not_run_again_after_a_compaction(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """The user's handoff may stay in front of the summary; it was answered before it."""
    said = [user(handed()), {"role": "assistant", "content": "the report"}, user("thanks")]
    compacted = bridge.request("POST", "/v1/responses/compact", json.dumps({"model": MODEL, "input": said}).encode())
    output = compacted.json["output"]
    assert "OSS_HANDOFF_JSON" in json.dumps(output)
    answer = bridge.post({"model": MODEL, "input": [*output, user("say it")]}).json
    assert [item["type"] for item in answer["output"]] == ["message"]
    assert answer["output"][0]["content"][0]["text"] == "heron"


def test_a_seal_outlives_the_bridge(upstream: ChatUpstream, tmp_path: Path) -> None:
    """The key is the user's: another project's bridge opens it; without the key it is unreadable, and said so."""
    state = tmp_path / "state"
    extra = {"XDG_STATE_HOME": str(state)}
    body = json.dumps({"model": MODEL, "input": HISTORY}).encode()
    with running_bridge(tmp_path / "one", upstream=upstream.base_url, **extra) as bridge:
        output = bridge.request("POST", "/responses/compact", body).json["output"]
    assert (state / "codex-oss/seal.key").stat().st_mode & 0o777 == 0o600
    turn = {"model": MODEL, "input": [*output, user("say it")]}
    with running_bridge(tmp_path / "two", upstream=upstream.base_url, **extra) as bridge:
        assert bridge.post(turn).json["output"][0]["content"][0]["text"] == "heron"
    with running_bridge(tmp_path / "three", upstream=upstream.base_url) as bridge:
        assert bridge.post(turn).error["code"] == "compaction_unreadable"


def test_two_bridges_make_the_key_at_once(upstream: ChatUpstream, tmp_path: Path) -> None:
    """What each sealed in its first moment, the other opens."""
    extra = {"XDG_STATE_HOME": str(tmp_path / "state")}
    body = json.dumps({"model": MODEL, "input": HISTORY}).encode()
    with (
        running_bridge(tmp_path / "one", upstream=upstream.base_url, **extra) as one,
        running_bridge(tmp_path / "two", upstream=upstream.base_url, **extra) as two,
    ):
        outputs: dict[int, Any] = {}

        def compact(bridge: BridgeProcess) -> None:
            outputs[bridge.port] = bridge.request("POST", "/responses/compact", body).json["output"]

        threads = [threading.Thread(target=compact, args=(bridge,)) for bridge in (one, two) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for here, there in ((one, two), (two, one)):
            answer = here.post({"model": MODEL, "input": [*outputs[there.port], user("say it")]})
            assert answer.json["output"][0]["content"][0]["text"] == "heron"


def test_a_home_that_cannot_be_written(upstream: ChatUpstream, tmp_path: Path) -> None:
    """A compaction fails in words, before its client throws anything away; turns are served as ever."""
    (tmp_path / "state").write_text("a file")
    with running_bridge(
        tmp_path / "project", upstream=upstream.base_url, XDG_STATE_HOME=str(tmp_path / "state")
    ) as bridge:
        answer = bridge.request("POST", "/responses/compact", json.dumps({"model": MODEL, "input": "x"}).encode())
        assert (answer.status, answer.error["code"]) == (500, "key_unusable")
        assert bridge.post({"model": MODEL, "input": "hi"}).status == 200


def test_bad_requests_by_the_sdk(sdk: OpenAI) -> None:
    """The official client raises its own error with our code."""
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.responses.compact(model="mission-a3-kimi", input="x")
    assert caught.value.code == "unsupported_parameter"


def test_in_the_background(bridge: BridgeProcess) -> None:
    """A compaction may run on its own like any turn, and can be continued when it ended."""
    body = {"model": MODEL, "input": [*HISTORY, TRIGGER], "background": True}
    response = bridge.post(body).json
    while response["status"] in ("queued", "in_progress"):
        response = bridge.request("GET", f"/v1/responses/{response['id']}").json
    assert [item["type"] for item in response["output"]] == ["compaction"]
    after = bridge.post({"model": MODEL, "input": "say it", "previous_response_id": response["id"]}).json
    assert after["output"][0]["content"][0]["text"] == "heron"
