"""The conversation as a fold of events: whatever comes, in whatever order, and nothing of a text is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.agent.events import (
    AgentEvent,
    Notice,
    Proposal,
    ReasoningDelta,
    TextDelta,
    TextEnded,
    ToolApproved,
    ToolFinished,
    ToolProposed,
    ToolRefused,
    TurnBegan,
    TurnEnded,
    UsageTold,
)
from codex_oss.tui.chat_blocks import drawn, drawn_diff, drawn_usage
from codex_oss.tui.chat_log import MAX_CHARS, UNDER_WAY, ChatLog
from codex_oss.wire.events import Usage
from tests.tui.conversation import DIFF, EDIT, PAST, READ

IDS = st.sampled_from(["call_1", "call_2"])
TEXTS = st.text(max_size=20) | st.sampled_from(["a\nb", "x" * 3000, "\x1b[31mred", "[bold]", "line\n" * 900])
EVENTS: st.SearchStrategy[AgentEvent] = st.one_of(
    st.just(TurnBegan("s", "m")),
    st.builds(TextDelta, TEXTS),
    st.just(TextEnded()),
    st.builds(ReasoningDelta, TEXTS),
    st.builds(ToolProposed, st.builds(Proposal, IDS, st.just("shell"), TEXTS, st.booleans(), command=TEXTS)),
    st.builds(ToolApproved, IDS, st.just("person")),
    st.builds(ToolRefused, IDS, st.just("declined"), TEXTS),
    st.builds(ToolFinished, IDS, st.just("shell"), st.booleans(), TEXTS, TEXTS, st.integers(0, 5000)),
    st.builds(Notice, st.just("retried"), TEXTS),
    st.builds(UsageTold, st.builds(Usage, st.integers(0, 9999), st.integers(0, 9999))),
    st.builds(TurnEnded, st.sampled_from(["done", "cancelled"]), st.just("s")),
)


def folded(*events: AgentEvent) -> ChatLog:
    """The log after these events."""
    log = ChatLog()
    for event in events:
        log.take(event)
    return log


@given(st.lists(EVENTS, max_size=25))
def test_any_order_of_events_is_shown(events: list[AgentEvent]) -> None:
    """Nothing is raised, no block outgrows its bound, and what is drawn can be sent to a terminal."""
    log = folded(*events)
    for block in log.blocks:
        assert len(block.text) <= MAX_CHARS or block.kind not in ("assistant", "reasoning")
        for unfolded in (False, True):
            assert "\x1b" not in drawn(block, unfolded=unfolded).plain
    assert set(log.take_changed()) == set(range(len(log.blocks)))
    assert log.take_changed() == []


@given(st.lists(EVENTS, max_size=25))
def test_no_tool_still_runs_after_the_end(events: list[AgentEvent]) -> None:
    """Whatever cut the turn, its tools are settled on the screen."""
    log = folded(*events, TurnEnded("failed", "s", "stream_interrupted", "It was cut."))
    assert [block.state for block in log.blocks if block.state in UNDER_WAY] == []
    assert log.blocks[-1].text == "It was cut."


@given(st.lists(st.text(alphabet="ab\n", max_size=3000), max_size=12))
def test_a_text_is_the_same_however_it_came(pieces: list[str]) -> None:
    """The blocks of an answer, one below the other, are its text."""
    whole = "".join(pieces)
    one, many = folded(TextDelta(whole)), folded(*map(TextDelta, pieces))
    for log in (one, many):
        rows = "\n".join(block.text for block in log.blocks).split("\n")
        if "\n" in whole and max(map(len, whole.split("\n"))) < MAX_CHARS:
            assert rows == (whole.split("\n") if log.blocks else [""])
        else:
            assert "".join(rows) == whole.replace("\n", "")


def test_a_tool_goes_through_its_states() -> None:
    """Proposed, approved, done: one block, with what came of it."""
    log, states = ChatLog(), []
    finished = ToolFinished(EDIT.call_id, "edit_file", True, "edited", "", 1500)
    for event in (ToolProposed(EDIT), ToolApproved(EDIT.call_id, "person"), finished):
        log.take(event)
        states.append(log.blocks[0].state)
    assert states == ["asks", "running", "done"]
    assert "[done, 1.5 s]" in drawn(log.blocks[0]).plain
    assert len(log.blocks) == 1


def test_what_only_reads_does_not_ask() -> None:
    """Its state says so until it ran; a refusal gives its reason."""
    log = folded(ToolProposed(READ), ToolRefused(READ.call_id, "path_denied", "Not read: secrets lie there."))
    assert "[refused]" in drawn(log.blocks[0]).plain
    assert "Not read: secrets lie there." in drawn(log.blocks[0]).plain


def test_reasoning_and_output_are_folded() -> None:
    """One line says what there is; unfolded all of it is there."""
    finished = ToolFinished("call_1", "read_file", True, "2 lines", "first\nsecond")
    log = folded(ReasoningDelta("because\nof this"), ToolProposed(READ), finished)
    reasoning, tool = log.blocks
    assert drawn(reasoning).plain == "▸ thought (2 lines)"
    assert drawn(reasoning, unfolded=True).plain == "because\nof this"
    assert "second" not in drawn(tool).plain
    assert "│ second" in drawn(tool, unfolded=True).plain


def test_a_long_diff_says_what_it_leaves_out() -> None:
    """In the conversation it is cut and counted; the question shows all of it."""
    diff = DIFF + "".join(f"+line {number}\n" for number in range(100))
    assert drawn_diff(diff, 24).plain.endswith("… 82 more lines")
    assert "line 99" in drawn_diff(diff).plain


def test_usage_is_summed_and_a_guess_is_called_one() -> None:
    """Every answer counts; nothing is shown while nothing is known."""
    log = folded(UsageTold(Usage(1200, 30, 1000, cached_known=True)), UsageTold(Usage(100, 5)))
    assert drawn_usage(log.usage) == "1.3k in (1.0k cached) · 35 out"
    assert drawn_usage(Usage(5, 5, estimated=True)) == "about 5 in · 5 out"
    assert drawn_usage(Usage()) == ""


def test_earlier_turns_are_shown_again() -> None:
    """Of a resumed session the prompts, the answers, and the tools with what came of them."""
    log = ChatLog()
    log.past(PAST)
    assert [block.kind for block in log.blocks] == ["you", "reasoning", "tool", "assistant"]
    assert (log.blocks[2].state, log.blocks[2].text) == ("done", "edited src/retry.py")
    log = ChatLog()
    log.past(PAST[:3])
    assert log.blocks[2].state == "cut off"
