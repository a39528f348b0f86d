"""The chat decoder: vendors' streams as scripts, endings, and the properties of the whole way to the client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.chat_stream import ChatDecoder, decode_chat_completion
from codex_oss.wire.chat_tools import ToolNames, search_arguments
from codex_oss.wire.events import (
    ArgumentsDelta,
    CustomCallStart,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
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
    joined,
)
from codex_oss.wire.items import SearchTool
from codex_oss.wire.responses_stream import ResponseEncoder
from tests.wire.scripts import (
    DATA,
    PROFILE,
    REQUEST,
    TOOLS,
    call,
    cuts,
    decoded,
    delta,
    frames,
    json_values,
    names,
    profile,
    sse,
    types,
    usage,
)

USAGE = UsageReported(Usage(10, 5))
START = TurnStarted("glm-5")
FIXTURES = sorted(path.name for path in DATA.glob("chat_*.sse"))


def middle(events: list[TurnEvent]) -> list[TurnEvent]:
    """Return what lies between TurnStarted and the usage, after checking that both are there."""
    assert isinstance(events[0], TurnStarted)
    assert isinstance(events[-2], UsageReported)
    return events[1:-2]


def answer(*payloads: Any, **quirks: Any) -> list[TurnEvent]:
    """Decode a script that ends as servers end: usage, then [DONE]."""
    return decoded(sse(*payloads, usage(), "[DONE]"), **quirks)


def test_text() -> None:
    """Text opens one message, its deltas of one read are one, and the usage after the finish_reason still counts."""
    assert answer(delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo"), delta("stop")) == [
        START,
        ItemStarted(0, MessageStart()),
        TextDelta(0, "Hello"),
        ItemDone(0),
        USAGE,
        TurnCompleted(),
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_fields(field: str) -> None:
    """Both vendors' names make a reasoning item, which closes before the text opens."""
    script = (delta(**{field: "Hm"}), delta(**{field: "."}), delta(content="Hi"), delta("stop"))
    assert middle(answer(*script)) == [
        ItemStarted(0, ReasoningStart()),
        ReasoningDelta(0, "Hm."),
        ItemDone(0),
        ItemStarted(1, MessageStart()),
        TextDelta(1, "Hi"),
        ItemDone(1),
    ]
    assert middle(answer(*script, reasoning="hide")) == [
        ItemStarted(0, MessageStart()),
        TextDelta(0, "Hi"),
        ItemDone(0),
    ]


def test_inline_thinking() -> None:
    """Thinking inside the content is reasoning, wherever the chunk borders cut the tags."""
    script = [delta(content=piece) for piece in ("\n<th", "ink>\nLet me", " see.\n</thi", "nk>\n\n", "Hi <think>")]
    assert middle(answer(*script, delta("stop"))) == [
        ItemStarted(0, ReasoningStart()),
        ReasoningDelta(0, "Let me see."),
        ItemDone(0),
        ItemStarted(1, MessageStart()),
        TextDelta(1, "Hi <think>"),
        ItemDone(1),
    ]


def test_a_refusal_is_text() -> None:
    """A refusal reaches the person as the message."""
    assert middle(answer(delta(refusal="I can't."), delta("stop")))[1] == TextDelta(0, "I can't.")


def test_a_streamed_call() -> None:
    """A call opens with id and name, streams its arguments and closes at the finish_reason, before the usage."""
    decoder = ChatDecoder(names(), PROFILE)
    events = decoder.feed(
        sse(
            delta(content="\n\n"),
            delta(tool_calls=[call(0, "c1", "read", "")]),
            delta(tool_calls=[call(0, None, None, '{"path":')]),
            delta(tool_calls=[call(0, None, None, '"a"}')]),
        )
    )
    assert events == [
        START,
        ItemStarted(0, FunctionCallStart("c1", "read")),
        ArgumentsDelta(0, '{"path":"a"}'),
    ]
    assert not decoder.whole
    assert decoder.feed(sse(delta("tool_calls"))) == [ItemDone(0)]
    assert decoder.whole
    assert decoder.feed(sse(usage())) == []
    assert decoder.feed(sse("[DONE]")) == [USAGE, TurnCompleted()]
    assert decoder.ended


def test_a_freeform_call_is_unwrapped() -> None:
    """The input of a custom tool comes out whole, unwrapped, with name and namespace apart."""
    script = [
        delta(tool_calls=[call(0, "c1", "functions__exec", '{"input": "pri')]),
        delta(tool_calls=[call(0, None, None, 'nt(1)\\n"}')]),
    ]
    assert middle(answer(*script, delta("tool_calls"))) == [
        ItemStarted(0, CustomCallStart("c1", "exec", "functions")),
        ArgumentsDelta(0, "print(1)\n"),
        ItemDone(0),
    ]


