"""The examples of docs/configuration.md are configurations that the program takes."""

from __future__ import annotations

import re
import tomllib

import pytest

from codex_oss.config import parse_config
from codex_oss.contracts.profiles import parse_profiles
from codex_oss.setting_values import LANE_DEFAULTS, LaneLimits
from tests.docs.markdown import ROOT, Block, blocks

PAGE = ROOT / "docs" / "configuration.md"
EXAMPLES = [block for block in blocks("toml") if block.page == PAGE]


def test_there_are_examples() -> None:
    """Two for config.toml, one models.toml for each of the three local servers, and one for a server of Responses."""
    assert len(EXAMPLES) == 6


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


def test_the_lanes_are_those_of_the_program() -> None:
    """The table of lanes has the defaults; the two forms of the variable mean the same."""
    page = PAGE.read_text()
    for name, limits in LANE_DEFAULTS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.split(" | ")[2:] == [str(limits.capacity), str(limits.queue), f"{limits.wait_s:g} s |"]
    examples = re.findall(r"`(\{\"read_pool\".*?\})`", page)
    read = [parse_config(flags={}, environ={"MISSION_LANES_JSON": one}, files=[]) for one in examples]
    assert len(read) == 2
    assert read[0] == read[1]
    assert read[0][0].mission_lanes["read_pool"] == LaneLimits(8, 20, 120.0)
