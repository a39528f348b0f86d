"""The memory of sessions: circles end, honest sessions are left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.session_guard import (
    MAX_OVERFLOWS,
    MAX_SESSIONS,
    OVERFLOW_WINDOW_S,
    REPEAT_WINDOW_S,
    SessionGuard,
    session_key,
)

MAIN, SIDE = (session_key("ses_1", "", with_tools=tools) for tools in (True, False))


def test_the_third_refusal_ends_a_circle() -> None:
    """Compactions that succeed in between change nothing; once told, the count begins anew."""
    guard, told = SessionGuard(), []
    for now in range(6):
        told.append(guard.overflowed(MAIN, now))
        guard.answered(SIDE, with_tools=False)
    assert told == [False, False, True, False, False, True]


def test_an_answer_ends_the_count() -> None:
    """A session that goes on after its compaction is no circle."""
    guard = SessionGuard()
    for now in range(10):
        assert not guard.overflowed(MAIN, now)
        guard.answered(MAIN, with_tools=True)


def test_old_refusals_are_forgotten() -> None:
    """What lies further apart than the window is no circle."""
    guard = SessionGuard()
    assert not any(guard.overflowed(MAIN, turn * (OVERFLOW_WINDOW_S + 1)) for turn in range(10))


def test_a_repeat_is_known_by_its_session_and_time() -> None:
    """Only the same line of turns, soon after, and not after an answer."""
    guard = SessionGuard()
    guard.failed(MAIN, 0)
    assert guard.is_repeat(MAIN, REPEAT_WINDOW_S)
    assert not guard.is_repeat(MAIN, REPEAT_WINDOW_S + 1)
    assert not guard.is_repeat(SIDE, 1)
    guard.answered(MAIN, with_tools=True)
    assert not guard.is_repeat(MAIN, 1)


steps = st.lists(st.tuples(st.sampled_from(["overflowed", "failed", "answered"]), st.text(max_size=3), st.booleans()))


@given(steps)
def test_nobody_without_a_session_is_judged_and_circles_end(script: list[tuple[str, str, bool]]) -> None:
    """Any order of ends: no session, no verdict; never more than the bound of refusals without a stop."""
    guard = SessionGuard()
    counts: dict[str, int] = {}
    for now, (what, session, with_tools) in enumerate(script):
        key = session_key(session, "", with_tools=with_tools)
        if what == "overflowed":
            stop = guard.overflowed(key, now)
            counts[key] = 0 if stop else counts.get(key, 0) + 1
            assert not (stop and not key)
            assert not key or counts[key] < MAX_OVERFLOWS
        elif what == "failed":
            guard.failed(key, now)
            assert guard.is_repeat(key, now) == bool(key)
        else:
            guard.answered(key, with_tools=with_tools)
            assert not guard.is_repeat(key, now)


def test_the_memory_is_bounded() -> None:
    """A client that invents sessions costs a fixed amount."""
    guard = SessionGuard()
    for number in range(MAX_SESSIONS * 2):
        guard.failed(str(number), 0)
    assert not guard.is_repeat("0", 0)
    assert guard.is_repeat(str(MAX_SESSIONS * 2 - 1), 0)
