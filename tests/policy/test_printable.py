"""What reaches a terminal."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.printable import UNPRINTABLE, printable, printable_json

HOSTILE = st.text(st.sampled_from([chr(code) for code in sorted(UNPRINTABLE)]) | st.characters(codec="utf-8"))


@given(HOSTILE)
def test_nothing_that_moves_a_cursor_passes(text: str) -> None:
    """Only line feeds and tabs remain of all control characters; what was printable stays, in its place."""
    shown = printable(text)
    assert not {ord(char) for char in shown} & (UNPRINTABLE - {9, 10})
    assert printable(shown) == shown


@given(HOSTILE)
def test_json_keeps_its_value(text: str) -> None:
    """Escaped JSON decodes to the same text and holds no raw control character."""
    shown = printable_json(json.dumps([text], ensure_ascii=False))
    assert json.loads(shown) == [text]
    assert not {ord(char) for char in shown} & UNPRINTABLE


def test_a_title_sequence_is_seen_and_harmless() -> None:
    """The escape character is replaced, its arguments stay readable."""
    assert printable("a\x1b]0;owned\x07b\r\nc\x9b2J") == "a\ufffd]0;owned\ufffdb\nc\ufffd2J"
