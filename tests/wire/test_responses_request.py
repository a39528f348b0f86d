"""Decoding create requests: what Codex and OpenCode send, what is refused, and that nothing else is ever raised."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest, RequestError
from codex_oss.wire.items import (
    CompactionItem,
    CustomTool,
    CustomToolCall,
    FilePart,
    FunctionCall,
    FunctionTool,
    ImagePart,
    Message,
    OpaqueItem,
    ReasoningItem,
    RefusalPart,
    Sampling,
    TextFormat,
    TextPart,
    ToolChoice,
    ToolOutput,
    TurnRequest,
)
from codex_oss.wire.responses_request import decode_request, decode_turn, identity_fields
from codex_oss.wire.responses_stream import ResponseEncoder
from tests.wire.scripts import DATA, json_values


def decode(body: Any, headers: dict[str, str] | None = None) -> TurnRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_request(data, response_id="resp_1", created_at=1_700_000_000, headers=headers or {})


def decode_input(*items: Any, **more: Any) -> TurnRequest:
    return decode({"model": "m", "input": list(items), **more})


_KEY_NAMES = """
type role content text model input tools tool_choice name call_id output arguments namespace format schema reasoning
effort summary instructions stream store metadata parameters strict temperature image_url id encrypted_content
"""
_WORD_NAMES = """
message user assistant function custom namespace function_call function_call_output reasoning additional_tools
agent_message item_reference input_text input_image input_file json_schema allowed_tools required named
"""
_KEYS = st.sampled_from(_KEY_NAMES.split())
_WORDS = st.sampled_from(_WORD_NAMES.split())
_likely_json = st.recursive(
    _WORDS | json_values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5)
)


def _accepts_or_refuses(data: bytes) -> None:
    refused: RequestError | None = None
    try:
        request = decode(data)
    except RequestError as exc:
        refused = exc
    if refused is None:
        msgspec.json.encode(ResponseEncoder(request).response())
    else:
        assert refused.message.endswith(".")
        assert "\n" not in refused.message


@given(st.binary())
def test_arbitrary_bytes_are_a_request_or_refused(data: bytes) -> None:
    """Bytes that are no JSON end as InvalidRequest, never as a traceback."""
    _accepts_or_refuses(data)


@given(json_values)
def test_arbitrary_json_is_a_request_or_refused(value: Any) -> None:
    """JSON of any shape ends as a request or as InvalidRequest."""
    _accepts_or_refuses(json.dumps(value).encode())


@given(st.dictionaries(_KEYS, _likely_json, max_size=6), st.lists(st.dictionaries(_KEYS, _likely_json, max_size=5)))
def test_nearly_right_json_is_a_request_or_refused(extra: dict[str, Any], items: list[Any]) -> None:
    """Known keys with wrong values end as a request that can be answered, or as InvalidRequest."""
    _accepts_or_refuses(json.dumps({"model": "m", "input": items, **extra}).encode())


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused(brackets: tuple[str, str]) -> None:
    """A body nested a hundred thousand deep is refused, in a known field too."""
    opening, closing = brackets
    deep = opening * 100_000 + "1" + closing * 100_000
    for body in (deep, f'{{"model":"m","input":"x","metadata":{deep}}}'):
        with pytest.raises(InvalidRequest, match="deeply"):
            decode(body.encode())


ITEMS = {
    "string content": (
        {"role": "user", "content": "hi"},
        Message("user", (TextPart("hi"),)),
    ),
    "message with parts": (
        {
            "type": "message",
            "role": "user",
            "id": "msg_1",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "high"},
                {"type": "input_file", "filename": "f.txt", "file_data": "aGk="},
            ],
            "internal_chat_message_metadata_passthrough": {"turn_id": "t"},
        },
        Message(
            "user",
            (TextPart("a"), ImagePart("data:image/png;base64,AA", "high"), FilePart("f.txt", "aGk=")),
            id="msg_1",
        ),
    ),
    "assistant with phase": (
        {
            "type": "message",
            "role": "assistant",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "x", "annotations": []}, {"type": "refusal", "refusal": "no"}],
        },
        Message("assistant", (TextPart("x"), RefusalPart("no")), "commentary"),
    ),
    "loose parts": (
        {
            "role": "user",
            "content": [
                "a",
                {"type": "input_image", "image_url": {"url": "https://example.org/x.png"}},
                {"type": "text", "text": None},
            ],
        },
        Message("user", (TextPart("a"), ImagePart("https://example.org/x.png"), TextPart(""))),
    ),
    "content null": ({"type": "message", "role": "developer", "content": None}, Message("developer", ())),
    "function call": (
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{", "namespace": "ns", "status": "x"},
        FunctionCall("c", "f", "{", "ns"),
    ),
    "custom call": (
        {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin", "id": "ctc_1"},
        CustomToolCall("c", "apply_patch", "*** Begin", id="ctc_1"),
    ),
    "output string": (
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
        ToolOutput("c", (TextPart("ok"),)),
    ),
    "output parts": (
        {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "ok"}]},
        ToolOutput("c", (TextPart("ok"),), True),
    ),
    "reasoning": (
        {
            "type": "reasoning",
            "content": None,
            "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
            "encrypted_content": "zz",
        },
        ReasoningItem("a\n\nb", "", "zz"),
    ),
    "agent message": (
        {
            "type": "agent_message",
            "author": "root",
            "recipient": "child",
            "content": [
                {"type": "input_text", "text": "Task:"},
                {"type": "encrypted_content", "encrypted_content": "count the files"},
            ],
        },
        Message("user", (TextPart("Task:"), TextPart("count the files"))),
    ),
    "unknown item": (
        {"type": "no_such_item", "id": "x_1"},
        OpaqueItem("no_such_item", {"type": "no_such_item", "id": "x_1"}),
    ),
}


@pytest.mark.parametrize("name", ITEMS)
def test_each_item_type_decodes(name: str) -> None:
    """Every kind of input item becomes its value, with unknown keys dropped."""
    raw, expected = ITEMS[name]
    assert decode_input(raw).items == (expected,)


def test_a_string_is_one_user_message() -> None:
    """`input` may be a plain string."""
    assert decode({"model": "m", "input": "hi"}).items == (Message("user", (TextPart("hi"),)),)


def test_half_an_emoji_is_repaired() -> None:
    """A tool output that JavaScript cut inside an emoji does not cost the turn."""
    request = decode(b'{"model":"m","input":"cut \\ud83d"}')
    assert request.items == (Message("user", (TextPart("cut \N{REPLACEMENT CHARACTER}"),)),)


def test_tools_of_every_kind() -> None:
    """Functions and custom tools stay, namespaces are flattened, hosted tools are dropped by type."""
    request = decode_input(
        {"role": "user", "content": "x"},
        tools=[
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False},
            {"type": "web_search", "external_web_access": False},
            {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "definition": "start: x"}},
            {
                "type": "namespace",
                "name": "ns",
                "tools": [
                    {"type": "function", "name": "f"},
                    {"type": "custom", "name": "c"},
                    {"type": "function", "name": "f"},
                ],
            },
            {"type": "web_search"},
        ],
    )
    assert request.tools == (
        FunctionTool("f", "d", {"type": "object"}, False),
        CustomTool("apply_patch", "", "start: x"),
        FunctionTool("f", namespace="ns"),
        CustomTool("c", namespace="ns"),
    )
    assert request.dropped_tools == ("web_search",)
    assert request.echo["tools"][0]["strict"] is False
    assert request.echo["tools"][1] == {"type": "web_search", "external_web_access": False}


def test_an_echoed_function_has_all_keys() -> None:
    """The response object repeats a function tool with the four keys that Open Responses requires."""
    request = decode({"model": "m", "input": "x", "tools": [{"type": "function", "name": "f", "extra": 1}]})
    assert request.echo["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None, "extra": 1}
    ]


def test_codex_lite_models_declare_tools_in_the_input() -> None:
    """A captured lite request has no `tools` key; its `additional_tools` item becomes tools and no message."""
    request = decode((DATA / "codex_lite_request.json").read_bytes(), {"session-id": "s", "thread-id": "t"})
    assert [(tool.namespace, tool.name) for tool in request.tools] == [
        ("functions", "exec"),
        ("functions", "wait"),
        ("clock", "sleep"),
    ]
    assert [type(item) for item in request.items] == [Message, Message]
    assert (request.session_id, request.thread_id) == ("s", "t")
    assert request.reasoning_effort == "medium"
    assert not request.parallel_tool_calls
    assert "tools" not in request.echo


def test_opencode_session_header_counts() -> None:
    """OpenCode names its session by `x-session-id`."""
    assert decode({"model": "m", "input": "x"}, {"x-session-id": "ses_1"}).session_id == "ses_1"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("named", ("f",))),
        ({"type": "custom", "name": "c"}, ToolChoice("named", ("c",))),
        ({"type": "web_search"}, ToolChoice()),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}],
            },
            ToolChoice("required", ("f",)),
        ),
        ({"type": "allowed_tools", "tools": [{"type": "web_search"}]}, ToolChoice("none")),
    ],
)
def test_tool_choices(choice: Any, expected: ToolChoice) -> None:
    """Each form of `tool_choice` is understood; hosted choices fall back."""
    tools = [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]
    assert decode_input({"role": "user", "content": "x"}, tools=tools, tool_choice=choice).tool_choice == expected


def test_the_other_fields() -> None:
    """Sampling, limits, format and echo are taken over."""
    request = decode(
        {
            "model": "m",
            "input": "x",
            "temperature": 0,
            "top_p": 0.5,
            "max_output_tokens": 32000,
            "text": {
                "verbosity": "low",
                "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            },
            "metadata": {"k": "v"},
            "stream": True,
            "store": False,
            "prompt_cache_key": "key",
            "client_metadata": {"anything": "goes"},
            "a_field_of_tomorrow": [1],
        }
    )
    assert request.sampling == Sampling(0, 0.5)
    assert request.max_output_tokens == 32000
    assert request.text_format == TextFormat("json_schema", "n", {"type": "object"}, True)
    assert (request.stream, request.store, request.prompt_cache_key) == (True, False, "key")
    assert request.echo == {
        "metadata": {"k": "v"},
        "text": {
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
        },
    }


REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"input": "x"}, "model"),
    ({"model": 7, "input": "x"}, "model"),
    ({"model": "m"}, "input"),
    ({"model": "m", "input": 7}, "input"),
    ({"model": "m", "input": ["x"]}, "input[0]"),
    ({"model": "m", "input": [{}]}, "input[0].type"),
    ({"model": "m", "input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    (
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": 1}]}]},
        "input[0].content[0].text",
    ),
    ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
    ({"model": "m", "input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ({"model": "m", "input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
    ({"model": "m", "input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
    ({"model": "m", "input": "x", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
    ({"model": "m", "input": "x", "tool_choice": {"type": "function", "name": "g"}}, "tool_choice.name"),
    ({"model": "m", "input": "x", "temperature": "hot"}, "temperature"),
    ({"model": "m", "input": "x", "temperature": 3}, "temperature"),
    ({"model": "m", "input": "x", "top_logprobs": 21}, "top_logprobs"),
    ({"model": "m", "input": "x", "tools": {}}, "tools"),
    ({"model": "m", "input": "x", "tools": [{"type": "function", "name": "f", "strict": 1}]}, "tools[0].strict"),
    ({"model": "m", "input": "x", "tool_choice": "always"}, "tool_choice"),
    ({"model": "m", "input": "x", "tool_choice": {"type": "allowed_tools", "mode": "none"}}, "tool_choice.mode"),
    ({"model": "m", "input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"model": "m", "input": [{"role": "user", "content": 7}]}, "input[0].content"),
    (
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input[0].content[0].image_url",
    ),
    ({"model": "m", "input": "x", "max_output_tokens": True}, "max_output_tokens"),
    ({"model": "m", "input": "x", "stream": "yes"}, "stream"),
    ({"model": "m", "input": "x", "background": True, "store": False}, "background"),
    ({"model": "m", "input": "x", "truncation": "middle"}, "truncation"),
    ({"model": "m", "input": "x", "metadata": {"k" * 65: ""}}, "metadata"),
    ({"model": "m", "input": "x", "metadata": {"k": "v" * 513}}, "metadata"),
    ({"model": "m", "input": "x", "metadata": {"k": 1}}, "metadata"),
    ({"model": "m", "input": "x", "safety_identifier": "s" * 65}, "safety_identifier"),
    ({"model": "m", "input": "x", "prompt_cache_key": "k" * 65}, "prompt_cache_key"),
    ({"model": "m", "input": "x", "prompt_cache_options": "on"}, "prompt_cache_options"),
    ({"model": "m", "input": "x", "prompt_cache_retention": 24}, "prompt_cache_retention"),
    ({"model": "m", "input": "x", "include": [7]}, "include[0]"),
    ({"model": "m", "input": "x", "max_tool_calls": 0}, "max_tool_calls"),
    ({"model": "m", "input": "x", "service_tier": 1}, "service_tier"),
    (
        {"model": "m", "input": "x", "stream_options": {"include_obfuscation": 1}},
        "stream_options.include_obfuscation",
    ),
    ({"model": "m", "input": [{"type": "compaction_trigger"}, {"role": "user", "content": "x"}]}, "input[0]"),
    ({"model": "m", "input": [{"type": "compaction_trigger"}], "instructions": "x"}, "input"),
    ({"model": "m", "input": [{"type": "compaction"}]}, "input[0].encrypted_content"),
    ({"model": "m", "input": [{"type": "configuration_update", "reasoning": 1}]}, "input[0].reasoning"),
    ({"model": "m", "input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"model": "m", "input": "x", "metadata": {str(i): "" for i in range(17)}}, "metadata"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED, ids=[str(param) for _, param in REFUSED])
def test_refusals_name_their_field(body: dict[str, Any], param: str) -> None:
    """A wrong field is refused with its path, in one sentence."""
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    assert (caught.value.param, caught.value.code) == (param, "invalid_request")
    assert param in caught.value.message


ABSENT: list[tuple[dict[str, Any], str]] = [
    ({"conversation": "conv_1"}, "conversation"),
    ({"conversation": {"id": "conv_1"}}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"context_management": [{"type": "compaction", "compact_threshold": 1000}]}, "context_management"),
    ({"generate": False}, "generate"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}, "include[1]"),
]


@pytest.mark.parametrize(("fields", "param"), ABSENT, ids=[param for _, param in ABSENT])
def test_what_does_not_exist_here_has_its_own_code(fields: dict[str, Any], param: str) -> None:
    """A field that is understood and cannot be served is refused, never ignored."""
    with pytest.raises(InvalidRequest) as caught:
        decode({"model": "m", "input": "x", **fields})
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


def test_wishes_that_cost_nothing_are_accepted() -> None:
    """What both clients send, what the types list, and fields that nobody lists."""
    request = decode(
        {
            "model": "m",
            "input": "x",
            "conversation": None,
            "context_management": [],
            "include": ["reasoning.encrypted_content", "one.of.tomorrow"],
            "prompt_cache_retention": "24h",
            "prompt_cache_options": {"mode": "implicit", "ttl": "30m"},
            "stream_options": {"include_obfuscation": True},
            "service_tier": "priority",
            "max_tool_calls": 3,
            "top_logprobs": 0,
            "generate": True,
            "metadata": {"k" * 64: "v" * 512},
            "safety_identifier": "s" * 64,
            "client_metadata": {"any": "thing"},
            "of_tomorrow": {"x": [1]},
        }
    )
    assert request.echo["metadata"] == {"k" * 64: "v" * 512}
    assert (request.echo["max_tool_calls"], request.echo["safety_identifier"]) == (3, "s" * 64)
    assert "service_tier" not in request.echo


def test_a_conversation_changes_its_configuration() -> None:
    """`configuration_update` items change effort and format, the last one most, and are no part of what was said."""
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    request = decode(
        {
            "model": "m",
            "reasoning": {"effort": "low", "summary": "auto"},
            "input": [
                {"type": "configuration_update", "reasoning": {"effort": "high"}},
                {"role": "user", "content": "x"},
                {"type": "configuration_update", "text": {"format": schema}},
                {"type": "configuration_update", "reasoning": {"effort": "medium"}},
            ],
        }
    )
    assert request.reasoning_effort == "medium"
    assert request.echo["reasoning"] == {"effort": "medium", "summary": "auto"}
    assert request.text_format.kind == "json_schema"
    assert [type(item).__name__ for item in request.items] == ["Message"]


def test_a_trigger_at_the_end_asks_for_a_compaction() -> None:
    """It is taken out of the items; a sealed item stays sealed."""
    sealed = {"type": "compaction", "encrypted_content": "cxs1.x", "id": "cmp_1"}
    request = decode({"model": "m", "input": [sealed, {"type": "compaction_trigger"}]})
    assert request.compacts
    assert request.items == (CompactionItem("cxs1.x", id="cmp_1"),)


def test_a_body_must_be_an_object() -> None:
    """JSON that is no object is refused by its kind."""
    with pytest.raises(InvalidRequest, match="must be a JSON object, not a list"):
        decode(b"[1]")


def test_json_object_format() -> None:
    """The looser structured format is understood."""
    assert decode({"model": "m", "input": "x", "text": {"format": {"type": "json_object"}}}).text_format == TextFormat(
        "json_object"
    )


def test_a_previous_response_is_not_found() -> None:
    """Continuing a stored response has its own code, which clients know."""
    with pytest.raises(InvalidRequest) as caught:
        decode({"model": "m", "input": "x", "previous_response_id": "resp_0"})
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")
    assert caught.value.message == "Previous response with id 'resp_0' not found."


@pytest.mark.parametrize(
    ("window", "number"),
    [
        ("thread:0", 0),
        ("a:b:12", 12),
        ("", None),
        ("12", None),
        ("t:", None),
        ("t:-1", None),
        ("t:9" * 9, 9),
        ("t:١", None),
    ],
)
def test_who_asks(window: str, number: int | None) -> None:
    """Session, thread, window and program come from the headers of Codex, OpenCode and older clients."""
    fields = identity_fields(
        {"session-id": "s", "thread-id": "t", "x-codex-window-id": window, "user-agent": "codex_exec/0.169.0 (Linux)"}
    )
    assert fields == {"session_id": "s", "thread_id": "t", "window": number, "client": "codex_exec/0.169.0"}
    assert identity_fields({"x-session-id": "ses_1"}) == {
        "session_id": "ses_1",
        "thread_id": "",
        "window": None,
        "client": "",
    }


def test_a_continuation_answers_only_calls_that_were_made() -> None:
    """An output without its call is refused where a response is continued; in a whole history it passes."""

    def continued(call_id: str, history: list[dict[str, Any]] | None) -> TurnRequest:
        output = {"type": "function_call_output", "call_id": call_id, "output": "x"}
        obj = {"model": "m", "input": [output]}
        return decode_turn(obj, response_id="resp_1", created_at=1, headers={}, history=history)

    history = [{"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}]
    assert len(continued("call_1", history).items) == 2
    assert len(continued("call_2", None).items) == 1
    with pytest.raises(InvalidRequest) as caught:
        continued("call_2", history)
    assert caught.value.param == "input[0].call_id"
