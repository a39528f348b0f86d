"""How much of each account's windows is used, from whatever the backend says: headers, stream events, usage endpoint.

Counterparts: `lanes.chatgpt` and `services.quota_poll` feed it, `accounts.quota_record` and `services.quota_store` keep
it, `accounts.forecast` looks ahead, `cli/quota_table` shows it.

| source | where a window stands | its length | its reset |
| --- | --- | --- | --- |
| headers | `x-codex-primary-*`, `x-codex-secondary-*` | `window-minutes` | `reset-at`, `reset-after-seconds` |
| stream | `rate_limits.primary`, `.secondary` of a `codex.rate_limits` event | `window_minutes` | the same |
| usage | `rate_limit.primary_window`, `.secondary_window` | `limit_window_seconds` | the same |
| usage, another form | `limits[]` with a `name` | `limit_window_seconds` | `reset_at`, `resets_at` |

Rules that hold here:

1. A window is known by its length, not by its place: some plans report the weekly window first, and alone.
2. Decimals are kept; what was not said is None, never 0.
3. Whatever arrives, nothing is raised: what cannot be read says nothing.
4. A threshold that was told is told again only after the window recovered by more than REARM_PERCENT: answers of turns
   side by side arrive in any order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

THRESHOLDS: Final = (25.0, 20.0, 10.0, 5.0, 2.5, 0.0)
"""Remaining percent at which the person is told, once each."""
REARM_PERCENT: Final = 1.0
"""How far above a threshold a window must come before that threshold is told anew."""
FIVE_HOURS_S: Final = 5 * 3600
WEEK_S: Final = 7 * 24 * 3600
TOLERANCE: Final = 0.1
_PLACES: Final = (("primary", FIVE_HOURS_S), ("secondary", WEEK_S))
"""A window whose length was not said counts as the one that usually stands in its place."""
MAX_RESET_AHEAD_S: Final = 366 * 24 * 3600


class Window(Struct, frozen=True):
    """One window. used_percent: 0 to 100; resets_at: epoch seconds; both None where nobody said."""

    seconds: int
    used_percent: float | None = None
    resets_at: float | None = None

    @property
    def name(self) -> str:
        """`5h`, `weekly` or `<n>s`."""
        for seconds, name in ((FIVE_HOURS_S, "5h"), (WEEK_S, "weekly")):
            if abs(self.seconds - seconds) <= TOLERANCE * seconds:
                return name
        return f"{self.seconds}s"

    @property
    def left_percent(self) -> float | None:
        """What remains; None where nobody said."""
        return None if self.used_percent is None else 100.0 - self.used_percent


class Credits(Struct, frozen=True):
    """What goes on beyond the windows."""

    has: bool | None = None
    unlimited: bool | None = None
    balance: str | None = None


class Quota(Struct, frozen=True):
    """What is known of one account. read_at: epoch seconds."""

    read_at: float
    windows: tuple[Window, ...] = ()
    credits: Credits = Credits()
    plan: str = ""


class Crossed(Struct, frozen=True):
    """A threshold that was newly reached. window: its name; threshold: the deepest of THRESHOLDS that was."""

    window: str
    left_percent: float
    threshold: float


def quota_of_headers(headers: Mapping[str, str], now_s: float) -> Quota | None:
    """What the headers of an answer say (names in lower case); None when they say nothing of windows."""
    raw = {
        place: {
            "used_percent": headers.get(f"x-codex-{place}-used-percent"),
            "window_minutes": headers.get(f"x-codex-{place}-window-minutes"),
            "reset_at": headers.get(f"x-codex-{place}-reset-at"),
            "reset_after_seconds": headers.get(f"x-codex-{place}-reset-after-seconds"),
        }
        for place, _ in _PLACES
    }
    credits = Credits(
        _flag(headers.get("x-codex-credits-has-credits")),
        _flag(headers.get("x-codex-credits-unlimited")),
        headers.get("x-codex-credits-balance"),
    )
    return _quota(raw, credits, headers.get("x-codex-plan-type", ""), now_s)


def quota_of_event(event: Mapping[str, Any], now_s: float) -> Quota | None:
    """What a `codex.rate_limits` event says; None when it says nothing of windows."""
    limits = _object(event.get("rate_limits"))
    raw = {place: _object(limits.get(place)) for place, _ in _PLACES}
    return _quota(raw, _credits(event.get("credits")), _text(event.get("plan_type")), now_s)


def quota_of_usage(body: Mapping[str, Any], now_s: float) -> Quota | None:
    """What the usage endpoint says, in any of the forms that were seen; None when it says nothing of windows."""
    limit = _object(body.get("rate_limit"))
    raw = {
        place: _object(limit.get(f"{place}_window")) or _object(limit.get(place)) or _object(body.get(place))
        for place, _ in _PLACES
    }
    credits, plan = _credits(body.get("credits")), _text(body.get("plan_type"))
    return _quota(raw, credits, plan, now_s) or _quota(_listed(body.get("limits")), credits, plan, now_s)


def joined_quota(known: Quota | None, told: Quota) -> Quota:
    """What is known after something was told: windows it names replace those of the same name, others stay."""
    if known is None:
        return told
    named = {window.name: window for window in known.windows} | {window.name: window for window in told.windows}
    return Quota(
        max(known.read_at, told.read_at),
        tuple(named.values()),
        told.credits if told.credits != Credits() else known.credits,
        told.plan or known.plan,
    )


def exhausted_until(quota: Quota, now_s: float) -> float | None:
    """When the last used-up window resets, epoch seconds; None while nothing is used up, or credits go on."""
    if goes_on(quota.credits):
        return None
    resets = [
        window.resets_at
        for window in quota.windows
        if window.left_percent is not None and window.left_percent <= 0 and window.resets_at is not None
    ]
    ahead = [reset for reset in resets if reset > now_s]
    return max(ahead, default=None)


def goes_on(credits: Credits) -> bool:
    """Whether credits let turns go on when the windows are used up. A balance that nobody can read counts as one."""
    return bool(credits.unlimited or (credits.has and _number(credits.balance) != 0))


def has_quota(quota: Quota) -> bool:
    """Whether it shows that turns will be answered: what is known of windows leaves something, or credits go on."""
    lefts = [left for window in quota.windows if (left := window.left_percent) is not None]
    return goes_on(quota.credits) or (bool(lefts) and min(lefts) > 0)


def crossed(before: float | None, left_percent: float) -> float | None:
    """The deepest threshold that is newly reached. before: the deepest that was told already; None for none."""
    reached = [threshold for threshold in THRESHOLDS if left_percent <= threshold]
    deepest = min(reached, default=None)
    return deepest if deepest is not None and (before is None or deepest < before) else None


def told_after(before: float | None, left_percent: float) -> float | None:
    """The deepest threshold that counts as told from now on: a window that recovered warns anew (rule 4)."""
    held = (
        threshold
        for threshold in THRESHOLDS
        if left_percent <= threshold
        or (before is not None and before <= threshold and left_percent <= threshold + REARM_PERCENT)
    )
    return min(held, default=None)


def _quota(raw: Mapping[str, Mapping[str, Any]], credits: Credits, plan: str, now_s: float) -> Quota | None:
    windows: dict[str, Window] = {}
    for place, usual_s in _PLACES:
        window = _window(raw[place], usual_s, now_s)
        if window is not None:
            windows.setdefault(window.name, window)
    if not windows:
        return None
    return Quota(now_s, tuple(windows.values()), credits, plan.strip().lower())


def _window(raw: Mapping[str, Any], usual_s: int, now_s: float) -> Window | None:
    used = _number(raw.get("used_percent"))
    minutes, seconds = _number(raw.get("window_minutes")), _number(raw.get("limit_window_seconds"))
    length = seconds if seconds is not None else minutes * 60 if minutes is not None else None
    at, after = _number(raw.get("reset_at")), _number(raw.get("reset_after_seconds"))
    resets_at = at if at is not None else now_s + after if after is not None else None
    if resets_at is not None and not 0 < resets_at <= now_s + MAX_RESET_AHEAD_S:
        resets_at = None
    if used is None and resets_at is None:
        return None
    kept = int(length) if length is not None and 0 < length <= MAX_RESET_AHEAD_S else usual_s
    return Window(kept, None if used is None else min(max(used, 0.0), 100.0), resets_at)


def _listed(limits: object) -> dict[str, Mapping[str, Any]]:
    """The windows of a list of limits: those whose name tells their place or length, else by position."""
    raw: dict[str, Mapping[str, Any]] = {place: {} for place, _ in _PLACES}
    rows = [row for row in limits if isinstance(row, Mapping)] if isinstance(limits, list) else []
    for position, row in enumerate(rows):
        name = _text(row.get("name")).lower()
        place = "secondary" if "week" in name else "primary" if "5h" in name else ("primary", "secondary")[position % 2]
        if not raw[place]:
            raw[place] = {**row, "used_percent": _used(row), "reset_at": row.get("reset_at", row.get("resets_at"))}
    return raw


def _used(row: Mapping[str, Any]) -> float | None:
    """What a limit says is used: said as that, as what is left, or as a part of a whole."""
    used = _number(row.get("used_percent"))
    if used is not None:
        return used
    left = _number(row.get("left_percent", row.get("left_pct", row.get("leftPct"))))
    if left is not None:
        return 100.0 - left
    remaining, whole = _number(row.get("remaining")), _number(row.get("limit"))
    if remaining is None or whole is None or whole <= 0:
        return None
    return _number(100.0 - 100.0 * (remaining / whole))


def _credits(value: object) -> Credits:
    raw = _object(value)
    balance = raw.get("balance")
    shown = balance if isinstance(balance, str) else None if _number(balance) is None else str(balance)
    return Credits(_flag(raw.get("has_credits")), _flag(raw.get("unlimited")), shown)


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return (
        {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
        if isinstance(value, str)
        else None
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
