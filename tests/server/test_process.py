"""The process: ready line, one bridge a project, end by signal, refusals at the start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codex_oss.server.process import MAX_DRAIN_S
from codex_oss.services.source import source_hash
from tests.fakes.bridge_process import bridge_environment, running_bridge, sse_events
from tests.fakes.chat_upstream import ChatUpstream, held, text

TURN = {"model": "ocg-kimi-k2.6", "input": "hi"}


def _start(project: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail."""
    command = [sys.executable, "-m", "codex_oss.server", "--project", str(project), *arguments]
    environment = bridge_environment(project, None, extra)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)


def test_announces_itself_and_withdraws(tmp_path: Path) -> None:
    """bridge.json (0600) and /health say the same; after SIGTERM the exit code is 0 and the file gone."""
    project = tmp_path / "project"
    path = project / ".codex-oss" / "run" / "bridge.json"
    with running_bridge(project) as bridge:
        written = json.loads(path.read_text())
        health = bridge.request("GET", "/health", headers={}).json
        assert path.stat().st_mode & 0o777 == 0o600
        assert written["pid"] == bridge.process.pid
        assert written["source_hash"] == source_hash()
        assert written["project_root"] == str(project)
        assert health | written == health
        assert health["status"] == "ok"
        assert "oss" in health["lanes"]
        assert health["gpt_model_strategy"] == "error"
        assert bridge.stop() == 0
        assert bridge.process.stdout is not None
        assert bridge.process.stdout.read() == ""
    assert not path.exists()


def test_one_bridge_a_project(tmp_path: Path) -> None:
    """A second bridge of the same project names the first one; after a kill the project is free again."""
    project = tmp_path / "project"
    with running_bridge(project) as first:
        second = _start(project, "--port", "0")
        assert second.returncode == 1
        assert second.stderr == (
            f"error: A bridge already runs for this project (pid {first.process.pid}, port {first.port}).\n"
            "hint: Use it, or end it with `codex-oss stop`.\n"
        )
        first.process.kill()
        first.process.wait(10)
        with running_bridge(project) as third:
            assert third.request("GET", "/health", headers={}).json["pid"] == third.process.pid


def test_a_killed_bridge_leaves_a_foreign_file_alone(tmp_path: Path) -> None:
    """A bridge removes bridge.json at its end only if it wrote it."""
    project = tmp_path / "project"
    path = project / ".codex-oss" / "run" / "bridge.json"
    with running_bridge(project) as bridge:
        path.write_text('{"pid": 1}')
        bridge.stop()
    assert json.loads(path.read_text()) == {"pid": 1}


def test_port_in_use(tmp_path: Path) -> None:
    """A taken port is one sentence and a hint, exit 1, and nothing is left behind."""
    with running_bridge(tmp_path / "one") as bridge:
        other = tmp_path / "two"
        other.mkdir()
        failed = _start(other, "--port", str(bridge.port))
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr == (
        f"error: Port {bridge.port} on 127.0.0.1 is already in use.\n"
        "hint: Stop what uses it, or choose another: --port N, or --port 0 for any free one.\n"
    )
    assert not (other / ".codex-oss" / "run" / "bridge.json").exists()


def test_every_config_problem_is_printed(tmp_path: Path) -> None:
    """All problems of all sources are named at once, exit 2."""
    project = tmp_path / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss" / "config.toml").write_text('port = "many"\n')
    (project / ".codex-oss" / "models.toml").write_text("[profiles.kimi]\ncapability = 9\nmodel = \n")
    failed = _start(project, UPSTREAM_RETRIES="-1")
    assert failed.returncode == 2
    assert "error: The configuration has 3 problems:\n" in failed.stderr
    assert "config.toml: port: expected a whole number from 0 to 65535, got 'many'" in failed.stderr
    assert "environment: UPSTREAM_RETRIES: expected a whole number from 0 to 10, got -1" in failed.stderr
    assert "models.toml: TOML: Invalid value (at line 3, column 9)" in failed.stderr


