"""Access tokens renewed before they end, so that no turn waits for it: one process of the machine, once a minute.

Counterparts: `accounts.renewal` says which, `services.token_refresh` renews; `server.app` runs it as long as the bridge
lives.

    every EVERY_S, more or less ─► are we the one? (lock of proactive-refresh.lock, kept while we live) ── no ─► wait
                                        └ yes ─► what is due, one after the other ─► renewed
                                                                                 ├─► needs a login: the book says so
                                                                                 ├─► nobody answered: PAUSE_MS for it
                                                                                 └─► ends soon again: it pauses, and
                                                                                     cools when it cannot be sent

Rules that hold here:

1. The kernel frees the lock of a process that dies; another bridge then takes over with its next look.
2. One look at a time, one account at a time. Whatever happens in one, the next one comes.
3. A failure here costs an account nothing while its token can still be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from codex_oss.accounts.account import Account, Cooldown, cooled
from codex_oss.accounts.book import Book
from codex_oss.accounts.renewal import due, ends_soon
from codex_oss.errors import BridgeError, StoreError, fault_of
from codex_oss.services.account_store import AccountStore, exclusive
from codex_oss.services.token_refresh import TokenRefresh

EVERY_S: Final = 60.0
PAUSE_MS: Final = 120_000
COOLDOWN_MS: Final = 30_000
LOCK_NAME: Final = "proactive-refresh.lock"
log = logging.getLogger(__name__)


class ProactiveRefresh:
    """The looks of one process. clock: epoch seconds."""

    def __init__(
        self,
        store: AccountStore,
        refresh: TokenRefresh,
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._refresh = refresh
        self._every_s = every_s
        self._clock = clock
        self._place = contextlib.ExitStack()
        self._ours = False
        self._not_before_ms: dict[str, int] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, unless begun already."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """End it; a renewal under way ends by itself (`TokenRefresh.aclose`)."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
        self._place.close()
        self._ours = False

    async def look(self) -> list[str]:
        """Renew what is due, if this process is the one; the person keys that were tried. Never raises."""
        tried: list[str] = []
        try:
            if not await asyncio.to_thread(self._is_ours):
                return tried
            now_ms = self._now_ms()
            for account in due(await self._store.read_soon(), now_ms):
                if self._not_before_ms.get(account.person_key, 0) <= now_ms:
                    tried.append(account.person_key)
                    await self._renew(account)
        except BridgeError as exc:
            log.warning("no token is renewed ahead: %s", exc.message)
        except Exception as exc:
            log.error("renewing ahead failed unexpectedly: %s", fault_of(exc))
        return tried

    async def _run(self) -> None:
        """Soon after the start, as tokens may have ended meanwhile, then again and again.

        By chance, so that machines that were started together do not ask together.
        """
        await asyncio.sleep(self._every_s * random.uniform(0, 0.08))  # noqa: S311
        while True:
            await self.look()
            await asyncio.sleep(self._every_s * random.uniform(0.75, 1.25))  # noqa: S311

    def _is_ours(self) -> bool:
        """Whether this process holds the place; it is taken where it is free and there is a book."""
        if not self._ours and self._store.path.exists():
            with contextlib.suppress(StoreError):
                self._place.enter_context(exclusive(self._store.folder / LOCK_NAME, 0.0))
                self._ours = True
        return self._ours

    async def _renew(self, account: Account) -> None:
        person = account.person_key
        try:
            found = await self._refresh.fresh(person, not_generation=account.credential.generation, ahead=True)
        except BridgeError as exc:
            log.info("a token was not renewed ahead: %s", exc.message)
            self._not_before_ms[person] = self._now_ms() + PAUSE_MS
            return
        now_ms = self._now_ms()
        if found is None or not ends_soon(found, now_ms):
            return
        left_ms = max(found.credential.expires_ms - now_ms, 0)
        self._not_before_ms[person] = now_ms + max(left_ms // 2, PAUSE_MS)
        if not found.fresh(now_ms):
            await self._store.change_soon(lambda book: _cooling(book, person, now_ms))

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _cooling(book: Book, person: str, now_ms: int) -> Book:
    """The book with an account cooling whose new token cannot be sent either."""
    account = book.get(person)
    if account is None or account.fresh(now_ms):
        return book
    return book.with_account(cooled(account, Cooldown(now_ms + COOLDOWN_MS, "still_due")))
