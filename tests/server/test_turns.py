"""Turns through the real bridge process: streaming, JSON, and what a client sees when the upstream fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.bridge_process import UPSTREAM_KEY, BridgeProcess, running_bridge, sse_events
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Hangup,
    Request,
    body,
    cut,
    error,
    held,
    html,
    json_though_asked_to_stream,
    mute,
    payload_of,
    text,
    tool_call,
)

TURN = {"model": "ocg-kimi-k2.6", "input": "hi"}
SCRIPTED: dict[str, Answer] = {
    "text": text("hello there"),
    "held": held(text("hello there", pieces=4), "rest", after=2),
    "call": tool_call("shell", {"command": "ls"}),
    "unauthorized": error(401, f"Incorrect API key provided: {UPSTREAM_KEY}"),
    "unknown": error(404, "no such model"),
    "broken": error(503, "overloaded"),
    "limited": error(429, "slow down", retry_after="30"),
    "spent": error(429, "slow down", retry_after="120"),
    "too long": error(400, "This model's maximum context length is 10 tokens", code="context_length_exceeded"),
    "html": html(),
    "json": json_though_asked_to_stream("plain"),
    "untyped": body(payload_of(text("untyped")), content_type=None),
    "cut": cut(text("hello there", pieces=6), 700),
    "hangup": cut(text("hello there", pieces=6), 700, Hangup()),
    "mute": mute(),
    "redirect": Answer((), status=302, headers=(("Location", "http://127.0.0.1:9/"),)),
}


def _by_last_word(request: Request) -> Answer:
    return SCRIPTED[request.messages[-1]["content"]]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream for all turns; the user's text names the answer."""
    with ChatUpstream(_by_last_word) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all turns, without retries and without a fallback, so that each failure shows at once."""
    project = tmp_path_factory.mktemp("turns") / "project"
    extra = {"UPSTREAM_RETRIES": "0", "FALLBACK_MODEL_MAP_JSON": '{"kimi": []}'}
    with running_bridge(
        project, upstream=upstream.base_url, UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS="0.5", **extra
    ) as process:
        yield process


def _ask(bridge: BridgeProcess, what: str, **more: Any) -> Any:
    return bridge.post({**TURN, "input": what, **more})


def test_streamed_turn(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """A streamed text turn is the canonical event order, ends with [DONE], and carries the upstream's key, not ours."""
    answer = _ask(bridge, "text", stream=True)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    kinds = [event["type"] for event in answer.events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_item.done") == 1
    assert answer.events[-1]["response"]["usage"]["total_tokens"] == 18
    sent = upstream.chats[-1]
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert sent.json["model"] == "kimi-k2.6"
    assert "cookie" not in sent.headers


def test_json_turn(bridge: BridgeProcess) -> None:
    """Without `stream` the answer is one JSON object with the same content."""
    answer = _ask(bridge, "text")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["status"] == "completed"
    assert answer.json["output"][0]["content"][0]["text"] == "hello there"


def test_tool_call_turn(bridge: BridgeProcess) -> None:
    """A function call reaches the client with its arguments whole."""
    tools = [{"type": "function", "name": "shell", "parameters": {"type": "object"}}]
    item = _ask(bridge, "call", tools=tools).json["output"][0]
    assert (item["type"], item["name"], json.loads(item["arguments"])) == ("function_call", "shell", {"command": "ls"})


@pytest.mark.parametrize(("what", "shown"), [("json", "plain"), ("untyped", "untyped")])
def test_mislabelled_answers_are_read(bridge: BridgeProcess, what: str, shown: str) -> None:
    """JSON although a stream was asked for, and a stream without a Content-Type, are both answers."""
    events = _ask(bridge, what, stream=True).events
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == shown


REFUSALS = [
    ("unauthorized", 401, "upstream_unauthorized", "refused the key in OPENCODE_GO_API_KEY (HTTP 401)."),
    ("unknown", 404, "model_not_found", "does not know model 'kimi-k2.6' (HTTP 404)."),
    ("broken", 503, "upstream_unavailable", "failed (HTTP 503)."),
    ("limited", 429, "rate_limited", "limits the rate of 'kimi-k2.6'."),
    ("too long", 400, "context_length_exceeded", "The conversation is too long for 'kimi-k2.6'."),
    ("html", 502, "upstream_protocol_error", "answered with an HTML page instead of a model's answer."),
    ("redirect", 400, "upstream_refused", "answered with a redirect (HTTP 302), which is never followed."),
    ("mute", 503, "upstream_unavailable", "did not answer in time."),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("what", "status", "code", "message"), REFUSALS)
def test_failures_before_the_first_event(
    bridge: BridgeProcess, what: str, status: int, code: str, message: str, stream: bool
) -> None:
    """A failure before the first event is an HTTP status with our error, whether or not a stream was asked for."""
    answer = _ask(bridge, what, stream=stream)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert message in answer.error["message"]
    assert UPSTREAM_KEY not in answer.body.decode()


def test_a_long_retry_after_is_cut(bridge: BridgeProcess) -> None:
    """OpenCode would sit silent for as long as Retry-After says."""
    assert _ask(bridge, "spent").headers["retry-after"] == "60"


@pytest.mark.parametrize("what", ["cut", "hangup"])
def test_a_cut_stream_ends_with_one_failure(bridge: BridgeProcess, what: str) -> None:
    """After the first event a broken upstream is one failed terminal event, with every item closed."""
    answer = _ask(bridge, what, stream=True)
    kinds = [event["type"] for event in answer.events]
    assert answer.status == 200
    assert kinds[-2:] == ["error", "response.failed"]
    assert kinds.count("response.failed") == 1
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_a_leaving_client_closes_the_upstream(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """When the client goes, the upstream connection is closed at once and the slot is free again."""
    connection, response = bridge.open_stream({**TURN, "input": "held"})
    assert response.readline().startswith(b"event: response.created")
    waiting = upstream.chats[-1]
    response.close()
    connection.close()
    assert waiting.client_left.wait(5)
    assert _ask(bridge, "text").status == 200


def test_events_arrive_as_they_happen(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """The first delta is readable while the upstream still holds the rest."""
    connection, response = bridge.open_stream({**TURN, "input": "held"})
    seen = b""
    while b"output_text.delta" not in seen:
        seen += response.readline()
    upstream.release("rest")
    seen += response.read()
    connection.close()
    assert sse_events(seen)[-1]["type"] == "response.completed"


REJECTED = [
    ({"model": "ocg-kimi-k2.6"}, 400, "invalid_request", "input"),
    ({**TURN, "model": "kimi"}, 404, "model_not_found", "Unknown model 'kimi'. Near matches: ocg-kimi-k2.6"),
    (
        {**TURN, "model": "gpt-5.5"},
        400,
        "unsupported_bridge_model",
        "This bridge does not serve 'gpt-5.5': it answers to",
    ),
    ({**TURN, "model": "mission-a4-qwen"}, 404, "model_not_found", "Profile 'qwen' is not admitted to A4"),
    ({**TURN, "previous_response_id": "resp_1"}, 400, "previous_response_not_found", ""),
]


@pytest.mark.parametrize(("turn", "status", "code", "message"), REJECTED)
def test_wrong_requests(bridge: BridgeProcess, turn: dict[str, Any], status: int, code: str, message: str) -> None:
    """A wrong request is told what is wrong, without asking any upstream."""
    answer = bridge.post(turn)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert message in answer.error["message"]


def test_metrics_count_turns(bridge: BridgeProcess) -> None:
    """The counters know lanes, outcomes and tokens by their OpenTelemetry names."""
    _ask(bridge, "text")
    page = bridge.request("GET", "/metrics").body.decode()
    assert 'codex_oss_requests_total{lane="oss",outcome="completed"}' in page
    labels = 'gen_ai_operation_name="chat",gen_ai_request_model="ocg-kimi-k2.6",gen_ai_response_model="kimi-k2.6"'
    assert f'gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type="input"}}' in page
    assert 'codex_oss_in_flight{lane="oss"} ' in page


def test_upstream_down(tmp_path: Path) -> None:
    """A dead upstream is named with its address, at once and without retries."""
    with running_bridge(tmp_path / "project", upstream="http://127.0.0.1:9/v1") as bridge:
        answer = bridge.post({**TURN, "stream": True})
    assert answer.status == 503
    assert answer.error["message"] == (
        "Cannot connect to the upstream at 127.0.0.1:9. Is the server running? "
        "The address comes from UPSTREAM_BASE or profile 'kimi'."
    )


def test_upstream_key_missing(tmp_path: Path, upstream: ChatUpstream) -> None:
    """A missing key names its variable, and nothing is sent."""
    before = len(upstream.requests)
    with running_bridge(tmp_path / "project", upstream=upstream.base_url, OPENCODE_GO_API_KEY="") as bridge:
        answer = bridge.post(TURN)
        health = bridge.request("GET", "/health", headers={})
    assert (answer.status, answer.error["code"]) == (400, "upstream_key_missing")
    assert answer.error["message"].startswith("The upstream key is missing: OPENCODE_GO_API_KEY is not set. Set ")
    assert health.json["upstream_key_present"] is False
    assert health.json["upstream_keys"] == {"OPENCODE_GO_API_KEY": False}
    assert len(upstream.requests) == before


def test_fallback_before_the_first_event(tmp_path: Path) -> None:
    """An unavailable model is replaced by one of its own capability, never by a weaker one."""

    def script(request: Request) -> Answer:
        return text("from deepseek") if request.json["model"] == "deepseek-v4-pro" else error(503)

    with (
        ChatUpstream(script) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url, UPSTREAM_RETRIES="0") as bridge,
    ):
        assert bridge.post(TURN).json["output"][0]["content"][0]["text"] == "from deepseek"
        refused = bridge.post({**TURN, "model": "ocg-glm-5.1"})
        asked = [request.json["model"] for request in fake.chats]
    assert refused.status == 503
    assert asked == ["kimi-k2.6", "deepseek-v4-pro", "glm-5.1"]
