"""A session of the agent against a scripted lane: whatever comes, one end, no call without an outcome, resumable."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.agent.events import (
    AgentEvent,
    Notice,
    Proposal,
    ToolApproved,
    ToolFinished,
    ToolProposed,
    ToolRefused,
    TurnBegan,
    TurnEnded,
    UsageTold,
)
from codex_oss.agent.loop import Limits
from codex_oss.errors import ContextWindowExceeded, LocalProtocolError, RateLimited, StoreError, UnknownModel
from codex_oss.services.agent_session import AgentSession, Setup
from codex_oss.services.session_journal import SessionJournal
from codex_oss.wire.events import Lane, TurnFailed, TurnIncomplete
from codex_oss.wire.items import FunctionCall, ToolOutput, TurnRequest
from tests.agent.scripts import ANSWERS, Batch, called, said, whole
from tests.fakes.agent_parts import PlayedLane, RememberingShell, all_events, scripted

OK = whole(said("ok"))


def end_of(events: Sequence[AgentEvent]) -> TurnEnded:
    """The one end, which is the last event."""
    assert [isinstance(event, TurnEnded) for event in events].count(True) == 1
    assert isinstance(events[-1], TurnEnded)
    return events[-1]


def outputs(request: TurnRequest) -> list[str]:
    """What the model read as outcomes of its calls."""
    return [part.text for item in request.items if isinstance(item, ToolOutput) for part in item.parts]  # type: ignore[union-attr]


async def yes(proposal: Proposal) -> bool:
    """Agrees to everything."""
    return True


async def no(proposal: Proposal) -> bool:
    """Declines everything."""
    return False


async def test_proposal_verdict_and_outcome_are_three_events(tmp_path: Path) -> None:
    """In that order, and the answer that follows has seen the outcome."""
    lane = PlayedLane([whole(called("list_files", {})), OK])
    events = await all_events(scripted(tmp_path, lane))
    assert [type(event) for event in events if isinstance(event, ToolProposed | ToolApproved | ToolFinished)] == [
        ToolProposed, ToolApproved, ToolFinished,
    ]  # fmt: skip
    assert isinstance(events[0], TurnBegan)
    assert outputs(lane.requests[1]) == ["(empty)"]
    assert (end_of(events).outcome, end_of(events).steps) == ("done", 2)


@pytest.mark.parametrize(("approve", "code"), [(None, "nobody_to_ask"), (no, "declined")])
async def test_who_does_not_agree_is_obeyed(tmp_path: Path, approve: object, code: str) -> None:
    """Nothing is run, and both the model and the person are told which of the two it was."""
    shell = RememberingShell()
    lane = PlayedLane([whole(called("shell", {"command": "x"})), OK])
    events = await all_events(scripted(tmp_path, lane, shell=shell), approve=approve)  # type: ignore[arg-type]
    assert shell.commands == []
    assert [event.code for event in events if isinstance(event, ToolRefused)] == [code]
    assert outputs(lane.requests[1])[0].startswith(f"{code}: ")
    assert end_of(events).outcome == "done"


@pytest.mark.parametrize("all_", [True, False])
async def test_who_agrees_is_told_apart(tmp_path: Path, all_: bool) -> None:
    """A person's yes and the flag's are different verdicts."""
    session = scripted(tmp_path, [whole(called("shell", {"command": "x"})), OK], approve_all=all_)
    events = await all_events(session, approve=yes)
    assert [event.by for event in events if isinstance(event, ToolApproved)] == ["flag" if all_ else "person"]


async def test_nobody_is_asked_before_the_proposal_was_shown(tmp_path: Path) -> None:
    """A reader that is slow is waited for: a question about what stands nowhere yet would be answered blindly."""
    shown: list[AgentEvent] = []

    async def approve(proposal: Proposal) -> bool:
        assert ToolProposed(proposal) in shown
        return True

    session = scripted(tmp_path, [whole(called("shell", {"command": "x"})), OK])
    async for event in session.turn("hi", approve=approve):
        await asyncio.sleep(0.01)
        shown.append(event)
    assert any(isinstance(event, ToolApproved) for event in shown)


async def test_a_failing_command_is_an_outcome(tmp_path: Path) -> None:
    """An exit code other than 0 and a sandbox that refuses are told to the model; the turn goes on."""
    lane = PlayedLane(
        [whole(called("shell", {"command": "fail"}), called("shell", {"command": "refuse"}, index=1)), OK]
    )
    events = await all_events(scripted(tmp_path, lane, approve_all=True))
    assert [event.ok for event in events if isinstance(event, ToolFinished)] == [False, False]
    assert outputs(lane.requests[1]) == ["exit code 1\nok", "sandbox_failed: It would not start."]
    assert end_of(events).outcome == "done"


async def test_without_a_sandbox_commands_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    """The reason names what is missing."""
    asked: list[Proposal] = []

    async def approve(proposal: Proposal) -> bool:
        asked.append(proposal)
        return True

    lane = PlayedLane([whole(called("shell", {"command": "x"})), OK])
    await all_events(scripted(tmp_path, lane, shell=RememberingShell(none=True)), approve=approve)
    assert asked == []
    assert "bwrap: it is not installed" in outputs(lane.requests[1])[0]


async def test_what_a_lane_raises_ends_the_turn(tmp_path: Path) -> None:
    """Its code, sentence and hint reach the person; the prompt is kept and the session goes on."""
    lane = PlayedLane([RateLimited("Too fast.", hint="Wait."), OK])
    session = scripted(tmp_path, lane)
    end = end_of(await all_events(session))
    assert (end.outcome, end.code, end.message, end.hint) == ("failed", "rate_limited", "Too fast.", "Wait.")
    assert end_of(await all_events(session, "again")).outcome == "done"
    assert len(lane.requests[1].items) == 2


async def test_a_stream_that_is_cut_says_so(tmp_path: Path) -> None:
    """What was said stays, a call that was not whole is not run, and a notice tells that more was to come."""
    cut: list[Batch] = [said("half"), called("shell", {"command": "x"}, index=1)]
    shell = RememberingShell()
    lane = PlayedLane([cut, OK])
    session = scripted(tmp_path, lane, approve_all=True, shell=shell)
    events = await all_events(session)
    assert [event.code for event in events if isinstance(event, Notice)] == ["stream_cut"]
    assert (end_of(events).outcome, end_of(events).code) == ("failed", "stream_interrupted")
    assert shell.commands == []
    await all_events(session, "on")
    assert not any(isinstance(item, FunctionCall) for item in lane.requests[1].items)


async def test_time_is_over_within_a_silent_answer(tmp_path: Path) -> None:
    """The upstream is let go and the turn ends as a timeout."""
    lane = PlayedLane([OK], hold=asyncio.Event())
    events = await all_events(scripted(tmp_path, lane, limits=Limits(timeout_s=0.1)))
    assert end_of(events).outcome == "timeout"
    assert lane.closed == 1


async def test_the_time_of_a_person_is_not_the_time_of_the_turn(tmp_path: Path) -> None:
    """Who thinks longer than the turn's limit still gets what was approved."""

    async def slow(proposal: Proposal) -> bool:
        await asyncio.sleep(0.4)
        return True

    lane = PlayedLane([whole(called("shell", {"command": "x"})), OK])
    events = await all_events(scripted(tmp_path, lane, limits=Limits(timeout_s=0.3)), approve=slow)
    assert end_of(events).outcome == "done"


