"""The real Codex CLI over WebSocket: warm-up, deltas, and the way back to HTTP where it is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codex_oss.services.codex_exec import CodexRun, CodexTurn, run_codex
from tests.clients.programs import RAW_MODEL, RUN_TIMEOUT_S, find_client, make_project
from tests.clients.test_codex import function_names, tool_results
from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]

ACCEPTED = '"WebSocket /v1/responses" [accepted]'
TURN = re.compile(r"codex_oss\.server\.turn_desk (req_\w+) resp_\w+ oss \S+ (\w+)")


def script(request: Request) -> Answer:
    """A command, then a text."""
    if tool_results(request):
        return text("The command ran.")
    name = next(name for name in function_names(request) if name.endswith("exec_command"))
    return tool_call(name, {"cmd": "echo really-ran | tee proof.txt"})


def run(bridge: BridgeProcess, prompt: str) -> CodexRun:
    """One run of Codex whose provider says that it speaks WebSocket."""
    codex, scratch = find_client("codex"), bridge.project.parent / "codex-scratch"
    flags = ("-c", "model_providers.bridge.supports_websockets=true")
    turn = CodexTurn(
        bridge.base_url,
        LOCAL_KEY,
        RAW_MODEL,
        prompt,
        bridge.project,
        scratch,
        "danger-full-access",
        RUN_TIMEOUT_S,
        flags,
    )
    return run_codex(codex, turn)


def turns_of(bridge: BridgeProcess) -> list[tuple[str, str]]:
    """(request id, outcome) of each turn in the bridge's log; a POST has an id of its own, a connection one for all."""
    return [(found[1], found[2]) for found in TURN.finditer(bridge.log.read_text())]


def test_a_text_turn_over_websocket(tmp_path: Path) -> None:
    """One connection carries warm-up and turn; nothing is posted."""
    find_client("codex")
    with (
        ChatUpstream([text("The answer is forty-two.")]) as upstream,
        running_bridge(make_project(tmp_path), upstream=upstream.base_url) as bridge,
    ):
        done = run(bridge, "What is the answer?")
        turns = turns_of(bridge)
        assert bridge.log.read_text().count(ACCEPTED) == 1
    assert done.failure == ""
    assert [event.message for event in done.messages] == ["The answer is forty-two."]
    assert len(upstream.chats) == 1
    assert "What is the answer?" in upstream.chats[0].text
    assert [outcome for _, outcome in turns] == ["completed", "completed"], "the warm-up and the turn"
    assert len({request_id for request_id, _ in turns}) == 1


def test_a_tool_call_over_websocket(tmp_path: Path) -> None:
    """The second request carries the tool's output only, and the upstream still sees the whole conversation."""
    find_client("codex")
    with (
        ChatUpstream(script, max_requests=4) as upstream,
        running_bridge(make_project(tmp_path), upstream=upstream.base_url) as bridge,
    ):
        done = run(bridge, "Run it.")
        turns = turns_of(bridge)
        assert bridge.log.read_text().count(ACCEPTED) == 1
    assert done.failure == ""
    assert done.messages[-1].message == "The command ran."
    assert (bridge.project / "proof.txt").read_text() == "really-ran\n"
    first, second = upstream.chats
    assert second.messages[: len(first.messages)] == first.messages
    assert first.json["tools"] == second.json["tools"]
    assert "really-ran" in tool_results(second)[0]
    assert len(turns) == 3
    assert len({request_id for request_id, _ in turns}) == 1


def test_codex_falls_back_to_http(tmp_path: Path) -> None:
    """A bridge that refuses WebSocket gets the same turn by POST, without a failure."""
    find_client("codex")
    project = make_project(tmp_path)
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss" / "config.toml").write_text("websockets = false\n")
    with (
        ChatUpstream(script, max_requests=4) as upstream,
        running_bridge(project, upstream=upstream.base_url) as bridge,
    ):
        done = run(bridge, "Run it.")
        turns = turns_of(bridge)
    assert done.failure == ""
    assert done.messages[-1].message == "The command ran."
    assert len(upstream.chats) == 2
    assert len({request_id for request_id, _ in turns}) == 2
