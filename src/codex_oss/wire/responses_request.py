"""Decode the body of `POST /v1/responses` into a `TurnRequest`.

Counterparts: `server` calls this; `wire.responses_items` and `wire.responses_tools` read the two big fields;
`wire.responses_stream` writes the answer and repeats `TurnRequest.echo` in it.

Rules that hold here:

1. Unknown fields are accepted silently: both clients send fields that no published schema lists.
2. A known field of a wrong type is `InvalidRequest` with its path as `param`. Nothing else is ever raised,
   whatever the bytes are.
3. Nothing is looked up here: what `previous_response_id` names arrives as `history`. `conversation` and
   `background` are refused.
Source: Open Responses 2026-04-24; captures of Codex CLI 0.169 and OpenCode 1.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from codex_oss.errors import InvalidRequest
from codex_oss.wire.fields import (
    flag_at,
    invalid,
    kind_of,
    list_at,
    number_at,
    object_at,
    optional_text_at,
    required_text_at,
    text_at,
    whole_at,
)
from codex_oss.wire.items import Sampling, TextFormat, TurnRequest
from codex_oss.wire.loose_json import decode_loose
from codex_oss.wire.responses_items import decode_items
from codex_oss.wire.responses_tools import decode_tool_choice, decode_tools

MAX_METADATA_PAIRS: Final = 16


def decode_request(body: bytes, *, response_id: str, created_at: int, headers: Mapping[str, str]) -> TurnRequest:
    """Decode one create request.

    body: decompressed JSON. response_id: `resp_…`. created_at: seconds since the epoch. headers: names in lower
    case; `session-id`, `thread-id` (Codex) and `x-session-id` (OpenCode) are read.
    Raises InvalidRequest; code `previous_response_not_found` for a request that continues a stored one.
    """
    return decode_turn(decode_body(body), response_id=response_id, created_at=created_at, headers=headers)


def decode_body(body: bytes) -> dict[str, Any]:
    """Decode the JSON of a request body; raises InvalidRequest."""
    try:
        obj = decode_loose(body)
    except ValueError as exc:
        raise InvalidRequest(f"The request body is not usable JSON: {exc}.") from None
    if not isinstance(obj, dict):
        raise InvalidRequest(f"The request body must be a JSON object, not {kind_of(obj)}.")
    return obj


def decode_turn(
    obj: dict[str, Any],
    *,
    response_id: str,
    created_at: int,
    headers: Mapping[str, str],
    history: Sequence[dict[str, Any]] | None = None,
) -> TurnRequest:
    """Decode one create request from its JSON object; see `decode_request`.

    history: the raw items of the turn that `previous_response_id` names, its input and then its output (see
    `turn_items`); None when nothing is kept under that id.
    """
    _refuse_stored_state(obj, history)
    model = required_text_at(obj, "model", "")
    items, declarations = decode_items(turn_items(obj, history or ()))
    instructions = text_at(obj, "instructions", "")
    if not items and not instructions:
        raise invalid("input", "is required and must not be empty")
    tools, dropped = decode_tools(obj, declarations)
    reasoning = object_at(obj, "reasoning", "") or {}
    return TurnRequest(
        response_id=response_id,
        model=model,
        items=items,
        created_at=created_at,
        instructions=instructions,
        tools=tools,
        dropped_tools=dropped,
        tool_choice=decode_tool_choice(obj.get("tool_choice"), tools),
        parallel_tool_calls=flag_at(obj, "parallel_tool_calls", "", True),
        sampling=decode_sampling(obj),
        max_output_tokens=whole_at(obj, "max_output_tokens", 1),
        reasoning_effort=optional_text_at(reasoning, "effort", "reasoning"),
        text_format=_text_format(obj),
        stream=flag_at(obj, "stream", "", False),
        store=flag_at(obj, "store", "", True),
        previous_response_id=optional_text_at(obj, "previous_response_id", ""),
        prompt_cache_key=optional_text_at(obj, "prompt_cache_key", ""),
        session_id=headers.get("session-id") or headers.get("session_id") or headers.get("x-session-id") or "",
        thread_id=headers.get("thread-id") or "",
        echo=_echo(obj),
    )


def turn_items(obj: dict[str, Any], history: Sequence[dict[str, Any]]) -> Any:
    """The whole `input` of a turn that continues another one: what came before, then what is new.

    Without a history it is the field as it came. A string becomes the user message that it means.
    Raises InvalidRequest for the output of a call that neither holds.
    """
    new = obj.get("input")
    if not history:
        return new
    if isinstance(new, str):
        new = [{"type": "message", "role": "user", "content": new}]
    _refuse_orphans(history, new)
    return [*history, *(new or [])] if isinstance(new, list) or new is None else new


def _refuse_stored_state(obj: dict[str, Any], history: Sequence[dict[str, Any]] | None) -> None:
    if obj.get("previous_response_id") is not None and history is None:
        raise previous_not_found(str(obj["previous_response_id"]))
    if obj.get("conversation") is not None:
        raise invalid("conversation", "is not kept by this bridge", "Send the whole conversation in `input`.")
    if flag_at(obj, "background", "", False):
        raise invalid("background", "is not supported", "Ask with `stream` instead.")


def previous_not_found(response_id: str, hint: str = "") -> InvalidRequest:
    """The error for a `previous_response_id` that cannot be continued, in the words that OpenAI uses."""
    return InvalidRequest(
        f"Previous response with id '{response_id[:100]}' not found.",
        param="previous_response_id",
        hint=hint,
        code="previous_response_not_found",
    )


def _refuse_orphans(history: Sequence[dict[str, Any]], new: Any) -> None:
    """A continuation cannot answer a call that nobody made. (A whole history may: interrupted turns leave such.)"""
    given = new if isinstance(new, list) else []
    items = [item for item in [*history, *given] if isinstance(item, dict)]
    called = [item.get("call_id") for item in items if item.get("type") not in OUTPUTS]
    for position, item in enumerate(given):
        if isinstance(item, dict) and item.get("type") in OUTPUTS and item.get("call_id") not in called:
            raise invalid(f"input[{position}].call_id", "names no call of the conversation")


OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")


def decode_sampling(obj: dict[str, Any]) -> Sampling:
    """Read the four sampling numbers, which Chat Completions names alike; raises InvalidRequest."""
    return Sampling(
        number_at(obj, "temperature", 0, 2),
        number_at(obj, "top_p", 0, 1),
        number_at(obj, "presence_penalty", -2, 2),
        number_at(obj, "frequency_penalty", -2, 2),
    )


def _text_format(obj: dict[str, Any]) -> TextFormat:
    text = object_at(obj, "text", "") or {}
    form = object_at(text, "format", "text")
    if form is None:
        return TextFormat()
    kind = text_at(form, "type", "text.format", "text")
    where = "text.format"
    match kind:
        case "text" | "json_object":
            known: Literal["text", "json_object"] = "text" if kind == "text" else "json_object"
            return TextFormat(known)
        case "json_schema":
            schema = object_at(form, "schema", where)
            if schema is None:
                raise invalid(f"{where}.schema", "is required")
            strict = flag_at(form, "strict", where, False) if form.get("strict") is not None else None
            return TextFormat("json_schema", required_text_at(form, "name", where), schema, strict)
    raise invalid(f"{where}.type", "must be text, json_object or json_schema")


def _echo(obj: dict[str, Any]) -> dict[str, Any]:
    """Collect what the response object repeats as it came; keys that are missing or null are left to defaults."""
    metadata = object_at(obj, "metadata", "")
    if metadata is not None and len(metadata) > MAX_METADATA_PAIRS:
        raise invalid("metadata", f"holds more than {MAX_METADATA_PAIRS} pairs")
    whole_at(obj, "max_tool_calls", 1)
    whole_at(obj, "top_logprobs", 0, 20)
    for key in ("truncation", "service_tier", "safety_identifier", "user"):
        text_at(obj, key, "")
    echo = {key: obj[key] for key in ECHOED if obj.get(key) is not None}
    if "tools" in echo:
        echo["tools"] = [_echoed_tool(tool) for tool in list_at(obj, "tools", "")]
    return echo


ECHOED: Final = (
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "metadata",
    "truncation",
    "service_tier",
    "max_tool_calls",
    "top_logprobs",
    "safety_identifier",
    "user",
)
"""Request fields that the response object repeats and that `TurnRequest` does not hold in the client's form."""


def _echoed_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Give a function tool the four keys that the Open Responses schema requires."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}
