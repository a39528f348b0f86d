"""One finding against the lines it cites: what its sentence and its subject state must stand there.

Counterparts: `missions.gates` judges the whole draft and asks here about each finding, `missions.absence` judges what a
search without a match proves.

Rules that hold here:

1. Judged is what is code whatever the sentence around it: `path:LINE`, "line N", back-ticked code, `snake_case`,
   `lowerCamel`, `call()`, paths with a folder, and numbers. Plain words are not.
2. A range stands only when every line of it was shown; lines of two extracts are not one text.
3. A name stands as a whole word, never as a part of a longer one or of a path.
4. A claim speaks of what it cites: at least one word, name or number of it stands there. Words are compared by their
   beginnings, so that "returns" meets `return`.
5. Letters that look like others, and characters that cannot be seen, are refused: a person reads the claim.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from msgspec import Struct

from codex_oss.missions.absence import check_absence, speaks_for
from codex_oss.missions.evidence import Citation, ShownLine
from codex_oss.missions.report import Finding, Subject

STEM_CHARS: Final = 4
MAX_COUNTED_NAMES: Final = 8
Objection = tuple[str, str]
"""Code and sentence."""
MAX_OBJECTIONS: Final = 8
"""A finding that met as many is not read any further."""

_BACKTICKED: Final = re.compile(r"(?P<fence>`+)(?P<code>.+?)(?P=fence)", re.DOTALL)
_INFO_STRING: Final = re.compile(r"\A[\w+-]*[ \t]*\n")
_PATH_LINE: Final = re.compile(
    r"(?<![\w/.@+-])(?P<path>[\w/.@+-]{1,400})(?::L?|#L|\()(?P<line>\d{1,7})(?:\s?[-–]\s?L?(?P<end>\d{1,7})|:\d+)?"
)
_NAMES_FILE: Final = re.compile(r"/|[\w@+-]\.[A-Za-z0-9_]{1,12}\Z")
"""What makes a word before `:LINE` a path: a folder or an extension. Asked apart: in one pattern `+++…` cost cubes."""
_LINE_WORD: Final = re.compile(
    r"(?:\blines?\b[\s:#]*(?:(?:numbers?|nos?\b\.?)[\s:#]*)?|(?<!\w)L(?=\d))"
    r"(?P<numbers>\d{1,7}(?:\s*(?:[-–—,&]|,?\s*and\b|to\b|through\b|or\b)\s*(?:lines?\s*)?L?\d{1,7}\b)*)",
    re.IGNORECASE,
)
_SPAN: Final = re.compile(r"(?P<first>\d+)(?:\s*(?:[-–—]|to\b|through\b)\s*L?(?P<last>\d+))?", re.IGNORECASE)
_PATH: Final = re.compile(r"(?<![\w/.@:-])(?:[\w.@+-]+/)+[\w.@+-]*\w\.\w{1,12}(?![\w/])")
_NAME: Final = re.compile(
    r"(?<!\w)(?:(?P<call>[^\W\d]\w*)\(\)|(?P<snake>_*[^\W\d_][^\W_]*_\w+)|(?P<camel>[a-z]{2,}[A-Z]\w*))(?!\w)"
)
_NUMBER: Final = re.compile(
    r"(?<![\w.#/-])(?P<number>\d[\d_]*(?:[.,]\d+)*)(?:ns|us|ms|s|min|h|[kKMG]i?B|[kx])?(?![\w%])"
)
_DIGITS: Final = re.compile(r"\d[\d_]*(?:[.,]\d+)*")
_ESCAPE: Final = re.compile(r"\\[A-Za-z]")
"""What a pattern escapes so is no letter of the word beside it."""
_WORD: Final = re.compile(r"[0-9]+|[^\W\d_]{3,}|[A-Z]{2}(?![a-z])|(?<=_)[^\W\d_]{2}|[^\W\d_]{2}(?=_)")
"""Numbers, words of three letters and more, capitals, and the parts of names."""
_FUNCTION_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "all and any are been but can does for from has have into its not our out that the then this was were when "
        "which will with you",
    )
)
"""Words that stand in any text, code included, and so say nothing about what a claim speaks of."""
_LOOK_ALIKES: Final = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "FULLWIDTH", "MATHEMATICAL")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


class Cited(Struct, frozen=True):
    """Everything that one finding cites."""

    citations: tuple[Citation, ...]
    lines: tuple[ShownLine, ...]
    texts: tuple[str, ...]
    """The lines joined wherever they follow each other in one file."""
    paths: frozenset[str]
    """Files that the lines come from, and paths that were searched."""

    @property
    def searches(self) -> list[Citation]:
        """The searches without a match."""
        return [citation for citation in self.citations if citation.zero_match]


def cited_by(citations: Sequence[Citation]) -> Cited:
    """Collect what the citations of one finding resolved to."""
    lines = tuple(line for citation in citations for line in citation.lines)
    paths = {line.path for line in lines if line.path} | {citation.path for citation in citations if citation.path}
    return Cited(tuple(citations), lines, _texts_of(lines), frozenset(paths))


def check_claim(finding: Finding, cited: Cited, areas: Iterable[str]) -> Iterator[Objection]:
    """Every objection to one finding. areas: allowed roots and paths of the mission."""
    if finding.kind == "absence" and not cited.searches:
        yield "absence_not_searched", "A claim of absence must cite a search that found nothing (#zero_match)."
    if finding.kind not in ("absence", "other") and not cited.lines:
        yield "claim_without_lines", f"A claim of kind {finding.kind} must cite lines, not an empty search."
    elif cited.searches and (finding.kind == "absence" or not cited.lines):
        yield from check_absence(finding, cited.searches, areas)
    if not _speaks_of(finding, cited):
        yield "claim_not_grounded", "The claim shares no word, name or number with what it cites."
    parts = chain(_check_spelling(finding, cited), _check_subject(finding, cited), _check_sentence(finding, cited))
    yield from islice(parts, MAX_OBJECTIONS)


def _speaks_of(finding: Finding, cited: Cited) -> bool:
    subject = finding.subject
    if subject.line or _LINE_WORD.search(finding.claim) or _path_lines(finding.claim):
        return True  # it names a line, which is judged by itself
    stated = _stems(" ".join((finding.claim, subject.path, subject.symbol, subject.quote)))
    patterns = (_ESCAPE.sub(" ", citation.pattern) for citation in cited.citations)
    return not stated.isdisjoint(_stems("\n".join((*cited.texts, *cited.paths, *patterns))))


def _stems(text: str) -> set[str]:
    words = (word.casefold() for word in _WORD.findall(text))
    return {word[:STEM_CHARS] if word[0].isalpha() else word for word in words if word not in _FUNCTION_WORDS}


def _check_spelling(finding: Finding, cited: Cited) -> Iterator[Objection]:
    subject = finding.subject
    said = "\n".join((finding.claim, subject.path, subject.symbol, subject.quote))
    if any(unicodedata.category(char) in _UNSEEN and char not in "\t\n\r" for char in said):
        yield "claim_unreadable", "The finding holds characters that cannot be seen."
    for word in re.findall(r"\w+", said):
        if _looks_like_another(word) and not any(word in text for text in cited.texts):
            yield "claim_unreadable", f"{word[:60]!a} mixes letters that look alike."
            return


def _looks_like_another(word: str) -> bool:
    foreign = any(unicodedata.name(char, "").startswith(_LOOK_ALIKES) for char in word if char > "\x7f")
    return foreign and sum(char.isascii() and char.isalpha() for char in word) >= 2


def _check_subject(finding: Finding, cited: Cited) -> Iterator[Objection]:
    subject, lines = finding.subject, cited.lines
    if subject.path and subject.path not in cited.paths:
        yield "path_not_cited", f"{subject.path[:200]} is stated, but no cited evidence comes from it."
    scoped = tuple(line for line in lines if not subject.path or line.path == subject.path)
    if subject.line or subject.end_line:
        first, last = _range_of(subject)
        if not _all_shown(first, last, scoped):
            name = first if first == last else f"{first}-{last}"
            yield "line_not_shown", f"Line {name} is not among the cited lines."
        scoped = tuple(line for line in scoped if first <= line.number <= last)
    if subject.symbol and not _symbol_stands(finding, cited, scoped):
        yield "symbol_not_in_evidence", f"{subject.symbol[:120]!r} {_why_not(cited)}"
    if subject.quote and not any(subject.quote.strip() in text for text in _texts_of(scoped)):
        yield "quote_not_in_evidence", f"The quote {subject.quote[:80]!r} does not stand in the cited lines."


def _range_of(subject: Subject) -> tuple[int, int]:
    return subject.line or subject.end_line, subject.end_line or subject.line


def _symbol_stands(finding: Finding, cited: Cited, lines: Iterable[ShownLine]) -> bool:
    if _stands_whole(finding.subject.symbol, (line.text for line in lines)):
        return True
    # An absence names what was searched for: its pattern must be about that symbol.
    if cited.lines and finding.kind != "absence":
        return False
    return any(speaks_for(search, finding.subject.symbol, finding.claim) for search in cited.searches)


def _check_sentence(finding: Finding, cited: Cited) -> Iterator[Objection]:
    """What the claim's own words state, each kind taken out of the text before the next one is looked for."""
    rest = finding.claim
    for found in _path_lines(finding.claim):
        rest = rest.replace(found[0], " ")
        shown = [line for line in cited.lines if _same_file(found["path"], line.path)]
        if not _all_shown(int(found["line"]), int(found["end"] or found["line"]), shown):
            yield "line_not_shown", f"{found[0]} is stated, but that line is not among the cited ones."
    for found in _LINE_WORD.finditer(rest):
        if not all(_all_shown(first, last, cited.lines) for first, last in _spans_in(found["numbers"])):
            yield "line_not_shown", f"{found[0]!r} is stated, but that line is not among the cited ones."
    rest = _LINE_WORD.sub(" ", rest)
    codes = [_INFO_STRING.sub("", found["code"]).strip() for found in _BACKTICKED.finditer(rest)]
    rest = _BACKTICKED.sub(" ", rest)
    for code in codes:
        if not _code_stands(code, finding, cited):
            yield "code_not_in_evidence", f"`{code[:120]}` {_why_not(cited)}"
    for path in _PATH.findall(rest):
        if not _path_stands(path, cited):
            yield "path_not_cited", f"{path[:200]} is stated, but no cited evidence comes from it."
    rest = _PATH.sub(" ", rest)
    names = list(dict.fromkeys(found["call"] or found["snake"] or found["camel"] for found in _NAME.finditer(rest)))
    for name in names:
        if not _name_stands(name, finding, cited):
            yield "symbol_not_in_evidence", f"{name[:120]!r} {_why_not(cited)}"
    yield from _check_numbers(rest, [*codes, *names, finding.subject.symbol], cited)


