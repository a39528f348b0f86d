"""What a contract allows and limits, seen in real missions: scope, tools, budgets, and what ends them.

`tests/contracts/test_effects.py` says which test shows which field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex_oss.missions.observation_limit import shown_bytes
from codex_oss.services.mission_store import MissionStore
from tests.fakes.chat_upstream import Answer, Pause, Request, text
from tests.fakes.mission_script import call, finding, report
from tests.fakes.real_mission import ASKING, FILES, Ran, refusal, run_mission, write_project

READ = call("rtk_read", path="app/retry.py")
CONFIG = call("rtk_read", path="app/config.py")
REF = "file:app/retry.py#extract:1"
HONEST = report(finding("`MAX_RETRIES` is 5", REF))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    return write_project(tmp_path / "project")


def read_of(path: str, **fields: Any) -> str:
    """An answer that reads a file."""
    return call("rtk_read", path=path, **fields)


def test_the_id_names_the_folder(project: Path) -> None:
    """mission_id is where everything lies; mission names of two runs meet in one folder."""
    ran = run_mission(project, {"mission_id": "m.one-2"}, [READ, HONEST])
    assert (ran.status, ran.report["mission_id"]) == ("COMPLETE", "m.one-2")
    assert (MissionStore(project).mission_folder("m.one-2") / "report.json").is_file()


def test_the_tier_decides_caps_and_whether_it_runs(project: Path) -> None:
    """A2 grants half of A3's calls; A4 is judged, and says that it is not run."""
    a2 = run_mission(project, {"tier": "A2", "tool_budget": 20}, [READ, HONEST], model="mission-a2-kimi")
    assert a2.record.opened is not None
    assert a2.record.opened.mission.budget.tool_calls <= 10
    a4 = run_mission(
        project, {"tier": "A4", "owned_paths": ["app/retry.py"], "required_outputs": ["patch"]}, [READ],
        model="mission-a4-kimi",
    )  # fmt: skip
    assert (a4.status, a4.codes, a4.requests) == ("FAILED", ["tier_not_available"], [])


def test_the_objective_is_what_the_model_reads(project: Path) -> None:
    """The objective, a goal and the words of a spec stand in the first question."""
    ran = run_mission(project, {"objective": "Find the flux limit."}, [READ, HONEST])
    assert "OBJECTIVE: Find the flux limit." in ran.asked
    assert ran.report["objective"] == "Find the flux limit."


def test_critical_risk_is_escalated(project: Path) -> None:
    """risk_tier critical is not investigated at all; low and medium are."""
    ran = run_mission(project, {"risk_tier": "critical"}, [READ])
    assert (ran.status, ran.codes, ran.requests) == ("ESCALATE", ["risk_tier_critical"], [])
    assert run_mission(project, {"risk_tier": "medium"}, [READ, HONEST]).status == "COMPLETE"


def test_only_the_scope_is_read(project: Path) -> None:
    """A root opens what lies below it, a path one file, and nothing else is read."""
    (project / "other.py").write_text("MAX_RETRIES = 9\n")
    ran = run_mission(project, {"allowed_roots": ["tests"], "allowed_paths": ["app/retry.py"]}, [CONFIG, READ, HONEST])
    assert (ran.denials[:1], ran.status) == (["path_outside_scope"], "COMPLETE")
    hidden = run_mission(project, {"allowed_roots": ["app"]}, [read_of("other.py"), report(status="PARTIAL")])
    assert (hidden.denials, "MAX_RETRIES = 9" in hidden.asked) == (["path_outside_scope"], False)


@pytest.mark.parametrize("closed", ["app/payments.py", "app/pay*.py", "/app/payments.py", "APP/Payments.py"])
def test_forbidden_roots_stay_closed(project: Path, closed: str) -> None:
    """Neither a read nor a search nor a listing shows what lies below a forbidden root."""
    fields = {"forbidden_roots": [closed.lstrip("/")]}
    looks = [read_of("app/payments.py"), call("rtk_grep", pattern="FEE"), call("rtk_ls", path="app")]
    ran = run_mission(project, fields, [*looks, report(status="PARTIAL")])
    assert ran.denials == ["path_forbidden_root"]
    assert [run.result.match_count for run in ran.record.evidence.commands if run.tool == "rtk_grep"] == [0]
    assert "payments.py" not in str([run.result.lines for run in ran.record.evidence.commands])
    assert "FEE = 3" not in ran.asked


