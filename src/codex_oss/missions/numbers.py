"""The numbers of a claim: values that stand in the cited lines beside what they are said of, or counts of them.

Counterpart: `missions.claims`, which asks for each finding.

Rules that hold here:

1. A value stands in a cited line, and something else that the claim names stands with it: in the same line, in a line
   that it is indented under, or in the line that the claim gives. Otherwise the neighbour's value would do.
2. A count is a number with a noun behind it ("2 places", "3x"), or any number of a claim of kind count. It is counted
   over whole files and searches; a part of a file only counts for itself.
3. A claim of kind value names a value, one of kind count a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from codex_oss.missions.cited import Cited
from codex_oss.missions.definitions import UNITS, count_of, defines, imports
from codex_oss.missions.passage import Passage
from codex_oss.missions.report import Finding
from codex_oss.missions.stated import STEM_CHARS, Number, Stated, stems_of, values_of

_BRACKETS: Final = re.compile(r"[\[({](?P<inside>[^\[\](){}]*)[\])}]")
_ONE: Final = re.compile(r"\b(?:one|single|only)\b", re.IGNORECASE)
MAX_COUNTED_NAMES: Final = 8
MAX_LINES_OF_A_NUMBER: Final = 200
"""Lines in which one number is looked at; what stands in more of them says little."""
Objection = tuple[str, str]

LITERALS: Final = frozenset({"true", "false", "none", "null", "nil", "undefined"})
"""Values that are written as words in code and in prose alike."""
_OF_LINES: Final = frozenset({"line", "row", "rows"})
_OF_FILES: Final = frozenset({"file", "modu", "docu"})
_OF_COUNTS: Final = _OF_LINES | _OF_FILES | {"x", "time", "plac", "use", "uses", "usag", "occu", "matc", "hits", "refe"}
"""Beginnings of nouns behind which a number is never a value, in a claim of kind count."""
_ANYTHING: Final = Number("1")


def check_values(finding: Finding, stated: Stated, cited: Cited, tally: Tally) -> Iterator[Objection]:
    """Objections to the numbers of a finding as values of something."""
    if not cited.has_lines:
        return
    topic = _Topic(finding, stated, cited)
    for number in stated.numbers:
        if _is_count(number, finding) and values_of(number.text) & tally.of(number):
            continue
        places = list(islice(_lines_with(number.text, cited), MAX_LINES_OF_A_NUMBER))
        if not places and finding.kind != "count":
            yield "value_not_in_evidence", f"{number.text[:40]} is stated, but does not stand in the cited lines."
        elif places and not any(topic.holds(*place) for place in places):
            passage, index = places[0]
            line = passage.lines[index]
            where = f"{line.path}:{line.number}" if line.number else line.path or "the cited lines"
            yield (
                "value_of_something_else",
                f"{number.text[:40]} stands at {where[:200]}, where nothing else stands that the claim names.",
            )
    if finding.kind == "value":
        yield from _check_named_value(finding, stated, cited)


def check_counts(finding: Finding, stated: Stated, cited: Cited, tally: Tally) -> Iterator[Objection]:
    """Objections to a finding of kind count."""
    if finding.kind != "count" or not (cited.has_lines or cited.searches):
        return
    if not stated.numbers and not (1.0 in tally.of(_ANYTHING) and _ONE.search(finding.claim)):
        yield "count_not_borne_out", "A claim of kind count must state a number that can be counted in what it cites."
    for number in stated.numbers:
        counts = tally.of(number)
        strict = number.unit[:STEM_CHARS] in _OF_COUNTS
        if not values_of(number.text) & counts and (strict or not any(_lines_with(number.text, cited))):
            known = ", ".join(f"{count:g}" for count in sorted(counts)[:8]) or "nothing"
            yield (
                "count_not_borne_out",
                f"{number.text[:40]} is stated; what is cited counts to {known}. Cite the whole file, or the search.",
            )


def counts_right(finding: Finding, stated: Stated, tally: Tally) -> bool:
    """Whether the claim states a count, and what is cited comes to it."""
    said = [number for number in stated.numbers if number.unit and _is_count(number, finding)]
    return any(values_of(number.text) & tally.of(number) for number in said)


def _is_count(number: Number, finding: Finding) -> bool:
    return finding.kind == "count" or (bool(number.unit) and finding.kind != "value")


class Tally:
    """Everything that can be counted in what a finding cites."""

    def __init__(self, finding: Finding, stated: Stated, cited: Cited) -> None:
        named = (finding.subject.symbol, *stated.codes, *stated.names, *stated.quoted)
        names = list(dict.fromkeys(filter(None, named)))[:MAX_COUNTED_NAMES]
        self._whole = [passage for passage in cited.passages if _speaks_for_all(passage, stated)]
        self._files = {line.path for line in cited.lines() if line.number}
        self._listed = {len(passage.lines) for passage in cited.passages if passage.lines and not passage.runs}
        self._met = {passage.citation.match_count for passage in cited.passages if passage.citation.match_count}
        self._met |= {0} if cited.searches else set()
        self._met |= {len(cited.passages)} if len(cited.passages) > 1 else set()
        self._items: set[int] = set()
        for name in names:
            self._met |= _uses(name, self._whole)
            if finding.kind == "count":
                self._items |= _items(name, cited.passages)

    def of(self, number: Number) -> frozenset[float]:
        """What this number may be, by the noun behind it."""
        unit = number.unit[:STEM_CHARS]
        if unit in _OF_FILES:
            return frozenset(map(float, {len(self._files), *self._listed}))
        counts = self._met | self._listed
        if unit in _OF_LINES:
            sizes = [len(passage.lines) for passage in self._whole]
            return frozenset(map(float, counts | {*sizes, sum(sizes)}))
        declared = [passage.declared(unit) for passage in self._whole]
        parts = set() if unit in UNITS or unit in _OF_COUNTS else self._items
        return frozenset(map(float, counts | parts | ({*declared, sum(declared)} - {0})))


def _speaks_for_all(passage: Passage, stated: Stated) -> bool:
    """Whether counting in this passage tells the whole number, or the claim says of which lines it speaks."""
    if passage.citation.whole_file or passage.citation.match_count == len(passage.lines):
        return True
    return any(
        place.first <= run.first and run.last <= place.last for place in stated.places for run in passage.runs[:1]
    )


def _uses(name: str, passages: Iterable[Passage]) -> set[int]:
    """Lines that hold a name, and how often it stands in them; each also without those that define or import it."""
    counts: set[int] = set()
    total = [0, 0, 0, 0]
    for passage in passages:
        held = [passage.lines[index].text for index in passage.lines_with(name)]
        used = [line for line in held if not defines(line, name) and not imports(line)]
        here = [
            number for lines in (held, used) for number in (len(lines), sum(count_of(name, line) for line in lines))
        ]
        counts |= {*here}
        total = [one + other for one, other in zip(total, here, strict=True)]
    return {count for count in (*counts, *total) if count}


def _items(name: str, passages: Iterable[Passage]) -> set[int]:
    """What a name holds: the lines directly under it, or the parts between its brackets."""
    counts: set[int] = set()
    for passage in passages:
        for index in passage.lines_with(name)[:MAX_LINES_OF_A_NUMBER]:
            counts.add(sum(1 for _ in islice(passage.directly_under(index), MAX_LINES_OF_A_NUMBER)))
            if (held := _BRACKETS.search(passage.lines[index].text)) and held["inside"].strip():
                counts.add(held["inside"].rstrip(", ").count(",") + 1)
    return counts - {0}


def _lines_with(number: str, cited: Cited) -> Iterator[tuple[Passage, int]]:
    keys: tuple[float | str, ...] = (number, *values_of(number))
    for passage in cited.passages:
        yield from (
            (passage, index) for index in dict.fromkeys(i for key in keys for i in passage.numbers.get(key, ()))
        )


class _Topic:
    """What a claim speaks of, beside its numbers: the lines that hold one of its names or words."""

    def __init__(self, finding: Finding, stated: Stated, cited: Cited) -> None:
        named = (finding.subject.symbol, *stated.codes, *stated.names)
        names = [name for name in dict.fromkeys(named) if name and not name.replace(".", "").isdigit()]
        words = stated.plain_stems.union(*(stems_of(name) for name in names))
        words -= stems_of(" ".join(number.text for number in stated.numbers))
        self.subject = finding.subject
        self.places = stated.places
        self.named: dict[int, set[int]] = {}
        """Passage to the lines that hold a name."""
        self.worded: dict[int, set[int]] = {}
        for passage in cited.passages:
            self.named[id(passage)] = {index for name in names for index in passage.lines_with(name)}
            self.worded[id(passage)] = {index for word in words for index in passage.stem_lines.get(word, ())}
        self.has_names = any(self.named.values())
        self.has_words = any(self.worded.values())
        self.strict = finding.kind == "value" and self.has_names

    def holds(self, passage: Passage, index: int) -> bool:
        """Whether this line is one that the claim speaks of."""
        number = passage.lines[index].number
        first, last = self.subject.line or self.subject.end_line, self.subject.end_line or self.subject.line
        if len(passage.lines) == 1 or first <= number <= last:
            return True
        if any(place.first <= number <= place.last for place in self.places):
            return True
        if not self.has_names and not self.has_words:
            return True  # the number itself is all that the claim shares with its lines
        about = self.named[id(passage)] if self.strict else self.named[id(passage)] | self.worded[id(passage)]
        return any(near in about for near in passage.around(index))


def _check_named_value(finding: Finding, stated: Stated, cited: Cited) -> Iterator[Objection]:
    """A value that is no number: quoted, in code, a literal, or a plain word beside the name."""
    said = {word.strip(".,;:!()'\"`").casefold() for word in finding.claim.split()}
    named = [name for name in (finding.subject.symbol, *stated.codes, *stated.names) if name and cited.stands(name)]
    beside = _stems_beside(named, cited) if named else frozenset().union(*(p.own_stems for p in cited.passages))
    for literal in sorted(said & LITERALS):
        if literal[:STEM_CHARS] not in beside:
            yield "value_not_in_evidence", f"{literal} is stated, but does not stand beside what it is said of."
    if stated.numbers or stated.quoted or said & LITERALS or finding.subject.quote:
        return
    others = [code for code in stated.codes if code != finding.subject.symbol]
    if any(not code.isidentifier() for code in others) or len(others) > 1 or (others and finding.subject.symbol):
        return  # the code itself is the value, or holds it
    own = frozenset().union(*(stems_of(name) for name in named))
    if (stated.plain_stems - own).isdisjoint(beside - own):
        yield "value_not_in_evidence", "A claim of kind value must state the value as it stands beside its name."


def _stems_beside(names: list[str], cited: Cited) -> frozenset[str]:
    """Beginnings of the words of every line that holds one of the names, and of the lines indented under it."""
    found: set[str] = set()
    for passage in cited.passages:
        held = sorted({index for name in names for index in passage.lines_with(name)})[:MAX_LINES_OF_A_NUMBER]
        for index in held:
            for near in (index, *islice(passage.under(index), MAX_LINES_OF_A_NUMBER)):
                found |= passage.line_stems[near]
    return frozenset(found)
