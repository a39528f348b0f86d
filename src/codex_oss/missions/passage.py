"""The lines behind one ref, indexed once however many findings cite them.

Counterparts: `missions.evidence` resolves a ref to its lines, `missions.cited` is what one finding cites.

Rules that hold here:

1. Lines of two passages are not one text, nor are lines that do not follow each other.
2. A name stands as a whole word, never as a part of a longer one.
3. What a line is about are its own words and the lines above it that it is indented under; a comment above it, and in
   prose the lines next to it, belong to it too.
4. Judging costs the length of the claims plus the length of what was shown, not their product: a report of a hundred
   findings is judged as fast as it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from msgspec import Struct

from codex_oss.missions.definitions import count_declared
from codex_oss.missions.evidence import Citation, ShownLine
from codex_oss.missions.stated import stems_of, values_of

MAX_PARENTS: Final = 12
_WORD: Final = re.compile(r"\w+")
_DIGITS: Final = re.compile(r"\d[\d_]*(?:[.,]\d+)*")
_ESCAPE: Final = re.compile(r"\\[A-Za-z]")
"""What a pattern escapes so is no letter of the word beside it."""
_COMMENT: Final = re.compile(r"\s*(?:#|//|--|;|\*|/\*|<!--|\"\"\"|''')")
_PROSE: Final = (".md", ".txt", ".rst", ".adoc")


class Run(Struct, frozen=True):
    """Lines of one file that follow each other. index: of the first one in its passage."""

    path: str
    first: int
    last: int
    index: int


@dataclass(frozen=True)
class Passage:
    """What one ref resolves to, with its indexes."""

    citation: Citation

    @property
    def lines(self) -> tuple[ShownLine, ...]:
        """The lines, in the order shown."""
        return self.citation.lines

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Lines joined by line feeds, as long as each is the next one of the same file."""
        runs: list[list[str]] = []
        for index, line in enumerate(self.lines):
            if not self._follows(index):
                runs.append([])
            runs[-1].append(line.text)
        return tuple("\n".join(run) for run in runs)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The numbered lines, as stretches of lines that follow each other."""
        runs: list[Run] = []
        for index, line in enumerate(self.lines):
            if runs and self._follows(index):
                runs[-1] = Run(runs[-1].path, runs[-1].first, line.number, runs[-1].index)
            elif line.number:
                runs.append(Run(line.path, line.number, line.number, index))
        return tuple(runs)

    @cached_property
    def line_stems(self) -> tuple[frozenset[str], ...]:
        """Line by line, the beginnings of its words."""
        return tuple(stems_of(line.text) for line in self.lines)

    @cached_property
    def stem_lines(self) -> dict[str, tuple[int, ...]]:
        """Beginning of a word to the indexes of the lines that hold it."""
        found: dict[str, list[int]] = {}
        for index, stems in enumerate(self.line_stems):
            for stem in stems:
                found.setdefault(stem, []).append(index)
        return {stem: tuple(indexes) for stem, indexes in found.items()}

    @cached_property
    def word_lines(self) -> dict[str, tuple[int, ...]]:
        """Whole word to the indexes of the lines that hold it."""
        found: dict[str, list[int]] = {}
        for index, line in enumerate(self.lines):
            for word in dict.fromkeys(_WORD.findall(line.text)):
                found.setdefault(word, []).append(index)
        return {word: tuple(indexes) for word, indexes in found.items()}

    @cached_property
    def _asked(self) -> dict[str, bool]:
        """Code that was looked for, and whether it stands: several gates ask for the same."""
        return {}

    def has_text(self, code: str) -> bool:
        """Whether code stands in the lines as it is."""
        if code not in self._asked:
            self._asked[code] = code in self.word_lines or any(code in text for text in self.texts)
        return self._asked[code]

    @cached_property
    def _counted(self) -> dict[str, int]:
        return {}

    def declared(self, unit: str) -> int:
        """How many of its lines begin a thing of this kind."""
        if unit not in self._counted:
            self._counted[unit] = count_declared((line.text for line in self.lines), unit)
        return self._counted[unit]

    def lines_with(self, code: str) -> Sequence[int]:
        """Indexes of the lines that hold a name as a whole word, or other code as it is."""
        if _WORD.fullmatch(code):
            return self.word_lines.get(code, ())
        first = code.split("\n", 1)[0]
        return [index for index, line in enumerate(self.lines) if first and first in line.text]

    def under(self, index: int) -> Iterator[int]:
        """The lines that are indented under this one."""
        for below in range(index + 1, len(self.lines)):
            if self.lines[below].text.strip() and self._parents[below] < index:
                return
            yield below

    def directly_under(self, index: int) -> Iterator[int]:
        """The lines that are indented under this one and under none between."""
        return (
            below for below in self.under(index) if self.lines[below].text.strip() and self._parents[below] == index
        )

    @cached_property
    def own_stems(self) -> frozenset[str]:
        """Beginnings of all words of the lines."""
        return frozenset(self.stem_lines)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Those, and those of their paths and of what was searched for."""
        pattern = _ESCAPE.sub(" ", self.citation.pattern)
        return self.own_stems | stems_of("\n".join((*self.paths, pattern)))

    @cached_property
    def paths(self) -> frozenset[str]:
        """Files that the lines come from, and the path that was searched."""
        return frozenset(filter(None, (self.citation.path, *(line.path for line in self.lines))))

    @cached_property
    def numbers(self) -> dict[float | str, tuple[int, ...]]:
        """A number's value, and its spelling, to the indexes of the lines in which it stands."""
        found: dict[float | str, list[int]] = {}
        for index, line in enumerate(self.lines):
            for token in dict.fromkeys(_DIGITS.findall(line.text)):
                for key in (token, *values_of(token)):
                    found.setdefault(key, []).append(index)
        return {key: tuple(indexes) for key, indexes in found.items()}

    def around(self, index: int) -> Iterator[int]:
        """The lines that say what this line is about, itself first (rule 3)."""
        yield index
        if self.lines[index].path.endswith(_PROSE):
            yield from (near for near in (index - 1, index + 1) if self._adjoin(near, index))
            return
        above = index - 1
        while above >= 0 and self._follows(above + 1) and _COMMENT.match(self.lines[above].text):
            yield above
            above -= 1
        parent = self._parents[index]
        for _ in range(MAX_PARENTS):
            if parent < 0:
                return
            yield parent
            parent = self._parents[parent]

    @cached_property
    def _parents(self) -> tuple[int, ...]:
        """Line by line, the nearest line above with less indentation in the same run; -1 when there is none."""
        parents: list[int] = []
        open_lines: list[tuple[int, int]] = []
        for index, line in enumerate(self.lines):
            if not self._follows(index):
                open_lines = []
            text = line.text.lstrip()
            indent = len(line.text) - len(text) + text.startswith("- ")  # lists in YAML need no indentation
            while line.text.strip() and open_lines and open_lines[-1][0] >= indent:
                open_lines.pop()
            parents.append(open_lines[-1][1] if open_lines else -1)
            if line.text.strip():
                open_lines.append((indent, index))
        return tuple(parents)

    def _adjoin(self, near: int, index: int) -> bool:
        return 0 <= near < len(self.lines) and self._follows(max(near, index))

    def _follows(self, index: int) -> bool:
        if not 0 < index < len(self.lines):
            return False
        before, line = self.lines[index - 1], self.lines[index]
        return bool(line.number) and (line.path, line.number - 1) == (before.path, before.number)


def is_word_of(name: str, text: str) -> bool:
    """Whether *name* is a word of a text; by `find`: a pattern with a look-behind costs 1000 times more."""
    at = text.find(name) if name else -1
    while at >= 0:
        around = (text[at - 1 : at] if at else "", text[at + len(name) : at + len(name) + 1])
        if not any(char.isalnum() or char == "_" for char in around):
            return True
        at = text.find(name, at + 1)
    return False
