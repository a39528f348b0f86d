"""What holds for every gate, whatever a model sends: it judges, it only objects, and each finding stands by itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.missions.closing import close_by_runtime, close_draft
from codex_oss.missions.events import GateFailure
from codex_oss.missions.explain import explain_record, render_explanation
from codex_oss.missions.gates import GATES, judge_draft
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import CLAIM_KINDS, parse_draft
from tests.fakes.mission_script import call, mission, play, report

RANK = {"COMPLETE": 3, "PARTIAL": 2, "ESCALATE": 1, "FAILED": 0}
OF_ONE_FINDING = {gate.name for gate in GATES[GATES.index(next(g for g in GATES if g.name == "evidence")) :]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
REFS = st.sampled_from(
    ["file:app/retry.py#extract:1", "file:app/config.py#extract:1", "command:0", "command:0#match:0", "command:1",
     "command:1#zero_match", "command:9", "nothing"]
)  # fmt: skip
CLAIMS = st.sampled_from(
    ["`MAX_RETRIES` is 5", "MAX_RETRIES is 50", "see app/retry.py:3", "on line 99", "2 places", "nothing", "",
     "`NOWHERE` is absent", 'it says "import time"', "retry() runs five times", "the tests pass",
     "there are 2 functions"]
)  # fmt: skip
SUBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["app/retry.py", "app/none.py"]),
        "symbol": st.sampled_from(["MAX_RETRIES", "retry", "NOPE"]),
        "line": st.integers(-1, 12),
        "end_line": st.integers(-1, 12),
        "quote": st.sampled_from(["MAX_RETRIES = 5", "nope"]),
    },
)
FINDING = st.fixed_dictionaries(
    {"claim": CLAIMS, "kind": st.sampled_from(CLAIM_KINDS), "evidence_refs": st.lists(REFS, max_size=3)},
    optional={"subject": SUBJECTS},
)


@pytest.fixture(scope="module")
def record() -> RunRecord:
    """A mission that has read two files and searched twice, and reported nothing yet."""
    looks = [
        call("rtk_read", path="app/retry.py"),
        call("rtk_read", path="app/config.py"),
        call("rtk_grep", pattern="MAX_RETRIES", path="app"),
        call("rtk_grep", pattern="NOWHERE", path="app"),
    ]
    return play(mission(), [*looks, report(status="PARTIAL")])


def failures_of(record: RunRecord, *findings: dict[str, Any], status: str = "COMPLETE") -> tuple[GateFailure, ...]:
    """Everything that is said against a report of these findings."""
    return judge_draft(record, parse_draft({"status": status, "findings": list(findings)}))


NAMES = ("status", "confidence", "findings", "files_inspected", "commands_run", "caveats", "mission_id", "summary")


@given(
    draft=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=12), JSON | st.lists(FINDING | JSON, max_size=3))
)
def test_gates_are_total(record: RunRecord, draft: dict[str, Any]) -> None:
    """Any JSON object is judged, closed and explained, and its end has a reason unless it is COMPLETE."""
    parsed = parse_draft(draft)
    failures = judge_draft(record, parsed)
    closed = close_draft(record, parsed, failures)
    assert (closed.status == "COMPLETE") == (not closed.reason_codes)
    assert RANK[closed.status] <= RANK[parsed.status or "PARTIAL"]
    assert {failure.gate for failure in failures} <= {gate.name for gate in GATES}
    assert close_by_runtime(record, "cancelled").status != "COMPLETE"


@given(findings=st.lists(FINDING, min_size=1, max_size=4))
def test_a_lower_status_meets_no_new_objection(record: RunRecord, findings: list[dict[str, Any]]) -> None:
    """Whatever is said against a PARTIAL is said against the same report as COMPLETE."""
    assert set(failures_of(record, *findings, status="PARTIAL")) <= set(failures_of(record, *findings))


@given(findings=st.lists(FINDING, min_size=1, max_size=4), other=FINDING)
def test_a_finding_is_judged_by_itself(
    record: RunRecord, findings: list[dict[str, Any]], other: dict[str, Any]
) -> None:
    """What stands beside a finding neither helps nor hurts it."""
    alone = [failure for failure in failures_of(record, findings[0]) if failure.gate in OF_ONE_FINDING]
    company = failures_of(record, findings[0], other, *findings[1:])
    assert alone == [failure for failure in company if failure.finding == 0 and failure.gate in OF_ONE_FINDING]


@given(findings=st.lists(FINDING, min_size=2, max_size=4))
def test_order_does_not_matter(record: RunRecord, findings: list[dict[str, Any]]) -> None:
    """The same findings in another order meet the same objections."""

    def codes(*ordered: dict[str, Any]) -> Counter[str]:
        return Counter(failure.code for failure in failures_of(record, *ordered) if failure.gate in OF_ONE_FINDING)

    assert codes(*findings) == codes(*reversed(findings))


ANSWERS = st.sampled_from(
    [
        "no JSON",
        "",
        call("rtk_read", path="app/retry.py"),
        call("rtk_read", path="../x"),
        call("rtk_grep", pattern="NOWHERE"),
        call("bash", command="ls"),
        report(status="COMPLETE"),
        report(status="ESCALATE"),
        report(status="FAILED"),
        ("failed", "upstream_unavailable"),
    ]
) | st.lists(FINDING, max_size=2).map(lambda findings: report(*findings))


@given(answers=st.lists(ANSWERS, min_size=1, max_size=8))
def test_every_end_below_complete_has_a_reason(answers: list[Any]) -> None:
    """Whatever a model says and however its calls fail, the end says why, and COMPLETE needs no reason."""
    played = play(mission(), answers)
    assert played.closed is not None
    assert (played.closed.status == "COMPLETE") == (played.closed.reason_codes == ())
    explained = render_explanation(explain_record(played))
    assert f"ended {played.closed.status}" in explained
    assert all(f"[{code}]" in explained for code in played.closed.reason_codes)
