"""Marks on `encrypted_content`, so that what one provider sealed is never sent to another.

Counterparts: `wire.responses_answer` marks what an upstream sealed, `wire.responses_body` and `wire.responses_relay`
take the mark off before it goes back.

    upstream "kimi" ─► gAAA… ─► client: "kimi:gAAA…" ─► turn to kimi: gAAA…    turn to another model: left out

Rule that holds here: a mark is the name of a profile and a colon, which no base64 holds.
"""

from __future__ import annotations


def marked(profile: str, sealed: str) -> str:
    """Return *sealed* with the mark of the profile that made it; "" stays empty."""
    return f"{profile}:{sealed}" if sealed else ""


def owner_of(sealed: str) -> str:
    """Return the profile that the mark names; "" without a mark."""
    name, colon, _ = sealed.partition(":")
    return name if colon else ""


def unmarked(profile: str, sealed: str) -> str:
    """Return what *profile* sealed itself; "" for what another one did, or nobody known."""
    return sealed.partition(":")[2] if owner_of(sealed) == profile else ""
