"""The loop as conversations: what the model says, and how the mission ends."""

from __future__ import annotations

from typing import Any

import pytest

from codex_oss.missions.projections import final_report
from codex_oss.missions.record import RunRecord
from tests.fakes import mission_script
from tests.fakes.mission_script import call, finding, mission, play, report

READ = call("rtk_read", path="app/retry.py")
REF = "file:app/retry.py#extract:1"
HONEST = report(finding("`MAX_RETRIES` is defined at app/retry.py:3", REF, kind="definition"))


@pytest.fixture(autouse=True, params=["json", "tools"])
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every mission of this file is played in both protocols."""
    monkeypatch.setattr(mission_script, "SPOKEN", request.param)
    return str(request.param)


def ending(record: RunRecord) -> tuple[str, tuple[str, ...]]:
    """Status and reason codes of a closed record."""
    assert record.closed is not None
    return record.closed.status, record.closed.reason_codes


def test_an_honest_report_completes() -> None:
    """Read, then report what was read: COMPLETE with no reason against it."""
    record = play(mission(), [READ, HONEST])
    assert ending(record) == ("COMPLETE", ())
    assert record.tool_runs == 1
    assert list(final_report(record)["findings"][0]["evidence_refs"]) == [REF]


def test_a_searched_negative_answer_completes() -> None:
    """Nothing found by a whole search is an answer as good as any."""
    record = play(
        mission(),
        [
            call("rtk_grep", pattern="NO_SUCH_NAME", path="app"),
            report(finding("`NO_SUCH_NAME` does not occur under app", "command:0#zero_match", kind="absence")),
        ],
    )
    assert ending(record) == ("COMPLETE", ())


def test_prose_is_repaired_once_then_closes(protocol: str) -> None:
    """An answer that is no action gets one chance; the second one ends the mission without a report."""
    record = play(mission(), ["I think it is in retry.py", "Let me look."])
    assert ending(record) == ("FAILED", ("action_parse_failed" if protocol == "json" else "action_missing",))
    assert len(record.calls) == 2


def test_the_chance_returns_after_a_tool_ran() -> None:
    """A repair is per failure in a row, not per mission."""
    record = play(mission(), ["oops", READ, "oops", HONEST])
    assert ending(record) == ("COMPLETE", ())


def test_a_dead_model_with_evidence_is_recovered_honestly() -> None:
    """The model dies after a read: PARTIAL from what the runtime read, marked as recovery, never COMPLETE."""
    record = play(mission(), [READ, ("failed", "upstream_refused")])
    assert ending(record) == ("PARTIAL", ("model_call_failed", "upstream_refused"))
    written = final_report(record)
    assert written["synthesis_status"] == "SOURCE_PACK_RECOVERY"
    assert written["report_source"] == "runtime_evidence"
    assert list(written["findings"][0]["evidence_refs"]) == [REF]
    assert any("it broke" in caveat for caveat in written["caveats"])


def test_a_dead_model_without_evidence_fails() -> None:
    """Nothing was seen, so nothing is reported."""
    record = play(mission(), [("failed", "upstream_key_missing")])
    assert ending(record) == ("FAILED", ("model_call_failed", "upstream_key_missing"))
    assert final_report(record)["findings"] == []


def test_a_retryable_failure_is_asked_once_more() -> None:
    """One interrupted answer does not end a mission."""
    record = play(mission(), [READ, ("failed", "stream_interrupted"), HONEST])
    assert ending(record) == ("COMPLETE", ())


def test_budget_spent_forces_a_report_then_closes() -> None:
    """After the last tool call only a report is accepted; a model that goes on is closed."""
    reads = [call("rtk_read", path="app/retry.py", start_line=n, end_line=n) for n in (1, 2)]
    record = play(mission(tool_budget=2), [*reads, READ, READ, READ])
    assert ending(record) == ("PARTIAL", ("final_report_required", "budget_exhausted"))
    assert record.tool_runs == 2
    assert record.calls[2].purpose == "final_report"


def test_budget_spent_and_reported_completes() -> None:
    """A report that holds is a report, also when it was asked for."""
    assert ending(play(mission(tool_budget=1), [READ, HONEST])) == ("COMPLETE", ())


def test_time_up_forces_a_report_then_closes() -> None:
    """A slow model is asked for its report while there is time, and closed when there is none."""
    record = play(
        mission(time_budget_seconds=60),
        lambda r: call("rtk_ls", path="app") if not r.evidence else READ[:-1],
        seconds_per_call=19,
    )
    status, reasons = ending(record)
    assert status == "PARTIAL"
    assert "deadline_reached" in reasons or "action_parse_failed" in reasons


def test_duplicates_are_not_run_and_end_the_looking() -> None:
    """The same read twice is refused with the ref to cite, and then the report is due."""
    record = play(mission(), [READ, READ, READ, HONEST])
    assert ending(record) == ("COMPLETE", ())
    assert record.tool_runs == 1
    assert [judged.decision for judged in record.judged] == ["allowed", "duplicate", "duplicate", "report"]
    assert record.calls[-1].purpose == "final_report"


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (call("rtk_read", path="other/x.py"), "path_outside_scope"),
        (call("rtk_read", path="../x.py"), "path_traversal"),
        (call("rtk_read", path="/etc/passwd"), "path_absolute"),
        (call("rtk_read", path="app/.env"), "path_denied"),
        (call("apply_patch", path="app/retry.py"), "write_blocked"),
        (call("run_shell", cmd="ls"), "tool_unknown"),
        (call("rtk_grep", path="app"), "argument_missing"),
        (call("rtk_read", path="app/retry.py", colour="red"), "argument_unsupported"),
    ],
)
def test_denied_actions_run_nothing(action: str, code: str) -> None:
    """A denial is an event with a code; no tool runs, and the model may go on."""
    record = play(mission(), [action, READ, HONEST])
    assert record.judged[0].code == code
    assert record.judged[0].result is None
    assert ending(record) == ("COMPLETE", ())
    assert record.tool_runs == 1


def test_a_stop_condition_ends_the_mission() -> None:
    """A denial whose code the contract lists as a stop condition closes at once."""
    contract = mission(allowed_roots=["src/auth"], stop_conditions=["valid_report", "critical_path_detected"])
    record = play(contract, [call("rtk_read", path="src/auth/login.py")])
    assert ending(record) == ("FAILED", ("critical_path_detected",))


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"risk_tier": "critical"}, "ESCALATE", "risk_tier_critical"),
        ({"allowed_roots": ["."]}, "ESCALATE", "broad_scope"),
    ],
)
def test_missions_refused_at_the_door(fields: dict[str, Any], status: str, code: str) -> None:
    """Critical risk and broad scope are not investigated, and the model is never asked."""
    record = play(mission(**fields), [READ])
    assert ending(record) == (status, (code,))
    assert record.calls == []


def test_implementation_tiers_are_not_available_yet() -> None:
    """A4 validates; running it says so instead of pretending."""
    contract = mission(
        tier="A4",
        owned_paths=["app/retry.py"],
        required_outputs=["patch"],
        report_schema="patch_validation_report.v1",
        apply_mode="none",
    )
    record = play(contract, [READ])
    assert ending(record) == ("FAILED", ("tier_not_available",))
    assert "not available yet" in record.closed.detail if record.closed else False


def test_open_style_reads_required_sources_first() -> None:
    """With prefetch_floor the runtime itself reads what must be inspected before the first question."""
    contract = mission(
        evidence_collection_mode="prefetch_floor",
        objective_style="open_investigation",
        must_inspect=["app/config.py"],
        answer_obligations=[{"id": "q1", "question": "What is the limit?"}],
    )
    answer = report(finding("`RETRY_LIMIT` is 7", "file:app/config.py#extract:1", obligation_id="q1"))
    record = play(contract, [answer])
    assert record.judged[0].proposal.proposer == "runtime"
    assert ending(record) == ("COMPLETE", ())


def test_a_refused_report_may_be_mended_once() -> None:
    """The first refusal names what does not hold; the mended report stands."""
    wrong = report(finding("`MAX_RETRIES` is defined at app/retry.py:99", REF))
    record = play(mission(), [READ, wrong, HONEST])
    assert ending(record) == ("COMPLETE", ())
    assert any("line_not_shown" in said.text for said in record.transcript)


def test_a_report_refused_twice_is_downgraded() -> None:
    """What holds stays, what does not is set apart, and the status goes down."""
    mixed = report(finding("`MAX_RETRIES` is 5", REF), finding("`nowhere` retries", REF))
    record = play(mission(), [READ, mixed, mixed])
    assert ending(record) == ("PARTIAL", ("code_not_in_evidence",))
    written = final_report(record)
    assert [f["claim"] for f in written["findings"]] == ["`MAX_RETRIES` is 5"]
    assert written["refused_findings"][0]["codes"] == ["code_not_in_evidence"]
    assert written["confidence"] == "LOW"


def test_the_model_may_stay_below_complete() -> None:
    """PARTIAL and ESCALATE of the model stand as said, with a reason code."""
    partial = report(finding("`MAX_RETRIES` is 5", REF), status="PARTIAL")
    assert ending(play(mission(), [READ, partial])) == ("PARTIAL", ("model_reported_partial",))
    escalate = report(status="ESCALATE", escalation_recommendation="ask a person")
    assert ending(play(mission(), [READ, escalate])) == ("ESCALATE", ("model_escalated",))


def test_model_call_limit_is_kept() -> None:
    """The last allowed answer must be the report."""
    record = play(mission(max_model_calls=2), [READ, HONEST])
    assert [model_call.purpose for model_call in record.calls] == ["action", "final_report"]
    assert ending(record) == ("COMPLETE", ())
