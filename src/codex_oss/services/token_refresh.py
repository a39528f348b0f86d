"""Fresh access tokens: each refresh token is spent once, by one process, whatever happens in between.

Counterparts: `services.account_store` keeps the tokens, `services.issuer` gives new ones, `lanes.chatgpt` asks.

    fresh? ── yes ─► done
       └ no ─► in this process: the refresh under way, if there is one          (single flight)
                └ else ─► lock of this account ─► read again ─ somebody else was faster ─► done
                                                   └ still old ─► issuer ─► write ─► unlock

Rules that hold here:

1. The lock of an account is a file lock that its holder keeps during the call: the kernel frees it when the holder
   dies, no clock while it lives. So no living process spends a token that another one spent.
2. An answer of the issuer is written whenever the token that was spent is still the one in the book; else somebody
   signed in meanwhile, and that login stands. It is written even if whoever asked is gone.
3. Before a terminal refusal is believed the book is read again: tokens that changed meanwhile are used.
4. Who waits for another process waits WAIT_S at most, and is told so. A refusal that is not terminal costs the account
   a short cooldown, so that not every turn asks again; none when it was asked ahead of need (`ahead`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from typing import Final

from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, cooled, rotated
from codex_oss.accounts.book import Book
from codex_oss.accounts.oauth import Refusal, Tokens
from codex_oss.accounts.shapes import who_of
from codex_oss.errors import StoreError, Unavailable
from codex_oss.services.account_store import AccountStore, exclusive
from codex_oss.services.issuer import Issuer

WAIT_S: Final = 30.0
PAUSE_MS: Final = 30_000
"""What an account cools after a refresh that failed for no reason of its own."""
log = logging.getLogger(__name__)


class TokenRefresh:
    """The refreshes of one process. clock: epoch seconds."""

    def __init__(self, store: AccountStore, issuer: Issuer, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._issuer = issuer
        self._clock = clock
        self._under_way: dict[str, asyncio.Task[Account | None]] = {}

    async def fresh(self, person: str, *, not_generation: int = -1, ahead: bool = False) -> Account | None:
        """The account with an access token that can be sent; None when it has none and needs a login, or is gone.

        not_generation: a credential that was refused although it had not ended. ahead: what is held can be sent for a
        while yet. Raises Unavailable when the issuer or
        another process does not answer, StoreError for a book that cannot be read or written.
        """
        account = (await self._store.read_soon()).get(person)
        if account is None or self._usable(account, not_generation):
            return account
        task = self._under_way.get(person)
        if task is None:
            task = asyncio.create_task(self._refreshed(person, not_generation, ahead=ahead))
            self._under_way[person] = task
            task.add_done_callback(lambda _: self._under_way.pop(person, None))
        # Whoever asked may go: the answer of the issuer is written all the same.
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Let what is under way end: an answer that nobody writes costs a login."""
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    def _usable(self, account: Account, not_generation: int) -> bool:
        return account.fresh(self._now_ms()) and account.credential.generation != not_generation

    async def _refreshed(self, person: str, not_generation: int, *, ahead: bool) -> Account | None:
        lock = self._store.folder / f"refresh-{hashlib.sha256(person.encode()).hexdigest()[:16]}.lock"
        held = exclusive(lock, WAIT_S)
        try:
            await asyncio.to_thread(held.__enter__)
        except StoreError as exc:
            raise Unavailable("Another process is refreshing this account and does not come to an end.") from exc
        try:
            account = (await self._store.read_soon()).get(person)
            if account is None or self._usable(account, not_generation):
                return account
            if account.needs_login or not account.credential.refresh:
                return None
            answer = await self._issuer.refresh(account.credential.refresh)
            return await self._spent(account, answer, pauses=not (ahead and account.fresh(self._now_ms())))
        finally:
            held.__exit__(None, None, None)

    async def _spent(self, account: Account, answer: Tokens | Refusal, *, pauses: bool) -> Account | None:
        """Write what came of it; the account as it stands then, None when it needs a login."""
        spent, now_ms = account.credential.refresh, self._now_ms()

        def settle(book: Book) -> Book:
            known = book.get(account.person_key)
            if known is None or known.credential.refresh != spent:
                return book
            return book.with_account(_settled(known, answer, now_ms, pauses=pauses))

        after = (await self._store.change_soon(settle)).get(account.person_key)
        if isinstance(answer, Refusal):
            log.warning("a refresh failed: %s%s", answer.shown, ", a login is needed" if answer.terminal else "")
            if after is not None and self._usable(after, account.credential.generation):
                return after
            if not answer.terminal:
                raise Unavailable(f"The sign-in service did not renew the access token ({answer.shown}).")
            return None
        return after

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _settled(account: Account, answer: Tokens | Refusal, now_ms: int, *, pauses: bool) -> Account:
    """The account after an answer to its refresh token. pauses: whether a refusal of the moment costs a cooldown."""
    if isinstance(answer, Refusal):
        failed = structs.replace(account, last_error=(now_ms, answer.shown))
        if answer.terminal:
            return structs.replace(failed, dead_generation=account.credential.generation)
        return cooled(failed, Cooldown(now_ms + PAUSE_MS, "refresh_failed")) if pauses else failed
    renewed = rotated(account, answer.access, answer.refresh, now_ms + int(answer.life_s * 1000))
    plan = who_of(answer.id_token, answer.access).plan or account.plan
    return structs.replace(renewed, plan=plan, identified_ms=now_ms)
