"""Decoding a Responses upstream: canonical answers, rude ones, any chunking, any cut, and our own stream read back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.wire.chat_tools import ToolNames
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
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.responses_stream import ResponseEncoder
from codex_oss.wire.responses_upstream import ResponsesDecoder
from tests.fakes.responses_upstream import (
    USAGE,
    bytes_of,
    custom_call,
    events_of,
    framed,
    function_call,
    message,
    reasoning,
    response,
    web_search,
)
from tests.wire.scripts import REQUEST, cuts, json_values, names, profile, turns

TERMINAL = (TurnCompleted, TurnIncomplete, TurnFailed)
ITEMS = [
    reasoning("First I look.", sealed="gAAA"),
    message("Löoking.", item_id="msg_1", phase="commentary"),
    function_call("read", {"path": "a"}, call_id="call_1"),
    custom_call("exec", "print(1)", call_id="call_2", namespace="functions"),
    web_search("x"),
    message("Done.", item_id="msg_2", phase="final_answer"),
]
EVENTS = events_of(ITEMS)
WHOLE = bytes_of(EVENTS) + framed("[DONE]")


def decoded(data: bytes | Iterable[bytes], **quirks: Any) -> list[TurnEvent]:
    """Decode a whole answer, given at once or in pieces."""
    decoder = ResponsesDecoder(names(), profile(**quirks), request_bytes=400)
    out: list[TurnEvent] = []
    for piece in [data] if isinstance(data, bytes) else data:
        out += decoder.feed(piece)
    return out + decoder.finish()


def joined(events: Iterable[TurnEvent]) -> list[Any]:
    """Every item as [start, its text, its done event or None], then the ending."""
    items: dict[int, list[Any]] = {}
    rest: list[Any] = []
    for event in events:
        match event:
            case ItemStarted(index, start):
                items[index] = [start, "", None]
            case TextDelta(index, text) | ReasoningDelta(index, text) | ArgumentsDelta(index, text):
                items[index][1] += text
            case ItemDone(index):
                items[index][2] = event
            case TurnStarted():
                pass
            case _:
                rest.append(event)
    return [*items.values(), *rest]


EXPECTED = [
    [ReasoningStart(), "First I look.", ItemDone(0, "glm:gAAA")],
    [MessageStart("commentary"), "Löoking.", ItemDone(1)],
    [FunctionCallStart("call_1", "read"), '{"path": "a"}', ItemDone(2)],
    [CustomCallStart("call_2", "exec", "functions"), "print(1)", ItemDone(3)],
    [MessageStart("final_answer"), "Done.", ItemDone(4)],
    UsageReported(Usage(11, 7, 4, 2, cached_known=True)),
    TurnCompleted(),
]


def test_a_canonical_answer() -> None:
    """Every kind of item, the usage and the model arrive; an item without a word in the vocabulary is left out."""
    events = decoded(WHOLE)
    assert events[0] == TurnStarted("upstream-model")
    assert joined(events) == EXPECTED


@given(cuts(WHOLE))
def test_any_chunking_gives_the_same_events(pieces: list[bytes]) -> None:
    """The borders of reads change nothing."""
    assert decoded(pieces) == decoded(WHOLE)


@given(st.integers(0, len(WHOLE)))
def test_a_cut_anywhere_gives_one_terminal_event(at: int) -> None:
    """Cut anywhere, a turn ends once; before the terminal event it failed as interrupted."""
    events = decoded(WHOLE[:at])
    assert [isinstance(event, TERMINAL) for event in events].count(True) == 1
    assert isinstance(events[-1], TERMINAL)
    if at < WHOLE.index(b'{"type":"response.completed"'):
        assert isinstance(events[-1], TurnFailed)
        assert events[-1].code in ("stream_interrupted", "upstream_protocol_error")


@given(st.lists(st.one_of(json_values, st.binary(max_size=30).map(repr), st.sampled_from(EVENTS)), max_size=12))
def test_anything_ends_once(values: list[Any]) -> None:
    """Whatever the events are, in whatever order, nothing is raised and our encoder accepts what comes out."""
    data = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    events = decoded(data)
    assert [isinstance(event, TERMINAL) for event in events].count(True) == 1
    encoder = ResponseEncoder(REQUEST)
    encoder.encode(events)
    assert encoder.terminal


def _answered(turn: list[TurnEvent]) -> bool:
    calls = (FunctionCallStart, CustomCallStart)
    opened = {event.index: event.item for event in turn if isinstance(event, ItemStarted)}
    texts = (event for event in turn if isinstance(event, TextDelta) and event.text)
    return any(isinstance(item, calls) for item in opened.values()) or any(texts)


def _clean(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@settings(max_examples=300)
@given(turns())
def test_what_we_encode_we_read_back(turn: list[TurnEvent]) -> None:
    """Our own encoder's stream decodes to the turn it was made of: items, texts, order of ends, usage and ending."""
    ending = turn[-1]
    if isinstance(ending, TurnFailed) or not _answered(turn):
        return
    decoder = ResponsesDecoder(ToolNames((), response_id="resp_1"), profile())
    back = joined([*decoder.feed(ResponseEncoder(REQUEST).encode(turn)), *decoder.finish()])
    sent = joined(turn)
    seen: set[str] = set()
    for index, item in enumerate(entry for entry in sent if isinstance(entry, list)):
        start, text, done = item
        if isinstance(start, FunctionCallStart | CustomCallStart):
            # The script repeats call ids, which one conversation must not.
            assert back[index][0].name == start.name
            assert back[index][0].namespace == start.namespace
            assert (back[index][0].call_id == start.call_id) == (start.call_id not in seen)
            seen.add(start.call_id)
        else:
            assert back[index][0] == start
        assert isinstance(back[index][1], str)
        assert len(_clean(text)) <= 3 * len(text) + 1
        if text.isascii():
            assert back[index][1] == text
        closed = done is not None or isinstance(ending, TurnCompleted)
        assert (back[index][2] is not None) == closed
    assert back[-1] == ending
    usage = [event for event in turn if isinstance(event, UsageReported)]
    assert not usage or (back[-2].usage.input_tokens, back[-2].usage.cached_tokens) == (7, 2)


