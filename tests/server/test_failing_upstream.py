"""What a client sees of an upstream that keeps failing, through the real bridge: fallback, breaker, deadlines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.fakes.bridge_process import BridgeProcess, running_bridge, sse_events
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Hold,
    Pause,
    Request,
    Script,
    Send,
    Step,
    chunk,
    error,
    held,
    html,
    text,
)

KIMI, DEEPSEEK, FLASH = "kimi-k2.6", "deepseek-v4-pro", "deepseek-v4-flash"
TURN = {"model": "ocg-kimi-k2.6", "input": "hi"}
OPENCODE = {"User-Agent": "opencode/1.18.33 ai-sdk/provider-utils"}
TOLD = "asked=ocg-kimi-k2.6; answered=ocg-deepseek-v4-pro; reason=fallback_upstream_unavailable"


@contextmanager
def _bridge(tmp_path: Path, script: Script, **extra: str) -> Iterator[tuple[BridgeProcess, ChatUpstream]]:
    """A bridge without retries in front of a scripted upstream."""
    environment = {"UPSTREAM_RETRIES": "0", "CIRCUIT_BREAKER_ERRORS": "", **extra}
    with (
        ChatUpstream(script, max_requests=60) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url, **environment) as bridge,
    ):
        yield bridge, upstream


def _only(model: str, answer: Answer | None = None) -> Script:
    """An upstream on which one model answers and all others are broken."""

    def script(request: Request) -> Answer:
        return (answer or text("hello")) if request.json["model"] == model else error(503, "overloaded")

    return script


def _asked(upstream: ChatUpstream) -> list[str]:
    return [request.json["model"] for request in upstream.chats]


@pytest.mark.parametrize("stream", [True, False])
def test_a_fallback_is_told(tmp_path: Path, stream: bool) -> None:
    """In the head, in every response object, and kept with the stored response; never as `openai-model`."""
    with _bridge(tmp_path, _only(DEEPSEEK)) as (bridge, upstream):
        answer = bridge.post({**TURN, "stream": stream, "metadata": {"mine": "1"}})
        objects = [event["response"] for event in answer.events if "response" in event] if stream else [answer.json]
        kept = bridge.request("GET", f"/v1/responses/{objects[0]['id']}").json
        chat = {"model": TURN["model"], "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        chatted = bridge.request("POST", "/v1/chat/completions", json.dumps(chat).encode())
    assert answer.headers["x-codex-oss-route"] == TOLD
    assert "openai-model" not in answer.headers
    assert len(objects) == (3 if stream else 1)
    for value in (*objects, kept):
        assert value["metadata"] == {"mine": "1", "codex_oss_route": TOLD}
        assert value["model"] == TURN["model"]
    assert chatted.headers["x-codex-oss-route"] == TOLD
    assert _asked(upstream)[:2] == [KIMI, DEEPSEEK]


def test_a_fallback_is_told_on_the_socket(tmp_path: Path) -> None:
    """A WebSocket client sees it in the response object."""
    with _bridge(tmp_path, _only(DEEPSEEK)) as (bridge, _):
        address = bridge.base_url.replace("http", "ws") + "/responses"
        with connect(address, additional_headers={"Authorization": bridge.auth["Authorization"]}) as socket:
            socket.send(json.dumps({"type": "response.create", **TURN}))
            first = json.loads(socket.recv(20))
    assert first["type"] == "response.created"
    assert first["response"]["metadata"] == {"codex_oss_route": TOLD}


def test_a_gpt_alias_is_told(tmp_path: Path) -> None:
    """A GPT name placed on an open model is a deviation like any other."""
    with _bridge(tmp_path, _only(DEEPSEEK), GPT_MODEL_STRATEGY="oss") as (bridge, _):
        answer = bridge.post({**TURN, "model": "gpt-5.5"})
    told = "asked=gpt-5.5; answered=ocg-deepseek-v4-pro; reason=gpt_alias"
    assert answer.headers["x-codex-oss-route"] == told
    assert answer.json["metadata"] == {"codex_oss_route": told}


def test_no_deviation_no_words(tmp_path: Path) -> None:
    """The model that was asked for answers: no header, no metadata, whatever the client puts under our key."""
    with _bridge(tmp_path, _only(KIMI)) as (bridge, _):
        answer = bridge.post({**TURN, "metadata": {"codex_oss_route": "asked=x", "mine": "1"}})
    assert "x-codex-oss-route" not in answer.headers
    assert answer.json["metadata"] == {"mine": "1"}


def test_full_metadata_stays_the_clients(tmp_path: Path) -> None:
    """Sixteen pairs are all there may be; the header tells it then."""
    metadata = {f"key{number}": "x" for number in range(16)}
    with _bridge(tmp_path, _only(DEEPSEEK)) as (bridge, _):
        answer = bridge.post({**TURN, "metadata": metadata})
    assert answer.json["metadata"] == metadata
    assert answer.headers["x-codex-oss-route"] == TOLD


@pytest.mark.parametrize(("approved", "status", "asked"), [(False, 503, [KIMI, DEEPSEEK]), (True, 200, [KIMI, FLASH])])
def test_a_downgrade_needs_approval(tmp_path: Path, approved: bool, status: int, asked: list[str]) -> None:
    """The weaker model of the shipped chain is never taken; the one that the user's own map names is, and is told."""
    extra = {"FALLBACK_MODEL_MAP_JSON": '{"kimi": ["flash"]}'} if approved else {}
    with _bridge(tmp_path, _only(FLASH), **extra) as (bridge, upstream):
        answer = bridge.post(TURN)
    assert (answer.status, _asked(upstream)) == (status, asked)
    told = "asked=ocg-kimi-k2.6; answered=ocg-deepseek-v4-flash; reason=fallback_upstream_unavailable"
    assert answer.headers.get("x-codex-oss-route") == (told if approved else None)


