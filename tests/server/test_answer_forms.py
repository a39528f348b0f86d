"""What a request demands beyond words, through the real bridge and the official client: JSON, tools, files."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, stream, text, tool_call
from tests.fakes.pdf import pdf

MODEL = "ocg-kimi-k2.6"
READ: dict[str, Any] = {"type": "function", "name": "read", "parameters": {"type": "object"}}
LIST: dict[str, Any] = {**READ, "name": "list"}
CHAT_READ: dict[str, Any] = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


class Limit(BaseModel):
    """What is asked for."""

    limit: int


def two_calls() -> Answer:
    """Two calls in one answer."""
    pieces = [{"index": n, "id": f"c{n}", "function": {"name": "read", "arguments": "{}"}} for n in (0, 1)]
    return stream([{"tool_calls": [piece]} for piece in pieces], finish="tool_calls")


FIRST: dict[str, Answer] = {
    "prose": text("The limit is five."),
    "fenced": text('Here it is:\n```json\n{"limit": 5}\n```\nGood?'),
    "never": text("The limit is five."),
    "words": text("I would rather talk."),
    "read": tool_call("read", {}),
    "list": tool_call("list", {}),
    "two": two_calls(),
}
SECOND: dict[str, Answer] = {
    "prose": text('{"limit": 5}'),
    "never": text("I said five."),
    "words": tool_call("read", {}),
    "read": tool_call("read", {}),
    "list": tool_call("read", {}),
}


def _by_word(request: Request) -> Answer:
    users = [str(message["content"]) for message in request.messages if message["role"] == "user"]
    if len(users) > 1:
        return SECOND.get(users[0], text("Read: " + users[0]))
    return FIRST.get(users[0], text("Read: " + users[0]))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One upstream; the first user message names the answer, a second one is the bridge's advice."""
    with ChatUpstream(_by_word) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all turns."""
    project = tmp_path_factory.mktemp("forms") / "project"
    with running_bridge(project, upstream=upstream.base_url, UPSTREAM_RETRIES="0") as process:
        yield process


@pytest.fixture(scope="module")
def client(bridge: BridgeProcess) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=bridge.base_url, api_key=LOCAL_KEY, max_retries=2) as made:
        yield made


@pytest.mark.parametrize("what", ["fenced", "prose"])
def test_responses_parse(client: OpenAI, what: str) -> None:
    """`responses.parse` gets its value from a model that writes prose or a fence first."""
    response = client.responses.parse(model=MODEL, input=what, text_format=Limit)
    assert response.output_parsed == Limit(limit=5)
    assert response.output_text == '{"limit": 5}'


@pytest.mark.parametrize("what", ["fenced", "prose"])
def test_a_parsed_stream(client: OpenAI, what: str) -> None:
    """Streamed, the deltas are the accepted JSON and nothing else."""
    with client.responses.stream(model=MODEL, input=what, text_format=Limit) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert events.get_final_response().output_parsed == Limit(limit=5)
    assert "".join(deltas) == '{"limit": 5}'


def test_chat_parse(client: OpenAI) -> None:
    """The chat surface has the same guarantee."""
    completion = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "prose"}], response_format=Limit
    )
    assert completion.choices[0].message.parsed == Limit(limit=5)
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 22


def test_a_schema_that_is_never_met(client: OpenAI, upstream: ChatUpstream) -> None:
    """The client is told, with a status that it does not repeat: two requests in all."""
    before = len(upstream.chats)
    with pytest.raises(openai.UnprocessableEntityError, match="does not fit the format"):
        client.responses.parse(model=MODEL, input="never", text_format=Limit)
    assert len(upstream.chats) - before == 2


def test_a_broken_schema_is_the_clients_mistake(client: OpenAI) -> None:
    """The model is not asked."""
    form: Any = {"format": {"type": "json_schema", "name": "x", "schema": {"type": "objekt"}, "strict": True}}
    with pytest.raises(openai.BadRequestError, match=r"text\.format\.schema"):
        client.responses.create(model=MODEL, input="never", text=form)


def _calls(response: Any) -> list[str]:
    return [item["name"] for item in response.json["output"] if item["type"] == "function_call"]


@pytest.mark.parametrize(
    ("what", "more", "called"),
    [
        ("words", {"tool_choice": "required"}, ["read"]),
        ("words", {"tool_choice": {"type": "function", "name": "read"}}, ["read"]),
        (
            "list",
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "read"}]}},
            ["read"],
        ),
        ("two", {"parallel_tool_calls": False}, ["read"]),
        ("two", {}, ["read", "read"]),
        ("list", {}, ["list"]),
    ],
)
def test_tool_choice_is_kept(bridge: BridgeProcess, what: str, more: dict[str, Any], called: list[str]) -> None:
    """A demanded call comes, a forbidden one never does, and without a choice nothing changes."""
    answer = bridge.post({"model": MODEL, "input": what, "tools": [READ, LIST], **more})
    assert answer.json["status"] == "completed"
    assert _calls(answer) == called


def test_no_call_where_none_is_allowed(bridge: BridgeProcess) -> None:
    """`none` holds against an upstream that calls all the same, twice: the turn fails, the call is not shown."""
    answer = bridge.post({"model": MODEL, "input": "read", "tools": [READ], "tool_choice": "none", "stream": True})
    kinds = [event["type"] for event in answer.events]
    assert kinds[-1] == "response.failed"
    assert not any("function_call" in kind for kind in kinds)


def test_a_pdf_on_both_surfaces(client: OpenAI) -> None:
    """The model reads the text of the file, whichever way it came."""
    data = "data:application/pdf;base64," + base64.b64encode(pdf("The limit is five.")).decode()
    read = 'Read: What?\n<file name="a.pdf">\nThe limit is five.\n</file>'
    parts: Any = [
        {"type": "input_text", "text": "What?"},
        {"type": "input_file", "filename": "a.pdf", "file_data": data},
    ]
    assert client.responses.create(model=MODEL, input=[{"role": "user", "content": parts}]).output_text == read
    chat: Any = [
        {"type": "text", "text": "What?"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
    ]
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": chat}])
    assert completion.choices[0].message.content == read


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"file_data": base64.b64encode(b"%PDF-1.7 broken").decode()}, "a PDF file that cannot be read"),
        ({"file_data": base64.b64encode(b"PK\x03\x04").decode()}, "an archive or an office document"),
        ({"file_url": "http://127.0.0.1:1/x.pdf"}, "a file by URL"),
        ({"file_id": "file_1"}, "a file by id"),
    ],
)
def test_files_that_cannot_be_read(client: OpenAI, file: dict[str, Any], message: str) -> None:
    """A clear 400 that names the kind."""
    parts: Any = [{"type": "input_file", "filename": "a", **file}]
    with pytest.raises(openai.BadRequestError, match=message):
        client.responses.create(model=MODEL, input=[{"role": "user", "content": parts}])


def test_what_is_left_out_is_logged_once(tmp_path: Path, upstream: ChatUpstream) -> None:
    """Hosted tools and unknown items: one line a turn with their types."""
    with running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge:
        items = [{"role": "user", "content": "hi"}, {"type": "no_such_item"}, {"role": "user", "content": "ho"}]
        tools = [{"type": "web_search"}, {"type": "mcp", "server_label": "x"}, READ]
        bridge.post({"model": MODEL, "input": items, "tools": tools})
        lines = [line for line in bridge.log.read_text().splitlines() if "left out" in line]
    assert len(lines) == 1
    assert "tools [web_search, mcp], items [no_such_item]" in lines[0]
