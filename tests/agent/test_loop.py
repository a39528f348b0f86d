"""What follows an answer: every way on and every way out, and that no model keeps a turn going for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.agent.loop import (
    MAX_CALLS_PER_ANSWER,
    MAX_FRUITLESS,
    MAX_SAME,
    TIMED_OUT,
    Ask,
    Course,
    End,
    Limits,
    Refuse,
    Run,
)
from codex_oss.wire.events import TurnCompleted, TurnFailed, TurnIncomplete
from codex_oss.wire.items import FunctionCall

READ = FunctionCall("c", "read_file", '{"path":"a"}')
RM = FunctionCall("c", "rm", "{}")


def course(**limits: float) -> Course:
    """A turn that began at 0."""
    return Course(Limits(int(limits.get("max_steps", 50)), limits.get("timeout_s", 100.0)), 0.0)


def test_it_begins_with_a_question() -> None:
    """With the time that the turn has."""
    assert course().next_step(10.0) == Ask(90.0)


def test_an_answer_without_calls_is_the_end() -> None:
    """Done, and still done when asked again."""
    turn = course()
    turn.answered(TurnCompleted(), [])
    assert turn.next_step(0) == turn.next_step(0) == End("done")
    assert turn.steps == 1


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (TurnFailed("rate_limited", "Wait."), End("failed", "rate_limited", "Wait.", "hint")),
        (
            TurnIncomplete("content_filter"),
            End("incomplete", "content_filter", "The model's provider filtered the answer."),
        ),
    ],
)
def test_what_the_lane_says_ends_it(ended: TurnFailed | TurnIncomplete, expected: End) -> None:
    """A failure keeps its code and hint; an early stop is no success."""
    turn = course()
    turn.answered(ended, [], hint="hint")
    assert turn.next_step(0) == expected


def test_time_that_ran_out_within_an_answer() -> None:
    """It ends as a timeout, not as a failure of the lane."""
    turn = course()
    turn.answered(TurnFailed(TIMED_OUT, ""), [])
    step = turn.next_step(0)
    assert isinstance(step, End)
    assert (step.outcome, step.code) == ("timeout", TIMED_OUT)


def test_calls_run_one_by_one_and_then_it_asks_again() -> None:
    """In the order of the answer; a step that was not reported is the same step."""
    turn = course()
    other = FunctionCall("d", "list_files", "{}")
    turn.answered(TurnCompleted(), [READ, other])
    first = turn.next_step(1)
    assert isinstance(first, Run)
    assert (first.call, first.left_s, first.wanted.tool) == (READ, 99.0, "read_file")
    assert turn.next_step(1) == first
    turn.settled(READ, ran=True)
    second = turn.next_step(1)
    assert isinstance(second, Run)
    assert second.call == other
    turn.settled(other, ran=True)
    assert isinstance(turn.next_step(1), Ask)


def test_what_cannot_be_run_is_told_and_ends_it_at_last() -> None:
    """Nonsense is refused with its reason; after several in a row the turn ends; a call that ran begins anew."""
    turn = course()
    for number in range(MAX_FRUITLESS - 1):
        turn.answered(TurnCompleted(), [RM])
        step = turn.next_step(0)
        assert isinstance(step, Refuse), number
        assert step.verdict.code == "tool_unknown"
        turn.settled(RM, ran=False)
    turn.answered(TurnCompleted(), [READ])
    turn.settled(READ, ran=True)
    for _ in range(MAX_FRUITLESS):
        assert isinstance(turn.next_step(0), Ask)
        turn.answered(TurnCompleted(), [RM])
        turn.settled(RM, ran=False)
    step = turn.next_step(0)
    assert isinstance(step, End)
    assert step.outcome == "no_progress"


def test_the_same_call_again_is_refused_until_something_changed() -> None:
    """Reading the same a fourth time shows nothing new; after a change it may."""
    turn = course()
    for _ in range(MAX_SAME):
        turn.answered(TurnCompleted(), [READ])
        assert isinstance(turn.next_step(0), Run)
        turn.settled(READ, ran=True)
    turn.answered(TurnCompleted(), [READ])
    step = turn.next_step(0)
    assert isinstance(step, Refuse)
    assert step.verdict.code == "repeated_call"
    turn.settled(READ, ran=False)
    change = FunctionCall("e", "shell", '{"command":"x"}')
    turn.answered(TurnCompleted(), [change, READ])
    turn.settled(change, ran=True, changed=True)
    assert isinstance(turn.next_step(0), Run)


def test_arguments_that_were_not_kept_are_refused() -> None:
    """The loop tells them from an empty object."""
    turn = course()
    turn.answered(TurnCompleted(), [FunctionCall("c", "list_files", "{}")], ["c"])
    step = turn.next_step(0)
    assert isinstance(step, Refuse)
    assert step.verdict.code == "arguments_too_long"


def test_too_many_calls_of_one_answer() -> None:
    """The rest is told to ask again; the next answer has its full number."""
    turn = course()
    calls = [FunctionCall(str(at), "list_files", f'{{"path":"{at}"}}') for at in range(MAX_CALLS_PER_ANSWER + 1)]
    turn.answered(TurnCompleted(), calls)
    for call in calls[:-1]:
        assert isinstance(turn.next_step(0), Run)
        turn.settled(call, ran=True)
    step = turn.next_step(0)
    assert isinstance(step, Refuse)
    assert step.verdict.code == "too_many_calls"
    turn.settled(calls[-1], ran=False)
    turn.answered(TurnCompleted(), calls[:1])
    assert isinstance(turn.next_step(0), Run)


def test_steps_and_time_are_bounds() -> None:
    """Calls of an answer are settled first; then the turn ends at its bound. A person's thinking is not its time."""
    turn = course(max_steps=1)
    turn.answered(TurnCompleted(), [READ])
    assert isinstance(turn.next_step(0), Run)
    turn.settled(READ, ran=True)
    step = turn.next_step(0)
    assert isinstance(step, End)
    assert step.outcome == "step_limit"
    slow = course(timeout_s=10)
    slow.answered(TurnCompleted(), [READ])
    slow.waited(5)
    assert isinstance(slow.next_step(14), Run)
    step = slow.next_step(15)
    assert isinstance(step, Refuse)
    assert step.verdict.code == TIMED_OUT
    slow.settled(READ, ran=False)
    step = slow.next_step(15)
    assert isinstance(step, End)
    assert step.outcome == "timeout"


CALLS = st.lists(st.builds(FunctionCall, st.just("c"), st.sampled_from(["read_file", "rm", "shell"]),
                           st.sampled_from(["{}", '{"path":"a"}', '{"command":"x"}', "["])), max_size=20)  # fmt: skip


@given(st.lists(st.tuples(CALLS, st.lists(st.booleans(), min_size=20, max_size=20)), min_size=12, max_size=12))
def test_every_model_comes_to_an_end(answers: list[tuple[list[FunctionCall], list[bool]]]) -> None:
    """Whatever is answered and however it is judged, each call gets one step and the turn ends within its bound."""
    turn, script = course(max_steps=10), iter(answers)
    for _ in range(1000):
        step = turn.next_step(0)
        match step:
            case Ask():
                calls, judged = next(script)
                turn.answered(TurnCompleted(), calls)
                verdicts = iter(judged)
            case Run(call=call):
                assert call == calls[0]
                calls = calls[1:]
                turn.settled(call, ran=next(verdicts), changed=call.name == "shell")
            case Refuse(call=call):
                assert call == calls[0]
                calls = calls[1:]
                turn.settled(call, ran=False)
            case End():
                assert not calls
                assert turn.steps <= 10
                return
    raise AssertionError("the turn does not end")
