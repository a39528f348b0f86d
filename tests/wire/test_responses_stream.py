"""The response encoder: canonical order, one terminal event, closed items, official types, and illegal orders."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from codex_oss.errors import LocalProtocolError
from codex_oss.wire.events import (
    ArgumentsDelta,
    CustomCallStart,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    LimitsReported,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    ToolSearchStart,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import Sampling, TurnRequest
from codex_oss.wire.responses_stream import ResponseEncoder
from tests.wire.scripts import REQUEST, any_event, frames, turns, types

OFFICIAL: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


def check_stream(sent: list[dict[str, Any]]) -> None:
    """Check every rule of the stream that holds whatever the lane did."""
    assert sent[-1] == {"type": "[DONE]"}
    events = sent[:-1]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert types(events)[:2] == ["created", "in_progress"]
    assert [event["type"] in TERMINAL for event in events].count(True) == 1
    final = events[-1]["response"]
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    assert [event["output_index"] for event in added] == list(range(len(added)))
    assert final["output"] == [done[index] for index in range(len(added))]
    assert [event["item"]["id"] for event in added] == [item["id"] for item in final["output"]]
    assert len({item["id"] for item in final["output"]}) == len(added)
    assert sorted(final["usage"]) == [
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    ]
    for index, item in done.items():
        joined = "".join(event["delta"] for event in events if "delta" in event and event["output_index"] == index)
        assert joined == _item_text(item)
        if item["status"] == "incomplete":
            assert final["status"] != "completed"
            assert "call" not in item["type"] or not _has_done_event(events, index)
    if final["status"] == "failed":
        assert events[-2]["type"] == "error"


def _item_text(item: dict[str, Any]) -> str:
    match item["type"]:
        case "message":
            return str(item["content"][0]["text"])
        case "reasoning":
            return str(item["summary"][0]["text"])
        case "function_call":
            return str(item["arguments"])
        case "tool_search_call":
            return ""  # its arguments are a value and have no deltas
    return str(item["input"])


def _has_done_event(events: list[dict[str, Any]], index: int) -> bool:
    return any(e["type"].endswith(("arguments.done", "input.done")) and e["output_index"] == index for e in events)


@given(turns(), st.data())
def test_every_turn_is_a_legal_stream(events: list[TurnEvent], data: st.DataObject) -> None:
    """Any turn in any batches, cut after any event, is a whole stream with one terminal event and no open item."""
    events = events[: data.draw(st.integers(0, len(events)))]
    encoder = ResponseEncoder(REQUEST)
    sent = b""
    while events:
        size = data.draw(st.integers(1, len(events)))
        sent += encoder.encode(events[:size])
        events = events[size:]
    sent += encoder.finish()
    assert encoder.terminal
    assert encoder.finish() == encoder.fail("internal", "x") == encoder.encode([]) == b""
    check_stream(frames(sent))
    assert json.loads(json.dumps(encoder.response())) == frames(sent)[-2]["response"]


@given(st.lists(st.lists(any_event, max_size=4), max_size=8))
def test_a_lane_gone_wrong_still_leaves_a_whole_stream(batches: list[list[TurnEvent]]) -> None:
    """An illegal order is LocalProtocolError and nothing else; ending the turn then gives a whole stream."""
    encoder = ResponseEncoder(REQUEST)
    sent = b""
    try:
        for batch in batches:
            sent += encoder.encode(batch)
    except LocalProtocolError as exc:
        sent += encoder.fail(exc.code, exc.message)
    sent += encoder.finish()
    check_stream(frames(sent))


@pytest.mark.parametrize(
    "events",
    [
        [TextDelta(0, "x")],
        [ItemStarted(1, MessageStart())],
        [ItemStarted(0, MessageStart()), ItemStarted(0, MessageStart())],
        [ItemStarted(0, MessageStart()), ReasoningDelta(0, "x")],
        [ItemStarted(0, ReasoningStart()), TextDelta(0, "x")],
        [ItemStarted(0, MessageStart()), ItemDone(0), TextDelta(0, "x")],
        [ItemStarted(0, MessageStart()), ItemDone(0), ItemDone(0)],
        [TurnStarted(), TurnStarted()],
        [TurnCompleted(), TurnCompleted()],
        [TurnCompleted(), TurnFailed("internal", "x")],
    ],
)
def test_illegal_orders_are_refused(events: list[TurnEvent]) -> None:
    """What the drawing in `wire.events` does not allow is a bug of ours."""
    with pytest.raises(LocalProtocolError):
        ResponseEncoder(REQUEST).encode(events)


def test_events_after_the_end_are_ignored() -> None:
    """Late deltas and counts after the terminal event reach nobody."""
    encoder = ResponseEncoder(REQUEST)
    encoder.encode([TurnStarted(), ItemStarted(0, MessageStart()), TurnCompleted()])
    assert encoder.encode([TextDelta(0, "x"), UsageReported(Usage()), ItemStarted(1, MessageStart())]) == b""


WHOLE_TURN: list[TurnEvent] = [
    TurnStarted("glm-5"),
    ItemStarted(0, ReasoningStart()),
    ReasoningDelta(0, "Hm."),
    ItemDone(0),
    ItemStarted(1, MessageStart("commentary")),
    TextDelta(1, "I "),
    TextDelta(1, "look."),
    ItemDone(1),
    ItemStarted(2, FunctionCallStart("call_1", "read", "ns")),
    ArgumentsDelta(2, '{"path":'),
    ArgumentsDelta(2, '"a"}'),
    ItemDone(2),
    ItemStarted(3, CustomCallStart("call_2", "apply_patch")),
    ArgumentsDelta(3, "*** Begin Patch"),
    ItemDone(3),
    UsageReported(Usage(100, 20, 60, 5, cached_known=True)),
    TurnCompleted(),
]


def test_the_canonical_order() -> None:
    """All kinds of items come out with every event of the canonical order."""
    encoder = ResponseEncoder(REQUEST, now=lambda: 1_700_000_009.5)
    sent = frames(encoder.encode(WHOLE_TURN))
    assert types(sent) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
        "[DONE]",
    ]
    response = sent[-2]["response"]
    assert [item["id"] for item in response["output"]] == ["rs_abc_0", "msg_abc_1", "fc_abc_2", "ctc_abc_3"]
    assert response["output"][1]["phase"] == "commentary"
    assert (response["output"][2]["namespace"], response["output"][2]["arguments"]) == ("ns", '{"path":"a"}')
    assert (response["created_at"], response["completed_at"]) == (1_700_000_000, 1_700_000_009)
    assert response["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }
    assert [event["logprobs"] for event in sent if event["type"] == "response.output_text.delta"] == [[], []]


@pytest.mark.parametrize(
    "ending", [TurnCompleted(), TurnIncomplete("max_output_tokens"), TurnFailed("internal", "Oops.")]
)
@pytest.mark.parametrize("count", [len(WHOLE_TURN) - 1, 11, 6])
def test_events_fit_the_official_types(ending: TurnEvent, count: int) -> None:
    """Every event, items left open included, validates against the types of the `openai` package.

    Exception, on purpose: the `error` event has the nested form of Open Responses (Codex and OpenCode read that),
    where the package knows the flat one of OpenAI; its `error` member is checked by hand. The codes
    `context_length_exceeded` and its like, which stop Codex, are not in the package's list either.
    """
    for event in frames(ResponseEncoder(REQUEST).encode([*WHOLE_TURN[:count], ending]))[:-1]:
        if event["type"] == "error":
            assert sorted(event["error"]) == ["code", "message", "param", "type"]
            continue
        parsed = OFFICIAL.validate_python(event)
        assert parsed.type == event["type"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_search_for_tools_fits_the_official_types(whole: bool) -> None:
    """Its two events hold the same item, with the arguments as an object; cut short, it is incomplete."""
    search = ItemStarted(0, ToolSearchStart("call_9", {"query": "mail", "limit": 3}))
    events: list[TurnEvent] = (
        [search, ItemDone(0), TurnCompleted()] if whole else [search, TurnIncomplete("content_filter")]
    )
    sent = frames(ResponseEncoder(REQUEST).encode(events))[:-1]
    for event in sent:
        assert OFFICIAL.validate_python(event).type == event["type"]
    assert sent[-1]["response"]["output"] == [
        {
            "type": "tool_search_call",
            "id": "tsc_abc_0",
            "status": "completed" if whole else "incomplete",
            "call_id": "call_9",
            "execution": "client",
            "arguments": {"query": "mail", "limit": 3},
        }
    ]


def _client(body: bytes, kind: str) -> OpenAI:
    """Make the official client on a transport that answers *body* without any socket."""
    answer = httpx2.Response(200, headers={"content-type": kind}, content=body)
    transport = httpx2.MockTransport(lambda _request: answer)
    return OpenAI(api_key="synthetic", base_url="http://bridge.test/v1", http_client=httpx2.Client(transport=transport))


def test_the_official_client_reads_the_stream() -> None:
    """The `openai` client accumulates our stream to the same response that the last event holds."""
    sent = ResponseEncoder(REQUEST).encode(WHOLE_TURN)
    with _client(sent, "text/event-stream") as client, client.responses.stream(model="m", input="x") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds == [event["type"] for event in frames(sent)[:-1]]
    assert (final.output_text, final.status) == ("I look.", "completed")
    assert final.usage is not None
    assert final.usage.total_tokens == 120


def test_the_official_client_reads_the_object() -> None:
    """Without streaming the response object is what the `openai` client expects."""
    encoder = ResponseEncoder(REQUEST)
    encoder.encode(WHOLE_TURN)
    with _client(json.dumps(encoder.response()).encode(), "application/json") as client:
        response = client.responses.create(model="m", input="x")
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "custom_tool_call"]


RESPONSE_KEYS = (
    "id object created_at completed_at status incomplete_details model previous_response_id instructions output error "
    "tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs "
    "temperature reasoning usage max_output_tokens max_tool_calls store background service_tier metadata "
    "safety_identifier prompt_cache_key"
)


def test_the_response_object_is_complete() -> None:
    """All keys that Open Responses requires are there, defaults are numbers, and what was asked is repeated."""
    request = TurnRequest(
        "resp_1",
        "m",
        (),
        instructions="Be brief.",
        sampling=Sampling(temperature=0),
        echo={"metadata": {"a": "b"}, "reasoning": {"effort": "low"}, "tools": [{"type": "web_search"}]},
    )
    encoder = ResponseEncoder(request)
    encoder.encode([TurnCompleted()])
    response = encoder.response()
    assert not set(RESPONSE_KEYS.split()) - set(response)
    assert (response["temperature"], response["top_p"], response["top_logprobs"]) == (0, 1, 0)
    assert (response["metadata"], response["reasoning"]) == ({"a": "b"}, {"effort": "low"})
    assert (response["status"], response["instructions"], response["error"]) == ("completed", "Be brief.", None)
    assert Response.model_validate(response).id == "resp_1"


def test_a_running_response_says_so() -> None:
    """Before the end the object has status in_progress, only finished items, and no usage."""
    encoder = ResponseEncoder(REQUEST)
    encoder.encode(WHOLE_TURN[:6])
    response = encoder.response()
    assert (response["status"], response["usage"], len(response["output"])) == ("in_progress", None, 1)


@pytest.mark.parametrize(
    ("code", "sent_code", "sent_type"),
    [
        ("stream_interrupted", "server_error", "server_error"),
        ("rate_limited", "rate_limit_exceeded", "too_many_requests"),
        ("context_length_exceeded", "context_length_exceeded", "invalid_request"),
        ("upstream_refused", "invalid_prompt", "invalid_request"),
    ],
)
def test_failures_are_two_events(code: str, sent_code: str, sent_type: str) -> None:
    """A failure is the nested error event and then `response.failed`, with the code that Codex acts on."""
    encoder = ResponseEncoder(REQUEST)
    sent = frames(encoder.fail(code, "It broke."))
    assert types(sent) == ["created", "in_progress", "error", "failed", "[DONE]"]
    assert sent[2]["error"] == {"type": sent_type, "code": sent_code, "message": "It broke.", "param": None}
    assert sent[3]["response"]["error"] == {"code": sent_code, "message": "It broke."}
    assert encoder.outcome == TurnFailed(code, "It broke.")


def test_a_cut_call_is_not_completed() -> None:
    """A half-written call closes as incomplete, without the event that says its arguments are whole."""
    encoder = ResponseEncoder(REQUEST)
    events: list[TurnEvent] = [ItemStarted(0, FunctionCallStart("c", "read")), ArgumentsDelta(0, '{"pa')]
    sent = frames(encoder.encode([*events, TurnIncomplete("max_output_tokens")]))
    assert types(sent)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.done",
        "incomplete",
        "[DONE]",
    ]
    assert sent[-3]["item"]["status"] == "incomplete"
    assert sent[-2]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_limits_are_not_shown() -> None:
    """Rate-limit windows of an upstream are no frames yet: an unknown event would fail the compliance suite."""
    assert ResponseEncoder(REQUEST).encode([LimitsReported({"x": "1"})]) == b""


def test_usage_that_nobody_reported_is_zero() -> None:
    """A terminal event has a whole usage even when the lane told none."""
    encoder = ResponseEncoder(REQUEST)
    response = frames(encoder.encode([TurnCompleted()]))[-2]["response"]
    assert response["usage"]["total_tokens"] == 0
    assert encoder.usage is None


@given(turns(), st.integers(1, 5))
def test_every_framing_carries_the_same_events(events: list[TurnEvent], size: int) -> None:
    """A WebSocket message is the data of the SSE frame, one event a line, and nothing follows the terminal event."""
    sse, lines = ResponseEncoder(REQUEST), ResponseEncoder(REQUEST, framing="lines")
    for at in range(0, len(events), size):
        framed, plain = sse.encode(events[at : at + size]), lines.encode(events[at : at + size])
        sent = [event for event in frames(framed) if event["type"] != "[DONE]"]
        assert [json.loads(line) for line in plain.split(b"\n")[:-1]] == sent
        assert plain == b"" or plain.endswith(b"}\n")
    assert (lines.finish(), lines.fail("internal", "late")) == (b"", b"")
