"""The generated parts of docs/ say what the code says now."""

from __future__ import annotations

import pytest

from tests.docs.generated import GENERATED, parts


def test_each_part_stands_in_the_docs_once() -> None:
    """No generated table is missing, unknown or doubled."""
    assert sorted(name for name, _ in parts()) == sorted(GENERATED)


@pytest.mark.parametrize(("name", "body"), parts(), ids=[name for name, _ in parts()])
def test_generated_parts_are_current(name: str, body: str) -> None:
    """When this fails: python -m tests.docs.generated"""
    assert body == GENERATED[name]()
