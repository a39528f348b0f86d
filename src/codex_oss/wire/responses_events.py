"""One event of a Responses upstream as a value: only the wanted fields, tolerant of wrong types.

Counterparts: `wire.responses_upstream` and `wire.responses_relay` interpret the events.

Rules that hold here:

1. The fast path is one typed `msgspec` decode. When it fails, the same JSON is decoded generically and every field
   of a wrong type is absent.
2. Only bytes that are no JSON object at all are `UpstreamProtocolError`.
Source: Open Responses 2026-04-24; the `openai` package 3.52.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.errors import UpstreamProtocolError
from codex_oss.wire.chat_errors import classify_chat_error
from codex_oss.wire.events import TurnFailed, TurnIncomplete
from codex_oss.wire.loose_json import decode_loose


class UpstreamEvent(Struct, gc=False):
    """One `data:` payload."""

    type: str | None = None
    delta: str | None = None
    output_index: int | None = None
    item_id: str | None = None
    summary_index: int | None = None
    item: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    text: str | None = None
    """Of the done events of texts."""
    arguments: str | None = None
    input: str | None = None
    refusal: str | None = None
    error: Any = None
    """Of an error in the nested form."""
    code: Any = None
    message: Any = None
    """Of an error in the flat form."""


_DECODER: Final = msgspec.json.Decoder(UpstreamEvent)
_INCOMPLETE: Final = {"content_filter": TurnIncomplete("content_filter")}
FAILED: Final = ("failed", "cancelled")
ENDINGS: Final = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""Terminal events, and the status that they mean when their response names none. `done`: ChatGPT's back end."""


def decode_object(payload: bytes) -> dict[str, Any]:
    """Decode one payload as the JSON object that it is. Raises UpstreamProtocolError."""
    try:
        value = decode_loose(payload, bad_utf8="replace")
    except ValueError as exc:
        raise UpstreamProtocolError(f"The model server sent an event that is not JSON: {exc}.") from None
    if not isinstance(value, dict):
        raise UpstreamProtocolError("The model server sent an event that is not a JSON object.")
    return value


def decode_event(payload: bytes) -> UpstreamEvent:
    """Decode one payload. Raises UpstreamProtocolError."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    value = decode_object(payload)
    event = UpstreamEvent(error=value.get("error"), code=value.get("code"), message=value.get("message"))
    for key in ("type", "delta", "item_id", "text", "arguments", "input", "refusal"):
        setattr(event, key, text_of(value, key) or None)
    for key, kind in (("output_index", int), ("summary_index", int), ("item", dict), ("response", dict)):
        setattr(event, key, found if isinstance(found := value.get(key), kind) else None)
    return event


def ending_of(kind: str, response: dict[str, Any]) -> str:
    """Return how a response ended: completed, incomplete, failed or cancelled. kind: its terminal event."""
    status = response.get("status")
    return status if isinstance(status, str) and status in ENDINGS.values() else ENDINGS[kind]


def incomplete_of(response: dict[str, Any]) -> TurnIncomplete:
    """Return why a response is incomplete; anything but a filter counts as its length."""
    details = response.get("incomplete_details")
    reason = text_of(details, "reason") if isinstance(details, dict) else ""
    return _INCOMPLETE.get(reason, TurnIncomplete("max_output_tokens"))


def failure_of(ending: str, response: dict[str, Any]) -> TurnFailed:
    """Return why a response failed or was cancelled."""
    return classify_chat_error(response.get("error") or {"message": f"the response was {ending}"})


def output_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the output items of a response; none when it has no list of them."""
    output = response.get("output")
    return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []


def text_of(value: dict[str, Any], key: str) -> str:
    """Return the string at *key*; "" for anything else."""
    found = value.get(key)
    return found if isinstance(found, str) else ""
