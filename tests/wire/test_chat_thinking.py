"""Inline thinking: tags at the start only, any chunking, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.chat_thinking import ThinkSplitter


def split(pieces: list[str]) -> tuple[str, str]:
    """Return all thinking and all text of an answer given in pieces."""
    splitter = ThinkSplitter()
    found: dict[str, str] = {"thinking": "", "text": ""}
    for piece in pieces:
        if splitter.plain:
            found["text"] += piece
        else:
            for kind, text in splitter.feed(piece):
                found[kind] += text
    for kind, text in splitter.finish():
        found[kind] += text
    return found["thinking"], found["text"]


TABLE = {
    "plain": ("Hi there", ("", "Hi there")),
    "blanks before text stay": ("\n\n Hi", ("", "\n\n Hi")),
    "thinking": ("<think>a b</think>Hi", ("a b", "Hi")),
    "blanks around": ("\n<think>\n a \n</think>\n\n Hi ", ("a", "Hi ")),
    "the longer tag": ("<thinking>a</think>b</thinking>Hi", ("a</think>b", "Hi")),
    "never closed": ("<think>a </thi", ("a </thi", "")),
    "empty": ("<think></think>Hi", ("", "Hi")),
    "only thinking": ("<think>a</think>\n", ("a", "")),
    "tag later is text": ("Use <think>x</think>", ("", "Use <think>x</think>")),
    "second block is text": ("<think>a</think>b<think>c</think>", ("a", "b<think>c</think>")),
    "nearly a tag": ("<thin>k", ("", "<thin>k")),
    "half a tag": ("<thi", ("", "<thi")),
    "blanks only": (" \n", ("", "")),
    "nothing": ("", ("", "")),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_form(name: str) -> None:
    """Every form splits as meant, at once and character by character."""
    content, expected = TABLE[name]
    assert split([content]) == expected
    assert split(list(content)) == expected


@given(
    st.lists(st.sampled_from(["<", "think", "<think>", "</think>", "</", "thinking>", ">", " ", "\n", "a"])), st.data()
)
def test_chunking_never_matters_and_nothing_is_lost(parts: list[str], data: st.DataObject) -> None:
    """Any chunking splits the same, and but for tags and blanks every character comes out once."""
    content = "".join(parts)
    places = sorted(data.draw(st.sets(st.integers(0, len(content)))))
    pieces = [content[a:b] for a, b in zip([0, *places], [*places, len(content)], strict=True)]
    thinking, text = split(pieces)
    assert (thinking, text) == split([content])
    kept = "".join((thinking + text).split())
    whole = "".join(content.split())
    assert kept in (whole, *(whole.replace(o, "", 1).replace(c, "", n) for o, c in _TAGS for n in (0, 1)))


_TAGS = [("<think>", "</think>"), ("<thinking>", "</thinking>")]
