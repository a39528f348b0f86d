"""What a person is shown of the accounts, and programs as JSON: no token, no generation, nothing to sign in with.

Counterparts: `cli/accounts`, `tui` and the MCP tools print it; `accounts.book` and `accounts.quota` are what is known.
`as_listed` is the fixed form of `codex-oss accounts list --json` (docs/accounts.md): programs rely on each name in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.accounts.account import Account, Hindrance
from codex_oss.accounts.book import Book
from codex_oss.accounts.quota import Quota


class WindowView(Struct, frozen=True):
    """One window. window: `5h`, `weekly` or `<n>s`; resets_at: epoch seconds; null where nobody said."""

    window: str
    used_percent: float | None
    resets_at: float | None


class AccountView(Struct, frozen=True, kw_only=True):
    """One account. Instants are epoch seconds, null where there is none."""

    key: str
    email: str | None
    plan: str | None
    enabled: bool
    active: bool
    """The one that a turn of no session gets."""
    pinned: bool
    reason: Hindrance | None
    """Why it is not used now."""
    why: str | None
    """The reason's own reason: who disabled it, which failure it cools for; a code."""
    cooldown_until: float | None
    needs_login: bool
    quota: tuple[WindowView, ...]


LISTED: Final = ("key", "email", "plan", "enabled", "active", "reason", "cooldown_until", "needs_login", "quota")
"""The fields of the fixed form, in its order."""


def as_listed(view: AccountView) -> dict[str, Any]:
    """One account in the fixed form: these fields and no others."""
    told = as_told(view)
    return {name: told[name] for name in LISTED}


def as_told(view: AccountView) -> dict[str, Any]:
    """One account with everything that is shown of it, for JSON."""
    told: dict[str, Any] = msgspec.to_builtins(view)
    return told


def active_of(book: Book) -> Account | None:
    """The account that a turn of no session is for: the active one, else the first that is enabled."""
    meant = book.get(book.active.person)
    if meant is not None and meant.switch.enabled:
        return meant
    return next((account for account in book.accounts if account.switch.enabled), None)


def views_of(book: Book, quotas: Mapping[str, Quota], now_ms: int) -> list[AccountView]:
    """All accounts, in the order of the book. quotas: by person key."""
    active = active_of(book)
    return [
        _view(book, account, quotas.get(account.person_key), now_ms, active=account is active)
        for account in book.accounts
    ]


def label_of(account: Account) -> str:
    """How an account is called in a sentence: `email (plan)`, else its e-mail, else the end of its id."""
    if account.email:
        return f"{account.email} ({account.plan})" if account.plan else account.email
    return f"account …{account.account_id[-6:]}" if account.account_id else account.key


def _view(book: Book, account: Account, quota: Quota | None, now_ms: int, *, active: bool) -> AccountView:
    reason = account.hindrance(now_ms)
    cooling = account.cooldown.until_ms > now_ms
    return AccountView(
        key=account.key,
        email=account.email or None,
        plan=account.plan or None,
        enabled=account.switch.enabled,
        active=active,
        pinned=book.pinned.person == account.person_key,
        reason=reason,
        why=_why(account, reason),
        cooldown_until=account.cooldown.until_ms / 1000 if cooling else None,
        needs_login=account.needs_login,
        quota=tuple(
            WindowView(window.name, window.used_percent, window.resets_at)
            for window in (quota.windows if quota else ())
        ),
    )


def _why(account: Account, reason: Hindrance | None) -> str | None:
    match reason:
        case None:
            return None
        case "disabled":
            return account.switch.why or None
        case "needs_login":
            return account.last_error[1] or None
        case "workspace_unavailable":
            return account.workspace.why or None
        case "cooling_down":
            return account.cooldown.why or None