NO_FALLBACK = {"FALLBACK_MODEL_MAP_JSON": '{"kimi": []}'}


def test_the_breaker_opens_and_closes(tmp_path: Path) -> None:
    """Two failed turns, then refusals at once that say why and when; after the cooldown a probe, which closes."""
    answers = [error(503, "overloaded"), html(), text("hello"), text("again")]
    with _bridge(tmp_path, answers, CIRCUIT_BREAKER_COOLDOWN="1.5", **NO_FALLBACK) as (bridge, upstream):
        assert [bridge.post(TURN).status for _ in range(2)] == [503, 502]
        refused = [bridge.post(TURN) for _ in range(3)]
        circuits = bridge.request("GET", "/health").json["circuits"]
        assert len(upstream.chats) == 2
        back = _until(lambda: bridge.post(TURN), lambda answer: answer.status == 200)
        assert bridge.post(TURN).status == 200
        assert bridge.request("GET", "/health").json["circuits"] == {}
    assert back.status == 200
    assert {answer.status for answer in refused} == {503}
    assert all(1 <= int(answer.headers["retry-after"]) <= 2 for answer in refused)
    told = refused[0].error
    assert told["code"] == "circuit_open"
    assert told["message"].startswith(
        "'ocg-kimi-k2.6' is not asked for now: its server failed 2 times in a row. It will"
    )
    assert "an HTML page" in told["message"]
    assert circuits["kimi"]["state"] == "open"


def _until(look: Callable[[], Any], good: Callable[[Any], Any]) -> Any:
    """What *look* gives once it is *good*."""
    for _ in range(200):
        if good(seen := look()):
            return seen
        time.sleep(0.05)
    raise AssertionError(f"never became so: {seen!r}")


def test_a_new_turn_of_a_session_tries_a_mended_server(tmp_path: Path) -> None:
    """A client that repeats is stopped at the third request; its user's next turn finds the server mended."""
    headers = {"User-Agent": "codex_exec/0.169.0", "session-id": "s", "thread-id": "t"}
    answers = [error(503, "overloaded"), error(503, "overloaded"), text("mended")]
    with _bridge(tmp_path, answers, **NO_FALLBACK) as (bridge, upstream):
        turns = [
            bridge.request("POST", "/v1/responses", json.dumps(TURN).encode(), {**bridge.auth, **headers})
            for _ in range(4)
        ]
    assert [turn.status for turn in turns] == [503, 503, 400, 200]
    assert turns[2].error["code"] == "circuit_open"
    assert len(upstream.chats) == 3


def test_an_open_circuit_goes_to_the_fallback_at_once(tmp_path: Path) -> None:
    """The broken model is not asked a third time, and the reason says so."""
    with _bridge(tmp_path, _only(DEEPSEEK)) as (bridge, upstream):
        routes = [bridge.post(TURN).headers["x-codex-oss-route"].rpartition("=")[2] for _ in range(3)]
    assert routes == ["fallback_upstream_unavailable"] * 2 + ["fallback_circuit_open"]
    assert _asked(upstream) == [KIMI, DEEPSEEK] * 2 + [DEEPSEEK]


@pytest.mark.parametrize(("status", "more"), [(400, {}), (401, {}), (404, {}), (413, {}), (429, {"retry_after": "1"})])
def test_what_is_not_the_servers_fault_opens_nothing(tmp_path: Path, status: int, more: dict[str, str]) -> None:
    """The client's mistakes and rate limits are passed on each time."""
    with _bridge(tmp_path, lambda _: error(status, "no", **more), **NO_FALLBACK) as (bridge, upstream):
        codes = {bridge.post(TURN).error["code"] for _ in range(4)}
        assert bridge.request("GET", "/health").json["circuits"] == {}
    assert "circuit_open" not in codes
    assert len(upstream.chats) == 4


