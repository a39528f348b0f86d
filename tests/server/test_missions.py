"""Missions through the HTTP server: what a client receives, in which order, and what happens when it leaves."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.bridge_process import BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, Script, action, text

HANDOFF: dict[str, Any] = {
    "schema_version": "oss_agent_mission.v1",
    "mission_id": "m_http",
    "tier": "A3",
    "objective": "Where is LIMIT defined?",
    "allowed_paths": ["limits.py"],
    "allowed_tool_classes": ["read"],
    "required_outputs": ["findings"],
    "tool_budget": 4,
    "time_budget_seconds": 60,
}
READ = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": "limits.py"}, "reason": "look"}
REPORT = {
    "action_type": "final_report",
    "report": {
        "status": "COMPLETE",
        "confidence": "MEDIUM",
        "findings": [{"claim": "`LIMIT` is 3", "evidence_refs": ["file:limits.py#extract:1"], "confidence": "LOW"}],
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one file."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "limits.py").write_text("LIMIT = 3\n")
    return folder


def handed(mission: object = HANDOFF, times: int = 1) -> str:
    """A user message with the tagged block."""
    return "Please:\n" + f"<OSS_HANDOFF_JSON>{json.dumps(mission)}</OSS_HANDOFF_JSON>\n" * times


def messages_of(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Phase and text of every closed message item, in order."""
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    return [(item["phase"], item["content"][0]["text"]) for item in items if item["type"] == "message"]


def report_of(text: str) -> dict[str, Any]:
    """The fenced JSON block of a final message."""
    value: dict[str, Any] = json.loads(text.split("\n```json\n")[1].split("\n```")[0])
    return value