def test_forbidden_topics_are_left_out(project: Path) -> None:
    """A search for one is denied, a finding that names one is set apart unread, a remark with one is dropped."""
    about = finding("`FEE` of the payments is 3", "file:app/payments.py#extract:1")
    said = report(about, finding("`MAX_RETRIES` is 5", REF), caveats=["payments look odd", "read in part"])
    answers = [call("rtk_grep", pattern=r"\bPAYMENTS_KEY"), READ, read_of("app/payments.py"), said]
    ran = run_mission(project, {"forbidden_topics": ["Payments"]}, answers)
    assert ran.denials[0] == "topic_forbidden"
    assert (ran.status, ran.codes) == ("PARTIAL", ["topic_forbidden"])
    assert [entry["claim"] for entry in ran.report["findings"]] == ["`MAX_RETRIES` is 5"]
    assert ran.report["refused_findings"][0]["claim"] == "[withheld: forbidden topic]"
    assert "read in part" in ran.report["caveats"]
    assert not any("payments" in caveat for caveat in ran.report["caveats"])
    assert "DO NOT SEARCH FOR OR REPORT ON: Payments" in ran.asked


def test_a_topic_is_a_word_not_a_part_of_one(project: Path) -> None:
    """`time` does not forbid `TIMEOUT_S`; the delegate's word stands as it is, nothing is guessed beside it."""
    fee = report(finding("`TIMEOUT_S` is 30", "file:app/config.py#extract:1"))
    assert run_mission(project, {"forbidden_topics": ["time"]}, [CONFIG, fee]).status == "COMPLETE"


@pytest.mark.parametrize(
    ("fields", "denials"),
    [
        ({}, ["critical_path_detected"]),
        ({"critical_path_read_allowed": True}, ["critical_path_detected"]),
        ({"critical_path_reason": "review"}, ["critical_path_detected"]),
        ({"critical_path_read_allowed": True, "critical_path_reason": "review of logins"}, []),
    ],
)
def test_critical_paths_need_flag_reason_and_name(tmp_path: Path, fields: dict[str, Any], denials: list[str]) -> None:
    """A critical file is read only when the mission allows it, says why, and names it; the reason is kept."""
    project = write_project(tmp_path / "project", src__auth__login_py="LIMIT = 3\n")
    done = report(finding("`LIMIT` is 3", "file:src/auth/login.py#extract:1"))
    ran = run_mission(project, {"allowed_paths": ["src/auth/login.py"], **fields}, [read_of("src/auth/login.py"), done])
    assert ran.denials[:1] == denials
    assert (ran.status == "COMPLETE") == (not denials)
    assert ran.record.opened is not None
    assert ran.record.opened.mission.critical_path_reason == fields.get("critical_path_reason", "")


@pytest.mark.parametrize(("allowed", "status"), [(False, "ESCALATE"), (True, "COMPLETE")])
def test_the_whole_project_needs_its_flag(project: Path, allowed: bool, status: str) -> None:
    """Root `.` is escalated unattended without allow_broad_read_scope, and is the whole project with it."""
    ran = run_mission(project, {"allowed_roots": ["."], "allow_broad_read_scope": allowed}, [READ, HONEST])
    assert ran.status == status
    assert ran.codes == ([] if allowed else ["broad_scope"])
    assert bool(ran.requests) == allowed


def test_files_to_inspect_bound_reads_and_breadth(project: Path) -> None:
    """The second file is denied when one is allowed, although calls are left; a root with more entries is broad."""
    fields = {"allowed_roots": [], "allowed_paths": ["app/retry.py", "app/config.py"], "max_files_to_inspect": 1}
    ran = run_mission(project, fields, [READ, CONFIG, HONEST])
    assert (ran.denials[:1], ran.status) == (["max_files_reached"], "COMPLETE")
    assert [entry["path"] for entry in ran.report["files_inspected"]] == ["app/retry.py"]
    broad = run_mission(project, {"allowed_roots": ["app"], "max_files_to_inspect": 2}, [READ])
    assert (broad.status, broad.codes) == ("ESCALATE", ["broad_scope"])


