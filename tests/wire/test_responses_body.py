"""The body for a Responses upstream: every kind of item and tool, and nothing that depends on stored state."""

from __future__ import annotations

import json
from typing import Any

from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_body import encode_responses_request
from codex_oss.wire.responses_request import decode_turn
from tests.wire.scripts import profile

ITEMS: list[dict[str, Any]] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Löök."}]},
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "content": [{"type": "reasoning_text", "text": "Hmmm."}],
        "encrypted_content": "glm:gAAA",
    },
    {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "Looking.", "annotations": []}],
    },
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "spawn", "arguments": "{}", "namespace": "agents"},
    {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
    {
        "type": "custom_tool_call_output",
        "call_id": "c2",
        "output": [{"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}],
    },
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
]
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
TOOLS: list[dict[str, Any]] = [
    {"type": "custom", "name": "apply_patch", "description": "Patch.", "format": GRAMMAR},
    {"type": "web_search", "external_web_access": False},
]


def body_of(obj: dict[str, Any], **quirks: Any) -> Any:
    """The body that goes out for a client's request."""
    request = decode_turn({"model": "m", **obj}, response_id="resp_1", created_at=1, headers={})
    return json.loads(encode_responses_request(request, profile(**quirks))[0])


def test_items_go_out_as_they_came() -> None:
    """Every item arrives unchanged but for the mark on what this upstream sealed."""
    sent = body_of({"input": ITEMS})["input"]
    expected = [{**item, "encrypted_content": "gAAA"} if "encrypted_content" in item else item for item in ITEMS]
    assert sent == expected


def test_what_another_model_sealed_stays_here() -> None:
    """Neither another profile's seal nor one of unknown origin is sent."""
    for seal in ("kimi:gAAA", "gAAA"):
        item = {"type": "reasoning", "summary": [], "encrypted_content": seal}
        assert "encrypted_content" not in body_of({"input": [item]})["input"][0]


def test_fields_go_out_as_they_came() -> None:
    """Reasoning, text, sampling, tool choice and the cache key are the client's; state is never the upstream's."""
    said = {
        "instructions": "Work.",
        "tools": TOOLS,
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "apply_patch"}]},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
        "temperature": 0.5,
        "prompt_cache_key": "k",
        "max_output_tokens": 100,
    }
    body = body_of({"input": "hi", "store": True, "metadata": {"a": "b"}, **said})
    expected = {**said, "model": "glm-5", "store": False, "stream": True, "include": ["reasoning.encrypted_content"]}
    body.pop("input")
    assert body == expected


def test_tools_that_are_declared_elsewhere() -> None:
    """Tools of `additional_tools` items join the list, each namespace as one group."""
    functions = {
        "type": "namespace",
        "name": "functions",
        "tools": [
            {"type": "custom", "name": "exec", "description": "", "format": GRAMMAR},
            {"type": "function", "name": "wait", "description": "", "parameters": {"type": "object"}, "strict": False},
        ],
    }
    declared = {"type": "additional_tools", "role": "developer", "tools": [functions]}
    user = {"role": "user", "content": "hi"}
    assert body_of({"input": [declared, user], "tools": TOOLS})["tools"] == [*TOOLS, functions]


def test_same_request_same_bytes_and_the_conversation_last() -> None:
    """A longer conversation shares the whole beginning, which an upstream caches."""
    request = decode_turn(
        {"model": "m", "input": ITEMS[:2], "tools": TOOLS}, response_id="resp_1", created_at=1, headers={}
    )
    longer = decode_turn({"model": "m", "input": ITEMS, "tools": TOOLS}, response_id="resp_2", created_at=2, headers={})
    short, whole = (encode_responses_request(turn, profile())[0] for turn in (request, longer))
    assert short == encode_responses_request(request, profile())[0]
    assert whole.startswith(short[: -len(b"]}")])


def test_other_lanes_texts_are_cleaned() -> None:
    """Half an emoji cannot stop a turn."""
    request = TurnRequest("resp_1", "m", (), instructions="\ud83d")
    assert json.loads(encode_responses_request(request, profile())[0])["instructions"] == "�"
