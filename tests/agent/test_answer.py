"""One answer: what is shown as it comes, what is kept of it, and that neither a cut nor a flood leaves half a call."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.agent import answer as module
from codex_oss.agent import events as shown
from codex_oss.agent.answer import Answer
from codex_oss.agent.journal import Said
from codex_oss.policy.deviation import word_deviation, word_switch
from codex_oss.wire.events import (
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    TurnCompleted,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
)
from codex_oss.wire.items import FunctionCall, Message, ReasoningItem, TextPart
from tests.agent.scripts import ANSWERS, Batch, called, said, whole


def fed(batches: list[Batch], used: tuple[str, ...] = ()) -> tuple[Answer, list[shown.AgentEvent]]:
    """An answer that was fed and closed, and what was shown."""
    answer = Answer(used, seed="made")
    told = list(chain.from_iterable(answer.take(batch) for batch in batches))
    answer.close()
    return answer, told


def kept(batches: list[Batch], used: tuple[str, ...] = ()) -> tuple[Said, ...]:
    """What is kept of an answer."""
    return fed(batches, used)[0].record().items


def test_text_is_shown_as_it_comes_and_kept_whole() -> None:
    """Deltas are shown one by one, the message's end too, and the text is kept with its phase."""
    batches: list[Batch] = [[ItemStarted(0, MessageStart("commentary")), TextDelta(0, "a")], [TextDelta(0, "b")]]
    batches += [[ItemDone(0)], [TurnCompleted()], [TextDelta(0, "late")]]
    answer, told = fed(batches)
    assert told == [shown.TextDelta("a"), shown.TextDelta("b"), shown.TextEnded("commentary")]
    assert answer.record().items == (Message("assistant", (TextPart("ab"),), "commentary"),)
    assert not answer.cut


def test_calls_and_sealed_reasoning_are_kept_in_order() -> None:
    """What was thought goes back with its ciphertext, before the call that it led to."""
    thought: Batch = [ItemStarted(0, ReasoningStart()), ReasoningDelta(0, "hm"), ItemDone(0, "kimi:x")]
    items = kept(whole(thought, called("read_file", "{}", index=1)))
    assert items == (ReasoningItem("hm", encrypted_content="kimi:x"), FunctionCall("call_1", "read_file", "{}"))


@pytest.mark.parametrize("end", [TurnFailed("x", "No."), TurnIncomplete("max_output_tokens"), None])
def test_an_answer_that_was_cut_keeps_its_text_only(end: TurnFailed | TurnIncomplete | None) -> None:
    """No call of a cut answer is run, and no reasoning without what follows it goes back."""
    thought: Batch = [ItemStarted(0, ReasoningStart()), ReasoningDelta(0, "hm"), ItemDone(0)]
    batches = [thought, said("part", index=1), called("shell", '{"command":"rm x"}', index=2)]
    last: list[Batch] = [[end]] if end is not None else []
    answer, _ = fed([*batches, *last])
    assert answer.record().items == (Message("assistant", (TextPart("part"),)),)
    assert answer.cut is not isinstance(end, TurnIncomplete)


def test_a_call_that_is_not_done_is_no_call() -> None:
    """Even of an answer that says it is whole."""
    assert kept([[ItemStarted(0, FunctionCallStart("c", "shell"))], [TurnCompleted()]]) == ()


def test_every_call_gets_an_id_of_its_own() -> None:
    """One without an id, one that was used before, one used twice in this answer, one that is too long."""
    batches = whole(
        *(called("a", "{}", index=at, call_id=cid) for at, cid in enumerate(["", "old", "x", "x", "y" * 90]))
    )
    ids = [item.call_id for item in kept(batches, ("old", "made_1")) if isinstance(item, FunctionCall)]
    assert ids == ["made_2", "made_3", "x", "made_4", "y" * 64]


def test_arguments_without_bound_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would come back with every later question; the call stays and is told apart."""
    monkeypatch.setattr(module, "MAX_ARGUMENT_CHARS", 10)
    answer, _ = fed(whole(called("a", "x" * 11, call_id="big"), called("a", "x" * 10, index=1, call_id="fits")))
    assert [item.arguments for item in answer.record().items if isinstance(item, FunctionCall)] == ["{}", "x" * 10]
    assert answer.left_out == {"big"}


def test_an_endless_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as failed, with what came before the bound, and nothing after it is shown."""
    monkeypatch.setattr(module, "MAX_ANSWER_CHARS", 10)
    flood: list[Batch] = [[TextDelta(0, "12345")] for _ in range(5)]
    answer, told = fed([[ItemStarted(0, MessageStart())], *flood])
    assert told == [shown.TextDelta("12345")] * 2
    assert isinstance(answer.ended, TurnFailed)
    assert answer.ended.code == "answer_too_long"


def test_who_answers_is_told_when_it_is_not_as_asked() -> None:
    """A stand-in and a retry are notices; the ordinary case is silent."""
    assert fed([[TurnStarted()]])[1] == []
    replaced = word_deviation("ocg-a", "ocg-b", "fallback_rate_limited")
    assert fed([[TurnStarted(deviation=replaced)]])[1] == [
        shown.Notice("model_replaced", "ocg-b answers instead of ocg-a.")
    ]
    switched = word_switch("b@x", "a@x", "account_used_up")
    assert fed([[TurnStarted(deviation=switched)]])[1] == [
        shown.Notice("account_switched", "b@x answers from here on, instead of a@x.")
    ]
    assert fed([[TurnStarted(reason="retry_same_model", attempts=2)]])[1][0].code == "retried"  # type: ignore[union-attr]


def told_of(deviation: str, *, told: str, fresh: bool) -> tuple[bool, str]:
    """Whether a person is told of this first event, and what is kept as told."""
    answer = Answer(told=told, fresh=fresh)
    shown_ = answer.take([TurnStarted(profile="p", deviation=deviation)])
    return bool(shown_), answer.record().deviation


def test_a_switch_is_told_once_over_processes() -> None:
    """A new process hears of it again from its lane; the person does not, until somebody else answered in between."""
    words = word_switch("b@x", "a@x", "account_used_up")
    assert told_of(words, told="", fresh=True) == (True, words)
    assert told_of("", told=words, fresh=False) == (False, words)
    assert told_of(words, told=words, fresh=True) == (False, words)
    assert told_of("", told=words, fresh=True) == (False, "")
    assert told_of(words, told=words, fresh=False) == (True, words)
    silent = Answer(told=words, fresh=True)
    silent.fail("x", "No.")
    assert silent.record().deviation == words


def test_an_error_ends_it_with_its_hint() -> None:
    """What a lane raises ends the answer like what it sends."""
    answer = Answer()
    answer.fail("rate_limited", "Wait.", "Really.")
    assert answer.close() == TurnFailed("rate_limited", "Wait.")
    assert answer.hint == "Really."
    assert not answer.overflowed
    answer.fail("context_length_exceeded", "Too long.")
    assert answer.overflowed
    assert not answer.cut


@given(ANSWERS, st.sets(st.sampled_from(["c", "d"])))
def test_any_events_make_a_record(batches: list[Batch], used: set[str]) -> None:
    """Events in any order give items with calls only of a whole answer, each with an id that is new."""
    answer, _ = fed(batches, tuple(used))
    calls = [item.call_id for item in answer.record().items if isinstance(item, FunctionCall)]
    assert len(calls) == len(set(calls))
    assert not used & set(calls)
    assert all(0 < len(call_id) <= 64 for call_id in calls)
    assert not calls or isinstance(answer.ended, TurnCompleted)
