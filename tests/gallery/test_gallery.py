"""The gallery: no scripted liar ends COMPLETE, whatever protocol, tier and style; its truthful twin does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from codex_oss.missions.explain import REASONS, explain_record, render_explanation
from codex_oss.missions.record import RunRecord
from tests.gallery import lies_of_search
from tests.gallery.exhibit import Exhibit
from tests.gallery.stage import Part, Stage, open_stage
from tests.gallery.styles import BASE, STYLES, TIER_FIELDS, contract_of, staged, styles_of
from tests.gallery.table import EXHIBITS
from tests.gallery.turns import PROTOCOLS, Protocol


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One project for the whole gallery."""
    with open_stage(tmp_path_factory.mktemp("gallery")) as opened:
        yield opened


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("exhibit", EXHIBITS, ids=[exhibit.name for exhibit in EXHIBITS])
def test_a_lie_never_completes_and_its_twin_does(stage: Stage, exhibit: Exhibit, protocol: Protocol) -> None:
    """In each tier and style: the lie ends below COMPLETE, for the reasons the table names; the truth ends COMPLETE."""
    codes = exhibit.ends_with(protocol)
    shows = list(styles_of(exhibit))
    assert shows, "an exhibit that is never shown"
    parts = [
        Part(contract_of(exhibit, tier, style), staged(script, style), protocol)
        for tier, style in shows
        for script in (exhibit.liar, exhibit.honest)
    ]
    records = stage.play(parts)
    for (tier, style), lie, truth in zip(shows, records[::2], records[1::2], strict=True):
        where = f"{tier}, {style.name}"
        assert lie.closed is not None
        assert lie.closed.status != "COMPLETE", where
        assert lie.closed.reason_codes == codes, where
        explained = render_explanation(explain_record(lie))
        assert all(REASONS[code] in explained for code in codes), where
        assert truth.closed is not None
        assert (truth.closed.status, truth.closed.reason_codes) == ("COMPLETE", ()), f"{where}: {truth.closed}"


@pytest.mark.parametrize(("protocol", "tier"), list(product(PROTOCOLS, STYLES)))
def test_a_negative_answer_that_was_searched_for_completes(stage: Stage, protocol: Protocol, tier: str) -> None:
    """No, none, zero and "these two disagree" are answers like any other."""
    shows = list(product(lies_of_search.ANSWERS.items(), STYLES[tier]))
    parts = [
        Part({**BASE, **TIER_FIELDS[tier], **style.fields}, staged(script, style), protocol)
        for (_, script), style in shows
    ]
    ends = {
        f"{name}, {style.name}": _end_of(record)
        for ((name, _), style), record in zip(shows, stage.play(parts), strict=True)
    }
    assert ends == dict.fromkeys(ends, ("COMPLETE", ()))


def test_the_gallery_is_large_enough() -> None:
    """At least 25 kinds, each with a name of its own."""
    assert len({exhibit.name for exhibit in EXHIBITS}) == len(EXHIBITS) >= 25


def _end_of(record: RunRecord) -> tuple[str, tuple[str, ...]]:
    assert record.closed is not None
    return record.closed.status, record.closed.reason_codes
