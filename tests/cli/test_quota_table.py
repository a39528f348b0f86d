"""The table of quotas: any quota in any width, unknown as unknown, colours for terminals only."""

from __future__ import annotations

import io
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.quota import Credits, Quota, Window
from codex_oss.accounts.quota_record import QuotaRecord, Reading, WindowRecord, learned
from codex_oss.accounts.quota_text import EMPTY, FULL, cells_of
from codex_oss.cli.quota_table import Style, colours_wanted, quota_lines, render_quotas
from codex_oss.wiring.accounts import open_accounts
from tests.accounts.strategies import books

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC).timestamp()
ANN = Account(
    key="a|ann@x.y|plus",
    account_id="a",
    email="ann@x.y",
    plan="plus",
    credential=Credential(1, 0, "token-at", "token-rt"),
)
BOB = Account(
    key="b|bob@x.y|team",
    account_id="b",
    email="bob@x.y",
    plan="team",
    credential=Credential(1, 0, "token-at", "token-rt"),
    cooldown=Cooldown(int(NOW * 1000) + 3_600_000, "usage_limit_reached", True),
)
CARL = Account(key="c|carl@x.y|free", account_id="c", email="carl@x.y", plan="free", switch=Switch(1, False))
BOOK = Book((ANN, BOB, CARL), active=Meant(1, ANN.person_key), pinned=Meant(1, ANN.person_key))


def style(width: int = 80, *, colour: bool = False) -> Style:
    """Where local time is UTC."""
    return Style(width, colour, lambda instant: datetime.fromtimestamp(instant, UTC))


def told(*windows: Window, credits: Credits | None = None) -> QuotaRecord:
    """The record of one thing said ten minutes ago."""
    return learned(None, Quota(NOW - 600, windows, credits or Credits()))[0]


def test_the_table() -> None:
    """Windows with bars and resets, credits, what holds an account back, and what nobody knows."""
    records = {
        ANN.person_key: told(
            Window(18_000, 38.0, NOW + 7_200), Window(604_800, 99.58, NOW + 3 * 86_400), credits=Credits(False)
        ),
        BOB.person_key: told(Window(604_800, None, NOW + 86_400), credits=Credits(True, None, "12.5")),
    }
    assert render_quotas(BOOK, records, NOW, style()) == [
        "* ann@x.y (plus), active, pinned",
        "  5h      [████████████░░░░░░░░]   62% left  resets 14:00         lasts",
        "  weekly  [█░░░░░░░░░░░░░░░░░░░] 0.42% left  resets 12:00 7 Mar   ends 12:24",
        "  credits: none",
        "  bob@x.y (team)",
        "  cooling down until 13:00 (usage_limit_reached)",
        "  weekly  [      unknown       ]             resets 12:00",
        "  credits: 12.5 left",
        "  carl@x.y (free)",
        "  disabled",
        "  quota unknown: the backend has not told it",
    ]


def test_a_window_whose_reset_has_passed_is_unknown() -> None:
    """Neither what it was nor full."""
    lines = render_quotas(Book((ANN,)), {ANN.person_key: told(Window(18_000, 97.0, NOW - 1))}, NOW, style())
    assert lines[1:] == ["  5h      [      unknown       ]"]


NUMBERS = st.none() | st.floats() | st.floats(0, 100)
INSTANTS = st.none() | st.floats() | st.floats(NOW - 1e6, NOW + 1e6)
RECORDS = st.builds(
    QuotaRecord,
    st.floats(0, 2e9),
    st.dictionaries(
        st.sampled_from(["5h", "weekly", "3s"]) | st.text(max_size=5),
        st.builds(
            WindowRecord,
            st.integers(-5, 10**9),
            st.lists(st.builds(Reading, st.floats(0, 2e9), NUMBERS, INSTANTS), max_size=4).map(tuple),
        ),
        max_size=3,
    ),
    st.builds(Credits, st.none() | st.booleans(), st.none() | st.booleans(), st.none() | st.text(max_size=60)),
    st.text(max_size=5),
)


@settings(max_examples=300)
@given(books(), RECORDS, st.integers(-2, 140), st.booleans())
def test_any_quota_in_any_width(book: Book, record: QuotaRecord, width: int, colour: bool) -> None:
    """Nothing is raised, no line is wider, none holds a line break or an escape that is not ours, and no token."""
    records = {account.person_key: record for account in book.accounts}
    for line in render_quotas(book, records, NOW, style(width, colour=colour)):
        bare = re.sub("\x1b\\[[0-9]+m", "", line) if colour else line
        assert cells_of(bare) <= max(width, 1)
        assert not [character for character in bare if ord(character) < 32]


def test_a_bar_that_has_no_room_is_none() -> None:
    """The number stays, and the reset goes to a line of its own."""
    records = {ANN.person_key: told(Window(18_000, 38.0, NOW + 7_200))}
    assert render_quotas(Book((ANN,)), records, NOW, style(50))[1:] == [
        "  5h      [████████████░░░░░░░░]   62% left",
        "          resets 14:00, lasts",
    ]
    narrow = render_quotas(Book((ANN,)), records, NOW, style(34))
    assert narrow[1:] == ["  5h      62% left", "          resets 14:00, lasts"]
    assert not set("".join(narrow)) & {FULL, EMPTY}


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_colours_are_for_terminals() -> None:
    """Not in a pipe, not where NO_COLOR says so, not where there is no terminal type."""
    assert colours_wanted(Terminal(), {"TERM": "xterm"})
    assert not colours_wanted(io.StringIO(), {"TERM": "xterm"})
    assert not colours_wanted(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not colours_wanted(Terminal(), {"TERM": "dumb"})
    line = render_quotas(Book((ANN,)), {ANN.person_key: told(Window(18_000, 98.0))}, NOW, style(colour=True))[1]
    assert line.startswith("\x1b[31m")
    assert line.endswith("\x1b[0m")


def test_from_what_is_on_disk(tmp_path: Path) -> None:
    """Book and quotas of the folder; nobody is asked."""
    accounts = open_accounts({"XDG_CONFIG_HOME": str(tmp_path)})
    accounts.store.change(lambda book: book.with_account(ANN))
    now = time.time()
    accounts.quotas.take(ANN.person_key, Quota(now, (Window(18_000, 38.0, now + 7_200),)))
    lines = quota_lines(open_accounts({"XDG_CONFIG_HOME": str(tmp_path)}), now, style())
    assert "ann@x.y (plus)" in lines[0]
    assert "62% left" in lines[1]
