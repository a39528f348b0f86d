"""Decode the body of `POST /v1/responses` into a `TurnRequest`.

Counterparts: `server` calls this; `wire.responses_items` and `wire.responses_tools` read the two big fields,
`wire.responses_settings` the ones that items may change;
`wire.responses_stream` writes the answer and repeats `TurnRequest.echo` in it.

Rules that hold here:

1. Unknown fields are accepted silently: both clients send fields that no published schema lists.
2. A known field of a wrong type is `InvalidRequest` with its path as `param`. Nothing else is ever raised,
   whatever the bytes are.
3. Nothing is looked up here: what `previous_response_id` names arrives as `history`, and a sealed summary stays sealed.
4. A `configuration_update` item counts for the whole turn, the last one most: it stands in the history of all later
   turns, and no chat upstream can change its settings half-way.
Source: Open Responses 2026-04-24; captures of Codex CLI 0.169 and OpenCode 1.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from codex_oss.errors import InvalidRequest
from codex_oss.wire.fields import (
    flag_at,
    invalid,
    kind_of,
    list_at,
    number_at,
    optional_text_at,
    required_text_at,
    text_at,
    whole_at,
)
from codex_oss.wire.items import Sampling, TurnRequest
from codex_oss.wire.loose_json import decode_loose
from codex_oss.wire.responses_fields import check_fields, truncates
from codex_oss.wire.responses_items import decode_input
from codex_oss.wire.responses_settings import decode_settings
from codex_oss.wire.responses_tools import decode_tool_choice, decode_tools


def decode_request(body: bytes, *, response_id: str, created_at: int, headers: Mapping[str, str]) -> TurnRequest:
    """Decode one create request.

    body: decompressed JSON. response_id: `resp_…`. created_at: seconds since the epoch. headers: names in lower
    case; those of `identity_fields` are read.
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
    if obj.get("previous_response_id") is not None and history is None:
        raise previous_not_found(str(obj["previous_response_id"]))
    check_fields(obj)
    model = required_text_at(obj, "model", "")
    read = decode_input(turn_items(obj, history or ()))
    effort, text_format = decode_settings(obj, read.updates)
    instructions = text_at(obj, "instructions", "")
    if not read.items and (read.compacts or not instructions):
        raise invalid("input", "is required and must not be empty")
    store, background = flag_at(obj, "store", "", True), flag_at(obj, "background", "", False)
    if background and not store:
        raise invalid("background", "needs `store`: its answer could not be looked at later", "Leave `store` out.")
    tools, dropped = decode_tools(obj, read.declarations)
    return TurnRequest(
        response_id=response_id,
        model=model,
        items=read.items,
        created_at=created_at,
        instructions=instructions,
        tools=tools,
        dropped_tools=dropped,
        tool_choice=decode_tool_choice(obj.get("tool_choice"), tools),
        parallel_tool_calls=flag_at(obj, "parallel_tool_calls", "", True),
        sampling=decode_sampling(obj),
        max_output_tokens=whole_at(obj, "max_output_tokens", 1),
        reasoning_effort=effort,
        text_format=text_format,
        stream=flag_at(obj, "stream", "", False),
        store=store,
        background=background,
        compacts=read.compacts,
        truncates=truncates(obj),
        previous_response_id=optional_text_at(obj, "previous_response_id", ""),
        prompt_cache_key=optional_text_at(obj, "prompt_cache_key", ""),
        **identity_fields(headers),
        echo=_echo(_updated(obj, read.updates)),
    )


def identity_fields(headers: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a TurnRequest that say who asks: session_id, thread_id, window, client.

    headers: names in lower case. Read: `session-id`, `thread-id`, `x-codex-window-id` (`<thread>:<number>`, Codex
    0.169), `session_id` (older clients), `x-session-id` (OpenCode 1.18), `user-agent`.
    """
    _, colon, number = headers.get("x-codex-window-id", "").rpartition(":")
    counted = bool(colon) and number.isascii() and number.isdecimal() and len(number) <= 9
    return {
        "session_id": headers.get("session-id") or headers.get("session_id") or headers.get("x-session-id") or "",
        "thread_id": headers.get("thread-id") or "",
        "window": int(number) if counted else None,
        "client": (headers.get("user-agent", "").split() or [""])[0],
    }


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


def _updated(obj: dict[str, Any], updates: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    """The request with the settings that its conversation changed, as the response object shows them."""
    for update, _ in updates:
        for key, member in (("reasoning", "effort"), ("text", "format")):
            if isinstance(changed := update.get(key), dict):
                obj = {**obj, key: {**(obj.get(key) or {}), member: changed.get(member)}}
    return obj


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


def _echo(obj: dict[str, Any]) -> dict[str, Any]:
    """Collect what the response object repeats as it came; keys that are missing or null are left to defaults."""
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
