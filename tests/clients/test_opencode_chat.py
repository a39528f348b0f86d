"""The real OpenCode against the real bridge, through its openai-compatible provider: Chat Completions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.programs import (
    MISSION_MODEL,
    RAW_MODEL,
    OpenCodeRun,
    find_client,
    make_project,
    run_bridge,
    run_opencode,
)
from tests.clients.test_opencode import is_title_request
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Hangup,
    Pause,
    Request,
    Script,
    action,
    stream,
    text,
    tool_call,
)

pytestmark = [pytest.mark.client, pytest.mark.slow]

PACKAGE = "@ai-sdk/openai-compatible"
SETTINGS = "courier/settings.py"
HANDOFF = {
    "schema_version": "oss_agent_mission.v1",
    "mission_id": "m_chat",
    "tier": "A3",
    "objective": "RETRY_LIMIT?",
    "allowed_paths": [SETTINGS],
    "allowed_tool_classes": ["read"],
    "required_outputs": ["findings"],
    "tool_budget": 4,
    "time_budget_seconds": 60,
}
COMMAND = {"command": "echo really-ran | tee -a proof.txt", "description": "Proves it"}


def run(
    tmp_path: Path, script: Script, prompt: str = "answer", model: str = RAW_MODEL, timeout_s: float = 60
) -> tuple[OpenCodeRun, list[Request], Path]:
    """One prompt over chat; returns the run, the upstream requests that are no titles, and the project."""
    opencode, project = find_client("opencode"), make_project(tmp_path)
    with ChatUpstream(script, max_requests=8) as upstream, run_bridge(project, upstream.base_url) as bridge:
        ran = run_opencode(opencode, bridge, project, prompt, model, package=PACKAGE, timeout_s=timeout_s)
    return ran, [request for request in upstream.chats if not is_title_request(request)], project


def test_a_text_turn(tmp_path: Path) -> None:
    """One prompt, one finished text part, one request, and tokens counted."""

    def script(request: Request) -> Answer:
        return text("A title" if is_title_request(request) else "The answer is forty-two.", reasoning="Hm.")

    ran, asked, _ = run(tmp_path, script)
    assert ran.exit_code == 0, ran.stderr_tail
    assert [part["text"] for part in ran.parts("text")] == ["The answer is forty-two."]
    finish = ran.parts("step_finish")[-1]
    assert (finish["reason"], finish["tokens"]["input"], finish["tokens"]["output"]) == ("stop", 11, 7)
    assert len(asked) == 1


def test_a_turn_with_a_tool_call(tmp_path: Path) -> None:
    """OpenCode runs the command that the model calls once, and sends back its output, the text and the reasoning."""

    def script(request: Request) -> Answer:
        if is_title_request(request):
            return text("A title")
        if any(message["role"] == "tool" for message in request.messages):
            return text("The command ran.")
        said = stream([{"reasoning_content": "I should run it."}, {"content": "Running."}], finish=None, usage=None)
        called = tool_call("bash", COMMAND)
        return replace(called, steps=(*said.steps[:-1], *called.steps))

    ran, asked, project = run(tmp_path, script)
    assert ran.exit_code == 0, ran.stderr_tail
    assert (project / "proof.txt").read_text() == "really-ran\n"
    assert [part["tool"] for part in ran.parts("tool_use")] == ["bash"]
    assert [part["text"] for part in ran.parts("text")] == ["Running.", "The command ran."]
    assert [part["reason"] for part in ran.parts("step_finish")] == ["tool-calls", "stop"]
    assistant, tool = asked[-1].messages[-2:]
    assert (assistant["content"], assistant["tool_calls"][0]["id"]) == ("Running.", "call_1")
    assert (tool["role"], tool["content"]) == ("tool", "really-ran\n")


def test_a_refused_mission_is_shown(tmp_path: Path) -> None:
    """A mission name works over chat too: its report is text, and no model is asked."""
    ran, asked, _ = run(tmp_path, lambda _: text("A title"), model=MISSION_MODEL)
    assert ran.exit_code == 0, ran.stderr_tail
    assert "handoff_missing" in ran.parts("text")[-1]["text"]
    assert asked == []


def test_a_mission(tmp_path: Path) -> None:
    """OpenCode shows the remarks and the report of a mission as one text, and its loop ends there."""
    reading = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": SETTINGS}, "reason": "look"}
    finding = {"claim": "`RETRY_LIMIT` is 5", "evidence_refs": [f"file:{SETTINGS}#extract:1"], "confidence": "LOW"}
    report = {"status": "COMPLETE", "confidence": "MEDIUM", "findings": [finding]}

    def script(request: Request) -> Answer:
        seen = len(request.messages) > 2
        return action({"action_type": "final_report", "report": report} if seen else reading)

    # Without a blank: OpenCode puts an argument that has one into quotes, and escapes those inside.
    prompt = f"<OSS_HANDOFF_JSON>{json.dumps(HANDOFF, separators=(',', ':'))}</OSS_HANDOFF_JSON>"
    ran, _, _ = run(tmp_path, script, prompt, MISSION_MODEL)
    assert ran.exit_code == 0, ran.stderr_tail
    (part,) = ran.parts("text")
    remarks, _, fenced = part["text"].partition("\n```json\n")
    assert remarks.startswith("Mission m_chat (A3) on ")
    assert len(remarks.split("\n\n")) >= 4
    assert json.loads(fenced.partition("\n```")[0])["status"] == "COMPLETE"
    assert [part["reason"] for part in ran.parts("step_finish")] == ["stop"]


def test_a_broken_stream_is_asked_again_with_patience(tmp_path: Path) -> None:
    """A stream that breaks after a call was written runs nothing; OpenCode waits, asks again, and goes on."""
    asked_before: list[Request] = []

    def script(request: Request) -> Answer:
        if is_title_request(request):
            return text("A title")
        if any(message["role"] == "tool" for message in request.messages):
            return text("The command ran.")
        called = tool_call("bash", COMMAND, finish=None, usage=None, done=False)
        asked_before.append(request)
        # The pause lets the bridge send the call before it meets the end.
        broken = replace(called, steps=(*called.steps, Pause(0.3), Hangup()))
        return broken if len(asked_before) == 1 else tool_call("bash", COMMAND)

    ran, asked, project = run(tmp_path, script)
    assert ran.exit_code == 0, ran.stderr_tail
    assert (project / "proof.txt").read_text() == "really-ran\n", "the call of the broken stream did not run"
    assert ran.parts("text")[-1]["text"] == "The command ran."
    assert len(asked) == 3


def test_a_call_cut_by_its_length_is_not_run(tmp_path: Path) -> None:
    """The model ran out of tokens within a call: OpenCode tells the model instead of running it."""

    def script(request: Request) -> Answer:
        if is_title_request(request):
            return text("A title")
        if any(message["role"] == "tool" for message in request.messages):
            return text("I see.")
        return tool_call("bash", COMMAND, finish="length")

    ran, asked, project = run(tmp_path, script)
    assert ran.exit_code == 0, ran.stderr_tail
    assert not (project / "proof.txt").exists()
    assert [part["tool"] for part in ran.parts("tool_use")] == ["invalid"]
    assert len(asked) == 2
