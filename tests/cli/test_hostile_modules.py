"""A clone that ships Python files named as ours and our libraries: none of them is ever imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_mcp_life import INITIALIZE, call
from tests.cli.test_missions import HANDOFF

PROGRAM = Path(sys.executable).with_name("codex-oss")
NAMES = ("codex_oss", "msgspec", "click", "uvicorn", "starlette", "mcp", "json", "runpy", "sitecustomize")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose root is full of modules that leave a mark."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    for name in NAMES:
        mark = f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\nraise SystemExit(3)\n"
        (folder / f"{name}.py").write_text(mark)
    (tmp_path / "home").mkdir()
    return folder


def run(project: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """The installed program, started in the project as its user would."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(project.parent / "home"), "PROXY_PORT": "0"}
    return subprocess.run(
        [str(PROGRAM), *arguments], cwd=project, env=environ, input=said, capture_output=True, text=True, timeout=60
    )


def test_the_bridge_imports_nothing_of_the_project(project: Path) -> None:
    """`start` begins the server in the project's folder, and it is our own."""
    try:
        assert run(project, "start").returncode == 0
    finally:
        run(project, "stop")
    assert not (project.parent / "imported").exists()


def test_a_detached_mission_imports_nothing_of_the_project(project: Path) -> None:
    """Its process is ours, whatever lies in the folder that it runs in."""
    begun = run(project, "mission", "run", "-", "--detach", "--json", said=json.dumps(HANDOFF))
    assert not (project.parent / "imported").exists()
    assert begun.returncode == 0, begun.stderr
    run(project, "mission", "cancel", "m_cli")


def test_the_mcp_server_imports_nothing_of_the_project(project: Path) -> None:
    """Clients start it in the project's folder; handshake and a call are answered."""
    said = "".join(json.dumps(message) + "\n" for message in (INITIALIZE, call(1, "list_profiles", {})))
    assert '"serverInfo"' in run(project, "mcp", said=said).stdout
    assert not (project.parent / "imported").exists()
