"""The real clients, connected by `codex-oss install` and by nothing else, against the real bridge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import (
    LOCAL_KEY,
    RAW_MODEL,
    RUN_TIMEOUT_S,
    clean_environ,
    find_client,
    make_project,
    run_bridge,
)
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text

pytestmark = [pytest.mark.client, pytest.mark.slow]

ANSWER = "The answer is forty-two."


def answer(request: Request) -> Answer:
    """The answer to the turn; a title for the request without tools that OpenCode makes beside it."""
    return text(ANSWER)


def environment(project: Path) -> dict[str, str]:
    """A user with a HOME of his own; CODEX_HOME is not below the temporary folder."""
    environ = clean_environ(project.parent / "user") | {"PROXY_API_KEY": LOCAL_KEY}
    off = ("AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD")
    return environ | {f"OPENCODE_DISABLE_{name}": "1" for name in off}


def run(project: Path, *command: str) -> tuple[int, str, str]:
    """Run a program in the project, bounded in time, in a process group of its own."""
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment(project),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            stdout, stderr = child.communicate()
    return child.returncode, stdout, stderr


def install(project: Path, *flags: str) -> None:
    """Connect the clients to the bridge that runs for this project."""
    code, _, stderr = run(project, sys.executable, "-m", "codex_oss", "install", *flags)
    assert code == 0, stderr


def events(stdout: str) -> list[dict[str, Any]]:
    """The JSON lines."""
    return [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]


def test_codex_finds_the_bridge(tmp_path: Path) -> None:
    """`codex exec -p codex-oss` answers over the installed provider, in a trusted project with agents and rules."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with ChatUpstream(answer, max_requests=4) as upstream, run_bridge(project, upstream.base_url):
        install(project, "--no-opencode")
        command = (codex, "exec", "-p", "codex-oss", "--trust", "--json", "-s", "read-only", "What is the answer?")
        code, stdout, stderr = run(project, *command)
    assert code == 0, stderr + stdout
    uninstalled, told, _ = run(project, sys.executable, "-m", "codex_oss", "uninstall")
    home = project.parent / "user" / ".codex"
    kept = [tomllib.loads(path.read_text()) for path in home.glob("*config.toml")]
    assert uninstalled == 0, told
    assert [set(table) for table in kept] == [{"projects"}], "the trust that Codex saved, and nothing of ours"
    items = [event["item"] for event in events(stdout) if event["type"] == "item.completed"]
    assert [item["text"] for item in items if item["type"] == "agent_message"] == [ANSWER]
    complaints = [item["message"] for item in items if item["type"] == "error"]
    assert not [message for message in complaints if "metadata" not in message]
    assert "What is the answer?" in upstream.chats[0].text
    assert "oss-kimi-investigator" in json.dumps(upstream.chats[0].json["tools"])
    assert "Delegating to open models" in upstream.chats[0].text


def test_opencode_finds_the_bridge(tmp_path: Path) -> None:
    """OpenCode lists the installed models and completes a turn, with a key that only its file refers to."""
    opencode, project = find_client("opencode"), make_project(tmp_path)
    (project / "opencode.json").write_text('{\n  "share": "disabled", // mine\n}\n')
    with ChatUpstream(answer, max_requests=8) as upstream, run_bridge(project, upstream.base_url):
        install(project, "--no-codex")
        code, listed, stderr = run(project, opencode, "models", "codex-oss")
        assert code == 0, stderr
        assert {f"codex-oss/{RAW_MODEL}", "codex-oss/mission-a3-kimi"} <= set(listed.split())
        command = (opencode, "run", "--format", "json", "-m", f"codex-oss/{RAW_MODEL}", "answer")
        code, stdout, stderr = run(project, *command)
    assert code == 0, stderr
    assert [event["part"]["text"] for event in events(stdout) if event["type"] == "text"] == [ANSWER]
    assert LOCAL_KEY not in (project / "opencode.json").read_text()
