"""The scripted upstream itself: what it records, and that its rudeness is real."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.fakes.chat_upstream import ChatUpstream, action, cut, error, payload_of, recut, text, tool_call


def _ask(upstream: ChatUpstream, body: dict[str, Any]) -> tuple[int, bytes]:
    host = upstream.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": "Bearer k"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_answers_in_order_and_records() -> None:
    """A list script answers one each, then says that it is used up; every request is kept."""
    with ChatUpstream([text("hello", pieces=2), error(503, "busy")]) as upstream:
        status, streamed = _ask(upstream, {"model": "m", "stream": True, "messages": []})
        assert (status, streamed) == (200, payload_of(text("hello", pieces=2)))
        assert _ask(upstream, {"model": "m"})[0] == 503
        status, spent = _ask(upstream, {"model": "m"})
        assert status == 500
        assert b"only 2 answers" in spent
        assert [request.json["model"] for request in upstream.chats] == ["m", "m", "m"]
        assert upstream.requests[0].headers["authorization"] == "Bearer k"


def test_plain_answer_when_no_stream_was_asked() -> None:
    """The same answer comes as one JSON object when the request does not stream."""
    with ChatUpstream(lambda request: tool_call("shell", {"command": request.text})) as upstream:
        _, raw = _ask(upstream, {"messages": [{"role": "user", "content": "ls"}]})
    call = json.loads(raw)["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"command": "ls"}


def test_a_cut_answer_breaks_the_body() -> None:
    """A reset after some bytes is an error for the reader, not a short body."""
    with (
        ChatUpstream([cut(action({"action_type": "final_report"}), 20)]) as upstream,
        pytest.raises((http.client.IncompleteRead, ConnectionError)),
    ):
        _ask(upstream, {"stream": True})


def test_recut_keeps_the_bytes() -> None:
    """Other byte borders, the same body."""
    answer = text("h\u00e9llo \U0001f600", pieces=2)
    assert payload_of(recut(answer, range(1, 400, 7))) == payload_of(answer)
