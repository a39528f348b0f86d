"""The real Codex CLI against the real bridge: a text turn, a tool call, a mission seen while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codex_oss.cli.demo_links import STATUSES, find_report
from codex_oss.services.codex_exec import CodexEvent, run_codex
from tests.clients.programs import (
    LOCAL_KEY,
    MISSION_MODEL,
    RAW_MODEL,
    UPSTREAM_KEY,
    codex_turn,
    find_client,
    make_project,
    run_bridge,
)
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action, held, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]


def function_names(request: Request) -> list[str]:
    """The functions that the client offered, as the upstream saw them."""
    return [tool["function"]["name"] for tool in request.json.get("tools") or []]


def tool_results(request: Request) -> list[str]:
    """What the client's tools returned, as the upstream saw it."""
    return [str(message["content"]) for message in request.messages if message["role"] == "tool"]


def test_a_text_turn(tmp_path: Path) -> None:
    """One prompt, one answer; the upstream gets its own key and never the client's."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with ChatUpstream([text("The answer is forty-two.")]) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_codex(codex, codex_turn(bridge, project, RAW_MODEL, "What is the answer?"))
    assert run.failure == ""
    assert [event.message for event in run.messages] == ["The answer is forty-two."]
    assert "What is the answer?" in upstream.chats[0].text
    assert upstream.chats[0].headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert LOCAL_KEY not in json.dumps(upstream.chats[0].headers)
    usage = next(event.value["usage"] for event in run.events if event.value["type"] == "turn.completed")
    assert (usage["input_tokens"], usage["output_tokens"]) == (11, 7)


def test_a_turn_with_a_tool_call(tmp_path: Path) -> None:
    """The command that the model calls really runs on this machine, and its output reaches the model."""
    codex, project = find_client("codex"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        if tool_results(request):
            return text("The command ran.")
        name = next(name for name in function_names(request) if name.endswith(("exec_command", "shell_command")))
        parameter = "cmd" if name.endswith("exec_command") else "command"
        return tool_call(name, {parameter: "echo really-ran | tee proof.txt"})

    with ChatUpstream(script, max_requests=6) as upstream, run_bridge(project, upstream.base_url) as bridge:
        turn = codex_turn(bridge, project, RAW_MODEL, "Run it.", sandbox="danger-full-access")
        run = run_codex(codex, turn)
    assert run.failure == ""
    assert (project / "proof.txt").read_text() == "really-ran\n"
    assert [item["exit_code"] for item in run.items("command_execution")] == [0]
    assert "really-ran" in tool_results(upstream.chats[-1])[0]
    assert run.messages[-1].message == "The command ran."


def handoff(**changes: Any) -> str:
    """A small A3 mission as a tagged block."""
    mission = {
        "schema_version": "oss_agent_mission.v1",
        "mission_id": "client-codex",
        "tier": "A3",
        "objective": "Where is RETRY_LIMIT defined and what is its value?",
        "allowed_roots": ["courier"],
        "allowed_tool_classes": ["read", "search"],
        "required_outputs": ["findings"],
        "tool_budget": 3,
        "time_budget_seconds": 60,
    } | changes
    return f"<OSS_HANDOFF_JSON>{json.dumps(mission)}</OSS_HANDOFF_JSON>"


def test_a_mission_is_seen_before_its_report(tmp_path: Path) -> None:
    """Commentary reaches `codex exec --json` while the mission runs: the model's report is held back until it did."""
    codex, project = find_client("codex"), make_project(tmp_path)
    read = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": "courier/settings.py"}}
    report = {"status": "PARTIAL", "confidence": "LOW", "findings": [], "uncertainties": ["everything"]}
    answers = [action({**read, "reason": "The settings."})]
    answers += [held(action({"action_type": "final_report", "report": report}), "report", after=0)] * 3

    with ChatUpstream(answers) as upstream, run_bridge(project, upstream.base_url) as bridge:

        def on_event(event: CodexEvent) -> None:
            if event.message is not None:
                upstream.release("report")

        run = run_codex(codex, codex_turn(bridge, project, MISSION_MODEL, handoff()), on_event)
    assert run.failure == ""
    *commentary, final = [event.message or "" for event in run.messages]
    assert commentary
    assert all("```json" not in message for message in commentary)
    found = find_report(final)
    assert found["mission_id"] == "client-codex"
    assert found["status"] in STATUSES
    assert (project / ".codex-oss" / "runs" / found["run_id"] / "events.jsonl").is_file()
    assert (project / ".codex-oss" / "missions" / "client-codex" / "report.json").is_file()


def test_a_broken_handoff_is_answered_in_the_turn(tmp_path: Path) -> None:
    """Codex shows the FAILED report of an invalid mission; the model is never asked."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with ChatUpstream([]) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_codex(codex, codex_turn(bridge, project, MISSION_MODEL, handoff(tier="A9")))
    assert run.failure == ""
    assert "tier_invalid" in (run.messages[-1].message or "")
    assert upstream.chats == []
