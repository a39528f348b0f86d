"""The gates that a contract opens, apart from a real run: topics, old contracts, bytes shown, and what is remarked."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.mission import AnswerObligation, MissionV1, ObjectiveSpec, SourceRequirement
from codex_oss.contracts.tools import Match, ToolResult
from codex_oss.missions.commentary import Commentator
from codex_oss.missions.observation_limit import cut_to_limit, shown_bytes
from codex_oss.missions.record import evolve, new_record
from codex_oss.missions.topics import named_topic, searched_topic
from tests.fakes.mission_script import Play, call, finding, mission, play, report

READ = call("rtk_read", path="app/retry.py")
TRUE = finding("`MAX_RETRIES` is 5", "file:app/retry.py#extract:1")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("the Payments   Service fails", True),
        ("payments service_total", True),
        ("payments services", False),
        ("prepayments service", False),
        ("payments\nservice.", True),
    ],
)
def test_a_topic_is_named_as_whole_words(text: str, named: bool) -> None:
    """In any case, with any space; `_` and punctuation end a word."""
    assert bool(named_topic(text, ("Payments service", "other"))) == named


def test_escapes_of_a_pattern_are_no_letters() -> None:
    r"""`\bfee` searches for fee."""
    assert searched_topic(r"\bfee\b", ("fee",)) == "fee"
    assert searched_topic("coffee", ("fee",)) == ""


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=4).map(tuple), st.text())
def test_any_topic_and_any_text(topics: tuple[str, ...], text: str) -> None:
    """Never raises; a text that is the topic names one of them, unless it holds no word at all."""
    named_topic(text, topics)
    if topics[0].isalnum() and topics[0].isascii():
        assert named_topic(topics[0], topics)


def old(contract: MissionV1) -> MissionV1:
    """A contract as earlier versions admitted it: words that nobody looked at."""
    source = SourceRequirement("app/retry.py", "anything", required_shapes=("looks_good",))
    return msgspec.structs.replace(
        contract,
        objective_spec=ObjectiveSpec("usage_location", required_evidence_shapes=("looks_good",)),
        answer_obligations=(AnswerObligation("q1", "?", source_requirements=(source,)),),
        completion_contract={"required_axes": ["answer"], "anything": 5},
        stop_conditions=("whatever",),
    )


def test_an_old_contract_is_still_judged() -> None:
    """What is asked for in words that mean nothing is not met, and nothing breaks."""
    record = play(old(mission()), [READ, report(TRUE)])
    assert record.closed is not None
    assert (record.closed.status, record.closed.reason_codes) == ("PARTIAL", ("evidence_shape_missing",))


def test_the_fast_path_is_remarked_as_what_it_is() -> None:
    """Nobody reads that a model reported when none was asked."""
    contract = mission(
        allowed_roots=[],
        allowed_paths=["app/retry.py"],
        objective_spec={"objective_type": "function_location", "target": {"symbol": "retry"}},
    )
    played = Play(contract, [report(TRUE)])
    record = played.run()
    assert (record.closed.status if record.closed else "", record.calls) == ("COMPLETE", [])
    replayed, commentator, remarks = new_record("run_1", "m_test"), Commentator(), []
    for recorded in played.events:
        evolve(replayed, recorded)
        remarks += [remark.message for remark in commentator.take(replayed, recorded)]
    assert any("no model is asked" in remark for remark in remarks)
    assert not any("The model reports" in remark for remark in remarks)


LINES = st.lists(st.text(max_size=30), max_size=12).map(tuple)


@given(LINES, st.lists(st.text(max_size=20), max_size=6), st.integers(-5, 400))
def test_a_cut_result_fits_and_shows_a_beginning(lines: tuple[str, ...], matches: list[str], left: int) -> None:
    """Never more than is left, whole lines from the top, never called complete when something is missing."""
    found = tuple(Match("a.py", number, text) for number, text in enumerate(matches, 1))
    result = ToolResult("rtk_grep", "matches", 0, lines=lines, matches=found, match_count=len(found))
    cut = cut_to_limit(result, left)
    assert shown_bytes(cut) <= max(0, left) or shown_bytes(result) == 0
    if cut.kind == "error":
        assert cut.error_code == "observation_limit_reached"
        return
    assert result.lines[: len(cut.lines)] == cut.lines
    assert result.matches[: len(cut.matches)] == cut.matches
    assert cut == result or not cut.complete
    assert cut_to_limit(cut, left) == cut
