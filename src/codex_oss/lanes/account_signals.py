"""What the backend says beside its answers: how much of an account's windows is used, and that its models changed.

Counterparts: `lanes.account_request` hears it; `services.quota_store` and `services.account_catalog` keep it;
`services.account_pool` lets an account cool whose windows are used up.

    headers, codex.rate_limits ─► task ─► QuotaSink ─► crossed a threshold? ─► one log line quota_threshold
                                            └─ nothing left ─► the account cools until the reset

Rules that hold here:

1. Nothing of this holds up a stream; `settled` waits for it before a turn ends, so that the next one knows.
2. What fails here is logged and fails no turn.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol

from codex_oss.accounts.account import Account
from codex_oss.accounts.effects import cools_for_usage
from codex_oss.accounts.quota import Quota, exhausted_until
from codex_oss.accounts.view import label_of
from codex_oss.errors import StoreError, fault_of
from codex_oss.services.account_pool import AccountPool

log = logging.getLogger(__name__)

SAID_AGAIN_S = 60
"""After this the same figures count as news."""


class Crossing(Protocol):
    """A threshold that a window newly fell below; `accounts.quota.Crossed`."""

    @property
    def window(self) -> str:
        """`5h`, `weekly` or `<n>s`."""

    @property
    def left_percent(self) -> float:
        """What remains."""


Heard = Callable[[str, str, float], None]
"""Takes a crossed threshold: the account as a person knows it, the window, and what remains of it in percent."""


class QuotaSink(Protocol):
    """Whoever keeps quotas; `services.quota_store.QuotaStore`."""

    def take(self, person: str, told: Quota) -> Sequence[Crossing]:
        """Keep what was told; the thresholds that are newly crossed."""


class QuotaPolls(Protocol):
    """Whoever asks for quotas beside the turns; `services.quota_poll.QuotaPoll`."""

    def soon(self, persons: Iterable[str]) -> None:
        """Ask for those of these accounts that are due."""


class AccountSignals:
    """The signals of one bridge.

    quotas: None keeps nothing, and nobody is warned. polls: None asks nobody. clock: epoch seconds.
    """

    def __init__(
        self,
        pool: AccountPool,
        quotas: QuotaSink | None = None,
        polls: QuotaPolls | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._quotas = quotas
        self._polls = polls
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, tuple[Any, ...]] = {}
        self._listeners: list[Heard] = []

    def listen(self, heard: Heard) -> None:
        """Tell *heard* of each crossed threshold, beside the log."""
        self._listeners.append(heard)

    def quota(self, account: Account, told: Quota) -> None:
        """Windows of an account. The same said twice in a row is taken once, unless nothing is left of them."""
        said = (told.windows, told.credits, int(told.read_at) // SAID_AGAIN_S)
        if self._last.get(account.person_key) != said or exhausted_until(told, self._clock()) is not None:
            self._last[account.person_key] = said
            self._begin(account.person_key, self._take(account, told))

    def catalog(self, account: Account, etag: str) -> None:
        """The tag of the account's list of models; nobody waits for what comes of it."""
        self._begin(f"{account.person_key} catalog", self._pool.catalog.soon(account.person_key, etag))

    async def answered(self, account: Account) -> None:
        """After a turn: have the account's windows asked for where its answers told none, and those of accounts that
        cool until an instant which we guessed.
        """
        if self._polls is not None:
            now_ms = self._pool.now_ms()
            others = (
                known.person_key
                for known in (await self._pool.book()).accounts
                if known.hindrance(now_ms) == "cooling_down" and cools_for_usage(known) and not known.cooldown.believed
            )
            self._polls.soon([account.person_key, *others])

    def crossed(self, account: Account, crossed: Crossing) -> None:
        """One log event for a threshold, and a word to whoever listens."""
        left = f"{crossed.left_percent:g}"
        log.warning(
            "quota_threshold account=%s window=%s remaining_percent=%s", label_of(account), crossed.window, left
        )
        for heard in self._listeners:
            heard(label_of(account), crossed.window, crossed.left_percent)

    async def settled(self, account: Account) -> None:
        """Wait for what was said of an account's windows so far."""
        if (task := self._tasks.get(account.person_key)) is not None:
            await asyncio.wait([task])

    async def aclose(self) -> None:
        """Wait for everything."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=2.0)

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._after(self._tasks.get(name), work))
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    async def _after(self, before: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> None:
        """One after the other, so that the last word stands."""
        if before is not None:
            await asyncio.wait([before])
        try:
            await work
        except StoreError as exc:
            log.warning("what the backend said of an account is not kept: %s", exc.message)
        except Exception as exc:
            log.error("unexpected error: %s", fault_of(exc))

    async def _take(self, account: Account, told: Quota) -> None:
        until_s = exhausted_until(told, self._clock())
        if until_s is not None:
            await self._pool.exhausted(account.person_key, until_s)
        if self._quotas is not None:
            for crossed in await asyncio.to_thread(self._quotas.take, account.person_key, told):
                self.crossed(account, crossed)
