"""A finding as the gates see it: what it states, what it cites, and what was shown beside that.

Counterparts: `missions.claims` asks whether what it states stands, `missions.kinds` what its kind needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from codex_oss.missions.cited import Cited
from codex_oss.missions.numbers import Tally
from codex_oss.missions.report import Finding, Subject
from codex_oss.missions.stated import Place, Stated, path_lines, read_sentence

MAX_STATED: Final = 60
"""Things of one kind that one sentence may state; nobody reads a sentence with more."""
Objection = tuple[str, str]
"""Code and sentence."""


@dataclass(frozen=True)
class Claim:
    """A finding with what it states and what it cites."""

    finding: Finding
    cited: Cited
    shown: Cited
    """Everything that was shown in the mission."""
    areas: Sequence[str]
    """Allowed roots and paths of the mission."""

    @cached_property
    def stated(self) -> Stated:
        """What its sentence states."""
        return read_sentence(self.finding.claim, words_are_numbers=self.finding.kind in ("value", "count"))

    @cached_property
    def tally(self) -> Tally:
        """What can be counted in what it cites."""
        return Tally(self.finding, self.stated, self.cited)

    @property
    def subject(self) -> Subject:
        """What it states in checkable form."""
        return self.finding.subject

    @cached_property
    def place(self) -> Place | None:
        """The lines of its subject; None when it gives none."""
        subject = self.subject
        if not subject.line and not subject.end_line:
            return None
        first, last = subject.line or subject.end_line, subject.end_line or subject.line
        return Place(f"{first}-{last}" if first != last else str(first), subject.path, first, last)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name and piece of code that it states."""
        named = (self.subject.symbol, *self.stated.codes, *self.stated.names)
        return tuple(dict.fromkeys(name for name in named if name and not path_lines(name)))

    def lines_of_subject(self) -> Iterator[str]:
        """The cited lines, narrowed to the path and the lines of the subject as far as these were shown."""
        path = self.subject.path if self.subject.path in self.cited.paths else ""
        place = self.place if self.place and self.cited.shows(self.place) else None
        for line in self.cited.lines():
            if (not path or line.path == path) and (not place or place.first <= line.number <= place.last):
                yield line.text


FindingCheck = Callable[[Claim], Iterator[Objection]]
"""Every objection to one finding: code and sentence."""
