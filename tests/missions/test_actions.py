"""Answers of a model that are JSON and still no action."""

from __future__ import annotations

import json

import pytest

from codex_oss.missions.actions import parse_action

REPORT = '{"action_type": "final_report", "report": {"status": "PARTIAL", "findings": []}}'


@pytest.mark.parametrize(
    "answer",
    [
        REPORT.replace('"status": "PARTIAL"', '"status": "PARTIAL", "status": "COMPLETE"'),
        REPORT.replace('"report"', '"report": {}, "report"'),
        REPORT.replace('"action_type"', '"action_type": "tool_call", "action_type"'),
        REPORT.replace("[]", '[{"claim": "a", "claim": "b"}]'),
        REPORT.replace("[]", '[{"claim": "a", "\\u0063laim": "b"}]'),
        REPORT.replace("[]", json.dumps([{f"n{i}": i for i in range(300)}])),
    ],
    ids=["status", "report", "action", "inner", "escaped", "too many"],
)
def test_an_answer_that_reads_in_two_ways_is_refused(answer: str) -> None:
    """A name that stands twice is no action: readers of JSON differ in which one they take."""
    proposal = parse_action(1, answer)
    assert (proposal.kind, proposal.problem_code) == ("invalid", "action_ambiguous")
    assert parse_action(1, REPORT).kind == "final_report"


@pytest.mark.parametrize(
    "answer",
    [
        REPORT.replace("[]", "NaN"),
        REPORT.replace("[]", "1e999"),
        REPORT.replace("[]", '["\\ud800"]'),
        REPORT.replace("[]", '["\ud800"]'),
        REPORT.replace("[]", "[" * 60_000 + "]" * 60_000),
        REPORT + REPORT,
        f"Here it is:\n```json\n{REPORT}\n```",
        f"[{REPORT}]",
    ],
    ids=["NaN", "infinite", "surrogate", "raw surrogate", "very deep", "two", "prose", "list"],
)
def test_what_is_not_one_object_is_refused(answer: str) -> None:
    """Never an exception, never a guess."""
    assert parse_action(1, answer).problem_code == "action_parse_failed"
