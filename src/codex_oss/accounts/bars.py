"""What is left of a quota window, as text for a person: a bar, a percentage, and when it is full again.

Counterparts: `tui` and `cli` draw with it; `accounts.quota` is what is known.

Rule: what nobody said is drawn as unknown, never as an empty bar. So is what was said of a window that ended since.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final, Literal

from codex_oss.accounts.quota import Window

FULL: Final = "█"
LIGHT: Final = "░"
CELLS: Final = 20
UNKNOWN: Final = "unknown"
DAY_S: Final = 24 * 3600
RED_LEFT: Final = 10.0
YELLOW_LEFT: Final = 40.0

Level = Literal["unknown", "low", "middle", "high"]
"""How much is left, for a colour: `low` up to RED_LEFT percent, `middle` below YELLOW_LEFT."""


def left_now(window: Window, now_s: float) -> float | None:
    """What is left of a window in percent; None where nobody said, or said it before the window's reset."""
    over = window.resets_at is not None and window.resets_at <= now_s
    return None if over else window.left_percent


def bar(left_percent: float | None, cells: int = CELLS) -> str:
    """A bar of so many cells, full where something is left; UNKNOWN (as wide) for None.

    It is empty only when nothing is left, and full only when nothing is used.
    """
    if left_percent is None:
        return UNKNOWN[:cells].ljust(cells)
    left = min(max(left_percent, 0.0), 100.0)
    full = round(left / 100 * cells)
    if 0 < left < 100:
        full = min(max(full, 1), cells - 1)
    return FULL * full + LIGHT * (cells - full)


def percent_left(left_percent: float | None) -> str:
    """`37% left`; UNKNOWN for None."""
    return UNKNOWN if left_percent is None else f"{percent(left_percent)} left"


def percent(left_percent: float | None) -> str:
    """`37%` or `37.5%`, `?` for None; `0%` and `100%` only for nothing and all."""
    if left_percent is None:
        return "?"
    left = min(max(left_percent, 0.0), 100.0)
    if 0 < left < 100:
        left = min(max(left, 0.1), 99.9)
    return f"{left:.1f}".removesuffix(".0") + "%"


def instant(at_s: float, now_s: float, zone: tzinfo | None) -> str:
    """`14:05` within a day, else `14:05 3 Dec`; the instant and now in epoch seconds, zone None for this machine's."""
    at = datetime.fromtimestamp(at_s, zone)
    clock = f"{at:%H:%M}"
    return clock if abs(at_s - now_s) < DAY_S else f"{clock} {at.day} {at:%b}"


def level(left_percent: float | None) -> Level:
    """The level of what is left."""
    if left_percent is None:
        return "unknown"
    if left_percent <= RED_LEFT:
        return "low"
    return "middle" if left_percent < YELLOW_LEFT else "high"
