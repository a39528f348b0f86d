"""Runs: reading one gives what decoding each of its chunks gives, whatever the chunks are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codex_oss.wire import chat_stream
from codex_oss.wire.chat_runs import MIN_TEXTS, RunPattern, learn_pattern
from codex_oss.wire.chat_stream import ChatDecoder
from codex_oss.wire.events import DELTAS, TurnEvent, joined
from tests.wire.scripts import PROFILE, call, delta, names, profile, sse, usage

TEXTS = st.text(max_size=6) | st.sampled_from(
    [
        " the",
        "\n",
        '"',
        "\\",
        '\\"',
        '","content":"',
        "\\u0041",
        "</think>",
        "<think>",
        "}\n\ndata: {",
        "\ud83d",
        "\ude00",
        "\x7f",
    ]
)
EXTRAS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"usage": None}, {"obfuscation": 'x"y'}, {"id": "c-1"}, {"content": "decoy"}, {"usage": {"prompt_tokens": 1}}]
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw an answer of runs: chunks of one form with many texts, in several forms, with oddities between them."""
    out = b""
    for _ in range(draw(st.integers(1, 4))):
        field = draw(st.sampled_from(["content", "reasoning_content", "reasoning", "call", "refusal"]))
        extra, loud = draw(EXTRAS), draw(st.booleans())
        if field == "call":
            out += sse(delta(tool_calls=[call(0, "c1", "read", draw(TEXTS))]))
        for text in draw(st.lists(TEXTS, max_size=40)):
            told = {"tool_calls": [call(0, None, None, text)]} if field == "call" else {field: text}
            chunk = {**delta(**told), **extra}
            raw = json.dumps(chunk, ensure_ascii=loud).encode("utf-8", "replace")
            out += b"data: " + raw + b"\n\n"
        out += draw(
            st.sampled_from(
                [b"", b": ping\n\n", b"data: {}\n\n", b"event: x\ndata: {}\n\n", b'data: {"choices":[{"index":1}]}\n\n']
            )
        )
    return out + draw(st.sampled_from([sse(delta("stop"), usage(), "[DONE]"), sse(delta("length")), b"", b"data: {"]))


def read(stream: bytes, large_from: int, **quirks: Any) -> list[TurnEvent]:
    """Decode in one read, searching reads from *large_from* bytes on for runs, and as soon as can be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_stream, "LARGE_READ_BYTES", large_from)
        patch.setattr(chat_stream, "FIRST_BLOCK", 1)
        decoder = ChatDecoder(names(), profile(**quirks), request_bytes=400)
        return decoder.feed(stream) + decoder.finish()


BLANKS = sse(*[delta(content=text) for text in "ab\n\n \n\ncd"])
THOUGHTS = sse(*[delta(reasoning_content=text) for text in "ab\n\n \n\ncd"])
LATE_BLANKS = sse(*[delta(content=text) for text in "\n\n \n\ncd"])
BLANK_THOUGHTS = sse(*[delta(reasoning_content=text) for text in "\n\n  \ncd"])


@settings(max_examples=300, deadline=None)
@example(BLANKS + sse(delta(reasoning_content="hm")) + LATE_BLANKS, {})
@example(THOUGHTS + BLANKS + BLANK_THOUGHTS, {})
@example(BLANKS + sse(delta("length")) + BLANKS, {})
@given(streams(), st.sampled_from([{}, {"reasoning": "hide"}]))
def test_with_and_without_runs_is_the_same(stream: bytes, quirks: dict[str, Any]) -> None:
    """Every stream decodes to the same events whether runs are read as one or chunk by chunk."""
    assert joined(read(stream, 0, **quirks)) == joined(read(stream, 1 << 30, **quirks))


@pytest.mark.parametrize(
    "told",
    [
        {"content": " a"},
        {"role": "assistant", "content": "tän"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm", "content": None},
        {"tool_calls": [call(3, None, None, '{"pa')]},
    ],
)
def test_a_pattern_is_learned_and_used(told: dict[str, Any]) -> None:
    """The usual forms of a chunk are runs; what follows is given back untouched."""
    payload = json.dumps(delta(**told), ensure_ascii=False).encode()
    pattern = learn_pattern(payload)
    assert pattern is not None
    run = b"\n\n".join([b"data: " + payload] * (MIN_TEXTS + 3))
    found = pattern.cut(run + b"\n\ndata: [DONE]")
    assert found is not None
    text, rest = found
    assert rest == b"data: [DONE]"
    one = ChatDecoder(names(), PROFILE).feed(sse(delta(**told)))
    said = [event.text for event in one if isinstance(event, DELTAS)]
    assert text == "".join(said or told["tool_calls"][0]["function"]["arguments"]) * (MIN_TEXTS + 3)


@pytest.mark.parametrize(
    "chunk",
    [
        delta("stop", content="a"),
        {**delta(content="a"), "usage": {"prompt_tokens": 1}},
        {**delta(content="a"), "error": {"message": "x"}},
        delta(content="a", reasoning_content="b"),
        delta(content="a", refusal="b"),
        delta(tool_calls=[call(0, "c1", None, "a")]),
        delta(tool_calls=[call(0, None, "read", "a")]),
        delta(content=""),
        {"choices": [{"index": 1, "delta": {"content": "a"}}]},
        {**delta(content="twice"), "id": "twice"},
        "[]",
        "{",
    ],
)
def test_a_chunk_that_says_more_is_no_pattern(chunk: Any) -> None:
    """Whatever carries something beside its text is decoded by itself, always."""
    assert learn_pattern(chunk.encode() if isinstance(chunk, str) else json.dumps(chunk).encode()) is None


def test_a_string_that_lies_about_its_end_is_no_run() -> None:
    """A body with a bare quote, a control character or an open escape ends the shortcut, not the truth."""
    pattern = learn_pattern(b'{"choices":[{"delta":{"content":"a"}}]}')
    assert isinstance(pattern, RunPattern)
    for body in (b'x"y', b"x\ty", b"x\\", b"\\q", b"\xff"):
        frame = b"data: " + pattern.before + body + pattern.after
        assert pattern.cut(b"\n\n".join([frame] * (MIN_TEXTS + 1))) is None
