"""Which account answers a turn.

Counterparts: `accounts.book` and `accounts.affinity` are what is known; `lanes.chatgpt` asks, once for each attempt.

| order | sticky | hybrid | round_robin |
| --- | --- | --- | --- |
| 1 | the account that the person pinned | the same | the same |
| 2 | the one that the session is bound to | the same | |
| 3 | the active one | the active one | the one after the active one |
| 4 | the first that may be used | the one that was used least lately | the first |

Rules that hold here:

1. An account with a hindrance is never chosen, pinned or not. One that was tried in this turn is not chosen again.
2. Who is meant (pinned or bound) and comes back within WAIT_MS is waited for.
3. A short outage of the bound account is bridged by another one, and the session stays bound: its prompt cache is
   there. It is bound anew when the account is gone, disabled, in need of a login, or cools for LONG_MS or longer.
4. Nothing here changes which account is pinned: after its reset it answers again.
5. What the person says later than a conversation was last answered stands against what it is bound to.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from msgspec import Struct

from codex_oss.accounts.account import Account
from codex_oss.accounts.affinity import Affinity, Bound
from codex_oss.accounts.book import Book, Strategy

WAIT_MS: Final = 10_000
LONG_MS: Final = 30 * 60_000

Way = Literal["pinned", "session", "active", "first", "least_recent", "next", "none"]
"""How an account was chosen; `none` when none could be."""


class Choice(Struct, frozen=True):
    """The account that answers. account None: nobody can. wait_ms: until it can. binds: the session goes along."""

    account: Account | None
    way: Way
    wait_ms: int = 0
    binds: bool = False


def choose(
    book: Book,
    affinity: Affinity,
    now_ms: int,
    *,
    session: str = "",
    strategy: Strategy | None = None,
    tried: Collection[str] = (),
    serves: Collection[str] | None = None,
) -> Choice:
    """Choose the account of the next attempt.

    session: the key of the conversation, empty for none. tried: person keys that were asked in this turn. serves:
    person keys whose catalog has the model; None when nobody knows.
    """
    able = [
        account
        for account in book.accounts
        if account.person_key not in tried and (serves is None or account.person_key in serves)
    ]
    usable = [account for account in able if account.hindrance(now_ms) is None]
    bound = _bound(book, affinity, session)
    for person, way in ((book.pinned.person, "pinned"), (bound.person if bound else "", "session")):
        meant = next((account for account in able if account.person_key == person), None)
        if meant is not None and (wait_ms := _wait_of(meant, now_ms)) is not None:
            return Choice(meant, "pinned" if way == "pinned" else "session", wait_ms)
    if not usable:
        return Choice(None, "none")
    account, found = _by_strategy(book, usable, strategy or book.strategy or "sticky")
    return Choice(account, found, binds=bool(session) and _to_be_bound(book, bound.person if bound else "", now_ms))


def earliest_ms(book: Book, now_ms: int) -> int | None:
    """When the first account that only cools can be used again; None when no account only cools."""
    ends = [account.cooldown.until_ms for account in book.accounts if account.hindrance(now_ms) == "cooling_down"]
    return min(ends, default=None)


def _bound(book: Book, affinity: Affinity, session: str) -> Bound | None:
    """What a session is bound to; None for a binding from before the person chose or unpinned an account."""
    bound = affinity.get(session) if session else None
    overruled = bound is not None and not book.pinned.person and bound.used_ms < book.pinned.at_ms
    return None if overruled else bound


def _wait_of(account: Account, now_ms: int) -> int | None:
    """How long to wait for an account that is meant; None when it is not worth it."""
    match account.hindrance(now_ms):
        case None:
            return 0
        case "cooling_down" if account.cooldown.until_ms - now_ms <= WAIT_MS:
            return account.cooldown.until_ms - now_ms
        case _:
            return None


def _by_strategy(book: Book, usable: list[Account], strategy: Strategy) -> tuple[Account, Way]:
    active = next((account for account in usable if account.person_key == book.active.person), None)
    if strategy == "round_robin":
        return _after_active(book, usable)
    if active is not None:
        return active, "active"
    if strategy == "hybrid":
        return min(usable, key=lambda account: (account.last_used_ms, account.person_key)), "least_recent"
    return usable[0], "first"


def _after_active(book: Book, usable: list[Account]) -> tuple[Account, Way]:
    """The next usable account behind the active one, in the order of the book."""
    order = [account.person_key for account in book.accounts]
    if book.active.person not in order:
        return usable[0], "first"
    at = order.index(book.active.person)
    behind = [*order[at + 1 :], *order[: at + 1]]
    return min(usable, key=lambda account: behind.index(account.person_key)), "next"


def _to_be_bound(book: Book, person: str, now_ms: int) -> bool:
    """Whether a session is bound to whoever answers now: it is bound to nobody, or to one that will not answer soon."""
    account = book.get(person) if person else None
    if account is None:
        return True
    hindrance = account.hindrance(now_ms)
    if hindrance == "cooling_down":
        return account.cooldown.until_ms - now_ms >= LONG_MS
    return hindrance is not None
