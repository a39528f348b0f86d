"""Our block in AGENTS.md and .gitignore."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.services.marked_block import EditRefused, Markers, put_block, strip_block

MARKS = Markers("<!-- s -->", "<!-- e -->")
TEXTS = st.lists(st.sampled_from(["# Rules", "", "- be nice", "ünïcode ☃", "  indented", "<!-- other -->"])).map(
    "\n".join
)


@given(TEXTS, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_put_then_strip_keeps_every_line(text: str, newline: str, closed: bool) -> None:
    """The block goes in once, comes out whole, and every line of the user's stays as it was."""
    before = ("# Title\n" + text + ("\n" if closed else "")).replace("\n", newline)
    after = put_block(before, "advice\n", MARKS)
    assert put_block(after, "advice\n", MARKS) == after
    assert after.startswith(before)
    assert strip_block(after, MARKS).rstrip() == before.rstrip()
    assert strip_block(after, MARKS) in (before, before + newline)


@given(TEXTS, TEXTS)
def test_a_present_block_is_replaced_where_it_stands(head: str, tail: str) -> None:
    """New advice changes nothing but what stands between the markers."""
    text = f"{head}\n<!-- s -->\nold\n<!-- e -->\n{tail}"
    assert put_block(text, "new\n", MARKS) == f"{head}\n<!-- s -->\nnew\n<!-- e -->\n{tail}"


@pytest.mark.parametrize(
    "text",
    [
        "<!-- s -->\n",
        "<!-- e -->\n",
        "<!-- e -->\n<!-- s -->\n",
        "<!-- s -->\n<!-- e -->\n<!-- s -->\n<!-- e -->\n",
    ],
)
def test_broken_markers_are_refused(text: str) -> None:
    """Half a pair, a reversed or a second one is not guessed at."""
    with pytest.raises(EditRefused):
        put_block(text, "x\n", MARKS)
    with pytest.raises(EditRefused):
        strip_block(text, MARKS)