def _why_not(cited: Cited) -> str:
    """The rest of the sentence about code that does not stand; after an empty search it says how to mend the claim."""
    if not cited.searches or cited.lines:
        return "does not stand in the cited lines."
    pattern = cited.searches[0].pattern[:120]
    return f"is not what `{pattern}` would have met: search for the name itself, or quote the pattern in the claim."


def _check_numbers(text: str, codes: Sequence[str], cited: Cited) -> Iterator[Objection]:
    """A number is a value that stands in the lines, or counts what was cited: matches, lines, refs, uses of a name."""
    said = {found["number"] for found in _NUMBER.finditer(text)}
    if not said:
        return
    evidence = [*(line.text for line in cited.lines), *(search.pattern for search in cited.searches)]
    digits = {token for line in evidence for token in _DIGITS.findall(line)}
    known = {value for token in digits for value in _values_of(token)} | _counts(codes, cited)
    for token in sorted(said - digits):
        if not _values_of(token) & known:
            yield "value_not_in_evidence", f"{token[:40]} is stated, but does not stand in the cited lines."


def _counts(codes: Sequence[str], cited: Cited) -> set[float]:
    several = {count for count in (len(cited.citations), len(cited.lines), len(cited.paths)) if count > 1}
    found_by = {citation.match_count for citation in cited.citations if citation.pattern}
    named = [code for code in codes if code][:MAX_COUNTED_NAMES]
    uses = sum(any(code in line.text for code in named) for line in cited.lines)
    return {float(count) for count in (*several, *found_by, *({uses, uses - 1} - {0, -1}))}


