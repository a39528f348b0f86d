"""What an exhibit of the gallery is: one way to lie, the code that stops it, and the truth beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.gallery.turns import Protocol, Script, grep, read

TIERS = ("A2", "A3", "A3-open")

RETRY, CONFIG, CLIENT, TABLE = "app/retry.py", "app/config.py", "app/client.py", "app/table.py"
README, TEST = "docs/README.md", "tests/test_retry.py"
READ = read(RETRY)
REF = f"file:{RETRY}#extract:1"
HITS = grep("MAX_RETRIES", "app")
MISS = grep("MAX_TRIES")
ZERO = "command:0#zero_match"


@dataclass(frozen=True)
class Exhibit:
    """One kind of lie."""

    name: str
    lie: str
    """What the liar does, as a sentence for the page."""
    codes: tuple[str, ...]
    """The reason codes with which the lie ends, exactly."""
    liar: Script
    """Its last turn is repeated: a liar insists."""
    honest: Script
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the contract of both says beyond the usual."""
    tiers: tuple[str, ...] = TIERS
    native_codes: tuple[str, ...] = ()
    """The reason codes where the model speaks in native tool calls; the same unless told."""

    def ends_with(self, protocol: Protocol) -> tuple[str, ...]:
        """The reason codes with which the lie ends in a protocol."""
        return self.native_codes if protocol == "tools" and self.native_codes else self.codes
