"""Missions in other words: a task contract in prose and a handoff of the older form, through the server and the CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.bridge_process import running_bridge
from tests.fakes.chat_upstream import ChatUpstream, action
from tests.server.test_missions import READ, messages_of, report_of

PROSE = "GOAL: Find LIMIT.\nREAD-ONLY PATHS: limits.py\nDELIVERABLE: the value of LIMIT\n"
LEGACY: dict[str, Any] = {
    "schema_version": 1,
    "role": "scout",
    "goal": "Find LIMIT.",
    "task_type": "scout",
    "owned_paths": [],
    "read_only_paths": ["limits.py"],
    "forbidden_actions": ["edit"],
    "verification_steps": [],
    "deliverable_fields": ["limit_value"],
    "completion_rule": "",
    "escalation_rule": "",
}
FINDING = {"claim": "`LIMIT` is 3", "evidence_refs": ["file:limits.py#extract:1"], "confidence": "LOW"}
REPORT: dict[str, Any] = {
    "action_type": "final_report",
    "report": {"status": "COMPLETE", "confidence": "MEDIUM", "findings": [FINDING], "limit_value": "3"},
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one file."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "limits.py").write_text("LIMIT = 3\n")
    (tmp_path / "home").mkdir()
    return folder


@pytest.mark.parametrize(
    ("model", "said", "told"),
    [
        ("mission-a3-kimi", PROSE, "compiled to a mission of tier A3 over limits.py"),
        ("mission-a2-kimi", f"OSS_HANDOFF_JSON: {json.dumps(LEGACY)}", "The older form was compiled"),
        ("ocg-kimi-k2.6", f"Do this:\nOSS_HANDOFF_JSON:\n{json.dumps(LEGACY)}", "The older form was compiled"),
    ],
)
def test_other_forms_run_as_missions(project: Path, model: str, said: str, told: str) -> None:
    """The same runtime answers, and what became of the form is said before anything else."""
    with ChatUpstream([action(READ), action(REPORT)]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": model, "input": said, "stream": True})
    messages = messages_of(answer.events)
    assert told in messages[0][1]
    assert [phase for phase, _ in messages] == ["commentary"] * (len(messages) - 1) + ["final_answer"]
    report = report_of(messages[-1][1])
    assert (report["status"], report["findings"][0]["claim"]) == ("COMPLETE", "`LIMIT` is 3")
    if said != PROSE:
        assert report["outputs"] == {"limit_value": "3"}


def test_an_ambiguous_contract_is_a_failed_report_with_a_hint(project: Path) -> None:
    """The model is never asked; the report says what is unclear and what to do."""
    said = "GOAL: Find LIMIT.\nREAD-ONLY PATHS: everything that matters\n"
    with ChatUpstream([]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": "mission-a3-kimi", "input": said, "stream": True})
        raw = bridge.post({"model": "mission-a3-kimi", "input": "Goal: look around", "stream": True})
        assert up.requests == []
    report = report_of(messages_of(answer.events)[-1][1])
    assert (report["status"], report["reason_codes"]) == ("FAILED", ["prose_ambiguous"])
    assert any("one path a line" in caveat for caveat in report["caveats"])
    assert report["problems"][0]["hint"]
    assert report_of(messages_of(raw.events)[-1][1])["reason_codes"] == ["handoff_missing"]


def run_cli(project: Path, *arguments: str, stdin: str, upstream: str) -> subprocess.CompletedProcess[str]:
    """The CLI in a clean environment."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(project.parent / "home"),
        "UPSTREAM_BASE": upstream,
        "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
    }
    command = [sys.executable, "-m", "codex_oss", *arguments, "--project", str(project)]
    return subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("form", ["bare", "tagged", "prose", "legacy"])
def test_the_command_line_takes_every_form(project: Path, form: str) -> None:
    """`mission run -` runs the bare object, the tagged block, prose and the older form alike."""
    mission = {
        "schema_version": "oss_agent_mission.v1",
        "tier": "A3",
        "objective": "Find LIMIT.",
        "allowed_paths": ["limits.py"],
        "allowed_tool_classes": ["read"],
        "required_outputs": ["findings"],
    }
    texts = {
        "bare": json.dumps(mission),
        "tagged": f"<OSS_HANDOFF_JSON>{json.dumps(mission)}</OSS_HANDOFF_JSON>",
        "prose": PROSE,
        "legacy": f"OSS_HANDOFF_JSON: {json.dumps(LEGACY)}",
    }
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        ran = run_cli(project, "mission", "run", "-", "--json", stdin=texts[form], upstream=up.base_url)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["status"] == "COMPLETE"
    assert ("compiled_from" in ran.stderr) == (form in ("prose", "legacy"))


def test_the_command_line_refuses_with_code_and_hint(project: Path) -> None:
    """Exit 2, the code, the place and what to do, on stderr and in JSON; never a traceback."""
    said = "GOAL: a\nGOAL: b\nREAD-ONLY PATHS: limits.py"
    for verb in (("mission", "run", "-"), ("validate-handoff", "-"), ("mission", "compile", "-")):
        ran = run_cli(project, *verb, stdin=said, upstream="http://127.0.0.1:9/v1")
        assert ran.returncode == 2
        assert "prose_ambiguous GOAL" in ran.stdout + ran.stderr
        assert "hint (prose_ambiguous): Write each label once" in ran.stderr
        assert "Traceback" not in ran.stderr
    listed = run_cli(project, "validate-handoff", "-", "--json", stdin=said, upstream="http://127.0.0.1:9/v1")
    assert json.loads(listed.stdout)["problems"][0]["hint"].startswith("Write each label once")
