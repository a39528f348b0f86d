"""The chat encoder: every stream ends well, deltas add up to the object, official types, and calls that parse."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from codex_oss.errors import LocalProtocolError
from codex_oss.wire.completions_stream import ChatEncoder
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
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from tests.wire.scripts import REQUEST, any_event, turns


def chunks(data: bytes) -> list[dict[str, Any]]:
    """Read our frames but `[DONE]`, which must be the last one. Checks the framing itself."""
    *frames, done, rest = data.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert all(frame.startswith(b"data: {") and b"\n" not in frame for frame in frames)
    return [json.loads(frame.removeprefix(b"data: ")) for frame in frames]


def encoded(*events: TurnEvent, include_usage: bool = True) -> list[dict[str, Any]]:
    """Encode a turn that ends."""
    return chunks(ChatEncoder(REQUEST, include_usage=include_usage).encode(events))


def added_up(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of the deltas: content, reasoning, and calls by index."""
    message: dict[str, Any] = {"content": "", "reasoning": "", "calls": []}
    for chunk in sent:
        for choice in chunk.get("choices", ()):
            delta = choice["delta"]
            message["content"] += delta.get("content", "")
            message["reasoning"] += delta.get("reasoning_content", "")
            for piece in delta.get("tool_calls", ()):
                function = piece["function"]
                if "id" in piece:
                    assert piece["index"] == len(message["calls"])
                    message["calls"].append({"id": piece["id"], "name": function["name"], "arguments": ""})
                message["calls"][piece["index"]]["arguments"] += function["arguments"]
    return message


def check_stream(sent: list[dict[str, Any]], encoder: ChatEncoder) -> None:
    """Check every rule that holds whatever the lane did."""
    choices = [chunk["choices"][0] for chunk in sent if chunk.get("choices")]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    if isinstance(encoder.outcome, TurnFailed):
        assert reasons == []
        assert sorted(sent[-1]["error"]) == ["code", "message", "param", "type"]
    else:
        assert len(reasons) == 1
        assert choices[-1]["finish_reason"]
        assert sent[-1]["choices"] == []
        assert sent[-1]["usage"]["total_tokens"] >= 0
    assert len([chunk for chunk in sent if "error" in chunk]) == (not reasons)
    assert len({chunk["id"] for chunk in sent if "error" not in chunk}) == 1
    message, total = encoder.response()["choices"][0]["message"], added_up(sent)
    assert total["content"] == (message["content"] or "")
    assert total["reasoning"] == message.get("reasoning_content", "")
    assert total["calls"] == [{"id": call["id"], **call["function"]} for call in message.get("tool_calls", ())]
    assert all(call["arguments"].strip(" \t\r\n") for call in total["calls"]), "JSON knows four kinds of blanks"
    shown = [piece["index"] for choice in choices for piece in choice["delta"].get("tool_calls", ())]
    assert shown == sorted(shown), "one call after the other"
    for chunk in sent:
        if "error" not in chunk:
            ChatCompletionChunk.model_validate(chunk, strict=True)
    if reasons:
        whole = ChatCompletion.model_validate(json.loads(json.dumps(encoder.response())))
        assert whole.choices[0].finish_reason == reasons[0]


@given(turns(), st.data())
def test_every_turn_is_a_legal_stream(events: list[TurnEvent], data: st.DataObject) -> None:
    """Any turn in any batches, cut after any event, ends well, fits the official types and adds up to the object."""
    events = events[: data.draw(st.integers(0, len(events)))]
    encoder = ChatEncoder(REQUEST, include_usage=True)
    sent = b""
    while events:
        size = data.draw(st.integers(1, len(events)))
        sent += encoder.encode(events[:size])
        events = events[size:]
    sent += encoder.finish()
    assert encoder.terminal
    assert encoder.finish() == encoder.fail("internal", "x") == encoder.encode([]) == b""
    check_stream(chunks(sent), encoder)


@given(st.lists(st.lists(any_event, max_size=4), max_size=8))
def test_a_lane_gone_wrong_still_leaves_a_whole_stream(batches: list[list[TurnEvent]]) -> None:
    """An illegal order is LocalProtocolError and nothing else; ending the turn then gives a whole stream."""
    encoder = ChatEncoder(REQUEST, include_usage=True)
    sent = b""
    try:
        for batch in batches:
            sent += encoder.encode(batch)
    except LocalProtocolError as exc:
        sent += encoder.fail(exc.code, exc.message)
    sent += encoder.finish()
    check_stream(chunks(sent), encoder)


