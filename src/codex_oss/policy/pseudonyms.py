"""Names for a report that anybody may read: known words as they are, everything else under a name of its own.

Counterpart: `services.report` asks for each text that it puts into a report.

    text ─► one of the known words? ─► itself
            else ─► <kind>_<8 hex>, the same for the same text in one report, another one in the next

Rules that hold here:

1. What is shown is chosen from a list; nothing is shown because it looks harmless.
2. The key is drawn for one report and never written, so that two reports cannot be joined, and a name cannot be
   guessed by trying e-mail addresses.
Source: chatgpt-accounts contract §19 (shareable debug).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from typing import Final

HEX: Final = 8
GPT: Final = re.compile(r"gpt-\d{1,2}(\.\d{1,2})?(-(codex|mini|nano|max|pro|spark|chat|latest)){0,3}")


class Pseudonyms:
    """The names of one report. key: random bytes, at least 16; words: what may be shown."""

    def __init__(self, key: bytes, words: Collection[str]) -> None:
        self._key = key
        self._words = frozenset(words)

    def name(self, kind: str, text: str) -> str:
        """The name of a thing, e.g. `acct_1f0c9a3e`; empty for an empty text."""
        if not text:
            return ""
        told = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
        return f"{kind}_{hmac.new(self._key, told, hashlib.sha256).hexdigest()[:HEX]}"

    def word(self, text: str) -> str:
        """A known word as it is, any other one under a name."""
        return text if text in self._words else self.name("word", text)

    def model(self, text: str) -> str:
        """A model: known names and the vendor's own scheme as they are."""
        return text if text in self._words or GPT.fullmatch(text) else self.name("model", text)
