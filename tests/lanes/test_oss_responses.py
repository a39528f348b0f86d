"""The lane in front of a Responses upstream: the path, the codec, and retries before the first item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec import structs

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import StreamInterrupted
from codex_oss.lanes.oss import OssLane
from codex_oss.policy.retry import RetryPolicy
from codex_oss.services.capacity import CapacityGate
from codex_oss.wire.events import Relayed, TextDelta, TurnCompleted, TurnEvent, TurnFailed, TurnStarted
from codex_oss.wire.items import TurnRequest
from tests.fakes.responses_upstream import bytes_of, events_of, message
from tests.lanes.test_oss import REQUEST, ScriptedUpstream

PROFILE = ModelProfile("one", "ocg-one", "one-model", "http://x/v1", api="responses")
UNTRANSLATED = structs.replace(REQUEST, stream=True, untranslated={"model": "one", "input": "hi", "tools": []})
EVENTS = events_of([message("hello")])
WHOLE = bytes_of(EVENTS)
SHOWN = WHOLE.index(b"event: response.output_text.done")
OPENED = WHOLE.index(b"event: response.output_item.added")


async def turn(upstream: ScriptedUpstream, request: TurnRequest) -> list[TurnEvent]:
    """All events of one turn, with two retries."""

    async def sleep(_: float) -> None:
        """No waiting."""

    lane = OssLane(
        resolve=lambda _: PROFILE,
        profiles={"one": PROFILE},
        upstream=upstream,
        gate=CapacityGate(4),
        retry=RetryPolicy(max_retries=2),
        sleep=sleep,
    )
    batches: AsyncIterator[Sequence[TurnEvent]] = lane(request)
    return [event async for batch in batches for event in batch]


async def test_translated() -> None:
    """A request of any other edge is answered by events, from the path of the codec."""
    upstream = ScriptedUpstream([WHOLE])
    events = await turn(upstream, REQUEST)
    assert upstream.paths == ["/responses"]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "hello"
    assert isinstance(events[-1], TurnCompleted)


async def test_untranslated() -> None:
    """A request that can be passed on is answered by frames."""
    events = await turn(ScriptedUpstream([WHOLE]), UNTRANSLATED)
    assert events[0] == TurnStarted("one-model")
    frames = b"".join(event.frames for event in events if isinstance(event, Relayed))
    assert bytes_of(EVENTS[2:-1]) in frames
    assert isinstance(events[-1], TurnCompleted)


async def test_a_cut_before_the_first_item_is_tried_again() -> None:
    """Lifecycle events alone show a client nothing, so the turn moves to another attempt."""
    upstream = ScriptedUpstream([WHOLE[:OPENED], StreamInterrupted("cut")], [WHOLE[:OPENED]], [WHOLE])
    events = await turn(upstream, UNTRANSLATED)
    assert len(upstream.paths) == 3
    assert upstream.closed == 3
    assert isinstance(events[-1], TurnCompleted)


async def test_a_cut_after_the_first_item_is_final() -> None:
    """What the client saw cannot be taken back: the turn fails."""
    upstream = ScriptedUpstream([WHOLE[:SHOWN], StreamInterrupted("cut")])
    events = await turn(upstream, UNTRANSLATED)
    assert isinstance(events[-1], TurnFailed)
    assert len(upstream.paths) == 1
