"""The desk that every turn passes, whichever way it came in: accepted with a route, counted, noted when it ended.

Counterparts: `server.app`, `server.chat_completions` and `server.turn_socket` accept here; `server.turn_response` runs
what was accepted and says how it ended.

    decoded request ─► accept ─► AcceptedTurn ─► TurnResponse ─► TurnEnd ─► ended ─► metrics, log
                          └─ no lane answers: counted as refused, raised
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

from msgspec import Struct

from codex_oss.errors import BridgeError, LocalProtocolError
from codex_oss.policy.routing import Route
from codex_oss.server.metrics import Metrics
from codex_oss.wire.events import Lane, TurnEvent, TurnStarted, Usage
from codex_oss.wire.items import OpaqueItem, TurnRequest
from codex_oss.wiring import Bridge

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


class TurnDesk:
    """Accepts turns and takes note of their ends, for one bridge."""

    def __init__(self, bridge: Bridge, metrics: Metrics) -> None:
        self.bridge = bridge
        self.metrics = metrics

    def accept(self, request_id: str, surface: Surface, request: TurnRequest) -> AcceptedTurn:
        """Choose the lane of a turn. Raises RequestError for a name that nobody answers to."""
        route, lane = self.bridge.lane_for(request)
        self.metrics.begin(route)
        _note_left_out(request)
        return AcceptedTurn(request_id, surface, request, route, lane)

    def accept_relayed(self, request_id: str, surface: Surface, request: TurnRequest) -> AcceptedTurn:
        """The same for a turn that is relayed: there is no lane, and of the request only the model is known."""
        route = self.bridge.route(request.model)
        self.metrics.begin(route)
        return AcceptedTurn(request_id, surface, request, route, _no_lane)

    def refused(self, error: BridgeError) -> None:
        """A request that never became a turn."""
        log.info("refused before a lane was chosen: %s", error.code)
        self.metrics.refused()

    def ended(self, end: TurnEnd) -> None:
        """Called once for each accepted turn."""
        turn, profile = end.turn, end.turn.route.profile
        label = profile.alias if profile.name in self.bridge.profiles else OUTSIDE
        self.metrics.end(turn.route, label, end.outcome, end.usage, end.total_s)
        request = turn.request
        log.info(
            "%s %s %s %s %s %.3fs %s",
            *(turn.request_id, request.response_id, turn.route.lane, request.model),
            *(end.outcome, end.total_s, end.error_code),
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
