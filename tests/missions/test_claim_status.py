"""Which claims stand is judged anew: what a log says about itself is not believed."""

from __future__ import annotations

import msgspec
import pytest

from codex_oss.missions.claim_status import CLAIMS, claims_of, is_complete, status_of_mission, status_of_program
from codex_oss.missions.events import MissionClosed, ReportRefused
from codex_oss.missions.record import RunRecord, fold
from tests.fakes.mission_script import Play, call, finding, mission, report

TRUE = finding("`MAX_RETRIES` is 5", "file:app/retry.py#extract:1")
FALSE = finding("`MAX_RETRIES` is 8", "file:app/retry.py#extract:1")
READ = call("rtk_read", path="app/retry.py")


def played(*answers: str, **fields: object) -> Play:
    """A mission, played to its end."""
    play = Play(mission(**fields), list(answers))
    play.run()
    return play


def claiming_complete(play: Play) -> RunRecord:
    """The same log, but with a closing that says COMPLETE: what a careless or bought runtime would write."""
    lie = MissionClosed("COMPLETE", "HIGH", (), "model_report", "COMPLETE")
    events = [
        msgspec.structs.replace(each, event=lie) if isinstance(each.event, MissionClosed) else each
        for each in play.events
        if not isinstance(each.event, ReportRefused)
    ]
    return fold("run_1", "m_test", events)


def test_true_findings_stand() -> None:
    """SUPPORTED with their refs; the program's claim has this mission as its basis."""
    record = played(READ, report(TRUE)).record
    told = status_of_mission(record)
    assert (told["ok"], [claim["status"] for claim in told["claims"]]) == (True, ["SUPPORTED"])
    claims = {claim["claim"]: claim for claim in status_of_program([record])["claims"]}
    assert claims["runtime_backed_investigation"]["basis"] == ["m_test"]
    assert claims["open_investigation_runtime"]["status"] == "UNCONFIRMED"


@pytest.mark.parametrize(
    "answers", [(READ, report(FALSE)), (READ, report(TRUE, FALSE)), (report(TRUE),), (READ, report())]
)
def test_a_closing_that_says_complete_is_not_believed(answers: tuple[str, ...]) -> None:
    """A false finding, one among true ones, a file that was never read, no finding at all: it supports nothing."""
    record = claiming_complete(played(*answers, answers[-1]))
    assert record.closed is not None
    assert record.closed.status == "COMPLETE"
    assert is_complete(record) is False
    assert status_of_mission(record)["ok"] is False
    assert status_of_program([record])["claims"][0]["status"] == "UNCONFIRMED"


def test_only_the_false_one_falls() -> None:
    """Each finding has a standing of its own, and a code when it falls."""
    standing = claims_of(played(READ, report(TRUE, FALSE), report(TRUE, FALSE)).record)
    assert [(claim.status, bool(claim.codes)) for claim in standing] == [("SUPPORTED", False), ("UNCONFIRMED", True)]


def test_an_open_mission_supports_nothing() -> None:
    """Before its closing no claim stands."""
    play = played(READ, report(TRUE))
    record = fold("run_1", "m_test", [each for each in play.events if not isinstance(each.event, MissionClosed)])
    assert [claim.status for claim in claims_of(record)] == ["UNCONFIRMED"]
    assert status_of_mission(record)["ok"] is False


def test_an_open_investigation_is_the_basis_of_its_own_claim() -> None:
    """With its questions answered; and the claims about changes stay without basis, each with a reason."""
    question = {"id": "q1", "question": "How many retries are there?", "required": True}
    fields = {"objective_style": "open_investigation", "answer_obligations": [question]}
    record = played(READ, report({**TRUE, "obligation_id": "q1"}), **fields).record
    told = status_of_program([record])
    claims = {claim["claim"]: claim for claim in told["claims"]}
    assert claims["open_investigation_runtime"]["basis"] == ["m_test"]
    assert told["ok"] is False
    assert [name for name, claim in claims.items() if claim["missing"]] == list(CLAIMS)[2:]
