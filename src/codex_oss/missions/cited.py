"""Everything that one finding cites, and the questions that a claim asks of it.

Counterparts: `missions.passage` indexes the lines behind one ref, `missions.claims` asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final

from codex_oss.missions.evidence import BadRef, Citation, Evidence, ShownLine, resolve_ref
from codex_oss.missions.passage import Passage, is_word_of
from codex_oss.missions.stated import Place

MAX_PLACE_LINES: Final = 200
"""Of a longer stretch only the begin is read to see what it is about."""
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True)
class Cited:
    """Everything that one finding cites."""

    passages: Sequence[Passage]

    @cached_property
    def has_lines(self) -> bool:
        """Whether any line is cited, and not only searches without a match."""
        return any(passage.lines for passage in self.passages)

    @cached_property
    def searches(self) -> list[Citation]:
        """The searches without a match."""
        return [passage.citation for passage in self.passages if passage.citation.zero_match]

    @cached_property
    def paths(self) -> frozenset[str]:
        """Files that the lines come from, and paths that were searched."""
        return frozenset().union(*(passage.paths for passage in self.passages))

    @cached_property
    def path_parts(self) -> frozenset[str]:
        """Names of folders and files among the paths."""
        return frozenset(part for path in self.paths for part in re.split(r"[/.]", path))

    def lines(self) -> Iterator[ShownLine]:
        """Every cited line."""
        return chain.from_iterable(passage.lines for passage in self.passages)

    def shows(self, place: Place) -> bool:
        """Whether every line of a place is among the cited ones."""
        if not 1 <= place.first <= place.last:
            return False
        reached: dict[str, int] = {}
        runs = (run for passage in self.passages for run in passage.runs)
        for run in sorted(runs, key=lambda run: run.first):
            if not place.path or same_file(place.path, run.path):
                reached.setdefault(run.path, place.first - 1)
                if run.first <= reached[run.path] + 1:
                    reached[run.path] = max(reached[run.path], run.last)
        return any(last >= place.last for last in reached.values())

    def lines_at(self, place: Place) -> Iterator[tuple[Passage, int]]:
        """The lines of a place, as passages and indexes; only the first of a long one."""
        last = min(place.last, place.first + MAX_PLACE_LINES)
        for passage in self.passages:
            for run in passage.runs:
                if not place.path or same_file(place.path, run.path):
                    for number in range(max(place.first, run.first), min(last, run.last) + 1):
                        yield passage, run.index + number - run.first

    def has_word(self, name: str) -> bool:
        """Whether a name stands in the lines as a whole word, or is one of their paths."""
        return name in self.path_parts or self.stands(name)

    def stands(self, name: str) -> bool:
        """Whether a name stands in the lines as a whole word."""
        if _WORD.fullmatch(name):
            return any(name in passage.word_lines for passage in self.passages)
        return any(is_word_of(name, text) for passage in self.passages for text in passage.texts)

    def has_text(self, code: str) -> bool:
        """Whether code stands in the lines as it is."""
        return any(passage.has_text(code) for passage in self.passages)

    def has_path(self, path: str) -> bool:
        """Whether lines come from a path, or speak of it."""
        return any(same_file(path.rstrip("/"), known) for known in self.paths) or self.has_text(path)

    def shares(self, stems: frozenset[str]) -> bool:
        """Whether one of these words stands in the lines, their paths or what was searched for."""
        return any(not stems.isdisjoint(passage.stems) for passage in self.passages)

    def standing(self, stems: frozenset[str]) -> frozenset[str]:
        """Those of these words that stand in the lines themselves."""
        return frozenset().union(*(stems & passage.own_stems for passage in self.passages))


class Passages:
    """The passages of one mission by their refs."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._known: dict[str, Passage | BadRef] = {}

    def resolve(self, ref: str) -> Passage | BadRef:
        """The passage of a ref; a BadRef says why there is none."""
        if ref not in self._known:
            resolved = resolve_ref(self._evidence, ref)
            self._known[ref] = resolved if isinstance(resolved, BadRef) else Passage(resolved)
        return self._known[ref]

    @cached_property
    def all_shown(self) -> Cited:
        """Everything that was shown in this mission."""
        refs = [extract.ref for extracts in self._evidence.extracts.values() for extract in extracts]
        refs += [f"command:{run.index}" for run in self._evidence.commands]
        resolved = map(self.resolve, refs)
        return Cited(tuple(passage for passage in resolved if isinstance(passage, Passage)))


def same_file(stated: str, known: str) -> bool:
    """A path, or the tail of one (`client.py` for `src/client.py`)."""
    return bool(stated) and (stated == known or known.endswith("/" + stated))
