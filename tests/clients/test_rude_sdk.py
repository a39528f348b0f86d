"""The official `openai` package against a rude upstream: every row on five surfaces, and a reset at every byte.

Each surface has two tries (`max_retries=1`), and the same client then sends the next turn of its conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, OpenAI, OpenAIError
from pydantic import BaseModel

from tests.clients import rude
from tests.clients.rude import (
    AGAIN,
    BRIDGE,
    RECOVERED,
    ROW,
    SAID,
    SAID_AS_JSON,
    Row,
    Seen,
    judge,
    make_rows,
    note,
    plain,
    rows,
    rude_bridge,
)
from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hangup, Request, Reset, cut, payload_of, text, tool_call
from tests.fakes.relay import Relay

MODEL = "ocg-kimi-k2.6"
TOOL = {"type": "object", "properties": {"command": {"type": "string"}}}
RESPONSES_TOOLS: Any = [{"type": "function", "name": "bash", "parameters": TOOL, "strict": False}]
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "bash", "parameters": TOOL}}]
Talk = list[dict[str, Any]]


class Verdict(BaseModel):
    """What `parse` is asked for."""

    fine: bool
    note: str


def create(client: OpenAI, talk: Talk) -> str:
    """`responses.create` without a stream."""
    return _of_response(client.responses.create(model=MODEL, input=talk, tools=RESPONSES_TOOLS))  # type: ignore[arg-type]


def stream(client: OpenAI, talk: Talk) -> str:
    """`responses.stream`, read to its end."""
    with client.responses.stream(model=MODEL, input=talk, tools=RESPONSES_TOOLS) as events:  # type: ignore[arg-type]
        kinds = [event.type for event in events]
        if kinds[-1] == "response.completed":
            return _of_response(events.get_final_response())
    return kinds[-1]


def parse(client: OpenAI, talk: Talk) -> str:
    """`responses.parse` into a pydantic model."""
    done = client.responses.parse(model=MODEL, input=talk, tools=RESPONSES_TOOLS, text_format=Verdict)  # type: ignore[arg-type]
    return repr(done.output_parsed) if done.output_parsed is not None else _of_response(done)


def chat_create(client: OpenAI, talk: Talk) -> str:
    """`chat.completions.create` without a stream."""
    done = client.chat.completions.create(model=MODEL, messages=talk, tools=CHAT_TOOLS)  # type: ignore[arg-type]
    return _of_message(done.choices[0].message, done.choices[0].finish_reason)


def chat_stream(client: OpenAI, talk: Talk) -> str:
    """`chat.completions.stream`, read to its end."""
    with client.chat.completions.stream(model=MODEL, messages=talk, tools=CHAT_TOOLS) as events:  # type: ignore[arg-type]
        for _ in events:
            pass
        choice = events.get_final_completion().choices[0]
    return _of_message(choice.message, choice.finish_reason)


SURFACES: dict[str, Callable[[OpenAI, Talk], str]] = {
    "responses.create": create,
    "responses.stream": stream,
    "responses.parse": parse,
    "chat.create": chat_create,
    "chat.stream": chat_stream,
}


def _of_response(response: Any) -> str:
    calls = [item.name for item in response.output if item.type == "function_call"]
    ending = "" if response.status == "completed" else f" [{response.status}]"
    return " ".join([response.output_text, *(f"{name}()" for name in calls)]).strip() + ending


def _of_message(message: Any, finish: str) -> str:
    calls = [f"{call.function.name}()" for call in message.tool_calls or ()]
    return " ".join([message.content or "", *calls]).strip() + (
        "" if finish in ("stop", "tool_calls") else f" [{finish}]"
    )


def attempt(ask: Callable[[OpenAI, Talk], str], client: OpenAI, talk: Talk) -> tuple[str, str]:
    """(exit, shown): `ok` and the answer, or the class that was raised and its message."""
    try:
        return "ok", ask(client, talk)
    except APIError as exc:
        return type(exc).__name__, exc.message
    except (OpenAIError, ValueError) as exc:
        return type(exc).__name__, str(exc).splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("row", rows())
def test_a_rude_upstream(tmp_path: Path, row: Row) -> None:
    """What each caller gets is as recorded, and the next turn with the same client and history works."""
    with rude_bridge(tmp_path / "project", row) as (model, relay, _):
        seen = {}
        for surface in SURFACES:
            said = SAID_AS_JSON if surface == "responses.parse" else SAID
            model.row = next(other for other in make_rows(said) if other.name == row.name)
            seen[surface] = see(relay, surface)
    for surface, each in seen.items():
        note(surface, row, each)
    for surface, each in seen.items():
        judge(surface, row, each)


def see(relay: Relay, surface: str) -> Seen:
    """One row on one surface: the turn that meets it, and the next one."""
    ask, before = SURFACES[surface], relay.requests
    with OpenAI(base_url=relay.base_url, api_key=LOCAL_KEY, max_retries=1, timeout=20) as client:
        talk = [{"role": "user", "content": "hi"}]
        exit_name, shown = attempt(ask, client, talk)
        requests = relay.requests - before
        talk += [{"role": "assistant", "content": "(nothing)"}, {"role": "user", "content": AGAIN}]
        again = attempt(ask if ask is not parse else create, client, talk)
    return Seen(exit_name, requests, plain(shown), "answered" if again == ("ok", RECOVERED) else str(again))


@pytest.fixture(scope="module")
def cut_bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """A bridge whose upstream cuts the answer that the prompt names, at the byte that it names."""

    def script(request: Request) -> Answer:
        kind, _, at = request.messages[-1]["content"].partition(" ")
        if not at:
            return text(RECOVERED)
        how = Hangup() if int(at) % 2 else Reset()
        return cut(_GOOD if kind == "text" else _CALL, int(at), how)

    project = tmp_path_factory.mktemp("cuts") / "project"
    with (
        ChatUpstream(script, max_requests=100_000) as upstream,
        running_bridge(project, upstream=upstream.base_url, **BRIDGE) as bridge,
    ):
        yield bridge


_GOOD = text(SAID, pieces=4)
_CALL = tool_call("bash", {"command": "echo Grüße"})
FINISHED = {"text": b'"finish_reason": "stop"', "call": b'"finish_reason": "tool_calls"'}


@pytest.mark.slow
@pytest.mark.parametrize("surface", ["responses.stream", "chat.stream", "responses.create"])
@pytest.mark.parametrize("kind", ["text", "call"])
def test_a_cut_at_every_byte(cut_bridge: BridgeProcess, kind: str, surface: str) -> None:
    """Wherever the answer is cut the caller gets an error or the whole answer, never a part as if it were whole."""
    data = payload_of(_GOOD if kind == "text" else _CALL)
    finished = data.index(FINISHED[kind])
    whole = SAID if kind == "text" else "bash()"
    ask = SURFACES[surface]
    step = 1 if surface == "responses.stream" else 7
    with OpenAI(base_url=cut_bridge.base_url, api_key=LOCAL_KEY, max_retries=0, timeout=20) as client:
        for at in range(0, len(data) + 1, step):
            exit_name, shown = attempt(ask, client, [{"role": "user", "content": f"{kind} {at}"}])
            if exit_name == "ok" and shown != "response.failed":
                assert at > finished, f"cut at {at}: {shown}"
                assert shown == whole
            else:
                assert at < len(data), f"cut at {at}: {exit_name} {shown}"
            if at % 49 == 0:
                assert attempt(ask, client, [{"role": "user", "content": AGAIN}]) == ("ok", RECOVERED)


def test_every_row_is_recorded() -> None:
    """The record holds every row of every client, and nothing unknown."""
    record = rude.read_record()
    assert sorted(record) == sorted([*SURFACES, *rude.CLI_CLIENTS])
    assert {client: set(seen) for client, seen in record.items()} == {client: set(ROW) for client in record}
