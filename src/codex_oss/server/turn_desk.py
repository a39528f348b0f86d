"""The desk that every turn passes, whichever way it came in: accepted with a route, counted, noted when it ended.

Counterparts: `server.app`, `server.chat_completions` and `server.turn_socket` accept here; `server.turn_response` runs
what was accepted and says how it ended.

    decoded request ─► accept ─► AcceptedTurn ─► TurnResponse ─► TurnEnd ─► ended ─► metrics, log, notes
              └─ no lane answers, or a sealed summary does not open: raised ─► refused ─► metrics, log, notes

What a lane gets is open and fits: sealed summaries are opened and `truncation: auto` is done here, for all lanes.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import BridgeError, LocalProtocolError
from codex_oss.policy.routing import Route
from codex_oss.policy.truncation import truncated
from codex_oss.server.log_lines import CLEAN
from codex_oss.server.metrics import Metrics, TurnLabels
from codex_oss.server.turn_notes import Arrival, TurnNotes
from codex_oss.wire.events import Lane, TurnEvent, TurnStarted, Usage
from codex_oss.wire.items import CompactionItem, Item, OpaqueItem, TurnRequest
from codex_oss.wiring.bridge import Bridge

log = logging.getLogger(__name__)

Surface = Literal["responses", "websocket", "chat"]
"""Which way a turn came in."""
Outcome = Literal["completed", "incomplete", "failed", "refused", "cancelled"]
"""refused: an HTTP error before the first byte of an answer. cancelled: the client left."""
OUTSIDE: Final = "other"
"""The label of a model that no profile names."""


class AcceptedTurn(Struct, frozen=True):
    """A turn that has a lane and has not begun."""

    request_id: str
    """`req_…`, of the HTTP request or of the connection."""
    surface: Surface
    request: TurnRequest
    route: Route
    lane: Lane
    bytes_in: int | None = None
    """Size of the request's body as it came; None when nobody knows."""


class TurnEnd(Struct, frozen=True):
    """How a turn ended."""

    turn: AcceptedTurn
    outcome: Outcome
    total_s: float
    error_code: str = ""
    """One of `errors`; empty unless it failed or was refused."""
    usage: Usage | None = None
    started: TurnStarted | None = None
    """Who really answered; None when nobody did."""
    first_batch_s: float | None = None
    """From the begin to the first bytes towards the client; None when there were none."""
    bytes_out: int = 0
    """Bytes of the answer's body that were sent."""


class TurnDesk:
    """Accepts turns and takes note of their ends, for one bridge."""

    def __init__(self, bridge: Bridge, metrics: Metrics) -> None:
        self.bridge = bridge
        self.metrics = metrics
        self.notes = TurnNotes(bridge.requests, bridge.redactor, attempts=bridge.attempts)

    def accept(
        self, request_id: str, surface: Surface, request: TurnRequest, *, bytes_in: int | None = None
    ) -> AcceptedTurn:
        """Choose the lane of a turn. Raises RequestError for a name that nobody answers to."""
        route, lane = self.bridge.lane_for(request)
        request = self.opened(request)
        if route.lane == "oss":
            request = self.fitted(request, route.profile)
        self.metrics.begin(route.lane)
        _note_left_out(request)
        return AcceptedTurn(request_id, surface, request, route, lane, bytes_in)

    def accept_relayed(
        self, request_id: str, surface: Surface, request: TurnRequest, *, bytes_in: int | None = None
    ) -> AcceptedTurn:
        """The same for a turn that is relayed: there is no lane, and of the request only the model is known."""
        route = self.bridge.route(request.model)
        self.metrics.begin(route.lane)
        return AcceptedTurn(request_id, surface, request, route, _no_lane, bytes_in)

    def opened(self, request: TurnRequest) -> TurnRequest:
        """The request with its sealed summaries opened. Raises InvalidRequest `compaction_unreadable`."""
        if not any(isinstance(item, CompactionItem) for item in request.items):
            return request
        return msgspec.structs.replace(request, items=tuple(map(self._open, request.items)))

    def fitted(self, request: TurnRequest, profile: ModelProfile) -> TurnRequest:
        """The request without the oldest items that its model could not read, when the client allowed that."""
        if not request.truncates:
            return request
        fitting = truncated(request, profile)
        if left_out := len(request.items) - len(fitting.items):
            log.info("%s: truncation auto left out the %d oldest items", request.response_id, left_out)
        return fitting

    def _open(self, item: Item) -> Item:
        if not isinstance(item, CompactionItem):
            return item
        return msgspec.structs.replace(item, summary=self.bridge.sealer.open(item.sealed).text)

    def refused(self, error: BridgeError, arrival: Arrival) -> None:
        """A request that never became a turn."""
        log.info("%s refused before a lane was chosen: %s", arrival.request_id, error.code)
        self.metrics.refused(error.code)
        self.notes.refused(error, arrival)

    def ended(self, end: TurnEnd) -> None:
        """Called once for each accepted turn."""
        turn, request = end.turn, end.turn.request
        labels = self._labels(end)
        self.metrics.end(labels, end.usage, end.total_s, end.first_batch_s if request.stream else None)
        log.info(
            "%s %s %s %s %s %.3fs %s",
            *(turn.request_id, request.response_id, turn.route.lane, self.notes.clean(request.model)),
            *(end.outcome, end.total_s, end.error_code),
            extra=CLEAN,
        )
        self.notes.ended(end, labels.request_model)

    def _labels(self, end: TurnEnd) -> TurnLabels:
        profiles, asked = self.bridge.profiles, end.turn.route.profile
        known = asked.name in profiles
        told = end.started.upstream_model if end.started else ""
        answered = profiles.get(end.started.profile or asked.name) if end.started else None
        return TurnLabels(
            surface=end.turn.surface,
            lane=end.turn.route.lane,
            outcome=end.outcome,
            request_model=asked.alias if known else OUTSIDE,
            response_model="" if not told else told if answered and told == answered.model else OUTSIDE,
            error_type=end.error_code,
        )


async def _no_lane(_: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
    raise LocalProtocolError("A relayed turn has no lane.")
    yield  # pragma: no cover (makes it an iterator)


def _note_left_out(request: TurnRequest) -> None:
    """Say once a turn what no open model can be given: hosted tools, and items that nobody here can read."""
    items = sorted({item.type for item in request.items if isinstance(item, OpaqueItem)})
    if request.dropped_tools or items:
        log.info(
            "%s: left out: tools [%s], items [%s]",
            request.response_id,
            ", ".join(request.dropped_tools),
            ", ".join(items),
        )
