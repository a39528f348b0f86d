"""A mission that was read field by field and not yet judged as a whole.

Counterparts: `contracts.validation` makes one; its rules and those of `contracts.feasibility` judge it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codex_oss.contracts.defaults import default_style
from codex_oss.contracts.reader import Reader


@dataclass(frozen=True, slots=True)
class Draft:
    """Read values by field name, and the reader that keeps the problems."""

    values: dict[str, Any]
    reader: Reader

    def fits(self, *names: str) -> bool:
        """True when all these fields read without a problem."""
        return not self.reader.broken.intersection(names)

    @property
    def tier(self) -> str:
        """The tier, empty when it did not read."""
        return self.values["tier"] or ""

    @property
    def style(self) -> str:
        """The objective style, given or of the tier; empty when it cannot be told."""
        if not self.fits("objective_style"):
            return ""
        given: str = self.values["objective_style"]
        return given or (default_style(self.tier) if self.tier else "")

    def sources(self) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """Each source requirement: its dotted path, its values, and whether a COMPLETE needs it."""
        for i, item in enumerate(self.values["answer_obligations"]):
            for j, source in enumerate(item["source_requirements"]):
                yield (
                    f"answer_obligations[{i}].source_requirements[{j}]",
                    source,
                    bool(item["required"] and source["required"]),
                )
