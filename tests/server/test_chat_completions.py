"""Chat turns through the real bridge process: text, tools, missions, failures, and the official client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from codex_oss.server.errors import TYPE_BY_STATUS
from codex_oss.wire.completions_stream import ERROR_TYPE
from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, Answer, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import (
    Answer as UpstreamAnswer,
)
from tests.fakes.chat_upstream import (
    ChatUpstream,
    Hangup,
    Hold,
    Request,
    action,
    cut,
    error,
    held,
    html,
    text,
    tool_call,
    tool_calls,
)

MODEL = "ocg-kimi-k2.6"
SHELL = {"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}
SCRIPTED: dict[str, UpstreamAnswer] = {
    "text": text("hello there"),
    "reasoning": text("hello there", reasoning="Let me think."),
    "long": text("hello", finish="length"),
    "held": held(text("hello there", pieces=4), "rest", after=2),
    "call": tool_call("shell", {"command": "ls"}),
    "calls": tool_calls([("a", "shell", {"command": "ls"}), ("b", "shell", {})]),
    "custom": tool_call("patch", {"input": "*** Begin"}),
    "cut call": tool_call("shell", {"command": "ls"}, finish="length"),
    "unauthorized": error(401, f"Incorrect API key provided: {UPSTREAM_KEY}"),
    "broken": error(503, "overloaded"),
    "limited": error(429, "slow down", retry_after="30"),
    "html": html(),
    "cut": cut(text("hello there", pieces=6), 700),
    "hangup": cut(text("hello there", pieces=6), 700, Hangup()),
}


def _by_last_word(request: Request) -> UpstreamAnswer:
    return SCRIPTED[request.messages[-1]["content"]]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream for all turns; the user's text names the answer."""
    with ChatUpstream(_by_last_word) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all turns, without retries and without a fallback, so that each failure shows at once."""
    project = tmp_path_factory.mktemp("chats") / "project"
    extra = {"UPSTREAM_RETRIES": "0", "FALLBACK_MODEL_MAP_JSON": '{"kimi": []}'}
    with running_bridge(project, upstream=upstream.base_url, **extra) as process:
        yield process


@pytest.fixture
def client(bridge: BridgeProcess) -> Iterator[OpenAI]:
    """The official client, without retries of its own."""
    with OpenAI(api_key=LOCAL_KEY, base_url=bridge.base_url, max_retries=0) as made:
        yield made


def body_of(what: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": what}], **more}


def ask(bridge: BridgeProcess, what: str, path: str = "/v1/chat/completions", **more: Any) -> Answer:
    return bridge.request("POST", path, json.dumps(body_of(what, **more)).encode())


def chunks(answer: Answer) -> list[dict[str, Any]]:
    """The chunks of a stream that ends with `[DONE]`; each fits the official type, but for the error chunk."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.body.count(b"data: [DONE]\n\n") == 1
    assert answer.body.endswith(b"data: [DONE]\n\n")
    for event in answer.events:
        if "error" not in event:
            ChatCompletionChunk.model_validate(event, strict=True)
    return answer.events


def content_of(sent: list[dict[str, Any]], key: str = "content") -> str:
    return "".join(chunk["choices"][0]["delta"].get(key, "") for chunk in sent if chunk.get("choices"))