@pytest.mark.parametrize(
    ("where", "told"), [("stream", None), ("tool", "The turn was cut off"), ("approval", "Not run")]
)
async def test_cancel_ends_the_turn_and_keeps_the_session(tmp_path: Path, where: str, told: str | None) -> None:
    """Wherever it was: one end, nothing left open, the upstream let go, and the next turn works."""
    hold, soon = asyncio.Event(), asyncio.get_running_loop().call_later

    async def approve(proposal: Proposal) -> bool:
        if where == "approval" and not hold.is_set():
            soon(0.01, session.cancel)
            await hold.wait()
        return True

    lane = PlayedLane([whole(called("shell", {"command": "x"})), OK], hold=hold if where == "stream" else None)
    session = scripted(tmp_path, lane, shell=RememberingShell(hold=hold if where == "tool" else None))
    events: list[AgentEvent] = []
    async for event in session.turn("hi", approve=approve):
        events.append(event)
        if isinstance(event, TurnBegan) and where == "stream":
            soon(0.01, session.cancel)
        if isinstance(event, ToolApproved) and where == "tool":
            soon(0.01, session.cancel)
    assert end_of(events).outcome == "cancelled"
    assert lane.closed == len(lane.requests)
    hold.set()
    assert end_of(await all_events(session, "on", approve=approve)).outcome == "done"
    known = outputs(lane.requests[1])
    assert known == [] if told is None else known[0].startswith(told)