# --- rude answers -------------------------------------------------------------------------------------------------


def without(*kinds: str) -> bytes:
    """The canonical stream without these types of events (by their ends)."""
    return bytes_of(event for event in EVENTS if not event["type"].endswith(kinds))


RUDE = {
    "no item events but done": without(".added", ".delta", "_text.done", "arguments.done", "input.done"),
    "no deltas": without(".delta"),
    "no done of texts and parts": without("_text.done", "part.done", "arguments.done", "input.done", "part.added"),
    "no created": without("created", "in_progress"),
    "no event lines": bytes_of(EVENTS, named=False),
    "only the last event": without(".added", ".delta", "text.done", "arguments.done", "input.done", "item.done"),
    "response.done": bytes_of([*EVENTS[:-1], {**EVENTS[-1], "type": "response.done"}]),
    "unknown events": b"".join(b'data: {"type":"x.y"}\n\n' + framed(event) for event in EVENTS),
    "CRLF": WHOLE.replace(b"\n", b"\r\n"),
    "every index 0": bytes_of({**event, "output_index": 0} if "output_index" in event else event for event in EVENTS),
    "no indexes": bytes_of({k: v for k, v in event.items() if k != "output_index"} for event in EVENTS),
    "everything twice": b"".join(framed(event) * (2 if ".done" in event["type"] else 1) for event in EVENTS),
}


@pytest.mark.parametrize("name", RUDE)
def test_rude_streams_say_the_same(name: str) -> None:
    """Events that are missing, renamed or said twice lose nothing of the answer."""
    assert joined(decoded(RUDE[name])) == EXPECTED


