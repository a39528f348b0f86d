"""Which access tokens are renewed before anybody asks for them.

Counterpart: `services.proactive_refresh`, which asks once a minute.

Rules that hold here:

1. Only an account that may be used now is renewed: never a disabled one, none that needs a login or cools.
2. One that nobody used for IDLE_MS is left alone: each renewal spends a refresh token, and idle logins that are
   renewed over and over are what issuers look at.
"""

from __future__ import annotations

from typing import Final

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book

AHEAD_MS: Final = 5 * 60_000
"""A token that ends within this is renewed. Observed: the official client's own lead."""
IDLE_MS: Final = 3 * 24 * 3600 * 1000


def due(book: Book, now_ms: int) -> list[Account]:
    """The accounts whose tokens are to be renewed now, the one that ends first before the others."""
    found = [account for account in book.accounts if _is_due(account, now_ms)]
    return sorted(found, key=lambda account: (account.credential.expires_ms, account.person_key))


def ends_soon(account: Account, now_ms: int) -> bool:
    """Whether its access token ends so soon that it would be renewed; one without a known end does."""
    return account.credential.expires_ms <= now_ms + AHEAD_MS


def _is_due(account: Account, now_ms: int) -> bool:
    seen_ms = max(account.last_used_ms, account.added_ms)
    able = bool(account.credential.refresh) and account.hindrance(now_ms) is None
    return able and ends_soon(account, now_ms) and seen_ms > now_ms - IDLE_MS
