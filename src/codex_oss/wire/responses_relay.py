"""The untranslated way: a Responses client in front of a Responses upstream gets that upstream's own frames.

Counterparts: `server.app` gives a request its `untranslated` body; `lanes.oss` sends it (`wire.relayed_body`), feeds a
`RelayDecoder` (by `wire.codecs`); `wire.relay_stream` writes what comes out to the client. Decision 0015.

    bytes ─► SseDecoder ─► payload ─┬─ *.delta ──────────────► framed again as it is, not decoded
                                    ├─ created, in_progress ─► held until something shows; what we asked otherwise
                                    │                          than the client did (model, store, …) is put right
                                    ├─ output_item.done ─────► remembered for the stored response
                                    ├─ completed, incomplete ► usage made whole, then TurnCompleted | TurnIncomplete
                                    └─ failed, error, a cut ─► TurnFailed: the encoder words it

Rules that hold here:

1. The client reads exactly one terminal event and one `[DONE]`, whatever the upstream did, and a failure as `error`
   and `response.failed` with growing sequence numbers.
2. `usage` has its five keys and both detail objects. `end_turn: false` and `headers` (an `openai-model` in them) never
   pass. Observed: without usage OpenCode 1.18 asks for ever, after `end_turn: false` Codex 0.169 does.
3. Nothing is shown before the first item: until then the turn may still move to another attempt.
4. An answer that comes whole (JSON where a stream was asked for, or only in the terminal event) is translated for a
   client that streams, since it would see no items otherwise.
5. The response keeps its upstream's id, so that is what the client may continue; one that cannot be unique gets ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import UpstreamError
from codex_oss.wire.chat_answer import BYTES_PER_TOKEN
from codex_oss.wire.chat_chunks import decode_usage
from codex_oss.wire.chat_errors import classify_chat_error
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.events import (
    Relayed,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_events import (
    ENDINGS,
    FAILED,
    decode_object,
    ending_of,
    failure_of,
    incomplete_of,
    output_of,
    text_of,
)
from codex_oss.wire.responses_object import encode_usage
from codex_oss.wire.responses_upstream import FOREIGN, INTERRUPTED, Heed, ResponsesDecoder
from codex_oss.wire.seals import marked, owner_of
from codex_oss.wire.sse import SseDecoder

UNIQUE_ID: Final = re.compile(r"resp_[A-Za-z0-9_-]{8,120}")
"""A response id that is taken over. Observed: scripted servers call every response alike."""
MAX_TAIL_BYTES: Final = 64 * 1024
_BEGIN: Final = b'{"type":"'
_DELTAS: Final = re.compile(rb'(?:event: ([A-Za-z_.]++(?<=\.delta))\ndata: \{"type":"\1"[^\r\n]*+(?<=\})\n\n)+')
"""A run of delta frames in the form in which we would write them: they need no reading at all. The group is not
possessive: CPython before 3.11.5 leaves half an iteration in such a match."""
_OPENINGS: Final = ("response.created", "response.queued", "response.in_progress")
_encode: Final = msgspec.json.Encoder().encode


class _Typed(Struct, gc=False):
    type: str = ""


_TYPED: Final = msgspec.json.Decoder(_Typed)


class RelayDecoder:
    """The decoder of one answer that goes on untranslated; same methods as `ResponsesDecoder`.

    heed: is shown every event that is no delta; what it takes goes no further. owner: marks what is sealed in the
    answer (`wire.seals`); without one it goes on as it came.
    """

    def __init__(
        self,
        request: TurnRequest,
        names: ToolNames,
        profile: ModelProfile,
        *,
        request_bytes: int = 0,
        heed: Heed | None = None,
        owner: str = "",
    ) -> None:
        self._request = request
        self._heed = heed
        self._owner = owner
        self._translator = ResponsesDecoder(names, profile, request_bytes=request_bytes)
        self._request_bytes = request_bytes
        self._sse = SseDecoder()
        self._fed = False
        self._recognized = False
        self._shown = False
        self._held: set[str] = set()
        self._frames: list[bytes] = []
        self._response: dict[str, Any] | None = None
        self._items: list[dict[str, Any]] = []
        self._new_items: list[dict[str, Any]] = []
        self._tail = b""
        self._open = 0
        self._number = -1
        self._started = False
        self._ended = False

    @property
    def whole(self) -> bool:
        """True once the upstream said why it stopped."""
        return self._ended

    @property
    def ended(self) -> bool:
        """True after the terminal event."""
        return self._ended

    def feed(self, data: bytes) -> list[TurnEvent]:
        """Take one read of any size; return its events, an empty list after the end."""
        if self._ended:
            return []
        self._fed = self._fed or bool(data)
        data = self._whole_frames(data)
        run = _DELTAS.match(data) if self._sse.between_frames else None
        if run is not None:
            self._recognized = self._shown = True
            self._frames.append(run[0])
            data = data[run.end() :]
        if not data:
            out: list[TurnEvent] = []
            self._hand_out(out)
            return out
        return self._take_all(lambda: self._sse.feed(data))

    def _whole_frames(self, data: bytes) -> bytes:
        """Keep the begin of a frame that is not whole back, so that the next read too begins with a frame.

        Frames that are long or have other line ends are left to the SSE decoder, which copes with any.
        """
        data, self._tail = self._tail + data, b""
        if not self._sse.between_frames or b"\r" in data:
            return data
        last = data.rfind(b"\n\n")
        end = 0 if last < 0 else last + 2
        if len(data) - end > MAX_TAIL_BYTES:
            return data
        self._tail = data[end:]
        return data[:end]

    def finish(self) -> list[TurnEvent]:
        """Say that no more bytes come; return the closing events. Idempotent."""
        if self._ended:
            return []
        out = self._take_all(self._rest)
        if not self._ended:
            self._fail(INTERRUPTED if self._recognized or not self._fed else FOREIGN, out)
        return out

    def take_completion(self, body: bytes) -> list[TurnEvent]:
        """Take a whole answer, as an upstream sends it that does not stream, and end."""
        self._ended = True
        try:
            value = decode_object(body)
        except UpstreamError as exc:
            return [TurnStarted(), TurnFailed(exc.code, exc.message)]
        done = isinstance(value.get("output"), list) and value.get("status", "completed") in ("completed", "incomplete")
        if self._request.stream or not done:
            return self._translator.take_completion(body)
        out: list[TurnEvent] = [TurnStarted(text_of(value, "model"))]
        ending = "response.completed"
        self._settle(ending, self._put_right(value), out, frame=False)
        return out

    def _take_all(self, read: Callable[[], list[bytes]]) -> list[TurnEvent]:
        out: list[TurnEvent] = []
        try:
            for payload in read():
                if self._ended:
                    break
                self._take(payload, out)
        except UpstreamError as exc:
            self._fail(TurnFailed(exc.code, exc.message), out)
        self._hand_out(out)
        return out

    def _rest(self) -> list[bytes]:
        """The last frame when only its blank line is missing; a frame that was cut is nothing."""
        last = self._sse.feed(self._tail) + self._sse.finish()
        return [payload for payload in last if payload.startswith(b"[DONE]") or _is_object(payload)]

    def _take(self, payload: bytes, out: list[TurnEvent]) -> None:
        kind = _kind_of(payload)
        if kind.endswith(".delta"):
            self._recognized = self._shown = True
            self._pass(kind.encode(), payload)
        elif payload.startswith(b"[DONE]"):
            self._take_done(out)
        else:
            self._take_event(decode_object(payload), out)

    def _take_event(self, event: dict[str, Any], out: list[TurnEvent]) -> None:
        if self._heed is not None and self._heed(event):
            return
        event.pop("headers", None)
        kind, response = text_of(event, "type"), event.get("response")
        if kind == "error" or (event.get("error") and not kind):
            self._fail(classify_chat_error(event.get("error") or event), out)
            return
        if not kind:
            return
        self._recognized = self._recognized or kind.startswith("response.")
        if isinstance(response, dict):
            event["response"] = response = self._put_right(response)
        if kind in ENDINGS:
            self._take_ending(kind, event, out)
            return
        if kind in _OPENINGS:
            self._response = response if isinstance(response, dict) else self._response
        elif kind.startswith("response."):
            self._shown = True
        if not self._shown:
            self._hold(kind, event)
            return
        item, number = self._sealed(event.get("item")), event.get("sequence_number")
        self._number = number if isinstance(number, int) else self._number
        self._open += kind == "response.output_item.added"
        if kind == "response.output_item.done" and isinstance(item, dict):
            self._open = max(0, self._open - 1)
            self._items.append(item)
            self._new_items.append(item)
        self._pass(kind.encode(), _encode(event))

    def _sealed(self, item: Any) -> Any:
        """The item, what is sealed in it marked in place."""
        sealed = item.get("encrypted_content") if self._owner and isinstance(item, dict) else None
        if isinstance(sealed, str) and not owner_of(sealed):
            item["encrypted_content"] = marked(self._owner, sealed)
        return item

    def _hold(self, kind: str, event: dict[str, Any]) -> None:
        """Keep an opening event until something shows; only one of each, since a server may repeat them for ever."""
        if kind in _OPENINGS and kind not in self._held:
            self._held.add(kind)
            self._pass(kind.encode(), _encode(event))

    def _take_done(self, out: list[TurnEvent]) -> None:
        """`[DONE]` without a terminal event: the answer counts as whole if all its items are."""
        if self._items and not self._open:
            response = self._put_right({**(self._response or {}), "status": "completed"})
            end = {"type": "response.completed", "sequence_number": self._number + 1}
            self._settle("response.completed", response, out, event=end)
        else:
            self._fail(INTERRUPTED if self._recognized else FOREIGN, out)

    def _take_ending(self, kind: str, event: dict[str, Any], out: list[TurnEvent]) -> None:
        response = event.get("response")
        if not isinstance(response, dict):
            response = event["response"] = {**(self._response or {}), "status": ENDINGS[kind]}
        ending = ending_of(kind, response)
        if ending in FAILED:
            self._fail(failure_of(ending, response), out)
        elif not self._shown and (self._request.stream or not output_of(response)):
            self._ended = True
            self._frames.clear()
            self._translator.take_response(response, out)
        else:
            self._settle(f"response.{ending}", response, out, event=event)

    def _settle(
        self,
        kind: str,
        response: dict[str, Any],
        out: list[TurnEvent],
        *,
        event: dict[str, Any] | None = None,
        frame: bool = True,
    ) -> None:
        """End as the upstream ended, with what clients rely on made whole."""
        self._ended = True
        response["output"] = [self._sealed(item) for item in output_of(response)] or list(self._items)
        usage = self._usage_of(response)
        ending = ending_of(kind, response)
        response["status"] = ending
        if frame:
            self._pass(kind.encode(), _encode({**(event or {}), "type": kind, "response": response}))
        self._response = response
        self._hand_out(out, force=True)
        out.append(UsageReported(usage))
        out.append(incomplete_of(response) if ending == "incomplete" else TurnCompleted())

    def _usage_of(self, response: dict[str, Any]) -> Usage:
        """Read the usage and make it whole where it stands; one that is missing is estimated."""
        raw = response.get("usage")
        raw = raw if isinstance(raw, dict) else {}
        usage = decode_usage(raw) or Usage(
            input_tokens=self._request_bytes // BYTES_PER_TOKEN,
            output_tokens=-(-len(_encode(response["output"])) // BYTES_PER_TOKEN),
            estimated=True,
        )
        whole = encode_usage(usage)
        for key in ("input_tokens_details", "output_tokens_details"):
            details = raw.get(key)
            whole[key] = {**(details if isinstance(details, dict) else {}), **whole[key]}
        response["usage"] = {**raw, **whole}
        return usage

    def _put_right(self, response: dict[str, Any]) -> dict[str, Any]:
        """What the bridge asked otherwise than the client did is answered as the client asked."""
        request = self._request
        response_id = text_of(response, "id")
        known = text_of(self._response or {}, "id")
        if known:
            response_id = known
        elif not UNIQUE_ID.fullmatch(response_id) or response_id == request.previous_response_id:
            response_id = request.response_id
        response |= {
            "id": response_id,
            "model": request.model,
            "store": request.store,
            "previous_response_id": request.previous_response_id,
        }
        response.pop("headers", None)
        if response.get("end_turn") is False:
            del response["end_turn"]
        return response

    def _pass(self, kind: bytes, payload: bytes) -> None:
        if b"\n" in payload:
            # Pretty-printed JSON in several `data:` lines.
            payload = _encode(decode_object(payload))
        self._frames.append(b"event: %b\ndata: %b\n\n" % (kind, payload))

    def _hand_out(self, out: list[TurnEvent], *, force: bool = False) -> None:
        if not self._frames and not force:
            return
        if not self._shown and not force:
            return
        if not self._started:
            self._started = True
            out.append(TurnStarted())
        frames, items = b"".join(self._frames), tuple(self._new_items)
        out.append(Relayed(frames, self._response, items))
        self._frames, self._new_items = [], []

    def _fail(self, failed: TurnFailed, out: list[TurnEvent]) -> None:
        if self._ended:
            return
        self._ended = True
        if self._shown:
            self._hand_out(out)
        self._frames.clear()
        if not self._started:
            out.append(TurnStarted())
        out.append(failed)


def _kind_of(payload: bytes) -> str:
    """The type of an event, read off its begin where it stands there, as with most servers."""
    if payload.startswith(_BEGIN) and payload.endswith(b"}"):
        return payload[len(_BEGIN) : payload.find(b'"', len(_BEGIN))].decode("ascii", "replace")
    try:
        return _TYPED.decode(payload).type
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def _is_object(payload: bytes) -> bool:
    try:
        return bool(decode_object(payload))
    except UpstreamError:
        return False