def _values_of(token: str) -> set[float]:
    """The readings of a written number: `30_000`, `30,000`, `1.50`; empty for a version."""
    plain = token.replace("_", "")
    readings = {plain.replace(",", ""), plain.replace(",", ".")}
    return {float(reading) for reading in readings if reading.count(".") < 2}


def _path_lines(text: str) -> list[re.Match[str]]:
    return [found for found in _PATH_LINE.finditer(text) if _NAMES_FILE.search(found["path"])]


def _spans_in(numbers: str) -> list[tuple[int, int]]:
    return [(int(found["first"]), int(found["last"] or found["first"])) for found in _SPAN.finditer(numbers)]


def _all_shown(first: int, last: int, lines: Iterable[ShownLine]) -> bool:
    shown = {line.number for line in lines if line.number and first <= line.number <= last}
    return 1 <= first <= last and len(shown) == last - first + 1


def _code_stands(code: str, finding: Finding, cited: Cited) -> bool:
    if not code or any(found[0] == code for found in _path_lines(code)):
        return True  # a path:LINE was judged already
    if re.fullmatch(r"\w+|[\w.]+\(\)", code):
        return _name_stands(code.removesuffix("()"), finding, cited)
    return any(code in text for text in cited.texts) or _path_stands(code, cited) or _searched(code, finding, cited)