def test_text_closes_before_calls_and_parallel_calls_interleave() -> None:
    """Two calls under way at once keep their own arguments."""
    assert middle(
        answer(
            delta(content="Look:"),
            delta(tool_calls=[call(0, "c1", "read", "{"), call(1, "c2", "read", "{")]),
            delta(tool_calls=[call(1, None, None, "}"), call(0, None, None, "}")]),
            delta("tool_calls", content="\n"),
        )
    ) == [
        ItemStarted(0, MessageStart()),
        TextDelta(0, "Look:"),
        ItemDone(0),
        ItemStarted(1, FunctionCallStart("c1", "read")),
        ArgumentsDelta(1, "{"),
        ItemStarted(2, FunctionCallStart("c2", "read")),
        ArgumentsDelta(2, "{}"),
        ArgumentsDelta(1, "}"),
        ItemDone(1),
        ItemDone(2),
    ]


def test_the_older_function_call_form() -> None:
    """`delta.function_call` is one call; its missing id is made."""
    found = middle(
        answer(
            delta(function_call={"name": "read", "arguments": "{"}),
            delta(function_call={"arguments": "}"}),
            delta("function_call"),
        )
    )
    assert found[0] == ItemStarted(0, FunctionCallStart("call_abc_0", "read"))
    assert found[-1] == ItemDone(0)


def test_broken_arguments_of_a_whole_call_pass() -> None:
    """Arguments that are no JSON go to the client as they are; its tool tells the model."""
    found = middle(answer(delta(tool_calls=[call(0, "c", "read", "{path: a}")]), delta("tool_calls")))
    assert found == [ItemStarted(0, FunctionCallStart("c", "read")), ArgumentsDelta(0, "{path: a}"), ItemDone(0)]


@pytest.mark.parametrize("reason", ["length", "max_tokens"])
def test_length_leaves_what_is_open_to_the_encoder(reason: str) -> None:
    """A call cut by the limit is neither completed nor unwrapped; a turn of pure reasoning is incomplete, not empty."""
    events = answer(delta(tool_calls=[call(0, "c", "functions__exec", '{"input": "rm')]), delta(reason))
    assert middle(events) == [ItemStarted(0, CustomCallStart("c", "exec", "functions"))]
    assert events[-1] == TurnIncomplete("max_output_tokens")
    assert answer(delta(reasoning="so long"), delta(reason))[-1] == TurnIncomplete("max_output_tokens")


def test_content_filter_is_incomplete() -> None:
    """A filtered answer says so."""
    assert answer(delta(content="x"), delta("content_filter"))[-1] == TurnIncomplete("content_filter")


USAGES = {
    "plain": ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
    "openai": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        Usage(10, 5, 4, 2, cached_known=True),
    ),
    "details null": (
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None},
        Usage(10, 5),
    ),
    "deepseek": (
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 0},
        Usage(10, 5, cached_known=True),
    ),
    "anthropic gateway": (
        {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3},
        Usage(10, 5, 3, cached_known=True),
    ),
    "moonshot": ({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 3}, Usage(10, 5, 3, cached_known=True)),
    "cache writes": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
        },
        Usage(10, 5, 4, cached_known=True, cache_write_tokens=6),
    ),
    "anthropic cache writes": (
        {"prompt_tokens": 10, "completion_tokens": 5, "cache_creation_input_tokens": 6},
        Usage(10, 5, cache_write_tokens=6),
    ),
    "strings": ({"prompt_tokens": "10", "completion_tokens": 5.0}, Usage(10, 5)),
    "no counts": ({"cost": 1}, Usage(100, 1, estimated=True)),
    "nonsense": ({"prompt_tokens": -3, "completion_tokens": True}, Usage(100, 1, estimated=True)),
}


@pytest.mark.parametrize("name", USAGES)
@pytest.mark.parametrize("inside_choice", [False, True])
def test_usage_of_each_vendor(name: str, inside_choice: bool) -> None:
    """Every vendor's usage is read, at the top or inside the choice; without one the counts are estimated."""
    raw, expected = USAGES[name]
    last = {"choices": [{"index": 0, "delta": {}, "usage": raw}]} if inside_choice else {"choices": [], "usage": raw}
    events = decoded(sse(delta(content="abc"), delta("stop"), last, "[DONE]"))
    assert events[-2:] == [UsageReported(expected), TurnCompleted()]