@pytest.mark.parametrize(
    "events",
    [
        [TextDelta(0, "x")],
        [ItemStarted(1, MessageStart())],
        [ItemStarted(0, MessageStart()), ReasoningDelta(0, "x")],
        [ItemStarted(0, MessageStart()), ItemDone(0), TextDelta(0, "x")],
        [ItemStarted(0, MessageStart()), ItemDone(0), ItemDone(0)],
        [TurnStarted(), TurnStarted()],
        [TurnCompleted(), TurnFailed("internal", "x")],
    ],
)
def test_illegal_orders_are_refused(events: list[TurnEvent]) -> None:
    """What the drawing in `wire.events` does not allow is a bug of ours."""
    with pytest.raises(LocalProtocolError):
        ChatEncoder(REQUEST, include_usage=False).encode(events)


WHOLE_TURN: list[TurnEvent] = [
    TurnStarted("glm-5"),
    ItemStarted(0, ReasoningStart()),
    ReasoningDelta(0, "Hm."),
    ItemDone(0),
    ItemStarted(1, MessageStart("commentary")),
    TextDelta(1, "I "),
    TextDelta(1, "look."),
    ItemDone(1),
    ItemStarted(2, MessageStart("final_answer")),
    TextDelta(2, "Done."),
    ItemDone(2),
    ItemStarted(3, FunctionCallStart("call_1", "read", "ns")),
    ArgumentsDelta(3, '{"path":'),
    ArgumentsDelta(3, '"a"}'),
    ItemDone(3),
    ItemStarted(4, CustomCallStart("call_2", "apply_patch")),
    ArgumentsDelta(4, '*** "Begin"\n'),
    ArgumentsDelta(4, "\\ end 😀"),
    ItemDone(4),
    UsageReported(Usage(100, 20, 60, 5, cached_known=True)),
    LimitsReported({"x": "1"}),
    TurnCompleted(),
]


def test_a_whole_turn() -> None:
    """Messages are apart, namespaces flat, raw input is wrapped as JSON, and the usage follows the finish_reason."""
    sent = encoded(*WHOLE_TURN)
    message = added_up(sent)
    assert message["content"] == "I look.\n\nDone."
    assert message["reasoning"] == "Hm."
    first, second = message["calls"]
    assert first == {"id": "call_1", "name": "ns__read", "arguments": '{"path":"a"}'}
    assert json.loads(second["arguments"]) == {"input": '*** "Begin"\n\\ end 😀'}
    assert [chunk["choices"][0]["finish_reason"] for chunk in sent[-2:-1]] == ["tool_calls"]
    assert sent[-1]["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert {(chunk["id"], chunk["model"], chunk["created"]) for chunk in sent} == {
        ("chatcmpl-abc", "ocg-glm", 1_700_000_000)
    }