@pytest.mark.parametrize("model", ["mission-a3-kimi", "ocg-kimi-k2.6"])
def test_commentary_comes_before_the_report(project: Path, model: str) -> None:
    """Closed commentary items first, the report last, usage summed over the calls; raw names carry missions too."""
    with ChatUpstream([action(READ), action(REPORT)]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": model, "input": handed(), "stream": True})
    messages = messages_of(answer.events)
    assert [phase for phase, _ in messages[:-1]] == ["commentary"] * (len(messages) - 1)
    assert len(messages) >= 4
    assert messages[-1][0] == "final_answer"
    report = report_of(messages[-1][1])
    assert (report["status"], report["mission_id"]) == ("COMPLETE", "m_http")
    final = answer.events[-1]
    assert final["type"] == "response.completed"
    assert final["response"]["usage"]["input_tokens"] == 22
    assert all("LIMIT = 3" not in text for phase, text in messages if phase == "commentary")


def test_a_json_client_gets_the_same_report(project: Path) -> None:
    """Without stream the whole answer is one object with the same items."""
    with ChatUpstream([action(READ), action(REPORT)]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": "mission-a3-kimi", "input": handed()})
    assert answer.status == 200
    assert answer.json["status"] == "completed"
    assert report_of(answer.json["output"][-1]["content"][0]["text"])["status"] == "COMPLETE"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("just a question", "handoff_missing"),
        ("<OSS_HANDOFF_JSON>{]</OSS_HANDOFF_JSON>", "handoff_malformed_json"),
        (handed(times=2), "handoff_multiple_blocks"),
        (handed({**HANDOFF, "tier": "A2"}), "tier_alias_mismatch"),
        (handed({**HANDOFF, "allowed_paths": ["../x"]}), "path_invalid"),
    ],
)
def test_a_refused_handoff_is_a_failed_report(project: Path, said: str, code: str) -> None:
    """Status 200 and a FAILED report with the code, so that the client shows it; the model is never asked."""
    with ChatUpstream([]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": "mission-a3-kimi", "input": said, "stream": True})
        assert up.requests == []
    assert answer.status == 200
    report = report_of(messages_of(answer.events)[-1][1])
    assert report["status"] == "FAILED"
    assert code in report["reason_codes"]
    assert answer.events[-1]["type"] == "response.completed"


def test_the_turn_after_a_mission_does_not_run_it_again(project: Path) -> None:
    """History holds the old handoff; a raw name then answers like any other turn."""
    history = [
        {"role": "user", "content": handed()},
        {"role": "assistant", "content": "the report"},
        {"role": "user", "content": "thanks, and what else?"},
    ]
    with ChatUpstream([text("nothing else")]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": "ocg-kimi-k2.6", "input": history, "stream": True})
        assert answer.events[-1]["response"]["output"][0]["content"][0]["text"] == "nothing else"
        refused = bridge.post({"model": "mission-a3-kimi", "input": history, "stream": True})
    assert report_of(messages_of(refused.events)[-1][1])["reason_codes"] == ["handoff_missing"]


def test_a_mission_that_is_not_runnable_yet_says_so(project: Path) -> None:
    """A4 is valid and not available."""
    handoff = {
        **HANDOFF,
        "tier": "A4",
        "owned_paths": ["limits.py"],
        "required_outputs": ["patch"],
        "report_schema": "patch_validation_report.v1",
    }
    with ChatUpstream([]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        answer = bridge.post({"model": "mission-a4-kimi", "input": handed(handoff), "stream": True})
    text = messages_of(answer.events)[-1][1]
    assert report_of(text)["reason_codes"] == ["tier_not_available"]
    assert "not available yet" in text


def leave_while_asked(bridge: BridgeProcess, up: ChatUpstream) -> None:
    """Hand a mission over, and leave while its model thinks about the second answer."""
    connection, response = bridge.open_stream({"model": "mission-a3-kimi", "input": handed()})
    response.readline()
    up.wait_for_requests(2)
    response.close()
    connection.close()


def holding(name: str) -> Script:
    """A model that reads, then reports when *name* is released."""

    def script(request: Request) -> Answer:
        return action(READ) if len(request.messages) < 3 else Answer((Hold(name), *action(REPORT).steps))

    return script


def test_a_client_that_leaves_does_not_end_its_mission(project: Path) -> None:
    """The stream is only a viewer: the mission goes on and ends as it would have."""
    with ChatUpstream(holding("go")) as up, running_bridge(project, upstream=up.base_url) as bridge:
        leave_while_asked(bridge, up)
        assert not up.requests[1].client_left.wait(1)
        up.release("go")
        report_path = project / ".codex-oss/missions/m_http/report.json"
        deadline = time.monotonic() + 20
        while not report_path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert json.loads(report_path.read_text())["status"] == "COMPLETE"


def test_a_bridge_can_be_told_to_cancel_what_nobody_watches(project: Path) -> None:
    """With `mission_on_disconnect = cancel` it is closed with what it has, and its upstream is let go."""
    (project / ".codex-oss").mkdir(mode=0o700)
    (project / ".codex-oss/config.toml").write_text('mission_on_disconnect = "cancel"\n')
    with ChatUpstream(holding("never")) as up, running_bridge(project, upstream=up.base_url) as bridge:
        leave_while_asked(bridge, up)
        assert up.requests[1].client_left.wait(10)
        bridge.stop()
    report = json.loads((project / ".codex-oss/missions/m_http/report.json").read_text())
    assert (report["status"], report["reason_codes"]) == ("PARTIAL", ["cancelled"])


def test_a_second_run_of_a_running_mission_is_refused(project: Path) -> None:
    """Two clients with the same mission_id: the second gets a clear FAILED report."""

    def script(request: Request) -> Answer:
        return Answer((Hold("go"), *action(READ).steps)) if len(request.messages) < 3 else action(REPORT)

    with ChatUpstream(script) as up, running_bridge(project, upstream=up.base_url) as bridge:
        connection, response = bridge.open_stream({"model": "mission-a3-kimi", "input": handed()})
        up.wait_for_requests(1)
        second = bridge.post({"model": "mission-a3-kimi", "input": handed(), "stream": True})
        assert report_of(messages_of(second.events)[-1][1])["reason_codes"] == ["mission_already_running"]
        up.release("go")
        assert b"COMPLETE" in response.read()
        connection.close()


def test_sigterm_closes_running_missions(project: Path) -> None:
    """The bridge ends within its five seconds and the mission is closed, not lost."""

    def script(request: Request) -> Answer:
        return action(READ) if len(request.messages) < 3 else Answer((Hold("never"), *action(REPORT).steps))

    with (
        ChatUpstream(script) as up,
        running_bridge(project, upstream=up.base_url, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0.2") as bridge,
    ):
        connection, response = bridge.open_stream({"model": "mission-a3-kimi", "input": handed()})
        up.wait_for_requests(2)
        assert bridge.stop() == 0
        body = response.read().decode()
        connection.close()
    assert "response.failed" in body
    report = json.loads((project / ".codex-oss/missions/m_http/report.json").read_text())
    assert report["reason_codes"] == ["cancelled"]
