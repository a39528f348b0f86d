"""Looking for evidence shapes in lines that were shown.

Counterpart: `contracts.evidence_shapes` has the table and its rules; `missions.sources` and `missions.objective` ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from codex_oss.contracts.evidence_shapes import EVIDENCE_SHAPES, SEARCH_SHAPES
from codex_oss.missions.evidence import Citation

MAX_LINE_CHARS: Final = 2_000


def shows(shape: str, text: str, name: str = "") -> bool:
    """Whether one line has a shape. name: what it must define, map or set; empty for anything."""
    line = text[:MAX_LINE_CHARS]
    known = EVIDENCE_SHAPES.get(shape)  # logs of earlier versions may ask for any word
    return known is not None and any(_fits(pattern, line, name) for pattern in known.patterns)


def _fits(pattern: re.Pattern[str], line: str, name: str) -> bool:
    if not name:
        return pattern.search(line) is not None
    if "name" not in pattern.groupindex:
        return pattern.search(line) is not None and names(line, name)
    return any(found["name"] == name for found in pattern.finditer(line))


def names(text: str, name: str) -> bool:
    """Whether *name* stands in a text as a whole word."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def described(shape: str) -> str:
    """What a shape looks like, for a sentence."""
    known = EVIDENCE_SHAPES.get(shape)
    return known.help if known else f"something of the unknown shape {shape!r}"


def cited_shape(shape: str, citations: Iterable[Citation], name: str = "") -> bool:
    """Whether citations show a shape: on one of their lines, or by being a search that found nothing."""
    if shape in SEARCH_SHAPES:
        return any(citation.zero_match for citation in citations)
    return any(shows(shape, line.text, name) for citation in citations for line in citation.lines)
