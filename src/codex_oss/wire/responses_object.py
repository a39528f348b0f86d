"""The Responses `response` object: every key that the schema requires, nulls explicit.

Counterpart: `wire.responses_stream` puts it into `response.created`, the terminal event, and the JSON answer.

Rules that hold here:

1. What never changes within a turn (tools of 40 KB and more among it) is encoded once, see `ResponseObject.encoded`.
2. Sampling values are numbers even when the client sent none (Open Responses demands it).
3. `usage` always has its five keys and both detail objects. Observed: OpenCode 1.18 loops for ever on a terminal
   event without usage, Codex 0.169 fails on one without `total_tokens`.
Source: Open Responses 2026-04-24, schema `ResponseResource`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from codex_oss.wire.events import Usage
from codex_oss.wire.items import TurnRequest

_ENCODER: Final = msgspec.json.Encoder()

ROUTE_KEY: Final = "codex_oss_route"
"""Key of the response's `metadata` under which a deviation from the asked model is told; reserved for that."""
MAX_METADATA: Final = 16
"""Pairs that `metadata` may hold (Responses API)."""


class ResponseObject:
    """Builds the response object of one turn."""

    def __init__(self, request: TurnRequest) -> None:
        self._constant = _constant_fields(request)

    def tell_deviation(self, words: str) -> None:
        """Put *words* into the metadata, unless they are empty or the client filled it to the brim itself.

        Before the first `encoded` only.
        """
        metadata = {key: value for key, value in self._constant["metadata"].items() if key != ROUTE_KEY}
        if words and len(metadata) < MAX_METADATA:
            metadata[ROUTE_KEY] = words
        self._constant["metadata"] = metadata

    def value(self, changing: dict[str, Any]) -> dict[str, Any]:
        """Return the whole object; *changing* comes from `changing_fields`."""
        return {**changing, **self._constant}

    def encoded(self, changing: dict[str, Any]) -> bytes:
        """Return the same object as JSON.

        Made twice in a turn, at its begin and at its end, and not kept between: with the instructions and tools of a
        coding agent it would be the most that an open stream holds.
        """
        return _ENCODER.encode(self.value(changing))


def changing_fields(
    status: str,
    output: list[dict[str, Any]],
    *,
    usage: Usage | None = None,
    completed_at: int | None = None,
    error: dict[str, str] | None = None,
    incomplete_reason: str | None = None,
) -> dict[str, Any]:
    """Return the keys that differ between the events of one turn.

    usage None (the turn runs still) is null. completed_at: seconds since the epoch.
    """
    return {
        "status": status,
        "completed_at": completed_at,
        "output": output,
        "error": error,
        "incomplete_details": {"reason": incomplete_reason} if incomplete_reason else None,
        "usage": None if usage is None else encode_usage(usage),
    }


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Return the `usage` object. Cached tokens are part of the input, reasoning tokens part of the output.

    `cache_write_tokens` is required by the types of `openai` 3.52; 0 when the upstream is silent.
    """
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _constant_fields(request: TurnRequest) -> dict[str, Any]:
    sampling, echo = request.sampling, request.echo
    return {
        "id": request.response_id,
        "object": "response",
        "created_at": request.created_at,
        "model": request.model,
        "previous_response_id": request.previous_response_id,
        "instructions": request.instructions or None,
        "tools": echo.get("tools", []),
        "tool_choice": echo.get("tool_choice", "auto"),
        "truncation": echo.get("truncation", "disabled"),
        "parallel_tool_calls": request.parallel_tool_calls,
        "text": echo.get("text", {"format": {"type": "text"}}),
        "top_p": _or(sampling.top_p, 1),
        "presence_penalty": _or(sampling.presence_penalty, 0),
        "frequency_penalty": _or(sampling.frequency_penalty, 0),
        "top_logprobs": echo.get("top_logprobs", 0),
        "temperature": _or(sampling.temperature, 1),
        "reasoning": echo.get("reasoning"),
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": echo.get("max_tool_calls"),
        "store": request.store,
        "background": request.background,
        # What it was served with, whatever was asked for: no chat upstream has tiers.
        "service_tier": "default",
        "metadata": echo.get("metadata", {}),
        "safety_identifier": echo.get("safety_identifier"),
        "prompt_cache_key": request.prompt_cache_key,
        "user": echo.get("user"),
    }


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
