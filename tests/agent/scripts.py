"""Answers of a model as turn events, made at random or by hand, for tests of the agent."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from codex_oss.wire.events import (
    ArgumentsDelta,
    CompactionStart,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    LimitsReported,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)

Batch = list[TurnEvent]


def said(text: str, *, index: int = 0) -> Batch:
    """A message, whole."""
    return [ItemStarted(index, MessageStart()), TextDelta(index, text), ItemDone(index)]


def called(name: str, arguments: Any, *, index: int = 0, call_id: str = "call_1") -> Batch:
    """A call, whole; arguments that are text go in as they are."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return [ItemStarted(index, FunctionCallStart(call_id, name)), ArgumentsDelta(index, raw), ItemDone(index)]


def whole(*parts: Batch) -> list[Batch]:
    """An answer that came whole."""
    return [[TurnStarted(profile="kimi")], *parts, [UsageReported(Usage(10, 5))], [TurnCompleted()]]


NAMES = st.sampled_from(["read_file", "list_files", "search", "edit_file", "create_file", "shell", "rm", ""])
ARGUMENTS = st.sampled_from(
    ["{}", "{", "[]", '{"path":"a"}', '{"path":"a","content":"x"}', '{"command":"ls"}', '{"pattern":"x"}',
     '{"path":"a","old_text":"x","new_text":"y"}', ""]
)  # fmt: skip
STARTS = st.one_of(
    st.just(MessageStart()),
    st.just(MessageStart("commentary")),
    st.just(ReasoningStart()),
    st.just(CompactionStart("x")),
    st.builds(FunctionCallStart, st.sampled_from(["", "c", "d", "c" * 80]), NAMES),
)
INDEX = st.integers(0, 3)
EVENTS: st.SearchStrategy[TurnEvent] = st.one_of(
    st.builds(TurnStarted, reason=st.sampled_from(["initial_attempt", "retry_same_model"])),
    st.builds(ItemStarted, INDEX, STARTS),
    st.builds(TextDelta, INDEX, st.text(max_size=4)),
    st.builds(ReasoningDelta, INDEX, st.text(max_size=4)),
    st.builds(ArgumentsDelta, INDEX, ARGUMENTS),
    st.builds(ItemDone, INDEX, st.sampled_from(["", "kimi:sealed"])),
    st.just(UsageReported(Usage(1, 2))),
    st.just(LimitsReported({})),
    st.just(TurnCompleted()),
    st.builds(TurnIncomplete, st.sampled_from(["max_output_tokens", "content_filter"])),
    st.builds(TurnFailed, st.sampled_from(["stream_interrupted", "rate_limited", "turn_timeout"]), st.just("No.")),
)
WHOLE_CALLS = st.lists(st.tuples(NAMES, ARGUMENTS, st.sampled_from(["", "c", "d"])), max_size=4).map(
    lambda calls: whole(*(called(name, raw, index=at, call_id=cid) for at, (name, raw, cid) in enumerate(calls)))
)
ANSWERS: st.SearchStrategy[list[Batch]] = st.one_of(
    WHOLE_CALLS, st.lists(st.lists(EVENTS, max_size=4), max_size=6), st.just(whole(said("done")))
)
"""Answers in and out of order, whole and cut."""