def test_a_later_chunk_without_counts_does_not_undo_the_usage() -> None:
    """Usage may come twice, or be followed by one that holds only a price."""
    later = {"choices": [], "usage": {"cost": 0.1}}
    assert decoded(sse(delta(content="x"), delta("stop"), usage(1, 1), usage(), later, "[DONE]"))[-2] == USAGE


def test_done_without_finish_reason() -> None:
    """Text or whole calls count as an answer, a half-written call does not."""
    assert answer(delta(content="x"))[-1] == TurnCompleted()
    assert answer(delta(tool_calls=[call(0, "c", "read", "{}")]))[-1] == TurnCompleted()
    assert answer(delta(tool_calls=[call(0, "c", "read", "{")]))[-1] == TurnFailed(
        "stream_interrupted", "The model server ended within a tool call."
    )


def test_a_cut_after_the_finish_reason_is_whole() -> None:
    """The answer was whole; only the usage is missing."""
    assert decoded(sse(delta(content="abc"), delta("stop"))) == [
        START,
        ItemStarted(0, MessageStart()),
        TextDelta(0, "abc"),
        ItemDone(0),
        UsageReported(Usage(100, 1, estimated=True)),
        TurnCompleted(),
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "stream_interrupted"),
        (sse(delta(content="x")), "stream_interrupted"),
        (sse(delta(role="assistant")), "stream_interrupted"),
        (b"<html><body>Bad gateway</body></html>", "upstream_protocol_error"),
        (sse("[DONE]"), "upstream_protocol_error"),
        (sse(delta("stop"), "[DONE]"), "upstream_protocol_error"),
        (sse(delta(content=" \n"), delta("stop"), "[DONE]"), "upstream_protocol_error"),
        (sse(delta(reasoning="x"), delta("stop"), "[DONE]"), "upstream_protocol_error"),
        (sse(delta(tool_calls=[call(0, "c", None, "{}")]), delta("stop")), "upstream_protocol_error"),
        (sse(delta(content="x"), "oops", delta("stop")), "upstream_protocol_error"),
        (sse("[1]"), "upstream_protocol_error"),
        (sse(delta(content="x"), delta("error")), "upstream_error"),
        (sse({"error": {"message": "maximum context length is 8192 tokens", "code": 400}}), "context_length_exceeded"),
        (sse(delta(content="x"), {"error": {"message": "Rate limit", "code": "rate_limit_exceeded"}}), "rate_limited"),
        (sse({"error": "overloaded"}), "upstream_unavailable"),
        (sse({"object": "error", "message": "Internal", "code": 500}), "upstream_error"),
    ],
)
def test_failures(data: bytes, code: str) -> None:
    """Whatever goes wrong is one TurnFailed with the right code, after TurnStarted and a usage."""
    events = decoded(data)
    assert isinstance(events[0], TurnStarted)
    assert isinstance(events[-2], UsageReported)
    assert isinstance(events[-1], TurnFailed)
    assert events[-1].code == code


def test_nothing_counts_after_the_end() -> None:
    """Bytes after [DONE], an error after the whole answer, and a second finish change nothing."""
    decoder = ChatDecoder(names(), PROFILE)
    data = sse(delta(content="x"), delta("stop"), delta(content="y"), {"error": "late"}, "[DONE]", delta(content="z"))
    events = decoder.feed(data)
    assert middle(events) == [ItemStarted(0, MessageStart()), TextDelta(0, "x"), ItemDone(0)]
    assert events[-1] == TurnCompleted()
    assert decoder.feed(sse(delta(content="z"))) == decoder.finish() == []


def test_only_the_first_choice_is_read() -> None:
    """An upstream that answers twice does not mix the two."""
    chunk = delta(content="x")
    chunk["choices"].append({"index": 1, "delta": {"content": "other"}})
    assert middle(answer(chunk, delta("stop"))) == [ItemStarted(0, MessageStart()), TextDelta(0, "x"), ItemDone(0)]


ODD_CHUNKS = {
    "list content": delta(content=[{"type": "text", "text": "x"}, {"type": "reference"}]),
    "number as id": {**delta(content="x"), "id": 7, "model": 7},
    "odd siblings": delta(content="x", reasoning=7, refusal=[], tool_calls={}),
    "index as text": {"choices": [{"index": "0", "delta": {"content": "x"}}]},
    "whole message": {"choices": [{"message": {"role": "assistant", "content": "x"}}]},
}


