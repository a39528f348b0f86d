"""`desktop-pre-final-text-probe` as a process: its server, its self-test, its configuration, and what a person saw."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from tests.cli.test_missions import project, run_cli

__all__ = ["project"]

PROBE = "desktop-pre-final-text-probe"


def test_the_self_test_passes(project: Path) -> None:
    """It asks its own server and finds the four texts, one after the other."""
    done = run_cli(project, PROBE, "self-test", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["probe_status"]) == (0, "pass")
    assert told["texts"] == ["PROGRESS_ONE", "PROGRESS_TWO", "PROGRESS_THREE", "FINAL_DONE"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_server_serves_until_it_is_told_to_end(project: Path, ending: signal.Signals) -> None:
    """The first line says where; it ends with status 0."""
    command = [sys.executable, "-m", "codex_oss", PROBE, "server", "--port", "0", "--delay", "0"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(project.parent / "home")}
    with subprocess.Popen(command, cwd=project, env=environ, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            address = child.stdout.readline().removeprefix("listening on ").strip()
            with urllib.request.urlopen(f"{address}/models", timeout=10) as answer:
                assert answer.status == 200
        finally:
            child.send_signal(ending)
        assert child.wait(10) == 0


def test_the_configuration_is_toml(project: Path) -> None:
    """It names the probe's model and provider, and writes nothing."""
    before = sorted(project.rglob("*"))
    told = tomllib.loads(run_cli(project, PROBE, "config", "--port", "5000").stdout)
    assert told["model"] == PROBE
    provider = told["model_providers"][told["model_provider"]]
    assert (provider["base_url"], provider["wire_api"]) == ("http://127.0.0.1:5000/v1", "responses")
    assert sorted(project.rglob("*")) == before


def test_what_a_person_saw_stays_that_persons_word(project: Path) -> None:
    """Each record is a line, self-declared; another status than the five is asked wrongly."""
    for status in ("pass", "fail", "flaky", "setup_failed", "unknown"):
        done = run_cli(project, PROBE, "record", "--status", status, "--client", "Desktop \x1b[1m1.2", "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["authority"]) == (0, "self_declared")
    lines = Path(told["path"]).read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["pass", "fail", "flaky", "setup_failed", "unknown"]
    assert "\x1b" not in lines[0]
    assert run_cli(project, PROBE, "record", "--status", "great").returncode == 2


def test_a_missing_codex_is_said(project: Path) -> None:
    """One sentence with its code, exit 1."""
    done = run_cli(project, "app-server-pre-final-text-probe", "--codex", "/nowhere/codex", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]) == (1, "client_missing")