def test_what_the_client_repeats_is_not_repeated_here(tmp_path: Path) -> None:
    """A turn has its retries; its repetition by the same session has none."""
    headers = {"session-id": "s", "thread-id": "t"}
    with _bridge(tmp_path, lambda _: error(429, "slow", retry_after="0"), UPSTREAM_RETRIES="2", **NO_FALLBACK) as (
        bridge,
        upstream,
    ):
        counts = []
        for _ in range(3):
            bridge.request("POST", "/v1/responses", json.dumps(TURN).encode(), {**bridge.auth, **headers})
            counts.append(len(upstream.chats))
    assert counts == [3, 4, 5]


def test_a_used_up_plan_is_told_to_each_client_as_it_stops(tmp_path: Path) -> None:
    """429 with the time of the end for Codex, 400 with final words for OpenCode; never a Retry-After of hours."""
    limit = error(429, "HTTP 429: rate limit", retry_after="7200")
    with _bridge(tmp_path, lambda _: limit, **NO_FALLBACK) as (bridge, _):
        sent = json.dumps(TURN).encode()
        codex = bridge.request("POST", "/v1/responses", sent, {**bridge.auth, "User-Agent": "codex_exec/0.169.0"})
        plain = bridge.post(TURN)
        opencode = bridge.request("POST", "/v1/responses", json.dumps(TURN).encode(), {**bridge.auth, **OPENCODE})
    assert (codex.status, codex.error["type"], codex.error["code"]) == (429, "usage_limit_reached", "quota_exhausted")
    assert codex.error["resets_in_seconds"] == 7200
    assert "again in 120 min" in codex.error["message"] or "2 h 0 min" in codex.error["message"]
    assert opencode.status == 400
    assert b"429" not in opencode.body
    assert (plain.status, plain.error["type"], plain.headers["retry-after"]) == (429, "rate_limit_error", "60")
    assert plain.headers["x-should-retry"] == "false"
    for answer in (codex, opencode):
        assert "retry-after" not in answer.headers


def test_a_turn_has_a_deadline(tmp_path: Path) -> None:
    """OSS_TURN_DEADLINE_SECONDS ends an upstream that drips for ever, in a stream and before it."""
    drops: tuple[Step, ...] = (Pause(0.1), Send(b": still here\n\n")) * 100
    drip, silent = Answer((Send(chunk({"content": "a"})), *drops)), Answer(drops)
    script = [drip, silent]
    with _bridge(tmp_path, script, OSS_TURN_DEADLINE_SECONDS="1", **NO_FALLBACK) as (bridge, _):
        streamed = bridge.post({**TURN, "stream": True})
        refused = bridge.post(TURN)
    assert streamed.events[-1]["type"] == "response.failed"
    assert "did not finish within" in streamed.events[-1]["response"]["error"]["message"]
    assert (refused.status, refused.error["code"]) == (503, "upstream_unavailable")


def test_errors_inside_a_stream_are_clean(tmp_path: Path) -> None:
    """No terminal escapes and no held key in `response.failed`."""
    said = 'data: {"error": {"message": "bad \\u001b[2J key synthetic-upstream-key"}}\n\n'
    broken = Answer((Send(chunk({"content": "a"})), Hold("rest"), Send(said.encode())))
    with _bridge(tmp_path, [broken], **NO_FALLBACK) as (bridge, upstream):
        connection, response = bridge.open_stream(TURN)
        upstream.release("rest")
        failed = sse_events(response.read())[-1]
        connection.close()
    message = failed["response"]["error"]["message"]
    assert message.isprintable()
    assert "synthetic-upstream-key" not in message
    assert "bad" in message


def test_a_waiting_turn_is_seen(tmp_path: Path) -> None:
    """While a model's only slot is taken, the next turn waits, its place is known, and it is answered after all."""
    slow = held(text("hello", pieces=4), "rest", after=2)
    with _bridge(tmp_path, lambda _: slow, **NO_FALLBACK) as (bridge, upstream), ThreadPoolExecutor(1) as pool:
        connection, response = bridge.open_stream(TURN)
        waiting = pool.submit(bridge.post, TURN)
        facts = _until(lambda: bridge.request("GET", "/health").json["capacity"], lambda seen: seen["waiting"])
        upstream.release("rest")
        response.read()
        connection.close()
        assert waiting.result(20).status == 200
        log = bridge.log.read_text()
    assert facts == {"max_total": 5, "under_way": {"kimi": 1}, "waiting": ["kimi"]}
    assert "kimi waits for a slot: place 1 in the queue, 1 of 1 under way for it, 1 of 5 in all" in log
