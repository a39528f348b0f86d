"""Write an answer that goes on untranslated: an upstream's own frames, and an end that is always in form.

Counterparts: `wire.responses_relay` makes the `Relayed` events; `wire.responses_stream` is the twin for all other
turns, with the same methods, so that one ASGI response drives either (`server.turn_response`).

    Relayed                          its frames, as they are
    TurnCompleted | TurnIncomplete   [DONE]; the terminal event was in the frames
    TurnFailed, finish, fail         error, response.failed, [DONE]
    any other event first            a fallback that speaks Chat Completions: a `ResponseEncoder` takes the turn

Rule that holds here: sequence numbers go on from the last frames that were sent, which are read for them only then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from codex_oss.errors import LocalProtocolError, responses_code
from codex_oss.wire.events import (
    Relayed,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.loose_json import clean_text
from codex_oss.wire.responses_object import ResponseObject, changing_fields, encode_usage
from codex_oss.wire.responses_stream import DONE_FRAME, ResponseEncoder, error_fields

_NUMBER: Final = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')

_encode: Final = msgspec.json.Encoder().encode


class RelayEncoder:
    """The encoder of a turn that may be answered untranslated. now: as for `ResponseEncoder`."""

    def __init__(self, request: TurnRequest, *, now: Callable[[], float] | None = None) -> None:
        self._plain = ResponseEncoder(request, now=now)
        self._object = ResponseObject(request)
        self._relays = False
        self._last = b""
        self._response: dict[str, Any] = {}
        self._items: list[dict[str, Any]] = []
        self._usage: Usage | None = None
        self._terminal: TurnCompleted | TurnIncomplete | TurnFailed | None = None
        self._failed: dict[str, Any] | None = None

    @property
    def terminal(self) -> bool:
        """True after the closing event was made."""
        return self.outcome is not None

    @property
    def outcome(self) -> TurnCompleted | TurnIncomplete | TurnFailed | None:
        """The closing event; None while the turn runs."""
        return self._terminal if self._relays else self._plain.outcome

    @property
    def usage(self) -> Usage | None:
        """The usage reported last; None when there was none."""
        return self._usage if self._relays else self._plain.usage

    def encode(self, events: Sequence[TurnEvent]) -> bytes:
        """Return the frames of one batch; b"" when it shows nothing."""
        if not self._relays and any(type(event) is Relayed for event in events):
            self._relays = True
        return b"".join([self._take(event) for event in events]) if self._relays else self._plain.encode(events)

    def finish(self) -> bytes:
        """Say that the lane is over; a turn without its closing event fails as interrupted. Idempotent."""
        return self.fail("stream_interrupted", "The answer ended before it was complete.")

    def fail(self, code: str, message: str) -> bytes:
        """End the turn as failed, unless it has ended. Returns the last frames."""
        if not self._relays:
            return self._plain.fail(code, message)
        return b"" if self.terminal else self._take(TurnFailed(code, message))

    def response(self) -> dict[str, Any]:
        """Return the response object as it stands."""
        if not self._relays:
            return self._plain.response()
        if self._failed is not None:
            return self._failed
        if self._terminal is not None:
            return {**self._object.value(changing_fields("completed", [])), **self._response}
        return self._as("in_progress")

    def _take(self, event: TurnEvent) -> bytes:
        match event:
            case Relayed(frames, response, items):
                self._last = frames or self._last
                self._response = response or self._response
                self._items += items
                return frames
            case UsageReported(usage):
                self._usage = usage
            case TurnFailed():
                return self._fail(event)
            case TurnCompleted() | TurnIncomplete():
                self._terminal = event
                return DONE_FRAME
            case TurnStarted():
                pass
            case _:
                raise LocalProtocolError(f"A {type(event).__name__} within an answer that is relayed.")
        return b""

    def _fail(self, failed: TurnFailed) -> bytes:
        self._terminal = failed
        error = {"code": responses_code(failed.code), "message": clean_text(failed.message)}
        usage = encode_usage(self._usage or Usage())
        self._failed = {**self._as("failed"), "error": error, "usage": usage}
        number = max((int(found) for found in _NUMBER.findall(self._last)), default=-1) + 1
        shown = {"type": "error", **error_fields(error), "sequence_number": number}
        end = {"type": "response.failed", "response": self._failed, "sequence_number": number + 1}
        return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n%b" % (
            _encode(shown),
            _encode(end),
            DONE_FRAME,
        )

    def _as(self, status: str) -> dict[str, Any]:
        """The response of an answer that is not whole: ours, the upstream's over it, and the items it completed."""
        known = {**self._object.value(changing_fields(status, [])), **self._response}
        return {**known, "status": status, "output": list(self._items)}
