"""What the bridge notes of requests, as a real process: the log, cache warnings, metrics, and what never gets in."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, Send, error, held, text, tool_call

TURN = {"model": "ocg-kimi-k2.6", "input": "a secret question"}
CODEX = {"session-id": "s-1", "thread-id": "t-1", "x-codex-window-id": "t-1:0", "User-Agent": "codex_exec/0.169.0 (x)"}


def ask(bridge: BridgeProcess, body: Mapping[str, Any], path: str = "/v1/responses", **headers: str) -> Any:
    return bridge.request("POST", path, json.dumps(body).encode(), {**bridge.auth, **CODEX, **headers})


def log_of(bridge: BridgeProcess) -> Path:
    return bridge.project / ".codex-oss/state/requests.jsonl"


def records(bridge: BridgeProcess, count: int) -> list[dict[str, Any]]:
    """The log once it has *count* lines; every line is one JSON object."""
    return [json.loads(row) for row in wait_for(lambda: _rows(log_of(bridge)), lambda rows: len(rows) >= count)]


def _rows(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def wait_for(look: Callable[[], Any], so: Callable[[Any], bool]) -> Any:
    """What *look* gives as soon as it is so; what it gave last after a while."""
    for _ in range(500):
        if so(seen := look()):
            break
        time.sleep(0.01)
    return seen


def _cached(words: str, tokens: int, cached: int) -> Answer:
    """An answer whose usage tells what was read from the cache."""
    mark = b'"total_tokens"'
    told = b'"prompt_tokens_details": {"cached_tokens": %d}, %b' % (cached, mark)
    answer = text(words, usage=(tokens, 7))
    assert answer.plain is not None
    steps = tuple(Send(step.data.replace(mark, told)) for step in answer.steps if isinstance(step, Send))
    return replace(answer, steps=steps, plain=answer.plain.replace(mark, told))


def test_one_line_tells_a_turn(tmp_path: Path) -> None:
    """Who asked, who answered, tokens, costs, times; 0600; not a word of prompt, answer or key."""
    with (
        ChatUpstream([_cached("a secret answer", 50, 20)]) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url) as bridge,
    ):
        answer = ask(bridge, {**TURN, "stream": True, "tools": [{"type": "web_search"}]})
        (line,) = records(bridge, 1)
        raw = log_of(bridge).read_text()
        assert log_of(bridge).stat().st_mode & 0o777 == 0o600
    told = {name: line[name] for name in ("session", "thread", "client", "model", "profile", "upstream_model")}
    assert told == {
        "session": "s-1",
        "thread": "t-1",
        "client": "codex_exec/0.169.0",
        "model": "ocg-kimi-k2.6",
        "profile": "kimi",
        "upstream_model": "kimi-k2.6",
    }
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["response_id"] == answer.events[0]["response"]["id"]
    assert (line["outcome"], line["error_code"], line["deviation"]) == ("completed", "", False)
    assert (line["lane"], line["surface"], line["tries"], line["dropped_tools"]) == (
        "oss",
        "responses",
        1,
        ["web_search"],
    )
    assert {name: line["tokens"][name] for name in ("input", "cached", "output", "cache_write")} == {
        "input": 50,
        "cached": 20,
        "output": 7,
        "cache_write": None,
    }
    assert line["cost_inputs"] == {"model": "kimi-k2.6", "input": 30, "cache_read": 20, "cache_write": 0, "output": 7}
    assert 0 <= line["timings"]["first_batch_s"] <= line["timings"]["total_s"]
    assert line["bytes_out"] == len(answer.body)
    assert line["bytes_in"] > 10
    assert "secret" not in raw
    assert LOCAL_KEY not in raw
    assert UPSTREAM_KEY not in raw


def test_every_refusal_is_told(tmp_path: Path) -> None:
    """Before a lane: no key, no JSON, no such model, on each surface; and an upstream's refusal behind it."""
    with (
        ChatUpstream([error(401, "no")]) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url, UPSTREAM_RETRIES="0") as bridge,
    ):
        bridge.request("POST", "/v1/responses", b"{}", {"User-Agent": "curl/8"})
        ask(bridge, {"model": "ocg-nothing at all", "input": "x"})
        bridge.request("POST", "/v1/chat/completions", b"{", bridge.auth)
        bridge.request("POST", "/v1/nothing", b"{}")
        ask(bridge, TURN)
        lines = records(bridge, 4)
        page = bridge.request("GET", "/metrics").body.decode()
    seen = [(line["surface"], line["outcome"], line["error_code"], line["model"]) for line in lines]
    assert seen == [
        ("responses", "refused", "unauthorized", ""),
        ("responses", "refused", "model_not_found", "ocg-nothing at all"),
        ("chat", "refused", "invalid_request", ""),
        ("responses", "refused", "upstream_unauthorized", "ocg-kimi-k2.6"),
    ]
    assert [line["client"] for line in lines[:2]] == ["curl/8", "codex_exec/0.169.0"]
    assert lines[3]["tokens"] == {
        "input": None,
        "cached": None,
        "cache_write": None,
        "output": None,
        "reasoning": None,
        "estimated": False,
    }
    assert 'codex_oss_refusals_total{error_type="model_not_found"} 1.0' in page


