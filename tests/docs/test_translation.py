"""docs/translation.md against the code: its tests exist, and nothing of the `openai` package is missing in it."""

from __future__ import annotations

import ast
import re
import typing
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.response_input_item import ResponseInputItem
from openai.types.responses.tool import Tool

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs/translation.md").read_text()
NAMED = re.compile(r"`([a-z_]+/test_[a-z_]+\.py)(?:::(test_[a-z0-9_]+))?`")


def section(title: str) -> str:
    """Return the text below one heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(title: str) -> set[str]:
    """Return everything in backticks in the first column of a section's table."""
    rows = [line for line in section(title).splitlines() if line.startswith("| ")][2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


def types_of(union: Any) -> set[str]:
    """Return every `type` that a union of the package's models can have."""
    if typing.get_origin(union) is typing.Annotated:
        union = typing.get_args(union)[0]
    return {kind for member in typing.get_args(union) for kind in _literals(member.model_fields["type"].annotation)}


def _literals(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [kind for inner in typing.get_args(annotation) for kind in _literals(inner)]


@pytest.mark.parametrize("place", sorted(set(NAMED.findall(PAGE))), ids="::".join)
def test_named_tests_exist(place: tuple[str, str]) -> None:
    """Each row names what holds it."""
    path, name = place
    tree = ast.parse((TESTS / path).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not name or name in names


def test_every_row_names_a_test() -> None:
    """No row is a mere claim."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    claims = [row for row in rows if not row.startswith("| ---") and not row.endswith("| held by |")]
    assert len(claims) > 50
    assert [row for row in claims if not NAMED.search(row)] == []


@pytest.mark.parametrize(
    ("title", "known"),
    [
        ("Items of the conversation", types_of(ResponseInputItem)),
        ("Tools", types_of(Tool)),
        ("Fields of a Responses request", set(ResponseCreateParamsBase.__annotations__)),
        ("Fields of a Chat Completions request", set(CompletionCreateParamsBase.__annotations__)),
    ],
)
def test_nothing_of_the_package_is_missing(title: str, known: set[str]) -> None:
    """A type or field that the package gains needs a row, and with it a decision."""
    assert known
    assert known - first_cells(title) == set()
