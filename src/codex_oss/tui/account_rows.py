"""What the account manager shows, as text: a row for each account, and everything about the one under the cursor.

Counterparts: `accounts.view` and `accounts.quota_text` say what is shown; `tui.account_manager` places it.

Rules that hold here:

1. Texts that came from outside (e-mails, plans, codes) are made printable, and never read as markup.
2. Colour repeats what the words say, so that nothing is lost without it.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from rich.text import Text

from codex_oss.accounts.account import Account
from codex_oss.accounts.quota import Quota, Window
from codex_oss.accounts.quota_text import UNKNOWN, Local, bar, credits_text, left_text, reset_text
from codex_oss.accounts.view import AccountView, label_of, views_of
from codex_oss.policy.printable import printable
from codex_oss.tui.account_work import Seen

WIDE: Final = 100
"""Columns from which on the table has room for bars."""
VERY_WIDE: Final = 130
"""Columns from which on it has room for resets, too."""
BAR_CELLS: Final = 10
RESET_CELLS: Final = 12
"""`14:05 23 Nov`, the longest one."""
COLUMNS: Final = ("5h", "weekly")
RED_LEFT, YELLOW_LEFT = 10.0, 40.0
"""Percent: red up to the first, yellow below the second, then green."""
ACTIVE, PINNED = "●", "◆"
WHY: Final = {
    "by_person": "by you",
    "usage_limit_reached": "its usage limit is reached",
    "refresh_failed": "its tokens could not be renewed",
    "migrated": "so it was in an older file",
}
"""Codes that a person meets often, in words; any other is shown as it is."""


class Widths(Struct, frozen=True):
    """How wide each column is, in cells."""

    mark: int
    account: int
    state: int
    window: int


class AccountRow(Struct, frozen=True):
    """One row. person: its person key. cells: mark, account, state, then one for each of COLUMNS."""

    person: str
    cells: tuple[Text, ...]


def widths(columns: int) -> Widths:
    """Share a screen of so many columns; each cell has one column of space on either side."""
    if columns < WIDE:
        state, window = 17, 7
    else:
        state, window = 26, BAR_CELLS + 6 + (RESET_CELLS + 1 if columns >= VERY_WIDE else 0)
    rest = columns - 2 - state - len(COLUMNS) * window - 2 * (3 + len(COLUMNS)) - 2
    return Widths(2, max(rest, 8), state, window)


def rows_of(seen: Seen, columns: int, local: Local) -> list[AccountRow]:
    """All rows, in the order of the book."""
    told, wide = _views(seen), widths(columns)
    return [
        AccountRow(account.person_key, _cells(account, view, seen, wide, local))
        for account, view in zip(seen.book.accounts, told, strict=True)
    ]


def details_of(seen: Seen, person: str, local: Local) -> Text:
    """Everything about one account; empty for none."""
    account = seen.book.get(person)
    if account is None:
        return Text()
    view = _views(seen)[seen.book.accounts.index(account)]
    quota = seen.quotas.get(person)
    marks = [word for word, holds in (("active", view.active), ("pinned", view.pinned)) if holds]
    head = Text(_plain(label_of(account)), style="bold")
    head.append(f"  {', '.join(marks)}" if marks else "", style="not bold")
    lines = [head, Text(f"key     {_plain(account.key)}", style="dim"), _state_line(view, seen.now_s, local)]
    lines += [_window_line(window, seen.now_s, local) for window in (quota.windows if quota else ())]
    if quota is None or not quota.windows:
        lines.append(Text(f"quota   {UNKNOWN}: {_why_unknown(view)}"))
    elif credits := credits_text(quota.credits):
        lines.append(Text(f"credits {credits}"))
    lines.append(Text(_history(account, quota, seen.now_s, local), style="dim"))
    return Text("\n").join(lines)


def column_names(columns: int) -> tuple[str, ...]:
    """The heads of the columns on a screen of so many columns."""
    words = "" if columns < WIDE else " left" if columns < VERY_WIDE else " left, full again"
    of_windows = [f"{name}{words}" for name in COLUMNS]
    return ("", "account", "state", *of_windows)


def headline(seen: Seen) -> str:
    """How many accounts there are and can be used, and how one is chosen."""
    count = len(seen.book.accounts)
    ready = sum(account.hindrance(int(seen.now_s * 1000)) is None for account in seen.book.accounts)
    return f"{count} account{'' if count == 1 else 's'}, {ready} ready · strategy {seen.book.strategy or 'sticky'}"


def _views(seen: Seen) -> list[AccountView]:
    return views_of(seen.book, seen.quotas, int(seen.now_s * 1000))


def _cells(account: Account, view: AccountView, seen: Seen, wide: Widths, local: Local) -> tuple[Text, ...]:
    mark = (ACTIVE if view.active else " ") + (PINNED if view.pinned else " ")
    style = "dim" if view.reason == "disabled" else "red" if view.reason else ""
    quota = seen.quotas.get(account.person_key)
    by_name = {window.name: window for window in (quota.windows if quota else ())}
    return (
        Text(mark),
        _cut(_plain(label_of(account)), wide.account, style="dim" if view.reason == "disabled" else ""),
        _cut(_state(view, seen.now_s, local), wide.state, style=style or "green"),
        *(_window_cell(by_name.get(name), wide.window, seen.now_s, local) for name in COLUMNS),
    )


def _state(view: AccountView, now_s: float, local: Local) -> str:
    """In few words; the code of it stands in the details."""
    match view.reason:
        case None:
            return "ready"
        case "disabled":
            return "disabled"
        case "needs_login":
            return "needs a login"
        case "workspace_unavailable":
            return "workspace refuses"
        case "cooling_down":
            return f"waits until {reset_text(view.cooldown_until or now_s, now_s, local)}"


def _state_line(view: AccountView, now_s: float, local: Local) -> Text:
    why = f" ({_plain(WHY.get(view.why, view.why))})" if view.why else ""
    return Text(f"state   {_state(view, now_s, local)}{why}")


def _window_cell(window: Window | None, width: int, now_s: float, local: Local) -> Text:
    left = window.left_percent if window else None
    if window is None or left is None:
        return Text(UNKNOWN, style="dim")
    drawn = f"{bar(left, BAR_CELLS)} " if width > BAR_CELLS else ""
    cell = Text(f"{drawn}{left_text(left).removesuffix(' left'):>5}", style=_colour(left))
    if width > BAR_CELLS + RESET_CELLS:
        cell.append(f" {reset_text(window.resets_at, now_s, local)}", style="dim")
    return cell


def _window_line(window: Window, now_s: float, local: Local) -> Text:
    left = window.left_percent
    line = Text(f"{window.name:<7} ")
    line.append(
        UNKNOWN if left is None else f"{bar(left)} {left_text(left)}", style="dim" if left is None else _colour(left)
    )
    if reset := reset_text(window.resets_at, now_s, local):
        line.append(f", full again at {reset}")
    return line


def _colour(left_percent: float) -> str:
    return "red" if left_percent <= RED_LEFT else "yellow" if left_percent < YELLOW_LEFT else "green"


def _why_unknown(view: AccountView) -> str:
    return "this account needs a login" if view.needs_login else "nobody asked yet (l asks)"


def _history(account: Account, quota: Quota | None, now_s: float, local: Local) -> str:
    used = reset_text(account.last_used_ms / 1000, now_s, local) if account.last_used_ms else "never"
    read = reset_text(quota.read_at, now_s, local) if quota else "never"
    return f"used    {used} · quota read {read}"


def _cut(text: str, width: int, style: str) -> Text:
    cut = Text(text, style=style, no_wrap=True)
    cut.truncate(width, overflow="ellipsis")
    return cut


def _plain(text: str) -> str:
    return printable(text).replace("\n", " ").replace("\t", " ")
