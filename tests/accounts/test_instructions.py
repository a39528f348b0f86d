"""Instruction sets are added at the end, once, and change nothing where there is none; `ultra` is a word of ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.instructions import (
    EFFORTS,
    InstructionSet,
    sent_effort,
    ultra_policy,
    ultra_reason,
    with_sets,
)

NAMES = st.text("abc-", min_size=1, max_size=5)
SETS = st.lists(
    st.builds(InstructionSet, name=NAMES, kind=st.just("prompt"), text=st.text(min_size=1), source=st.just("x")),
    max_size=4,
)


@given(st.text())
def test_no_set_changes_no_byte(instructions: str) -> None:
    """Off is off."""
    assert with_sets(instructions, ()) is instructions


@given(st.text(), SETS)
def test_sets_come_behind_what_was_said_and_only_once(instructions: str, sets: list[InstructionSet]) -> None:
    """What stands in front stays the prefix that a cache knows; a second time adds nothing."""
    once = with_sets(instructions, sets)
    assert once.startswith(instructions.rstrip()) or not instructions.strip()
    assert with_sets(once, sets) == once
    for one in sets:
        assert once.count(f'<instruction_set name="{one.name}">\n{one.text.strip()}\n</instruction_set>') >= 1


def test_a_set_is_a_block_with_its_name() -> None:
    """A model can tell whose words these are."""
    one = InstructionSet("plan", "prompt", "Only plan.\n", "codex-oss")
    assert with_sets("Be terse.\n", [one]) == (
        'Be terse.\n\n<instruction_set name="plan">\nOnly plan.\n</instruction_set>'
    )
    assert with_sets("", [one]).startswith("<instruction_set")


def test_ultra_is_sent_as_another_effort() -> None:
    """Every other word goes as it is."""
    assert sent_effort("ultra") == "max"
    assert sent_effort("ultra", "high") == "high"
    assert [sent_effort(effort) for effort in EFFORTS] == list(EFFORTS)


LEADER: dict[str, Any] = {
    "supported_reasoning_levels": [{"effort": "high"}, {"effort": "ultra"}],
    "multi_agent_version": "v2",
    "supported_in_api": True,
    "visibility": "list",
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "eligible"),
        ({"supported_reasoning_levels": [{"effort": "max"}]}, "missing_ultra_effort"),
        ({"supported_reasoning_levels": 7}, "missing_ultra_effort"),
        ({"multi_agent_version": "v1"}, "missing_multi_agent_v2"),
        ({"supported_in_api": "true"}, "not_supported_in_api"),
        ({"visibility": "hide"}, "not_visible"),
    ],
)
def test_who_may_lead_helpers(change: dict[str, Any], reason: str) -> None:
    """The first reason why not is named; who may not does it when told to, and nobody for a title."""
    found = ultra_reason({**LEADER, **change})
    assert found == reason
    assert ultra_policy(found) == ("proactive" if reason == "eligible" else "explicit_request_only")
    assert ultra_policy(found, auxiliary=True) == "disabled"


def test_an_unknown_model_leads_nobody() -> None:
    """Without a catalog nothing is assumed."""
    assert ultra_reason(None) == "missing_catalog"
