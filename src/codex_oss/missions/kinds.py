"""What the kind of a finding asks of its evidence: a definition, a use, a count, an empty search, two sides.

Counterparts: `missions.claims` judges what any finding states, whatever its kind; `missions.definitions`,
`missions.numbers` and `missions.absence` know the shapes.

One kind is not declared but told: that tests or builds ran. Nothing runs in a mission but its own tools, so no reading
can bear it out. This is the only place where words count, and they decide which evidence is asked for, not whether a
claim is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from codex_oss.missions.absence import check_absence
from codex_oss.missions.cited import Cited
from codex_oss.missions.claim import MAX_STATED, Claim, Objection
from codex_oss.missions.definitions import defines, only_declares
from codex_oss.missions.numbers import check_counts
from codex_oss.missions.passage import is_word_of

IDENTIFIER: Final = re.compile(r"[\w.]*[^\W\d][\w.]*")
"""A name within code, dotted or not."""
_RUNNABLE: Final = r"(?:tests?|suite|pytest|builds?|linters?|type checks?)"
_OUTCOME: Final = r"(?:pass(?:es|ed)?|succeed(?:s|ed)?|green|executed|ran)"
_END_OF_CLAUSE: Final = r"(?=\s*(?:[.,;:!)]|$|and\b|success|local|green|clean|without\b|now\b))"
_EXECUTED: Final = re.compile(
    r"(?P<denied>\b(?:no|not|none of the|never|without|whether|if|until|any)\s+(?:\w+\s+){0,2})?"
    rf"(?P<said>\b{_RUNNABLE}\s+(?:(?:all|now|still|have|has|were|was|are|is|run|ran|and)\s+){{0,3}}{_OUTCOME}\b{_END_OF_CLAUSE}"
    r"|\b(?:i|we)\s+(?:have\s+)?(?:ran|executed|run)\b)",
    re.IGNORECASE,
)
"""A sentence that says that something was executed. It decides which evidence is asked for, as a kind does."""


def check_count(claim: Claim) -> Iterator[Objection]:
    """Claims of kind count."""
    yield from check_counts(claim.finding, claim.stated, claim.cited, claim.tally)


def check_absent(claim: Claim) -> Iterator[Objection]:
    """Claims that something is not there."""
    finding, cited = claim.finding, claim.cited
    if finding.kind == "absence" and not cited.searches:
        yield "absence_not_searched", "A claim of absence must cite a search that found nothing (#zero_match)."
    elif cited.searches and (finding.kind == "absence" or not cited.has_lines):
        yield from check_absence(finding, cited.searches, claim.areas)


def check_definition(claim: Claim) -> Iterator[Objection]:
    """Claims of kind definition: one of the names they state is defined in the lines they give."""
    if claim.finding.kind != "definition":
        return
    stated = [claim.subject.symbol] if claim.subject.symbol else claim.names
    names = [name for code in stated for name in IDENTIFIER.findall(code) if claim.cited.has_word(name)][:MAX_STATED]
    lines = list(claim.lines_of_subject())
    if claim.place is None and claim.stated.places:
        at = [spot for place in claim.stated.places[:MAX_STATED] for spot in claim.cited.lines_at(place)]
        lines = [passage.lines[index].text for passage, index in at]
    if names and not any(defines(line, name) for name in names for line in lines if name in line):
        yield "definition_not_shown", f"No line that is given defines {names[0][:120]!r}."


def check_usage(claim: Claim) -> Iterator[Objection]:
    """Claims of kind usage: the line that only declares a name is no use of it."""
    symbol = claim.subject.symbol or next(iter(claim.names), "")
    if claim.finding.kind != "usage" or not symbol:
        return
    held = [line for line in claim.lines_of_subject() if is_word_of(symbol, line)]
    if held and all(only_declares(line, symbol) for line in held):
        yield "usage_not_shown", f"The lines that are given declare {symbol[:120]!r}; none of them uses it."


def check_contradiction(claim: Claim) -> Iterator[Objection]:
    """Claims of kind contradiction: there are two sides, in two places."""
    if claim.finding.kind != "contradiction":
        return
    shown = {(run.path, run.first, run.last) for passage in claim.cited.passages for run in passage.runs}
    told = {(place.path, place.first, place.last) for place in claim.stated.places}
    apart = any(
        one[0] != other[0] or one[2] < other[1] or other[2] < one[1]
        for sides in (shown, told)
        for one in sides
        for other in sides
        if one < other
    )
    if not apart:
        yield "contradiction_one_sided", "A contradiction has two sides: cite both, or give the lines of both."


def check_executed(claim: Claim) -> Iterator[Objection]:
    """Claims that something was executed (rule 5)."""
    if said := said_to_be_executed(claim.finding.claim, claim.cited):
        yield "execution_not_on_record", f"{said[:80]!r}: nothing was executed in this mission but its tools."


def said_to_be_executed(text: str, cited: Cited) -> str:
    """What a text says was executed, unless the cited lines say so themselves; empty when it says no such thing."""
    found = next((found for found in _EXECUTED.finditer(text) if not found["denied"]), None)
    return "" if found is None or cited.has_text(found["said"].strip()) else found["said"].strip()
