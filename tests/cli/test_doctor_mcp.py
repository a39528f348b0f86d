"""`doctor` tries the registered MCP server: it is really started, and nobody else's program is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_doctor import doctor, look, program, project, run
from tests.fakes.bridge_process import LOCAL_KEY

__all__ = ["project"]
CHECKS = ("mcp.codex", "mcp.opencode")


def statuses(folder: Path, **environ: str) -> dict[str, str]:
    """Name to status of the two checks."""
    return {found.name: found.status for check in CHECKS for found in look(check, folder, **environ)}


def messages(folder: Path, **environ: str) -> str:
    """All their words."""
    return " ".join(found.message for check in CHECKS for found in look(check, folder, **environ))


def test_what_install_wrote_starts_and_lists_its_tools(project: Path) -> None:
    """With a key of one's own, from a clean environment; nothing is written but by install, and no key is shown."""
    assert run(project, "install", PROXY_API_KEY=LOCAL_KEY)[0] == 0
    before = sorted(project.rglob("*"))
    code, report = doctor(project, PROXY_API_KEY=LOCAL_KEY)
    assert code == 0
    for check in CHECKS:
        assert report["by_name"][check]["status"] == "PASS"
        assert "delegate" in report["by_name"][check]["message"]
    assert sorted(project.rglob("*")) == before
    assert LOCAL_KEY not in json.dumps(report)


def test_without_a_registration_it_warns(project: Path) -> None:
    """Nothing of ours is a warning; so is a server that its user switched off."""
    assert statuses(project) == dict.fromkeys(CHECKS, "WARN")
    run(project, "install")
    for path, old, new in (
        (project.parent / ".codex/config.toml", "tool_timeout_sec", "enabled = false\ntool_timeout_sec"),
        (project / "opencode.json", '"enabled": true', '"enabled": false'),
    ):
        path.write_text(path.read_text().replace(old, new))
    assert statuses(project) == dict.fromkeys(CHECKS, "WARN")
    assert "switched off" in messages(project)


def test_another_key_than_the_bridges_fails(project: Path) -> None:
    """A key that changed after install, or whose file is gone, is found before a mission is."""
    run(project, "install", PROXY_API_KEY=LOCAL_KEY)
    assert statuses(project, PROXY_API_KEY="sk-another") == dict.fromkeys(CHECKS, "FAIL")
    (project / ".codex-oss/install/local_key").unlink()
    assert statuses(project, PROXY_API_KEY=LOCAL_KEY) == {"mcp.codex": "PASS", "mcp.opencode": "FAIL"}


@pytest.mark.parametrize("name", ["codex-oss", "other"])
def test_nobody_elses_program_is_started(project: Path, name: str) -> None:
    """A cloned project may name any program, under our name too: it is told and not run."""
    program(project, name, "started")
    path = project.parent / "bin" / name
    path.write_text(f"#!/bin/sh\ntouch {project.parent}/started\n")
    (project / "opencode.json").write_text(json.dumps({"mcp": {"codex-oss": {"command": [str(path), "mcp"]}}}))
    (found,) = look("mcp.opencode", project)
    assert (found.status, "not tried" in found.message) == ("WARN", True)
    assert not (project.parent / "started").exists()


def test_a_variable_of_a_cloned_project_is_not_obeyed(project: Path) -> None:
    """Our own program is not led astray by what a project's file would set for it."""
    run(project, "install")
    evil = project / "evil"
    evil.mkdir()
    (evil / "msgspec.py").write_text(f"open({str(project.parent / 'started')!r}, 'w')\n")
    settings = json.loads((project / "opencode.json").read_text())
    settings["mcp"]["codex-oss"]["environment"] = {"PYTHONPATH": str(evil)}
    (project / "opencode.json").write_text(json.dumps(settings))
    (found,) = look("mcp.opencode", project)
    assert found.status == "PASS"
    assert not (project.parent / "started").exists()


def test_a_program_that_is_gone_fails_with_its_fix(project: Path) -> None:
    """After a move of the installation `install` mends both entries."""
    run(project, "install")
    for path in (project.parent / ".codex/config.toml", project / "opencode.json"):
        text = path.read_text()
        start = text.index("/codex-oss", text.index("mcp"))
        path.write_text(text[:start] + "/gone" + text[start:])
    found = [one for check in CHECKS for one in look(check, project)]
    assert [one.status for one in found] == ["FAIL", "FAIL"]
    assert {one.fix for one in found} == {"codex-oss install"}
    run(project, "install")
    assert statuses(project) == dict.fromkeys(CHECKS, "PASS")


def test_a_server_that_fails_says_why(project: Path) -> None:
    """A configuration that cannot be read is the reason, in its own words."""
    run(project, "install")
    (project / ".codex-oss/config.toml").write_text("port = 'x'\n")
    assert statuses(project) == dict.fromkeys(CHECKS, "FAIL")
    assert "port" in messages(project)
