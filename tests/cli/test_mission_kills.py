"""`mission run` killed with SIGKILL at each step, then `mission resume`: real processes, a real upstream."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_oss.missions.projections import final_report
from codex_oss.missions.record import fold
from codex_oss.services.audit import audit_mission
from codex_oss.services.mission_store import MissionStore
from codex_oss.wiring.records import open_project, seal_for_audit, source_reader
from tests.cli.test_mission_runs import events_of
from tests.cli.test_missions import HANDOFF, READ, REPORT, project, run_cli
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action

__all__ = ["project"]

ROOT = Path(__file__).resolve().parents[2]
MORTAL = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.fakes.sudden_death import die_at
die_at("write", int(sys.argv[2]), "after")
sys.argv = ["codex-oss", "mission", "run", "-", "--json"]
from codex_oss.cli.main import main
main()
"""
PLACES = ("source_seq", "source_event_hash", "source_run_record_hash", "run_id")
"""Where the report stands in its log: the second process noted there that it went on."""


def perfect(request: Request) -> Answer:
    """A model whose answer follows from the conversation, so that a repeated question gets the same one."""
    return action(READ if len(request.messages) < 3 else REPORT)


def run_and_die(folder: Path, upstream: str, commit: int, protocol: str) -> bool:
    """`mission run` in a process that dies at this commit; False when it came to its end."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder.parent / "home"),
        "UPSTREAM_BASE": upstream,
        "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
        "CODEX_OSS_ACTION_PROTOCOL": protocol,
    }
    done = subprocess.run(
        [sys.executable, "-c", MORTAL, str(ROOT), str(commit)],
        input=json.dumps(HANDOFF), capture_output=True, text=True, env=environ, cwd=folder, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def report_of(folder: Path) -> dict[str, Any]:
    """The report without its place in the log."""
    reading = MissionStore(folder).read_latest("m_cli")
    report = final_report(fold(reading.run_id, reading.mission_id, reading.events()))
    return {name: value for name, value in report.items() if name not in PLACES}


def verdicts_of(folder: Path) -> set[str]:
    """The four verdicts, with the key and the anchor that the processes made."""
    seal = seal_for_audit(folder, {"HOME": str(folder.parent / "home")}, None)
    with open_project(folder) as root:
        audit = audit_mission(MissionStore(folder), "m_cli", source_reader(root), seal)
    return set(audit.verdicts.values())


@pytest.mark.parametrize("protocol", ["json", "tools"])
def test_a_mission_killed_at_each_step_ends_as_an_undisturbed_one(project: Path, protocol: str) -> None:
    """The same report, exit code and words; one closing; every verdict of the audit passes."""
    runs = project / ".codex-oss/runs"
    with ChatUpstream(perfect) as up:
        assert not run_and_die(project, up.base_url, 10**6, protocol)
        expected, commits = report_of(project), len(events_of(project))
        assert expected["status"] == "COMPLETE"
        for commit in range(1, commits + 1):
            (run,) = runs.iterdir()
            run.rename(project.parent / f"run_{commit}")
            # Away with its anchor, too: it would rightly say that a run is gone.
            (project.parent / "home/.local/state/codex-oss/anchors").rename(project.parent / f"anchors_{commit}")
            assert run_and_die(project, up.base_url, commit, protocol), commit
            done = run_cli(
                project, "mission", "resume", "m_cli", "--json",
                upstream=up.base_url, CODEX_OSS_ACTION_PROTOCOL=protocol,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")
            assert json.loads(done.stdout)["status"] == "COMPLETE"
            assert report_of(project) == expected
            kinds = [event["event_type"] for event in events_of(project)]
            assert kinds.count("MissionClosed") == 1
            assert kinds.count("MissionResumed") == (commit < commits)
            assert verdicts_of(project) == {"PASS"}