@pytest.mark.parametrize("name", ODD_CHUNKS)
def test_odd_types_are_read_as_best_they_can_be(name: str) -> None:
    """A field of a wrong type costs that field, not the turn."""
    assert middle(answer(ODD_CHUNKS[name], delta("stop")))[1] == TextDelta(0, "x")


def test_arguments_as_a_value() -> None:
    """An upstream that sends arguments as an object instead of a string is understood."""
    piece = {"index": 0, "id": 5, "function": {"name": "read", "arguments": {"path": "a"}}}
    assert middle(answer(delta(tool_calls=[piece]), delta("stop"))) == [
        ItemStarted(0, FunctionCallStart("5", "read")),
        ArgumentsDelta(0, '{"path":"a"}'),
        ItemDone(0),
    ]


def test_broken_unicode_is_repaired() -> None:
    """Half an emoji and a broken byte become U+FFFD."""
    data = (
        b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\ndata: {"choices":[{"delta":{"content":"b\xff"}}]}\n\n'
    )
    texts = [event.text for event in decoded(data) if isinstance(event, TextDelta)]
    assert texts == ["a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("name", FIXTURES)
@given(data=st.data())
def test_any_chunking_gives_the_same_events_but_for_where_deltas_are_cut(name: str, data: st.DataObject) -> None:
    """Reads of any size, borders inside characters and tags included, decode to the same events, deltas joined."""
    stream = (DATA / name).read_bytes()
    assert joined(decoded(data.draw(cuts(stream)))) == joined(decoded(stream))


@pytest.mark.parametrize("name", FIXTURES)
def test_byte_by_byte_is_the_same_but_for_where_deltas_are_cut(name: str) -> None:
    """The smallest reads decode to the same events once deltas are joined."""
    stream = (DATA / name).read_bytes()
    assert joined(decoded(stream[i : i + 1] for i in range(len(stream)))) == joined(decoded(stream))


@pytest.mark.parametrize("name", FIXTURES)
def test_one_read_has_no_two_deltas_of_an_item_side_by_side(name: str) -> None:
    """What one read brought of an item is one delta."""
    events = ChatDecoder(names(), PROFILE).feed((DATA / name).read_bytes())
    assert joined(events) == events


@pytest.mark.parametrize("name", FIXTURES)
def test_a_stream_cut_anywhere_ends_once_with_nothing_open(name: str) -> None:
    """Cut at any byte, the client gets one terminal event, and every item that opened is closed."""
    stream = (DATA / name).read_bytes()
    for cut in range(0, len(stream), 7):
        decoder, encoder = ChatDecoder(names(), PROFILE), ResponseEncoder(REQUEST)
        sent = encoder.encode(decoder.feed(stream[:cut])) + encoder.encode(decoder.finish()) + encoder.finish()
        kinds = types(frames(sent))
        assert sum(kind in ("completed", "incomplete", "failed") for kind in kinds) == 1
        assert kinds.count("output_item.added") == kinds.count("output_item.done")
        assert kinds[-1] == "[DONE]"


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures_reach_the_client_whole(name: str) -> None:
    """Each recorded form of an answer completes, with an output."""
    encoder = ResponseEncoder(REQUEST)
    encoder.encode(decoded((DATA / name).read_bytes()))
    response = encoder.response()
    assert (response["status"], bool(response["output"])) == ("completed", True)
    assert all(item["status"] == "completed" for item in response["output"])


_function = (
    st.dictionaries(st.sampled_from(["name", "arguments"]), json_values | st.sampled_from(["read", "{}", '{"']))
    | json_values
)
_piece = st.dictionaries(st.sampled_from(["index", "id", "function"]), _function | st.sampled_from([0, 1, "c", ""]))
_delta = st.dictionaries(
    st.sampled_from(["content", "reasoning", "refusal", "tool_calls", "function_call"]),
    json_values | st.text(max_size=3) | st.lists(_piece, max_size=3),
)
_choice = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, None, "0", []]),
        "delta": _delta,
        "finish_reason": json_values | st.just("stop"),
    },
)
_chunk = json_values | st.fixed_dictionaries(
    {}, optional={"choices": st.lists(_choice, max_size=2) | json_values, "usage": json_values, "error": json_values}
)