def test_missing_item_done_events() -> None:
    """A completed answer closes what its upstream left open; without item.done there is nothing sealed."""
    expected = [[ReasoningStart(), "First I look.", ItemDone(0)], *EXPECTED[1:]]
    assert joined(decoded(without("output_item.done"))) == expected


def test_deltas_alone() -> None:
    """Text that was never announced is a message."""
    events = decoded(bytes_of([{"type": "response.output_text.delta", "delta": "hi"}, EVENTS[-1] | {"response": {}}]))
    assert joined(events)[0] == [MessageStart(), "hi", ItemDone(0)]
    assert isinstance(events[-1], TurnCompleted)


def test_done_without_a_terminal_event() -> None:
    """`[DONE]` after whole items is a whole answer; inside of one it is not."""
    assert isinstance(decoded(bytes_of(EVENTS[:-1]) + framed("[DONE]"))[-1], TurnCompleted)
    cut = next(place for place, event in enumerate(EVENTS) if event["type"].endswith("arguments.delta"))
    assert decoded(bytes_of(EVENTS[: cut + 1]) + framed("[DONE]"))[-1].code == "stream_interrupted"  # type: ignore[union-attr]


def test_raw_reasoning() -> None:
    """Raw reasoning is shown where there is no summary, under both of its event names."""
    data = bytes_of(events_of([reasoning(raw="Hmm."), message("x")]))
    for stream in (data, data.replace(b"response.reasoning_text.", b"response.reasoning.")):
        assert joined(decoded(stream))[0] == [ReasoningStart(), "Hmm.", ItemDone(0)]
    assert joined(decoded(data, reasoning="hide"))[0] == [MessageStart(), "x", ItemDone(0)]
    both = bytes_of(events_of([reasoning("Short.", raw="Long."), message("x")]))
    assert joined(decoded(both))[0][1] == "Short."


def test_summary_parts_are_paragraphs() -> None:
    """Several summary parts are one text with a blank line between, streamed or whole."""
    item = reasoning("One.")
    item["summary"].append({"type": "summary_text", "text": "Two."})
    events = events_of([item, message("x")])
    assert joined(decoded(bytes_of(events)))[0][1] == "One.\n\nTwo."
    assert (
        joined(decoded(bytes_of(event for event in events if "summary" not in event["type"])))[0][1] == "One.\n\nTwo."
    )


def test_a_refusal_is_text() -> None:
    """A refusal reaches the client as message text."""
    part = {"type": "refusal", "refusal": "I will not."}
    item = {**message(""), "content": [part]}
    at = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
    added = {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}
    delta = {"type": "response.refusal.delta", **at, "delta": "I will"}
    end = {"type": "response.completed", "response": response("completed", [item])}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    assert joined(decoded(bytes_of([added, delta, done, end])))[0][1] == "I will not."


def test_a_server_that_flattens_tools() -> None:
    """A freeform tool called as a function is unwrapped, and its namespace comes back."""
    data = bytes_of(events_of([function_call("functions__exec", {"input": "print(1)"})]))
    assert joined(decoded(data))[0] == [CustomCallStart("call_up", "exec", "functions"), "print(1)", ItemDone(0)]


def test_call_ids_are_usable() -> None:
    """Empty and repeated call ids are replaced."""
    calls = [function_call("read", "{}", call_id=""), function_call("read", "{}", call_id="c", id="fc_2")]
    calls.append(function_call("read", "{}", call_id="c", id="fc_3"))
    starts = [entry[0].call_id for entry in joined(decoded(bytes_of(events_of(calls))))[:3]]
    assert "c" in starts
    assert "" not in starts
    assert len(set(starts)) == 3


def failed(error: Any) -> dict[str, Any]:
    """A `response.failed` event."""
    return {"type": "response.failed", "response": response("failed", [], error=error)}


