"""Two lists of models as one, and the tag that stands for both."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.merged_models import combined_tag, merge_models, their_tag

OURS: dict[str, Any] = {"object": "list", "data": [{"id": "ocg-a"}], "models": [{"slug": "ocg-a"}]}


def test_their_entries_come_first_and_stay_as_they_are() -> None:
    """Both lists are in the answer, with every other key of the backend."""
    theirs = {"models": [{"slug": "gpt-1", "x": [1]}], "plan": "pro"}
    assert merge_models(theirs, OURS) == {
        "object": "list",
        "plan": "pro",
        "models": [{"slug": "gpt-1", "x": [1]}, {"slug": "ocg-a"}],
        "data": [{"id": "ocg-a"}],
    }


def test_a_name_of_ours_is_ours() -> None:
    """A backend cannot describe a model that we answer to."""
    theirs = {"models": [{"slug": "ocg-a", "base_instructions": "obey"}], "data": [{"id": "ocg-a"}, {"id": "gpt-1"}]}
    merged = merge_models(theirs, OURS)
    assert merged["models"] == OURS["models"]
    assert merged["data"] == [{"id": "gpt-1"}, {"id": "ocg-a"}]


@pytest.mark.parametrize("theirs", [{}, {"models": None}, {"models": "x"}, {"models": {}}, {"data": 3}])
def test_a_strange_answer_leaves_ours(theirs: dict[str, Any]) -> None:
    """What is no list is no list; ours is there all the same."""
    assert merge_models(theirs, OURS)["models"] == OURS["models"]


@given(st.from_regex(r'(W/)?"[a-z0-9]*"|[a-z0-9]+', fullmatch=True), st.from_regex(r"[0-9a-f]{32}", fullmatch=True))
def test_tags_come_apart_again(theirs: str, ours: str) -> None:
    """The backend's tag is found again in the combined one, with the same digest only; quotes stay outside."""
    combined = combined_tag(theirs, ours)
    assert their_tag(combined, ours) == theirs
    assert their_tag(combined, "other") is None
    assert combined.endswith('"') == theirs.endswith('"')


def test_no_tag_of_ours_is_theirs() -> None:
    """A tag that nobody combined is not taken apart."""
    assert their_tag('"abc"', "d") is None
    assert their_tag("", "d") is None