def test_usage_only_when_asked() -> None:
    """Without `include_usage` no chunk has a usage, and the last one has the finish_reason; the server still knows."""
    encoder = ChatEncoder(REQUEST, include_usage=False)
    assert encoder.usage is None
    sent = chunks(encoder.encode(WHOLE_TURN))
    assert encoder.usage == Usage(100, 20, 60, 5, cached_known=True)
    assert all("usage" not in chunk for chunk in sent)
    assert sent[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (TurnCompleted(), "stop"),
        (TurnIncomplete("max_output_tokens"), "length"),
        (TurnIncomplete("content_filter"), "content_filter"),
    ],
)
def test_finish_reasons(ending: TurnEvent, reason: str) -> None:
    """Each end of a turn has the word that chat clients know."""
    sent = encoded(ItemStarted(0, MessageStart()), TextDelta(0, "x"), ending, include_usage=False)
    assert sent[-1]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("stream_interrupted", "server_error"),
        ("rate_limited", "rate_limit_error"),
        ("context_length_exceeded", "invalid_request_error"),
        ("upstream_unauthorized", "authentication_error"),
    ],
)
def test_a_failure_is_an_error_chunk(code: str, kind: str) -> None:
    """A failed turn ends with an error in the envelope of HTTP errors, and without a finish_reason."""
    encoder = ChatEncoder(REQUEST, include_usage=True)
    encoder.encode([ItemStarted(0, MessageStart()), TextDelta(0, "half")])
    (error,) = chunks(encoder.fail(code, "It broke."))
    assert error == {"error": {"message": "It broke.", "type": kind, "code": code, "param": None}}
    assert encoder.outcome == TurnFailed(code, "It broke.")
    assert encoder.response()["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize("start", [FunctionCallStart("c", "f"), CustomCallStart("c", "f")])
@pytest.mark.parametrize("closed", [True, False])
def test_a_call_without_arguments_is_json(start: FunctionCallStart | CustomCallStart, closed: bool) -> None:
    """A whole call always has arguments that parse, also when nothing or only blanks came."""
    done: list[TurnEvent] = [ItemDone(0)] if closed else []
    events = [ItemStarted(0, start), ArgumentsDelta(0, ""), *done, TurnCompleted()]
    (call,) = added_up(encoded(*events))["calls"]
    assert json.loads(call["arguments"]) in ({}, {"input": ""})


@pytest.mark.parametrize("start", [FunctionCallStart("c", "f"), CustomCallStart("c", "f")])
def test_a_cut_call_cannot_be_run(start: FunctionCallStart | CustomCallStart) -> None:
    """A call that is cut before its arguments is not shown, one that is cut within them does not parse."""
    cut = TurnIncomplete("max_output_tokens")
    assert added_up(encoded(ItemStarted(0, start), cut))["calls"] == []
    assert added_up(encoded(ItemStarted(0, FunctionCallStart("c", "f")), ArgumentsDelta(0, " \n"), cut))["calls"] == []
    for arguments in ('{"pa', '{"path":{"a":1}}', '{"a":{}} \n', "{}", "x"):
        for piece in (arguments, arguments[:1]):
            calls = added_up(encoded(ItemStarted(0, start), *_pieces(0, piece), cut))["calls"]
            for call in calls:
                with pytest.raises(json.JSONDecodeError):
                    json.loads(call["arguments"])


def _pieces(index: int, text: str) -> list[TurnEvent]:
    return [ArgumentsDelta(index, char) for char in text]


def test_calls_go_out_one_after_the_other() -> None:
    """Arguments of parallel calls that arrive mixed come out whole and in order, braces inside them included."""
    first, second = '{"a":{"b":"}"},"c":[{}]} ', '{"d":{}}'
    mixed = [event for pair in zip(_pieces(0, first), _pieces(1, second), strict=False) for event in pair]
    rest = _pieces(0, first[len(second) :])
    starts: list[TurnEvent] = [ItemStarted(index, FunctionCallStart(f"c{index}", "f")) for index in (0, 1)]
    sent = encoded(*starts, *mixed, *rest, ItemDone(1), ItemDone(0), TurnCompleted())
    assert [call["arguments"] for call in added_up(sent)["calls"]] == [first, second]


def test_half_an_emoji_does_not_break_the_stream() -> None:
    """A lone surrogate becomes U+FFFD in text and in arguments."""
    sent = encoded(
        ItemStarted(0, MessageStart()),
        TextDelta(0, "a\ud83d"),
        ItemStarted(1, CustomCallStart("c", "f")),
        ArgumentsDelta(1, "b\ud83d"),
        TurnCompleted(),
    )
    message = added_up(sent)
    assert (message["content"], json.loads(message["calls"][0]["arguments"])) == ("a\ufffd", {"input": "b\ufffd"})


def _client(body: bytes, kind: str) -> OpenAI:
    answer = httpx2.Response(200, headers={"content-type": kind}, content=body)
    transport = httpx2.MockTransport(lambda _request: answer)
    return OpenAI(api_key="synthetic", base_url="http://bridge.test/v1", http_client=httpx2.Client(transport=transport))


def test_the_official_client_adds_up_the_stream() -> None:
    """The `openai` client accumulates our stream to the message that the object holds."""
    encoder = ChatEncoder(REQUEST, include_usage=True)
    sent = encoder.encode(WHOLE_TURN)
    with (
        _client(sent, "text/event-stream") as client,
        client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "x"}]) as stream,
    ):
        final = stream.get_final_completion()
    message = encoder.response()["choices"][0]["message"]
    choice = final.choices[0]
    assert (choice.message.content, choice.finish_reason) == (message["content"], "tool_calls")
    assert choice.message.model_extra == {"reasoning_content": "Hm."}
    assert [call.model_dump(include={"id", "function"}) for call in choice.message.tool_calls or ()] != []
    assert final.usage is not None
    assert final.usage.total_tokens == 120


def test_the_official_client_raises_an_error_chunk() -> None:
    """The `openai` client raises our error chunk with its words."""
    encoder = ChatEncoder(REQUEST, include_usage=True)
    sent = encoder.encode([ItemStarted(0, MessageStart()), TextDelta(0, "half")]) + encoder.finish()
    with _client(sent, "text/event-stream") as client:
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
        with pytest.raises(APIError, match="ended before it was complete"):
            list(stream)