def test_not_a_folder(tmp_path: Path) -> None:
    """A project that does not exist is asked wrongly."""
    (tmp_path / "there").mkdir()
    failed = subprocess.run(
        [sys.executable, "-m", "codex_oss.server", "--project", str(tmp_path / "absent")],
        env=bridge_environment(tmp_path / "there", None, {}),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"error: {tmp_path / 'absent'} is not a folder.\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_open_stream_properly(tmp_path: Path, number: signal.Signals) -> None:
    """An open stream gets one failed terminal event, and the process is gone within 5 s with exit 0."""
    with (
        ChatUpstream([held(text("never ends", pieces=4), "never", after=2)]) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0.2") as bridge,
    ):
        connection, response = bridge.open_stream(TURN)
        seen = response.readline()
        begun = time.monotonic()
        bridge.process.send_signal(number)
        seen += response.read()
        assert bridge.process.wait(10) == 0
        assert time.monotonic() - begun < 5  # the promise of the process, not a measurement
        connection.close()
        events = sse_events(seen)
        assert [event["type"] for event in events][-2:] == ["error", "response.failed"]
        assert events[-1]["response"]["error"]["message"] == "The bridge is shutting down."
        assert upstream.chats[0].client_left.wait(5)


def test_a_client_that_does_not_read_cannot_hold_the_end_up(tmp_path: Path) -> None:
    """A stuck client costs its own stream, not the 5 s."""
    flood = text("x" * 8_000_000, pieces=200)
    with (
        ChatUpstream([flood]) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0.2") as bridge,
    ):
        connection, response = bridge.open_stream(TURN)
        response.readline()
        begun = time.monotonic()
        bridge.process.terminate()
        bridge.process.wait(10)
        assert time.monotonic() - begun < 5  # the promise of the process, not a measurement
        connection.close()


def test_a_stream_may_end_by_itself_after_sigterm(tmp_path: Path) -> None:
    """Within the drain time an open stream is let go on; nobody new is let in."""
    with (
        ChatUpstream([held(text("late but whole", pieces=4), "go", after=2)]) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge,
    ):
        connection, response = bridge.open_stream(TURN)
        seen = response.readline()
        bridge.process.terminate()
        _wait_until_closed(bridge.port)
        upstream.release("go")
        seen += response.read()
        connection.close()
        assert sse_events(seen)[-1]["type"] == "response.completed"
        assert bridge.process.wait(10) == 0


def test_a_second_signal_ends_the_waiting(tmp_path: Path) -> None:
    """Whoever signals twice does not wait for open streams, and these still end properly."""
    with (
        ChatUpstream([held(text("never ends", pieces=4), "never", after=2)]) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url) as bridge,
    ):
        connection, response = bridge.open_stream(TURN)
        seen = response.readline()
        bridge.process.terminate()
        _wait_until_closed(bridge.port)
        bridge.process.terminate()
        assert bridge.process.wait(MAX_DRAIN_S - 0.5) == 0
        seen += response.read()
        connection.close()
    assert sse_events(seen)[-1]["type"] == "response.failed"


def _wait_until_closed(port: int) -> None:
    import socket

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("the bridge still accepts connections")


def test_an_inherited_key_is_in_no_file_or_log(tmp_path: Path) -> None:
    """Neither key appears in bridge.json, the log or /health."""
    with running_bridge(tmp_path / "project", upstream="http://127.0.0.1:9/v1") as bridge:
        bridge.post(TURN)
        shown = bridge.request("GET", "/health", headers={}).body.decode()
        shown += (bridge.project / ".codex-oss/run/bridge.json").read_text()
        bridge.stop()
        shown += bridge.log.read_text()
    assert "synthetic-upstream-key" not in shown
    assert "sk-local-test" not in shown
    assert os.environ.get("OPENCODE_GO_API_KEY", "unset") not in shown
