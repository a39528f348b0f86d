"""Forbidden topics: words of the contract that the report stays away from.

The words are the delegate's own, never a list of ours. A topic is named where it stands as a whole word, in any case;
`_` and punctuation end a word, so `payments` is named by `payments_total` and not by `prepayments`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

WITHHELD: Final = "[withheld: forbidden topic]"
_ESCAPE: Final = re.compile(r"\\[A-Za-z]")


def named_topic(text: str, topics: tuple[str, ...]) -> str:
    """The first topic that a text names; empty when it names none."""
    if not topics:
        return ""
    found = _pattern(topics).search(_folded(text))
    return next((topic for topic in topics if found and _folded(topic) == found[0]), "")


@lru_cache(maxsize=16)
def _pattern(topics: tuple[str, ...]) -> re.Pattern[str]:
    """All topics at once, the longest first: a report has many sentences, a mission may leave out many topics."""
    words = sorted((re.escape(_folded(topic)) for topic in topics), key=len, reverse=True)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(words)})(?![^\W_])")


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def searched_topic(pattern: str, topics: tuple[str, ...]) -> str:
    """The first topic that a search would be for; escapes such as `\\b` are no letters of it."""
    return named_topic(_ESCAPE.sub(" ", pattern), topics)


def without_topics(texts: Iterable[str], topics: tuple[str, ...]) -> list[str]:
    """The texts that name no topic."""
    return [text for text in texts if not named_topic(text, topics)]
