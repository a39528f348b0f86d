"""The conversation as a fold of the journal: it only grows, and it never shows a model a call without an outcome."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.agent.journal import (
    Answered,
    CallBegun,
    CallSettled,
    Conversation,
    PromptGiven,
    Record,
    SessionBegan,
    TurnClosed,
    closings,
)
from codex_oss.errors import LocalProtocolError
from codex_oss.wire.events import Usage
from codex_oss.wire.items import FunctionCall, Message, ReasoningItem, TextPart, ToolOutput

CALLS = Answered((FunctionCall("a", "read_file", "{}"), FunctionCall("b", "shell", "{}")), Usage(1, 2), "kimi")
BEGIN: list[Record] = [SessionBegan("s", 1), PromptGiven("hi", "ocg-x")]


def test_a_session_folds_into_what_the_model_reads() -> None:
    """Prompt, answer, outcomes, next prompt: in this order, with the session's name, model and turns."""
    text = Message("assistant", (TextPart("ok"),))
    records: list[Record] = [
        *BEGIN, CALLS, CallSettled("a", "1"), CallBegun("b"), CallSettled("b", "2"), Answered((text,)),
        TurnClosed("done"), PromptGiven("more", "ocg-y"),
    ]  # fmt: skip
    conversation = Conversation(records)
    assert conversation.items() == (
        Message("user", (TextPart("hi"),)), *CALLS.items, ToolOutput("a", (TextPart("1"),)),
        ToolOutput("b", (TextPart("2"),)), text, Message("user", (TextPart("more"),)),
    )  # fmt: skip
    assert (conversation.session_id, conversation.model, conversation.turns) == ("s", "ocg-y", 2)
    assert conversation.turn_open
    assert conversation.said == conversation.items()
    assert conversation.used_call_ids == {"a", "b"}
    assert conversation.open_calls == ()


@pytest.mark.parametrize(
    ("records", "wrong"),
    [
        ([*BEGIN, CALLS], PromptGiven("x", "m")),
        ([*BEGIN, CALLS], Answered(())),
        ([*BEGIN, CALLS], TurnClosed("done")),
        ([*BEGIN, CALLS], CallSettled("c", "")),
        (BEGIN, CallBegun("a")),
        ([*BEGIN, CALLS, CallSettled("a", "")], CallSettled("a", "")),
        ([*BEGIN, CALLS, CallSettled("a", ""), CallSettled("b", "")], CALLS),
    ],
)
def test_an_order_that_no_session_has_is_refused(records: list[Record], wrong: Record) -> None:
    """Our own code cannot write past an open call, settle a call that is none, or use an id twice."""
    conversation = Conversation(records)
    with pytest.raises(LocalProtocolError):
        conversation.take(wrong)


def test_what_is_open_is_never_sent() -> None:
    """While a call is open there is no conversation to send."""
    with pytest.raises(LocalProtocolError):
        Conversation([*BEGIN, CALLS]).items()


def test_what_was_cut_off_is_settled_honestly() -> None:
    """A call that was begun may have been done; one that was not begun was not."""
    conversation = Conversation([*BEGIN, CALLS, CallBegun("b")])
    assert [(closing.call_id, closing.code) for closing in closings(conversation)] == [
        ("a", "not_run"),
        ("b", "unknown"),
    ]


TEXTS = st.text(max_size=10)
ITEMS = st.one_of(
    st.builds(lambda text: Message("assistant", (TextPart(text),)), TEXTS),
    st.builds(ReasoningItem, TEXTS, encrypted_content=TEXTS),
    st.builds(FunctionCall, st.uuids().map(str), TEXTS, TEXTS),
)


@st.composite
def sessions(draw: st.DrawFn) -> list[Record]:
    """The records of a session, cut off anywhere."""
    records: list[Record] = [SessionBegan("s", 1)]
    for _ in range(draw(st.integers(0, 3))):
        records.append(PromptGiven(draw(TEXTS), "m"))
        for _ in range(draw(st.integers(0, 2))):
            items = tuple(draw(st.lists(ITEMS, max_size=3)))
            records.append(Answered(items))
            for item in items:
                if isinstance(item, FunctionCall):
                    records += [CallBegun(item.call_id)] if draw(st.booleans()) else []
                    records.append(CallSettled(item.call_id, draw(TEXTS)))
        records.append(TurnClosed("done"))
    return records[: draw(st.integers(1, len(records)))]


@given(sessions())
def test_any_session_goes_on(records: list[Record]) -> None:
    """Cut off anywhere, a session takes its closings and the next prompt; each call then has exactly one outcome."""
    conversation = Conversation(records)
    for closing in closings(conversation):
        conversation.take(closing)
    conversation.take(PromptGiven("on", "m"))
    items = conversation.items()
    calls = [item.call_id for item in items if isinstance(item, FunctionCall)]
    outputs = [item.call_id for item in items if isinstance(item, ToolOutput)]
    assert calls == outputs
    assert closings(conversation) == []


@given(sessions())
def test_records_survive_their_line(records: list[Record]) -> None:
    """Encoded and decoded, a record is the same, and its line holds no line feed."""
    for record in records:
        line = msgspec.json.encode(record)
        assert b"\n" not in line
        assert msgspec.json.decode(line, type=Record) == record


@given(sessions())
def test_the_conversation_only_grows(records: list[Record]) -> None:
    """What was sent once is the begin of whatever is sent later, so that prompt caches hit."""
    conversation, before = Conversation(), ()
    for record in records:
        conversation.take(record)
        if not conversation.open_calls:
            items = conversation.items()
            assert items[: len(before)] == before
            before = items  # type: ignore[assignment]
