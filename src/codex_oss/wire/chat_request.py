"""Encode a `TurnRequest` as the body of `POST …/chat/completions`.

Counterparts: `lanes.oss` sends it; `wire.chat_messages` and `wire.chat_tools` write the two big fields;
`wire.chat_stream` reads the answer with the `ToolNames` made here.

Rules that hold here:

1. Same request, same bytes. `messages` comes last, so that a longer conversation shares the whole beginning.
2. Only fields that nearly every upstream knows are sent; the others by a quirk of the profile. Not forwarded:
   store, include, metadata, truncation, verbosity, service_tier, prompt_cache_key.
3. A limit of output tokens is sent only when the client gave one, and never above the profile's.
4. A `response_format` is help, not a guarantee: whoever needs the structure validates the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

import msgspec

from codex_oss.contracts.profiles import Effort, ModelProfile
from codex_oss.wire.chat_messages import encode_messages
from codex_oss.wire.chat_tools import ToolNames, encode_tool_choice, encode_tools
from codex_oss.wire.items import CustomToolCall, FunctionCall, TextFormat, TurnRequest
from codex_oss.wire.loose_json import clean_value

_ENCODER: Final = msgspec.json.Encoder()


def encode_chat_request(request: TurnRequest, profile: ModelProfile, *, stream: bool = True) -> tuple[bytes, ToolNames]:
    """Return the JSON body and the names that decode its answer.

    Raises InvalidRequest for content that no chat upstream can take (binary files, compactions that nobody opened).
    """
    used = (item.call_id for item in request.items if isinstance(item, FunctionCall | CustomToolCall))
    names = ToolNames(request.tools, response_id=request.response_id, used_call_ids=used)
    body: dict[str, Any] = {"model": profile.model}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    body.update(_sampling_fields(request))
    if request.stop:
        body["stop"] = request.stop
    if request.max_output_tokens is not None:
        body[profile.quirks.max_tokens_field] = min(request.max_output_tokens, profile.max_output_tokens)
    response_format, system_note = _structure(request.text_format, profile)
    if not request.text_format.spoken:
        system_note = ""
    if response_format is not None:
        body["response_format"] = response_format
    body.update(_effort_fields(request.reasoning_effort, profile))
    body.update(_tool_fields(request, names, profile))
    body["messages"] = encode_messages(
        request.items, names, profile, instructions=request.instructions, system_note=system_note
    )
    try:
        return _ENCODER.encode(body), names
    except UnicodeEncodeError:
        # Half an emoji, or a file name that is not UTF-8; clients' bodies are clean, other lanes' may not be.
        return _ENCODER.encode(clean_value(body)), names


def _sampling_fields(request: TurnRequest) -> dict[str, Any]:
    sampling = request.sampling
    fields = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _effort_fields(effort: str | None, profile: ModelProfile) -> dict[str, Any]:
    """Return how the upstream is told the effort; nothing when the client named none, or one that nobody knows."""
    quirks = profile.quirks
    if effort is None or effort not in EFFORTS or quirks.effort_field == "none":
        return {}
    thinks = effort != "none"
    match quirks.effort_field:
        case "reasoning_effort":
            return {"reasoning_effort": nearest_effort(effort, quirks.efforts)}
        case "reasoning":
            return {"reasoning": {"effort": nearest_effort(effort, quirks.efforts)}}
        case "thinking":
            return {"thinking": {"type": "enabled" if thinks else "disabled"}}
        case "enable_thinking":
            return {"enable_thinking": thinks}


def nearest_effort(effort: str, supported: Sequence[str]) -> str:
    """Return the supported level nearest to *effort*, the lower one of two; *effort* itself where none is named."""
    place = EFFORTS.index(effort)
    return min(supported, key=lambda level: (abs(EFFORTS.index(level) - place), EFFORTS.index(level)), default=effort)


EFFORTS: Final = get_args(Effort)


def _tool_fields(request: TurnRequest, names: ToolNames, profile: ModelProfile) -> dict[str, Any]:
    choice = request.tool_choice
    tools = encode_tools(names, choice)
    limited = profile.quirks.tool_choice == "auto"
    if not tools or (limited and choice.mode == "none"):
        return {}
    fields: dict[str, Any] = {"tools": tools, "tool_choice": "auto" if limited else encode_tool_choice(names, choice)}
    if profile.quirks.parallel_tool_calls:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _structure(form: TextFormat, profile: ModelProfile) -> tuple[dict[str, Any] | None, str]:
    """Return the `response_format`, and the words for the prompt where the upstream cannot be told so."""
    able = profile.quirks.structured_output
    match form.kind:
        case "text":
            return None, ""
        case "json_object":
            return (None if able == "none" else {"type": "json_object"}), _JSON_NOTE
        case "json_schema" if able == "json_schema":
            schema: dict[str, Any] = {"name": form.name, "schema": form.schema}
            if form.strict is not None:
                schema["strict"] = form.strict
            return {"type": "json_schema", "json_schema": schema}, ""
        case "json_schema":
            note = f"{_JSON_NOTE} It must match this JSON Schema:\n{_ENCODER.encode(form.schema).decode()}"
            return (None if able == "none" else {"type": "json_object"}), note


_JSON_NOTE: Final = "Answer with one JSON object and nothing else: no prose around it, no code fence."
