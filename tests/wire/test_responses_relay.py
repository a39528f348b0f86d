"""The untranslated way: frames pass as they are, and only what clients cannot survive is put right."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import LocalProtocolError
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.events import (
    ItemStarted,
    MessageStart,
    Relayed,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
)
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.relay_stream import RelayEncoder
from codex_oss.wire.relayed_body import relayed_body
from codex_oss.wire.responses_relay import RelayDecoder
from tests.fakes.responses_upstream import (
    USAGE,
    bytes_of,
    events_of,
    framed,
    function_call,
    message,
    reasoning,
    response,
    web_search,
)
from tests.wire.scripts import cuts, frames, json_values, profile

TERMINAL = ("response.completed", "response.incomplete", "response.failed")
REQUEST = TurnRequest(
    response_id="resp_ours", model="ocg-glm", items=(), stream=True, untranslated={"model": "ocg-glm", "input": "hi"}
)
ITEMS = [reasoning("Hm.", sealed="gAAA"), web_search("x"), message("Löök."), function_call("read", {"path": "a"})]
EVENTS = events_of(ITEMS)
WHOLE = bytes_of(EVENTS) + framed("[DONE]")
FIRST_SHOWN = WHOLE.index(b"event: response.output_item.added")


def relayed(data: bytes | Iterable[bytes], request: TurnRequest = REQUEST) -> tuple[bytes, RelayEncoder]:
    """What the client reads of an answer, given at once or in pieces."""
    decoder = RelayDecoder(request, ToolNames(()), profile(), request_bytes=400)
    encoder = RelayEncoder(request)
    sent = b"".join(encoder.encode(decoder.feed(piece)) for piece in ([data] if isinstance(data, bytes) else data))
    sent += encoder.encode(decoder.finish())
    return sent + encoder.finish(), encoder


def check(sent: bytes) -> list[dict[str, Any]]:
    """Check what always holds; returns the events without `[DONE]`."""
    events = frames(sent)
    assert events[-1] == {"type": "[DONE]"}
    events = events[:-1]
    assert [event["type"] in TERMINAL for event in events].count(True) == 1
    usage = events[-1]["response"]["usage"]
    details = usage["input_tokens_details"]["cached_tokens"], usage["input_tokens_details"]["cache_write_tokens"]
    counts = (*details, usage["output_tokens_details"]["reasoning_tokens"], usage["total_tokens"])
    assert all(isinstance(count, int) for count in counts)
    return events


def test_frames_pass_as_they_are() -> None:
    """Every frame between the first and the last is the upstream's own, byte by byte, hosted tools included."""
    sent, encoder = relayed(WHOLE)
    events = check(sent)
    middle = bytes_of(EVENTS[2:-1])
    assert middle in sent
    assert [event["type"] for event in events] == [event["type"] for event in EVENTS]
    assert [event["sequence_number"] for event in events] == list(range(len(EVENTS)))
    final = events[-1]["response"]
    assert final["id"] == EVENTS[0]["response"]["id"]
    assert (final["model"], final["store"], final["output"]) == ("ocg-glm", True, ITEMS)
    assert final["usage"]["input_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 0}
    assert encoder.outcome == TurnCompleted()
    assert encoder.response()["output"] == ITEMS


@given(cuts(WHOLE))
def test_any_chunking_gives_the_same_bytes(pieces: list[bytes]) -> None:
    """The borders of reads change nothing of what the client reads."""
    assert relayed(pieces)[0] == relayed(WHOLE)[0]


@given(st.integers(0, len(WHOLE)))
def test_a_cut_anywhere_gives_one_terminal_event(at: int) -> None:
    """Cut anywhere, the client reads whole frames, then `error` and `response.failed` with growing numbers."""
    sent, encoder = relayed(WHOLE[:at])
    events = check(sent)
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    if isinstance(encoder.outcome, TurnFailed):
        assert [event["type"] for event in events][-2:] == ["error", "response.failed"]
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert events[-1]["response"]["output"] == done


@given(st.integers(0, FIRST_SHOWN))
def test_nothing_is_shown_before_the_first_item(at: int) -> None:
    """Cut before the first item, the events hold no frames: the lane may still try again."""
    decoder = RelayDecoder(REQUEST, ToolNames(()), profile())
    events = [*decoder.feed(WHOLE[:at]), *decoder.finish()]
    assert [type(event) for event in events] == [TurnStarted, TurnFailed]


@given(st.lists(st.one_of(json_values, st.sampled_from([*EVENTS, "[DONE]"])), max_size=12))
def test_anything_ends_once(values: list[Any]) -> None:
    """Whatever the events are, in whatever order, the client reads one terminal event and one `[DONE]`."""
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    sent, _ = relayed("".join(f"data: {text}\n\n" for text in texts).encode())
    assert sent.count(b"data: [DONE]\n\n") == 1
    lines = [line for line in sent.split(b"\n") if line.startswith(b"event: ")]
    assert sum(line.removeprefix(b"event: ").decode() in TERMINAL for line in lines) == 1


def last_of(
    changes: dict[str, Any], kind: str = "response.completed"
) -> tuple[dict[str, Any], bytes, TurnEvent | None]:
    """The terminal event that a client reads when the upstream's has these changes in its response."""
    final = {**EVENTS[-1]["response"], **changes}
    sent, encoder = relayed(bytes_of([*EVENTS[:-1], {**EVENTS[-1], "type": kind, "response": final}]))
    return check(sent)[-1], sent, encoder.outcome


@pytest.mark.parametrize(
    "usage", [None, {}, "none", {"input_tokens": 5}, {"input_tokens": 5, "output_tokens": 2}, {"cost": 1}]
)
def test_usage_is_always_whole(usage: Any) -> None:
    """Missing, half and foreign usage is given its five keys and both detail objects."""
    shown = last_of({"usage": usage})[0]["response"]["usage"]
    assert shown["total_tokens"] == shown["input_tokens"] + shown["output_tokens"]
    assert shown["input_tokens"] in (5, 100)


def test_usage_keeps_what_its_upstream_added() -> None:
    """Cache writes and keys of a vendor stay."""
    details = {"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 1}
    shown = last_of({"usage": {**USAGE, "input_tokens_details": details, "cost": 0.1}})[0]["response"]["usage"]
    assert shown["input_tokens_details"] == details
    assert shown["cost"] == 0.1


def test_what_would_wedge_a_client_is_taken_out() -> None:
    """`end_turn: false` and response headers never pass; `end_turn: true` does."""
    shown, sent, _ = last_of({"end_turn": False, "headers": {"openai-model": "gpt-5"}})
    assert "end_turn" not in shown["response"]
    assert b"openai-model" not in sent
    assert last_of({"end_turn": True})[0]["response"]["end_turn"] is True


def test_other_endings() -> None:
    """`response.done` is completed; incomplete keeps its reason."""
    shown, _, outcome = last_of({}, "response.done")
    assert (shown["type"], outcome) == ("response.completed", TurnCompleted())
    changes = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    shown, _, outcome = last_of(changes, "response.done")
    assert (shown["type"], outcome) == ("response.incomplete", TurnIncomplete("max_output_tokens"))


@pytest.mark.parametrize("final", [{"output": []}, {"output": None}])
def test_an_output_that_is_missing_is_made_of_its_items(final: dict[str, Any]) -> None:
    """The last response holds the items that were sent, or a stored response could not be continued."""
    assert last_of(final)[0]["response"]["output"] == ITEMS


@pytest.mark.parametrize("given_id", ["", "resp_1", "x" * 300, 'resp_"quoted-id"', None])
def test_an_id_that_cannot_be_unique_is_ours(given_id: Any) -> None:
    """Every event then names our id."""
    events = [
        {**event, "response": {**event["response"], "id": given_id}} if "response" in event else event
        for event in EVENTS
    ]
    shown = [event["response"]["id"] for event in check(relayed(bytes_of(events))[0]) if "response" in event]
    assert set(shown) == {"resp_ours"}


def test_an_id_never_continues_itself() -> None:
    """An upstream that answers with the id that was continued gets ours instead."""
    request = msgspec.structs.replace(REQUEST, previous_response_id=EVENTS[0]["response"]["id"])
    shown = check(relayed(WHOLE, request)[0])[-1]["response"]
    assert shown["id"] == "resp_ours"
    assert shown["previous_response_id"] == EVENTS[0]["response"]["id"]


FAILURES: dict[str, dict[str, Any]] = {
    "failed": {"type": "response.failed", "response": response("failed", [], error={"message": "overloaded"})},
    "flat": {"type": "error", "message": "overloaded", "code": None},
    "nested": {"type": "error", "error": {"message": "overloaded"}},
    "untyped": {"error": {"message": "overloaded"}},
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_one_form(name: str) -> None:
    """However an upstream fails, the client reads `error`, then `response.failed` with a code that it knows."""
    sent, encoder = relayed(bytes_of([*EVENTS[:5], FAILURES[name]]))
    error, end = check(sent)[-2:]
    assert error["error"]["code"] == end["response"]["error"]["code"] == "server_error"
    assert end["response"]["id"] == EVENTS[0]["response"]["id"]
    assert isinstance(encoder.outcome, TurnFailed)
    assert encoder.outcome.code == "upstream_unavailable"


def test_what_came_whole_is_translated_for_a_stream() -> None:
    """An answer that only the last event holds is shown with all events of its items."""
    events = check(relayed(bytes_of([EVENTS[0], EVENTS[-1]]))[0])
    done = [event["item"]["type"] for event in events if event["type"] == "response.output_item.done"]
    assert done == ["reasoning", "message", "function_call"]


def test_json_for_a_client_that_does_not_stream() -> None:
    """A JSON answer passes whole, hosted items included, and has every key of a response."""
    request = msgspec.structs.replace(REQUEST, stream=False)
    decoder, encoder = RelayDecoder(request, ToolNames(()), profile()), RelayEncoder(request)
    encoder.encode(decoder.take_completion(json.dumps(response("completed", ITEMS, usage=USAGE)).encode()))
    shown = encoder.response()
    assert shown["output"] == ITEMS
    assert (shown["status"], shown["usage"]["total_tokens"], shown["tools"]) == ("completed", 18, [])


def test_done_without_a_terminal_event() -> None:
    """`[DONE]` after whole items is a whole answer; inside of one it is not."""
    events = check(relayed(bytes_of(EVENTS[:-1]) + framed("[DONE]"))[0])
    assert (events[-1]["type"], events[-1]["sequence_number"]) == ("response.completed", len(EVENTS) - 1)
    assert events[-1]["response"]["output"] == ITEMS
    assert check(relayed(bytes_of(EVENTS[:-2]) + framed("[DONE]"))[0])[-1]["type"] == "response.failed"


def test_what_comes_before_the_first_item_is_bounded() -> None:
    """A server that says for ever that it is in progress costs no memory; later the client reads it once."""
    decoder = RelayDecoder(REQUEST, ToolNames(()), profile())
    assert decoder.feed(framed(EVENTS[1]) * 500 + framed({"type": "keepalive"}) * 500) == []
    shown = [event for event in decoder.feed(framed(EVENTS[2])) if isinstance(event, Relayed)]
    assert [event["type"] for event in frames(shown[0].frames)] == [EVENTS[1]["type"], EVENTS[2]["type"]]


def test_an_output_of_nonsense_is_cleaned() -> None:
    """What is no item is not stored as one."""
    assert last_of({"output": [1, None, ITEMS[0]]})[0]["response"]["output"] == [ITEMS[0]]


def test_framing_is_made_plain() -> None:
    """CRLF, comments, missing event lines and JSON over several lines are the same stream to the client."""
    expected = relayed(WHOLE)[0]
    assert relayed(WHOLE.replace(b"\n", b"\r\n"))[0] == expected
    assert relayed(b": hello\n\n" + WHOLE)[0] == expected
    assert relayed(bytes_of(EVENTS, named=False))[0] == expected
    spread = (json.dumps(event, indent=1).replace("\n", "\ndata: ") for event in EVENTS)
    events = check(relayed("".join(f"data: {text}\n\n" for text in spread).encode())[0])
    assert [event["type"] for event in events] == [event["type"] for event in EVENTS]


def test_a_fallback_that_is_translated() -> None:
    """Ordinary turn events are encoded as for any other turn; the two never mix."""
    encoder = RelayEncoder(REQUEST)
    sent = encoder.encode([TurnStarted(), ItemStarted(0, MessageStart()), TextDelta(0, "hi"), TurnCompleted()])
    assert frames(sent)[-2]["response"]["output"][0]["content"][0]["text"] == "hi"
    mixed = RelayEncoder(REQUEST)
    mixed.encode([TurnStarted(), Relayed(b"")])
    with pytest.raises(LocalProtocolError):
        mixed.encode([TextDelta(0, "x")])


def body_of(**more: Any) -> Any:
    """The body that goes out for a client's body."""
    request = msgspec.structs.replace(REQUEST, untranslated={"model": "ocg-glm", "input": "hi", **more})
    return json.loads(relayed_body(request, profile(), stream=True))


def test_the_body_is_the_clients_own() -> None:
    """Only the model, what is stored and where a conversation continues are ours."""
    tools = [{"type": "web_search"}, {"type": "namespace", "name": "n", "tools": []}]
    body = body_of(tools=tools, store=True, previous_response_id="resp_1", unheard_of=1)
    expected = {"model": "glm-5", "input": "hi", "tools": tools, "store": False, "stream": True, "unheard_of": 1}
    assert body == expected


def test_only_its_own_seals_go_back() -> None:
    """A marked seal goes back to the profile that made it, and to no other; one without a mark came from here."""
    seals = ("glm:a", "kimi:b", "c")
    items: list[Any] = [{"type": "reasoning", "summary": [], "encrypted_content": seal} for seal in seals]
    assert [item.get("encrypted_content") for item in body_of(input=items)["input"]] == ["a", None, "c"]


def test_what_is_sealed_is_marked_for_its_owner() -> None:
    """In the item's own frame and in the final output alike; without an owner it goes on as it came."""
    sealed = reasoning("Hm.", sealed="gAAA")
    data = bytes_of(events_of([sealed, message("so")]))
    for owner, shown in (("", "gAAA"), ("account-1", "account-1:gAAA")):
        decoder = RelayDecoder(REQUEST, ToolNames(()), profile(), owner=owner)
        events = decoder.feed(data) + decoder.finish()
        items: list[dict[str, Any]] = []
        final: dict[str, Any] = {}
        for event in events:
            if isinstance(event, Relayed):
                items += event.items
                final = event.response or final
        assert [item.get("encrypted_content") for item in items if item["type"] == "reasoning"] == [shown]
        assert final["output"][0]["encrypted_content"] == shown


def test_an_event_may_be_heeded_and_taken_out() -> None:
    """Whoever heeds sees every event that is no delta as it came; what it takes reaches nobody."""
    seen: list[str] = []

    def heed(event: dict[str, Any]) -> bool:
        seen.append(event["type"])
        return bool(event["type"] == "codex.rate_limits")

    data = b'data: {"type":"codex.rate_limits","rate_limits":{}}\n\n' + bytes_of(events_of([message("so")]))
    decoder = RelayDecoder(REQUEST, ToolNames(()), profile(), heed=heed)
    frames = b"".join(event.frames for event in decoder.feed(data) if isinstance(event, Relayed))
    assert b"codex.rate_limits" not in frames
    assert seen[0] == "codex.rate_limits"
    assert seen[-1] == "response.completed"
