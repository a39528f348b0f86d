"""The real Codex CLI and what it demands beyond words: an output schema, a search for tools, one call at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codex_oss.services.codex_exec import CodexRun, catalog_entry, run_codex
from tests.clients.programs import RAW_MODEL, codex_turn, find_client, make_project, run_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, stream, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]

SCHEMA = {
    "type": "object",
    "properties": {"limit": {"type": "integer"}},
    "required": ["limit"],
    "additionalProperties": False,
}


def run(base_url: str, project: Path, prompt: str, *arguments: str) -> CodexRun:
    """One turn of the Codex CLI on *project* with further arguments."""
    base = codex_turn(base_url, project, RAW_MODEL, prompt, sandbox="danger-full-access")
    return run_codex(find_client("codex"), replace(base, extra_arguments=arguments))


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


def catalogue(project: Path, **more: Any) -> tuple[str, str]:
    """Write a catalogue whose model has *more* in its entry; return the flags that name it."""
    path = project / "catalog.json"
    path.write_text(json.dumps({"models": [catalog_entry(RAW_MODEL) | more]}))
    return "-c", f"model_catalog_json={json.dumps(str(path))}"


def direct_tools(project: Path) -> tuple[str, str]:
    """Flags for a model with direct tools: a search, a freeform patch."""
    return catalogue(project, supports_search_tool=True, apply_patch_tool_type="freeform")


def test_a_search_for_tools(tmp_path: Path) -> None:
    """Codex runs its own search when the model calls it, and the tools that it finds are offered from then on."""
    project = make_project(tmp_path)

    def script(request: Request) -> Answer:
        if request.messages[-1]["role"] == "tool":
            return text("Searched.")
        return tool_call("tool_search", {"query": "spawn an agent", "limit": 5})

    with ChatUpstream(script, max_requests=6) as upstream, run_bridge(project, upstream.base_url) as bridge:
        found = run(bridge, project, "Find a tool.", *direct_tools(project))
    assert found.failure == ""
    assert found.messages[-1].message == "Searched."
    before, after = (tools_of(request) for request in upstream.chats)
    assert "tool_search" in before
    assert after[: len(before)] == before
    result = str(upstream.chats[1].messages[-1]["content"])
    assert "multi_agent_v1__spawn_agent" in after[len(before) :], result
    assert all(name.removeprefix("multi_agent_v1__") in result for name in after[len(before) :])


def test_a_freeform_patch(tmp_path: Path) -> None:
    """A model that calls `apply_patch` as a function changes the file, and reads what came of it."""
    project = make_project(tmp_path)
    patch = (
        "*** Begin Patch\n*** Update File: courier/settings.py\n@@\n-RETRY_LIMIT = 5\n+RETRY_LIMIT = 6\n*** End Patch\n"
    )

    def script(request: Request) -> Answer:
        if request.messages[-1]["role"] == "tool":
            return text("Patched.")
        return tool_call("apply_patch", {"input": patch})

    with ChatUpstream(script, max_requests=6) as upstream, run_bridge(project, upstream.base_url) as bridge:
        found = run(bridge, project, "Raise the limit.", *direct_tools(project))
    assert found.failure == ""
    assert "RETRY_LIMIT = 6" in (project / "courier" / "settings.py").read_text()
    assert upstream.chats[1].messages[-2]["tool_calls"][0]["function"]["name"] == "apply_patch"


def test_one_call_at_a_time_in_lite_mode(tmp_path: Path) -> None:
    """Lite models say `parallel_tool_calls: false`: of two calls the first one runs, and the model goes on from it."""
    project = make_project(tmp_path)

    def script(request: Request) -> Answer:
        if request.messages[-1]["role"] == "tool":
            return text("One ran.")
        code = json.dumps({"input": "text('it ran');"})
        calls = [
            {"index": n, "id": f"c{n}", "function": {"name": "functions__exec", "arguments": code}} for n in (0, 1)
        ]
        return stream([{"tool_calls": [call]} for call in calls], finish="tool_calls")

    lite = catalogue(project, tool_mode="code_mode_only", use_responses_lite=True)
    with ChatUpstream(script, max_requests=6) as upstream, run_bridge(project, upstream.base_url) as bridge:
        found = run(bridge, project, "Run it twice.", *lite)
    assert found.failure == ""
    assert found.messages[-1].message == "One ran."
    assistant, *results = upstream.chats[1].messages[-2:]
    assert [call["id"] for call in assistant["tool_calls"]] == ["c0"]
    assert [result["tool_call_id"] for result in results] == ["c0"]
    assert "it ran" in results[0]["content"]


def tools_of(request: Request) -> list[Any]:
    """The names of the functions that the upstream was offered, in order."""
    return [tool["function"]["name"] for tool in request.json.get("tools") or []]
