"""The accounts as a turn sees them: one that can be asked now, with a token that can be sent, and what came of it.

Counterparts: `accounts.selection` chooses, `services.token_refresh` renews, `services.account_store` keeps;
`lanes.chatgpt` acquires once for each request of a turn.

    acquire ─► book (a stat, read when it changed) ─► choose ─► cools, but not for long? ─► wait, look again
                                                        │
                                                        ├─► token ended? ─► renew ─► none: the next account
                                                        └─► Lease
    failed / exhausted ─► accounts.effects ─► written under the lock of the book

Rules that hold here:

1. No account with a hindrance is ever leased, and none twice that the turn is done with (`Trip.tried`).
2. A turn waits for resets WAIT_S at most, all waits together.
3. What a failure does is written before the next request is made; the lock is never held across a request.
4. Why nobody can answer is one of NoAccountReady's codes; `usage_limit_reached` only when every account that could be
   asked cools for what it used, and with an instant only where the backend named it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from msgspec import Struct, field, structs

from codex_oss.accounts.account import Account
from codex_oss.accounts.affinity import Affinity
from codex_oss.accounts.book import Book, Strategy
from codex_oss.accounts.changes import used
from codex_oss.accounts.effects import after_exhaustion, after_failure, cools_for_usage, without_login
from codex_oss.accounts.failover import WAIT_S
from codex_oss.accounts.failures import Failure
from codex_oss.accounts.selection import WAIT_MS, Choice, Way, choose
from codex_oss.errors import BridgeError, NoAccountReady
from codex_oss.services.account_store import AccountStore
from codex_oss.services.seen_file import SeenFile

USED_EVERY_MS: Final = 60_000
"""`last_used_ms` is written this often at most."""
REBIND_MS: Final = 3_600_000
"""A binding in use is renewed this often, so that it is not forgotten."""
log = logging.getLogger(__name__)


class Refreshes(Protocol):
    """Whoever renews tokens; `services.token_refresh.TokenRefresh`."""

    async def fresh(self, person: str, *, not_generation: int = -1) -> Account | None:
        """The account with a token that can be sent; None when it needs a login."""


class Bindings(Protocol):
    """Whoever remembers which account a session is bound to; `services.affinity_store.AffinityStore`."""

    def read(self) -> Affinity:
        """What is bound."""

    def bind(self, session: str, person: str) -> None:
        """Bind a session."""


class CatalogSignal(Protocol):
    """Whoever knows which account has which model; `services.account_catalog.AccountCatalog`."""

    def serves(self, slug: str) -> frozenset[str] | None:
        """Person keys whose catalog has it; None where nobody knows."""

    async def soon(self, person: str, etag: str = "") -> None:
        """Look again when that is due. Never raises."""


class NoCatalog:
    """Nothing is known of models."""

    def serves(self, slug: str) -> frozenset[str] | None:
        """Nobody knows."""
        return None

    async def soon(self, person: str, etag: str = "") -> None:
        """Nothing to do."""


class Trip(Struct):
    """One turn on its way through the accounts. session: what it is bound by, empty for nothing."""

    session: str
    model: str = ""
    tried: set[str] = field(default_factory=set)
    """Person keys that this turn is done with."""
    refused: dict[str, int] = field(default_factory=dict)
    """Person key to the generation whose token was refused."""
    waited_s: float = 0.0
    unreachable: BridgeError | None = None
    """Why a token could not be renewed."""


class Lease(Struct, frozen=True):
    """An account that may be asked now. instead_of: whom the session is bound to, where that is another one."""

    account: Account
    way: Way
    instead_of: str = ""
    binds: bool = False
    """The session is bound to it with its answer."""


class AccountPool:
    """All accounts of the user. strategy: None for what the book says. clock: epoch seconds."""

    def __init__(
        self,
        store: AccountStore,
        refresh: Refreshes,
        affinity: Bindings,
        *,
        strategy: Strategy | None = None,
        catalog: CatalogSignal | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.catalog = catalog or NoCatalog()
        self._store = store
        self._refresh = refresh
        self._affinity = affinity
        self._strategy = strategy
        self._clock = clock
        self._sleep = sleep
        self._seen = SeenFile(store.path, store.read)

    async def acquire(self, trip: Trip, *, prefer: str = "") -> Lease:
        """An account for the next request of a turn. prefer: a person key that is taken again when it can be.

        Raises NoAccountReady, or what kept the last token from being renewed; StoreError for a damaged book.
        """
        while True:
            book, now_ms = await self.book(), self.now_ms()
            choice = self._choose(book, trip, prefer, now_ms)
            account = choice.account
            wait_ms = choice.wait_ms if account is not None else self._wait_of(book, trip, now_ms)
            if wait_ms:
                if trip.waited_s + wait_ms / 1000 > WAIT_S + 0.5 and account is not None:
                    trip.tried.add(account.person_key)
                    continue
                await self._wait(trip, wait_ms)
                continue
            if account is None:
                raise trip.unreachable or none_ready(book, now_ms)
            ready = await self._with_token(account, trip, now_ms)
            if ready is None:
                trip.tried.add(account.person_key)
                continue
            return await self._leased(book, ready, choice, trip, now_ms)

    async def renewed(self, lease: Lease, trip: Trip) -> bool:
        """After a refused token: whether the account has another one now."""
        person, generation = lease.account.person_key, lease.account.credential.generation
        trip.refused[person] = generation
        return await self._with_token(lease.account, trip, self.now_ms()) is not None

    async def failed(self, lease: Lease, failure: Failure, *, again: bool = False) -> None:
        """Write what a failure does to its account."""
        person, generation = lease.account.person_key, lease.account.credential.generation
        now_ms = self.now_ms()
        await self._changed(person, lambda account: after_failure(account, failure, now_ms, generation, again=again))

    async def exhausted(self, person: str, until_s: float) -> None:
        """Let an account cool whose windows are used up."""
        await self._changed(person, lambda account: after_exhaustion(account, until_s))

    async def answered(self, lease: Lease, session: str) -> None:
        """Note that an account answered: bind the session to it where it goes along, and now and then when it was."""
        person = lease.account.person_key
        if lease.binds and session:
            await asyncio.to_thread(self._affinity.bind, session, person)
        now_ms, account = self.now_ms(), (await self.book()).get(person)
        if account is not None and account.last_used_ms + USED_EVERY_MS <= now_ms:
            await self._changed(person, lambda known: structs.replace(known, last_used_ms=now_ms))

    async def book(self) -> Book:
        """All accounts, as they stand on disk. Raises StoreError."""
        held = self._seen.fresh()
        return await asyncio.to_thread(self._seen.read) if held is None else held

    def _choose(self, book: Book, trip: Trip, prefer: str, now_ms: int) -> Choice:
        meant = book.get(prefer) if prefer and prefer not in trip.tried else None
        if meant is not None and meant.hindrance(now_ms) in (None, "cooling_down"):
            wait_ms = max(meant.cooldown.until_ms - now_ms, 0)
            if wait_ms <= WAIT_MS:
                return Choice(meant, "session", wait_ms)
        # round_robin takes the next one for each turn, whatever it is part of.
        session = "" if (self._strategy or book.strategy) == "round_robin" else trip.session
        return choose(
            book,
            self._affinity.read() if session else {},
            now_ms,
            session=session,
            strategy=self._strategy,
            tried=trip.tried,
            serves=self.catalog.serves(trip.model),
        )

    def _wait_of(self, book: Book, trip: Trip, now_ms: int) -> int:
        """How long to wait for the first account that only cools; 0 when it is not worth it."""
        ends = [
            account.cooldown.until_ms
            for account in book.accounts
            if account.hindrance(now_ms) == "cooling_down" and account.person_key not in trip.tried
        ]
        wait_ms = min(ends, default=0) - now_ms
        return wait_ms if 0 < wait_ms <= (WAIT_S - trip.waited_s) * 1000 else 0

    async def _wait(self, trip: Trip, wait_ms: int) -> None:
        trip.waited_s += wait_ms / 1000
        log.info("waiting %.1f s for the reset of an account", wait_ms / 1000)
        await self._sleep(wait_ms / 1000 + 0.005)

    async def _with_token(self, account: Account, trip: Trip, now_ms: int) -> Account | None:
        """The account with a token that can be sent; None when it has none."""
        refused = trip.refused.get(account.person_key, -1)
        if account.fresh(now_ms) and account.credential.generation != refused:
            return account
        try:
            ready = await self._refresh.fresh(account.person_key, not_generation=refused)
        except BridgeError as exc:
            trip.unreachable = exc
            return None
        if ready is None and not account.credential.refresh:
            generation = account.credential.generation
            await self._changed(account.person_key, lambda known: without_login(known, generation))
        # Somebody may have disabled it, or it may cool, since it was chosen.
        return ready if ready is not None and ready.hindrance(self.now_ms()) is None else None

    async def _leased(self, book: Book, account: Account, choice: Choice, trip: Trip, now_ms: int) -> Lease:
        person = account.person_key
        bound = self._affinity.read().get(trip.session) if trip.session else None
        stale = bound is not None and bound.person == person and bound.used_ms + REBIND_MS <= now_ms
        if (self._strategy or book.strategy) == "round_robin" and choice.way == "next":
            await self._store.change_soon(lambda known: used(known, person, now_ms))
        other = bound.person if bound is not None and bound.person != person else ""
        return Lease(account, choice.way, other, choice.binds or stale)

    async def _changed(self, person: str, change: Callable[[Account], Account]) -> None:
        def changed(book: Book) -> Book:
            known = book.get(person)
            return book if known is None else book.with_account(change(known))

        await self._store.change_soon(changed)

    async def facts(self) -> dict[str, int]:
        """How many accounts there are, and how many of them stand how: for `/health`, which names nobody."""
        book, now_ms = await self.book(), self.now_ms()
        stand: Counter[str] = Counter(account.hindrance(now_ms) or "ready" for account in book.accounts)
        return {"all": len(book.accounts), **stand}

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return int(self._clock() * 1000)


def none_ready(book: Book, now_ms: int) -> NoAccountReady:
    """Why no account can be asked."""
    enabled = [account for account in book.accounts if account.switch.enabled]
    signed_in = [account for account in enabled if not account.needs_login]
    allowed = [account for account in signed_in if account.workspace.enabled]
    cooling = [account for account in allowed if account.hindrance(now_ms) == "cooling_down"]
    if not book.accounts:
        hint = "Sign in with codex-oss login."
        return NoAccountReady("No ChatGPT account is signed in.", hint=hint, code="no_accounts_configured")
    if not enabled:
        hint = "codex-oss accounts enable NAME."
        return NoAccountReady("Every ChatGPT account is disabled.", hint=hint, code="no_enabled_accounts")
    if not signed_in:
        hint = "Sign in again with codex-oss login."
        return NoAccountReady("Every ChatGPT account needs a new login.", hint=hint, code="accounts_need_login")
    if cooling and len(cooling) == len(allowed) and all(map(cools_for_usage, cooling)):
        return _used_up(cooling)
    when = ""
    if cooling:
        left_s = (min(account.cooldown.until_ms for account in cooling) - now_ms) / 1000
        when = f" The first one can be asked again in {wait_text(left_s)}."
    return NoAccountReady(f"No ChatGPT account can be asked now.{when}", hint="codex-oss accounts list says why.")


def wait_text(seconds: float) -> str:
    """`3m 20s`, or `20s`."""
    whole = max(int(seconds + 0.999), 1)
    return f"{whole // 60}m {whole % 60}s" if whole >= 60 else f"{whole}s"


def _used_up(cooling: list[Account]) -> NoAccountReady:
    told = [account.cooldown.until_ms / 1000 for account in cooling if account.cooldown.believed]
    return NoAccountReady(
        "The usage limit of every ChatGPT account is reached.",
        hint="codex-oss accounts status shows when they reset.",
        code="usage_limit_reached",
        resets_at=min(told, default=None),
    )
