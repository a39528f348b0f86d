"""The page docs/mission-contract.md and the tables in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.codes import ERROR_CODES, HANDOFF_CODES, WARNING_CODES
from codex_oss.contracts.fields import MISSION_FIELDS
from codex_oss.contracts.handoff import parse_document
from codex_oss.contracts.reference import TABLES, render_fields, update_page
from codex_oss.contracts.rows import Field
from codex_oss.contracts.validation import check_mission

PAGE = Path(__file__).parents[2] / "docs" / "mission-contract.md"


def test_the_page_is_current() -> None:
    """The generated blocks are what the tables give: `python -m codex_oss.contracts.reference` makes them."""
    page = PAGE.read_text(encoding="utf-8")
    assert update_page(page) == page
    assert update_page(update_page(page)) == page


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_stands_on_the_page(name: str) -> None:
    """No table is left out."""
    assert f"<!-- made by codex_oss.contracts.reference: {name} -->" in PAGE.read_text(encoding="utf-8")


def test_the_example_of_the_page_is_a_valid_mission() -> None:
    """The shortest mission is found on the page and valid; without any of its fields it is not."""
    found = parse_document(PAGE.read_text(encoding="utf-8"))
    assert found.raw is not None
    assert check_mission(found.raw, limits=BudgetLimits(), new_id="m").problems == ()
    for name in found.raw:
        shorter = {key: value for key, value in found.raw.items() if key != name}
        assert check_mission(shorter, limits=BudgetLimits(), new_id="m").mission is None


def _codes_of(fields: tuple[Field, ...]) -> set[str]:
    own = {code for field in fields for code in (field.code, field.missing, field.above) if code}
    return own.union(*(_codes_of(field.fields) for field in fields if field.fields))


def test_every_code_of_a_row_is_explained() -> None:
    """The codes that rows name, and those of the handoff, are in the table of codes."""
    assert _codes_of(MISSION_FIELDS) | set(HANDOFF_CODES) <= set(ERROR_CODES)
    assert not set(ERROR_CODES) & set(WARNING_CODES)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in ERROR_CODES)


def test_a_table_has_a_row_per_field() -> None:
    """Head, rule and one line for each row, none of which breaks the table."""
    lines = render_fields(MISSION_FIELDS).splitlines()
    assert len(lines) == len(MISSION_FIELDS) + 2
    assert {line.count("|") for line in lines} == {7}
