"""What a request demands of its answer: every script keeps the order of events, no forbidden call gets through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.answer_rules import AnswerRules, CheckedAnswer, Violation, added, rules_of, with_advice
from codex_oss.policy.json_answer import JsonJudge
from codex_oss.wire.events import (
    ArgumentsDelta,
    CustomCallStart,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    MessageStart,
    TextDelta,
    ToolSearchStart,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import FunctionTool, Message, TextFormat, TextPart, ToolChoice, TurnRequest
from codex_oss.wire.responses_stream import ResponseEncoder
from tests.wire.scripts import frames, turns

FORM = TextFormat("json_schema", "x", {"type": "object", "required": ["n"]}, True)
REQUEST = TurnRequest(
    response_id="resp_1", model="m", items=(Message("user", (TextPart("hi"),)),), tools=(FunctionTool("read"),)
)
CALLS = (FunctionCallStart, CustomCallStart, ToolSearchStart)

_rules = st.builds(
    AnswerRules,
    st.none() | st.sets(st.sampled_from(["read", "apply_patch", "tool_search", "ns__read", "other"])).map(frozenset),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["no", "wanted", "strict"]),
)


def checked(rules: AnswerRules, events: list[TurnEvent], *, size: int = 3, **more: Any) -> tuple[Any, list[TurnEvent]]:
    """Run events through in batches; return the answer and what the client sees."""
    answer = CheckedAnswer(rules, JsonJudge(FORM) if rules.json != "no" else None, **more)
    shown: list[TurnEvent] = []
    for start in range(0, len(events), size):
        shown += answer.take(events[start : start + size])
    return answer, shown


@given(_rules, turns(), st.integers(1, 5), st.booleans())
def test_every_answer_stays_legal_and_no_forbidden_call_gets_through(
    rules: AnswerRules, events: list[TurnEvent], size: int, last: bool
) -> None:
    """Whatever is dropped or held, the encoder accepts the order, and every call shown is one that is allowed."""
    answer, shown = checked(rules, events, size=size, last=last)
    encoder = ResponseEncoder(REQUEST)
    frames(encoder.encode(shown))
    assert encoder.terminal is (answer.violation is None)
    assert answer.ended
    calls = [event.item for event in shown if isinstance(event, ItemStarted) and isinstance(event.item, CALLS)]
    if rules.allowed is not None:
        assert all(call.name in rules.allowed or "ns__read" in rules.allowed for call in calls)
    if rules.one_call:
        assert len(calls) <= 1
    if rules.must_call and isinstance(shown[-1] if shown else None, TurnCompleted):
        assert calls


@given(turns(), st.integers(1, 5))
def test_without_demands_nothing_changes(events: list[TurnEvent], size: int) -> None:
    """No demand, no difference but in the place of the usage."""
    _, shown = checked(AnswerRules(), events, size=size)
    kept = [event for event in events if not isinstance(event, UsageReported)]
    assert [event for event in shown if not isinstance(event, UsageReported)] == kept


def says(text: str, *, done: bool = True) -> list[TurnEvent]:
    """Script a message."""
    start: list[TurnEvent] = [ItemStarted(0, MessageStart()), TextDelta(0, text)]
    return [*start, ItemDone(0)] if done else start


def calls(index: int, name: str = "read") -> list[TurnEvent]:
    """Script a whole call."""
    return [
        ItemStarted(index, FunctionCallStart(f"call_{index}", name)),
        ArgumentsDelta(index, "{}"),
        ItemDone(index),
    ]


STRICT = AnswerRules(json="strict")


def test_json_alone_is_shown() -> None:
    """Prose and fence around the value are gone, and nothing was shown before it was judged."""
    answer = CheckedAnswer(STRICT, JsonJudge(FORM))
    assert answer.take([TurnStarted(), *says('Here:\n```json\n{"n": 1}\n```')]) == [TurnStarted()]
    assert answer.take([TurnCompleted()]) == [*says('{"n": 1}'), TurnCompleted()]


def test_a_wrong_answer_asks_again_with_advice() -> None:
    """The second request is the first one, then what was said, then what was wrong: its prefix is the same."""
    answer, shown = checked(STRICT, [TurnStarted(), *says('{"m": 1}'), UsageReported(Usage(5, 2)), TurnCompleted()])
    assert shown == [TurnStarted()]
    assert isinstance(answer.violation, Violation)
    assert "m" not in answer.violation.problem.split()
    again = with_advice(REQUEST, answer)
    assert again.items[: len(REQUEST.items)] == REQUEST.items
    assert again.items[-2] == Message("assistant", (TextPart('{"m": 1}'),))
    assert '"n" is a required property' in again.items[-1].parts[0].text  # type: ignore[union-attr]
    better = [TurnStarted(), *says('{"n": 1}'), UsageReported(Usage(9, 3)), TurnCompleted()]
    second, shown = checked(STRICT, better, last=True, spent=answer.usage)
    assert second.violation is None
    assert shown == [*says('{"n": 1}'), UsageReported(Usage(14, 5)), TurnCompleted()]


def test_what_is_only_wanted_is_shown_at_last() -> None:
    """Without `strict` the second answer is shown as it is; with it the turn fails."""
    events = [*says("sorry"), TurnCompleted()]
    assert checked(AnswerRules(json="wanted"), events, last=True)[1] == events
    assert checked(STRICT, events, last=True)[0].violation is not None


def test_a_call_before_the_answer_is_not_judged() -> None:
    """Codex sends its output schema with each request of a turn: text beside a call is commentary."""
    events = [*says("Let me look."), *calls(1), TurnCompleted()]
    assert checked(STRICT, events)[1] == events


def test_cut_and_failed_answers() -> None:
    """What the length cut stays, as an incomplete message; what failed shows nothing."""
    cut, failed = TurnIncomplete("max_output_tokens"), TurnFailed("upstream_error", "x")
    assert checked(STRICT, [*says('{"n"'), cut])[1] == [*says('{"n"', done=False), cut]
    assert checked(STRICT, [*says('{"n"'), failed])[1] == [failed]


def test_only_the_first_call_of_one() -> None:
    """With `parallel_tool_calls: false` the second call is left out; the items after it move up."""
    answer, shown = checked(AnswerRules(one_call=True), [*calls(0), *calls(1, "exec"), TurnCompleted()])
    assert shown == [*calls(0), TurnCompleted()]
    assert answer.dropped == ["exec"]


def test_a_demanded_call_that_does_not_come() -> None:
    """Text is held until the call comes; without one it was no answer."""
    rules = AnswerRules(must_call=True)
    answer, shown = checked(rules, [*says("No."), TurnCompleted()])
    assert shown == []
    assert answer.said == "No."
    events = [*says("Well."), *calls(1), TurnCompleted()]
    assert checked(rules, events)[1] == events


def test_a_forbidden_call_alone_is_no_answer() -> None:
    """With text beside it the text is the answer; alone, the model is asked again."""
    none = AnswerRules(allowed=frozenset())
    assert checked(none, [*calls(0), TurnCompleted()])[0].violation is not None
    assert checked(none, [*says("Hi."), *calls(1), TurnCompleted()])[1] == [*says("Hi."), TurnCompleted()]


@pytest.mark.parametrize(
    ("more", "honours", "expected"),
    [
        ({}, False, None),
        ({"tool_choice": ToolChoice("none")}, False, AnswerRules(allowed=frozenset())),
        ({"tool_choice": ToolChoice("required")}, False, AnswerRules(must_call=True)),
        ({"tool_choice": ToolChoice("named", ("read",))}, False, AnswerRules(frozenset({"read"}), must_call=True)),
        ({"tool_choice": ToolChoice("auto", ("read",))}, False, AnswerRules(frozenset({"read"}))),
        ({"tool_choice": ToolChoice("required"), "tools": ()}, False, None),
        ({"parallel_tool_calls": False}, False, AnswerRules(one_call=True)),
        ({"parallel_tool_calls": False, "tools": ()}, False, None),
        ({"text_format": FORM}, True, STRICT),
        ({"text_format": TextFormat("json_schema", "x", {}, None)}, True, None),
        ({"text_format": TextFormat("json_schema", "x", {}, None)}, False, AnswerRules(json="wanted")),
        ({"text_format": TextFormat("json_object")}, False, AnswerRules(json="wanted")),
    ],
)
def test_demands_of_a_request(more: dict[str, Any], honours: bool, expected: AnswerRules | None) -> None:
    """Each field that demands something of the answer, and nothing where there is none."""
    request = TurnRequest(**{"response_id": "r", "model": "m", "items": (), "tools": (FunctionTool("read"),), **more})
    assert rules_of(request, honours_format=honours) == expected


def test_tokens_of_two_tries_add_up() -> None:
    """Both requests are paid; the cache figure is known when both are."""
    assert added(Usage(1, 2, 3, 4, cached_known=True), Usage(10, 20, 30, 40)) == Usage(11, 22, 33, 44)
