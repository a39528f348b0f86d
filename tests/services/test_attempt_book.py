"""What became of each request of a turn: in order, once, and bounded."""

from __future__ import annotations

from codex_oss.services.attempt_book import CANCELLED, MAX_TURNS, AttemptBook
from codex_oss.services.request_record import AttemptNote


def test_requests_in_order_and_once() -> None:
    """Whatever did not end was cancelled; who takes them leaves nothing."""
    book = AttemptBook()
    book.begin("r", "a", "initial_attempt")
    book.end("r", "used_up")
    book.begin("r", "b", "retry_switched_account_after_429")
    book.end("unknown", "answered")
    first = AttemptNote("a", "initial_attempt", "used_up")
    assert book.take("r") == (first, AttemptNote("b", "retry_switched_account_after_429", CANCELLED))
    assert book.take("r") == ()


def test_turns_that_nobody_takes_cost_a_bounded_place() -> None:
    """The newest stay."""
    book = AttemptBook()
    for number in range(MAX_TURNS + 5):
        book.begin(str(number), "a", "initial_attempt")
    assert book.take("4") == ()
    assert [note.outcome for note in book.take(str(MAX_TURNS + 4))] == [CANCELLED]
