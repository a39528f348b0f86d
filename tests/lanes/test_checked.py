"""The lane that holds answers against what was demanded: one second try, nothing in the way of other turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from codex_oss.contracts.profiles import StructuredOutput
from codex_oss.errors import InvalidRequest, Unavailable, UpstreamError
from codex_oss.lanes.checked import CheckedLane
from codex_oss.wire.events import (
    ItemDone,
    ItemStarted,
    MessageStart,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import Message, TextFormat, TextPart, TurnRequest

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
STRICT = TextFormat("json_schema", "x", SCHEMA, True)
Script = Sequence[TurnEvent] | UpstreamError


class ScriptedLane:
    """Answers each request with the next script, one event a batch."""

    def __init__(self, *scripts: Script) -> None:
        self.asked: list[TurnRequest] = []
        self.closed = 0
        self._scripts = list(scripts)

    async def __call__(self, request: TurnRequest) -> AsyncGenerator[Sequence[TurnEvent], None]:
        self.asked.append(request)
        script = self._scripts.pop(0)
        try:
            if isinstance(script, UpstreamError):
                raise script
            for event in script:
                yield [event]
        finally:
            self.closed += 1


def says(text: str, tokens: int = 1) -> list[TurnEvent]:
    """Script a whole answer of one message."""
    message: list[TurnEvent] = [ItemStarted(0, MessageStart()), TextDelta(0, text), ItemDone(0)]
    return [TurnStarted("m"), *message, UsageReported(Usage(tokens, tokens)), TurnCompleted()]


def turn(form: TextFormat) -> TurnRequest:
    """Make a request."""
    return TurnRequest(response_id="resp_1", model="m", items=(Message("user", (TextPart("hi"),)),), text_format=form)


async def events_of(inner: ScriptedLane, form: TextFormat, *, able: StructuredOutput = "none") -> list[TurnEvent]:
    """Run one turn."""
    lane = CheckedLane(inner, able=lambda _: able)
    async with aclosing(lane(turn(form))) as batches:
        return [event async for batch in batches for event in batch]


async def test_a_turn_without_demands_is_not_touched() -> None:
    """The generator of the inner lane itself is returned: no cost per batch."""
    inner = ScriptedLane(says("hi"))
    lane = CheckedLane(inner, able=lambda _: "none")
    batches = lane(turn(TextFormat()))
    assert batches.ag_code is ScriptedLane.__call__.__code__  # type: ignore[attr-defined]
    await batches.aclose()


async def test_a_fenced_answer_needs_no_second_try() -> None:
    """The fence goes, the value stays, one request was made."""
    inner = ScriptedLane(says('```json\n{"n": 1}\n```'))
    assert await events_of(inner, STRICT) == says('{"n": 1}')
    assert (len(inner.asked), inner.closed) == (1, 1)


async def test_a_wrong_answer_is_asked_for_again() -> None:
    """The client sees one turn with the second answer and the tokens of both."""
    inner = ScriptedLane(says("Well, it is one."), says('{"n": 1}', tokens=5))
    assert await events_of(inner, STRICT) == [
        TurnStarted("m"),
        *says('{"n": 1}')[1:4],
        UsageReported(Usage(6, 6)),
        TurnCompleted(),
    ]
    assert inner.asked[1].items[:1] == inner.asked[0].items
    assert inner.closed == 2


async def test_two_wrong_answers_fail_for_good() -> None:
    """No third request; the failure is one that Codex does not repeat, and quotes nothing."""
    inner = ScriptedLane(says("secret prose"), says('{"n": "secret"}'))
    started, usage, failed = await events_of(inner, STRICT)
    assert (started, usage) == (TurnStarted("m"), UsageReported(Usage(2, 2)))
    assert isinstance(failed, TurnFailed)
    assert failed.code == "answer_invalid"
    assert "/properties/n/type" in failed.message
    assert "secret" not in failed.message


async def test_a_second_try_that_cannot_be_made() -> None:
    """The turn has begun, so the error of the second request is an event."""
    inner = ScriptedLane(says("prose"), Unavailable("It is gone."))
    events = await events_of(inner, STRICT)
    assert events == [TurnStarted("m"), TurnFailed("upstream_unavailable", "It is gone.")]


async def test_a_first_try_that_cannot_be_made() -> None:
    """Before the first event an error is raised, as by every lane."""
    with pytest.raises(Unavailable):
        await events_of(ScriptedLane(Unavailable("It is gone.")), STRICT)


async def test_a_broken_schema_is_refused_before_anything_is_asked() -> None:
    """The client is wrong, and the model is not asked."""
    inner = ScriptedLane()
    with pytest.raises(InvalidRequest):
        await events_of(inner, TextFormat("json_schema", "x", {"type": "objekt"}, True))
    assert inner.asked == []


async def test_a_client_that_leaves_closes_the_inner_lane() -> None:
    """Closing this lane closes the one that it reads."""
    inner = ScriptedLane(says('{"n": 1}'))
    lane = CheckedLane(inner, able=lambda _: "none")
    batches = lane(turn(STRICT))
    assert await anext(batches) == [TurnStarted("m")]
    await batches.aclose()
    assert inner.closed == 1


async def test_a_server_that_honours_the_format_streams() -> None:
    """What is not strict goes through as it comes where the model's server sees to the format."""
    loose = TextFormat("json_schema", "x", SCHEMA)
    assert await events_of(ScriptedLane(says('{"n": "x"}')), loose, able="json_schema") == says('{"n": "x"}')


@pytest.mark.parametrize(("able", "asked"), [("none", 2), ("json_object", 1), ("json_schema", 1)])
async def test_json_mode_streams_where_the_server_honours_it(able: StructuredOutput, asked: int) -> None:
    """Streaming JSON is not given up where the server sees to it: only the others are judged."""
    inner = ScriptedLane(says("prose"), says("prose"))
    await events_of(inner, TextFormat("json_object"), able=able)
    assert len(inner.asked) == asked
