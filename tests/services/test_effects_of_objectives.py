"""What a contract asks of the answer, seen in real missions: outputs and machine-readable objectives.

`tests/contracts/test_effects.py` says which test shows which field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.mission_script import call, finding, report
from tests.fakes.real_mission import Ran, run_mission, write_project

READ = call("rtk_read", path="app/retry.py")
CONFIG = call("rtk_read", path="app/config.py")
TESTS = call("rtk_read", path="tests/test_retry.py")
REF = "file:app/retry.py#extract:1"
TRUE = finding("`MAX_RETRIES` is 5", REF)
HONEST = report(TRUE)
MISS = call("rtk_grep", pattern="NOWHERE", path="app")
ABSENT = finding("`NOWHERE` stands nowhere under app", "command:0#zero_match", kind="absence")


OTHER = [CONFIG, report(finding("`TIMEOUT_S` is 30", "file:app/config.py#extract:1"))]
LIMIT = [CONFIG, report(finding("`RETRY_LIMIT = 7`", "file:app/config.py#extract:1"))]
TESTED = [TESTS, report(finding("`retry(print)` is called", "file:tests/test_retry.py#extract:1"))]
FEE = [call("rtk_grep", pattern="FEE", path="app"), report(finding("`FEE = 3`", "command:0#match:0"))]
DEFINED = call("rtk_read", path="app/retry.py", start_line=6, end_line=6)
NOTHING = report(finding("`NOTHING` is nowhere", "command:0#zero_match", kind="absence"))
NOWHERE = [call("rtk_grep", pattern="NOWHERE"), report({**ABSENT, "claim": "`NOWHERE` stands nowhere"})]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    return write_project(tmp_path / "project")


def looking(kind: str, target: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A mission with a machine-readable objective over a root, so that the model is asked."""
    return {"objective_spec": {"objective_type": kind, "target": target, **spec}}


def both(project: Path, fields: dict[str, Any], *, lacking: list[str], whole: list[str], code: str) -> Ran:
    """The first script must not end COMPLETE and says why; the second must. Returns the second."""
    ran = run_mission(project, fields, lacking)
    assert (ran.status != "COMPLETE", code in ran.codes) == (True, True), (ran.status, ran.codes)
    twin = run_mission(project, fields, whole)
    assert (twin.status, twin.codes) == ("COMPLETE", [])
    return twin


def test_required_outputs_must_be_there_and_are_kept(project: Path) -> None:
    """A part that the delegate names is asked for, missed when it is empty, and kept in the report."""
    fields = {"required_outputs": ["findings", "migration_plan"]}
    with_plan = report(TRUE, migration_plan="none needed")
    lacking = [READ, report(TRUE, migration_plan=" ")]
    twin = both(project, fields, lacking=lacking, whole=[READ, with_plan], code="required_output_missing")
    assert twin.report["outputs"] == {"migration_plan": "none needed"}
    assert "THE REPORT ALSO NEEDS THE KEYS: migration_plan" in twin.asked


def test_an_output_is_bounded(project: Path) -> None:
    """A part as long as a book does not become a part of the report."""
    fields = {"required_outputs": ["findings", "log", "tree"]}
    ran = run_mission(project, fields, [READ, report(TRUE, log="x" * 50_000, tree=["x" * 50_000])])
    assert len(ran.report["outputs"]["log"]) == 10_000
    assert ran.report["outputs"]["tree"].startswith("[left out")


def test_outputs_of_the_objective_are_required_too(project: Path) -> None:
    """objective_spec.required_outputs adds to the mission's."""
    fields = looking("usage_location", {"symbol": "MAX_RETRIES"}, required_outputs=["callers"])
    whole = [READ, report(finding("`range(MAX_RETRIES)` uses it", REF), outputs={"callers": ["retry"]})]
    twin = both(project, fields, lacking=[READ, HONEST], whole=whole, code="required_output_missing")
    assert twin.report["outputs"] == {"callers": ["retry"]}


@pytest.mark.parametrize(
    ("kind", "target", "lacking", "whole"),
    [
        ("function_location", {"symbol": "retry"}, OTHER, [READ, report(finding("`retry` is defined there", REF))]),
        ("mapping_lookup", {"key": "RETRY_LIMIT"}, [READ, HONEST], LIMIT),
        ("config_value_extraction", {"symbol": "RETRY_LIMIT"}, [READ, HONEST], LIMIT),
        ("zero_match_evidence", {"pattern": "NOWHERE"}, [call("rtk_grep", pattern="NOTHING"), NOTHING], NOWHERE),
        ("usage_location", {"symbol": "retry"}, [DEFINED, report(finding("`retry(call)` is there", REF))], TESTED),
        ("implementation_site_discovery", {"symbol": "FEE"}, [READ, HONEST], FEE),
        ("control_flow_trace", {"symbol": "call"}, OTHER, [READ, report(finding("`call()` runs in a loop", REF))]),
        ("policy_rule_location", {"pattern": "RETRY_LIMIT"}, [READ, HONEST], LIMIT),
        ("test_coverage_location", {"symbol": "retry"}, [READ, HONEST], TESTED),
    ],
)
def test_an_objective_must_be_shown(
    project: Path, kind: str, target: dict[str, Any], lacking: list[str], whole: list[str]
) -> None:
    """A true finding about something else does not end COMPLETE; one that cites what the type asks for does."""
    code = "objective_not_searched" if kind == "zero_match_evidence" else "objective_not_shown"
    twin = both(project, looking(kind, target), lacking=lacking, whole=whole, code=code)
    assert f"KIND OF ANSWER: {kind}" in twin.asked


