"""The quotas of all accounts as a person reads them: bars, what is left, when it resets, how long it lasts.

    * ann@x.y (plus), active, pinned
      5h      [████████████░░░░░░░░]   62% left  resets 18:40         lasts
      weekly  [      unknown       ]
      credits: 12.5 left

Counterparts: `cli/accounts` prints it; `accounts.quota_text` has the words, `accounts.quota_record` what is known,
`accounts.forecast` what is to be expected.

Rules that hold here:

1. Any quota is drawn in any width, never wider, and nothing is raised. Where a bar has no room there is none.
2. Instants are local. Colours are for terminals only, and not with NO_COLOR; without them every word is still there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, TextIO

from msgspec import Struct

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.forecast import Forecast, forecast_of
from codex_oss.accounts.quota import Window
from codex_oss.accounts.quota_record import QuotaRecord, quota_now
from codex_oss.accounts.quota_text import (
    UNKNOWN,
    Local,
    bar,
    cells_of,
    credits_text,
    fitted,
    hindrance_text,
    left_text,
    outlook_text,
    plain,
    reset_text,
)
from codex_oss.accounts.view import active_of, label_of

if TYPE_CHECKING:
    from codex_oss.wiring.accounts import Accounts

MAX_LABEL: Final = 200
COLOURS: Final = {"red": "31", "yellow": "33", "green": "32", "dim": "2", "bold": "1"}


class Style(Struct, frozen=True):
    """How lines are drawn. width: columns; colour: whether escapes are written."""

    width: int = 80
    colour: bool = False
    local: Local = datetime.fromtimestamp

    def painted(self, text: str, colour: str) -> str:
        """The text cut to the width, in a colour where colours are."""
        line = fitted(text, self.width)
        return f"\x1b[{COLOURS[colour]}m{line}\x1b[0m" if self.colour and colour else line


def quota_lines(accounts: Accounts, now_s: float, style: Style) -> list[str]:
    """The quotas of all accounts, from what is on disk; asks nobody. Errors: StoreError, as `AccountStore.read`."""
    return render_quotas(accounts.store.read(), accounts.quotas.records(), now_s, style)


def render_quotas(book: Book, records: Mapping[str, QuotaRecord], now_s: float, style: Style) -> list[str]:
    """All accounts in the order of the book. records: by person key."""
    lines: list[str] = []
    for account in book.accounts:
        lines += render_account(book, account, records.get(account.person_key), now_s, style)
    return lines


def render_account(
    book: Book, account: Account, record: QuotaRecord | None, now_s: float, style: Style
) -> Iterator[str]:
    """One account: who, what holds it back, its windows, its credits."""
    yield style.painted(_who(book, account), "bold")
    if held := hindrance_text(account, now_s, style.local):
        yield style.painted(f"  {held}", "yellow")
    quota = quota_now(record, now_s) if record else None
    if quota is None or not quota.windows:
        yield style.painted(f"  quota {UNKNOWN}: the backend has not told it", "dim")
    else:
        ahead = {forecast.window: forecast for forecast in forecast_of(record, now_s)}
        for window in quota.windows:
            yield from window_lines(window, ahead.get(window.name), now_s, style)
    if quota is not None and (told := credits_text(quota.credits)):
        yield style.painted(f"  credits: {told}", "")


def window_lines(window: Window, forecast: Forecast | None, now_s: float, style: Style) -> Iterator[str]:
    """One window: its bar, what is left, its reset, what is to be expected; on two lines where one has no room."""
    left = window.left_percent
    drawn, reset = bar(left), reset_text(window.resets_at, now_s, style.local)
    known = UNKNOWN not in drawn
    words = f"{left_text(left) if known else '':>11}"
    head = f"  {window.name:<7} "
    line = f"{head}[{drawn}]{words}"
    if cells_of(line.rstrip()) > style.width:
        line = f"{head}{words.strip() or UNKNOWN}"
    more = [
        f"resets {reset}" if reset else "",
        outlook_text(forecast, now_s, style.local) if forecast and known else "",
    ]
    colour = _colour_of(left) if known and left is not None else "dim"
    whole = f"{line}  {more[0]:<19}  {more[1]}".rstrip()
    if cells_of(whole) <= style.width:
        yield style.painted(whole, colour)
        return
    yield style.painted(line.rstrip(), colour)
    if any(more):
        yield style.painted(f"{' ' * len(head)}{', '.join(filter(None, more))}", colour)


def colours_wanted(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether escapes may be written: a terminal that knows them, and a person who did not forbid it (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "") not in ("", "dumb")


def _who(book: Book, account: Account) -> str:
    person = account.person_key
    active, pinned = active_of(book) is account, book.pinned.person == person
    marks = [word for word, holds in (("active", active), ("pinned", pinned)) if holds]
    label = plain(label_of(account)[:MAX_LABEL])
    return f"{'*' if active else ' '} {', '.join([label, *marks])}"


def _colour_of(left: float) -> str:
    return "red" if left <= 5 else "yellow" if left <= 25 else "green"
