"""The real Codex CLI and what it demands beyond words: an output schema, a search for tools, one call at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codex_oss.services.codex_exec import CodexRun, CodexTurn, run_codex
from tests.clients.programs import LOCAL_KEY, RAW_MODEL, RUN_TIMEOUT_S, find_client, make_project, run_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, stream, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]

DIRECT_MODEL = "gpt-5.5"
"""A name for which Codex 0.169 has metadata with direct tools: `tool_search` and a freeform `apply_patch`."""
SCHEMA = {
    "type": "object",
    "properties": {"limit": {"type": "integer"}},
    "required": ["limit"],
    "additionalProperties": False,
}


def run(base_url: str, project: Path, prompt: str, *arguments: str, model: str = RAW_MODEL) -> CodexRun:
    """One turn of the Codex CLI on *project* with further arguments."""
    scratch = project.parent / "codex-scratch"
    turn = CodexTurn(
        base_url, LOCAL_KEY, model, prompt, project, scratch, "danger-full-access", RUN_TIMEOUT_S, arguments
    )
    return run_codex(find_client("codex"), turn)


def output_schema(project: Path) -> tuple[str, str]:
    """Write the schema; return the flags that name it."""
    path = project / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return "--output-schema", str(path)


def test_an_output_schema_with_prose_first(tmp_path: Path) -> None:
    """A model that answers with prose is asked once more, and Codex prints the JSON of the second answer alone."""
    project = make_project(tmp_path)
    answers = [text("The limit is five."), text('Sure:\n```json\n{"limit": 5}\n```')]
    with ChatUpstream(answers) as upstream, run_bridge(project, upstream.base_url) as bridge:
        found = run(bridge, project, "What is RETRY_LIMIT?", *output_schema(project))
    assert found.failure == ""
    assert [event.message for event in found.messages] == ['{"limit": 5}']
    first, second = upstream.chats
    assert '"limit"' in first.text
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[len(first.messages)] == {"role": "assistant", "content": "The limit is five."}


def test_an_output_schema_after_a_tool_call(tmp_path: Path) -> None:
    """Text beside a call is commentary and not judged; the last answer is."""
    project = make_project(tmp_path)

    def script(request: Request) -> Answer:
        if request.messages[-1]["role"] == "tool":
            return text('{"limit": 5}')
        names = [tool["function"]["name"] for tool in request.json["tools"]]
        name = next(name for name in names if name.endswith("exec_command"))
        call = {"index": 0, "id": "c", "function": {"name": name, "arguments": '{"cmd": "cat courier/settings.py"}'}}
        return stream([{"content": "I look it up."}, {"tool_calls": [call]}], finish="tool_calls")

    with ChatUpstream(script, max_requests=6) as upstream, run_bridge(project, upstream.base_url) as bridge:
        found = run(bridge, project, "What is RETRY_LIMIT?", *output_schema(project))
    assert found.failure == ""
    assert [event.message for event in found.messages] == ["I look it up.", '{"limit": 5}']


def test_an_output_schema_that_is_never_met(tmp_path: Path) -> None:
    """Two tries and no more: Codex shows why, and does not ask again."""
    project = make_project(tmp_path)
    with (
        ChatUpstream(lambda _: text("No."), max_requests=8) as upstream,
        run_bridge(project, upstream.base_url) as bridge,
    ):
        found = run(bridge, project, "What is RETRY_LIMIT?", *output_schema(project))
    assert "does not fit the format" in found.failure
    assert len(upstream.chats) == 2


def test_a_search_for_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codex runs its own search when the model calls it, and the tools that it finds are offered from then on."""
    project = make_project(tmp_path)
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss" / "config.toml").write_text(f'model_map = {{ "{DIRECT_MODEL}" = "open-model" }}\n')

    def script(request: Request) -> Answer:
        results = [message for message in request.messages if message["role"] == "tool"]
        if results:
            return text("Searched.")
        return tool_call("tool_search", {"query": "spawn an agent", "limit": 5})

    with ChatUpstream(script, max_requests=6) as upstream, run_bridge(project, upstream.base_url) as bridge:
        found = run(bridge, project, "Find a tool.", model=DIRECT_MODEL)
    assert found.failure == ""
    assert found.messages[-1].message == "Searched."
    first, second = (tools_of(request) for request in upstream.chats[:2])
    assert "tool_search" in first
    assert second[: len(first)] == first
    result = next(message for message in upstream.chats[1].messages if message["role"] == "tool")
    assert len(second) > len(first), result
    assert all(name.split("__")[-1] in str(result["content"]) for name in second[len(first) :])


def tools_of(request: Request) -> list[Any]:
    """The names of the functions that the upstream was offered, in order."""
    return [tool["function"]["name"] for tool in request.json.get("tools") or []]
