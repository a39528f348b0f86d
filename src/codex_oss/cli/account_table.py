"""The accounts as lines for a person.

Counterparts: `accounts.view` is what is shown, `cli.accounts` prints it. Instants are local time.

Rules that hold here:

1. What is unknown is called unknown, never 0.
2. Nothing of a token or a file reaches the terminal unescaped: e-mails and plans were written by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from codex_oss.policy.printable import INVISIBLE

if TYPE_CHECKING:
    from codex_oss.accounts.view import AccountView, WindowView

DAY_S: Final = 24 * 3600
STATES: Final = {
    "disabled": "disabled",
    "needs_login": "needs a login",
    "workspace_unavailable": "workspace unavailable",
    "cooling_down": "cooling",
}
"""A hindrance as a person reads it."""
NONE_YET: Final = "No account yet. Sign in: codex-oss login"


def render_accounts(views: Sequence[AccountView], now_s: float) -> str:
    """One line for each account: whose it is, how it stands, what is left, and the key that names it."""
    if not views:
        return NONE_YET
    rows = [("", "account", "state", "left", "key")]
    for view in views:
        mark = "*" if view.active else ""
        rows.append((mark, called(view), state_of(view, now_s), left_of(view), shown(view.key)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [" ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def called(view: AccountView) -> str:
    """`email (plan)` as far as it is known; else the key."""
    if view.email is None:
        return shown(view.key)
    return shown(f"{view.email} ({view.plan})" if view.plan else view.email)


def state_of(view: AccountView, now_s: float) -> str:
    """In a few words, how the account stands and why."""
    words = "ready" if view.reason is None else STATES[view.reason]
    if view.reason == "cooling_down" and view.cooldown_until is not None:
        words += f" until {instant(view.cooldown_until, now_s)}"
    if view.why:
        words += f" ({shown(view.why)})"
    return f"{words}, pinned" if view.pinned else words


def left_of(view: AccountView) -> str:
    """What is left of each window."""
    return ", ".join(f"{window.window} {_percent(window)}" for window in view.quota) or "unknown"


def instant(at_s: float, now_s: float) -> str:
    """`HH:MM` within a day, else with its date; local time."""
    try:
        at = datetime.fromtimestamp(at_s).astimezone()
    except (ValueError, OverflowError, OSError):
        return "unknown"
    return at.strftime("%H:%M") if at_s - now_s < DAY_S else at.strftime("%H:%M %-d %b")


def shown(text: str) -> str:
    """One line's worth of a text that others wrote."""
    return text.translate(INVISIBLE).replace("\t", " ")


def _percent(window: WindowView) -> str:
    return "unknown" if window.used_percent is None else f"{max(100 - window.used_percent, 0):.4g}%"
