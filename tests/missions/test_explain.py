"""Every reason code speaks: one sentence each, and no sentence without a code that can occur."""

from __future__ import annotations

import ast
from pathlib import Path

import codex_oss.missions
from codex_oss.missions.explain import REASONS, explain_record, render_explanation, sentence_of
from tests.fakes.mission_script import call, finding, mission, play, report

SOURCES = Path(codex_oss.missions.__file__).parent
CODE_ARGUMENT = {"GateFailure": 1, "BadRef": 1, "_close": 1, "close_by_runtime": 1, "_invalid": 1}
"""Calls in the mission core whose argument of this index is a reason code."""


def codes_in_sources(*names: str) -> set[str]:
    """Every reason code that the core can put into a closing. names: of files; all of them unless told."""
    codes: set[str] = set()
    for path in [SOURCES / name for name in names] or SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CODE_ARGUMENT:
                argument = (
                    node.args[CODE_ARGUMENT[node.func.id]] if len(node.args) > CODE_ARGUMENT[node.func.id] else None
                )
                if isinstance(argument, ast.Constant):
                    codes.add(str(argument.value))
            if (
                isinstance(node, ast.Yield)
                and isinstance(node.value, ast.Tuple)
                and isinstance(node.value.elts[0], ast.Constant)
            ):
                codes.add(str(node.value.elts[0].value))
    return codes


def test_every_reason_has_a_sentence() -> None:
    """No closing is left unexplained."""
    found = codes_in_sources()
    assert len(found) > 25
    assert found - set(REASONS) == set()


def test_an_unknown_code_points_to_the_note() -> None:
    """Codes of upstream failures are explained by the closing's own sentence."""
    assert "note below" in sentence_of("upstream_refused")


def test_an_explanation_says_why_and_what_was_refused() -> None:
    """Status, sentence, objections and refused actions, in plain words."""
    lie = report(finding("`NOPE`", "file:app/retry.py#extract:1"))
    record = play(mission(), [call("rtk_read", path="/etc/passwd"), call("rtk_read", path="app/retry.py"), lie, lie])
    text = render_explanation(explain_record(record))
    assert "ended PARTIAL" in text
    assert REASONS["code_not_in_evidence"] in text
    assert "`NOPE` does not stand in the cited lines. [gate code] The claim: `NOPE`" in text
    assert "[path_absolute]" in text


def test_a_complete_mission_is_explained_too() -> None:
    """COMPLETE says what it rests on."""
    record = play(
        mission(),
        [call("rtk_read", path="app/retry.py"), report(finding("`MAX_RETRIES`", "file:app/retry.py#extract:1"))],
    )
    assert "Every claim of its report stands" in render_explanation(explain_record(record))
