"""Decoding chat requests: what OpenCode and SDKs send, what is refused, and that nothing else is ever raised."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest, RequestError
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.completions_request import decode_chat_turn, wants_usage
from codex_oss.wire.completions_stream import ChatEncoder
from codex_oss.wire.items import (
    CustomTool,
    CustomToolCall,
    FilePart,
    FunctionCall,
    FunctionTool,
    ImagePart,
    Item,
    Message,
    ReasoningItem,
    RefusalPart,
    Sampling,
    TextFormat,
    TextPart,
    ToolChoice,
    ToolOutput,
    TurnRequest,
)
from codex_oss.wire.responses_request import decode_body
from tests.wire.scripts import PROFILE, json_values, profile

HI = {"role": "user", "content": "hi"}


def decode(body: dict[str, Any], headers: dict[str, str] | None = None) -> TurnRequest:
    return decode_chat_turn(body, response_id="resp_1", created_at=1_700_000_000, headers=headers or {})


def ask(*messages: Any, **more: Any) -> TurnRequest:
    return decode({"model": "m", "messages": list(messages or (HI,)), **more})


_KEY_NAMES = """
type role content text model messages tools tool_choice name id tool_calls tool_call_id function custom function_call
arguments input format grammar definition schema json_schema response_format reasoning_content refusal image_url url
file file_data filename stop stream stream_options include_usage n max_tokens strict parameters detail allowed_tools
mode functions web_search_options user
"""
_WORD_NAMES = """
user assistant system developer tool function custom text image_url file refusal input_audio json_schema json_object
allowed_tools required auto none c1
"""
_KEYS = st.sampled_from(_KEY_NAMES.split())
_WORDS = st.sampled_from(_WORD_NAMES.split())
_likely_json = st.recursive(
    _WORDS | json_values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5)
)
_messages = st.lists(st.dictionaries(_KEYS, _likely_json, max_size=5) | st.just(HI), max_size=4)


def _accepts_or_refuses(body: bytes) -> None:
    refused: RequestError | None = None
    try:
        obj = decode_body(body)
        request = decode(obj)
        encoder = ChatEncoder(request, include_usage=wants_usage(obj))
    except RequestError as exc:
        refused = exc
    if refused is not None:
        assert refused.message.endswith(".")
        assert "\n" not in refused.message
        return
    encoder.finish()
    msgspec.json.encode(encoder.response())
    with suppress(InvalidRequest):
        encode_chat_request(request, PROFILE)


@given(json_values)
def test_arbitrary_json_is_a_request_or_refused(value: Any) -> None:
    """JSON of any shape ends as a request or as RequestError."""
    _accepts_or_refuses(json.dumps(value).encode())
    _accepts_or_refuses(json.dumps({"model": "m", "messages": value}).encode())


@given(st.dictionaries(_KEYS, _likely_json, max_size=6), _messages)
def test_nearly_right_json_is_a_request_or_refused(extra: dict[str, Any], messages: list[Any]) -> None:
    """Known keys with wrong values end as a request that can be answered and sent on, or as RequestError."""
    _accepts_or_refuses(json.dumps({"model": "m", "messages": messages, **extra}).encode())


_CALL = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path":"a"}'}}
_CUSTOM_CALL = {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "raw"}}
MESSAGES: dict[str, tuple[list[dict[str, Any]], list[Item]]] = {
    "system and developer": (
        [{"role": "system", "content": "a"}, {"role": "developer", "content": [{"type": "text", "text": "b"}]}],
        [Message("system", (TextPart("a"),)), Message("developer", (TextPart("b"),))],
    ),
    "image and file": (
        [
            {
                "role": "user",
                "name": "somebody",
                "content": [
                    "a",
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
                    {"type": "image_url", "image_url": "https://example.test/i.png"},
                    {"type": "file", "file": {"filename": "f.txt", "file_data": "aGk="}},
                ],
            }
        ],
        [
            Message(
                "user",
                (
                    TextPart("a"),
                    ImagePart("data:image/png;base64,AA", "low"),
                    ImagePart("https://example.test/i.png"),
                    FilePart("f.txt", "aGk="),
                ),
            )
        ],
    ),
    "a tool loop as OpenCode sends it back": (
        [
            {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "out"},
        ],
        [
            ReasoningItem(text="Hm."),
            FunctionCall("c1", "read", '{"path":"a"}'),
            ToolOutput("c1", (TextPart("out"),)),
        ],
    ),
    "text and calls": (
        [
            {"role": "assistant", "content": "I look.", "tool_calls": [_CALL, _CUSTOM_CALL]},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "ok"}]},
        ],
        [
            Message("assistant", (TextPart("I look."),)),
            FunctionCall("c1", "read", '{"path":"a"}'),
            CustomToolCall("c2", "patch", "raw"),
            ToolOutput("c2", (TextPart("ok"),), True),
        ],
    ),
    "the form before tool_calls": (
        [
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "function", "name": "f", "content": "2"},
        ],
        [
            FunctionCall("call_function_1", "f", "{}"),
            ToolOutput("call_function_1", (TextPart("1"),)),
            ToolOutput("call_function_unknown", (TextPart("2"),)),
        ],
    ),
    "refusals": (
        [
            {"role": "assistant", "content": None, "refusal": "No."},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "Never."}]},
        ],
        [Message("assistant", (RefusalPart("No."),)), Message("assistant", (RefusalPart("Never."),))],
    ),
}


@pytest.mark.parametrize("case", MESSAGES.values(), ids=MESSAGES.keys())
def test_messages(case: tuple[list[dict[str, Any]], list[Item]]) -> None:
    """Every role and every kind of content becomes the items that all lanes know, in order."""
    messages, items = case
    assert list(ask(*messages).items) == items


def test_a_tool_loop_reaches_the_upstream_as_it_came() -> None:
    """Decoded and encoded again, the messages of a tool loop are the same; reasoning goes where it is wanted."""
    calls = [_CALL, {"id": "c9", "type": "function", "function": {"name": "read", "arguments": "{}"}}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "out"},
        {"role": "tool", "tool_call_id": "c9", "content": "more"},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "thanks"},
    ]
    body, _ = encode_chat_request(ask(*messages, stop="END"), profile(replay_reasoning=True))
    sent = json.loads(body)
    assert sent["messages"] == messages
    assert sent["stop"] == ["END"]


TOOLS = [
    {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "f", "description": "again"}},
    {"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"definition": "x: y"}}}},
    {"type": "code_interpreter"},
]


def test_tools() -> None:
    """Functions and custom tools are read, the first of a name counts, other kinds are left out."""
    request = ask(tools=TOOLS, web_search_options={})
    assert request.tools == (FunctionTool("f", "d", {"type": "object"}), CustomTool("c", "", "x: y"))
    assert request.dropped_tools == ("code_interpreter", "web_search")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", ("f",))),
        ({"type": "custom", "custom": {"name": "c"}}, ToolChoice("named", ("c",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice("required", ("f",)),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "code_interpreter"}]}},
            ToolChoice("none"),
        ),
    ],
)
def test_tool_choices(choice: Any, expected: ToolChoice) -> None:
    """Each form of `tool_choice` is understood."""
    assert ask(tools=TOOLS, tool_choice=choice).tool_choice == expected


def test_the_other_fields() -> None:
    """What a chat client may say besides is taken over, and what nobody knows does no harm."""
    schema = {"type": "object"}
    request = decode(
        {
            "model": "m",
            "messages": [HI],
            "temperature": 0,
            "top_p": 0.5,
            "presence_penalty": 1,
            "frequency_penalty": -1,
            "max_tokens": 10,
            "max_completion_tokens": 20,
            "stop": ["a", "", "b"],
            "n": 1,
            "reasoning_effort": "low",
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
            "parallel_tool_calls": False,
            "prompt_cache_key": "key",
            "user": "me",
            "stream": True,
            "seed": 7,
            "logprobs": None,
            "a_field_of_tomorrow": [1],
        },
        {"x-session-id": "ses_1"},
    )
    assert request.sampling == Sampling(0, 0.5, 1, -1)
    assert (request.max_output_tokens, request.stop, request.reasoning_effort) == (20, ("a", "b"), "low")
    assert request.text_format == TextFormat("json_schema", "n", schema, True)
    assert (request.stream, request.store, request.parallel_tool_calls) == (True, False, False)
    assert (request.prompt_cache_key, request.session_id, request.echo) == ("key", "ses_1", {"user": "me"})
    assert ask(max_tokens=5).max_output_tokens == 5
    assert ask(response_format={"type": "json_object"}).text_format == TextFormat("json_object")
    assert ask(response_format={"type": "text"}).text_format == TextFormat()


def test_usage_is_asked_for() -> None:
    """`stream_options.include_usage` decides about the usage chunk."""
    assert wants_usage({"stream_options": {"include_usage": True}})
    assert not wants_usage({"stream_options": None})
    with pytest.raises(InvalidRequest):
        wants_usage({"stream_options": {"include_usage": 1}})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": [HI]}, "model"),
    ({"model": "m"}, "messages"),
    ({"model": "m", "messages": []}, "messages"),
    ({"model": "m", "messages": "hi"}, "messages"),
    ({"model": "m", "messages": [{"role": "assistant", "content": ""}]}, "messages"),
    ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role"),
    ({"model": "m", "messages": [{"role": "wizard"}]}, "messages[0].role"),
    ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ({"model": "m", "messages": [{"role": "assistant", "function_call": {}}]}, "messages[0].function_call.name"),
    (
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "messages[0].content[0].type",
    ),
    (
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].image_url.url",
    ),
    (
        {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": "f"}]}]},
        "messages[0].tool_calls[0].function",
    ),
    (
        {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}]},
        "messages[0].tool_calls[0].custom",
    ),
    (
        {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "mcp"}]}]},
        "messages[0].tool_calls[0].type",
    ),
    ({"model": "m", "messages": [HI], "n": 2}, "n"),
    ({"model": "m", "messages": [HI], "audio": {"voice": "x", "format": "wav"}}, "audio"),
    ({"model": "m", "messages": [HI], "modalities": ["text", "audio"]}, "modalities"),
    ({"model": "m", "messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio"),
    ({"model": "m", "messages": [HI], "stop": 7}, "stop"),
    ({"model": "m", "messages": [HI], "stop": ["a", 7]}, "stop[1]"),
    ({"model": "m", "messages": [HI], "stop": ["a"] * 17}, "stop"),
    ({"model": "m", "messages": [HI], "max_tokens": 0}, "max_tokens"),
    ({"model": "m", "messages": [HI], "functions": [{"name": "f"}]}, "functions"),
    ({"model": "m", "messages": [HI], "tools": [{"type": "function", "name": "f"}]}, "tools[0].function"),
    ({"model": "m", "messages": [HI], "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    (
        {"model": "m", "messages": [HI], "tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]},
        "tools[0].function.strict",
    ),
    ({"model": "m", "messages": [HI], "tool_choice": "perhaps"}, "tool_choice"),
    (
        {"model": "m", "messages": [HI], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none"}}},
        "tool_choice.allowed_tools.mode",
    ),
    ({"model": "m", "messages": [HI], "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
    (
        {"model": "m", "messages": [HI], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.function.name",
    ),
    ({"model": "m", "messages": [HI], "response_format": {"type": "xml"}}, "response_format.type"),
    (
        {"model": "m", "messages": [HI], "response_format": {"type": "json_schema"}},
        "response_format.json_schema.schema",
    ),
]


@pytest.mark.parametrize(("body", "param"), REFUSED)
def test_wrong_fields_are_named(body: dict[str, Any], param: str) -> None:
    """A wrong or unservable field is refused with its path."""
    with pytest.raises(InvalidRequest) as refused:
        decode(body)
    assert refused.value.param == param
