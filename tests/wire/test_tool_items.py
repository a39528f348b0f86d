"""Items of tools that have types of their own: calls, outputs, hosted tools, and the tools that a search brings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.items import FunctionCall, FunctionTool, ImagePart, SearchTool, TextFormat, ToolOutput, TurnRequest
from codex_oss.wire.responses_request import decode_turn
from codex_oss.wire.tool_items import NO_RESULT_NOTE, TOOL_ITEMS
from tests.wire.scripts import json_values, profile

SEARCH: dict[str, Any] = {
    "type": "tool_search",
    "execution": "client",
    "description": "Find tools.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}
SPAWN = {"type": "function", "name": "spawn", "description": "Spawn.", "parameters": {}, "defer_loading": True}


def decode(*items: dict[str, Any], **more: Any) -> TurnRequest:
    """Decode a request with these input items."""
    body = {"model": "ocg-glm", "input": list(items), **more}
    return decode_turn(body, response_id="resp_1", created_at=1, headers={})


def sent(request: TurnRequest) -> Any:
    """Return the body that an upstream gets."""
    return json.loads(encode_chat_request(request, profile(images=True))[0])


CALLS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, Any, str]]] = {
    "a search": (
        {"type": "tool_search_call", "call_id": "c", "arguments": {"query": "mail"}, "execution": "client"},
        {"type": "tool_search_output", "call_id": "c", "tools": [{"type": "namespace", "name": "n", "tools": [SPAWN]}]},
        ("tool_search", {"query": "mail"}, "Found and ready to be called: spawn"),
    ),
    "a search of a server": (
        {"type": "tool_search_call", "call_id": None, "arguments": {}, "execution": "server"},
        {"type": "tool_search_output", "call_id": None, "tools": []},
        ("tool_search", {}, "No tools found."),
    ),
    "a local shell": (
        {"type": "local_shell_call", "id": "c", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "local_shell_call_output", "id": "c", "output": '{"out":"x"}'},
        ("local_shell", {"type": "exec", "command": ["ls"]}, '{"out":"x"}'),
    ),
    "a shell": (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
        {
            "type": "shell_call_output",
            "call_id": "c",
            "output": [{"stdout": "a", "stderr": "b", "outcome": {"type": "exit", "exit_code": 1}}],
        },
        ("shell", {"commands": ["ls"]}, "a\nb\n[exit code 1]"),
    ),
    "a patch": (
        {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"},
        ("apply_patch", {"type": "delete_file", "path": "a"}, "failed"),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_and_its_output_are_a_pair(name: str) -> None:
    """The upstream sees a call with its arguments and, directly behind it, the tool message."""
    call, output, (tool, arguments, text) = CALLS[name]
    assistant, answer, _ = sent(decode(call, output, {"role": "user", "content": "go on"}))["messages"]
    function = assistant["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == (tool, arguments)
    assert answer == {"role": "tool", "tool_call_id": assistant["tool_calls"][0]["id"], "content": text}


HOSTED: dict[str, tuple[dict[str, Any], tuple[str, Any, str]]] = {
    "web search": (
        {"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "q"}},
        ("web_search", {"action": {"type": "search", "query": "q"}}, NO_RESULT_NOTE),
    ),
    "file search": (
        {"type": "file_search_call", "id": "fs", "queries": ["q"], "results": [{"text": "t"}]},
        ("file_search", {"queries": ["q"]}, '[{"text":"t"}]'),
    ),
    "code": (
        {"type": "code_interpreter_call", "id": "ci", "code": "1+1", "outputs": None},
        ("code_interpreter", {"code": "1+1"}, NO_RESULT_NOTE),
    ),
    "mcp": (
        {"type": "mcp_call", "id": "m", "server_label": "s", "name": "t", "arguments": '{"a":1}', "output": "done"},
        ("s__t", {"a": 1}, "done"),
    ),
}


@pytest.mark.parametrize("name", HOSTED)
def test_a_hosted_call_of_another_model_is_told(name: str) -> None:
    """A conversation that another model began keeps what its tools did; a missing result is said."""
    item, (tool, arguments, text) = HOSTED[name]
    assistant, answer = sent(decode(item))["messages"]
    function = assistant["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == (tool, arguments)
    assert answer["content"] == text


def test_images_of_tools_are_shown() -> None:
    """A screenshot and a drawn picture are images for a model that sees."""
    drawn = decode({"type": "image_generation_call", "id": "i", "result": "AA=="}).items
    assert drawn == (
        FunctionCall("i", "image_generation", "{}"),
        ToolOutput("i", (ImagePart("data:image/png;base64,AA=="),)),
    )
    shot = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "u"}}
    assert decode({"type": "computer_call", "call_id": "c", "action": {}}, shot).items[1] == ToolOutput(
        "c", (ImagePart("u"),)
    )


def test_a_search_of_the_client_is_offered_and_of_a_server_is_not() -> None:
    """The client's search is a plain function for the model; one that a server would run is left out."""
    request = decode({"role": "user", "content": "x"}, tools=[SEARCH])
    assert request.tools == (SearchTool("Find tools.", SEARCH["parameters"]),)
    function = sent(request)["tools"][0]["function"]
    assert function == {"name": "tool_search", "description": "Find tools.", "parameters": SEARCH["parameters"]}
    for other in ({"type": "tool_search"}, {"type": "tool_search", "execution": "server"}):
        assert decode({"role": "user", "content": "x"}, tools=[other]).dropped_tools == ("tool_search",)


