"""What a relayed answer says at its end, whatever way it is cut into reads."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.answer_tail import TAIL_BYTES, AnswerTail
from codex_oss.wire.events import Usage
from tests.fakes.chat_upstream import payload_of, text
from tests.fakes.gpt_backend import message

NATIVE = payload_of(message('He said "usage":{"input_tokens":9,"output_tokens":9} and event: response.failed\n'))
USAGE = Usage(100, 20, 64, 5, cached_known=True)


def seen(*chunks: bytes) -> AnswerTail:
    """A tail that saw these reads."""
    tail = AnswerTail()
    for chunk in chunks:
        tail.see(chunk)
    return tail


@given(st.lists(st.integers(0, len(NATIVE)), max_size=20))
def test_any_cut_tells_the_same(borders: list[int]) -> None:
    """Usage and ending are found wherever reads end, and text that looks like them is not taken for them."""
    marks = sorted({0, len(NATIVE), *borders})
    tail = seen(*(NATIVE[start:end] for start, end in itertools.pairwise(marks)))
    assert (tail.ending, tail.usage()) == ("completed", USAGE)


@pytest.mark.parametrize("ending", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize("form", ["event: response.%s\ndata: {}\n\n", 'data: {"type":"response.%s"}\n\n'])
def test_endings(ending: str, form: str) -> None:
    """Each terminal event is known by its name, with and without an event line; `[DONE]` changes none of them."""
    assert seen((form % ending).encode(), b"data: [DONE]\n\n").ending == ending


def test_chat_completions() -> None:
    """The other protocol ends with `[DONE]` and calls its tokens otherwise."""
    tail = seen(payload_of(text("hello")))
    assert (tail.ending, tail.usage()) == ("completed", Usage(11, 7))


def test_an_answer_without_an_end() -> None:
    """A cut stream has no ending and no usage, although each event before carries a null."""
    tail = seen(b'event: response.created\ndata: {"response":{"usage":null}}\n\n')
    assert (tail.ending, tail.usage()) == ("", None)


@given(st.lists(st.binary(max_size=5000), max_size=40))
def test_nothing_is_held_but_the_tail(chunks: list[bytes]) -> None:
    """Memory is bounded by the tail and one read, and no bytes make it fail."""
    tail = seen(*chunks)
    assert sum(map(len, tail._chunks)) < TAIL_BYTES + 5000
    tail.usage()


BAD: list[Any] = [
    {"input_tokens": -1, "output_tokens": 1},
    {"input_tokens": "1", "output_tokens": 2},
    {},
    [],
    "x",
    7,
    None,
]


@pytest.mark.parametrize("value", BAD)
def test_what_is_no_usage(value: Any) -> None:
    """Wrong types and negative counts are no usage."""
    assert seen(json.dumps({"usage": value}, separators=(",", ":")).encode()).usage() is None


def test_a_flood_of_keys_costs_little() -> None:
    """A hostile tail of a thousand unfinished objects is looked at a few times only."""
    assert seen(b'"usage":{' * 3000).usage() is None
