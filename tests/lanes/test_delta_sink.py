"""A lane that was given a sink shows the same as one without, in the same order, whatever the sink refuses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from itertools import cycle, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.events import DELTAS, DeltaSink, TurnEvent, TurnFailed, batches_of
from tests.fakes.chat_upstream import payload_of, text, tool_call
from tests.lanes.test_oss import REQUEST, ScriptedUpstream, _lane

WHOLE = payload_of(text("hello there, this is an answer", pieces=9))
CALL = payload_of(tool_call("shell", {"command": "ls -l"}))


def plain(events: Sequence[TurnEvent]) -> list[object]:
    """Events with adjacent deltas of an item as one: where they are cut is nobody's promise."""
    out: list[object] = []
    for event in events:
        last = out[-1] if out else None
        if isinstance(event, DELTAS) and isinstance(last, tuple) and last[:2] == (type(event), event.index):
            out[-1] = (*last[:2], last[2] + event.text)
        else:
            out.append((type(event), event.index, event.text) if isinstance(event, DELTAS) else event)
    return out


async def shown(reads: Sequence[bytes], answers: list[bool] | None) -> tuple[list[TurnEvent], int]:
    """All events in the order in which they were shown, and how many batches went into the sink."""
    lane, _ = _lane(ScriptedUpstream(list(reads)))
    events: list[TurnEvent] = []
    sunk = 0
    verdicts = cycle(answers or [False])

    def take(batch: Sequence[TurnEvent]) -> bool:
        nonlocal sunk
        assert len(batch) == 1
        assert isinstance(batch[0], DELTAS)
        if not next(verdicts):
            return False
        events.extend(batch)
        sunk += 1
        return True

    sink: DeltaSink | None = take if answers else None
    async with aclosing(batches_of(lane, REQUEST)) as batches:
        batch = await anext(batches, None)
        while batch is not None:
            events.extend(batch)
            try:
                batch = await batches.asend(sink)
            except StopAsyncIteration:
                batch = None
    return events, sunk


@given(
    st.sampled_from([WHOLE, CALL]),
    st.lists(st.integers(1, len(WHOLE)), max_size=30),
    st.lists(st.booleans(), min_size=1, max_size=5),
)
async def test_with_and_without_a_sink(payload: bytes, borders: list[int], answers: list[bool]) -> None:
    """The same events in the same order; nothing twice, nothing lost."""
    marks = sorted({0, len(payload), *(at for at in borders if at < len(payload))})
    reads = [payload[a:b] for a, b in pairwise(marks)]
    with_sink, _ = await shown(reads, answers)
    without, _ = await shown(reads, None)
    assert plain(with_sink) == plain(without)


async def test_deltas_do_go_into_the_sink() -> None:
    """One read a delta: all but the first, which opens the turn, take the short way."""
    frames = [frame + b"\n\n" for frame in WHOLE.split(b"\n\n")[:-1]]
    _, sunk = await shown(frames, [True])
    assert sunk >= 7


@pytest.mark.parametrize("answers", [[True], [False], [True, False]])
async def test_a_break_after_the_sink_is_a_failed_turn(answers: list[bool]) -> None:
    """An upstream that breaks off between deltas ends the turn as failed, not as complete."""
    frames = [frame + b"\n\n" for frame in WHOLE.split(b"\n\n")[:5]]
    events, _ = await shown(frames, answers)
    assert isinstance(events[-1], TurnFailed)
    assert events[-1].code == "stream_interrupted"