def test_a_refused_frame_and_a_refused_upgrade_are_told(tmp_path: Path) -> None:
    """On a WebSocket: a frame that is no JSON, a name that nobody answers to, and an upgrade without the key."""
    with running_bridge(tmp_path / "project") as bridge:
        address = f"ws://127.0.0.1:{bridge.port}/v1/responses"
        with pytest.raises(InvalidStatus):
            connect(address)
        with connect(address, additional_headers={"Authorization": f"Bearer {LOCAL_KEY}", "session-id": "s"}) as socket:
            socket.send("{")
            socket.recv(10)
            socket.send(json.dumps({"type": "response.create", "model": "nobody", "input": "x"}))
            socket.recv(10)
        lines = records(bridge, 3)
    assert [(line["surface"], line["error_code"], line["model"], line["session"]) for line in lines] == [
        ("websocket", "unauthorized", "", ""),
        ("websocket", "invalid_request", "", "s"),
        ("websocket", "model_not_found", "nobody", "s"),
    ]


def test_a_deviation_is_told(tmp_path: Path) -> None:
    """Another model than the one that was asked for answered."""

    def script(request: Request) -> Any:
        return error(503, "down") if request.json["model"] == "kimi-k2.6" else text("from another")

    extra = {"UPSTREAM_RETRIES": "0", "FALLBACK_MODEL_MAP_JSON": '{"kimi": ["spare"]}'}
    project = tmp_path / "project"
    (project / ".codex-oss").mkdir(parents=True)
    spare = '[profiles.spare]\nalias = "ocg-spare"\nmodel = "spare-1"\nbase_url = "{}"\nkey_env = ""\ncapability = 5\n'
    with ChatUpstream(script) as fake:
        (project / ".codex-oss/models.toml").write_text(spare.format(fake.base_url))
        with running_bridge(project, upstream=fake.base_url, **extra) as bridge:
            assert ask(bridge, TURN).status == 200
            (line,) = records(bridge, 1)
    assert (line["deviation"], line["profile_asked"], line["upstream_model"]) == (True, "kimi", "spare-1")
    assert (line["profile"], line["reason"], line["tries"]) == ("spare", "fallback_upstream_unavailable", 2)


@pytest.mark.parametrize("hostile", ["x\nreq_forged completed", "\x1b[2Jocg", "\u2028\u202eocg", "\ud800", "m" * 5000])
def test_hostile_names_stay_in_their_field(hostile: str, tmp_path: Path) -> None:
    """Line feeds, escapes, direction marks, half characters and endless names forge no line and reach no terminal."""
    with running_bridge(tmp_path / "project") as bridge:
        headers = {"thread-id": "t\x9b31m", "User-Agent": "evil\xa0\x85agent"}
        ask(bridge, {**TURN, "model": hostile}, **headers)
        ask(bridge, {**TURN, "model": f"ocg-{UPSTREAM_KEY} nope"})
        lines = records(bridge, 2)
        raw, told = log_of(bridge).read_text(), bridge.log.read_text()
    assert len(lines) == 2
    assert all(ord(character) >= 32 and not 0x7F <= ord(character) < 0xA0 for character in raw.replace("\n", ""))
    assert "\u2028" not in raw
    assert len(lines[0]["model"]) <= 200
    assert UPSTREAM_KEY not in raw + told
    assert "req_forged" not in told


def test_a_line_feed_in_a_header_is_no_second_header(tmp_path: Path) -> None:
    """A folded or split header never reaches the log as a line of its own."""
    with running_bridge(tmp_path / "project") as bridge:
        connection = http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=10)
        head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {LOCAL_KEY}\r\n"
        connection.connect()
        connection.sock.sendall(f"{head}thread-id: a\nforged: yes\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        connection.sock.recv(4096)
        connection.close()
        ask(bridge, {"model": "nobody", "input": "x"})
        assert [line["model"] for line in records(bridge, 1)][-1] == "nobody"


def test_a_broken_cache_is_named_everywhere(tmp_path: Path) -> None:
    """Tools that change their order twice: one warning, in the log, in /metrics, in /health and in the line."""
    tools: list[dict[str, Any]] = [
        {"type": "function", "name": name, "parameters": {}} for name in ("read", "write", "run")
    ]
    items: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    with (
        ChatUpstream([_cached("ok", 4000, cached) for cached in (0, 3600, 3600, 0, 0)]) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url) as bridge,
    ):
        for number in range(5):
            tools = [*tools[1:], tools[0]] if number > 2 else tools
            assert ask(bridge, {**TURN, "input": items, "tools": tools}).status == 200
            items += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": f"more {number}"}]
        lines = records(bridge, 5)
        health = bridge.request("GET", "/health", headers={}).json["prompt_cache"]
        page = bridge.request("GET", "/metrics").body.decode()
        told = bridge.log.read_text()
    assert [(line["cache"]["state"], line["cache"]["cause"]) for line in lines] == [
        ("expected", "first_turn"),
        ("ok", ""),
        ("ok", ""),
        ("bad", "tools_changed"),
        ("bad", "tools_changed"),
    ]
    assert [line["cache"]["warned"] for line in lines] == [False, False, False, False, True]
    assert told.count("prompt cache: tools_changed (ocg-kimi-k2.6, thread t-1)") == 1
    assert [(one["cause"], one["model"]) for one in health["warnings"]] == [("tools_changed", "ocg-kimi-k2.6")]
    assert health["models"] == {"ocg-kimi-k2.6": 0.36}
    assert "t-1" not in json.dumps(health)
    assert 'codex_oss_cache_warnings_total{cause="tools_changed"} 1.0' in page
    assert 'codex_oss_cache_ratio{gen_ai_request_model="ocg-kimi-k2.6"} 0.36' in page


