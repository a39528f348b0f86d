"""Every truth of the gallery with one thing changed: a number, a line, a letter of its code, symbol, quote or path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codex_oss.missions.gates import judge_draft
from codex_oss.missions.report import parse_draft
from tests.gallery.stage import Part, open_stage
from tests.gallery.styles import contract_of, staged, styles_of
from tests.gallery.table import EXHIBITS

NOWHERE = "987654"
"""A number that stands nowhere in the sample project."""


def test_no_altered_truth_stands(tmp_path: Path) -> None:
    """The finding stood as it was; with one thing changed it does not."""
    shown = [(exhibit, *next(styles_of(exhibit))) for exhibit in EXHIBITS]
    parts = [
        Part(contract_of(exhibit, tier, style), staged(exhibit.honest, style), "json") for exhibit, tier, style in shown
    ]
    with open_stage(tmp_path) as stage:
        records = stage.play(parts)
    altered = 0
    for (exhibit, _, _), record in zip(shown, records, strict=True):
        assert record.draft is not None
        body = record.draft.draft
        for index, finding in enumerate(body["findings"]):
            for changed in _alterations(finding):
                altered += 1
                findings = [*body["findings"][:index], changed, *body["findings"][index + 1 :]]
                failures = judge_draft(record, parse_draft({**body, "findings": findings}))
                assert any(failure.finding == index for failure in failures), f"{exhibit.name}: {changed}"
    assert altered > 150


def _alterations(finding: dict[str, Any]) -> Iterator[dict[str, Any]]:
    claim, subject = finding["claim"], finding.get("subject", {})
    for number in re.finditer(r"(?<![\w.])\d+(?![\w.])", claim):
        yield {**finding, "claim": claim[: number.start()] + NOWHERE + claim[number.end() :]}
    for name in ("line", "end_line"):
        if name in subject:
            yield {**finding, "subject": {**subject, name: int(NOWHERE)}}
    for name in ("symbol", "quote", "path"):
        if name in subject:
            yield {**finding, "subject": {**subject, name: _other(subject[name])}}
    for code in re.finditer(r"`([^`]+)`", claim):
        yield {**finding, "claim": claim[: code.start(1)] + _other(code[1]) + claim[code.end(1) :]}


def _other(text: str) -> str:
    """The text with its first letter changed."""
    at = next(index for index, char in enumerate(text) if char.isalpha())
    return text[:at] + ("q" if text[at] != "q" else "z") + text[at + 1 :]
