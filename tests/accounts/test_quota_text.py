"""Single values in words and bars: cut and not rounded, unknown as unknown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.quota import Credits
from codex_oss.accounts.quota_text import (
    CELLS,
    EMPTY,
    FULL,
    bar,
    cells_of,
    credits_text,
    fitted,
    left_text,
    reset_text,
)

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC).timestamp()


def utc(instant: float) -> datetime:
    """Local time, where local is UTC."""
    return datetime.fromtimestamp(instant, UTC)


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (None, "unknown"),
        (float("nan"), "unknown"),
        (100.0, "100% left"),
        (99.96, "99% left"),
        (62.0, "62% left"),
        (9.97, "9.9% left"),
        (100 - 92.5, "7.5% left"),
        (100 - 99.6, "0.40% left"),
        (0.004, "<0.01% left"),
        (0.0, "0% left"),
        (-3.0, "0% left"),
    ],
)
def test_what_is_left(left: float | None, text: str) -> None:
    """Decimals where there is little, and what is not all of it does not read so."""
    assert left_text(left) == text


@given(st.none() | st.floats())
def test_a_bar_says_no_more_than_is_known(left: float | None) -> None:
    """Full at 100 % only, empty at 0 % only, and neither where nothing is known."""
    drawn = bar(left)
    assert len(drawn) == CELLS
    if left is None or left != left or left in (float("inf"), float("-inf")):
        assert drawn.strip() == "unknown"
    else:
        assert (drawn == FULL * CELLS) == (left >= 100)
        assert (drawn == EMPTY * CELLS) == (left <= 0)
        assert set(drawn) <= {FULL, EMPTY}


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (None, ""),
        (NOON + 3_600, "13:00"),
        (NOON + 86_400, "12:00"),
        (NOON + 5 * 86_400 + 60, "12:01 9 Mar"),
        (NOON - 60, "11:59"),
        (float("inf"), ""),
        (1e30, ""),
    ],
)
def test_resets(instant: float | None, text: str) -> None:
    """The hour, and the day beyond 24 of them; what is no instant is none."""
    assert reset_text(instant, NOON, utc) == text


@pytest.mark.parametrize(
    ("credits", "text"),
    [
        (Credits(), ""),
        (Credits(False), "none"),
        (Credits(True), "some, nobody said how many"),
        (Credits(True, None, "12.5"), "12.5 left"),
        (Credits(True, None, "\x1b[31m9\n"), "\ufffd[31m9\ufffd left"),
        (Credits(True, None, "a\tb"), "a b left"),
        (Credits(True, True, "0"), "unlimited"),
    ],
)
def test_credits(credits: Credits, text: str) -> None:
    """As far as they were told; a balance is somebody else's text."""
    assert credits_text(credits) == text


@given(st.text(), st.integers(-3, 40))
def test_a_text_fits(text: str, width: int) -> None:
    """In so many columns, however wide its characters are."""
    assert cells_of(fitted(text, width)) <= max(width, 1)
    assert fitted(text, cells_of(text) + 1) == text
