"""The map of all files in docs/architecture.md is what the docstrings say.

To write it anew: `python tests/docs/test_architecture.py`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import codex_oss

PACKAGE = Path(codex_oss.__file__).parent
PAGE = Path(__file__).resolve().parents[2] / "docs/architecture.md"
ROOMS = ("cli", "tui", "server", "lanes", "services", "missions", "agent", "policy", "wire", "contracts")
START, END = "<!-- files:start", "<!-- files:end -->"


def file_map() -> str:
    """One table a room, top room first: file and the first sentence of its docstring."""
    lines: list[str] = []
    for room in ROOMS:
        lines += ["", f"**{room}**", "", "| file | what it is |", "| --- | --- |"]
        for path in sorted((PACKAGE / room).glob("*.py")):
            if path.name != "__init__.py":
                lines.append(f"| `{path.name}` | {first_line(path)} |")
    return "\n".join([*lines, ""])


def first_line(path: Path) -> str:
    """The first line of a file's docstring, with `|` made harmless."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def with_map(page: str) -> str:
    """The page with its map made anew."""
    head, _, rest = page.partition(START)
    marker, _, tail = rest.partition("\n")
    return f"{head}{START}{marker}\n{file_map()}\n{END}{tail.partition(END)[2]}"


def test_the_map_is_current() -> None:
    """Every file stands in the map with the sentence that it begins with."""
    page = PAGE.read_text()
    assert page == with_map(page), "write it anew: python tests/docs/test_architecture.py"


def test_every_file_says_what_it_is() -> None:
    """No file without a docstring that begins with a sentence."""
    assert [path.name for path in PACKAGE.rglob("*.py") if "data" not in path.parts and not first_line(path)] == []


if __name__ == "__main__":
    PAGE.write_text(with_map(PAGE.read_text()))
