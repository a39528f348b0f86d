"""The real Codex CLI and OpenCode in front of an upstream that speaks Responses: its own frames, its own items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codex_oss.services.codex_exec import CodexRun, CodexTurn, run_codex
from tests.clients.programs import (
    LOCAL_KEY,
    RAW_MODEL,
    RUN_TIMEOUT_S,
    OpenCodeRun,
    find_client,
    make_project,
    run_bridge,
    run_opencode,
)
from tests.clients.test_opencode import is_title_request
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hangup, Request, Script, cut, payload_of
from tests.fakes.responses_upstream import (
    called,
    events_of,
    function_call,
    message,
    of_events,
    outputs,
    reasoning,
    said,
    streamed,
    web_search,
)

pytestmark = [pytest.mark.client, pytest.mark.slow]

COMMAND = "echo really-ran | tee -a proof.txt"
WEBSOCKET = ("-c", "model_providers.bridge.supports_websockets=true")


def native_project(parent: Path) -> Path:
    """A project whose models.toml says that the model's server speaks Responses."""
    project = make_project(parent)
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss" / "models.toml").write_text('[profiles.kimi]\napi = "responses"\n')
    return project


def codex(tmp_path: Path, script: Script, prompt: str, *flags: str) -> tuple[CodexRun, list[Request], Path]:
    """One run of Codex; returns what it printed, what the upstream was asked, and the project."""
    program, project = find_client("codex"), native_project(tmp_path)
    with ChatUpstream(script, max_requests=8) as upstream, run_bridge(project, upstream.base_url) as bridge:
        scratch = tmp_path / "codex-scratch"
        limits = ("danger-full-access", RUN_TIMEOUT_S, flags)
        run = run_codex(program, CodexTurn(bridge, LOCAL_KEY, RAW_MODEL, prompt, project, scratch, *limits))
    return run, upstream.chats, project


def opencode(tmp_path: Path, script: Script, prompt: str) -> tuple[OpenCodeRun, list[Request], Path]:
    """One run of OpenCode's Responses provider; requests for titles are left out."""
    program, project = find_client("opencode"), native_project(tmp_path)

    def titled(request: Request) -> Answer:
        assert callable(script)
        return said("A title") if is_title_request(request) else script(request)

    with ChatUpstream(titled, max_requests=8) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_opencode(program, bridge, project, prompt)
    return run, [request for request in upstream.chats if not is_title_request(request)], project


def unfinished(text: str) -> Answer:
    """A text whose terminal event has no usage and says `end_turn: false`: either wedges a client."""
    events = events_of([message(text)])
    final: dict[str, Any] = {**events[-1]["response"], "usage": None, "end_turn": False}
    return of_events([*events[:-1], {**events[-1], "response": final}], done=False)


def codex_script(request: Request) -> Answer:
    """A search of the upstream's own and a command; then a text with a rude end."""
    if outputs(request):
        return unfinished("The command ran.")
    assert any(tool["type"] == "web_search" for tool in request.json["tools"]), "hosted tools are kept"
    command = function_call("exec_command", {"cmd": COMMAND})
    return streamed([reasoning("I run it.", sealed="gAAA"), web_search("x"), command])


@pytest.mark.parametrize("flags", [(), WEBSOCKET], ids=["relayed", "translated"])
def test_codex_runs_a_tool(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """The command runs once, its output reaches the model, the seal goes back, and the turn ends."""
    run, asked, project = codex(tmp_path, codex_script, "Run it.", *flags)
    assert run.failure == ""
    assert run.messages[-1].message == "The command ran."
    assert (project / "proof.txt").read_text() == "really-ran\n"
    assert len(asked) == 2
    assert {request.path for request in asked} == {"/v1/responses"}
    assert "really-ran" in outputs(asked[-1])[0]
    sealed = [item.get("encrypted_content") for item in asked[-1].json["input"] if item.get("type") == "reasoning"]
    assert sealed == ["gAAA"]
    first, second = (request.json["input"] for request in asked)
    assert second[: len(first)] == first


def test_codex_asks_again_after_a_cut(tmp_path: Path) -> None:
    """An upstream that cuts its stream costs one more request, and the turn still ends."""
    cuts: list[Answer] = []

    def script(request: Request) -> Answer:
        if cuts:
            return said("Whole now.")
        answer = said("This is cut off.")
        cuts.append(answer)
        return cut(answer, payload_of(answer).index(b"event: response.output_text.done"), Hangup())

    run, asked, _ = codex(tmp_path, script, "Speak.")
    assert run.failure == ""
    assert run.messages[-1].message == "Whole now."
    assert len(asked) == 2


def test_opencode_runs_a_tool(tmp_path: Path) -> None:
    """OpenCode's loop runs the command once and ends, although the last event has no usage."""

    def script(request: Request) -> Answer:
        if outputs(request):
            return unfinished("The command ran.")
        return called("bash", {"command": COMMAND, "description": "Proves it"})

    run, asked, project = opencode(tmp_path, script, "run")
    assert run.exit_code == 0, run.stderr_tail
    assert (project / "proof.txt").read_text() == "really-ran\n"
    assert [part["tool"] for part in run.parts("tool_use")] == ["bash"]
    assert run.parts("text")[-1]["text"] == "The command ran."
    assert len(asked) == 2
    assert "really-ran" in outputs(asked[-1])[0]