def _name_stands(name: str, finding: Finding, cited: Cited) -> bool:
    parts = {part for path in cited.paths for part in re.split(r"[/.]", path)}
    return name in parts or _stands_whole(name, cited.texts) or _searched(name, finding, cited)


def _path_stands(path: str, cited: Cited) -> bool:
    return any(_same_file(path.rstrip("/"), known) for known in cited.paths) or any(path in t for t in cited.texts)


def _searched(code: str, finding: Finding, cited: Cited) -> bool:
    return any(speaks_for(search, code, finding.claim) for search in cited.searches)


def _stands_whole(name: str, texts: Iterable[str]) -> bool:
    """Whether *name* is a word of a text; by `find`: a pattern with a look-behind costs 1000 times more."""
    return any(_is_word_of(name, text) for text in texts)


def _is_word_of(name: str, text: str) -> bool:
    at = text.find(name)
    while at >= 0:
        around = (text[at - 1 : at], text[at + len(name) : at + len(name) + 1])
        if not any(char.isalnum() or char == "_" for char in around):
            return True
        at = text.find(name, at + 1)
    return False


def _same_file(stated: str, known: str) -> bool:
    """A path, or the tail of one (`client.py` for `src/client.py`)."""
    return bool(stated) and (stated == known or known.endswith("/" + stated))


def _texts_of(lines: Iterable[ShownLine]) -> tuple[str, ...]:
    """Lines joined by line feeds, as long as each is the next one of the same file."""
    texts: list[list[str]] = []
    before: ShownLine | None = None
    for line in lines:
        follows = before is not None and line.number and (line.path, line.number - 1) == (before.path, before.number)
        if not follows:
            texts.append([])
        texts[-1].append(line.text)
        before = line
    return tuple("\n".join(part) for part in texts)
