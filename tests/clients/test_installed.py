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
    MISSION_MODEL,
    RAW_MODEL,
    RUN_TIMEOUT_S,
    clean_environ,
    find_client,
    make_project,
    run_bridge,
)
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text, tool_call

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
    assert [item["message"] for item in items if item["type"] == "error"] == []
    assert "What is the answer?" in upstream.chats[0].text
    assert "oss-kimi-investigator" in json.dumps(upstream.chats[0].json["tools"])
    assert "Delegating to open models" in upstream.chats[0].text


PATCH = """*** Begin Patch
*** Update File: courier/settings.py
@@
-RETRY_LIMIT = 5
+RETRY_LIMIT = 7
*** Add File: notes.txt
+made by a freeform patch
*** End Patch
"""


def test_codex_applies_a_freeform_patch(tmp_path: Path) -> None:
    """The installed provider's list of models makes Codex offer `apply_patch`; a call of it changes the files."""
    codex, project = find_client("codex"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        if [message for message in request.messages if message["role"] == "tool"]:
            return text("Patched.")
        return tool_call("apply_patch", {"input": PATCH})

    with ChatUpstream(script, max_requests=4) as upstream, run_bridge(project, upstream.base_url):
        install(project, "--no-opencode")
        command = (codex, "exec", "-p", "codex-oss", "--trust", "--json", "-s", "danger-full-access", "Patch it.")
        code, stdout, stderr = run(project, *command)
    assert code == 0, stderr + stdout
    items = [event["item"] for event in events(stdout) if event["type"] == "item.completed"]
    assert {item["type"] for item in items} == {"file_change", "agent_message"}
    assert "RETRY_LIMIT = 7" in (project / "courier" / "settings.py").read_text()
    assert (project / "notes.txt").read_text() == "made by a freeform patch\n"
    assert len(upstream.chats) == 2
    (result,) = [message for message in upstream.chats[-1].messages if message["role"] == "tool"]
    assert "Success" in result["content"]


def test_codex_shows_a_mission_without_tools(tmp_path: Path) -> None:
    """A mission's name is known to Codex as well: no warning, and no tool of Codex is offered to it."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with ChatUpstream([]) as upstream, run_bridge(project, upstream.base_url):
        install(project, "--no-opencode")
        command = (codex, "exec", "-p", "codex-oss", "-m", MISSION_MODEL, "--trust", "--json", "-s", "read-only", "hi")
        code, stdout, stderr = run(project, *command)
    assert code == 0, stderr + stdout
    items = [event["item"] for event in events(stdout) if event["type"] == "item.completed"]
    assert [item["type"] for item in items] == ["agent_message"]
    assert "handoff_missing" in items[0]["text"]
    assert upstream.chats == []


def test_codex_spawns_an_installed_agent(tmp_path: Path) -> None:
    """An agent file of install is offered, spawned on its mission's name, and its report reaches the parent."""
    codex, project = find_client("codex"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        names = {
            tool["function"]["name"].rpartition("__")[2]: tool["function"]["name"] for tool in request.json["tools"]
        }
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        if not results:
            agent = {"agent_type": "oss-flash-context", "message": "Find the port."}
            return tool_call(names["spawn_agent"], agent)
        if len(results) == 1:
            agent_id = json.loads(results[0])["agent_id"]
            return tool_call(names["wait_agent"], {"targets": [agent_id], "timeout_ms": 20_000})
        return text("The agent reported.")

    with ChatUpstream(script, max_requests=5) as upstream, run_bridge(project, upstream.base_url):
        install(project, "--no-opencode")
        command = (codex, "exec", "-p", "codex-oss", "--trust", "--json", "-s", "read-only", "Delegate it.")
        code, stdout, stderr = run(project, *command)
    assert code == 0, stderr + stdout
    waited = [message["content"] for message in upstream.chats[-1].messages if message["role"] == "tool"][-1]
    assert "handoff_missing" in waited
    items = [event["item"] for event in events(stdout) if event["type"] == "item.completed"]
    assert [item["message"] for item in items if item["type"] == "error"] == []
    assert items[-1]["text"] == "The agent reported."


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
