"""Parents that keep their own provider delegate through MCP: the real Codex CLI and the real OpenCode.

The parent's model is a stand-in of its own: it calls the delegate tool that its client offers, and says what came back.
The mission runs in the bridge of the project, on another stand-in.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from codex_oss.services.codex_exec import run_codex
from tests.clients.programs import (
    LOCAL_KEY,
    clean_environ,
    codex_turn,
    find_client,
    make_project,
    run_bridge,
    run_opencode,
)
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]

ASKED = {"objective": "Where is RETRY_LIMIT defined?", "roots": ["courier"], "tool_budget": 4}
PATH = "courier/settings.py"


def delegate(request: Request) -> Answer:
    """The model of the mission: read, then report."""
    if len(request.messages) < 3:
        return action({"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": PATH}, "reason": "x"})
    finding = {
        "claim": "`RETRY_LIMIT` is 5",
        "kind": "value",
        "subject": {"path": PATH, "symbol": "RETRY_LIMIT", "line": 3},
        "evidence_refs": [f"file:{PATH}#extract:1"],
        "confidence": "HIGH",
    }
    return action(
        {"action_type": "final_report", "report": {"status": "COMPLETE", "confidence": "HIGH", "findings": [finding]}}
    )


def parent(request: Request) -> Answer:
    """The model of the parent: calls whatever its client named the tool, then repeats what it was told."""
    results = [message for message in request.messages if message["role"] == "tool"]
    if results:
        return text("The delegate reports: " + ("COMPLETE" if "COMPLETE" in str(results[-1]["content"]) else "nothing"))
    names = [tool["function"]["name"] for tool in request.json.get("tools") or []]
    offered = [name for name in names if name.endswith("delegate")]
    return tool_call(offered[0], ASKED) if offered else text(f"no delegate among {names}")


def server_command(project: Path) -> list[str]:
    """How a client starts the MCP server."""
    return [sys.executable, "-m", "codex_oss", "mcp", "--project", str(project)]


def server_environ(project: Path) -> dict[str, str]:
    """What the server needs: where the bridge's settings are, and its key. Not the upstream's."""
    return clean_environ(project.parent / "bridge-home") | {"PROXY_API_KEY": LOCAL_KEY}


def told_to(upstream: ChatUpstream) -> str:
    """The result of the tool as the parent's model saw it."""
    return str([message for message in upstream.chats[-1].messages if message["role"] == "tool"][-1]["content"])


def check_refs(project: Path, told: str) -> None:
    """The refs that reached the parent resolve: the ledger has them, with the line that bears the claim out."""
    assert f"file:{PATH}#extract:1" in told
    (ledger,) = (project / ".codex-oss/missions").glob("*/ledger.json")
    (read,) = json.loads(ledger.read_text())["files_inspected"]
    (extract,) = read["extract_refs"]
    assert extract["ref"] == f"file:{PATH}#extract:1"
    assert "RETRY_LIMIT = 5" in extract["lines"]


def test_codex_delegates_and_gets_a_report(tmp_path: Path) -> None:
    """A Codex parent on its own provider calls `delegate`; the report with its refs reaches the parent's model."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with (
        ChatUpstream(parent, max_requests=6) as own,
        ChatUpstream(delegate, max_requests=6) as open_model,
        run_bridge(project, open_model.base_url),
        run_bridge(make_project(tmp_path / "elsewhere"), own.base_url) as provider,
    ):
        command, *arguments = server_command(project)
        environ = ", ".join(f"{name} = {json.dumps(value)}" for name, value in server_environ(project).items())
        options = {
            "mcp_servers.codex-oss.command": json.dumps(command),
            "mcp_servers.codex-oss.args": json.dumps(arguments),
            "mcp_servers.codex-oss.env": f"{{ {environ} }}",
            "mcp_servers.codex-oss.tool_timeout_sec": "120",
            # Otherwise Codex 0.169 asks its model before a slow server has listed its tools.
            "mcp_servers.codex-oss.required": "true",
        }
        extra: list[str] = []
        for name, value in options.items():
            extra += ["-c", f"{name}={value}"]
        turn = codex_turn(provider, project, "ocg-kimi-k2.6", "Ask the delegate.")
        run = run_codex(codex, dataclasses.replace(turn, extra_arguments=tuple(extra)))
    assert run.failure == ""
    assert run.messages[-1].message == "The delegate reports: COMPLETE", run.events
    check_refs(project, told_to(own))


def test_opencode_delegates_and_gets_a_report(tmp_path: Path) -> None:
    """The same from OpenCode, which names the tool by its server."""
    opencode, project = find_client("opencode"), make_project(tmp_path)
    server = {
        "type": "local",
        "command": server_command(project),
        "environment": server_environ(project),
        "enabled": True,
        "timeout": 120_000,
    }
    with (
        ChatUpstream(parent, max_requests=8) as own,
        ChatUpstream(delegate, max_requests=6) as open_model,
        run_bridge(project, open_model.base_url),
        run_bridge(make_project(tmp_path / "elsewhere"), own.base_url) as provider,
    ):
        run = run_opencode(opencode, provider, project, "delegate", more={"mcp": {"codex-oss": server}})
    assert run.exit_code == 0, run.stderr_tail
    assert any("The delegate reports: COMPLETE" in part["text"] for part in run.parts("text")), run.events
    check_refs(project, told_to(own))
