"""What is noted of a request when it is over: its line in the request log, and the verdict on its prompt cache.

Counterparts: `server.turn_desk` says that it is over; `services.request_log` owns the thread in which all of this file
but `ended` and `refused` runs; `policy.cache_monitor` judges.

    TurnEnd ─► ended ─► (thread) ─► monitor ─► RequestRecord, redacted ─► line
                                        └─ a warning ─► the bridge's log

Rules that hold here:

1. Nothing here runs while deltas stream on this turn's path, and nothing of it can fail a turn.
2. Texts of the client are cut, redacted and made printable before they are kept or logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from starlette.types import Scope

from codex_oss.errors import BridgeError
from codex_oss.policy.cache_monitor import CAUSES, CacheMonitor, Identity, Turn
from codex_oss.policy.deviation import is_deviation
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.printable import INVISIBLE
from codex_oss.policy.prompt_prefix import prefix_of
from codex_oss.policy.routing import Route
from codex_oss.services.attempt_book import AttemptBook
from codex_oss.services.request_log import RequestLog
from codex_oss.services.request_record import (
    MAX_CHARS,
    CacheNote,
    RequestRecord,
    Timings,
    cost_inputs_of,
    encode_record,
    iso_utc,
    tokens_of,
)
from codex_oss.wire.events import TurnStarted
from codex_oss.wire.responses_request import identity_fields

if TYPE_CHECKING:
    from codex_oss.server.turn_desk import TurnEnd

log = logging.getLogger(__name__)

MAX_SEEN_CHARS: Final = 1000
"""Of a client's text; what is behind is not even looked at."""
MAX_TOOLS: Final = 16
MAX_TOLD_WARNINGS: Final = 5


class Arrival(Struct):
    """A request that may never become a turn, as far as it is known."""

    request_id: str
    surface: str
    headers: Mapping[str, str]
    """Names in lower case."""
    model: object = ""
    """The field `model` of its body, once that was read; anything."""
    begun_s: float = 0.0
    """`time.monotonic()` when it came in; 0 when nobody looked."""
    bytes_in: int | None = None
    """Size of its body as it came; None when it was not told."""


