"""Decode the body of `POST /v1/chat/completions` into a `TurnRequest`.

Counterparts: `server.chat_completions` calls this; `wire.completions_messages` and `wire.completions_tools` read the
two big fields; `wire.completions_stream` writes the answer. `wire.chat_request` is the other end: what we send.

Rules that hold here:

1. Unknown fields are accepted silently. Read over without effect: `logprobs`, `logit_bias`, `seed`, `prediction`,
   `service_tier`, `verbosity`, `store`, `name` of a message. A chat answer is never stored.
2. A known field of a wrong type is `InvalidRequest` with its path as `param`. Nothing else is ever raised.
3. What would change the answer without a word is refused: more than one choice (`n`), `functions`, audio.
4. `stop` is forwarded: editors that complete code rely on it.
Source: OpenAI API reference "create chat completion"; captures of OpenCode 1.18.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from codex_oss.wire.completions_messages import decode_messages
from codex_oss.wire.completions_tools import decode_chat_tool_choice, decode_chat_tools
from codex_oss.wire.fields import (
    flag_at,
    invalid,
    kind_of,
    list_at,
    object_at,
    optional_text_at,
    required_text_at,
    text_at,
    whole_at,
)
from codex_oss.wire.items import TextFormat, TurnRequest
from codex_oss.wire.responses_request import decode_sampling, identity_fields

MAX_STOPS: Final = 16
"""Open servers take more than OpenAI's four."""


def decode_chat_turn(
    obj: dict[str, Any], *, response_id: str, created_at: int, headers: Mapping[str, str]
) -> TurnRequest:
    """Decode one chat request from its JSON object.

    response_id: `resp_…`, as for every turn. created_at: seconds since the epoch. headers: names in lower case;
    those of `identity_fields` are read. Raises InvalidRequest.
    """
    if (whole_at(obj, "n", 1) or 1) > 1:
        raise invalid("n", "must be 1", "Ask once per answer that you want.")
    _refuse_audio(obj)
    tools, dropped = decode_chat_tools(obj)
    return TurnRequest(
        response_id=response_id,
        model=required_text_at(obj, "model", ""),
        items=decode_messages(obj.get("messages")),
        created_at=created_at,
        tools=tools,
        dropped_tools=dropped,
        tool_choice=decode_chat_tool_choice(obj.get("tool_choice"), tools),
        parallel_tool_calls=flag_at(obj, "parallel_tool_calls", "", True),
        sampling=decode_sampling(obj),
        stop=_stops(obj.get("stop")),
        max_output_tokens=whole_at(obj, "max_completion_tokens", 1) or whole_at(obj, "max_tokens", 1),
        reasoning_effort=optional_text_at(obj, "reasoning_effort", ""),
        text_format=_response_format(obj),
        stream=flag_at(obj, "stream", "", False),
        store=False,
        prompt_cache_key=optional_text_at(obj, "prompt_cache_key", ""),
        **identity_fields(headers),
        echo={"user": user} if (user := text_at(obj, "user", "")) else {},
    )


def wants_usage(obj: dict[str, Any]) -> bool:
    """Say whether a streamed answer is to end with a usage chunk (`stream_options.include_usage`)."""
    return flag_at(object_at(obj, "stream_options", "") or {}, "include_usage", "stream_options", False)


def _refuse_audio(obj: dict[str, Any]) -> None:
    if object_at(obj, "audio", "") is not None or "audio" in list_at(obj, "modalities", ""):
        where = "audio" if obj.get("audio") is not None else "modalities"
        raise invalid(where, "cannot be served: open models answer in text", 'Ask for `"modalities": ["text"]`.')


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if stops is None:
        return ()
    if not isinstance(stops, list):
        raise invalid("stop", f"must be a string or a list of strings, not {kind_of(stops)}")
    for position, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise invalid(f"stop[{position}]", f"must be a string, not {kind_of(stop)}")
    if len(stops) > MAX_STOPS:
        raise invalid("stop", f"holds more than {MAX_STOPS} strings")
    return tuple(stop for stop in stops if stop)


def _response_format(obj: dict[str, Any]) -> TextFormat:
    form = object_at(obj, "response_format", "") or {}
    match text_at(form, "type", "response_format", "text"):
        case "text":
            return TextFormat()
        case "json_object":
            return TextFormat("json_object")
        case "json_schema":
            where = "response_format.json_schema"
            wanted = object_at(form, "json_schema", "response_format") or {}
            schema = object_at(wanted, "schema", where)
            if schema is None:
                raise invalid(f"{where}.schema", "is required")
            strict = flag_at(wanted, "strict", where, False) if wanted.get("strict") is not None else None
            return TextFormat("json_schema", required_text_at(wanted, "name", where), schema, strict)
    raise invalid("response_format.type", "must be text, json_object or json_schema")
