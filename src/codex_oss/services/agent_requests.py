"""The line in the request log for each question of an agent: it asks lanes in its own process, past every server.

Counterparts: `server.turn_notes` does the same for turns of clients, `services.request_record` says what a line holds.

Rules that hold here:

1. Nothing of it can fail a turn, and nothing that was said is in it.
2. A question has a line however it ended: whole, failed, cut, or let go.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from codex_oss.errors import BridgeError
from codex_oss.policy.deviation import is_deviation
from codex_oss.policy.routing import Route
from codex_oss.services.attempt_book import AttemptBook
from codex_oss.services.request_log import RequestLog
from codex_oss.services.request_record import (
    MAX_CHARS,
    RequestRecord,
    Timings,
    cost_inputs_of,
    encode_record,
    iso_utc,
    tokens_of,
)
from codex_oss.wire.events import (
    Lane,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
    batches_of,
)
from codex_oss.wire.items import TurnRequest

SURFACE: Final = "run"


@dataclass(slots=True)
class _Question:
    """One question under way. Instants are those of `time.monotonic`."""

    began_s: float
    first_s: float | None = None
    ended_s: float = 0.0
    started: TurnStarted | None = None
    usage: Usage | None = None
    outcome: str = "cancelled"
    code: str = ""

    def take(self, batch: Sequence[TurnEvent]) -> None:
        self.first_s = self.first_s or time.monotonic()
        for event in batch:
            match event:
                case TurnStarted():
                    self.started = event
                case UsageReported(usage=usage):
                    self.usage = usage
                case TurnCompleted():
                    self.outcome = "completed"
                case TurnIncomplete():
                    self.outcome = "incomplete"
                case TurnFailed(code=code):
                    self.outcome, self.code = "failed", code
                case _:
                    pass


class AgentRequests:
    """Notes questions. clean: takes secrets and control characters out of a name."""

    def __init__(self, requests: RequestLog, attempts: AttemptBook, clean: Callable[[str], str]) -> None:
        self._requests = requests
        self._attempts = attempts
        self._clean = clean

    def noted(self, lane: Lane, route: Route) -> Lane:
        """The same lane, with a line in the log for each answer."""

        async def answer(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
            question = _Question(time.monotonic())
            try:
                async with aclosing(batches_of(lane, request)) as batches:
                    async for batch in batches:
                        question.take(batch)
                        yield batch
            except BridgeError as error:
                question.outcome, question.code = "failed", error.code
                raise
            finally:
                question.ended_s = time.monotonic()
                self._requests.put(partial(self._line, request, route, question, time.time()))

        return answer

    def _line(self, request: TurnRequest, route: Route, question: _Question, at: float) -> bytes:
        started, attempts = question.started, self._attempts.take(request.response_id)
        upstream_model = self._named(started.upstream_model) if started else ""
        first_s = None if question.first_s is None else round(question.first_s - question.began_s, 4)
        timings = Timings(started.queued_s if started else None, first_s, round(question.ended_s - question.began_s, 4))
        return encode_record(
            RequestRecord(
                time=iso_utc(at),
                request_id=f"req_{request.response_id.removeprefix('resp_')}",
                response_id=request.response_id,
                surface=SURFACE,
                client=request.client,
                session=self._named(request.session_id),
                thread=self._named(request.thread_id),
                model=self._named(request.model),
                lane=route.lane,
                profile_asked=self._named(route.profile.name),
                profile=self._named(started.profile) if started else "",
                upstream_model=upstream_model,
                deviation=started is not None and is_deviation(started.reason),
                reason=started.reason if started else "",
                attempts=attempts,
                tries=max(started.attempts if started else 0, len(attempts)),
                outcome=question.outcome,
                error_code=question.code,
                tokens=tokens_of(question.usage),
                cost_inputs=cost_inputs_of(upstream_model, question.usage),
                timings=timings,
            )
        )

    def _named(self, text: str) -> str:
        return self._clean(text[:1000])[:MAX_CHARS]
