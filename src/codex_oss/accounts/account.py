"""One account: who it is, its credential, and what keeps it from being used.

Counterparts: `accounts.book` is all of them, `accounts.shapes` reads and writes them, `accounts.selection` chooses.

    who           account id (the workspace), e-mail, user id; the plan may change, the account stays the same
    credential    access and refresh token, and a generation that grows with each rotation
    held back     disabled · needs a login · workspace unavailable · cooling down        (`hindrance`, in this order)

Rules that hold here:

1. `person_key` says which records are the same account. It is a function of the record alone: no plan in it.
2. All instants are epoch milliseconds, 0 where nothing is known.
3. What is unknown to this version stays in `extra`.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field, structs

Hindrance = Literal["disabled", "needs_login", "workspace_unavailable", "cooling_down"]
"""Why an account is not used now."""
SKEW_MS = 60_000
"""An access token that ends within this counts as ended: it must survive the request."""


class Switch(Struct, frozen=True, rename="camel"):
    """Whether an account may be used at all. at_ms: when that was said; why: in a word, for the person."""

    at_ms: int = 0
    enabled: bool = True
    why: str = ""


class Cooldown(Struct, frozen=True, rename="camel"):
    """Until when nothing is asked of an account. why: a code; believed: the backend named the instant."""

    until_ms: int = 0
    why: str = ""
    believed: bool = False


class Credential(Struct, frozen=True, rename="camel"):
    """What the issuer gave. generation: grows by one with each answer of the issuer that was stored."""

    generation: int = 0
    expires_ms: int = 0
    access: str = ""
    refresh: str = ""


class Account(Struct, frozen=True, kw_only=True, rename="camel"):
    """One account. key: what the person sees and names it by, `accountId|email|plan` where all three are known."""

    key: str
    account_id: str = ""
    email: str = ""
    """Lower case."""
    user_id: str = ""
    plan: str = ""
    identified_ms: int = 0
    """When key, e-mail, user id and plan were read from a token."""
    credential: Credential = Credential()
    rejected_generation: int = -1
    """The credential whose access token was refused although it had not ended."""
    dead_generation: int = -1
    """The credential whose refresh token is of no use any more: this account needs a login."""
    switch: Switch = Switch()
    cooldown: Cooldown = Cooldown()
    workspace: Switch = Switch()
    """Whether the workspace lets this account in; not enabled after the backend refused it."""
    added_ms: int = 0
    last_used_ms: int = 0
    last_error: tuple[int, str] = (0, "")
    """When, and its code."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def person_key(self) -> str:
        """The same for every record of one account: the person in the workspace; the key where neither is known."""
        person = self.email or self.user_id
        return f"{person}|{self.account_id}" if person and self.account_id else f"key|{self.key}"

    @property
    def needs_login(self) -> bool:
        """Whether only the person can make it usable again."""
        held = self.credential
        return held.generation <= self.dead_generation or not (held.refresh or held.access)

    def hindrance(self, now_ms: int) -> Hindrance | None:
        """Why it is not to be used now; None when it may be."""
        if not self.switch.enabled:
            return "disabled"
        if self.needs_login:
            return "needs_login"
        if not self.workspace.enabled:
            return "workspace_unavailable"
        return "cooling_down" if self.cooldown.until_ms > now_ms else None

    def fresh(self, now_ms: int) -> bool:
        """Whether the access token can be sent as it is."""
        held = self.credential
        return bool(held.access) and held.expires_ms > now_ms + SKEW_MS and held.generation > self.rejected_generation


def identity_key(account_id: str, email: str, plan: str, fallback: str = "") -> str:
    """`accountId|email|plan`, e-mail and plan in lower case; *fallback* unless all three are known."""
    parts = (account_id.strip(), email.strip().lower(), plan.strip().lower())
    return "|".join(parts) if all(parts) else fallback


def cooled(account: Account, cooldown: Cooldown) -> Account:
    """The account with a cooldown that an error asks for: one that lasts longer already stands."""
    return account if cooldown.until_ms <= account.cooldown.until_ms else structs.replace(account, cooldown=cooldown)


def rotated(account: Account, access: str, refresh: str, expires_ms: int) -> Account:
    """The account after an answer of the issuer. refresh: empty where it named none, the old one then stays."""
    held = account.credential
    renewed = Credential(held.generation + 1, expires_ms, access, refresh or held.refresh)
    return structs.replace(account, credential=renewed)
