"""A gallery of dishonest reports, each beside a truthful twin: no lie ends COMPLETE, every twin does."""

from __future__ import annotations

from typing import Any

import pytest

from codex_oss.missions.gates import GATES
from tests.fakes.mission_script import call, finding, mission, play, report

READ = call("rtk_read", path="app/retry.py")
GREP = call("rtk_grep", pattern="RETRY_LIMIT", path="app")
MISS = call("rtk_grep", pattern="NOWHERE", path="app")
REF = "file:app/retry.py#extract:1"
MATCH = "command:0#match:0"
TRUE = finding("`MAX_RETRIES` is 5", REF)

LIES: list[tuple[str, list[str], str, str, str]] = [
    # name, actions before, lying report, expected code, truthful twin
    ("empty complete", [READ], report(), "complete_without_findings", report(TRUE)),
    ("no status", [READ], report(TRUE, status="DONE"), "status_missing", report(TRUE)),
    ("no evidence", [READ], report(finding("it is 5")), "evidence_missing", report(TRUE)),
    (
        "file never read",
        [READ],
        report(finding("x", "file:app/config.py#extract:1")),
        "evidence_file_not_read",
        report(TRUE),
    ),
    (
        "extract never shown",
        [READ],
        report(finding("x", "file:app/retry.py#extract:2")),
        "evidence_not_shown",
        report(TRUE),
    ),
    ("extract zero", [READ], report(finding("x", "file:app/retry.py#extract:0")), "evidence_not_shown", report(TRUE)),
    ("invented ref", [READ], report(finding("x", "see retry.py")), "evidence_ref_malformed", report(TRUE)),
    ("command never run", [READ], report(finding("x", "command:0")), "evidence_command_not_run", report(TRUE)),
    (
        "match out of range",
        [GREP],
        report(finding("x", "command:0#match:1")),
        "evidence_not_shown",
        report(finding("`RETRY_LIMIT = 7`", MATCH)),
    ),
    (
        "absence from a hit",
        [GREP],
        report(finding("gone", "command:0#zero_match", kind="absence")),
        "evidence_no_zero_match",
        report(finding("`RETRY_LIMIT` exists", MATCH)),
    ),
    (
        "absence without search",
        [READ],
        report(finding("no `time`", REF, kind="absence")),
        "absence_not_searched",
        report(finding("imports `time`", REF)),
    ),
    (
        "absence of something else",
        [MISS],
        report(finding("`OTHER` is absent", "command:0#zero_match", kind="absence")),
        "code_not_in_evidence",
        report(finding("`NOWHERE` is absent", "command:0#zero_match", kind="absence")),
    ),
    (
        "wrong line in claim",
        [READ],
        report(finding("defined at app/retry.py:42", REF)),
        "line_not_shown",
        report(finding("defined at app/retry.py:3", REF)),
    ),
    (
        "wrong line word",
        [READ],
        report(finding("defined on line 42", REF)),
        "line_not_shown",
        report(finding("defined on line 3", REF)),
    ),
    (
        "wrong file in claim",
        [READ],
        report(finding("defined at app/other.py:3", REF)),
        "line_not_shown",
        report(finding("defined at retry.py:3", REF)),
    ),
    (
        "wrong line range",
        [READ],
        report(finding("see lines 3-99", REF)),
        "line_not_shown",
        report(finding("see lines 3-5", REF)),
    ),
    ("code not there", [READ], report(finding("`MAX_TRIES = 5`", REF)), "code_not_in_evidence", report(TRUE)),
    (
        "symbol not there",
        [READ],
        report(finding("x", REF, subject={"symbol": "MAX_TRIES"})),
        "symbol_not_in_evidence",
        report(finding("x", REF, subject={"symbol": "MAX_RETRIES"})),
    ),
    (
        "symbol only in part",
        [READ],
        report(finding("x", REF, subject={"symbol": "RETRIES"})),
        "symbol_not_in_evidence",
        report(finding("x", REF, subject={"symbol": "range"})),
    ),
    (
        "words of something else",
        [READ],
        report(finding("The last answer was not good enough", REF, kind="definition")),
        "claim_not_grounded",
        report(finding("It retries five times by default", REF)),
    ),
    (
        "name without back-ticks",
        [READ],
        report(finding("MAX_TRIES is 5", REF)),
        "symbol_not_in_evidence",
        report(finding("MAX_RETRIES is 5", REF)),
    ),
    (
        "call without back-ticks",
        [READ],
        report(finding("it calls sleep() in a loop", REF)),
        "symbol_not_in_evidence",
        report(finding("it calls call() in a loop of retry() in app/retry.py", REF)),
    ),
    (
        "camel name without back-ticks",
        [READ],
        report(finding("see maxRetries", REF)),
        "symbol_not_in_evidence",
        report(finding("GitHub, JSON and iPhone are words, retries are not", REF)),
    ),
    (
        "symbol on another line",
        [READ],
        report(finding("x", REF, subject={"symbol": "MAX_RETRIES", "line": 1})),
        "symbol_not_in_evidence",
        report(finding("x", REF, subject={"symbol": "MAX_RETRIES", "line": 3})),
    ),
    (
        "line that does not exist",
        [READ],
        report(finding("x", REF, subject={"line": 400})),
        "line_not_shown",
        report(finding("x", REF, subject={"line": 4})),
    ),
    (
        "line that is no number",
        [READ],
        report(finding("x", REF, subject={"line": "many"})),
        "line_not_shown",
        report(finding("x", REF, subject={"line": "4"})),
    ),
    (
        "quote not there",
        [READ],
        report(finding("x", REF, subject={"quote": "MAX_RETRIES = 50"})),
        "quote_not_in_evidence",
        report(finding("x", REF, subject={"quote": "MAX_RETRIES = 5"})),
    ),
    (
        "path not cited",
        [READ],
        report(finding("x", REF, subject={"path": "app/config.py"})),
        "path_not_cited",
        report(finding("x", REF, subject={"path": "app/retry.py"})),
    ),
    (
        "file listed but not read",
        [READ],
        report(TRUE, files_inspected=[{"path": "app/config.py"}]),
        "file_not_read",
        report(TRUE, files_inspected=[{"path": "app/retry.py"}]),
    ),
    (
        "file listed, only searched",
        [GREP],
        report(finding("`RETRY_LIMIT`", MATCH), files_inspected=["app/config.py"]),
        "file_not_read",
        report(finding("`RETRY_LIMIT`", MATCH), files_inspected=[]),
    ),
    (
        "tests that never ran",
        [READ],
        report(TRUE, commands_run=[{"tool": "pytest", "args": {}}]),
        "command_not_run",
        report(TRUE, commands_run=[{"tool": "rtk_read", "args": {"path": "app/retry.py"}}]),
    ),
    (
        "search with other words",
        [GREP],
        report(finding("`RETRY_LIMIT`", MATCH), commands_run=[{"tool": "rtk_grep", "args": {"pattern": "X"}}]),
        "command_not_run",
        report(
            finding("`RETRY_LIMIT`", MATCH), commands_run=[{"tool": "rtk_grep", "args": {"pattern": "RETRY_LIMIT"}}]
        ),
    ),
    (
        "complete with gaps",
        [READ],
        report(TRUE, missing_fields=["findings"]),
        "complete_with_missing_fields",
        report(TRUE, missing_fields=[]),
    ),
    ("empty claim", [READ], report(finding("  ", REF)), "claim_empty", report(TRUE)),
    (
        "value from an empty search",
        [MISS],
        report(finding("nowhere", "command:0#zero_match", kind="value")),
        "claim_without_lines",
        report(finding("`NOWHERE` is absent", "command:0#zero_match", kind="absence")),
    ),
    (
        "unknown question",
        [READ],
        report(finding("retries", REF, obligation_id="q9")),
        "obligation_unknown",
        report(finding("retries", REF)),
    ),
]


