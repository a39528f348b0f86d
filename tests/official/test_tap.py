"""The tap itself: it sees every process and transport, and a broken event fails the test that emitted it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from codex_oss.wire.completions_stream import ChatEncoder
from codex_oss.wire.events import ItemDone, ItemStarted, MessageStart, TextDelta, TurnCompleted, TurnEvent
from codex_oss.wire.responses_stream import ResponseEncoder
from tests.fakes.bridge_process import LOCAL_KEY, running_bridge
from tests.fakes.chat_upstream import ChatUpstream, text
from tests.official import schema
from tests.official.ledger import CHECKED_WHOLE, Ledger
from tests.official.tap import FOLDER_VARIABLE, stream_values
from tests.wire.scripts import REQUEST

MODEL = "ocg-kimi-k2.6"
TURN: list[TurnEvent] = [ItemStarted(0, MessageStart()), TextDelta(0, "hi"), ItemDone(0), TurnCompleted()]


def events() -> list[dict[str, Any]]:
    """A good stream."""
    return [json.loads(value) for value in stream_values(ResponseEncoder(REQUEST).encode(TURN))]


def test_a_good_stream_has_no_problem() -> None:
    """Every event of an ordinary turn fits."""
    assert [schema.problem_of_event(event) for event in events()] == [""] * 9


@pytest.mark.parametrize("position", range(9))
def test_every_missing_key_is_a_problem(position: int) -> None:
    """Each event without any one of its members is refused, but for the few that the package calls optional."""
    event = events()[position]
    optional = {"phase", "logprobs"}
    for key in set(event) - optional:
        broken = {name: value for name, value in event.items() if name != key}
        assert schema.problem_of_event(broken), f"{event['type']} without {key}"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "response.invented"},
        {"type": None},
        {"sequence_number": "4"},
        {"delta": 7},
        {"delta": None},
        {"output_index": "0"},
        {"item_id": ["msg"]},
    ],
)
def test_a_wrong_type_is_a_problem(change: dict[str, Any]) -> None:
    """Values are not bent into the type that was due."""
    delta = next(event for event in events() if event["type"] == "response.output_text.delta")
    assert schema.problem_of_event({**delta, **change})


def test_a_broken_item_inside_a_response_is_a_problem() -> None:
    """Nested objects are held against their types as well."""
    final = events()[-1]
    for key in ("id", "role", "status", "content"):
        item = {name: value for name, value in final["response"]["output"][0].items() if name != key}
        assert schema.problem_of_event({**final, "response": {**final["response"], "output": [item]}}), key
    assert schema.problem_of_response({**final["response"], "usage": {"input_tokens": 1}})


def test_an_error_code_is_one_of_ours() -> None:
    """The codes that stop Codex pass, any other one does not."""
    failed = json.loads(stream_values(ResponseEncoder(REQUEST).fail("context_length_exceeded", "Long."))[-1])
    assert schema.problem_of_event(failed) == ""
    failed["response"]["error"]["code"] = "no_such_code"
    assert schema.problem_of_event(failed)


def test_a_broken_chunk_is_a_problem() -> None:
    """The chat surface has its types, too."""
    encoder = ChatEncoder(REQUEST, include_usage=True)
    chunks = [json.loads(value) for value in stream_values(encoder.encode(TURN))]
    assert [schema.problem_of_chunk(chunk) for chunk in chunks] == [""] * len(chunks)
    assert schema.problem_of_completion(encoder.response()) == ""
    for key in ("id", "object", "created", "model", "choices"):
        assert schema.problem_of_chunk({name: value for name, value in chunks[0].items() if name != key}), key
    assert schema.problem_of_chunk({"error": {"message": "x"}})


def test_every_transport_of_a_bridge_is_seen(tmp_path: Path, ledger: Ledger) -> None:
    """SSE, JSON, WebSocket and both forms of chat, each in another process, are all in the ledger."""
    with (
        ChatUpstream(lambda _: text("hello")) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge,
    ):

        def counts() -> list[int]:
            assert ledger.problems() == []
            kinds = ("response.completed", "response", "chunk", "completion")
            return [ledger.checked[kind] for kind in kinds]

        chat = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
        before = counts()
        bridge.post({"model": MODEL, "input": "hi", "stream": True, "store": False})
        assert counts()[0] == before[0] + 1, "SSE"
        before = counts()
        bridge.post({"model": MODEL, "input": "hi", "store": False})
        assert counts()[1] > before[1], "JSON"
        before = counts()
        url = bridge.base_url.replace("http://", "ws://") + "/responses"
        with connect(url, additional_headers={"Authorization": f"Bearer {LOCAL_KEY}"}) as connection:
            connection.send(json.dumps({"type": "response.create", "model": MODEL, "input": "hi", "store": False}))
            while json.loads(connection.recv(timeout=10))["type"] != "response.completed":
                pass
        assert counts()[0] == before[0] + 1, "WebSocket"
        before = counts()
        bridge.request("POST", "/v1/chat/completions", json.dumps({**chat, "stream": True}).encode())
        assert counts()[2] > before[2], "chat stream"
        before = counts()
        bridge.request("POST", "/v1/chat/completions", json.dumps(chat).encode())
        assert counts()[3] > before[3], "chat object"


VICTIM = """
from codex_oss.wire import responses_output, responses_stream
from tests.official.test_tap import TURN
from tests.wire.scripts import REQUEST


def test_good():
    responses_stream.ResponseEncoder(REQUEST).encode(TURN)


def test_broken(monkeypatch):
    monkeypatch.setattr(responses_output, "_text_part", lambda text: {"type": "output_text", "text": text})
    responses_stream.ResponseEncoder(REQUEST).encode(TURN)


def test_good_again():
    responses_stream.ResponseEncoder(REQUEST).encode(TURN)
"""


def test_a_broken_event_fails_its_test(tmp_path: Path) -> None:
    """The whole hook: an encoder that leaves a key out breaks a test that did not look at it, and no other one."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n")
    (tmp_path / "test_victim.py").write_text(VICTIM)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(tmp_path)]
    environ = {name: value for name, value in os.environ.items() if name != FOLDER_VARIABLE}
    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "emitted, but not of the official types" in done.stdout
    assert "ResponseContentPartAddedEvent" in done.stdout


def test_a_flood_is_sampled(tmp_path: Path) -> None:
    """Of very many deltas of one type only some are checked, and the others are read past."""
    delta = next(event for event in events() if event["type"] == "response.output_text.delta")
    line = b"event " + json.dumps(delta, separators=(",", ":")).encode() + b"\n"
    (tmp_path / "1.tap").write_bytes(line * (CHECKED_WHOLE + 5000) + b'event {"type":"torn')
    ledger = Ledger(tmp_path)
    assert ledger.problems() == []
    assert ledger.checked == {"response.output_text.delta": CHECKED_WHOLE + 100}
