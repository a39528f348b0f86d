"""Which account a conversation is bound to: prompt cache and sealed reasoning are of one account.

Counterparts: `accounts.selection` reads and binds, `services.affinity_store` keeps it over restarts.

Rule: two copies are joined key by key, the later binding wins; a binding that nobody used for TTL_MS is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

TTL_MS: Final = 24 * 3600 * 1000
MAX_BOUND: Final = 200


class Bound(Struct, frozen=True, order=True):
    """A binding. used_ms: when it was made or used last."""

    used_ms: int
    person: str


Affinity = Mapping[str, Bound]
"""Session key to its binding."""


def joined_affinity(one: Affinity, other: Affinity, now_ms: int) -> dict[str, Bound]:
    """What two processes know together, the newest MAX_BOUND of what is not forgotten."""
    out = dict(one)
    for session, bound in other.items():
        out[session] = max(out.get(session, bound), bound)
    return pruned(out, now_ms)


def bound_to(affinity: Affinity, session: str, person: str, now_ms: int) -> dict[str, Bound]:
    """The map with a session bound to an account from now on."""
    return pruned({**affinity, session: Bound(now_ms, person)}, now_ms)


def pruned(affinity: Affinity, now_ms: int) -> dict[str, Bound]:
    """The newest MAX_BOUND bindings that are not forgotten."""
    alive = [(bound, session) for session, bound in affinity.items() if bound.used_ms > now_ms - TTL_MS]
    return {session: bound for bound, session in sorted(alive)[-MAX_BOUND:]}
