"""Scripts for the wire tests: upstream chunks in, turn events or client frames out, without any I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from codex_oss.contracts.profiles import ModelProfile, Quirks
from codex_oss.wire.chat_stream import ChatDecoder
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.events import (
    ArgumentsDelta,
    CustomCallStart,
    FunctionCallStart,
    ItemDone,
    ItemStart,
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
from codex_oss.wire.items import CustomTool, FunctionTool, TurnRequest

DATA = Path(__file__).parents[1] / "data"

PROFILE = ModelProfile(name="glm", alias="ocg-glm", model="glm-5", base_url="http://127.0.0.1:1/v1")
TOOLS = (
    FunctionTool("read", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}}),
    CustomTool("exec", "Run code.", namespace="functions"),
)
REQUEST = TurnRequest(response_id="resp_abc", model="ocg-glm", items=(), created_at=1_700_000_000, tools=TOOLS)


def profile(**quirks: Any) -> ModelProfile:
    """Make a profile with the given quirks."""
    return ModelProfile(
        name="glm", alias="ocg-glm", model="glm-5", base_url="http://127.0.0.1:1/v1", quirks=Quirks(**quirks)
    )


def names() -> ToolNames:
    """Make the names of `TOOLS`, fresh, because they remember call ids."""
    return ToolNames(TOOLS, response_id="resp_abc")


def sse(*payloads: Any) -> bytes:
    """Frame payloads as an upstream does; strings go as they are, the rest as JSON."""
    texts = (payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """Make a chunk with one choice."""
    return {"model": "glm-5", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    """Make one piece of a tool call; None leaves the key out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    piece = {"index": index, "id": call_id, "function": function}
    return {key: value for key, value in piece.items() if value is not None}


def usage(prompt: int = 10, completion: int = 5, **details: Any) -> dict[str, Any]:
    """Make the usage chunk that follows the finish_reason."""
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **details}}


def decoded(data: bytes | Iterable[bytes], **quirks: Any) -> list[TurnEvent]:
    """Decode a whole upstream answer, given at once or in pieces."""
    decoder = ChatDecoder(names(), profile(**quirks), request_bytes=400)
    events: list[TurnEvent] = []
    for piece in [data] if isinstance(data, bytes) else data:
        events += decoder.feed(piece)
    return events + decoder.finish()


def frames(data: bytes) -> list[dict[str, Any]]:
    """Read our own SSE frames; the `[DONE]` frame is `{"type": "[DONE]"}`. Checks the framing itself."""
    assert data == b"" or data.endswith(b"\n\n")
    out: list[dict[str, Any]] = []
    for frame in data[:-2].split(b"\n\n") if data else []:
        if frame == b"data: [DONE]":
            out.append({"type": "[DONE]"})
            continue
        first, second = frame.split(b"\n")
        value = json.loads(second.removeprefix(b"data: "))
        assert first == b"event: " + value["type"].encode()
        out.append(value)
    return out


def types(events: Sequence[dict[str, Any]]) -> list[str]:
    """Return the types of client frames without their common prefix."""
    return [event["type"].removeprefix("response.") for event in events]


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Draw a chunking of *data*."""
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Arbitrary JSON, NaN and Infinity included, because Python peers send them."""


_starts: st.SearchStrategy[tuple[ItemStart, Any]] = st.sampled_from(
    [
        (MessageStart(), TextDelta),
        (MessageStart("commentary"), TextDelta),
        (ReasoningStart(), ReasoningDelta),
        (FunctionCallStart("call_1", "read", "ns"), ArgumentsDelta),
        (CustomCallStart("call_2", "apply_patch"), ArgumentsDelta),
        (ToolSearchStart("call_3", {"query": "mail"}), None),
    ]
)
_endings: st.SearchStrategy[TurnEvent] = st.sampled_from(
    [
        TurnCompleted(),
        TurnIncomplete("max_output_tokens"),
        TurnIncomplete("content_filter"),
        TurnFailed("rate_limited", "Slow down."),
        TurnFailed("context_length_exceeded", "Too long."),
        TurnFailed("no such code", "\ud800"),
    ]
)
_texts = st.text(alphabet=st.characters(exclude_categories=()), max_size=12)


@st.composite
def turns(draw: st.DrawFn) -> list[TurnEvent]:
    """Draw a legal turn: items that may overlap and may be left open, and an ending."""
    events: list[TurnEvent] = draw(st.sampled_from([[], [TurnStarted()]]))
    events = [*events]
    open_items: dict[int, Any] = {}
    for _ in range(draw(st.integers(0, 15))):
        writing = sorted(index for index, kind in open_items.items() if kind is not None)
        kinds = ["open", "usage"] + ["delta"] * 4 * bool(writing) + ["done"] * bool(open_items)
        match draw(st.sampled_from(kinds)):
            case "open":
                index = sum(isinstance(event, ItemStarted) for event in events)
                start, delta_type = draw(_starts)
                events.append(ItemStarted(index, start))
                open_items[index] = delta_type
            case "delta":
                index = draw(st.sampled_from(writing))
                events.append(open_items[index](index, draw(_texts)))
            case "done":
                index = draw(st.sampled_from(sorted(open_items)))
                del open_items[index]
                events.append(ItemDone(index))
            case _:
                events.append(UsageReported(Usage(7, 3, 2, 1)))
    return [*events, draw(_endings)]


any_event: st.SearchStrategy[Any] = st.one_of(
    st.builds(ItemStarted, st.integers(-1, 3), _starts.map(lambda pair: pair[0])),
    st.builds(TextDelta, st.integers(-1, 3), _texts),
    st.builds(ReasoningDelta, st.integers(-1, 3), _texts),
    st.builds(ArgumentsDelta, st.integers(-1, 3), _texts),
    st.builds(ItemDone, st.integers(-1, 3)),
    st.just(TurnStarted()),
    st.just(LimitsReported({})),
    _endings,
)
"""Events of which most orders are illegal."""