def finish_reasons(sent: list[dict[str, Any]]) -> list[str]:
    choices = [chunk["choices"][0] for chunk in sent if chunk.get("choices")]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def open_stream(
    bridge: BridgeProcess, body: dict[str, Any]
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = bridge.connect()
    connection.request(
        "POST", "/v1/chat/completions", json.dumps({**body, "stream": True}).encode(), headers=bridge.auth
    )
    return connection, connection.getresponse()


def test_streamed_text(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """A streamed turn is deltas, one finish_reason and the usage; the upstream gets its own key and all fields."""
    sent = chunks(ask(bridge, "text", stream=True, stream_options={"include_usage": True}, stop=["END"], max_tokens=9))
    assert (content_of(sent), finish_reasons(sent)) == ("hello there", ["stop"])
    assert (sent[-1]["choices"], sent[-1]["usage"]["total_tokens"]) == ([], 18)
    request = upstream.chats[-1]
    assert request.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert (request.json["model"], request.json["stop"], request.json["max_tokens"]) == ("kimi-k2.6", ["END"], 9)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_json_text(bridge: BridgeProcess, path: str) -> None:
    """Without `stream` the answer is one `chat.completion`, at both paths."""
    answer = ask(bridge, "text", path)
    whole = ChatCompletion.model_validate(answer.json)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("hello there", "stop")


def test_reasoning(bridge: BridgeProcess) -> None:
    """The model's thoughts are `reasoning_content`, apart from the text."""
    sent = chunks(ask(bridge, "reasoning", stream=True))
    assert (content_of(sent), content_of(sent, "reasoning_content")) == ("hello there", "Let me think.")
    assert ask(bridge, "reasoning").json["choices"][0]["message"]["reasoning_content"] == "Let me think."


@pytest.mark.parametrize(("what", "reason"), [("long", "length"), ("cut call", "length")])
def test_an_answer_cut_by_its_length(bridge: BridgeProcess, what: str, reason: str) -> None:
    """A model that ran out of tokens is a finished stream that says so."""
    sent = chunks(ask(bridge, what, stream=True, tools=[SHELL]))
    assert finish_reasons(sent) == [reason]


FAILURES = [
    ("unauthorized", 401, "upstream_unauthorized", "authentication_error"),
    ("broken", 503, "upstream_unavailable", "server_error"),
    ("limited", 429, "rate_limited", "rate_limit_error"),
    ("html", 502, "upstream_protocol_error", "server_error"),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("what", "status", "code", "kind"), FAILURES)
def test_failures_before_the_first_byte(
    bridge: BridgeProcess, what: str, status: int, code: str, kind: str, stream: bool
) -> None:
    """A failure before the first event is an HTTP status with our error, whether or not a stream was asked for."""
    answer = ask(bridge, what, stream=stream)
    assert (answer.status, answer.error["code"], answer.error["type"]) == (status, code, kind)
    assert UPSTREAM_KEY not in answer.body.decode()


def test_error_types_are_one_table() -> None:
    """A failure has the same type inside a stream as it has as an HTTP answer."""
    assert ERROR_TYPE == TYPE_BY_STATUS


@pytest.mark.parametrize("what", ["cut", "hangup"])
def test_a_cut_stream_ends_with_one_error(bridge: BridgeProcess, what: str) -> None:
    """After the first event a broken upstream is one error chunk and [DONE]; without a stream it is a status."""
    sent = chunks(ask(bridge, what, stream=True))
    assert content_of(sent)
    assert (finish_reasons(sent), sent[-1]["error"]["code"]) == ([], "stream_interrupted")
    assert ask(bridge, what).status == 502


WRONG = [
    ({"n": 2}, 400, "invalid_request", "`n` must be 1."),
    ({"messages": []}, 400, "invalid_request", "`messages` is required"),
    ({"model": "kimi"}, 404, "model_not_found", "Near matches: ocg-kimi-k2.6"),
    ({"model": "gpt-5.5"}, 400, "unsupported_bridge_model", "does not serve 'gpt-5.5'"),
    ({"stream_options": 7}, 400, "invalid_request", "`stream_options` must be an object"),
]


@pytest.mark.parametrize(("more", "status", "code", "message"), WRONG)
def test_wrong_requests(bridge: BridgeProcess, more: dict[str, Any], status: int, code: str, message: str) -> None:
    """A wrong request is told what is wrong, in the envelope of every error here."""
    answer = ask(bridge, "text", **more)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert message in answer.error["message"]


def test_the_door_is_the_same(bridge: BridgeProcess) -> None:
    """The local key is needed, web pages are refused, and other methods are 405."""
    body = json.dumps(body_of("text")).encode()
    assert bridge.request("POST", "/v1/chat/completions", body, {}).status == 401
    web = {**bridge.auth, "Origin": "https://example.test"}
    assert bridge.request("POST", "/v1/chat/completions", body, web).status == 403
    assert bridge.request("GET", "/v1/chat/completions").headers["allow"] == "POST"


def test_events_arrive_as_they_happen(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """The first delta is readable while the upstream still holds the rest."""
    connection, response = open_stream(bridge, body_of("held"))
    seen = b""
    while b'"content":"hel' not in seen:
        seen += response.readline()
    upstream.release("rest")
    seen += response.read()
    connection.close()
    assert seen.endswith(b"data: [DONE]\n\n")


def test_a_leaving_client_closes_the_upstream(tmp_path: Path) -> None:
    """When the client goes, the upstream connection is closed at once and the turn is counted as cancelled."""
    with (
        ChatUpstream([held(text("hello there", pieces=4), "never", after=2), text("next")]) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url) as bridge,
    ):
        connection, response = open_stream(bridge, body_of("x"))
        assert response.readline().startswith(b"data: {")
        response.close()
        connection.close()
        assert fake.chats[0].client_left.wait(5)
        assert ask(bridge, "again").status == 200
        # A turn is counted after its last byte went out, so the count may come a moment after the answer.
        outcomes = ("cancelled", "completed")
        wanted = [f'codex_oss_requests_total{{lane="oss",outcome="{outcome}"}} 1.0' for outcome in outcomes]
        pages = (bridge.request("GET", "/metrics").body.decode() for _ in range(200))
        assert any(all(line in page for line in wanted) for page in pages)
        assert bridge.request("GET", "/health").json["in_flight"] == 0


def test_a_stopping_bridge_ends_the_stream(tmp_path: Path) -> None:
    """SIGTERM gives an open chat stream its error chunk and [DONE]."""
    with (
        ChatUpstream([held(text("hello there", pieces=4), "never", after=2)]) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0.2") as bridge,
    ):
        connection, response = open_stream(bridge, body_of("x"))
        first = response.readline()
        assert bridge.stop() == 0
        rest = response.read()
        connection.close()
    assert first.startswith(b"data: {")
    assert b"shutting down" in rest
    assert rest.endswith(b"data: [DONE]\n\n")


# --- missions -------------------------------------------------------------------------------------------------

HANDOFF: dict[str, Any] = {
    "schema_version": "oss_agent_mission.v1",
    "mission_id": "m_chat",
    "tier": "A3",
    "objective": "Where is LIMIT defined?",
    "allowed_paths": ["limits.py"],
    "allowed_tool_classes": ["read"],
    "required_outputs": ["findings"],
    "tool_budget": 4,
    "time_budget_seconds": 60,
}
READ = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": "limits.py"}, "reason": "look"}
FINDING = {"claim": "`LIMIT` is 3", "evidence_refs": ["file:limits.py#extract:1"], "confidence": "LOW"}
REPORT = {
    "action_type": "final_report",
    "report": {"status": "COMPLETE", "confidence": "MEDIUM", "findings": [FINDING]},
}
HANDED = f"Please:\n<OSS_HANDOFF_JSON>{json.dumps(HANDOFF)}</OSS_HANDOFF_JSON>"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one file."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "limits.py").write_text("LIMIT = 3\n")
    return folder


def report_of(content: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(content.split("\n```json\n")[1].split("\n```")[0])
    return value


@pytest.mark.parametrize("model", ["mission-a3-kimi", MODEL])
@pytest.mark.parametrize("stream", [True, False])
def test_a_mission_over_chat(project: Path, model: str, stream: bool) -> None:
    """The remarks come first, a blank line apart, then the report; raw names carry missions too."""
    with ChatUpstream([action(READ), action(REPORT)]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = ask(bridge, HANDED, model=model, stream=stream, stream_options={"include_usage": True})
    if stream:
        sent = chunks(answer)
        content, reason, usage = content_of(sent), finish_reasons(sent)[-1], sent[-1]["usage"]
    else:
        choice = answer.json["choices"][0]
        content, reason, usage = choice["message"]["content"], choice["finish_reason"], answer.json["usage"]
    assert content.startswith("Mission m_chat (A3) on ")
    assert len(content.split("\n\n")) >= 4
    assert (report_of(content)["status"], report_of(content)["mission_id"]) == ("COMPLETE", "m_chat")
    assert (reason, usage["prompt_tokens"]) == ("stop", 22)


def test_a_refused_handoff_is_shown(project: Path) -> None:
    """A mission name without a mission is a report that says so, not an error, and no model is asked."""
    with ChatUpstream([]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = ask(bridge, "just a question", model="mission-a3-kimi")
        assert up.requests == []
    report = report_of(answer.json["choices"][0]["message"]["content"])
    assert (report["status"], report["reason_codes"]) == ("FAILED", ["handoff_missing"])


def test_the_turn_after_a_mission_does_not_run_it_again(project: Path) -> None:
    """A chat history holds the old handoff; a raw name then answers like any other turn."""
    history = [
        {"role": "user", "content": HANDED},
        {"role": "assistant", "content": "the report"},
        {"role": "user", "content": "thanks, and what else?"},
    ]
    with ChatUpstream([text("nothing else")]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = ask(bridge, "", messages=history)
    assert answer.json["choices"][0]["message"]["content"] == "nothing else"


def test_a_client_that_leaves_does_not_end_its_mission(project: Path) -> None:
    """The stream is only a viewer here, too: the model is asked on, and the mission ends with the bridge at last."""

    def script(request: Request) -> UpstreamAnswer:
        return action(READ) if len(request.messages) < 3 else UpstreamAnswer((Hold("never"), *action(REPORT).steps))

    with ChatUpstream(script) as up, running_bridge(project, upstream=up.base_url) as bridge:
        connection, response = open_stream(bridge, body_of(HANDED, model="mission-a3-kimi"))
        response.readline()
        up.wait_for_requests(2)
        response.close()
        connection.close()
        assert not up.requests[1].client_left.wait(1)
        bridge.stop()
        assert up.requests[1].client_left.wait(10)
    report = json.loads((project / ".codex-oss/missions/m_chat/report.json").read_text())
    assert (report["status"], report["reason_codes"]) == ("PARTIAL", ["cancelled"])


# --- the official client --------------------------------------------------------------------------------------


def test_the_official_client_in_one_piece(client: OpenAI) -> None:
    """`chat.completions.create` reads text, reasoning, calls and usage."""
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "reasoning"}])
    assert answer.choices[0].message.content == "hello there"
    assert answer.choices[0].message.model_extra == {"reasoning_content": "Let me think."}
    assert answer.usage is not None
    assert (answer.usage.total_tokens, answer.model) == (18, MODEL)


def test_the_official_client_streams(client: OpenAI) -> None:
    """`stream=True` gives the text piece by piece and the usage last."""
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "text"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    seen = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in seen if chunk.choices) == "hello there"
    assert seen[-1].usage is not None
    assert seen[-1].usage.prompt_tokens == 11


def test_the_official_client_runs_tools(client: OpenAI, upstream: ChatUpstream) -> None:
    """Parallel calls come whole, and their outputs go back to the upstream as they came."""
    messages: list[Any] = [{"role": "user", "content": "calls"}]
    tools: list[Any] = [SHELL]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
        choice = stream.get_final_completion().choices[0]
    calls = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls"
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("a", "shell", '{"command": "ls"}'),
        ("b", "shell", "{}"),
    ]
    messages.append(choice.message.model_dump(exclude_none=True, exclude={"parsed"}))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in calls]
    again = client.chat.completions.create(
        model=MODEL, messages=[*messages, {"role": "user", "content": "text"}], tools=tools
    )
    assert again.choices[0].message.content == "hello there"
    roles = [message["role"] for message in upstream.chats[-1].messages]
    assert roles == ["user", "assistant", "tool", "tool", "user"]


def test_the_official_client_gets_custom_calls_as_functions(client: OpenAI) -> None:
    """A freeform tool is called with its raw input under `input`."""
    tools: list[Any] = [{"type": "custom", "custom": {"name": "patch"}}]
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "custom"}], tools=tools)
    calls = answer.choices[0].message.tool_calls or []
    assert len(calls) == 1
    call = calls[0]
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("patch", {"input": "*** Begin"})


@pytest.mark.parametrize(
    ("what", "raised"),
    [
        ("unauthorized", openai.AuthenticationError),
        ("limited", openai.RateLimitError),
        ("broken", openai.InternalServerError),
    ],
)
def test_the_official_client_raises_by_status(client: OpenAI, what: str, raised: type[openai.APIStatusError]) -> None:
    """Each failure before the first byte is the exception of its status."""
    with pytest.raises(raised):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": what}], stream=True)


def test_the_official_client_raises_within_a_stream(client: OpenAI) -> None:
    """A stream that breaks raises, after the text that came."""
    stream = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "cut"}], stream=True)
    with pytest.raises(openai.APIError, match=r"ended|broke|cut"):
        list(stream)
