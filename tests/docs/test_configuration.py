"""The examples of docs/configuration.md are configurations that the program takes."""

from __future__ import annotations

import tomllib

import pytest

from codex_oss.config import parse_config
from codex_oss.contracts.profiles import parse_profiles
from tests.docs.markdown import ROOT, Block, blocks

PAGE = ROOT / "docs" / "configuration.md"
EXAMPLES = [block for block in blocks("toml") if block.page == PAGE]


def test_there_are_examples() -> None:
    """One config.toml, one models.toml for each of the three local servers, and one for a server of Responses."""
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_examples_are_taken_without_a_problem(block: Block) -> None:
    """Each key exists and each value is allowed; a profile is five lines and admitted to missions."""
    table = tomllib.loads(block.body)
    if "profiles" not in table:
        assert parse_config(flags={}, environ={}, files=[("example", table)])[1] == []
        return
    profiles, problems = parse_profiles([("example", table)])
    assert problems == []
    assert all(profile.tiers for profile in profiles.values())
    assert len(block.body.splitlines()) == 5
