"""One JSON object out of what a model wrote, or why there is none.

Counterparts: `missions.actions` reads whole answers with it, `missions.native_calls` the arguments of calls.
Rule: a text that readers of JSON could read in two ways (a name that stands twice) is no object.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from msgspec import Struct

MAX_ANSWER_CHARS: Final = 200_000
MAX_NAMES: Final = 200
"""Names in one object; no action has as many."""


class Unreadable(Struct, frozen=True):
    """Why a text is no JSON object."""

    code: str
    """action_too_long, action_parse_failed or action_ambiguous."""
    message: str


def read_object(text: str, what: str) -> dict[str, Any] | Unreadable:
    """The object that *text* is. what: begins the sentence of a refusal, e.g. `The answer`."""
    if len(text) > MAX_ANSWER_CHARS:
        return Unreadable("action_too_long", f"{what} is longer than {MAX_ANSWER_CHARS} characters.")
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return Unreadable("action_parse_failed", f"{what} is not one JSON object (no prose, no second object).")
    if not isinstance(value, dict):
        return Unreadable("action_parse_failed", f"{what} is JSON, but not one object.")
    if name := _repeated_name(text):
        return Unreadable("action_ambiguous", f"The name {name[:80]!r} stands twice in one object; which one counts?")
    return value


def _repeated_name(body: str) -> str:
    """The first name that an object of this valid JSON has twice; empty when none has."""
    repeated: list[str] = []

    def take(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        repeated.extend(name for name in names if names.count(name) > 1 and len(names) <= MAX_NAMES)
        repeated.extend(["(too many)"] if len(names) > MAX_NAMES else [])

    try:
        json.loads(body, object_pairs_hook=take)
    except (RecursionError, ValueError):
        return "(too deep)"
    return repeated[0] if repeated else ""