async def test_who_stops_reading_abandons_the_turn(tmp_path: Path) -> None:
    """Closing the generator stops the work; what was open is settled and the session goes on."""
    lane = PlayedLane([whole(called("shell", {"command": "x"})), OK])
    session = scripted(tmp_path, lane, shell=RememberingShell(hold=asyncio.Event()), approve_all=True)
    turn = session.turn("hi")
    async for event in turn:
        if isinstance(event, ToolApproved):
            await asyncio.sleep(0.01)
            break
    await turn.aclose()
    assert end_of(await all_events(session, "on")).outcome == "done"
    assert outputs(lane.requests[1])[0].startswith("The turn was cut off while this was under way.")


async def test_a_turn_at_a_time(tmp_path: Path) -> None:
    """A second turn of the same session is a wrong call of our own code."""
    session = scripted(tmp_path, PlayedLane([OK], hold=asyncio.Event()))
    turn = session.turn("hi")
    await anext(turn)
    with pytest.raises(LocalProtocolError):
        await anext(session.turn("me too"))
    await turn.aclose()


async def test_an_unknown_model_leaves_no_trace(tmp_path: Path) -> None:
    """It is refused before anything is written."""

    def lane_for(request: TurnRequest) -> Lane:
        raise UnknownModel("No such model.")

    journal = SessionJournal(tmp_path / "state" / "p", "s1")
    tools = scripted(tmp_path, [OK], session_id="other")._setup.tools
    with pytest.raises(UnknownModel):
        await all_events(AgentSession(Setup("s1", "ocg-x", lane_for, tools, journal)))
    assert journal.path.read_bytes() == b""


async def test_a_full_disk_ends_the_turn_and_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept is not gone on with: the call that follows is not run."""
    shell = RememberingShell()
    session = scripted(tmp_path, [whole(called("shell", {"command": "x"}))], shell=shell, approve_all=True)
    append, seen = session._journal.append, []

    def failing(*records: object) -> None:
        seen.append(records)
        if len(seen) > 1:
            raise StoreError("No space left.", code="session_unwritable")
        append(*records)  # type: ignore[arg-type]

    monkeypatch.setattr(session._journal, "append", failing)
    end = end_of(await all_events(session))
    assert (end.outcome, end.code) == ("failed", "session_unwritable")
    assert shell.commands == []


async def test_a_fault_of_our_own_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback, no foreign words; the session can be resumed."""
    session = scripted(tmp_path, [whole(called("list_files", {})), OK])

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret words")

    with monkeypatch.context() as patch:
        patch.setattr(session._setup.tools, "prepare", broken)
        end = end_of(await all_events(session))
    assert (end.outcome, end.code) == ("failed", "internal")
    assert "secret" not in end.message
    assert end_of(await all_events(session, "on")).outcome == "done"


async def test_the_last_turn_of_a_killed_process_is_told(tmp_path: Path) -> None:
    """Whoever resumes hears that calls were cut off, and so does the model."""
    first = scripted(tmp_path, PlayedLane([whole(called("shell", {"command": "x"}))]), approve_all=True)
    lines: list[bytes] = []
    async for event in first.turn("hi"):
        if isinstance(event, ToolApproved):
            await asyncio.sleep(0.01)
            lines = (tmp_path / "state/p/s1.jsonl").read_bytes().splitlines(keepends=True)
            break
    await first.aclose()
    begun = next(at for at, line in enumerate(lines) if b'"begun"' in line)
    (tmp_path / "state/p/s1.jsonl").write_bytes(b"".join(lines[: begun + 1]) + b'{"type":"call","call_')
    lane = PlayedLane([OK])
    second = scripted(tmp_path, lane)
    assert second.resumed
    events = await all_events(second, "on")
    assert [event.code for event in events if isinstance(event, Notice)] == ["calls_closed"]
    assert outputs(lane.requests[0])[0].startswith("The turn was cut off while this was under way.")


