"""Entries of a catalog: junk costs itself and nothing else, what is listed is visible, the order is the backend's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.models import DEFAULTS, FIELDS, LEFT_OUT, MAX_MODELS, listed, models_of, openai_models, shaped
from tests.fakes.chatgpt_catalog import entry

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
RAW = JUNK | st.dictionaries(st.sampled_from([*FIELDS, *LEFT_OUT, "tool_mode", "other"]), JUNK)


@given(st.lists(RAW | st.builds(entry, st.sampled_from(["gpt-5", " GPT-5 ", "gpt-5.4-mini"])), max_size=6), JUNK)
def test_nothing_is_raised(raw: list[Any], junk: Any) -> None:
    """Each entry that is left has a name of its own and every field of its type, with what Codex cannot do without."""
    assert models_of(junk if isinstance(junk, dict) else {"models": junk}) is not None
    entries = models_of({"models": raw})
    assert len({one["slug"] for one in entries}) == len(entries)
    for one in entries:
        assert all(fits(one[name]) for name, fits in FIELDS.items() if name in one)
        assert one.keys() >= {*DEFAULTS, "slug", "display_name"}
        assert not one.keys() & set(LEFT_OUT)
        assert shaped(one) == one
    for one in listed(entries):
        assert one["visibility"] == "list"
        assert one["context_window"] > 0


def test_fields_that_are_not_known_stay() -> None:
    """A newer client may know them; forms that the bridge does not translate are left out."""
    found = shaped(entry("GPT-5", upgrade={"id": "gpt-6"}, use_responses_lite=True, tool_mode="code", priority="high"))
    assert found is not None
    assert found["slug"] == "gpt-5"
    assert found["upgrade"] == {"id": "gpt-6"}
    assert found["priority"] == DEFAULTS["priority"]
    assert "use_responses_lite" not in found


@pytest.mark.parametrize(
    ("slug", "told", "shown"),
    [
        ("gpt-5.4-mini", "gpt-5.4-mini", "GPT-5.4 Mini"),
        ("gpt-5.4-mini", "", "GPT-5.4 Mini"),
        ("gpt-5", "GPT-5", "GPT-5"),
        ("gpt-5-codex", "The Codex One", "The Codex One"),
        ("o3", "o3", "o3"),
    ],
)
def test_names(slug: str, told: str, shown: str) -> None:
    """The backend's, unless it only repeats the slug."""
    found = shaped(entry(slug, display_name=told))
    assert found is not None
    assert found["display_name"] == shown


def test_what_is_listed_and_in_which_order() -> None:
    """Not what is hidden, not for the API, or without a window; by priority, then the newest first."""
    entries = models_of(
        {
            "models": [
                entry("gpt-5.9"),
                entry("gpt-5.10"),
                entry("gpt-first", priority=1),
                entry("gpt-hidden", visibility="hide"),
                entry("gpt-unsaid", visibility=None),
                entry("gpt-app", supported_in_api=False),
                entry("gpt-no-window", context_window=None),
            ]
        }
    )
    assert [one["slug"] for one in listed(entries)] == ["gpt-first", "gpt-5.10", "gpt-5.9"]
    assert [one["id"] for one in openai_models(listed(entries), 1)] == ["gpt-first", "gpt-5.10", "gpt-5.9"]
    assert len(entries) == 7


def test_entries_are_never_mixed() -> None:
    """Of two accounts' entries of one name the first is taken whole."""
    one, other = entry("gpt-5", context_window=1), entry("gpt-5", description="more")
    assert listed([one, other]) == [one]


def test_a_list_has_an_end() -> None:
    """What nobody can choose from is cut."""
    assert len(models_of({"models": [entry(f"gpt-{number}") for number in range(MAX_MODELS + 9)]})) == MAX_MODELS