def test_found_tools_stay_behind_the_others() -> None:
    """What searches found is offered from then on, in the order found: the tools before it never move."""
    first = {"type": "tool_search_output", "call_id": "a", "tools": [SPAWN]}
    second = {"type": "tool_search_output", "call_id": "b", "tools": [{**SPAWN, "name": "wait"}, SPAWN]}
    calls = [{"type": "tool_search_call", "call_id": one, "arguments": {}} for one in "ab"]
    user = {"role": "user", "content": "x"}
    once = decode(user, calls[0], first, tools=[SEARCH])
    twice = decode(user, calls[0], first, calls[1], second, tools=[SEARCH])
    assert [tool.name for tool in once.tools] == ["tool_search", "spawn"]
    assert [tool.name for tool in twice.tools] == ["tool_search", "spawn", "wait"]
    assert isinstance(once.tools[1], FunctionTool)
    before, after = sent(once)["tools"], sent(twice)["tools"]
    assert after[: len(before)] == before


SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}


def test_updates_of_the_configuration_stand_until_the_next() -> None:
    """An update replaces only the setting it names, is no message, and beats the field of the request."""
    update = {"type": "configuration_update", "reasoning": {"effort": "high"}}
    format_update = {"type": "configuration_update", "text": {"format": SCHEMA}}
    user = {"role": "user", "content": "x"}
    request = decode(user, update, user, format_update, user, reasoning={"effort": "low"})
    assert (request.reasoning_effort, request.text_format.kind, len(request.items)) == ("high", "json_schema", 3)
    back = decode(user, format_update, {"type": "configuration_update", "text": {"format": {"type": "text"}}})
    assert (back.reasoning_effort, back.text_format) == (None, TextFormat())
    with pytest.raises(InvalidRequest) as caught:
        decode(user, {"type": "configuration_update", "text": {"format": {"type": "yaml"}}})
    assert caught.value.param == "input[1].text.format.type"


_keys = st.sampled_from(
    ["id", "call_id", "name", "arguments", "action", "output", "tools", "status", "result", "results", "error", "code"]
)


@given(st.sampled_from(sorted(TOOL_ITEMS)), st.dictionaries(_keys, json_values | st.text(max_size=3), max_size=6))
def test_an_arbitrary_item_is_read_or_refused(kind: str, fields: dict[str, Any]) -> None:
    """Whatever stands in such an item, it is read or refused with its place, and what was read can be sent."""
    try:
        request = decode({**fields, "type": kind})
    except InvalidRequest as exc:
        place = exc.param or ""
    else:
        place = "input[0]"
        sent(request)
    assert place.startswith("input[0]")