class TurnNotes:
    """The notes of one bridge."""

    def __init__(
        self,
        requests: RequestLog,
        redactor: Redactor,
        monitor: CacheMonitor | None = None,
        attempts: AttemptBook | None = None,
    ) -> None:
        self.requests = requests
        self._attempts = attempts or AttemptBook()
        self.monitor = monitor or CacheMonitor()
        self._cleaned = lru_cache(1024)(partial(_cleaned, redactor))

    def ended(self, end: TurnEnd, label: str) -> None:
        """A turn is over. label: the bounded name of its model."""
        work = partial(self._ended_line, end, label, time.time(), time.monotonic())
        self.requests.put(work, weight_bytes=end.turn.bytes_in or 0)

    def refused(self, error: BridgeError, arrival: Arrival) -> None:
        """A request was refused before it was a turn."""
        total_s = time.monotonic() - arrival.begun_s if arrival.begun_s else None
        arrival.model = arrival.model[:MAX_SEEN_CHARS] if isinstance(arrival.model, str) else ""
        self.requests.put(partial(self._refused_line, error.code, arrival, time.time(), total_s))

    def cache_summary(self) -> dict[str, Any]:
        """What `/health` tells of the prompt caches; it needs no key, so no thread is named."""
        facts, now_s = self.monitor.facts, time.monotonic()
        recent = facts.warnings[-MAX_TOLD_WARNINGS:]
        return {
            "models": {model: round(known.ratio, 4) for model, known in facts.models.items()},
            "warnings_total": sum(facts.counts.values()),
            "warnings": [
                {"cause": one.cause, "model": one.model, "ago_s": round(now_s - one.at_s, 1)} for one in recent
            ],
        }

    def clean(self, text: str) -> str:
        """A text of the client as it may be kept. Cut before it is remembered: it may have the size of a body."""
        return self._cleaned(text[:MAX_SEEN_CHARS])

    def _ended_line(self, end: TurnEnd, label: str, at: float, monotonic_s: float) -> bytes:
        turn, request, started = end.turn, end.turn.request, end.started
        asked, notes = turn.route.profile, self._attempts.take(request.response_id)
        reason = started.reason if started else ""
        answered, deviates = _answered(turn.route, started)
        upstream_model = self.clean(started.upstream_model) if started else ""
        record = RequestRecord(
            time=iso_utc(at),
            request_id=turn.request_id,
            response_id=request.response_id,
            surface=turn.surface,
            client=self.clean(request.client),
            session=self.clean(request.session_id),
            thread=self.clean(request.thread_id),
            model=self.clean(request.model),
            lane=turn.route.lane,
            profile_asked=self.clean(asked.name),
            profile=self.clean(answered),
            upstream_model=upstream_model,
            deviation=deviates,
            reason=reason,
            attempts=notes,
            tries=max(started.attempts if started else 0, len(notes)),
            outcome=end.outcome,
            error_code=end.error_code,
            tokens=tokens_of(end.usage),
            cost_inputs=cost_inputs_of(upstream_model, end.usage),
            timings=Timings(started.queued_s if started else None, _rounded(end.first_batch_s), _rounded(end.total_s)),
            bytes_in=turn.bytes_in,
            bytes_out=end.bytes_out,
            dropped_tools=tuple(self.clean(kind) for kind in request.dropped_tools[:MAX_TOOLS]),
            cache=self._judged(end, label, monotonic_s),
        )
        return encode_record(record)

    def _refused_line(self, code: str, arrival: Arrival, at: float, total_s: float | None) -> bytes:
        told = identity_fields(arrival.headers)
        record = RequestRecord(
            time=iso_utc(at),
            request_id=arrival.request_id,
            surface=arrival.surface,
            client=self.clean(told["client"]),
            session=self.clean(told["session_id"]),
            thread=self.clean(told["thread_id"]),
            model=self.clean(str(arrival.model)),
            outcome="refused",
            error_code=code,
            timings=Timings(total_s=_rounded(total_s)),
            bytes_in=arrival.bytes_in,
        )
        return encode_record(record)

    def _judged(self, end: TurnEnd, label: str, monotonic_s: float) -> CacheNote:
        """What the monitor says; only of whole turns that one open model answered."""
        request, whole = end.turn.request, end.outcome in ("completed", "incomplete")
        if end.turn.route.lane not in ("oss", "chatgpt") or end.usage is None or end.started is None or not whole:
            return CacheNote()
        identity = Identity(
            self.clean(request.session_id),
            self.clean(request.thread_id),
            self.clean(request.prompt_cache_key or ""),
            request.window,
        )
        prefix = prefix_of(request)
        turn = Turn(identity, label, end.started.upstream_model, prefix, end.usage, monotonic_s, request.compacts)
        verdict = self.monitor.take(turn)
        warning = verdict.warning
        if warning is not None:
            where = f"{warning.model}, thread {warning.thread or 'unknown'}"
            log.warning("prompt cache: %s (%s): %s", warning.cause, where, CAUSES[warning.cause])
        return CacheNote(verdict.state, verdict.cause, warning is not None)


def arrival_of(scope: Scope, surface: str) -> Arrival:
    """A request over HTTP that has just come in."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    told = headers.get("content-length", "")
    size = int(told) if told.isascii() and told.isdecimal() and len(told) <= 15 else None
    return Arrival(scope["state"]["request_id"], surface, headers, begun_s=time.monotonic(), bytes_in=size)


def _answered(route: Route, started: TurnStarted | None) -> tuple[str, bool]:
    """The profile that answered (empty when unknown), and whether that is another one than was asked for."""
    if started is None or route.lane != "oss":
        return (started.profile if started else ""), started is not None and is_deviation(started.reason)
    same = started.upstream_model == route.profile.model
    answered = started.profile or (route.profile.name if same else "")
    return answered, is_deviation(started.reason) or answered != route.profile.name


def _cleaned(redactor: Redactor, text: str) -> str:
    return redactor.redact(text).text.translate(INVISIBLE)[:MAX_CHARS]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
