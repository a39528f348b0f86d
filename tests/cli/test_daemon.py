"""The bridge as a process, through the CLI: up, up -- CMD, start, stop, restart, status, and kills in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project whose bridge is ended at the end."""
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    run(folder, "stop")


def run(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the CLI in a clean environment."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(project.parent),
        "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
        **environ,
    }
    return subprocess.run(
        [sys.executable, "-m", "codex_oss", *arguments],
        capture_output=True,
        text=True,
        env=env,
        cwd=project,
        timeout=60,
    )


def run_json(project: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the one object on stdout."""
    done = run(project, *arguments, "--json")
    return done.returncode, json.loads(done.stdout)


def test_start_status_stop(project: Path) -> None:
    """A started bridge proves itself, runs fresh sources, is found again, and is gone after stop."""
    assert run_json(project, "status") == (1, {**run_json(project, "status")[1], "running": False, "state": "stopped"})
    code, started = run_json(project, "start", "--port", "0")
    assert (code, started["running"], started["already_running"], started["source"]) == (0, True, False, "FRESH")
    assert started["project_root"] == str(project)
    assert started["upstream_keys"]["OPENCODE_GO_API_KEY"] is True
    code, again = run_json(project, "start")
    assert (code, again["already_running"], again["pid"]) == (0, True, started["pid"])
    assert run_json(project, "status")[1]["pid"] == started["pid"]
    assert run_json(project, "stop")[1] == {"stopped": True, "pid": started["pid"], "killed": False, "cleaned": False}
    assert run_json(project, "status")[0] == 1
    assert run(project, "stop").returncode == 0


def test_restart_is_a_new_process_on_the_same_port(project: Path) -> None:
    """Restart keeps the port, changes the process, and names the one before."""
    _, first = run_json(project, "start", "--port", "0")
    code, second = run_json(project, "restart")
    assert code == 0
    assert second["port"] == first["port"]
    assert second["pid"] != first["pid"] == second["previous_pid"]


def test_a_killed_bridge_leaves_only_a_stale_record(project: Path) -> None:
    """After kill -9 the record is stale: status says stopped, and start works at once."""
    _, first = run_json(project, "start", "--port", "0")
    os.kill(first["pid"], signal.SIGKILL)
    code, told = run_json(project, "status")
    assert (code, told["running"]) == (1, False)
    code, second = run_json(project, "start", "--port", "0")
    assert (code, second["already_running"]) == (0, False)


def test_a_foreign_process_is_left_alone(project: Path) -> None:
    """A record that points at somebody else's process ends nobody."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        folder = project / ".codex-oss/run"
        folder.mkdir(parents=True)
        record = {"pid": other.pid, "port": 1, "started_at": 1.0, "project_root": str(project)}
        (folder / "bridge.json").write_text(json.dumps(record))
        done = run(project, "stop")
        assert done.returncode == 1
        assert f"Process {other.pid} was left alone" in done.stderr
        assert other.poll() is None
        other.kill()
    (folder / "bridge.json").unlink()


def test_two_starts_at_once_give_one_bridge(project: Path) -> None:
    """The second start finds the first one's bridge."""
    command = [sys.executable, "-m", "codex_oss", "start", "--port", "0", "--json"]
    env = {"PATH": os.environ["PATH"], "HOME": str(project.parent)}
    both = [subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert answers[0]["pid"] == answers[1]["pid"]
    assert sorted(answer["already_running"] for answer in answers) == [False, True]


def test_a_bridge_that_cannot_start_says_why(project: Path) -> None:
    """A bad configuration is named with file and key; nothing runs afterwards."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/config.toml").write_text('port = "many"\n')
    done = run(project, "start")
    assert done.returncode == 1
    assert "port: expected a whole number" in done.stderr
    assert run_json(project, "status")[0] == 1


def test_up_around_a_command(project: Path) -> None:
    """CMD finds the bridge in its environment, its exit status becomes ours, and the bridge is gone afterwards."""
    probe = (
        "import os, sys, urllib.request as u\n"
        "base = os.environ['CODEX_OSS_BASE_URL']\n"
        "r = u.Request(base + '/models', headers={'Authorization': 'Bearer ' + os.environ['CODEX_OSS_API_KEY']})\n"
        "print(base, u.urlopen(r).status)\n"
        "sys.exit(7)\n"
    )
    done = run(project, "up", "--port", "0", "--", sys.executable, "-c", probe)
    assert done.returncode == 7, done.stderr
    base, status = done.stdout.split()[-2:]
    assert (base.startswith("http://127.0.0.1:"), status) == (True, "200")
    assert not (project / ".codex-oss/run/bridge.json").exists()


def test_up_in_the_foreground(project: Path) -> None:
    """The ready line comes first, SIGTERM ends it cleanly."""
    env = {"PATH": os.environ["PATH"], "HOME": str(project.parent)}
    command = [sys.executable, "-m", "codex_oss", "up", "--port", "0", "--project", str(project)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        process.terminate()
        assert process.wait(6) == 0
