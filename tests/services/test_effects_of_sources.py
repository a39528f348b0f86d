"""What a contract asks of the answer, seen in real missions: sources, questions, sufficiency, exploration.

`tests/contracts/test_effects.py` says which test shows which field.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codex_oss.contracts.evidence_shapes import EVIDENCE_SHAPES
from tests.fakes.mission_script import call, finding, report
from tests.fakes.real_mission import ASKING, Ran, run_mission, write_project

READ = call("rtk_read", path="app/retry.py")
CONFIG = call("rtk_read", path="app/config.py")
TESTS = call("rtk_read", path="tests/test_retry.py")
REF = "file:app/retry.py#extract:1"
TRUE = finding("`MAX_RETRIES` is 5", REF)
HONEST = report(TRUE)
MISS = call("rtk_grep", pattern="NOWHERE", path="app")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    return write_project(tmp_path / "project")


def asking(**source: Any) -> dict[str, Any]:
    """An open mission whose one question needs app/retry.py, with more asked of that source."""
    question = {"id": "q1", "question": "How often?", "source_requirements": [{"path": "app/retry.py", **source}]}
    return {"objective_style": "open_investigation", "answer_obligations": [question]}


def both(project: Path, fields: dict[str, Any], *, lacking: list[str], whole: list[str], code: str) -> Ran:
    """The first script must not end COMPLETE and says why; the second must. Returns the second."""
    ran = run_mission(project, fields, lacking)
    assert (ran.status != "COMPLETE", code in ran.codes) == (True, True), (ran.status, ran.codes)
    twin = run_mission(project, fields, whole)
    assert (twin.status, twin.codes) == ("COMPLETE", [])
    return twin


def test_must_inspect_is_required(project: Path) -> None:
    """Unread, a COMPLETE is refused and the path is named."""
    fields = {"must_inspect": ["app/config.py"]}
    twin = both(project, fields, lacking=[READ, HONEST], whole=[READ, CONFIG, HONEST], code="required_source_missing")
    assert "MUST BE READ BEFORE COMPLETE: app/config.py" in twin.asked


def test_prefetch_reads_before_the_first_question(project: Path) -> None:
    """prefetch_floor: the runtime reads what is required; a source with prefetch false is left to the model."""
    answer = report(finding("`MAX_RETRIES` is 5", REF, obligation_id="q1"))
    fields = asking() | {"evidence_collection_mode": "prefetch_floor"}
    ran = run_mission(project, fields, [answer])
    assert (ran.status, ran.record.judged[0].proposal.proposer) == ("COMPLETE", "runtime")
    kept = asking(prefetch=False) | {"evidence_collection_mode": "prefetch_floor"}
    assert run_mission(project, kept, [answer]).codes == ["required_source_missing", "evidence_file_not_read"]


def test_the_agenda_keeps_calls_back(project: Path) -> None:
    """agenda_guided: the model leads, and the last call goes to what is required; switched off, it does not."""
    fields = asking() | {"tool_budget": 2}
    answers = [CONFIG, TESTS, report(finding("`MAX_RETRIES` is 5", REF, obligation_id="q1"))]
    guided = run_mission(project, fields, answers)
    assert [(j.proposal.proposer, j.proposal.arguments.get("path")) for j in guided.record.judged if j.result] == [
        ("model", "app/config.py"),
        ("runtime", "app/retry.py"),
    ]
    assert guided.status == "COMPLETE"
    for switched in ({"phase_policy_enabled": False}, {"evidence_collection_mode": "model_led"}):
        ran = run_mission(project, fields | switched, answers)
        assert "required_source_missing" in ran.codes
        assert all(judged.proposal.proposer == "model" for judged in ran.record.judged)


def test_questions_are_asked_hinted_and_must_be_answered(project: Path) -> None:
    """A required question without a finding of its id refuses a COMPLETE; an optional one does not."""
    questions = [
        {"id": "often", "question": "How often?", "source_hints": ["app/retry.py"], "evidence_needed": ["a loop"]},
        {"id": "fee", "question": "Which fee?"},
        {"id": "extra", "question": "Why?", "required": False},
    ]
    fields = {"objective_style": "open_investigation", "answer_obligations": questions}
    often = finding("`MAX_RETRIES` is 5", REF, obligation_id="often")
    fee = finding("`FEE` is 3", "file:app/payments.py#extract:1", obligation_id="fee")
    looks = [READ, call("rtk_read", path="app/payments.py")]
    lacking = [*looks, report(often)]
    twin = both(project, fields, lacking=lacking, whole=[*looks, report(often, fee)], code="obligation_unanswered")
    assert "How often? | look at: app/retry.py | proof: a loop" in twin.asked
    assert "QUESTION extra (optional" in twin.asked


def test_a_shape_among_the_needed_evidence_is_checked(project: Path) -> None:
    """evidence_needed: the name of a shape is more than a word to the model."""
    question = {"id": "q1", "question": "Tested?", "evidence_needed": ["test_definition"]}
    fields = {"objective_style": "open_investigation", "answer_obligations": [question]}
    whole = [TESTS, report(finding("`test_retry` tests it", "file:tests/test_retry.py#extract:1"))]
    both(project, fields, lacking=[READ, HONEST], whole=whole, code="evidence_shape_missing")


PART = call("rtk_read", path="app/retry.py", start_line=1, end_line=3)
REST = call("rtk_read", path="app/retry.py", start_line=4, end_line=8)
GREP = call("rtk_grep", pattern="sleep", path="app/retry.py")
HIT = call("rtk_grep", pattern="range", path="app/retry.py")
PARTLY, WHOLE = [PART, HONEST], [READ, HONEST]
ANY = {"shape_match_policy": "any"}
RESULT = {"evidence_plane": "command_result", "command_requirement": {"pattern": "sleep"}}
SIDES = (REF, "file:app/config.py#extract:1")
AGAINST = finding("`range(MAX_RETRIES)` speaks against `RETRY_LIMIT = 7`", *SIDES, kind="contradiction")
HIT_AGAINST = finding("`range(` speaks against `RETRY_LIMIT = 7`", "command:0", SIDES[1], kind="contradiction")
FOUND = [READ, HIT, CONFIG, report(TRUE, HIT_AGAINST)]


@pytest.mark.parametrize(
    ("source", "lacking", "whole", "code"),
    [
        ({"completeness_policy": "whole_file_required"}, PARTLY, [PART, REST, HONEST], "source_not_whole"),
        ({"evidence_kind": "behavior_derivation"}, PARTLY, WHOLE, "source_not_whole"),
        ({"evidence_kind": "function_definition"}, PARTLY, WHOLE, "evidence_shape_missing"),
        ({"required_shapes": ["function_definition"]}, PARTLY, WHOLE, "evidence_shape_missing"),
        ({"required_shapes": ["function_definition", "class_definition"]}, WHOLE, None, "evidence_shape_missing"),
        ({"required_shapes": ["function_definition", "class_definition"], **ANY}, None, WHOLE, ""),
        ({"completeness_policy": "range_sufficient"}, None, PARTLY, ""),
        ({"completeness_policy": "scope_search_required"}, WHOLE, [READ, GREP, HONEST], "source_not_searched"),
        ({"evidence_kind": "negative_proof"}, WHOLE, [READ, GREP, HONEST], "source_not_searched"),
        ({"pattern": "sleep"}, [READ, MISS, HONEST], [READ, GREP, HONEST], "source_not_searched"),
        (RESULT, WHOLE, [PART, GREP, HONEST], "source_not_searched"),
        ({"contradiction_markers": ["range("]}, WHOLE, [READ, CONFIG, report(TRUE, AGAINST)], "source_contradicted"),
        ({"evidence_kind": "negative_proof", "pattern": "range"}, [READ, HIT, HONEST], FOUND, "source_contradicted"),
    ],
)
def test_a_required_source_must_give_what_is_asked(
    project: Path, source: dict[str, Any], lacking: list[str] | None, whole: list[str] | None, code: str
) -> None:
    """Whole files, shapes, searches, contradictions: one lacking refuses a COMPLETE, with all of them it stands."""
    fields = {**asking(prefetch=False, **source), "phase_policy_enabled": False}
    if lacking:
        ran = run_mission(project, fields, lacking)
        assert (ran.status, code in ran.codes) == ("PARTIAL", True), ran.codes
    if whole:
        twin = run_mission(project, fields, whole)
        assert (twin.status, twin.codes) == ("COMPLETE", [])


def test_what_is_not_required_is_not_missed(project: Path) -> None:
    """A source with required false refuses nothing."""
    assert run_mission(project, asking(required=False, evidence_kind="security_review"), [CONFIG, report(
        finding("`TIMEOUT_S` is 30", "file:app/config.py#extract:1"))]).status == "COMPLETE"  # fmt: skip


def test_sufficiency_counts_findings_and_refs(project: Path) -> None:
    """Fewer findings or fewer refs than asked refuse a COMPLETE."""
    two = report(TRUE, finding("`retry` is defined at app/retry.py:6", REF))
    fields = {"sufficiency_policy": {"min_main_claims": 2}}
    both(project, fields, lacking=[READ, HONEST], whole=[READ, two], code="too_few_findings")
    search = call("rtk_grep", pattern="MAX_RETRIES", path="app")
    twice = report(finding("`MAX_RETRIES` is 5", REF, "command:0"))
    fields = {"sufficiency_policy": {"min_evidence_refs_per_claim": 2}}
    both(project, fields, lacking=[READ, HONEST], whole=[READ, search, twice], code="evidence_missing")


def test_uninspected_areas_are_listed(project: Path) -> None:
    """The runtime itself names the allowed places of which nothing was read, and how far they were seen."""
    fields = {"sufficiency_policy": {"must_list_uninspected_areas": True}}
    ran = run_mission(project, fields, [READ, call("rtk_grep", pattern="FEE"), HONEST])
    assert ran.report["uninspected_areas"] == [
        {"path": "tests", "seen": "searched"},
        {"path": "app/payments.py", "seen": "searched"},
    ]
    assert "uninspected_areas" not in run_mission(project, {}, [READ, HONEST]).report


@pytest.mark.parametrize(("cap", "confidence"), [("LOW", "LOW"), ("MEDIUM", "MEDIUM"), ("HIGH", "HIGH")])
def test_partial_extracts_cap_the_confidence(project: Path, cap: str, confidence: str) -> None:
    """A finding on a part of a file is not surer than the policy allows."""
    fields = {"sufficiency_policy": {"confidence_cap_if_partial_extracts": cap}}
    ran = run_mission(project, fields, [PART, report(TRUE, confidence="HIGH")])
    assert (ran.status, ran.report["confidence"]) == ("COMPLETE", confidence)


@pytest.mark.parametrize("allowed", [True, False])
def test_the_runtime_lists_what_it_saw_to_each_question(project: Path, allowed: bool) -> None:
    """When no report stands: one entry a question, if allowed; never COMPLETE."""
    policy = {"sufficiency_policy": {"allow_runtime_answer_graph_closure": allowed}}
    ran = run_mission(project, asking() | policy, [READ, "no report", "none"])
    assert ran.status == "PARTIAL"
    assert ("q1" in [entry["obligation_id"] for entry in ran.report["findings"]]) == allowed
    assert ran.report["findings"]


def explored(**policy: Any) -> dict[str, Any]:
    """An open mission that must read app/retry.py, with an exploration policy."""
    return ASKING | {"must_inspect": ["app/retry.py"], "exploration_policy": policy}


def test_close_immediately_asks_for_the_report(project: Path) -> None:
    """Once the required file was read, only a report is accepted."""
    ran = run_mission(project, explored(after_required_floor="close_immediately"), [READ, CONFIG, HONEST])
    assert (ran.denials, ran.status) == (["final_report_required"], "COMPLETE")
    assert "everything that must be read was read" in ran.asked


def test_exploration_has_a_least_and_a_most(project: Path) -> None:
    """Too few actions after the floor refuse a COMPLETE, too many are not taken; without a policy nothing is asked."""
    fields = explored(min_optional_actions_after_floor=2, require_contradiction_search=False)
    whole = [READ, CONFIG, TESTS, HONEST]
    both(project, fields, lacking=[READ, CONFIG, HONEST], whole=whole, code="exploration_unmet")
    few = explored(
        min_optional_actions_after_floor=0, max_optional_actions_after_floor=1, require_contradiction_search=False
    )
    ran = run_mission(project, few, [READ, CONFIG, TESTS, HONEST])
    assert (ran.denials, ran.status) == (["final_report_required"], "COMPLETE")
    assert run_mission(project, ASKING, [READ, HONEST]).status == "COMPLETE"


def test_a_search_for_the_opposite_is_really_made(project: Path) -> None:
    """A word about contradiction is none; a search after the required reading is. The model may mend it."""
    fields = explored(min_optional_actions_after_floor=0, require_contradiction_search=True)
    said = report(TRUE, caveats=["I looked for contradictions and found none"])
    both(project, fields, lacking=[READ, said], whole=[READ, GREP, said], code="contradiction_search_missing")
    mended = run_mission(project, fields, [READ, said, GREP, said])
    assert mended.status == "COMPLETE"


SEARCHED, EXPLORED = [READ, GREP, HONEST], [READ, CONFIG, HONEST]


@pytest.mark.parametrize(
    ("flag", "lacking", "whole", "code"),
    [
        (
            ("verification_requirements", "contradiction_search_required"),
            WHOLE,
            SEARCHED,
            "contradiction_search_missing",
        ),
        (("verification_requirements", "optional_exploration_required"), WHOLE, EXPLORED, "exploration_unmet"),
        (("required_axes", "verification"), EXPLORED, SEARCHED, "contradiction_search_missing"),
        (("closure_requirements", "model_self_closure_required"), EXPLORED, WHOLE, "closure_not_by_model"),
        (("required_axes", "model_self_closure"), EXPLORED, WHOLE, "closure_not_by_model"),
    ],
)
def test_a_completion_contract_asks_for_more(
    project: Path, flag: tuple[str, str], lacking: list[str], whole: list[str], code: str
) -> None:
    """Each of its conditions refuses a COMPLETE that does not meet it."""
    group, name = flag
    fields = {"must_inspect": ["app/retry.py"], "tool_budget": 2, "completion_contract": {group: {name: True}}}
    both(project, fields, lacking=lacking, whole=whole, code=code)


def test_what_a_contract_grants_anyway_may_be_said(project: Path) -> None:
    """The goal is told; axes that always hold and the one status policy change nothing."""
    contract = {
        "primary_goal": "name the constant",
        "required_axes": {"answer": True, "evidence": True},
        "closure_requirements": {"runtime_closure_allowed": True},
        "status_policy": "never_raised",
    }
    ran = run_mission(project, {"completion_contract": contract}, [READ, HONEST])
    assert ran.status == "COMPLETE"
    assert "WHAT MATTERS MOST: name the constant" in ran.asked


def test_no_field_makes_a_lie_complete(project: Path) -> None:
    """The most generous contract still refuses a finding that does not hold."""
    fields = asking() | {
        "sufficiency_policy": {"min_main_claims": 0, "min_evidence_refs_per_claim": 0},
        "exploration_policy": {"after_required_floor": "close_immediately"},
    }
    ran = run_mission(project, fields, [READ, report(finding("`MAX_RETRIES` is 6", REF))])
    assert ran.status == "PARTIAL"
    assert json.dumps(ran.report["findings"]).find("is 6") < 0


def test_every_shape_is_looked_for_somewhere() -> None:
    """The table of shapes is not longer than what can be asked for."""
    assert all(shape.patterns or name.endswith("zero_match") for name, shape in EVIDENCE_SHAPES.items())