@pytest.mark.parametrize("limit", [1, 13, 30, 60, 200])
def test_no_more_bytes_than_allowed_are_shown(project: Path, limit: int) -> None:
    """Whatever the model asks for, the content shown stays within the limit; the result that meets it is cut."""
    looks = [READ, CONFIG, call("rtk_grep", pattern="."), call("rtk_ls", path="app"), report(status="PARTIAL")]
    ran = run_mission(project, {"max_total_observation_bytes": limit}, looks)
    results = [judged.result for judged in ran.record.judged if judged.result is not None]
    assert sum(map(shown_bytes, results)) == ran.record.bytes_shown <= limit
    shown = sum(len(line.encode()) + 1 for result in results for line in result.lines)
    assert shown <= limit
    if limit < len(FILES["app/retry.py"]):
        assert not any(result.complete for result in results if result.path == "app/retry.py" and result.lines)


def test_a_cut_read_is_no_evidence_for_the_rest(project: Path) -> None:
    """Line 6 of the file lies behind the limit: a finding about it is refused, one about line 3 stands."""
    far = report(finding("`retry` is defined at app/retry.py:6", REF))
    ran = run_mission(project, {"max_total_observation_bytes": 40}, [READ, far, HONEST])
    assert "line_not_shown" in str(ran.record.transcript)
    assert (ran.status, ran.report["confidence"]) == ("COMPLETE", "LOW")


def test_tool_calls_are_granted_and_then_the_report_is_due(project: Path) -> None:
    """After the granted calls only a report is accepted, and the request is kept beside the grant."""
    ran = run_mission(project, {"tool_budget": 1}, [READ, CONFIG, HONEST])
    assert (ran.denials, ran.record.tool_runs, ran.status) == (["final_report_required"], 1, "COMPLETE")


def test_time_is_kept(project: Path) -> None:
    """A model slower than the mission's time is not waited for: closed at the deadline with what there is."""

    def slow(request: Request) -> Answer:
        return text(READ) if len(request.messages) < 3 else Answer((Pause(30),))

    ran = run_mission(project, {"time_budget_seconds": 3}, slow)
    assert ran.status == "PARTIAL"
    assert {"deadline_reached", "model_call_failed"} & set(ran.codes)


def test_tools_of_other_classes_are_not_offered_and_denied(project: Path) -> None:
    """With read alone the model is told of one tool, and a search is denied."""
    ran = run_mission(project, {"allowed_tool_classes": ["read"]}, [call("rtk_grep", pattern="x"), READ, HONEST])
    assert (ran.denials, ran.status) == (["tool_class_not_allowed"], "COMPLETE")
    assert "rtk_read {" in ran.asked
    assert "rtk_grep {" not in ran.asked


@pytest.mark.parametrize(("stops", "ends"), [(["valid_report"], False), (["valid_report", "path_outside_scope"], True)])
def test_a_named_stop_condition_ends_the_mission(project: Path, stops: list[str], ends: bool) -> None:
    """The first denial of a named kind closes at once; unnamed it is only a denial."""
    ran = run_mission(project, {"stop_conditions": stops}, [read_of("other.py"), READ, HONEST])
    assert ran.denials[0] == "path_outside_scope"
    assert (ran.codes == ["path_outside_scope"]) == ends
    assert (ran.status == "COMPLETE") == (not ends)


def test_the_last_question_asks_for_the_report(project: Path) -> None:
    """max_model_calls 1 asks once, for the report; 0 asks nobody."""
    ran = run_mission(project, {"max_model_calls": 2}, [READ, CONFIG])
    assert [asked.purpose for asked in ran.record.calls] == ["action", "final_report"]
    assert "model_call_limit_reached" in ran.codes
    none = run_mission(project, {"max_model_calls": 0}, [READ])
    assert (none.requests, none.status, none.codes[0]) == ([], "FAILED", "model_call_limit_reached")


