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
    for key, (message, hint) in ABSENT.items():
        if obj.get(key):
            raise unsupported(key, message, hint)
    if not flag_at(obj, "generate", "", True):
        raise unsupported("generate", "can only be false over WebSocket")
    _check_metadata(obj)
    _check_logprobs(obj)
    for key in TEXTS:
        text_at(obj, key, "")
    for key in ("safety_identifier", "prompt_cache_key"):
        if len(text_at(obj, key, "")) > MAX_IDENTIFIER:
            raise invalid(key, f"is longer than {MAX_IDENTIFIER} characters")
    if text_at(obj, "truncation", "", "disabled") not in TRUNCATIONS:
        raise invalid("truncation", "must be auto or disabled")
    whole_at(obj, "max_tool_calls", 1)
    object_at(obj, "prompt_cache_options", "")
    flag_at(object_at(obj, "stream_options", "") or {}, "include_obfuscation", "stream_options", False)


def truncates(obj: dict[str, Any]) -> bool:
    """Whether the oldest items may be left out."""
    return optional_text_at(obj, "truncation", "") == "auto"


def _check_metadata(obj: dict[str, Any]) -> None:
    metadata = object_at(obj, "metadata", "") or {}
    if len(metadata) > MAX_METADATA_PAIRS:
        raise invalid("metadata", f"holds more than {MAX_METADATA_PAIRS} pairs")
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY:
            raise invalid("metadata", f"has a key of more than {MAX_METADATA_KEY} characters")
        if not isinstance(value, str):
            raise invalid("metadata", f"must hold strings, not {kind_of(value)}")
        if len(value) > MAX_METADATA_VALUE:
            raise invalid("metadata", f"has a value of more than {MAX_METADATA_VALUE} characters")


def _check_logprobs(obj: dict[str, Any]) -> None:
    if whole_at(obj, "top_logprobs", 0, 20):
        raise unsupported("top_logprobs", "must be 0: the models here tell no probabilities")
    for position, name in enumerate(list_at(obj, "include", "")):
        if not isinstance(name, str):
            raise invalid(f"include[{position}]", f"must be a string, not {kind_of(name)}")
        if name == LOGPROBS:
            raise unsupported(f"include[{position}]", "asks for probabilities, which the models here do not tell")
