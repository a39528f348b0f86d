"""Sentences that OpenCode takes for an end.

Counterpart: `server.errors` words refusals with it when OpenCode asks.

Observed (OpenCode 1.18.33): whatever the status, a refusal is repeated up to five times, silently, for a minute, when
its message or its body *anywhere* looks like one of `RETRY_WORDS`; the port `45003` of an upstream is enough, since it
holds `500`. So an invisible WORD JOINER goes into every such place: a person reads the same sentence.
"""

from __future__ import annotations

import re
from typing import Final

JOINER: Final = "\u2060"
RETRY_WORDS: Final = re.compile(
    r"429|50[0234]|524"
    r"|rate increased|rate[ _-]limit|too many requests"
    r"|overloaded|(?:service|temporarily)[ _-]unavailable|internal[ _]error|server[ _-]error|provider[ _-]returned"
    r"|terminated|fetch failed|failed to fetch|network|upstream connect|connection|socket|reset before headers"
    r"|getaddrinfo|enotfound|eai_again|econnrefused|econnreset|etimedout"
    r"|time(?:d )?[ _-]?out|try your request|retry|resource[ _]exhausted|try again|at capacity|freeusage|gousage",
    re.IGNORECASE,
)
"""Covers what OpenCode looks for, and somewhat more."""


def final_words(text: str) -> str:
    """*text* for a person, without a place that `RETRY_WORDS` matches."""
    while RETRY_WORDS.search(text):
        text = RETRY_WORDS.sub(lambda found: found[0][0] + JOINER + found[0][1:], text)
    return text
