"""A clone that ships its own `.codex-oss`: links, FIFOs and devices where our files should be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_missions import HANDOFF, READ, REPORT, run_cli
from tests.fakes.chat_upstream import ChatUpstream, action

Plant = Callable[[Path, Path], None]
"""Puts something below the state folder (first), perhaps a link to the folder outside (second)."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app/retry.py").write_text("import time\n\nMAX_RETRIES = 5\n")
    return folder


def run(project: Path) -> tuple[int, dict[str, object], str]:
    """Run the mission of `test_missions`; exit status, the object on stdout, stderr."""
    with ChatUpstream([action(READ), action(REPORT)]) as upstream:
        done = run_cli(project, "mission", "run", "-", "--json", upstream=upstream.base_url, stdin=json.dumps(HANDOFF))
    return done.returncode, json.loads(done.stdout), done.stderr


def link(name: str) -> Plant:
    """A link instead of the folder *name*; "" is the state folder itself."""

    def plant(state: Path, outside: Path) -> None:
        path = state / name if name else state
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(outside)

    return plant


def link_file(name: str) -> Plant:
    """A link to a file of the user's instead of the file *name*."""

    def plant(state: Path, outside: Path) -> None:
        (state / name).parent.mkdir(parents=True)
        (state / name).symlink_to(outside / "precious")

    return plant


def fifo(name: str) -> Plant:
    """A FIFO instead of the file *name*."""

    def plant(state: Path, outside: Path) -> None:
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(state / name)

    return plant


@pytest.mark.parametrize(
    "plant",
    [link(""), link("runs"), link("locks"), link("missions"), link_file("locks/m_cli.lock"), fifo("ignore")],
    ids=["state", "runs", "locks", "missions", "lock", "ignore"],
)
def test_what_cannot_be_ours_stops_the_mission(project: Path, tmp_path: Path, plant: Plant) -> None:
    """Exit 1 with one sentence; nothing outside is written, nobody waits."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep me")
    plant(project / ".codex-oss", outside)
    code, outcome, stderr = run(project)
    assert (code, outcome["ok"], outcome["error"]) == (1, False, "store_error")
    assert "Traceback" not in stderr
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"precious": "keep me"}


@pytest.mark.parametrize(
    "plant",
    [
        fifo("runs/planted/events.jsonl"),
        fifo("run/bridge.json"),
        fifo("missions/m_cli/report.json"),
        link_file("missions/m_cli/report.json"),
    ],
    ids=["log", "record of a bridge", "report", "linked report"],
)
def test_what_is_in_the_way_is_passed_by(project: Path, tmp_path: Path, plant: Plant) -> None:
    """The mission runs, the record holds, the file outside stays as it was."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep me")
    plant(project / ".codex-oss", outside)
    assert run(project)[0] == 0
    assert run_cli(project, "audit-mission", "m_cli").returncode == 0
    assert "COMPLETE" in run_cli(project, "mission", "list").stdout
    assert (outside / "precious").read_text() == "keep me"


def test_endless_logs_do_not_wedge_the_list(project: Path) -> None:
    """A log that is a device, a huge one and one behind a link are no missions, and cost nothing."""
    assert run(project)[0] == 0
    runs = project / ".codex-oss/runs"
    for name in ("device", "huge", "fifo"):
        (runs / name).mkdir()
    (runs / "device/events.jsonl").symlink_to("/dev/zero")
    with (runs / "huge/events.jsonl").open("wb") as file:
        file.truncate(1 << 34)
    os.mkfifo(runs / "fifo/events.jsonl")
    listed = json.loads(run_cli(project, "mission", "list", "--json").stdout)
    assert [row["mission_id"] for row in listed["missions"]] == ["m_cli"]


def test_a_planted_report_that_never_ends_fails_the_audit(project: Path) -> None:
    """A FIFO put where a projection lay is named by the audit, not waited for."""
    assert run(project)[0] == 0
    report = project / ".codex-oss/missions/m_cli/report.json"
    report.unlink()
    os.mkfifo(report)
    done = run_cli(project, "audit-mission", "m_cli")
    assert done.returncode == 1
    assert "report.json cannot be read: it is no regular file." in done.stdout + done.stderr


def test_a_linked_state_folder_stops_the_bridge(project: Path, tmp_path: Path) -> None:
    """`up` does not write its lock and record through the link either."""
    (tmp_path / "outside").mkdir()
    (project / ".codex-oss").symlink_to(tmp_path / "outside")
    done = run_cli(project, "up", "--port", "0")
    assert done.returncode == 1
    assert "cannot be made a private folder" in done.stderr
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_configuration_that_never_ends_is_named(project: Path) -> None:
    """A FIFO as config.toml is one problem of the configuration."""
    (project / ".codex-oss").mkdir()
    os.mkfifo(project / ".codex-oss/config.toml")
    done = run_cli(project, "mission", "run", "-", stdin=json.dumps(HANDOFF))
    assert done.returncode == 2
    assert "cannot be read: it is no regular file" in done.stderr
