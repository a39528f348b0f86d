"""Lines that define a name, and lines that only use it, in the languages that projects are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.missions.definitions import count_declared, defines, imports, only_declares

DEFINING = [
    ("def retry(call):", "retry"),
    ("def retry(call):", "call"),
    ("MAX_RETRIES = 5", "MAX_RETRIES"),
    ("x: int = 5", "x"),
    ('  "key": 5,', "key"),
    ("key: 5", "key"),
    ("static int foo(int a)", "foo"),
    ("func (r *T) Name(a int) {", "Name"),
    ("class A(Base):", "A"),
    ("#define LIMIT 5", "LIMIT"),
    ("  Name string `json`", "Name"),
    ("## Retry", "Retry"),
    ("export const load = () =>", "load"),
    ("load() {", "load"),
    ("target: dependency", "target"),
    ("CREATE TABLE users (", "users"),
    ("self.x = 5", "self.x"),
    ("pub fn go(x: u8)", "go"),
    (".button {", "button"),
    ("NAME := 3", "NAME"),
    ("[tool.ruff]", "tool.ruff"),
    ("type Foo struct {", "Foo"),
    ("  int x;", "x"),
    ("{'a': 1, 'b': 2}", "b"),
]
USING = [
    ("    for attempt in range(MAX_RETRIES):", "MAX_RETRIES"),
    ("from app.retry import retry", "retry"),
    ("    return retry(session.get)", "retry"),
    ("retry(x)", "retry"),
    ("time.sleep(DELAY_S * attempt)", "DELAY_S"),
    ("if x == 5:", "x"),
    ("x == 5", "x"),
    ("    call()", "call"),
    ("return x;", "x"),
    ("raise TimeoutError()", "TimeoutError"),
    ("foo(bar)", "bar"),
    ("import time", "time"),
    ("while retries:", "retries"),
    ("MAX_RETRIES = 5", "RETRIES"),
]


@pytest.mark.parametrize(("line", "name"), DEFINING)
def test_a_definition_is_seen(line: str, name: str) -> None:
    """The shapes of definitions."""
    assert defines(line, name)


@pytest.mark.parametrize(("line", "name"), USING)
def test_a_use_is_no_definition(line: str, name: str) -> None:
    """A name that is used, imported or a part of another one."""
    assert not defines(line, name)


def test_only_heads_of_functions_and_types_are_no_use() -> None:
    """An assignment may use what it assigns; a head that names itself twice uses itself."""
    assert only_declares("def retry(call):", "retry")
    assert not only_declares("MAX = MAX + 1", "MAX")
    assert not only_declares("def retry(retry=None):", "retry")
    assert imports("from app.retry import retry")
    assert not imports("imported = 5")


@pytest.mark.parametrize(
    ("unit", "count"), [("functions", 2), ("methods", 2), ("classes", 1), ("settings", 1), ("imports", 1), ("birds", 0)]
)
def test_things_are_counted_by_their_first_words(unit: str, count: int) -> None:
    """A noun that nobody knows counts nothing."""
    lines = ["import os", "LIMIT = 5", "class A:", "    def one(self):", "    async def two(self):", "        one()"]
    assert count_declared(lines, unit) == count


@given(line=st.text(max_size=200) | st.text("ab _=:(){}*&,.#\t\"'", max_size=400), name=st.text("ab._", max_size=5))
def test_any_line_is_judged(line: str, name: str) -> None:
    """No line breaks the shapes."""
    defines(line, name)
    only_declares(line, name)
    count_declared([line], "settings")
