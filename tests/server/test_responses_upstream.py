"""A Responses upstream behind the real bridge: untranslated over HTTP, translated for chat, WebSocket and missions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI
from websockets.sync.client import connect

from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, BridgeProcess, running_bridge, sse_events
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hangup, Request, Send, Stall, cut, error, html, payload_of
from tests.fakes.chat_upstream import text as chat_text
from tests.fakes.responses_upstream import (
    bytes_of,
    called,
    events_of,
    last_text,
    message,
    of_events,
    outputs,
    reasoning,
    said,
    streamed,
    web_search,
    whole,
)

MODEL = "ocg-native"
TOOLS: list[Any] = [{"type": "function", "name": "shell", "parameters": {"type": "object"}}, {"type": "web_search"}]
SEARCHED = [web_search("x"), message("found")]
MODELS = """
[profiles.native]
model = "native-1"
base_url = "{base}"
api = "responses"
tiers = ["A2", "A3"]
key_env = "OPENCODE_GO_API_KEY"

[profiles.replaced]
model = "replaced-1"
base_url = "{base}"
api = "responses"
key_env = "OPENCODE_GO_API_KEY"
fallbacks = ["translated"]

[profiles.translated]
model = "translated-1"
base_url = "{base}"
key_env = "OPENCODE_GO_API_KEY"
"""


def by_last_text(request: Request) -> Answer:
    """What the user said chooses the answer."""
    if request.path.endswith("/chat/completions"):
        return chat_text("from the fallback")
    if request.json["model"] == "replaced-1":
        return error(503, "overloaded")
    if outputs(request):
        return said(f"the tool said {outputs(request)[-1]}")
    what = last_text(request)
    events = events_of([message("hello there")])
    match what:
        case "call":
            return called("shell", {"command": "ls"})
        case "search":
            return streamed(SEARCHED)
        case "think":
            return streamed([reasoning("Hm.", sealed="gAAA"), message("thought")])
        case "cut":
            at = payload_of(of_events(events)).index(b"event: response.output_text.done")
            return cut(of_events(events), at + 9, Hangup())
        case "no ending":
            return of_events(events[:-1], done=False)
        case "no usage":
            final = {**events[-1]["response"], "usage": None, "end_turn": False}
            return of_events([*events[:-1], {**events[-1], "response": final}], done=False)
        case "stays open":
            return Answer((Send(bytes_of(events)), Stall()))
        case "failed":
            return streamed([], ending="failed", error={"code": "server_error", "message": "overloaded"})
        case "empty":
            return streamed([])
        case "whole":
            return whole([message("in one piece")])
        case "html":
            return html()
        case "limited":
            return error(429, "slow down", retry_after="20")
    headers = (("openai-model", "gpt-5"), ("x-models-etag", "1"))
    answer = said(f"you said {what}")
    return Answer(answer.steps, plain=answer.plain, headers=headers)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream for all turns."""
    with ChatUpstream(by_last_text) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge whose models speak Responses, without retries."""
    project = tmp_path_factory.mktemp("native") / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss" / "models.toml").write_text(MODELS.format(base=upstream.base_url))
    (project / "settings.py").write_text("RETRY_LIMIT = 5\n")
    with running_bridge(project, UPSTREAM_RETRIES="0") as process:
        yield process


@pytest.fixture
def sdk(bridge: BridgeProcess) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=bridge.base_url, api_key=LOCAL_KEY, max_retries=0) as client:
        yield client


def ask(bridge: BridgeProcess, what: str, **more: Any) -> Any:
    """One turn."""
    return bridge.post({"model": MODEL, "input": what, **more})


def test_the_upstreams_own_frames(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """The frames between first and last are the upstream's bytes; its body is the client's but for three fields."""
    answer = ask(bridge, "search", stream=True, tools=TOOLS, truncation="auto", store=False)
    frames = payload_of(streamed(SEARCHED)).split(b"\n\n")
    assert b"\n\n".join(frames[2:-3]) in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.body.count(b"[DONE]") == 1
    done = [event["item"] for event in answer.events if event["type"] == "response.output_item.done"]
    assert done == SEARCHED
    sent = upstream.chats[-1]
    assert sent.path == "/v1/responses"
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    asked = {"input": "search", "tools": TOOLS, "truncation": "auto"}
    assert sent.json == {**asked, "model": "native-1", "stream": True, "store": False}


def test_headers_of_the_upstream_stay_there(bridge: BridgeProcess) -> None:
    """`openai-model` and its like are never relayed."""
    answer = ask(bridge, "hi", stream=True)
    assert "openai-model" not in answer.headers
    assert "x-models-etag" not in answer.headers
    assert answer.events[-1]["response"]["model"] == MODEL


@pytest.mark.parametrize("what", ["no usage", "stays open", "whole", "hi"])
def test_rude_answers_end_well(bridge: BridgeProcess, what: str) -> None:
    """Without usage, without an end of the body, in JSON: one completed event with whole usage."""
    connection, response = bridge.open_stream({"model": MODEL, "input": what})
    body = response.read()
    connection.close()
    events = sse_events(body)
    ends = [event for event in events if event["type"] == "response.completed"]
    assert ends == events[-1:]
    usage = ends[0]["response"]["usage"]
    assert usage["total_tokens"] > 0
    assert sorted(usage["input_tokens_details"]) == ["cache_write_tokens", "cached_tokens"]
    assert "reasoning_tokens" in usage["output_tokens_details"]
    assert "end_turn" not in ends[0]["response"]
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("what", ["cut", "no ending"])
def test_a_cut_stream_fails_in_form(bridge: BridgeProcess, what: str) -> None:
    """After the first item a cut is `error` and `response.failed`, and the next turn works."""
    events = ask(bridge, what, stream=True).events
    assert [event["type"] for event in events][-2:] == ["error", "response.failed"]
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(len(numbers)))
    assert events[-1]["response"]["usage"]["total_tokens"] == 0
    assert ask(bridge, "hi").json["status"] == "completed"


REFUSED = [
    ("failed", 503, "upstream_unavailable"),
    ("empty", 502, "upstream_protocol_error"),
    ("html", 502, "upstream_protocol_error"),
    ("limited", 429, "rate_limited"),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("what", "status", "code"), REFUSED)
def test_failures_before_the_first_item(bridge: BridgeProcess, what: str, status: int, code: str, stream: bool) -> None:
    """A failure before anything was shown is an HTTP status, as for any other turn."""
    answer = ask(bridge, what, stream=stream)
    assert (answer.status, answer.error["code"]) == (status, code)


def test_a_tool_loop_with_stored_responses(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """The upstream's response id is what a client continues, and the upstream gets the whole conversation each time."""
    first = sdk.responses.create(model=MODEL, input="call", tools=TOOLS)
    call: Any = first.output[0]
    assert first.id.startswith("resp_upstream_")
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "a.txt"}
    second = sdk.responses.create(model=MODEL, previous_response_id=first.id, input=[output], tools=TOOLS)
    assert second.output_text == "the tool said a.txt"
    assert second.previous_response_id == first.id
    sent = upstream.chats[-1].json
    assert "previous_response_id" not in sent
    assert [item.get("type", "message") for item in sent["input"]] == [
        "message",
        "function_call",
        "function_call_output",
    ]
    assert sent["input"][1]["id"] == call.id
    stored = sdk.responses.retrieve(second.id)
    assert stored.output_text == second.output_text
    assert sdk.responses.input_items.list(second.id).data


