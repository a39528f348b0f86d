"""How one setting is read: a TOML value or the string of an environment variable in, a value out.

Counterpart: `config.SETTINGS` names one of these for each setting. Each raises ValueError with what was expected; the
docs of the settings are made from those words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

LOOPBACK_URL: Final = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/?")
"""A pattern and no parser: what two parsers read differently does not fit at all."""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """The bounds of one scheduler lane."""

    capacity: int
    """Missions that run in it at once."""
    queue: int
    """Missions that may wait for it; a further one is refused at once."""
    wait_s: float
    """How long one waits at most."""


LANE_DEFAULTS: Final[Mapping[str, LaneLimits]] = {
    "read_pool": LaneLimits(3, 4, 15.0),
    "patch_pool": LaneLimits(2, 2, 10.0),
    "isolated_apply": LaneLimits(1, 1, 10.0),
    "workspace_apply": LaneLimits(1, 1, 5.0),
    "critical_lane": LaneLimits(1, 1, 5.0),
}
"""The scheduler lanes. Source: mission contract, concurrency."""
LANE_KEYS: Final[Mapping[str, str]] = {
    "capacity": "capacity",
    "queue": "queue",
    "queue_max": "queue",
    "wait": "wait_s",
    "wait_s": "wait_s",
    "wait_seconds": "wait_s",
}
"""A lane's key as it may be written -> field of `LaneLimits`."""
LANE_FORM: Final = 'lane to {"capacity", "queue", "wait"}, or to [capacity, queue, wait]'


def parse_text(raw: Any) -> str:
    """A string with something in it, without blanks at its ends."""
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError(f"expected a non-empty string, got {_shown(raw)}")
    return raw.strip()


def parse_secret(raw: Any) -> str:
    """A key: what may stand in a header. Its value is never part of a message."""
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("expected a non-empty string")
    if not raw.isascii() or any(c.isspace() for c in raw.strip()):
        raise ValueError("expected printable ASCII without blanks (it travels in a header)")
    return raw.strip()


def parse_url(raw: Any) -> str:
    """An HTTP address without the slash at its end."""
    address = parse_text(raw).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise ValueError(f"expected a URL that starts with http:// or https://, got {_shown(raw)}")
    return address


def parse_loopback_url(raw: Any) -> str:
    """An address of this machine."""
    address = parse_text(raw)
    if not LOOPBACK_URL.fullmatch(address):
        raise ValueError(f"expected a plain URL of this machine, http://127.0.0.1:PORT/PATH, got {_shown(raw)}")
    return address.rstrip("/")


def parse_flag(raw: Any) -> bool:
    """true or false, also as 1, 0, yes, no, on, off."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"expected true or false (or 1 or 0), got {_shown(raw)}")


def whole(low: int, high: int) -> Callable[[Any], int]:
    """Whole numbers, both bounds included."""

    def parse(raw: Any) -> int:
        try:
            if isinstance(raw, bool | float):
                raise ValueError
            number = int(raw)
        except (TypeError, ValueError):
            raise ValueError(f"expected a whole number from {low} to {high}, got {_shown(raw)}") from None
        if not low <= number <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {number}")
        return number

    return parse


def seconds(low: float, high: float) -> Callable[[Any], float]:
    """Seconds, both bounds included."""

    def parse(raw: Any) -> float:
        try:
            if isinstance(raw, bool):
                raise ValueError
            number = float(raw)
        except (TypeError, ValueError):
            raise ValueError(f"expected seconds from {low:g} to {high:g}, got {_shown(raw)}") from None
        if not low <= number <= high:  # also refuses nan
            raise ValueError(f"expected seconds from {low:g} to {high:g}, got {number:g}")
        return number

    return parse


def one_of(*words: str) -> Callable[[Any], str]:
    """One of these words, in any case."""

    def parse(raw: Any) -> str:
        word = str(raw).strip().lower()
        if word not in words:
            raise ValueError(f"expected one of {', '.join(words)}, got {_shown(raw)}")
        return word

    return parse


def parse_texts(raw: Any) -> tuple[str, ...]:
    """A list of strings, or one string with commas."""
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"expected a list of strings, got {_shown(raw)}")
    return tuple(part.strip() for part in parts if part.strip())


def table(item: Callable[[Any], Any], what: str) -> Callable[[Any], dict[str, Any]]:
    """A table whose values are all read by *item*; from the environment as JSON. what: its form, for the message."""

    def parse(raw: Any) -> dict[str, Any]:
        try:
            table = json.loads(raw) if isinstance(raw, str) else raw
        except json.JSONDecodeError as exc:
            raise ValueError(f"expected a JSON object ({what}); it does not parse: {exc.msg}") from None
        if not isinstance(table, Mapping):
            raise ValueError(f"expected an object ({what}), got {_shown(raw)}")
        return {str(key): item(value) for key, value in table.items()}

    return parse


def parse_lanes(raw: Any) -> dict[str, LaneLimits]:
    """The scheduler lanes, each with the defaults for what was left out; see `LANE_FORM`."""
    lanes = dict(LANE_DEFAULTS)
    for name, limits in table(_lane_numbers, LANE_FORM)(raw).items():
        if name not in lanes:
            raise ValueError(f"expected a table of {', '.join(LANE_DEFAULTS)}, got the lane {_shown(name)}")
        lanes[name] = replace(lanes[name], **limits)
    return lanes


def _lane_numbers(raw: Any) -> dict[str, float]:
    """The fields of one lane that are given."""
    if isinstance(raw, list) and len(raw) == 3:
        raw = dict(zip(("capacity", "queue", "wait"), raw, strict=True))
    if not isinstance(raw, Mapping):
        raise ValueError(f"expected an object ({LANE_FORM}), got {_shown(raw)}")
    numbers: dict[str, float] = {}
    for key, value in raw.items():
        if key not in LANE_KEYS:
            raise ValueError(f"expected the keys capacity, queue and wait of a lane, got {_shown(key)}")
        field = LANE_KEYS[key]
        numbers[field] = LANE_BOUNDS[field](value)
    return numbers


LANE_BOUNDS: Final[Mapping[str, Callable[[Any], float]]] = {
    "capacity": whole(1, 4096),
    "queue": whole(0, 4096),
    "wait_s": seconds(0, 3600),
}


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."
