"""What a search that found nothing proves: for which code, and for which part of the scope.

Counterparts: `missions.evidence` says which searches were whole, `missions.claims` asks here about findings that
rest on one of them.

Rules that hold here:

1. A search speaks for code only if that code, had it been there, would have matched. What cannot be told from the
   pattern alone (classes, repetitions, anchors) proves nothing; such a pattern can only be quoted as it is.
   One form is read: `def NAME` and its like speak for NAME in a claim that quotes them, as long as NAME was not seen.
2. A search of a part speaks for the rest only if the claim says which part was searched.
3. No pattern is run here: it came from a model, and this room has no clock to stop it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from codex_oss.missions.cited import Cited
from codex_oss.missions.evidence import Citation
from codex_oss.missions.passage import is_word_of
from codex_oss.missions.report import Finding
from codex_oss.missions.stated import stems_of

_ESCAPED_LITERAL: Final = re.compile(r"\\([^A-Za-z0-9])")
_SPACES: Final = re.compile(r"\\s[+*]?| [+*]")
_SPECIAL: Final = re.compile(r"[\\\[\](){}*+?^$|]")
_WORD: Final = re.compile(r"[^\W_][\w]+")
_DECLARATION: Final = re.compile(r"(?:[a-z]{2,12}(?:\\s[+*]?| [+*]?))+(?P<name>\w+)(?:\\b|\\\(|\\s\*\\\(|\\?:)?")
"""`def\\s+NAME`, `export const NAME\\b` and the like: small words, spaces, a name."""


def check_absence(finding: Finding, searches: list[Citation], areas: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Objections to a finding that rests on searches without a match.

    searches: the cited ones, at least one. areas: allowed roots and paths of the mission.
    """
    stated = _stated(finding)
    if not any(_names(search.pattern, stated) for search in searches):
        pattern = searches[0].pattern[:120]
        yield "absence_unnamed", f"The claim must name what was searched for: {pattern}"
    wanted = [finding.subject.path] if finding.subject.path else list(areas)
    told = [search for search in searches if not search.include_glob or _tells(search.include_glob, stated)]
    for area in wanted:
        if not any(_covers(search.path, area) or _tells(_tidy(search.path), stated) for search in told):
            narrowest = searches[0]
            part = " ".join(filter(None, (narrowest.path or "the scope", narrowest.include_glob)))
            yield "absence_too_wide", f"Only {part[:200]} was searched; the claim must say so, or search {area[:120]}."
            return


def speaks_for(search: Citation, code: str, claim: str, shown: Cited | None = None) -> bool:
    """Whether a search without a match proves that *code* does not stand in what was searched.

    shown: everything that was shown in the mission.
    """
    if not search.zero_match or not code:
        return False
    fold = str if search.case_sensitive else str.casefold
    if fold(code) == fold(search.pattern):
        return True
    declared = _DECLARATION.fullmatch(search.pattern)
    if declared and declared["name"] == code and search.pattern in claim:
        return shown is None or not shown.stands(code)
    return any(_occurs(fold(text), whole, fold(code)) for text, whole in _literals(search.pattern))


def _literals(pattern: str) -> Iterator[tuple[str, bool]]:
    """The plain texts that a pattern is about, each with whether only whole words match; none for what is no text."""
    body = pattern[1:-1] if re.fullmatch(r"\([^()?][^()]*\)", pattern) else pattern
    body = body[3:-1] if re.fullmatch(r"\(\?:[^()]*\)", body) else body
    for alternative in re.split(r"(?<!\\)\|", body):
        whole = r"\b" in alternative
        text = _SPACES.sub(" ", alternative.removeprefix(r"\b").removesuffix(r"\b"))
        plain = _ESCAPED_LITERAL.sub("", text)
        if not _SPECIAL.search(plain):
            yield _ESCAPED_LITERAL.sub(r"\1", text), whole


def _occurs(text: str, whole: bool, code: str) -> bool:
    if not text.strip():
        return False
    return bool(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", code)) if whole else text in code


def _names(pattern: str, stated: str) -> bool:
    """Whether the claim mentions the pattern, or one word of it."""
    plain = re.sub(r"\\[A-Za-z]", " ", pattern)
    words = {word.casefold() for word in _WORD.findall(plain)}
    return (
        pattern in stated
        or not words.isdisjoint(map(str.casefold, _WORD.findall(stated)))
        or not stems_of(plain).isdisjoint(stems_of(stated))
    )


def _tells(part: str, stated: str) -> bool:
    """Whether the claim says of which part it speaks: a path or glob as it is, a plain word only as a place."""
    if re.search(r"[/.*]", part):
        return is_word_of(part, stated)
    word, quote = re.escape(part), "[`'\"]"
    placed = rf"\b(?:in|under|within|inside|below|from|of)\s+(?:the\s+)?{quote}?{word}\b"
    named = rf"(?:{quote}|\n){word}(?:{quote}|\Z)|\b{word}(?:/|\s+(?:folder|directory|package)\b)"
    return bool(part) and re.search(rf"{placed}|{named}", stated) is not None


def _stated(finding: Finding) -> str:
    subject = finding.subject
    return "\n".join((finding.claim, subject.symbol, subject.quote, subject.path))


def _covers(searched: str, area: str) -> bool:
    folder = _tidy(searched)
    return folder in ("", ".") or _tidy(area) == folder or _tidy(area).startswith(f"{folder}/")


def _tidy(path: str) -> str:
    return path.removeprefix("./").rstrip("/")