def test_an_item_of_the_conversation_may_be_referred_to(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """A reference to an upstream's item of the same conversation is put in place from our store."""
    first = sdk.responses.create(model=MODEL, input="hi")
    reference = {"type": "item_reference", "id": str(first.output[0].id)}
    more: Any = [reference, {"role": "user", "content": "again"}]
    sdk.responses.create(model=MODEL, previous_response_id=first.id, input=more)
    sent = upstream.chats[-1].json["input"]
    assert [item.get("type", "message") for item in sent] == ["message"] * 4
    assert sent[1] == sent[2]


def test_a_stream_by_the_sdk(sdk: OpenAI) -> None:
    """The official client reads the relayed stream to its final response."""
    with sdk.responses.stream(model=MODEL, input="search") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.web_search_call.in_progress" in kinds
    assert final.output_text == "found"
    assert [item.type for item in final.output] == ["web_search_call", "message"]


def test_an_error_by_the_sdk(sdk: OpenAI) -> None:
    """The official client raises what it should."""
    with pytest.raises(APIStatusError) as raised:
        sdk.responses.create(model=MODEL, input="limited")
    assert raised.value.status_code == 429


def test_sealed_reasoning_comes_back_to_its_maker(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """Relayed reasoning is continued with the very ciphertext that its upstream sent."""
    first = sdk.responses.create(model=MODEL, input="think")
    sdk.responses.create(model=MODEL, previous_response_id=first.id, input="hi")
    assert [item.get("encrypted_content") for item in upstream.chats[-1].json["input"]][1] == "gAAA"


def test_a_fallback_that_speaks_chat(bridge: BridgeProcess) -> None:
    """When the model is out and its fallback speaks Chat Completions, the same client reads a translated answer."""
    events = bridge.post({"model": "ocg-replaced", "input": "hi", "stream": True}).events
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "from the fallback"


def test_chat_in_front_of_responses(sdk: OpenAI, upstream: ChatUpstream) -> None:
    """A chat client is served by translation: its tool call, its output and the answer."""
    tools: Any = [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]
    messages: list[Any] = [{"role": "user", "content": "call"}]
    message = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0].message
    assert message.tool_calls is not None
    messages += [message.model_dump(), {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "a.txt"}]
    answer = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert answer.choices[0].message.content == "the tool said a.txt"
    assert upstream.chats[-1].path == "/v1/responses"
    assert upstream.chats[-1].json["tools"][0]["name"] == "shell"


def test_websocket_in_front_of_responses(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """Over WebSocket a turn is translated, continued by a delta, and what was sealed goes back to its maker."""
    address = bridge.base_url.replace("http", "ws") + "/responses"
    with connect(address, additional_headers={"Authorization": f"Bearer {LOCAL_KEY}"}) as socket:

        def turn(**body: Any) -> dict[str, Any]:
            socket.send(json.dumps({"type": "response.create", "model": MODEL, "store": False, **body}))
            while (event := json.loads(socket.recv(10)))["type"] != "response.completed":
                assert event["type"] != "error", event
            response: dict[str, Any] = event["response"]
            return response

        first = turn(input="think")
        assert first["output"][0]["encrypted_content"] == "native:gAAA"
        turn(input="hi", previous_response_id=first["id"])
    sent = upstream.chats[-1].json["input"]
    assert [item.get("encrypted_content") for item in sent] == [None, "gAAA", None, None]


def test_a_mission_in_front_of_responses(tmp_path: Path) -> None:
    """A mission reads and reports through a model that speaks Responses."""
    read = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": "courier/settings.py"}}
    report = {"status": "PARTIAL", "confidence": "LOW", "findings": [], "uncertainties": ["everything"]}
    actions = [{**read, "reason": "The settings."}, *[{"action_type": "final_report", "report": report}] * 3]
    mission = {
        "schema_version": "oss_agent_mission.v1",
        "mission_id": "native",
        "tier": "A3",
        "objective": "Where is RETRY_LIMIT defined?",
        "allowed_roots": ["courier"],
        "allowed_tool_classes": ["read", "search"],
        "required_outputs": ["findings"],
        "tool_budget": 3,
        "time_budget_seconds": 60,
    }
    project = tmp_path / "project"
    (project / "courier").mkdir(parents=True)
    (project / "courier" / "settings.py").write_text("RETRY_LIMIT = 5\n")
    (project / ".codex-oss").mkdir()
    with ChatUpstream([said(json.dumps(action)) for action in actions]) as upstream:
        (project / ".codex-oss" / "models.toml").write_text(MODELS.format(base=upstream.base_url))
        with running_bridge(project) as bridge:
            handoff = f"<OSS_HANDOFF_JSON>{json.dumps(mission)}</OSS_HANDOFF_JSON>"
            answer = bridge.post({"model": "mission-a3-native", "input": handoff})
    assert {request.path for request in upstream.chats} == {"/v1/responses"}
    assert "RETRY_LIMIT = 5" in json.dumps(upstream.chats[1].json["input"])
    assert "PARTIAL" in answer.json["output"][-1]["content"][0]["text"]
