"""Calls in the text: any chunking, nothing lost, nothing invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.chat_chunks import FunctionDelta
from codex_oss.wire.chat_text_calls import TextCallSplitter

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
FOUND = ("f", '{"a":1}')


def split(pieces: list[str]) -> list[str | tuple[str | None, str | None]]:
    """Return text, joined where it is one, and calls of an answer given in pieces."""
    splitter = TextCallSplitter()
    found: list[str | FunctionDelta] = []
    for piece in pieces:
        found += splitter.feed(piece)
    out: list[str | tuple[str | None, str | None]] = []
    for one in [*found, *splitter.finish()]:
        if isinstance(one, FunctionDelta):
            out.append((one.name, one.arguments))
        elif out and isinstance(out[-1], str):
            out[-1] += one
        else:
            out.append(one)
    return out


TABLE: dict[str, tuple[str, list[str | tuple[str, str]]]] = {
    "plain": ("Hi < there", ["Hi < there"]),
    "one": (CALL, [FOUND]),
    "text before": (f"Well.\n{CALL}", ["Well.\n", FOUND]),
    "two": (f"{CALL}\n{CALL}", [FOUND, FOUND]),
    "text between": (f"{CALL} and {CALL}", [FOUND, " and ", FOUND]),
    "no closing tag": (CALL[:-12], [FOUND]),
    "no arguments": ('<tool_call>{"name": "f"}</tool_call>', [("f", "{}")]),
    "arguments as a string": ('<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', [("f", "{}")]),
    "no call": ("<tool_call>what?</tool_call>", ["<tool_call>what?</tool_call>"]),
    "cut": ('<tool_call>{"name', ['<tool_call>{"name']),
    "half a tag": ("a <tool_c", ["a <tool_c"]),
    "nothing": ("", []),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_form(name: str) -> None:
    """Every form splits as meant, at once and character by character."""
    text, expected = TABLE[name]
    assert split([text]) == expected
    assert split(list(text)) == expected


@given(
    st.lists(st.sampled_from(["<tool_call>", "</tool_call>", '{"name":"f"}', "<", "tool_call>", "a", " ", "\n"])),
    st.data(),
)
def test_chunking_never_matters(parts: list[str], data: st.DataObject) -> None:
    """Any chunking splits the same; text without a call comes out whole."""
    text = "".join(parts)
    places = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert split(pieces) == split([text])
    if '{"name":"f"}' not in text:
        assert "".join(str(one) for one in split(pieces)).strip() == text.strip()
