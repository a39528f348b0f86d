"""Quotas in words and bars, each value by itself; the same for shell, screen and tools.

Counterparts: `cli/quota_table` lays them out, `tui` and the MCP tools show some; `accounts.quota` is what is known.

Rules that hold here:

1. What is unknown is drawn as unknown, never as an empty or a full bar; a bar is full at 100 % only, empty at 0 % only.
2. Numbers are cut, not rounded: 99.6 % is not all of it, 0.4 % is not nothing.
3. Any value is drawn and nothing is raised. What a backend wrote is cleaned of control characters.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Final

from codex_oss.accounts.account import Account
from codex_oss.accounts.forecast import Forecast
from codex_oss.accounts.quota import Credits
from codex_oss.policy.printable import INVISIBLE

CELLS: Final = 20
FULL: Final = "█"
EMPTY: Final = "░"
UNKNOWN: Final = "unknown"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY_S: Final = 24 * 3600
MAX_WORDS: Final = 40
WORDS: Final = {
    "disabled": "disabled",
    "needs_login": "needs a login",
    "workspace_unavailable": "its workspace is unavailable",
    "cooling_down": "cooling down",
}
"""Hindrance to what a person is told."""
Local = Callable[[float], datetime]
"""Epoch seconds to local time."""


def bar(left_percent: float | None, width: int = CELLS) -> str:
    """A bar of so many cells of what is left, or the word that it is unknown."""
    if left_percent is None or not math.isfinite(left_percent):
        return UNKNOWN.center(width)
    share = min(max(left_percent, 0.0), 100.0) / 100.0
    cells = max(int(share * width), 1 if left_percent > 0 else 0)
    return FULL * cells + EMPTY * (width - cells)


def left_text(left_percent: float | None) -> str:
    """`62% left`, `9.4% left`, `0.42% left`; cut, not rounded."""
    if left_percent is None or not math.isfinite(left_percent):
        return UNKNOWN
    left = min(max(left_percent, 0.0), 100.0)
    if left >= 10 or left == 0:
        return f"{int(left)}% left"
    if left < 0.01:
        return "<0.01% left"
    places = 1 if left >= 1 else 2
    # What a subtraction from 100 left behind the ninth place is no number of anybody.
    return f"{math.floor(round(left * 10**places, 6)) / 10**places:.{places}f}% left"


def reset_text(instant: float | None, now_s: float, local: Local) -> str:
    """`18:40`, or `09:12 27 Nov` beyond 24 hours; empty where there is no instant."""
    if instant is None or not math.isfinite(instant):
        return ""
    try:
        at = local(instant)
    except (OverflowError, OSError, ValueError):
        return ""
    clock = f"{at.hour:02d}:{at.minute:02d}"
    return clock if abs(instant - now_s) <= DAY_S else f"{clock} {at.day} {MONTHS[at.month - 1]}"


def credits_text(credits: Credits) -> str:
    """What is known of credits; empty when nothing is."""
    if credits.unlimited:
        return "unlimited"
    if credits.has is False:
        return "none"
    if credits.balance is not None:
        return f"{plain(credits.balance[:MAX_WORDS])} left"
    return "some, nobody said how many" if credits.has else ""


def outlook_text(forecast: Forecast, now_s: float, local: Local) -> str:
    """What is to be expected, in few words; it says when it does not know."""
    end = reset_text(forecast.empty_at, now_s, local)
    match forecast.verdict:
        case "lasts":
            return "lasts"
        case "may_not_last":
            return f"may end {end}"
        case "runs_out":
            return f"ends {end}"
        case "credits_go_on":
            return "credits go on"
        case "used_up":
            return "used up"
        case "unknown":
            return "pace unknown"


def hindrance_text(account: Account, now_s: float, local: Local) -> str:
    """Why an account is not used now, and until when; empty when it is."""
    hindrance = account.hindrance(int(now_s * 1000))
    if hindrance is None:
        return ""
    text = WORDS[hindrance]
    if hindrance != "cooling_down":
        return text
    end = reset_text(account.cooldown.until_ms / 1000, now_s, local)
    guessed = "" if account.cooldown.believed else ", a guess"
    why = f" ({plain(account.cooldown.why[:MAX_WORDS])}{guessed})" if account.cooldown.why else ""
    return f"{text} until {end}{why}" if end else f"{text}{why}"


def plain(text: str) -> str:
    """Somebody else's words for one line: nothing that moves the cursor, a tab neither."""
    return text.translate(INVISIBLE).replace("\t", " ")


def cells_of(text: str) -> int:
    """How many columns a text takes on a terminal."""
    return sum(_cells(character) for character in text)


def fitted(text: str, width: int) -> str:
    """The text in so many columns, its end cut with an ellipsis."""
    width = max(width, 1)
    if cells_of(text) <= width:
        return text
    taken, kept = 0, []
    for character in text:
        taken += _cells(character)
        if taken > width - 1:
            break
        kept.append(character)
    return f"{''.join(kept)}…"


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
