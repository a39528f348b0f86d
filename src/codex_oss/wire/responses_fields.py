"""The small fields of a Responses request: each one acted on, accepted or refused, none silently wrong.

Counterpart: `wire.responses_request` reads the fields that have a place in `TurnRequest` and calls this for the rest.

| field | what happens |
| --- | --- |
| `metadata`, `safety_identifier`, `user`, `max_tool_calls` | checked and repeated in the response |
| `truncation` | repeated; `auto` is acted on (`policy.truncation`) |
| `service_tier` | accepted; the response says `default`, with which every turn is served |
| `include`, `prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options` | accepted: wishes that cost nothing |
| `stream_options` | accepted; events are never padded, they do not leave this machine |
| `top_logprobs` above 0, `include` of logprobs | refused: an answer without them would look like one without doubt |
| `conversation`, `prompt`, `context_management`, `generate: false` | refused: what they name does not exist here |

`max_tool_calls` bounds calls of hosted tools; none runs here, so any bound holds. Names of `include` are not checked:
new ones appear faster than clients are renewed.
Source: the `openai` package 3.52 (`ResponseCreateParams`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from codex_oss.wire.fields import (
    flag_at,
    invalid,
    kind_of,
    list_at,
    object_at,
    optional_text_at,
    text_at,
    unsupported,
    whole_at,
)

MAX_METADATA_PAIRS: Final = 16
MAX_METADATA_KEY: Final = 64
MAX_METADATA_VALUE: Final = 512
MAX_IDENTIFIER: Final = 64
"""Characters of `safety_identifier` and `prompt_cache_key`."""
LOGPROBS: Final = "message.output_text.logprobs"
TRUNCATIONS: Final = ("auto", "disabled")

ABSENT: Final = {
    "conversation": ("is not kept by this bridge", "Use `previous_response_id`, or send it whole in `input`."),
    "prompt": ("names a stored prompt, and there are none here", "Send its text in `instructions`."),
    "context_management": (
        "is not done by this bridge",
        "End `input` with a compaction_trigger item, or POST /v1/responses/compact.",
    ),
}
"""Fields that are refused when they hold anything."""
TEXTS: Final = ("service_tier", "user", "prompt_cache_retention")


def check_fields(obj: dict[str, Any]) -> None:
    """Raise InvalidRequest for the first field that cannot be accepted; code `unsupported_parameter` for one that
    asks for what does not exist here.
    """
    # By what is there, not by what could be: of twenty fields a request has five.
    for key in obj:
        check = _CHECKS.get(key)
        if check is not None:
            check(obj, key)


def _check_absent(obj: dict[str, Any], key: str) -> None:
    if obj[key]:
        message, hint = ABSENT[key]
        raise unsupported(key, message, hint)


def _check_generate(obj: dict[str, Any], key: str) -> None:
    if not flag_at(obj, key, "", True):
        raise unsupported(key, "can only be false over WebSocket")


def _check_text(obj: dict[str, Any], key: str) -> None:
    text_at(obj, key, "")


def _check_identifier(obj: dict[str, Any], key: str) -> None:
    if len(text_at(obj, key, "")) > MAX_IDENTIFIER:
        raise invalid(key, f"is longer than {MAX_IDENTIFIER} characters")


def _check_truncation(obj: dict[str, Any], key: str) -> None:
    if text_at(obj, key, "", "disabled") not in TRUNCATIONS:
        raise invalid(key, "must be auto or disabled")


def _check_max_tool_calls(obj: dict[str, Any], key: str) -> None:
    whole_at(obj, key, 1)


def _check_cache_options(obj: dict[str, Any], key: str) -> None:
    object_at(obj, key, "")


def _check_stream_options(obj: dict[str, Any], key: str) -> None:
    flag_at(object_at(obj, key, "") or {}, "include_obfuscation", key, False)


def truncates(obj: dict[str, Any]) -> bool:
    """Whether the oldest items may be left out."""
    return optional_text_at(obj, "truncation", "") == "auto"


def _check_metadata(obj: dict[str, Any], key: str) -> None:
    metadata = object_at(obj, key, "") or {}
    if len(metadata) > MAX_METADATA_PAIRS:
        raise invalid(key, f"holds more than {MAX_METADATA_PAIRS} pairs")
    for name, value in metadata.items():
        if len(name) > MAX_METADATA_KEY:
            raise invalid(key, f"has a key of more than {MAX_METADATA_KEY} characters")
        if not isinstance(value, str):
            raise invalid(key, f"must hold strings, not {kind_of(value)}")
        if len(value) > MAX_METADATA_VALUE:
            raise invalid(key, f"has a value of more than {MAX_METADATA_VALUE} characters")


def _check_top_logprobs(obj: dict[str, Any], key: str) -> None:
    if whole_at(obj, key, 0, 20):
        raise unsupported(key, "must be 0: the models here tell no probabilities")


def _check_include(obj: dict[str, Any], key: str) -> None:
    for position, name in enumerate(list_at(obj, key, "")):
        if not isinstance(name, str):
            raise invalid(f"{key}[{position}]", f"must be a string, not {kind_of(name)}")
        if name == LOGPROBS:
            raise unsupported(f"{key}[{position}]", "asks for probabilities, which the models here do not tell")


_CHECKS: Final[dict[str, Callable[[dict[str, Any], str], None]]] = {
    **dict.fromkeys(ABSENT, _check_absent),
    **dict.fromkeys(TEXTS, _check_text),
    **dict.fromkeys(("safety_identifier", "prompt_cache_key"), _check_identifier),
    "generate": _check_generate,
    "metadata": _check_metadata,
    "top_logprobs": _check_top_logprobs,
    "include": _check_include,
    "truncation": _check_truncation,
    "max_tool_calls": _check_max_tool_calls,
    "prompt_cache_options": _check_cache_options,
    "stream_options": _check_stream_options,
}
"""What is looked at of each field; the others have a place in `TurnRequest` or none at all."""
