"""Forbidden topics: words of the contract that the report stays away from.

The words are the delegate's own, never a list of ours. A topic is named where it stands as a whole word, in any case;
`_` and punctuation end a word, so `payments` is named by `payments_total` and not by `prepayments`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

WITHHELD: Final = "[withheld: forbidden topic]"
_ESCAPE: Final = re.compile(r"\\[A-Za-z]")


def named_topic(text: str, topics: Iterable[str]) -> str:
    """The first topic that a text names; empty when it names none."""
    folded = " ".join(text.casefold().split())
    for topic in topics:
        words = re.escape(" ".join(topic.casefold().split()))
        if re.search(rf"(?<![^\W_]){words}(?![^\W_])", folded):
            return topic
    return ""


def searched_topic(pattern: str, topics: Iterable[str]) -> str:
    """The first topic that a search would be for; escapes such as `\\b` are no letters of it."""
    return named_topic(_ESCAPE.sub(" ", pattern), topics)


def without_topics(texts: Iterable[str], topics: tuple[str, ...]) -> list[str]:
    """The texts that name no topic."""
    return [text for text in texts if not named_topic(text, topics)]
