"""The forms in which upstreams speak, as a table: where a request goes, how it is written, how its answer is read.

Counterparts: `contracts.profiles` names the form of each model (`api`), `lanes.oss` picks the row.

    chat        wire.chat_request ─► POST …/chat/completions ─► wire.chat_stream
    responses   wire.responses_body ─► POST …/responses ─► wire.responses_upstream
                the client's own body ─► POST …/responses ─► wire.responses_relay     (with `untranslated`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import Struct

from codex_oss.contracts.profiles import Api, ModelProfile
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.chat_stream import ChatDecoder
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.events import TurnEvent
from codex_oss.wire.items import CustomToolCall, FunctionCall, TurnRequest
from codex_oss.wire.relayed_body import relayed_body
from codex_oss.wire.responses_body import encode_responses_request
from codex_oss.wire.responses_relay import RelayDecoder
from codex_oss.wire.responses_upstream import ResponsesDecoder


class AnswerDecoder(Protocol):
    """Whoever turns the bytes of one answer into turn events. It never raises and ends with one terminal event."""

    @property
    def whole(self) -> bool:
        """True once the upstream said why it stopped: what comes after is at most the usage."""

    @property
    def ended(self) -> bool:
        """True after the terminal event."""

    def feed(self, data: bytes) -> list[TurnEvent]:
        """Take one read of any size; return its events, an empty list after the end."""

    def finish(self) -> list[TurnEvent]:
        """Say that no more bytes come (end, cut or time-out); return the closing events. Idempotent."""

    def take_completion(self, body: bytes) -> list[TurnEvent]:
        """Take a whole answer, as an upstream sends it that does not stream, and end."""


class Codec(Struct, frozen=True):
    """One form. path: below the base URL. begin: request, profile and `stream` to the body and its decoder.

    begin raises InvalidRequest for content that the form cannot hold.
    """

    path: str
    begin: Callable[[TurnRequest, ModelProfile, bool], tuple[bytes, AnswerDecoder]]


def _begin_chat(request: TurnRequest, profile: ModelProfile, stream: bool) -> tuple[bytes, AnswerDecoder]:
    body, names = encode_chat_request(request, profile, stream=stream)
    return body, ChatDecoder(names, profile, request_bytes=len(body))


def _begin_responses(request: TurnRequest, profile: ModelProfile, stream: bool) -> tuple[bytes, AnswerDecoder]:
    if request.untranslated is not None:
        return _begin_relay(request, profile, stream)
    body, names = encode_responses_request(request, profile, stream=stream)
    return body, ResponsesDecoder(names, profile, request_bytes=len(body))


def _begin_relay(request: TurnRequest, profile: ModelProfile, stream: bool) -> tuple[bytes, AnswerDecoder]:
    body = relayed_body(request, profile, stream=stream)
    used = (item.call_id for item in request.items if isinstance(item, FunctionCall | CustomToolCall))
    names = ToolNames(request.tools, response_id=request.response_id, used_call_ids=used)
    return body, RelayDecoder(request, names, profile, request_bytes=len(body))


CODECS: Final[Mapping[Api, Codec]] = {
    "chat": Codec("/chat/completions", _begin_chat),
    "responses": Codec("/responses", _begin_responses),
}
"""The codec of each `api`."""
