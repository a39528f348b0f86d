"""The circuit breaker: a table of steps, and what holds in any order of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import (
    CircuitOpen,
    ContextWindowExceeded,
    QuotaExhausted,
    RateLimited,
    StreamInterrupted,
    Unavailable,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRefused,
)
from codex_oss.policy.breaker import (
    FAULTS,
    LAST_RESORT_S,
    MAX_CIRCUITS,
    PROBE_WAIT_S,
    SOUND,
    BreakerPolicy,
    Breakers,
    Outcome,
    Refused,
    Ticket,
    outcome_of,
)

POLICY = BreakerPolicy(max_errors=2, cooldown_s=300)


def _enter(breakers: Breakers, now: float) -> Ticket:
    entry = breakers.enter("m", now)
    assert isinstance(entry, Ticket)
    return entry


def _opened(policy: BreakerPolicy = POLICY) -> Breakers:
    breakers = Breakers(policy)
    for _ in range(policy.max_errors):
        breakers.settle(_enter(breakers, 0), "fault", 0, "it broke")
    return breakers


def test_it_opens_probes_and_closes() -> None:
    """Two failures open; until the cooldown nobody passes; one probe at a time; its answer closes."""
    breakers = _opened()
    assert breakers.enter("m", 10) == Refused(290, 2, "it broke")
    assert isinstance(breakers.enter("other", 10), Ticket)
    probe = _enter(breakers, 300)
    assert probe.probe
    assert breakers.enter("m", 300) == Refused(PROBE_WAIT_S, 2, "it broke")
    breakers.settle(probe, "answering", 301)
    second = _enter(breakers, 302)
    assert not second.probe
    breakers.settle(probe, "served", 303)
    breakers.settle(second, "fault", 304)
    assert isinstance(breakers.enter("m", 305), Ticket)


def test_a_failed_probe_opens_again() -> None:
    """For a whole cooldown, from its failure on."""
    breakers = _opened()
    breakers.settle(_enter(breakers, 400), "fault", 410)
    assert breakers.enter("m", 420) == Refused(290, 3, "it broke")


def test_a_probe_that_breaks_off_opens_again() -> None:
    """An answer that only began is no proof."""
    breakers = _opened()
    probe = _enter(breakers, 300)
    breakers.settle(probe, "answering", 301)
    breakers.settle(probe, "fault", 302)
    assert isinstance(breakers.enter("m", 303), Refused)


def test_a_probe_without_a_result_is_handed_on() -> None:
    """A client that leaves during its probe does not leave the circuit stuck."""
    breakers = _opened()
    breakers.settle(_enter(breakers, 300), "unknown", 301)
    assert _enter(breakers, 302).probe


def test_nobody_else_may_answer() -> None:
    """Then a probe passes every ten seconds, and at once for a new turn of a session, but one at a time."""
    breakers = _opened()
    assert breakers.enter("m", 1, last_resort=True) == Refused(LAST_RESORT_S - 1, 2, "it broke")
    probe = breakers.enter("m", 1, last_resort=True, fresh=True)
    assert isinstance(probe, Ticket)
    assert isinstance(breakers.enter("m", 1, last_resort=True, fresh=True), Refused)
    breakers.settle(probe, "fault", 2)
    assert isinstance(breakers.enter("m", 2 + LAST_RESORT_S), Refused)
    assert isinstance(breakers.enter("m", 2 + LAST_RESORT_S, last_resort=True), Ticket)


def test_zero_never_opens() -> None:
    """CIRCUIT_BREAKER_ERRORS=0 switches it off."""
    breakers = Breakers(BreakerPolicy(max_errors=0))
    for now in range(20):
        breakers.settle(_enter(breakers, now), "fault", now)


ERRORS: list[tuple[UpstreamError, Outcome]] = [
    (Unavailable("503"), "fault"),
    (UpstreamProtocolError("html"), "fault"),
    (StreamInterrupted("cut"), "fault"),
    (UpstreamError("?"), "fault"),
    (UpstreamRefused("400"), "served"),
    (ContextWindowExceeded("long"), "served"),
    (RateLimited("429"), "unknown"),
    (QuotaExhausted("spent"), "unknown"),
    (CircuitOpen("open"), "unknown"),
    (RateLimited("queue", code="capacity_exceeded"), "unknown"),
    (UpstreamRefused("no key", code="upstream_key_missing"), "unknown"),
]


@pytest.mark.parametrize(("error", "outcome"), ERRORS, ids=[error.code for error, _ in ERRORS])
def test_whose_fault_it_is(error: UpstreamError, outcome: Outcome) -> None:
    """Only what the server does wrong counts."""
    assert outcome_of(error) == outcome
    assert not FAULTS & SOUND


outcomes = st.sampled_from(["served", "answering", "fault", "unknown"])


@given(
    st.integers(0, 4),
    st.floats(0, 1000),
    st.lists(st.tuples(st.sampled_from(["enter", "settle"]), outcomes, st.floats(0, 400)), max_size=60),
)
def test_any_order(max_errors: int, cooldown_s: float, script: list[tuple[str, Outcome, float]]) -> None:
    """At most one probe is out; a refusal ends; when all tickets are back, somebody passes after the wait told."""
    breakers, now = Breakers(BreakerPolicy(max_errors, cooldown_s)), 0.0
    tickets: list[Ticket] = []
    for what, outcome, passed in script:
        now += passed
        if what == "enter":
            entry = breakers.enter("m", now)
            if isinstance(entry, Ticket):
                tickets.append(entry)
            else:
                assert max_errors
                assert 0 <= entry.retry_in_s <= max(cooldown_s, PROBE_WAIT_S)
        elif tickets:
            breakers.settle(tickets.pop(0), outcome, now)
        assert sum(ticket.probe for ticket in tickets) <= 1
        assert all(fact["retry_in_s"] >= 0 for fact in breakers.facts(now).values())  # type: ignore[operator]
    for ticket in tickets:
        breakers.settle(ticket, "unknown", now)
    entry = breakers.enter("m", now)
    if isinstance(entry, Refused):
        assert isinstance(breakers.enter("m", now + entry.retry_in_s + 1e-6 * (now + 1)), Ticket)


def test_the_number_of_circuits_is_bounded() -> None:
    """Names that no table knows make circuits too."""
    breakers = Breakers(POLICY)
    for number in range(MAX_CIRCUITS * 2):
        breakers.settle(Ticket(str(number), probe=False), "fault", 0)
    assert len(breakers.facts(0)) == MAX_CIRCUITS
