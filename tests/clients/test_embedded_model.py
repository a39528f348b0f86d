"""The whole chain on a real model: the demo as a user runs it, and the Codex CLI on the embedded model."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codex_oss.errors import BridgeError
from codex_oss.services.codex_exec import run_codex
from codex_oss.services.local_model import find_weights, run_local_model
from tests.clients.programs import clean_environ, codex_turn, find_client, make_project, run_bridge

pytestmark = [pytest.mark.local_model, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _needs_the_model() -> None:
    """Skips when the extra is absent."""
    try:
        find_weights()
    except BridgeError as exc:
        pytest.skip(exc.message)


@pytest.mark.timeout(300)
def test_the_demo_delegates_one_mission_for_real(tmp_path: Path) -> None:
    """`codex-oss demo` ends with 0, and every link of the chain stands in its JSON."""
    command = [sys.executable, "-m", "codex_oss", "demo", "--json", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(
        command,
        env=clean_environ(tmp_path / "home"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    links = {link["name"]: link for link in told["links"]}
    assert list(links)[:8] == ["project", "model", "bridge", "mission", "answers", "report", "audit", "artifacts"]
    assert links["answers"]["tokens"] > 0
    assert links["mission"]["commentary"] > 0
    assert Path(links["artifacts"]["event_log"]).is_file()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_demo_that_is_ended_takes_its_children_along(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and kill -9 in the middle of the mission leave neither model nor bridge behind."""
    command = [sys.executable, "-u", "-m", "codex_oss", "demo", "--keep", str(tmp_path / "kept")]
    with subprocess.Popen(
        command,
        env=clean_environ(tmp_path / "home"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "asking mission-a3-local" in line:
                break
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children")
        if not children.exists():
            demo.kill()
            pytest.skip("this system does not tell a process's children")
        watches = [os.pidfd_open(int(pid)) for pid in children.read_text().split()]
        if how is signal.SIGINT:
            os.killpg(demo.pid, how)  # as a terminal does it
        else:
            demo.send_signal(how)
        demo.stdout.read()
    assert len(watches) == 2
    for watch in watches:
        assert select.select([watch], [], [], 15)[0], "a child is still running"
        os.close(watch)


@pytest.mark.client
def test_codex_talks_to_the_embedded_model(tmp_path: Path) -> None:
    """A raw turn of the Codex CLI is answered by real, streamed tokens of the embedded model."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with run_local_model() as model, run_bridge(project, model.base_url, model.api_key) as bridge:
        run = run_codex(codex, codex_turn(bridge, project, "ocg-local", "Say hello."))
    assert run.failure == ""
    assert (run.messages[-1].message or "").strip()