def test_the_page_of_metrics_parses_and_is_complete(tmp_path: Path) -> None:
    """Prometheus' own parser reads it; GenAI names, queue, log and process are there, labels are bounded."""
    with (
        ChatUpstream([text("hello there", pieces=4), tool_call("shell", {"cmd": "ls"}), text("x")]) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url) as bridge,
    ):
        ask(bridge, {**TURN, "stream": True})
        ask(bridge, TURN)
        ask(bridge, {**TURN, "model": "ocg-unheard-of"})
        wait_for(lambda: _rows(log_of(bridge)), lambda rows: len(rows) == 3)
        page = bridge.request("GET", "/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert {
        "gen_ai_client_token_usage",
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
        "codex_oss_requests",
        "codex_oss_refusals",
        "codex_oss_surface_turns",
        "codex_oss_in_flight",
        "codex_oss_input_tokens",
        "codex_oss_upstream_slots",
        "codex_oss_upstream_slots_taken",
        "codex_oss_upstream_waiting",
        "codex_oss_stored_responses",
        "codex_oss_cache_ratio",
        "codex_oss_cache_warnings",
        "codex_oss_request_log_lines",
        "codex_oss_request_log_dropped",
        "codex_oss_build_info",
        "process_resident_memory_bytes",
        "process_open_fds",
    } <= families.keys()
    duration = families["gen_ai_server_request_duration_seconds"].samples
    counts = [sample for sample in duration if sample.name.endswith("_count")]
    assert {sample.labels["gen_ai_request_model"] for sample in counts} == {"ocg-kimi-k2.6", "other"}
    assert {sample.labels["gen_ai_operation_name"] for sample in counts} == {"chat"}
    assert sum(sample.value for sample in counts) == 3
    (lines,) = families["codex_oss_request_log_lines"].samples
    assert lines.value == 3


def test_a_log_that_cannot_be_written_fails_no_turn(tmp_path: Path) -> None:
    """Turns go on, the trouble is said once in the log and is seen in /health."""
    project = tmp_path / "project"
    place = tmp_path / "taken"
    os.mkfifo(place)
    with (
        ChatUpstream(lambda _: text("ok")) as fake,
        running_bridge(project, upstream=fake.base_url, PROXY_LOG_PATH=str(place)) as bridge,
    ):
        assert [ask(bridge, TURN).status for _ in range(3)] == [200] * 3
        facts = wait_for(lambda: bridge.request("GET", "/health", headers={}).json["request_log"], _three_dropped)
        assert (facts["path"], facts["written"], facts["dropped"]) == (str(place), 0, 3)
        assert "no regular file" in facts["problem"]
        assert bridge.log.read_text().count("the request log is not written") == 1


def _three_dropped(facts: dict[str, Any]) -> bool:
    return bool(facts["dropped"] == 3)


def test_the_last_turns_are_written_at_the_end(tmp_path: Path) -> None:
    """SIGTERM during a turn: it is interrupted, and its line is there when the process is gone."""
    with (
        ChatUpstream([held(text("hello", pieces=3), "never", after=2)]) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0.1") as bridge,
    ):
        connection, response = bridge.open_stream(TURN)
        response.readline()
        assert bridge.stop() == 0
        connection.close()
        (line,) = records(bridge, 1)
    assert (line["outcome"], line["error_code"]) == ("failed", "upstream_unavailable")


def test_a_project_cannot_place_the_log_elsewhere(tmp_path: Path) -> None:
    """A cloned repository's own configuration names a file of the bridge's own folder or none."""
    from codex_oss.errors import ConfigInvalid
    from codex_oss.services.settings import read_config

    folder = tmp_path / ".codex-oss"
    folder.mkdir()
    (folder / "config.toml").write_text('request_log = "../../.bashrc"\n')
    with pytest.raises(ConfigInvalid, match="PROXY_LOG_PATH"):
        read_config(tmp_path, {}, {"HOME": str(tmp_path)})
