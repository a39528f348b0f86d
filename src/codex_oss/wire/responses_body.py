"""Encode a `TurnRequest` as the body of `POST …/responses`, for an upstream that speaks Responses itself.

Counterparts: `lanes.oss` sends it; `wire.responses_upstream` reads the answer with the `ToolNames` made here;
`wire.responses_items` and `wire.responses_tools` are the way in. A client's own body goes on by `wire.responses_relay`.

Rules that hold here:

1. Same request, same bytes. `input` comes last, so that a longer conversation shares the whole beginning.
2. What the client said is sent as it came where `echo` holds it (tools of every kind, reasoning, text, …).
3. `store` is false and no id of an earlier response is sent: a continuation never depends on an upstream.
4. Only what this upstream sealed itself goes back to it (`wire.seals`).
5. `stop` has no place in Responses and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.items import (
    CompactionItem,
    CustomTool,
    CustomToolCall,
    FilePart,
    FunctionCall,
    FunctionTool,
    ImagePart,
    Item,
    Message,
    OpaqueItem,
    Part,
    ReasoningItem,
    RefusalPart,
    SearchTool,
    TextFormat,
    TextPart,
    Tool,
    ToolChoice,
    ToolOutput,
    TurnRequest,
)
from codex_oss.wire.loose_json import clean_value
from codex_oss.wire.seals import unmarked
from codex_oss.wire.summary_text import summary_text

SEALED: Final = "reasoning.encrypted_content"
"""The `include` without which a response that is not stored loses its reasoning."""
_PASSED: Final = (
    "reasoning",
    "text",
    "tool_choice",
    "truncation",
    "service_tier",
    "max_tool_calls",
    "top_logprobs",
    "safety_identifier",
    "user",
)
"""Keys of `echo` that are sent as they came. `metadata` stays here: it is the client's own."""

_ENCODER: Final = msgspec.json.Encoder()


def encode_responses_request(
    request: TurnRequest, profile: ModelProfile, *, stream: bool = True
) -> tuple[bytes, ToolNames]:
    """Return the JSON body and the names that decode its answer. Never raises."""
    body, names = responses_request(request, profile, stream=stream)
    return encode_clean(body), names


def responses_request(
    request: TurnRequest, profile: ModelProfile, *, stream: bool = True
) -> tuple[dict[str, Any], ToolNames]:
    """The same body before it is written."""
    used = (item.call_id for item in request.items if isinstance(item, FunctionCall | CustomToolCall))
    names = ToolNames(request.tools, response_id=request.response_id, used_call_ids=used)
    body: dict[str, Any] = {"model": profile.model, "store": False, "stream": stream, "include": [SEALED]}
    body.update(_said(request))
    if request.max_output_tokens is not None:
        body["max_output_tokens"] = min(request.max_output_tokens, profile.max_output_tokens)
    if request.instructions:
        body["instructions"] = request.instructions
    if tools := _tools(request):
        body["tools"] = tools
        body["parallel_tool_calls"] = request.parallel_tool_calls
        body.setdefault("tool_choice", _tool_choice(request.tool_choice, request.tools))
    else:
        body.pop("tool_choice", None)
    body["input"] = [_item(item, place, profile.name) for place, item in enumerate(request.items)]
    return body, names


def encode_clean(body: dict[str, Any]) -> bytes:
    """Encode a body; half an emoji in it, which only other lanes' texts can hold, becomes U+FFFD."""
    try:
        return _ENCODER.encode(body)
    except UnicodeEncodeError:
        return _ENCODER.encode(clean_value(body))


def _said(request: TurnRequest) -> dict[str, Any]:
    """The plain fields that the client set."""
    sampling = request.sampling
    fields: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": request.reasoning_effort} if request.reasoning_effort else None,
        "text": _text(request.text_format),
        **{key: request.echo.get(key) for key in _PASSED if key in request.echo},
    }
    return {key: value for key, value in fields.items() if value is not None}


def _text(form: TextFormat) -> dict[str, Any] | None:
    if form.kind == "text":
        return None
    if form.kind == "json_object":
        return {"format": {"type": "json_object"}}
    wanted: dict[str, Any] = {"type": "json_schema", "name": form.name, "schema": form.schema}
    if form.strict is not None:
        wanted["strict"] = form.strict
    return {"format": wanted}


# ---------------------------------------------------------------------------------------------------------- tools


def _tools(request: TurnRequest) -> list[dict[str, Any]]:
    """The client's own list, then the tools that it declared elsewhere, grouped by their namespace."""
    tools: list[dict[str, Any]] = [tool for tool in request.echo.get("tools", ()) if isinstance(tool, dict)]
    named = {*_names_in(tools, None)}
    groups: dict[str, list[dict[str, Any]]] = {}
    for tool in request.tools:
        if (tool.namespace, tool.name) in named:
            continue
        if tool.namespace is None:
            tools.append(_tool(tool))
        elif tool.namespace in groups:
            groups[tool.namespace].append(_tool(tool))
        else:
            groups[tool.namespace] = [_tool(tool)]
            tools.append({"type": "namespace", "name": tool.namespace, "tools": groups[tool.namespace]})
    return tools


