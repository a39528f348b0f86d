"""The life of a WebSocket connection, by hand: its end, a client that breaks away, a bug of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from codex_oss.config import Config
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.policy.routing import Route
from codex_oss.server.metrics import Metrics
from codex_oss.server.open_turns import OpenTurns
from codex_oss.server.turn_desk import TurnDesk, TurnEnd
from codex_oss.server.turn_socket import TurnSockets
from codex_oss.wire.events import TurnCompleted, TurnEvent, TurnStarted
from codex_oss.wire.items import TurnRequest

ROUTE = Route("oss", ModelProfile("kimi", "ocg-kimi", "kimi", "http://127.0.0.1:9/v1"))
CREATE = json.dumps({"type": "response.create", "model": "ocg-kimi", "input": "hi"})


class Unstored:
    """A store that knows nothing and keeps nothing."""

    async def complete(self, obj: dict[str, Any]) -> tuple[dict[str, Any], None]:
        """The request as it came."""
        return obj, None

    def keeper(self, *_: Any) -> None:
        """Nothing is kept."""


class NotingDesk(TurnDesk):
    """A desk that notes how turns ended."""

    outcomes: list[str]

    def ended(self, end: TurnEnd) -> None:
        """Note it."""
        self.outcomes.append(end.outcome)


class Peer:
    """A client by hand, and a lane that waits for it."""

    def __init__(self, life_s: float, lane_for: Any = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.broken = False
        self.outcomes: list[str] = []
        bridge = SimpleNamespace(
            config=Config(),
            profiles={},
            requests=None,
            redactor=None,
            attempts=None,
            lane_for=lane_for or (lambda _: (ROUTE, self.lane)),
        )
        desk = NotingDesk(cast("Any", bridge), Metrics())
        desk.outcomes = self.outcomes
        self.sockets = TurnSockets(desk, OpenTurns(), cast("Any", Unstored()), life_s=life_s)

    async def lane(self, request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        """Begins at once, ends when it is told to."""
        yield [TurnStarted("kimi")]
        self.begun.set()
        await self.go.wait()
        yield [TurnCompleted()]

    async def send(self, message: Any) -> None:
        """Note what the bridge sends; a broken connection raises as uvicorn's does."""
        if self.broken:
            raise ConnectionResetError("gone")
        self.sent.append(message)

    async def serve(self) -> None:
        """The whole connection."""
        scope = {"type": "websocket", "headers": [], "state": {"request_id": "req_1"}}
        await asyncio.wait_for(self.sockets(scope, self.incoming.get, self.send), 10)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The text frames."""
        return [json.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]


async def test_the_life_ends() -> None:
    """After its time an idle connection gets the documented error and a normal close."""
    peer = Peer(life_s=0.01)
    await peer.serve()
    assert peer.events[-1]["error"]["code"] == "websocket_connection_limit_reached"
    assert (peer.events[-1]["type"], peer.events[-1]["status"]) == ("error", 400)
    assert (peer.sent[-1]["type"], peer.sent[-1]["code"]) == ("websocket.close", 1000)


async def test_a_turn_may_outlive_the_connection() -> None:
    """A turn under way when the time is over ends as it should; what waits behind it is not begun."""
    peer = Peer(life_s=1.0)
    peer.incoming.put_nowait({"type": "websocket.receive", "text": CREATE})
    peer.incoming.put_nowait({"type": "websocket.receive", "text": CREATE})
    serving = asyncio.create_task(peer.serve())
    await peer.begun.wait()
    await asyncio.sleep(1.1)  # the life is over
    peer.go.set()
    await serving
    kinds = [event["type"] for event in peer.events]
    assert kinds == ["response.created", "response.in_progress", "response.completed", "error"]
    assert peer.sent[-1]["code"] == 1000


@pytest.mark.parametrize("how", ["disconnect", "broken"])
async def test_a_client_that_breaks_away(how: str) -> None:
    """Gone in the middle of a turn, by an event or by a failing write: the connection ends without a word."""
    peer = Peer(life_s=60)
    peer.incoming.put_nowait({"type": "websocket.receive", "text": CREATE})
    serving = asyncio.create_task(peer.serve())
    await peer.begun.wait()
    if how == "broken":
        peer.broken = True
        peer.go.set()
    peer.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await serving
    assert [event["type"] for event in peer.events] == ["response.created", "response.in_progress"]
    assert len(peer.outcomes) == 1


async def test_a_bug_of_ours_is_told_and_closes(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left open by a failure that nobody expected; the words are generic."""

    def lane_for(_: TurnRequest) -> Any:
        raise ZeroDivisionError("the cause")

    peer = Peer(life_s=60, lane_for=lane_for)
    peer.incoming.put_nowait({"type": "websocket.receive", "text": CREATE})
    await peer.serve()
    (event,) = peer.events
    assert (event["status"], event["error"]["code"]) == (500, "internal")
    assert "the cause" not in event["error"]["message"]
    assert peer.sent[-1]["code"] == 1011
    assert "the cause" in caplog.text
