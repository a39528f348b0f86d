"""The tiers and the styles in which every exhibit is played: what the contract says about closing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.gallery.exhibit import Exhibit
from tests.gallery.project import NOTES
from tests.gallery.turns import Report, Script, read

QUESTION = "How does the sample retry?"
BASE: dict[str, Any] = {
    "schema_version": "oss_agent_mission.v1",
    "objective": QUESTION,
    "allowed_roots": ["app", "docs", "tests"],
    "allowed_tool_classes": ["read", "search", "list", "safe_git"],
    "required_outputs": ["findings", "confidence"],
    "tool_budget": 8,
    "time_budget_seconds": 60,
}


@dataclass(frozen=True)
class Style:
    """One way to close. first: what the model does before anything else; last: what it does before it reports."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    first: Script = ()
    last: Script = ()


PLAIN = (
    Style("plain"),
    Style("with a source", {"must_inspect": [NOTES]}, first=[read(NOTES)]),
    Style("with an objective", {"objective_spec": {"objective_type": "usage_location", "target": {}}}),
)
OPEN = (
    Style("prefetch_floor", {"must_inspect": [NOTES], "evidence_collection_mode": "prefetch_floor"}),
    Style("agenda_guided", {"must_inspect": [NOTES], "evidence_collection_mode": "agenda_guided"}, first=[read(NOTES)]),
    Style("model_led", {"evidence_collection_mode": "model_led"}),
    Style("close_immediately", {"exploration_policy": {"after_required_floor": "close_immediately"}}),
)
TIER_FIELDS: dict[str, dict[str, Any]] = {
    "A2": {"tier": "A2"},
    "A3": {"tier": "A3"},
    "A3-open": {
        "tier": "A3",
        "objective_style": "open_investigation",
        "answer_obligations": [{"id": "q1", "question": QUESTION}],
    },
}
STYLES: dict[str, tuple[Style, ...]] = {"A2": PLAIN[:2], "A3": PLAIN, "A3-open": OPEN}
"""Tier to its styles."""


def styles_of(exhibit: Exhibit) -> Iterator[tuple[str, Style]]:
    """Every tier and style in which an exhibit can be shown: what it asks for itself is not overruled."""
    for tier in exhibit.tiers:
        for style in STYLES[tier]:
            if not set(style.fields) & set(exhibit.fields):
                yield tier, style


def contract_of(exhibit: Exhibit, tier: str, style: Style) -> dict[str, Any]:
    """The contract of an exhibit."""
    return {**BASE, **TIER_FIELDS[tier], **style.fields, **exhibit.fields}


def staged(script: Script, style: Style) -> Script:
    """A script with what the style asks of every model, honest or not, put in front and before the first report."""
    at = next((index for index, turn in enumerate(script) if isinstance(turn, Report)), len(script))
    return [*style.first, *script[:at], *(style.last if at else ()), *script[at:]]
