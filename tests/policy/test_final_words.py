"""Final words: OpenCode finds no reason to repeat, a person reads the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.final_words import JOINER, RETRY_WORDS, final_words

WORDS = ["HTTP 429", "127.0.0.1:45003", "Rate limit", "server_error", "try again in 5s", "connection refused", "500500"]


@pytest.mark.parametrize("text", WORDS)
def test_what_is_repeated_is_broken_up(text: str) -> None:
    """Each observed word matches before and not after, and looks the same."""
    assert RETRY_WORDS.search(text)
    assert not RETRY_WORDS.search(final_words(text))
    assert final_words(text).replace(JOINER, "") == text


@given(st.lists(st.sampled_from([*WORDS, "5", "0", "4", "2", " ", "x"]), max_size=12).map("".join) | st.text())
def test_any_text_becomes_final(text: str) -> None:
    """Whatever stands side by side, nothing matches, nothing visible changes, and twice is once."""
    final = final_words(text)
    assert not RETRY_WORDS.search(final)
    assert final.replace(JOINER, "") == text.replace(JOINER, "")
    assert final_words(final) == final
