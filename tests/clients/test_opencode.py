"""The real OpenCode against the real bridge, through its Responses provider: a text turn and a tool call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import RAW_MODEL, find_client, make_project, run_bridge, run_opencode
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]


def is_title_request(request: Request) -> bool:
    """OpenCode asks for a title of the session beside the turn; that request offers no tools."""
    return not request.json.get("tools")


def test_a_text_turn(tmp_path: Path) -> None:
    """One prompt, one finished text part, and a session that ends."""
    opencode, project = find_client("opencode"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        return text("A title" if is_title_request(request) else "The answer is forty-two.")

    with ChatUpstream(script, max_requests=8) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_opencode(opencode, bridge, project, "answer")
    assert run.exit_code == 0, run.stderr_tail
    assert [part["text"] for part in run.parts("text")] == ["The answer is forty-two."]
    assert run.parts("step_finish")[-1]["reason"] == "stop"
    assert len([request for request in upstream.chats if not is_title_request(request)]) == 1


def test_a_turn_with_a_tool_call(tmp_path: Path) -> None:
    """OpenCode runs the command that the model calls and sends its output back."""
    opencode, project = find_client("opencode"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        if is_title_request(request):
            return text("A title")
        if any(message["role"] == "tool" for message in request.messages):
            return text("The command ran.")
        return tool_call("bash", {"command": "echo really-ran | tee proof.txt", "description": "Proves it"})

    with ChatUpstream(script, max_requests=8) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_opencode(opencode, bridge, project, "run", RAW_MODEL)
    assert run.exit_code == 0, run.stderr_tail
    assert (project / "proof.txt").read_text() == "really-ran\n"
    assert [part["tool"] for part in run.parts("tool_use")] == ["bash"]
    assert run.parts("text")[-1]["text"] == "The command ran."
    last = [request for request in upstream.chats if not is_title_request(request)][-1]
    assert any("really-ran" in str(message["content"]) for message in last.messages if message["role"] == "tool")