def test_that_it_is_not_there_answers_any_objective(project: Path) -> None:
    """A search that would have met the name, and found nothing, is an answer."""
    fields = {**looking("function_location", {"symbol": "NOWHERE"}), "allowed_roots": ["app"]}
    assert run_mission(project, fields, [MISS, report(ABSENT)]).status == "COMPLETE"
    found = {**looking("zero_match_evidence", {"pattern": "RETRY_LIMIT"}), "allowed_roots": ["app"]}
    hit = finding("`RETRY_LIMIT` does occur", "command:0#match:0")
    assert run_mission(project, found, [call("rtk_grep", pattern="RETRY_LIMIT"), report(hit)]).status == "COMPLETE"


def test_required_values_must_be_said_and_shown(project: Path) -> None:
    """The value stands in a finding and in the lines that it cites."""
    fields = looking("config_value_extraction", {"key": "RETRY_LIMIT"}, required_values=[7])
    ref = "file:app/config.py#extract:1"
    lacking = [CONFIG, report(finding("`RETRY_LIMIT` is set there", ref))]
    whole = [CONFIG, report(finding("`RETRY_LIMIT` is 7", ref))]
    both(project, fields, lacking=lacking, whole=whole, code="required_value_missing")


def test_required_evidence_shapes_must_be_cited(project: Path) -> None:
    """A shape that nobody cited is missed, whatever the sentences say."""
    fields = looking("usage_location", {}, required_evidence_shapes=["test_assertion"])
    whole = [TESTS, report(finding("`retry(print)` is asserted", "file:tests/test_retry.py#extract:1"))]
    both(project, fields, lacking=[READ, HONEST], whole=whole, code="evidence_shape_missing")


def test_words_of_the_spec_are_told_and_confidence_is_capped(project: Path) -> None:
    """Criteria reach the model; max_confidence lowers what it said."""
    spec = {"completion_criteria": ["the caller is known"], "confidence_policy": {"max_confidence": "LOW"}}
    fields = looking("usage_location", {"symbol": "MAX_RETRIES"}, **spec)
    sure = report(finding("`range(MAX_RETRIES)`", REF), confidence="HIGH")
    ran = run_mission(project, fields, [READ, sure])
    assert (ran.status, ran.report["confidence"]) == ("COMPLETE", "LOW")
    assert "DONE WHEN: the caller is known" in ran.asked
    assert run_mission(project, {}, [READ, sure]).report["confidence"] == "HIGH"


FAST = {"allowed_roots": [], "allowed_paths": ["app/retry.py"]}


@pytest.mark.parametrize(
    ("spec", "claim"),
    [
        (looking("function_location", {"symbol": "retry"}), "`retry` is defined at app/retry.py:6"),
        (looking("config_value_extraction", {"key": "MAX_RETRIES"}), "app/retry.py:3: `MAX_RETRIES = 5`"),
        (looking("zero_match_evidence", {"pattern": "sleep"}), "`sleep` matches no line of app/retry.py"),
    ],
)
def test_what_one_look_decides_is_answered_without_a_model(project: Path, spec: dict[str, Any], claim: str) -> None:
    """The fast path: no question, the same gates, LOW confidence, and a source that says so."""
    ran = run_mission(project, {**FAST, **spec}, [HONEST])
    assert (ran.status, ran.requests) == ("COMPLETE", [])
    assert (ran.report["report_source"], ran.report["confidence"]) == ("deterministic_fast_path", "LOW")
    assert claim in ran.report["findings"][0]["claim"]


@pytest.mark.parametrize(
    "fields",
    [
        looking("function_location", {"symbol": "nothing_of_the_kind"}),
        {**looking("function_location", {"symbol": "retry"}), "evidence_collection_mode": "model_led"},
        {**looking("function_location", {"symbol": "retry"}), "required_outputs": ["plan"]},
        {
            **looking("function_location", {"symbol": "retry"}),
            "completion_contract": {"closure_requirements": {"runtime_closure_allowed": False}},
        },
        {
            **looking("function_location", {"symbol": "retry"}),
            "completion_contract": {"required_axes": {"model_self_closure": True}},
        },
        {**looking("function_location", {"symbol": "retry"}), "forbidden_topics": ["retry"]},
        {**looking("function_location", {"symbol": "retry"}), "max_total_observation_bytes": 40},
    ],
)
def test_in_any_doubt_the_model_is_asked(project: Path, fields: dict[str, Any]) -> None:
    """No line that fits, another mode, more than the runtime can write, or a limit: the fast path gives way."""
    ran = run_mission(project, {**FAST, **fields}, [READ, report(status="PARTIAL")])
    assert ran.requests
    assert ran.status != "COMPLETE"
    assert not any(j.proposal.kind == "final_report" and j.proposal.proposer == "runtime" for j in ran.record.judged)


def test_the_fast_path_passes_the_same_scope(project: Path) -> None:
    """A denied file stays denied."""
    (project / "app/.env").write_text("def retry(): pass\n")
    spec = looking("function_location", {"symbol": "retry"})
    ran = run_mission(project, {**spec, "allowed_roots": [], "allowed_paths": ["app/.env"]}, [report(status="PARTIAL")])
    assert ran.denials == ["path_denied"]
    assert ran.status != "COMPLETE"