@given(st.lists(_chunk | st.just("[DONE]"), max_size=6))
def test_arbitrary_chunks_never_break_the_stream(chunks: list[Any]) -> None:
    """Whatever JSON an upstream sends, the events are legal for the encoder and end with one terminal event."""
    encoder = ResponseEncoder(REQUEST)
    events = decoded(sse(*chunks))
    assert isinstance(events[0], TurnStarted)
    assert isinstance(events[-1], TurnCompleted | TurnIncomplete | TurnFailed)
    encoder.encode(events)
    assert encoder.outcome == events[-1]


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_arbitrary_bytes_never_break_the_stream(reads: list[bytes]) -> None:
    """Bytes of no protocol end as a failed turn."""
    assert isinstance(decoded(reads)[-1], TurnFailed)


COMPLETION = {
    "model": "glm-5",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "<think>Hm.</think>Hi",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}


def test_an_answer_that_does_not_stream() -> None:
    """A whole completion gives the same events as the same answer streamed."""
    assert decode_chat_completion(json.dumps(COMPLETION).encode(), names(), PROFILE) == [
        START,
        ItemStarted(0, ReasoningStart()),
        ReasoningDelta(0, "Hm."),
        ItemDone(0),
        ItemStarted(1, MessageStart()),
        TextDelta(1, "Hi"),
        ItemDone(1),
        ItemStarted(2, FunctionCallStart("c1", "read")),
        ArgumentsDelta(2, "{}"),
        ItemDone(2),
        USAGE,
        TurnCompleted(),
    ]


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_an_arbitrary_completion_never_raises(body: bytes) -> None:
    """A body that is no completion ends as a failed turn."""
    assert isinstance(decode_chat_completion(body, ToolNames(), PROFILE)[-1], TurnFailed)


def test_a_search_for_tools_opens_whole() -> None:
    """Its item has an object for arguments, so it opens when the answer is whole, behind the calls that stream."""
    data = sse(
        delta(tool_calls=[call(0, "s", "tool_search", '{"query":')]),
        delta(tool_calls=[call(1, "r", "read", "{}")]),
        delta(tool_calls=[call(0, None, None, '"mail"}')]),
        delta("tool_calls"),
        "[DONE]",
    )
    search_names = ToolNames((*TOOLS, SearchTool()), response_id="resp_abc")
    decoder = ChatDecoder(search_names, profile())
    events = decoder.feed(data)
    starts = [event.item for event in events if isinstance(event, ItemStarted)]
    assert starts == [FunctionCallStart("r", "read"), ToolSearchStart("s", {"query": "mail"})]
    cut = ChatDecoder(ToolNames((SearchTool(),)), profile())
    events = cut.feed(sse(delta("length", tool_calls=[call(0, "s", "tool_search", '{"que')]), "[DONE]"))
    assert not any(isinstance(event, ItemStarted) for event in events)
    assert events[-1] == TurnIncomplete("max_output_tokens")


@pytest.mark.parametrize(
    ("arguments", "value"), [('{"query":"a"}', {"query": "a"}), ("mail", {"query": "mail"}), ("", {}), ("[1]", {})]
)
def test_arguments_of_a_search_are_an_object(arguments: str, value: dict[str, Any]) -> None:
    """A model that only names what it looks for is understood."""
    assert search_arguments(arguments) == value


TEXT_CALLS = (
    'Wait. <tool_call>\n{"name": "read", "arguments": {"path": "a"}}\n</tool_call>\n<tool_call>{"name": "read"}'
)


def test_calls_in_the_text_by_quirk() -> None:
    """A server that leaves calls in the text is understood where the profile says so, and only there."""
    script = (*(delta(content=piece) for piece in TEXT_CALLS), delta("stop"), "[DONE]")
    encoder = ResponseEncoder(REQUEST)
    encoder.encode(decoded(sse(*script), text_calls="hermes"))
    output = encoder.response()["output"]
    assert [(item["type"], item.get("name"), item.get("arguments")) for item in output] == [
        ("message", None, None),
        ("function_call", "read", '{"path":"a"}'),
        ("function_call", "read", "{}"),
    ]
    assert output[0]["content"][0]["text"] == "Wait. "
    plain = "".join(event.text for event in decoded(sse(*script)) if isinstance(event, TextDelta))
    assert plain == TEXT_CALLS


def test_a_call_in_the_text_that_was_cut() -> None:
    """A call that the length cut cannot be run: it stays text, and the turn is incomplete."""
    events = decoded(
        sse(delta(content='<tool_call>{"name": "read", "arg'), delta("length"), "[DONE]"), text_calls="hermes"
    )
    assert not any(isinstance(event, ItemStarted) and isinstance(event.item, FunctionCallStart) for event in events)
    assert events[-1] == TurnIncomplete("max_output_tokens")