async def test_a_model_that_never_ends_is_ended(tmp_path: Path) -> None:
    """The same call again and again, and nonsense again and again, end within their bounds."""
    same = PlayedLane([whole(called("list_files", {}))])
    assert end_of(await all_events(scripted(tmp_path, same))).outcome == "no_progress"
    assert len(same.requests) < 20
    numbered = [whole(called("list_files", {"path": str(at)})) for at in range(30)]
    events = await all_events(scripted(tmp_path, numbered, session_id="s2", limits=Limits(max_steps=5)))
    assert (end_of(events).outcome, end_of(events).steps) == ("step_limit", 5)


async def test_a_session_that_grew_too_long_goes_on_without_its_oldest_part(tmp_path: Path) -> None:
    """The model refuses its size once; from then on it is shown less, and the person is told how much."""
    too_long = ContextWindowExceeded("Too long.")
    lane = PlayedLane([OK, too_long, whole(called("list_files", {})), OK])

    def fit(request: TurnRequest) -> TurnRequest:
        return msgspec.structs.replace(request, items=request.items[2:])

    session = scripted(tmp_path, lane, fit=fit)
    await all_events(session, "one")
    events = await all_events(session, "two")
    assert end_of(events).outcome == "done"
    assert [event.code for event in events if isinstance(event, Notice)] == ["context_trimmed"]
    assert [len(request.items) for request in lane.requests] == [1, 3, 1, 3]
    assert lane.requests[2].items == lane.requests[1].items[2:]


async def test_a_turn_that_is_too_long_by_itself_fails(tmp_path: Path) -> None:
    """Nothing is left that could be left out; it is not asked again and again."""
    lane = PlayedLane([ContextWindowExceeded("Too long.")])
    end = end_of(await all_events(scripted(tmp_path, lane)))
    assert (end.outcome, end.code, len(lane.requests)) == ("failed", "context_length_exceeded", 1)


async def test_early_stops_and_usage_are_told(tmp_path: Path) -> None:
    """A length limit is not done; tokens are told with each answer."""
    events = await all_events(scripted(tmp_path, [[said("a"), [TurnIncomplete("max_output_tokens")]]]))
    assert (end_of(events).outcome, end_of(events).code) == ("incomplete", "max_output_tokens")
    assert any(isinstance(event, UsageTold) for event in events)


@given(st.lists(ANSWERS, min_size=1, max_size=5), st.lists(st.booleans(), max_size=8), st.booleans())
def test_any_model_any_person_one_end(answers: list[list[Batch]], agreed: list[bool], someone: bool) -> None:
    """Whatever a model sends and a person says: one end, last; proposals before verdicts before outcomes; and what was
    sent to the model never had a call without an outcome."""
    verdicts = iter(agreed)

    async def approve(proposal: Proposal) -> bool:
        return next(verdicts, False)

    async def play(folder: Path) -> tuple[list[AgentEvent], PlayedLane]:
        lane = PlayedLane(answers)
        session = scripted(folder, lane, limits=Limits(max_steps=6))
        events = await all_events(session, approve=approve if someone else None)
        await session.aclose()
        lane_after = PlayedLane([[[TurnFailed("x", "No.")]]])
        resumed = scripted(folder, lane_after)
        await all_events(resumed, "more")
        await resumed.aclose()
        lane.requests += lane_after.requests
        return events, lane

    with tempfile.TemporaryDirectory() as folder:
        events, lane = asyncio.run(play(Path(folder)))
    end_of(events)
    expect_ordered(events)
    for request in lane.requests:
        calls = [item.call_id for item in request.items if isinstance(item, FunctionCall)]
        done = [item.call_id for item in request.items if isinstance(item, ToolOutput)]
        assert calls == done


def expect_ordered(events: Sequence[AgentEvent]) -> None:
    """Each proposal is settled before the next one, by exactly one outcome."""
    state = "free"
    for event in events:
        match event, state:
            case ToolProposed(), "free":
                state = "proposed"
            case ToolApproved(), "proposed":
                state = "approved"
            case (ToolRefused(), "proposed") | (ToolFinished(), "approved"):
                state = "free"
            case ((ToolProposed() | ToolApproved() | ToolRefused() | ToolFinished()), _):
                raise AssertionError(f"{event} while {state}")
            case _:
                pass
    assert state == "free"