def _names_in(tools: Sequence[Any], namespace: str | None) -> list[tuple[str | None, str]]:
    found: list[tuple[str | None, str]] = []
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        name = str(tool.get("name", ""))
        if tool.get("type") == "namespace" and isinstance(tool.get("tools"), list):
            found += _names_in(tool["tools"], name)
        else:
            found.append((namespace, name))
    return found


def _tool(tool: Tool) -> dict[str, Any]:
    if isinstance(tool, FunctionTool):
        fields = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        return {"type": "function", **fields, "strict": bool(tool.strict)}
    if isinstance(tool, SearchTool):
        fields = {"description": tool.description, "parameters": tool.parameters}
        return {"type": "tool_search", "execution": "client", **fields}
    return {"type": "custom", "name": tool.name, "description": tool.description, "format": _grammar(tool)}


def _grammar(tool: CustomTool) -> dict[str, Any]:
    if not tool.grammar:
        return {"type": "text"}
    return {"type": "grammar", "syntax": tool.syntax, "definition": tool.grammar}


def _tool_choice(choice: ToolChoice, tools: Sequence[Tool]) -> str | dict[str, Any]:
    kinds = {tool.name: "custom" if isinstance(tool, CustomTool) else "function" for tool in tools}
    named = [{"type": kinds.get(name, "function"), "name": name} for name in choice.names]
    if choice.mode == "named":
        return named[0] if named else "auto"
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named} if named else choice.mode


# ---------------------------------------------------------------------------------------------------------- items


def _item(item: Item, place: int, profile: str) -> dict[str, Any]:
    """One item of the input. Servers that check types want an id on items that a model wrote."""
    match item:
        case Message():
            return _message(item, place)
        case FunctionCall(call_id, name, arguments, namespace, item_id):
            fields = {"call_id": call_id, "name": name, "arguments": arguments}
            return {"type": "function_call", "id": item_id or f"fc_{place}", **fields, **_given(namespace=namespace)}
        case CustomToolCall(call_id, name, text, namespace, item_id):
            fields = {"call_id": call_id, "name": name, "input": text}
            return {
                "type": "custom_tool_call",
                "id": item_id or f"ctc_{place}",
                **fields,
                **_given(namespace=namespace),
            }
        case ToolOutput(call_id, parts, custom):
            kind = "custom_tool_call_output" if custom else "function_call_output"
            return {"type": kind, "call_id": call_id, "output": _output(parts)}
        case ReasoningItem():
            return _reasoning(item, place, profile)
        case CompactionItem(summary=summary):
            return _message(Message("user", (TextPart(summary_text(summary, place)),)), place)
        case OpaqueItem(_, raw):
            return raw
        case _:
            assert_never(item)


def _message(item: Message, place: int) -> dict[str, Any]:
    message: dict[str, Any] = {"type": "message", "role": item.role}
    if item.role == "assistant":
        message |= {"id": item.id or f"msg_{place}", "status": "completed"}
    message["content"] = [_part(part, assistant=item.role == "assistant") for part in item.parts]
    return message | _given(phase=item.phase)


def _reasoning(item: ReasoningItem, place: int, profile: str) -> dict[str, Any]:
    sealed = unmarked(profile, item.encrypted_content)
    reasoning: dict[str, Any] = {"type": "reasoning", "id": item.id or f"rs_{place}"}
    reasoning["summary"] = [{"type": "summary_text", "text": item.summary}] if item.summary else []
    if item.text:
        reasoning["content"] = [{"type": "reasoning_text", "text": item.text}]
    return reasoning | _given(encrypted_content=sealed or None)


def _given(**fields: str | None) -> dict[str, str]:
    return {key: value for key, value in fields.items() if value is not None}


def _output(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """A tool's output: a string where it is only text, which every server takes."""
    if all(isinstance(part, TextPart) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))
    return [_part(part, assistant=False) for part in parts]


def _part(part: Part, *, assistant: bool) -> dict[str, Any]:
    match part:
        case TextPart(text) if assistant:
            return {"type": "output_text", "text": text, "annotations": []}
        case TextPart(text):
            return {"type": "input_text", "text": text}
        case RefusalPart(text):
            return {"type": "refusal", "refusal": text}
        case ImagePart(url, detail):
            return {"type": "input_image", "image_url": url, "detail": detail}
        case FilePart(filename, data, url, file_id):
            fields = {"filename": filename, "file_data": data, "file_url": url, "file_id": file_id}
            return {"type": "input_file", **{key: value for key, value in fields.items() if value}}
        case _:
            assert_never(part)
