"""Redaction of streams: no way of splitting a text changes what comes out. Every secret here is synthetic."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.policy.exposure import Redactor
from codex_oss.policy.redacted_stream import AHEAD_CHARS, WINDOWS, RedactedStream
from tests.policy.test_exposure import BODY, CONTEXT, KEY, MARK, TOKENS, VENDOR

HELD = "held-value-1"
SECRETS = [*(one for many in VENDOR.values() for one in many), KEY, HELD, *(text for text, _ in CONTEXT)]
FILLER = ["The quick brown fox jumps over it.\n", "x = compute(y, z)\n", "\n", "word " * 30, "é ü\n", "a" * 700]


def streamed(text: str, sizes: list[int]) -> tuple[str, int]:
    """*text* through a stream in pieces of *sizes*, again and again; what came out, and how many placeholders."""
    stream, out, position, index = RedactedStream(Redactor([HELD])), [], 0, 0
    while position < len(text):
        size = sizes[index % len(sizes)]
        out.append(stream.feed(text[position : position + size]))
        position, index = position + size, index + 1
    return "".join((*out, stream.close())), stream.count


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*SECRETS, *FILLER, *FILLER, *TOKENS]), max_size=60).map(
        lambda parts: " ".join(parts * 4)
    ),
    st.lists(st.integers(1, 6_000), min_size=1, max_size=5),
)
def test_every_split_gives_the_same_output(text: str, sizes: list[int]) -> None:
    """Whatever the pieces, the output is the same text with the same number of placeholders and lines."""
    whole = streamed(text, [len(text) or 1])
    assert streamed(text, sizes) == whole
    assert whole[0].count("\n") == text.count("\n")


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_a_secret_across_any_border_is_replaced_as_in_a_whole_text(secret: str) -> None:
    """A secret that lies on the border of a window is cut neither before nor after its replacement."""
    line = "some words of an honest line\n"
    for size in WINDOWS[:2]:
        for shift in range(-len(secret) - 4, 5, max(1, len(secret) // 5)):
            before = (line * (size // len(line)))[: size - AHEAD_CHARS + shift]
            text = f"{before}\n{secret}\n{line * 200}"
            assert streamed(text, [997])[0] == Redactor([HELD]).redact(text).text


def test_a_key_longer_than_any_window_stays_a_key() -> None:
    """The state "within a key" is carried over: no line of a very long block gets through."""
    rows = (BODY + "\n") * 400
    text = f"before\n-----BEGIN {MARK}\n{rows}-----END {MARK}\nafter it\n" + "line\n" * 500
    shown, _ = streamed(text, [1_000])
    assert not any(row in shown for row in BODY.split("\n"))
    assert shown.startswith("before\n")
    assert shown.endswith("after it\n" + "line\n" * 500)
    assert shown.count("\n") == text.count("\n")


def test_a_value_longer_than_any_window_is_dropped_to_its_line_end() -> None:
    """A quoted value of a quarter of a million characters leaves nothing but its placeholder."""
    value = "".join(random.Random(3).choice("abcdefgh01234567") for _ in range(250_000))
    shown, count = streamed(f'a = 1\npassword = "{value}"\nb = 2\n', [4_000])
    assert not any(value[at : at + 12] in shown for at in range(0, len(value) - 12, 97))
    assert shown.startswith("a = 1\n")
    assert shown.endswith("\nb = 2\n")
    assert count >= 1


def test_a_stream_holds_back_a_bounded_part() -> None:
    """A line without an end is passed on as it grows, and so are lines that are all secrets."""
    for piece in ("word " * 100, f"TOKEN=ghp_{'a1B2' * 9}\n" * 10, "a" * 500):
        stream = RedactedStream(Redactor([HELD]))
        out = sum(len(stream.feed(piece)) for _ in range(2_000))
        assert len(stream.close()) <= WINDOWS[-1]
        assert out > 0
