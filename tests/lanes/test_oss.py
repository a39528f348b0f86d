"""The lane of raw models, against a scripted upstream in memory: batches, retries, fallbacks, closing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import RateLimited, StreamInterrupted, Unavailable, UpstreamError, UpstreamRefused
from codex_oss.lanes.model_attempt import ChatAnswer
from codex_oss.lanes.oss import OssLane
from codex_oss.policy.retry import RetryPolicy
from codex_oss.services.capacity import CapacityGate
from codex_oss.wire.events import TextDelta, TurnCompleted, TurnEvent, TurnFailed, TurnStarted
from codex_oss.wire.items import Message, TextPart, TurnRequest
from tests.fakes.chat_upstream import completion, frame, payload_of, text

REQUEST = TurnRequest(response_id="resp_1", model="one", items=(Message("user", (TextPart("hi"),)),))
Steps = Sequence[bytes | Exception | None]
Script = Steps | Exception


def _profile(name: str, capability: int = 4, fallbacks: tuple[str, ...] = ()) -> ModelProfile:
    return ModelProfile(name, f"ocg-{name}", f"{name}-model", "http://x/v1", capability=capability, fallbacks=fallbacks)


class ScriptedUpstream:
    """Answers each post with the next script: reads, None for silence, and exceptions (alone: instead of a 200)."""

    def __init__(self, *scripts: Script, content_type: str = "text/event-stream") -> None:
        self.content_type = content_type
        self.asked: list[str] = []
        self.paths: list[str] = []
        self.closed = 0
        self._scripts = list(scripts)

    @asynccontextmanager
    async def post(
        self, profile: ModelProfile, body: bytes, *, stream: bool, path: str, total_s: float | None = None
    ) -> AsyncIterator[ChatAnswer]:
        self.asked.append(profile.name)
        self.paths.append(path)
        script = self._scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        try:
            yield _ScriptedAnswer(self.content_type, script)
        finally:
            self.closed += 1


class _ScriptedAnswer:
    def __init__(self, content_type: str, script: Steps) -> None:
        self.content_type = content_type
        self._left = list(script)

    async def read(self) -> bytes:
        if not self._left:
            return b""
        step = self._left.pop(0)
        if isinstance(step, Exception):
            raise step
        if step is None:
            await asyncio.Event().wait()
        assert isinstance(step, bytes)
        return step

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        while self._left and isinstance(step := self._left[0], bytes):
            del self._left[0]
            if not take(step):
                return


def _lane(upstream: ScriptedUpstream, *profiles: ModelProfile, retries: int = 2) -> tuple[OssLane, list[float]]:
    known = {profile.name: profile for profile in profiles or (_profile("one"),)}
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    lane = OssLane(
        resolve=lambda name: known[name],
        profiles=known,
        upstream=upstream,
        gate=CapacityGate(4),
        retry=RetryPolicy(max_retries=retries),
        sleep=sleep,
    )
    return lane, slept


async def _batches(lane: OssLane) -> list[Sequence[TurnEvent]]:
    return [batch async for batch in lane(REQUEST)]


async def _events(lane: OssLane) -> list[TurnEvent]:
    return [event for batch in await _batches(lane) for event in batch]


def _shown(events: Sequence[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


WHOLE = payload_of(text("hello", pieces=2))
FIRST_TEXT_ENDS = WHOLE.index(b"\n\n", WHOLE.index(b"hel")) + 2


async def test_one_read_is_one_batch() -> None:
    """Three reads that show something are three batches; the first begins with TurnStarted and names the model."""
    steps = [step.data for step in text("hello", pieces=2).steps if hasattr(step, "data")]
    upstream = ScriptedUpstream(steps)
    batches = await _batches(_lane(upstream)[0])
    assert batches[0][0] == TurnStarted("one-model", "one")
    assert [_shown(batch) for batch in batches[:2]] == ["hel", "lo"]
    assert isinstance(batches[-1][-1], TurnCompleted)
    assert upstream.closed == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=30))
def test_any_chunking_gives_the_same_turn(borders: list[int]) -> None:
    """The borders of reads change nothing but the batches."""
    marks = [0, *sorted(borders), len(WHOLE)]
    chunks = [WHOLE[start:end] for start, end in itertools.pairwise(marks) if start < end]
    events = asyncio.run(_events(_lane(ScriptedUpstream(chunks))[0]))
    assert _shown(events) == "hello"
    assert sum(isinstance(event, TurnStarted) for event in events) == 1
    assert isinstance(events[-1], TurnCompleted)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.booleans())
def test_any_cut_is_an_error_before_and_a_failure_after_the_first_event(at: int, reset: bool) -> None:
    """A stream cut anywhere either raises with nothing sent, or ends with exactly one terminal event."""
    script: list[bytes | Exception | None] = [WHOLE[:at]] if at else []
    if reset:
        script.append(StreamInterrupted("cut"))
    try:
        events = asyncio.run(_events(_lane(ScriptedUpstream(script), retries=0)[0]))
    except UpstreamError:
        assert at < FIRST_TEXT_ENDS
        return
    ends = [event for event in events if isinstance(event, TurnCompleted | TurnFailed)]
    assert len(ends) == 1
    assert events[-1] is ends[0]


@pytest.mark.parametrize("content_type", ["application/json", "", "text/plain", "text/event-stream"])
async def test_json_is_read_under_any_label(content_type: str) -> None:
    """A whole completion is read whatever its Content-Type says, also when it comes in pieces."""
    raw = completion({"content": "plain"})
    upstream = ScriptedUpstream([b"\n ", raw[:7], raw[7:]], content_type=content_type)
    events = await _events(_lane(upstream)[0])
    assert _shown(events) == "plain"
    assert isinstance(events[-1], TurnCompleted)


BAD_BODIES: list[tuple[str, list[bytes]]] = [
    ("text/html", [b"<!doctype html>"]),
    ("text/event-stream", [b"<html>"]),
    ("application/json", [b'"text"']),
    ("application/json", []),
    ("text/event-stream", [b"", b"\n\n"]),
    ("", [b"not a stream at all"]),
    ("application/json", [b'{"choices": ']),
    ("text/event-stream", [b": keep-alive\n\n" * 3]),
    ("text/event-stream", [b" " * 100_000]),
]


@pytest.mark.parametrize(("content_type", "chunks"), BAD_BODIES)
async def test_bodies_without_an_answer_raise(content_type: str, chunks: list[bytes]) -> None:
    """HTML, nothing, and nonsense are errors before the first event, never an empty success."""
    upstream = ScriptedUpstream(chunks, content_type=content_type)
    with pytest.raises(UpstreamError):
        await _events(_lane(upstream, retries=0)[0])
    assert upstream.closed == 1


async def test_retries_then_succeeds() -> None:
    """Failures before the first event are tried again after growing waits, or after what the peer asked for."""
    busy = frame({"error": {"message": "overloaded", "code": 503}})
    upstream = ScriptedUpstream(RateLimited("429", retry_after_s=3), [busy], [WHOLE])
    lane, slept = _lane(upstream)
    assert _shown(await _events(lane)) == "hello"
    assert slept == [3, 1.0]
    assert upstream.asked == ["one"] * 3


async def test_nothing_is_tried_again_after_an_event() -> None:
    """A break after the first delta is one failure, without a second request."""
    upstream = ScriptedUpstream([WHOLE[: WHOLE.index(b"lo")], Unavailable("silent")], [WHOLE])
    events = await _events(_lane(upstream)[0])
    assert events[-1] == TurnFailed("upstream_unavailable", "silent")
    assert upstream.asked == ["one"]


async def test_a_break_after_the_stop_costs_nothing() -> None:
    """Once the upstream said why it stopped, a broken connection no longer fails the turn."""
    upstream = ScriptedUpstream([WHOLE[: WHOLE.index(b"[DONE]")], StreamInterrupted("late")])
    assert isinstance((await _events(_lane(upstream)[0]))[-1], TurnCompleted)


async def test_falls_back_to_equals_only() -> None:
    """The chain skips weaker models, and the answer names who gave it."""
    profiles = (_profile("one", 4, ("weak", "two")), _profile("weak", 3), _profile("two", 5))
    upstream = ScriptedUpstream(Unavailable("down"), [WHOLE])
    events = await _events(_lane(upstream, *profiles, retries=0)[0])
    assert events[0] == TurnStarted(
        "two-model",
        profile="two",
        reason="fallback_upstream_unavailable",
        attempts=2,
        deviation="asked=one; answered=ocg-two; reason=fallback_upstream_unavailable",
    )
    assert upstream.asked == ["one", "two"]


async def test_the_asked_models_error_stands() -> None:
    """When the fallback fails too, the client hears about the model it asked for."""
    profiles = (_profile("one", 4, ("two",)), _profile("two"))
    upstream = ScriptedUpstream(Unavailable("one is down"), UpstreamRefused("two has no key"))
    with pytest.raises(Unavailable, match="one is down"):
        await _events(_lane(upstream, *profiles, retries=0)[0])


async def test_a_refusal_is_final() -> None:
    """A request that the upstream refuses goes neither again nor elsewhere."""
    profiles = (_profile("one", 4, ("two",)), _profile("two"))
    upstream = ScriptedUpstream(UpstreamRefused("no"), [WHOLE])
    with pytest.raises(UpstreamRefused):
        await _events(_lane(upstream, *profiles)[0])
    assert upstream.asked == ["one"]


async def _closed_after_one(lane: OssLane) -> None:
    async with aclosing(lane(REQUEST)) as batches:
        await anext(batches)


async def _cancelled(lane: OssLane) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in lane(REQUEST):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("leave", [_closed_after_one, _cancelled])
async def test_leaving_closes_the_upstream_and_frees_the_slot(leave: Callable[[OssLane], object]) -> None:
    """Closing the generator or cancelling its task leaves nothing open."""
    upstream = ScriptedUpstream([WHOLE[:FIRST_TEXT_ENDS], None])
    known = {"one": _profile("one")}
    gate = CapacityGate(1)
    lane = OssLane(resolve=lambda name: known[name], profiles=known, upstream=upstream, gate=gate, retry=RetryPolicy())
    result = leave(lane)
    assert asyncio.iscoroutine(result)
    await result
    assert upstream.closed == len(upstream.asked)
    assert gate.under_way == 0