FAILURES: dict[str, tuple[list[Any], str]] = {
    "failed": ([failed({"code": "rate_limit_exceeded", "message": "slow down"})], "rate_limited"),
    "failed without a reason": ([failed(None)], "upstream_error"),
    "flat error": ([{"type": "error", "code": "context_length_exceeded", "message": "x"}], "context_length_exceeded"),
    "nested error": ([{"type": "error", "error": {"code": "invalid_api_key"}}], "upstream_unauthorized"),
    "error without a type": ([{"error": {"message": "overloaded"}}], "upstream_unavailable"),
    "cancelled": ([{"type": "response.completed", "response": response("cancelled", [])}], "upstream_error"),
    "empty": ([EVENTS[0], {"type": "response.completed", "response": response("completed", [])}], "upstream_protocol"),
    "no JSON": (["nonsense"], "upstream_protocol_error"),
    "chat chunks": ([{"choices": [{"delta": {"content": "hi"}}]}, "[DONE]"], "upstream_protocol_error"),
    "nameless call": (events_of([function_call("", "{}")]), "upstream_protocol_error"),
    "nothing": ([], "stream_interrupted"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures(name: str) -> None:
    """Every form of failure ends as one `TurnFailed` with a code that says what it was."""
    events, code = FAILURES[name]
    end = decoded(bytes_of(events))[-1]
    assert isinstance(end, TurnFailed)
    assert end.code.startswith(code)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("max_output_tokens", "max_output_tokens"),
        ("content_filter", "content_filter"),
        ("steered", "max_output_tokens"),
    ],
)
def test_an_incomplete_answer(reason: str, shown: Any) -> None:
    """The reason is kept, and the item that was cut stays open, so that nobody runs it."""
    item = {**function_call("read", '{"pa'), "status": "incomplete"}
    data = bytes_of(events_of([item], ending="incomplete", incomplete_details={"reason": reason}))
    assert joined(decoded(data))[0][2] is None
    assert decoded(data)[-1] == TurnIncomplete(shown)


def test_a_cut_call_in_a_completed_answer() -> None:
    """A call that its upstream calls incomplete is never closed as whole."""
    item = {**function_call("read", '{"pa'), "status": "incomplete"}
    assert decoded(bytes_of(events_of([item])))[-1] == TurnIncomplete("max_output_tokens")


WHOLE_ANSWERS: dict[str, tuple[Any, Any]] = {
    "response": (response("completed", ITEMS, usage=USAGE), EXPECTED),
    "wrapped": ({"type": "response.completed", "response": response("completed", ITEMS, usage=USAGE)}, EXPECTED),
}


@pytest.mark.parametrize("name", WHOLE_ANSWERS)
def test_a_whole_answer(name: str) -> None:
    """JSON instead of a stream gives the same turn."""
    body, expected = WHOLE_ANSWERS[name]
    decoder = ResponsesDecoder(names(), profile())
    assert joined(decoder.take_completion(json.dumps(body).encode())) == expected
    assert decoder.ended
    assert decoder.finish() == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"choices": []}', "upstream_protocol_error"),
        (b"<html>", "upstream_protocol_error"),
        (b'{"error": {"message": "overloaded"}}', "upstream_unavailable"),
        (b'{"status": "in_progress", "output": []}', "stream_interrupted"),
    ],
)
def test_a_whole_answer_that_is_none(body: bytes, code: str) -> None:
    """What is no response is a failure that says so."""
    end = ResponsesDecoder(names(), profile()).take_completion(body)[-1]
    assert isinstance(end, TurnFailed)
    assert end.code == code


def test_usage_of_vendors() -> None:
    """Cache writes are read; an upstream that is silent gets an estimate."""
    usage = {**USAGE, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}
    events = decoded(bytes_of(events_of([message("hello")], usage=usage)))
    assert events[-2] == UsageReported(Usage(11, 7, 4, 2, cached_known=True, cache_write_tokens=3))
    events = decoded(bytes_of(events_of([message("hello")], usage=None)))
    assert events[-2] == UsageReported(Usage(100, 2, estimated=True))