@pytest.mark.parametrize(("limit", "allowed"), [(1, 1), (3, 3)])
def test_repeated_actions_end_the_looking(project: Path, limit: int, allowed: int) -> None:
    """After so many repetitions the report is due."""
    fields = {"max_duplicate_actions": limit, "max_low_information_actions": 50}
    ran = run_mission(project, fields, [READ, *[READ] * 6])
    assert ran.denials.count("duplicate_action") == allowed
    assert "duplicate_actions" in ran.codes


def test_broad_searches_are_counted(project: Path) -> None:
    """The second search over everything for next to nothing is denied when one is allowed."""
    fields = {"max_broad_searches": 1, "allowed_roots": ["app"]}
    ran = run_mission(project, fields, [call("rtk_grep", pattern="x"), call("rtk_grep", pattern="y"), READ, HONEST])
    assert ran.denials[:1] == ["broad_search_limit"]


def test_actions_that_bring_nothing_are_counted(project: Path) -> None:
    """After so many actions without information the report is due."""
    wild = [read_of(f"app/none{number}.py") for number in range(6)]
    ran = run_mission(project, {"max_low_information_actions": 2}, [READ, *wild])
    assert "low_information" in ran.codes
    assert ran.record.tool_runs == 3


def test_the_progress_policy_can_be_switched_off(project: Path) -> None:
    """Without it the three limits do not end the looking; the budget still does."""
    fields = {"progress_policy_enabled": False, "max_low_information_actions": 1, "max_duplicate_actions": 1}
    ran = run_mission(project, fields, [READ, READ, READ, READ, HONEST])
    assert (ran.denials.count("duplicate_action"), ran.status) == (3, "COMPLETE")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"schema_version": "v0"}, "schema_version_invalid"),
        ({"mode": "guided_exploration"}, "mode_mismatch"),
        ({"write_allowed": True}, "write_flag_mismatch"),
        ({"report_schema": "implementation_report.v1"}, "report_schema_invalid"),
        ({"fallback_policy": "any"}, "policy_unknown"),
        ({"deadline_policy": "none"}, "policy_unknown"),
        ({"closer_model": "ocg-kimi-k2.6"}, "closer_not_available"),
        ({"fallback_closer_model": "x"}, "closer_not_available"),
        ({"allow_heuristic_objective": False}, "objective_spec_required"),
        ({"objective_style": "implementation"}, "objective_style_invalid"),
        ({"owned_paths": ["app"]}, "field_without_effect"),
        ({"read_only_paths": ["app"]}, "field_without_effect"),
        ({"critical_path_write_allowed": True}, "field_without_effect"),
        ({"max_files_changed": 3}, "field_without_effect"),
        ({"max_patch_bytes": 3}, "field_without_effect"),
        ({"verification_policy": {"allowed_commands": [["true"]]}}, "field_without_effect"),
        ({"verification_policy": {"network_allowed": True}}, "verification_policy_invalid"),
        ({"verification_policy": {"env_policy": "mine"}}, "verification_policy_invalid"),
        ({"apply_mode": "workspace"}, "apply_mode_invalid"),
        ({"workspace_apply_policy": {"require_clean_worktree": True}}, "field_without_effect"),
        ({"answer_obligations": ["why?"]}, "obligations_not_allowed"),
        ({"exploration_policy": {}}, "exploration_policy_invalid"),
        (ASKING | {"completion_contract": {"required_axes": {"answer": False}}}, "completion_contract_invalid"),
        (ASKING | {"completion_contract": {"status_policy": "raise"}}, "completion_contract_invalid"),
    ],
)
def test_what_cannot_be_done_is_refused(project: Path, fields: dict[str, Any], code: str) -> None:
    """Nothing is run, and the code says which field it is about."""
    assert code in refusal(project, fields)


def test_what_the_tier_has_anyway_may_be_said(project: Path) -> None:
    """The values that are in force are accepted: they promise nothing new."""
    said = {
        "mode": "managed_investigation",
        "report_schema": "managed_investigation_report.v1",
        "fallback_policy": "fallback_policy.v1",
        "deadline_policy": "deadline_policy.v1",
        "apply_mode": "none",
        "closer_model": "",
        "write_allowed": False,
        "verification_policy": {"network_allowed": False},
    }
    ran: Ran = run_mission(project, said, [READ, HONEST])
    assert ran.status == "COMPLETE"