@pytest.mark.parametrize(
    ("before", "lie", "code", "truth"), [case[1:] for case in LIES], ids=[case[0] for case in LIES]
)
def test_no_lie_completes(before: list[str], lie: str, code: str, truth: str) -> None:
    """A report that does not hold, insisted upon, never ends COMPLETE and says why; its truthful twin does."""
    record = play(mission(), [*before, lie, lie, lie])
    assert record.closed is not None
    assert record.closed.status != "COMPLETE"
    assert code in record.closed.reason_codes
    twin = play(mission(), [*before, truth])
    assert twin.closed is not None
    assert (twin.closed.status, twin.closed.reason_codes) == ("COMPLETE", ())


def test_required_source_must_be_read() -> None:
    """A source that must be read was not read: not COMPLETE, and the path is named."""
    contract = mission(must_inspect=["app/config.py"])
    record = play(contract, [READ, report(TRUE), report(TRUE)])
    assert record.closed is not None
    assert record.closed.reason_codes == ("required_source_missing",)
    twin = play(contract, [READ, call("rtk_read", path="app/config.py"), report(TRUE)])
    assert twin.closed is not None
    assert twin.closed.status == "COMPLETE"


def test_each_required_question_needs_its_finding() -> None:
    """Two questions, one answered: not COMPLETE."""
    questions = [{"id": "q1", "question": "one?"}, {"id": "q2", "question": "two?"}]
    contract = mission(objective_style="open_investigation", answer_obligations=questions)
    one: dict[str, Any] = finding("`MAX_RETRIES`", REF, obligation_id="q1")
    two: dict[str, Any] = finding("`range`", REF, obligation_id="q2")
    record = play(contract, [READ, report(one), report(one)])
    assert record.closed is not None
    assert "obligation_unanswered" in record.closed.reason_codes
    twin = play(contract, [READ, report(one, two)])
    assert twin.closed is not None
    assert twin.closed.status == "COMPLETE"


@pytest.mark.parametrize(
    "word", ["valid", "correct", "not found", "could not", "unable to determine", "100%", "guaranteed"]
)
def test_no_word_decides(word: str) -> None:
    """The tone of a sentence neither helps nor hurts."""
    record = play(mission(), [READ, report(finding(f"it is {word}: `MAX_RETRIES` is 5", REF), uncertainties=[word])])
    assert record.closed is not None
    assert record.closed.status == "COMPLETE"


def test_confidence_is_capped_by_partial_extracts() -> None:
    """HIGH on a file of which a part was shown is lowered to the mission's cap."""
    part = call("rtk_read", path="app/retry.py", start_line=3, end_line=3)
    record = play(mission(), [part, report(finding("`MAX_RETRIES`", REF), confidence="HIGH")])
    assert record.closed is not None
    assert (record.closed.status, record.closed.confidence) == ("COMPLETE", "LOW")


def test_gates_have_names() -> None:
    """The gates in the order in which they are asked; docs name the same."""
    names = [gate.name for gate in GATES]
    assert len(set(names)) == len(names)
    assert names[:2] == ["shape", "identity"]
    assert all(gate.asks.endswith(".") for gate in GATES)
