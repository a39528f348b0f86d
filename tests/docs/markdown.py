"""The examples inside our Markdown files: fenced blocks with their line, language and the comment before them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN_MARK = "<!-- run -->"
"""Stands on the line before a console block whose commands the tests run; output below a command is compared."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. line: of its first fence, 1-based."""

    page: Path
    line: int
    language: str
    body: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Example:
    """A command of a console block, and the output printed below it (empty when none is)."""

    block: Block
    command: str
    output: str

    def __str__(self) -> str:
        return f"{self.block} $ {self.command}"


def blocks(*languages: str) -> list[Block]:
    """Every fenced block in one of these languages, on every page."""
    return [block for page in PAGES for block in _blocks_of(page) if block.language in languages]


def examples(block: Block) -> Iterator[Example]:
    """The commands of a console block (`$ …`, a trailing backslash continues) with what follows them."""
    for chunk in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
        command, _, output = chunk.replace("\\\n", " ").partition("\n")
        yield Example(block, " ".join(command.split()), output.rstrip())


def words_of(command: str) -> list[str]:
    """The words of a command up to the first pipe, redirection or comment, without leading assignments."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|<>;&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|<>;&"):
            break
        if words or "=" not in word:
            words.append(word)
    return words


def links(page: Path) -> list[str]:
    """Targets of the page's links that point into this repository."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)
    return [target for target in targets if not re.match(r"[a-z][a-z+.-]*:|#", target)]


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        before = text[: found.start()].rstrip("\n").rpartition("\n")[2].strip()
        indent = len(found["indent"])
        body = "".join(line[indent:] if line.strip() else "\n" for line in found["body"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["language"].lower(), body, before == RUN_MARK)
