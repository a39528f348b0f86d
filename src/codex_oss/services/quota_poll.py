"""Asking the backend how much of an account's windows is used, beside the turns and never in their way.

    soon ─► task ─┐
    poll ─────────┴─► due? ── no ─► what is known
                        └─ yes ─► wham/usage ── refused? ─► codex/usage ─► take ─► the cooldown ends or begins
                                                                  └─ crossed a threshold ─► one log line

Counterparts: `services.backend_reads` asks, `accounts.quota` reads the answer, `accounts.resuming` says what follows;
`lanes.chatgpt` begins a poll after a turn, `codex-oss accounts status` waits for one.

Rules that hold here:

1. An account is asked every PACE_S at most, AGAIN_S after a failure, and not at all while something newer is known from
   the answers to its turns. Polls of one account at a time are one.
2. No answer of this endpoint is a failure of the account, whatever its status: only turns say that.
3. An account that is disabled, needs a login or lost its workspace is neither asked nor refreshed.
4. Nothing is raised.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.quota import Crossed, Quota, quota_of_usage
from codex_oss.accounts.resuming import after_look
from codex_oss.accounts.view import label_of
from codex_oss.errors import BridgeError, fault_of
from codex_oss.services.account_store import AccountStore
from codex_oss.services.backend_reads import BackendPath, BackendReads
from codex_oss.services.quota_store import QuotaStore

PACE_S: Final = 60.0
AGAIN_S: Final = 10.0
TIMEOUT_S: Final = 3.0
PATHS: Final[tuple[BackendPath, ...]] = ("wham/usage", "codex/usage")
"""Observed: one project met a 403 at the first and moved to the second. Both say the same."""
ELSEWHERE: Final = (400, 403, 404, 405)
"""Answers after which the other path is tried."""
MAX_REMEMBERED: Final = 512
log = logging.getLogger(__name__)


class Refreshes(Protocol):
    """Whoever renews tokens; `services.token_refresh.TokenRefresh`."""

    async def fresh(self, person: str, *, not_generation: int = -1) -> Account | None:
        """The account with a token that can be sent; None when it needs a login."""


def log_crossed(account: Account, crossed: Crossed) -> None:
    """The one log event of a threshold."""
    left = f"{crossed.left_percent:g}"
    log.warning("quota_threshold account=%s window=%s remaining_percent=%s", label_of(account), crossed.window, left)


class QuotaPoll:
    """The polls of one process. told: hears of each threshold that a poll crossed; clock: epoch seconds."""

    def __init__(
        self,
        refresh: Refreshes,
        store: AccountStore,
        quotas: QuotaStore,
        reads: BackendReads,
        *,
        told: Callable[[Account, Crossed], None] = log_crossed,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._refresh = refresh
        self._store = store
        self._quotas = quotas
        self._reads = reads
        self.told = told
        self._clock = clock
        self._asked: dict[str, tuple[float, bool]] = {}
        """Person key to when it was asked last, and whether it answered."""
        self._under_way: dict[str, asyncio.Task[Quota | None]] = {}
        self._paths = list(PATHS)

    async def poll(self, person: str, *, insists: bool = False, resumes: bool = False) -> Quota | None:
        """An account's windows as of now: asked for, or heard within PACE_S; None when they could not be had.

        insists: a person asks, at once. resumes: he wants the account to answer again: its cooldown for usage ends when
        there is quota, whoever named its end.
        """
        task = self._under_way.get(person)
        if task is not None and (insists or resumes):
            await asyncio.wait([task])  # it was begun by somebody who wants less
            task = self._under_way.get(person)
        return await asyncio.shield(task or self._begun(person, insists=insists or resumes, resumes=resumes))

    def soon(self, persons: Iterable[str]) -> None:
        """Poll accounts when that is due; nobody waits for it."""
        for person in persons:
            if person not in self._under_way and self._due(person):
                self._begun(person)

    async def aclose(self) -> None:
        """Leave what is under way: nothing is lost with it."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begun(self, person: str, *, insists: bool = False, resumes: bool = False) -> asyncio.Task[Quota | None]:
        task = asyncio.create_task(self._polled(person, insists=insists, resumes=resumes))
        self._under_way[person] = task

        def ended(_: object) -> None:
            if self._under_way.get(person) is task:
                del self._under_way[person]

        task.add_done_callback(ended)
        return task

    async def _polled(self, person: str, *, insists: bool, resumes: bool) -> Quota | None:
        try:
            known = (await asyncio.to_thread(self._quotas.known)).get(person)
            account = (await self._store.read_soon()).get(person)
            if account is None or account.hindrance(self._now_ms()) not in (None, "cooling_down"):
                return None
            if not insists and (not self._stale(known) or not self._due(person)):
                return None if self._stale(known) else known
            self._note(person, answered=False)
            fresh = await self._refresh.fresh(person)
            body = await self._answer(fresh) if fresh is not None else None
            told = quota_of_usage(body, self._clock()) if body is not None else None
            if fresh is None or body is None or told is None:
                return None
            self._note(person, answered=True)
            return await self._learn(fresh, account, told, allowed=_allowed(body), resumes=resumes)
        except BridgeError as exc:
            log.info("quota is not known: %s", exc.message)
        except Exception as exc:
            log.error("unexpected error: %s", fault_of(exc))
        return None

    async def _answer(self, account: Account) -> dict[str, Any] | None:
        """The usage that the backend tells; the path that answered is tried first from then on."""
        for path in list(self._paths):
            answer = await self._reads.get(path, account, TIMEOUT_S)
            if answer.status == 200 and (body := answer.object) is not None:
                self._paths.sort(key=lambda known: known != path)
                return body
            if answer.status not in (200, *ELSEWHERE):
                break
        return None

    async def _learn(self, account: Account, before: Account, told: Quota, *, allowed: bool, resumes: bool) -> Quota:
        """Keep what was told, and let the account answer again or cool. before: it, when the poll began."""
        person, now_s = account.person_key, self._clock()
        for crossed in await asyncio.to_thread(self._quotas.take, person, told):
            self.told(account, crossed)

        def looked(known: Account) -> Account:
            return after_look(known, before.cooldown, told, now_s, allowed=allowed, resumes=resumes)

        def change(book: Book) -> Book:
            known = book.get(person)
            if known is None or (after := looked(known)) == known:
                return book
            return book.with_account(after)

        if looked(account) != account:
            after = (await self._store.change_soon(change)).get(person)
            if after is not None and before.cooldown.until_ms > now_s * 1000 >= after.cooldown.until_ms:
                log.info("%s has quota again", label_of(account))
        return (await asyncio.to_thread(self._quotas.known)).get(person, told)

    def _due(self, person: str) -> bool:
        at, answered = self._asked.get(person, (0.0, True))
        return not 0 <= self._clock() - at < (PACE_S if answered else AGAIN_S)

    def _stale(self, known: Quota | None) -> bool:
        return known is None or not 0 <= self._clock() - known.read_at < PACE_S

    def _note(self, person: str, *, answered: bool) -> None:
        self._asked.pop(person, None)
        self._asked[person] = (self._clock(), answered)
        while len(self._asked) > MAX_REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _allowed(body: Mapping[str, Any]) -> bool:
    """False where the backend says that turns are not answered, whatever its percentages are."""
    limit = body.get("rate_limit")
    return not (isinstance(limit, Mapping) and (limit.get("allowed") is False or limit.get("limit_reached") is True))
