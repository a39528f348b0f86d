"""The compliance cases of Open Responses 2026-04-24, all of them, against the real bridge process.

Their facts (what is sent, what must hold) are those of the specification's tester, `src/lib/compliance-tests.ts` in
github.com/openresponses/openresponses; the code is ours. Each case of one request runs over all three transports, not
only over the one that the tester picks. The names in `CASES` and of the tests below are the tester's ids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import openresponses_types as spec
import pytest
from pydantic import ValidationError

from tests.compliance.specification import (
    SPEC_VERSION,
    Create,
    Step,
    Turn,
    ask_json,
    ask_sse,
    ask_websocket,
    check,
    check_event,
    check_response,
    converse,
    event_models,
)
from tests.fakes.bridge_process import Answer as HttpAnswer
from tests.fakes.bridge_process import BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text, tool_call

MODEL = "ocg-kimi-k2.6"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5E"
    "rkJggg=="
)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state"}},
        "required": ["location"],
    },
}


def says(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message item."""
    return {"type": "message", "role": role, "content": content, **more}


CASES: dict[str, Create] = {
    "basic-response": {"input": [says("user", "Say hello in exactly 3 words.")]},
    "assistant-phase": {
        "input": [
            says("assistant", "I should answer with the saved number.", phase="commentary"),
            says("assistant", "The number is four.", phase="final_answer"),
            says("user", "Repeat only the number."),
        ]
    },
    "streaming-response": {"input": [says("user", "Count from 1 to 5.")]},
    "websocket-response": {"input": [says("user", "Count from 1 to 3.")]},
    "system-prompt": {"input": [says("system", "You are a pirate."), says("user", "Say hello.")]},
    "tool-calling": {"input": [says("user", "What's the weather like in San Francisco?")], "tools": [WEATHER]},
    "tool-calling-streaming": {
        "input": [says("user", "What's the weather like in San Francisco?")],
        "tools": [WEATHER],
    },
    "image-input": {
        "input": [
            says(
                "user",
                [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": PIXEL}],
            )
        ]
    },
    "multi-turn": {
        "input": [
            says("user", "My name is Alice."),
            says("assistant", "Hello Alice!"),
            says("user", "What is my name?"),
        ]
    },
}
TRANSPORTS: dict[str, Callable[[BridgeProcess, Create], Turn]] = {
    "json": ask_json,
    "sse": ask_sse,
    "websocket": ask_websocket,
}


def model(request: Request) -> Answer:
    """A model that calls the tool it is offered until it has an output, and else answers with a text."""
    if request.json.get("tools") and request.messages[-1]["role"] != "tool":
        return tool_call("get_weather", {"location": "San Francisco, CA"})
    return text("Hello there, friend.", reasoning="Hm." if "Count" in request.text else "")


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    """One scripted model for all cases."""
    with ChatUpstream(model) as fake:
        yield fake


@pytest.fixture(scope="module")
def bridge(upstream: ChatUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge for all cases."""
    with running_bridge(tmp_path_factory.mktemp("compliance") / "project", upstream=upstream.base_url) as process:
        yield process


def output_of(turn: Turn) -> Sequence[dict[str, Any]]:
    """The output of a turn that completed; it must not be empty."""
    assert turn.response is not None, turn
    assert turn.response["status"] == "completed", turn.response
    output: list[dict[str, Any]] = turn.response["output"]
    assert output
    return output


def test_the_schema_is_that_of_the_specification() -> None:
    """The package is generated from the version that the bridge speaks, and knows its 24 events."""
    assert spec.__spec_version__ == SPEC_VERSION
    assert len(event_models()) == 24


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("case", CASES)
def test_a_case_of_one_request(bridge: BridgeProcess, case: str, transport: str) -> None:
    """The answer is completed, not empty, and every object in it fits the specification's schema."""
    turn = TRANSPORTS[transport](bridge, {"model": MODEL, **CASES[case]})
    kinds = [item["type"] for item in output_of(turn)]
    assert ("function_call" in kinds) == case.startswith("tool-calling")
    if case.startswith("tool-calling") and transport != "json":
        for kind in ("function_call_arguments.delta", "function_call_arguments.done"):
            assert f"response.{kind}" in turn.types
        for kind in ("response.output_item.added", "response.output_item.done"):
            assert any(event["type"] == kind and event["item"]["type"] == "function_call" for event in turn.events)


def test_image_input_reaches_the_model(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """image-input is not only accepted: the upstream gets the image, or is told that there was one."""
    ask_json(bridge, {"model": MODEL, **CASES["image-input"]})
    sent = json.dumps(upstream.chats[-1].messages)
    assert PIXEL in sent or "image" in sent


def test_response_output_phase_schema() -> None:
    """response-output-phase-schema: the schema takes assistant messages of both phases, and no other phase."""

    def response(phase: str) -> dict[str, Any]:
        part = {"type": "output_text", "text": "x", "annotations": []}
        item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "phase": phase}
        return {**BARE_RESPONSE, "output": [{**item, "content": [part]}]}

    check_response(response("commentary"))
    check_response(response("final_answer"))
    with pytest.raises(ValidationError):
        check_response(response("thinking aloud"))


@pytest.mark.parametrize("key", [*spec.ResponseResource.model_fields])
def test_the_schema_misses_no_key(bridge: BridgeProcess, key: str) -> None:
    """A response of ours without any one of its keys would not pass: the suite cannot pass by being blind."""
    broken = {name: value for name, value in BARE_RESPONSE.items() if name != key}
    with pytest.raises((ValidationError, KeyError)):
        check_response(broken)


def test_function_call_roundtrip(bridge: BridgeProcess) -> None:
    """function-call-roundtrip: the call, sent back with its output, is answered."""
    asked = [says("user", "Use the weather tool.")]
    choice = {"type": "function", "name": "get_weather"}
    first = ask_json(bridge, {"model": MODEL, "input": asked, "tools": [WEATHER], "tool_choice": choice})
    (call,) = output_of(first)
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"celsius": 18}'}
    second = ask_json(bridge, {"model": MODEL, "input": [*asked, call, result], "tools": [WEATHER]})
    assert output_of(second)[0]["type"] == "message"


def test_previous_response_id(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """previous-response-id: without `store` a response is kept, and its id brings the conversation back."""
    first = ask_json(bridge, {"model": MODEL, "input": "Remember this code word: papaya. Reply with only OK."})
    create = {"model": MODEL, "previous_response_id": first.id, "input": "What code word?"}
    output_of(ask_json(bridge, create))
    assert "papaya" in upstream.chats[-1].text


def test_websocket_sequential_responses(bridge: BridgeProcess) -> None:
    """websocket-sequential-responses: two creates on one connection, two whole answers."""
    steps = [{"model": MODEL, "store": False, "input": f"Reply with exactly: {word}"} for word in ("first", "second")]
    turns = converse(bridge, steps)
    assert [len(output_of(turn)) for turn in turns] == [1, 1]
    assert turns[0].id != turns[1].id


def continuing(said: Any) -> Callable[[Sequence[Turn]], Create]:
    """A create that continues the first turn of its connection, unstored."""
    return lambda turns: {"model": MODEL, "store": False, "previous_response_id": turns[0].id, "input": said}


def unstored(said: str) -> Create:
    """A create that is not stored."""
    return {"model": MODEL, "store": False, "input": said}


def test_websocket_continuation(bridge: BridgeProcess, upstream: ChatUpstream) -> None:
    """websocket-continuation: an unstored response is continued on its connection by only what is new."""
    steps: list[Step] = [
        unstored("Remember the code word: cobalt. Reply with OK."),
        continuing("What is the code word?"),
    ]
    _, second = converse(bridge, steps)
    output_of(second)
    assert "cobalt" in upstream.chats[-1].text


def test_websocket_reconnect_store_false_recovery(bridge: BridgeProcess) -> None:
    """websocket-reconnect-store-false-recovery: on a new connection it is unknown, and a clean start works."""
    (first,) = converse(bridge, [unstored("Remember the code word: copper. Reply with OK.")])
    lost = {**unstored("Try to continue."), "previous_response_id": first.id}
    reconnected, recovered = converse(bridge, [lost, unstored("Start anew.")])
    assert reconnected.error_code == "previous_response_not_found"
    output_of(recovered)


def test_websocket_previous_response_not_found(bridge: BridgeProcess) -> None:
    """websocket-previous-response-not-found: an id that nobody gave is refused by name."""
    (turn,) = converse(bridge, [{**unstored("This should fail."), "previous_response_id": "resp_missing_1"}])
    assert turn.error_code == "previous_response_not_found"


def test_websocket_failed_continuation_evicts_cache(bridge: BridgeProcess) -> None:
    """websocket-failed-continuation-evicts-cache: an output without its call fails, and takes the response along."""
    orphan = {"type": "function_call_output", "call_id": "call_missing", "output": "No matching call exists."}
    steps: list[Step] = [
        unstored("Remember the code word: ember."),
        continuing([orphan]),
        continuing("Try to continue."),
    ]
    first, failed, retried = converse(bridge, steps)
    output_of(first)
    assert failed.error_code
    assert retried.error_code == "previous_response_not_found"


def compacted(bridge: BridgeProcess, **create: Any) -> HttpAnswer:
    """POST to the compaction endpoint."""
    return bridge.request("POST", "/v1/responses/compact", json.dumps(create).encode())


COMPACTED_TALK = [
    says("user", "We agreed to launch on Tuesday and notify support first."),
    says("assistant", "Understood. The launch is Tuesday, with support notified beforehand."),
]


def test_compact_response(bridge: BridgeProcess) -> None:
    """compact-response: the answer is a compaction object that holds a compaction item."""
    answer = compacted(bridge, model=MODEL, prompt_cache_key="openresponses-compact-test", input=COMPACTED_TALK)
    assert answer.status == 200, answer.body
    check(spec.CompactResource, answer.json)
    assert answer.json["object"] == "response.compaction"
    assert "compaction" in [item["type"] for item in answer.json["output"]]


def test_compact_missing_model(bridge: BridgeProcess) -> None:
    """compact-missing-model: refused with 400 or 422."""
    assert compacted(bridge, input=COMPACTED_TALK).status in (400, 422)


def test_websocket_compact_new_chain(bridge: BridgeProcess) -> None:
    """websocket-compact-new-chain: a compacted conversation, passed back as it is, begins a new chain."""
    answer = compacted(bridge, model=MODEL, input=[*COMPACTED_TALK, says("user", "Compress this.")])
    assert answer.status == 200, answer.body
    create = {"model": MODEL, "store": False, "input": [*answer.json["output"], says("user", "Go on.")], "tools": []}
    (turn,) = converse(bridge, [create], check_requests=False)
    output_of(turn)


def test_an_unknown_event_would_fail() -> None:
    """The check of events refuses a type that the specification does not list, and a missing key."""
    good = {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "m", "output_index": 0}
    good |= {"content_index": 0, "delta": "x", "logprobs": []}
    check_event(good)
    with pytest.raises(AssertionError):
        check_event({**good, "type": "response.invented"})
    with pytest.raises(ValidationError):
        check_event({name: value for name, value in good.items() if name != "item_id"})
    with pytest.raises(AssertionError):
        check_event({name: value for name, value in good.items() if name != "logprobs"})


BARE_RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "completed_at": 2,
    "status": "completed",
    "incomplete_details": None,
    "model": MODEL,
    "previous_response_id": None,
    "instructions": None,
    "output": [],
    "error": None,
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "top_logprobs": 0,
    "temperature": 1,
    "reasoning": None,
    "usage": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": True,
    "background": False,
    "service_tier": "default",
    "metadata": {},
    "safety_identifier": None,
    "prompt_cache_key": None,
}
