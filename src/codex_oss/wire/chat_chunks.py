"""One chunk of a Chat Completions stream as a value: only the wanted fields, tolerant of wrong types.

Counterpart: `wire.chat_answer` interprets the chunks.

Rules that hold here:

1. The fast path is one typed `msgspec` decode. When it fails, the same JSON is decoded generically and every field
   of a wrong type is read as best it can be, or as absent.
2. Only bytes that are no JSON object at all are `UpstreamProtocolError`.
3. A whole completion (`message` instead of `delta`) has the same shape and is read here too.
Source: OpenAI API reference "chat completion chunk"; vendor fields are marked at their line.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.errors import UpstreamProtocolError
from codex_oss.wire.events import Usage
from codex_oss.wire.loose_json import decode_loose


class FunctionDelta(Struct, gc=False):
    """Name and arguments of a call, or the next piece of them."""

    name: str | None = None
    arguments: str | None = None


class CallDelta(Struct, gc=False):
    """A piece of one tool call. index and id are both unreliable, see `wire.chat_calls`."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(Struct, gc=False):
    """What one chunk adds."""

    content: str | None = None
    reasoning_content: str | None = None
    """DeepSeek, Kimi, Qwen, GLM, llama.cpp."""
    reasoning: str | None = None
    """OpenRouter, Ollama, newer vLLM."""
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: FunctionDelta | None = None
    """The form before tool_calls."""


class Choice(Struct, gc=False):
    """One answer; only the one with index 0 is read."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    """Moonshot puts the usage here."""


class Chunk(Struct, gc=False):
    """One `data:` payload."""

    choices: list[Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None
    model: str | None = None
    object: str | None = None
    message: Any = None
    """Of an error in the older vLLM form: `{"object": "error", "message": …}`."""


_DECODER: Final = msgspec.json.Decoder(Chunk)


def decode_chunk(payload: bytes) -> Chunk:
    """Decode one payload (or one whole completion). Raises UpstreamProtocolError."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        value = decode_loose(payload, bad_utf8="replace")
    except ValueError as exc:
        raise UpstreamProtocolError(f"The model server sent an event that is not JSON: {exc}.") from None
    if not isinstance(value, dict):
        raise UpstreamProtocolError("The model server sent an event that is not a JSON object.")
    return _chunk(value)


def decode_usage(raw: dict[str, Any]) -> Usage | None:
    """Read a usage object of any vendor, of Chat Completions or Responses; None when it holds no token counts."""
    prompt = _count(raw, "prompt_tokens", "input_tokens")
    completion = _count(raw, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    details = _object(raw.get("prompt_tokens_details") or raw.get("input_tokens_details"))
    cached = _count(details, "cached_tokens")
    if cached is None:
        # Moonshot, DeepSeek, and gateways in front of Anthropic models.
        cached = _count(raw, "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
    written = _count(details, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        # Gateways in front of Anthropic models.
        written = _count(raw, "cache_write_tokens", "cache_creation_input_tokens")
    output_details = _object(raw.get("completion_tokens_details") or raw.get("output_tokens_details"))
    reasoning = _count(output_details, "reasoning_tokens")
    return Usage(
        input_tokens=prompt or 0,
        output_tokens=completion or 0,
        cached_tokens=cached or 0,
        reasoning_tokens=reasoning or 0,
        cached_known=cached is not None,
        cache_write_tokens=written or 0,
    )


def _chunk(value: dict[str, Any]) -> Chunk:
    choices = value.get("choices")
    return Chunk(
        choices=[_choice(item) for item in choices if isinstance(item, dict)] if isinstance(choices, list) else None,
        usage=_object(value.get("usage")) or None,
        error=value.get("error"),
        model=_text(value.get("model")),
        object=_text(value.get("object")),
        message=value.get("message"),
    )


def _choice(value: dict[str, Any]) -> Choice:
    return Choice(
        index=_whole(value.get("index")),
        delta=_delta(value.get("delta")),
        message=_delta(value.get("message")),
        finish_reason=_text(value.get("finish_reason")),
        usage=_object(value.get("usage")) or None,
    )


def _delta(value: Any) -> Delta | None:
    if not isinstance(value, dict):
        return None
    calls = value.get("tool_calls")
    if isinstance(calls, dict):
        calls = [calls]
    return Delta(
        content=_content(value.get("content")),
        reasoning_content=_text(value.get("reasoning_content")),
        reasoning=_text(value.get("reasoning")),
        refusal=_text(value.get("refusal")),
        tool_calls=[_call(item) for item in calls if isinstance(item, dict)] if isinstance(calls, list) else None,
        function_call=_function(value.get("function_call")),
    )


def _call(value: dict[str, Any]) -> CallDelta:
    raw_id = value.get("id")
    call_id = str(raw_id) if isinstance(raw_id, int) and not isinstance(raw_id, bool) else _text(raw_id)
    return CallDelta(_whole(value.get("index")), call_id, _function(value.get("function")))


def _function(value: Any) -> FunctionDelta | None:
    if not isinstance(value, dict):
        return None
    arguments = value.get("arguments")
    if isinstance(arguments, dict | list):
        # Ollama's own form: the arguments as a value instead of a string.
        arguments = msgspec.json.encode(arguments).decode()
    return FunctionDelta(_text(value.get("name")), _text(arguments))


def _content(value: Any) -> str | None:
    """Read content that may be a part list (Mistral)."""
    if isinstance(value, list):
        texts = [_text(part.get("text")) for part in value if isinstance(part, dict)]
        return "".join(text for text in texts if text)
    return _text(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def _count(raw: dict[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = _whole(raw.get(key))
        if value is not None and 0 <= value < 2**53:
            return value
    return None
