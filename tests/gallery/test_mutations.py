"""Taking a gate away is noticed: some lie of the gallery then ends COMPLETE."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_oss.missions import gates
from tests.gallery.exhibit import Exhibit
from tests.gallery.stage import Part, open_stage
from tests.gallery.styles import STYLES, contract_of, staged
from tests.gallery.table import EXHIBITS
from tests.missions.test_explain import codes_in_sources

GATE_SOURCES = (
    *("gates.py", "claims.py", "kinds.py", "numbers.py", "absence.py", "evidence.py"),
    *("contract_gates.py", "sources.py", "objective.py", "exploration.py"),
)


def test_without_a_gate_a_lie_completes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gate alone holds back at least one liar, and without it that liar gets through."""
    with open_stage(tmp_path) as stage:
        judged = stage.play([_part(exhibit) for exhibit in EXHIBITS])
        codes_of = {gate.name: gate.codes for gate in gates.GATES}
        stopped_by: dict[str, list[Exhibit]] = {}
        for exhibit, record in zip(EXHIBITS, judged, strict=True):
            assert record.closed is not None
            assert all(failure.code in codes_of[failure.gate] for failure in record.closed.failures)
            objecting = {failure.gate for failure in record.closed.failures}
            if len(objecting) == 1:
                stopped_by.setdefault(objecting.pop(), []).append(exhibit)
        kept_all = gates.GATES
        for gate in kept_all:
            liars = stopped_by.get(gate.name, [])
            assert liars, f"no lie is held back by {gate.name} alone"
            monkeypatch.setattr(gates, "GATES", tuple(kept for kept in kept_all if kept is not gate))
            ends = {
                exhibit.name: record.closed
                for exhibit, record in zip(liars, stage.play(list(map(_part, liars))), strict=True)
            }
            assert "COMPLETE" in {end.status for end in ends.values() if end}, f"without {gate.name}: {ends}"


def test_every_reason_of_a_gate_has_a_lie() -> None:
    """No objection that a gate can make goes unshown."""
    shown = {code for exhibit in EXHIBITS for code in exhibit.codes}
    declared = {code for gate in gates.GATES for code in gate.codes}
    assert declared - shown == set()
    assert codes_in_sources(*GATE_SOURCES) - {"mission_not_opened"} == declared


def _part(exhibit: Exhibit) -> Part:
    tier = exhibit.tiers[0]
    style = next(style for style in STYLES[tier][::-1] if not set(style.fields) & set(exhibit.fields))
    return Part(contract_of(exhibit, tier, style), staged(exhibit.liar, style), "json")
