"""One finding against the lines it cites: what its sentence and its subject state must stand there.

Counterparts: `missions.claim` is what is judged, `missions.kinds` asks what its kind needs, `missions.numbers` judges
values; `missions.gates` makes a gate of each row of `CHECKS` and asks it for each finding.

Rules that hold here:

1. A range stands only when every line of it was shown; lines of two extracts are not one text.
2. A place is about what is said of it: one of the claim's names, or else words, stands there.
3. A claim speaks of what it cites: at least one word, name or number of it stands there.
4. Letters that look like others, and characters that cannot be seen, are refused: a person reads the claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from codex_oss.missions.absence import speaks_for
from codex_oss.missions.cited import same_file
from codex_oss.missions.claim import MAX_STATED, Claim, FindingCheck, Objection
from codex_oss.missions.kinds import (
    check_absent,
    check_contradiction,
    check_count,
    check_definition,
    check_executed,
    check_usage,
)
from codex_oss.missions.numbers import check_values, counts_right
from codex_oss.missions.passage import is_word_of
from codex_oss.missions.stated import Place, path_lines, stems_of, unseen_or_alike

MAX_OBJECTIONS: Final = 8
"""Objections of one gate to one finding."""
MIN_WORDS_OF_A_PLACE: Final = 3


def check_readable(claim: Claim) -> Iterator[Objection]:
    """Characters that cannot be seen, letters that look like others, and sentences that state too much to be judged."""
    subject = claim.subject
    said = "\n".join((claim.finding.claim, subject.path, subject.symbol, subject.quote))
    alike = unseen_or_alike(said)
    if alike == "\N{REPLACEMENT CHARACTER}":
        yield "claim_unreadable", "The finding holds characters that cannot be seen."
    elif alike and not claim.cited.stands(alike):
        yield "claim_unreadable", f"{alike[:60]!a} is made of letters that look like others."
    stated = claim.stated
    if max(map(len, (stated.places, stated.codes, stated.names, stated.numbers, stated.quoted))) > MAX_STATED:
        yield "claim_too_dense", f"A finding may state {MAX_STATED} things of a kind; split it."


def check_grounded(claim: Claim) -> Iterator[Objection]:
    """Whether the claim cites what its kind needs, and speaks of it."""
    finding, cited, subject = claim.finding, claim.cited, claim.subject
    if finding.kind not in ("absence", "other", "count") and not cited.has_lines:
        yield "claim_without_lines", f"A claim of kind {finding.kind} must cite lines, not an empty search."
    if claim.place or claim.stated.places or counts_right(finding, claim.stated, claim.tally):
        return  # what a place must hold is judged there, and a right count speaks of what it counts
    stems = claim.stated.stems | stems_of(" ".join((subject.path, subject.symbol, subject.quote)))
    if not cited.shares(stems):
        yield "claim_not_grounded", "The claim shares no word, name or number with what it cites."


def check_paths(claim: Claim) -> Iterator[Objection]:
    """Files that the claim names."""
    cited = claim.cited
    if claim.subject.path and claim.subject.path not in cited.paths:
        yield "path_not_cited", f"{claim.subject.path[:200]} is stated, but no cited evidence comes from it."
    for path in claim.stated.paths[:MAX_STATED]:
        if not cited.has_path(path):
            yield "path_not_cited", f"{path[:200]} is stated, but no cited evidence comes from it."


def check_lines(claim: Claim) -> Iterator[Objection]:
    """Lines that the claim names: they were shown, they are about it, and subject and sentence agree."""
    cited, stated = claim.cited, claim.stated.places[:MAX_STATED]
    if claim.place and not (cited.shows(claim.place)):
        yield "line_not_shown", f"Line {claim.place.text} is not among the cited lines."
    for place in stated:
        if not cited.shows(place):
            yield "line_not_shown", f"{place.text} is stated, but that line is not among the cited ones."
        elif not _is_about_place(claim, place):
            yield "line_about_something_else", f"{place.text} is stated, but nothing that the claim names stands there."
    bare = claim.place is not None and not claim.subject.symbol and not claim.subject.quote
    if claim.place and bare and cited.shows(claim.place) and not _is_about_place(claim, claim.place):
        yield "line_about_something_else", f"Nothing that the claim names stands on line {claim.place.text}."
    if claim.place and stated and not any(_overlap(claim.place, place) for place in stated):
        yield "line_about_something_else", f"The claim says {stated[0].text}, its subject says {claim.place.text}."


def _overlap(one: Place, other: Place) -> bool:
    same = not one.path or not other.path or same_file(other.path, one.path) or same_file(one.path, other.path)
    return same and one.first <= other.last and other.first <= one.last


def _is_about_place(claim: Claim, place: Place) -> bool:
    cited, stems = claim.cited, claim.stated.plain_stems
    names = [name for name in claim.names if cited.has_word(name) or cited.has_text(name)]
    if not names:
        stems |= stems_of(" ".join(claim.names))
    strict = claim.finding.kind not in ("behaviour", "contradiction")  # what a function does, it does further down
    for passage, index in cited.lines_at(place):
        near = (index,) if strict else passage.around(index)
        if any(_stands_in(name, passage.lines[at].text) for at in near for name in names):
            return True
        if not stems.isdisjoint(passage.line_stems[index]):
            return True
    return not names and not cited.standing(stems) and len(stems) < MIN_WORDS_OF_A_PLACE


def _stands_in(name: str, text: str) -> bool:
    return is_word_of(name, text) if re.fullmatch(r"\w+", name) else name in text


def check_symbols(claim: Claim) -> Iterator[Objection]:
    """The symbol of the subject, and names in the sentence that can only be code."""
    symbol = claim.subject.symbol
    if symbol and not _symbol_stands(claim, symbol):
        yield "symbol_not_in_evidence", f"{symbol[:120]!r} {_why_not(claim)}"
    # GitHub and JavaScript are words, too; a claim that says what it is about is held to them all the same.
    camels = claim.stated.camels if claim.finding.kind not in ("other", "absence") else ()
    for name in (*claim.stated.names, *camels)[:MAX_STATED]:
        if not claim.cited.has_word(name) and not _searched(name, claim):
            yield "symbol_not_in_evidence", f"{name[:120]!r} {_why_not(claim)}"


def _symbol_stands(claim: Claim, symbol: str) -> bool:
    narrowed = claim.place is not None or bool(claim.subject.path)
    stands = claim.cited.stands
    if any(is_word_of(symbol, line) for line in claim.lines_of_subject()) if narrowed else stands(symbol):
        return True
    # An absence names what was searched for: its pattern must be about that symbol.
    return (claim.finding.kind == "absence" or not claim.cited.has_lines) and _searched(symbol, claim)


def check_quotes(claim: Claim) -> Iterator[Objection]:
    """The quote of the subject, and what stands in double quotes."""
    quote = claim.subject.quote.strip()
    if claim.subject.quote and not _quote_stands(claim, quote):
        yield "quote_not_in_evidence", f"The quote {quote[:80]!r} does not stand in the cited lines."
    for text in claim.stated.quoted[:MAX_STATED]:
        if not _code_stands(text, claim):
            yield "quote_not_in_evidence", f'"{text[:120]}" {_why_not(claim)}'


def _quote_stands(claim: Claim, quote: str) -> bool:
    place, path = claim.place, claim.subject.path
    if place is None:
        texts = (
            text for passage in claim.cited.passages if not path or path in passage.paths for text in passage.texts
        )
        return any(quote in text for text in texts)
    return quote in "\n".join(claim.lines_of_subject())


def check_code(claim: Claim) -> Iterator[Objection]:
    """What stands in back-ticks."""
    for code in claim.stated.codes[:MAX_STATED]:
        if not _code_stands(code, claim):
            yield "code_not_in_evidence", f"`{code[:120]}` {_why_not(claim)}"


def check_numbers(claim: Claim) -> Iterator[Objection]:
    """Numbers as values."""
    yield from check_values(claim.finding, claim.stated, claim.cited, claim.tally)


def _code_stands(code: str, claim: Claim) -> bool:
    if not code or any(found[0] == code for found in path_lines(code)):
        return True  # a path:LINE was judged already
    name = code.removesuffix("()")
    if re.fullmatch(r"[\w.]+", name):
        stands = claim.cited.has_word(name) or (name != code and claim.cited.stands(name))
        file = "." in code and any(same_file(code, known) for known in claim.cited.paths)
        return stands or file or _searched(name, claim)
    return claim.cited.has_text(code) or claim.cited.has_path(code) or _searched(code, claim)


def _searched(code: str, claim: Claim) -> bool:
    return any(speaks_for(search, code, claim.finding.claim, claim.shown) for search in claim.cited.searches)


def _why_not(claim: Claim) -> str:
    """The rest of the sentence about code that does not stand; after an empty search it says how to mend the claim."""
    if not claim.cited.searches or claim.cited.has_lines:
        return "does not stand in the cited lines."
    pattern = claim.cited.searches[0].pattern[:120]
    return f"is not what `{pattern}` would have met: search for the name itself, or quote the pattern in the claim."


CHECKS: Final[tuple[tuple[str, str, tuple[str, ...], FindingCheck], ...]] = (
    (
        "readable",
        "A person can read each finding for what it is.",
        ("claim_unreadable", "claim_too_dense"),
        check_readable,
    ),
    ("grounded", "A finding speaks of what it cites.", ("claim_without_lines", "claim_not_grounded"), check_grounded),
    ("paths", "The files that a finding names are those that it cites.", ("path_not_cited",), check_paths),
    (
        "lines",
        "The lines that a finding names were shown, and are about it.",
        ("line_not_shown", "line_about_something_else"),
        check_lines,
    ),
    ("symbols", "The names that a finding states stand in its lines.", ("symbol_not_in_evidence",), check_symbols),
    ("quotes", "What a finding quotes stands in its lines.", ("quote_not_in_evidence",), check_quotes),
    ("code", "Code in back-ticks stands in the cited lines.", ("code_not_in_evidence",), check_code),
    (
        "values",
        "A value stands in the cited lines, with what it is said of.",
        ("value_not_in_evidence", "value_of_something_else"),
        check_numbers,
    ),
    ("counts", "A count is what can be counted in what is cited.", ("count_not_borne_out",), check_count),
    (
        "absence",
        "What is said to be absent was searched for, by that name, and there.",
        ("absence_not_searched", "absence_unnamed", "absence_too_wide"),
        check_absent,
    ),
    ("definition", "What is defined is defined in the lines given.", ("definition_not_shown",), check_definition),
    ("usage", "What is used is not only declared in the lines given.", ("usage_not_shown",), check_usage),
    ("contradiction", "A contradiction cites both sides.", ("contradiction_one_sided",), check_contradiction),
    ("execution", "What was executed is on record.", ("execution_not_on_record",), check_executed),
)
"""Name, what it demands, its reason codes, and the check, in the order in which they are asked."""
