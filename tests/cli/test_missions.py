"""`codex-oss mission …` and the verbs that read records: real processes, a real upstream socket, exact words."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.bridge_process import LOCAL_KEY, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, Script, action, error, text

HANDOFF: dict[str, Any] = {
    "schema_version": "oss_agent_mission.v1",
    "mission_id": "m_cli",
    "tier": "A3",
    "objective": "Where is MAX_RETRIES defined?",
    "allowed_roots": ["app"],
    "allowed_tool_classes": ["read", "search", "list", "safe_git"],
    "required_outputs": ["findings", "confidence"],
    "tool_budget": 6,
    "time_budget_seconds": 60,
}
READ = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": "app/retry.py"}, "reason": "look"}
REPORT = {
    "action_type": "final_report",
    "report": {
        "status": "COMPLETE",
        "confidence": "MEDIUM",
        "findings": [
            {
                "claim": "`MAX_RETRIES` is defined at app/retry.py:3",
                "kind": "definition",
                "subject": {"path": "app/retry.py", "symbol": "MAX_RETRIES", "line": 3},
                "evidence_refs": ["file:app/retry.py#extract:1"],
                "confidence": "HIGH",
            }
        ],
        "files_inspected": [{"path": "app/retry.py"}],
        "uncertainties": [],
        "caveats": [],
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with one secret in it."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app/retry.py").write_text(
        "import time\n\nMAX_RETRIES = 5\nAPI_KEY = 'sk-proj-" + "a1B2c3D4e5F6g7H8" * 3 + "'\n"
    )
    (folder / "app/.env").write_text("PASSWORD=hunter2hunter2\n")
    (folder / "outside.py").write_text("MAX_RETRIES = 99\n")
    (tmp_path / "home").mkdir()
    return folder


def run_cli(
    project: Path, *arguments: str, upstream: str = "http://127.0.0.1:9/v1", stdin: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the CLI in a clean environment; the upstream key is synthetic."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(project.parent / "home"),
        "UPSTREAM_BASE": upstream,
        "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
        "UPSTREAM_RETRIES": "0",
        **environ,
    }
    return subprocess.run(
        [sys.executable, "-m", "codex_oss", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env={name: value for name, value in env.items() if value},
        cwd=project,
        timeout=60,
    )


def run_mission(
    project: Path, script: Script, handoff: Mapping[str, Any] = HANDOFF, *options: str
) -> tuple[int, Any, str]:
    """Run a mission in process against a script; exit status, the JSON object, stderr."""
    with ChatUpstream(script) as upstream:
        done = run_cli(
            project, "mission", "run", "-", "--json", *options, upstream=upstream.base_url, stdin=json.dumps(handoff)
        )
    return done.returncode, json.loads(done.stdout), done.stderr


def audit(project: Path) -> tuple[int, dict[str, Any]]:
    """Exit status and answer of audit-mission."""
    done = run_cli(project, "audit-mission", "m_cli", "--json")
    return done.returncode, json.loads(done.stdout)


def failed_checks(answer: dict[str, Any]) -> list[str]:
    """Names of the checks that failed."""
    return [check["name"] for check in answer["checks"] if check["status"] == "FAIL"]


def test_a_mission_runs_audits_and_explains(project: Path) -> None:
    """The whole chain in process: report, artifacts, audit, explanation, summary, trace, list."""
    code, outcome, stderr = run_mission(project, [action(READ), action(REPORT)])
    assert (code, outcome["status"], outcome["reason_codes"]) == (0, "COMPLETE", []), stderr
    folder = Path(outcome["artifacts"])
    assert folder == project / ".codex-oss/missions/m_cli"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [
            "report.json",
            "summary.md",
            "visible_commentary.jsonl",
            "trace.jsonl",
            "decision_trace.json",
            "ledger.json",
            "claim_graph.json",
            "run_record.json",
            "mission_summary.json",
        ]
    )
    assert json.loads((folder / "report.json").read_text()) == outcome["report"]
    assert (project / ".codex-oss/runs" / outcome["run_id"] / "events.jsonl").exists()
    status, answer = audit(project)
    assert (status, answer["ok"], failed_checks(answer)) == (0, True, [])
    assert "ended COMPLETE" in run_cli(project, "explain", "m_cli").stdout
    assert "MAX_RETRIES" in run_cli(project, "show-summary", "m_cli").stdout
    assert "rtk_read" in run_cli(project, "show-trace", "m_cli").stdout
    listed = json.loads(run_cli(project, "mission", "list", "--json").stdout)
    assert [(row["mission_id"], row["status"]) for row in listed["missions"]] == [("m_cli", "COMPLETE")]


def test_remarks_go_to_stderr_and_the_report_to_stdout(project: Path) -> None:
    """A person sees the steps while it runs, and the report at the end."""
    with ChatUpstream([action(READ), action(REPORT)]) as upstream:
        done = run_cli(project, "mission", "run", "-", upstream=upstream.base_url, stdin=json.dumps(HANDOFF))
    assert done.returncode == 0
    assert "· Read app/retry.py: lines 1-4 of 4" in done.stderr
    assert done.stdout.startswith("# Mission m_cli: COMPLETE")


def test_secrets_and_denied_files_stay_inside(project: Path) -> None:
    """A secret in a file reaches neither the model nor the disk below .codex-oss, a denied file is never read."""
    env_read = {**READ, "arguments": {"path": "app/.env"}}
    with ChatUpstream([action(env_read), action(READ), action(REPORT)]) as upstream:
        done = run_cli(project, "mission", "run", "-", "--json", upstream=upstream.base_url, stdin=json.dumps(HANDOFF))
        sent = b"".join(request.body for request in upstream.requests)
    assert done.returncode == 0, done.stdout
    written = b"".join(path.read_bytes() for path in (project / ".codex-oss").rglob("*") if path.is_file())
    for place in (sent, written, done.stdout.encode(), done.stderr.encode()):
        assert b"sk-proj-a1B2" not in place
        assert b"hunter2" not in place
        assert b"synthetic-upstream-key" not in place
    assert b"[REDACTED:" in sent


def test_the_runtime_reads_only_inside_the_scope(project: Path) -> None:
    """A path outside the scope is refused with its reason, and the mission goes on."""
    outside = {**READ, "arguments": {"path": "outside.py"}}
    code, outcome, _ = run_mission(project, [action(outside), action(READ), action(REPORT)])
    assert code == 0
    trace = [json.loads(line) for line in (Path(outcome["artifacts"]) / "trace.jsonl").read_text().splitlines()]
    assert [(step["runtime_decision"], step["decision_code"]) for step in trace] == [
        ("blocked", "path_outside_scope"),
        ("allowed", ""),
        ("report", ""),
    ]


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [
        ([action(READ), action({**REPORT, "report": {**REPORT["report"], "status": "PARTIAL"}})], 10, "PARTIAL"),  # type: ignore[dict-item]
        ([action(READ), action({**REPORT, "report": {"status": "ESCALATE", "findings": []}})], 11, "ESCALATE"),
        ([text("no"), text("no")], 12, "FAILED"),
    ],
)
def test_exit_status_tells_the_ending(project: Path, script: Sequence[Answer], code: int, status: str) -> None:
    """10 PARTIAL, 11 ESCALATE, 12 FAILED."""
    exit_code, outcome, _ = run_mission(project, script)
    assert (exit_code, outcome["status"]) == (code, status)


def test_missing_upstream_key_is_said(project: Path) -> None:
    """The exact words a user reads when no key is set."""
    done = run_cli(project, "mission", "run", "-", stdin=json.dumps(HANDOFF), OPENCODE_GO_API_KEY="")
    assert done.returncode == 12
    assert "OPENCODE_GO_API_KEY" in done.stdout
    assert "# Mission m_cli: FAILED" in done.stdout


def test_upstream_down_is_said(project: Path) -> None:
    """The exact words a user reads when nothing listens there."""
    done = run_cli(project, "mission", "run", "-", stdin=json.dumps(HANDOFF))
    assert done.returncode == 12
    assert re.search(r"127\.0\.0\.1:9\b", done.stdout)


def test_upstream_refusal_keeps_what_was_gathered(project: Path) -> None:
    """The model dies after a read: PARTIAL from the gathered evidence, marked as recovery."""
    code, outcome, _ = run_mission(project, [action(READ), error(400, "no")])
    assert (code, outcome["report"]["synthesis_status"]) == (10, "SOURCE_PACK_RECOVERY")


def test_unknown_model_is_asked_wrongly(project: Path) -> None:
    """Exit 2 and one sentence."""
    done = run_cli(project, "mission", "run", "-", "--model", "mission-a3-nobody", stdin=json.dumps(HANDOFF))
    assert done.returncode == 2
    assert "there is no profile 'nobody'" in done.stderr


def test_a_tier_that_differs_is_refused(project: Path) -> None:
    """An A3 mission on an A2 name is not run."""
    done = run_cli(project, "mission", "run", "-", "--json", "--model", "mission-a2-kimi", stdin=json.dumps(HANDOFF))
    assert done.returncode == 2
    assert json.loads(done.stdout)["problems"][0]["code"] == "tier_alias_mismatch"


def test_every_breach_is_listed(project: Path) -> None:
    """All errors at once, each with its code, and exit 2."""
    broken = {**HANDOFF, "tool_budget": 5000, "allowed_roots": [], "allowed_tool_classes": ["fly"], "objective": ""}
    done = run_cli(project, "mission", "run", "-", "--json", stdin=json.dumps(broken))
    assert done.returncode == 2
    codes = {problem["code"] for problem in json.loads(done.stdout)["problems"]}
    assert {"budget_abusive", "scope_missing", "tool_class_invalid", "objective_missing"} <= codes
    for code in codes:
        assert code in done.stderr


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "stdin is empty."),
        ("please look around", "handoff_missing"),
        ("<OSS_HANDOFF_JSON>{oops</OSS_HANDOFF_JSON>", "handoff_malformed_json"),
        (f"<OSS_HANDOFF_JSON>{json.dumps(HANDOFF)}</OSS_HANDOFF_JSON>" * 2, "handoff_multiple_blocks"),
    ],
    ids=["empty", "prose", "malformed", "two blocks"],
)
def test_a_bad_handoff_is_one_sentence(project: Path, document: str, code: str) -> None:
    """No traceback, the code, exit 2."""
    done = run_cli(project, "mission", "run", "-", stdin=document)
    assert done.returncode == 2
    assert code in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["show-summary", "show-trace", "audit-mission", "explain"])
def test_an_unknown_mission_is_said(project: Path, verb: str) -> None:
    """Every reading verb names the mission that is not there."""
    done = run_cli(project, verb, "nobody")
    assert done.returncode == 2
    assert "There is no mission 'nobody' in this project." in done.stderr


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.json", "projection.report.json"),
        ("summary.md", "projection.summary.md"),
        ("trace.jsonl", "projection.trace.jsonl"),
    ],
)
def test_an_edited_projection_is_found(project: Path, name: str, expected: str) -> None:
    """A touched-up report fails the audit under its name."""
    _, outcome, _ = run_mission(project, [action(READ), action(REPORT)])
    path = Path(outcome["artifacts"]) / name
    path.write_bytes(path.read_bytes() + b" ")
    status, answer = audit(project)
    assert (status, failed_checks(answer)) == (1, [expected])


def test_an_edited_log_is_found(project: Path) -> None:
    """An edit of the log is named with its line; a file that changed since is only a warning."""
    _, outcome, _ = run_mission(project, [action(READ), action(REPORT)])
    (project / "app/retry.py").write_text("changed\n")
    status, answer = audit(project)
    assert (status, answer["ok"]) == (0, True)
    assert [c["message"] for c in answer["checks"] if c["status"] == "WARN"] == [
        "Changed or gone since they were read: app/retry.py."
    ]
    log = project / ".codex-oss/runs" / outcome["run_id"] / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b"MAX_RETRIES = 5", b"MAX_RETRIES = 6"))
    status, answer = audit(project)
    assert status == 1
    assert "log.integrity" in failed_checks(answer)


def test_kill_nine_in_the_middle_keeps_what_was_committed(project: Path) -> None:
    """Killed while its model thinks: the log reads to the last event, and the audit says what is missing."""

    def script(request: Request) -> Answer:
        answer = action(READ) if len(request.messages) < 3 else action(REPORT)
        return answer if len(request.messages) < 3 else Answer((Hold("never"), *answer.steps))

    with ChatUpstream(script) as upstream, running_bridge(project, upstream=upstream.base_url) as bridge:
        client = subprocess.Popen(
            [sys.executable, "-m", "codex_oss", "mission", "run", "-", "--json", "--project", str(project)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(project.parent / "home"), "PROXY_API_KEY": LOCAL_KEY},
        )
        assert client.stdin is not None
        client.stdin.write(json.dumps(HANDOFF))
        client.stdin.close()
        client.stdin = None
        upstream.wait_for_requests(2)
        bridge.process.send_signal(signal.SIGKILL)
        out, err = client.communicate(timeout=30)
        assert client.returncode == 1
        assert "Traceback" not in err
        assert out == "" or json.loads(out)["ok"] is False
    status, answer = audit(project)
    assert status == 1
    broken = {check["name"]: check["message"] for check in answer["checks"] if check["status"] == "FAIL"}
    assert broken["log.completeness"].endswith("missing: the answer to question 2 and the closing.")
    assert "log.integrity" not in broken
    assert "projection.report.json" in broken
    explained = run_cli(project, "explain", "m_cli").stdout
    assert "has not ended, or its process was killed" in explained
    assert "ended OPEN" in explained
