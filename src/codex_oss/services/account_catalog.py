"""Which models each account has, as the backend lists them; kept in shards that all processes share.

    soon ─► in memory, young, same tag? ─► done
             └ no ─► on disk, young, same tag? ─► done
                      └ no ─► asked lately? ─► done
                               └ no ─► task: codex/models, 0.0.0 first ─┬ 304 ─► as it was, young again
                               (waited for only where nothing is known) ├ 200 ─► shaped, kept
                                                                        └ anything else ─► what was known stays

Counterparts: `accounts.models` shapes an answer, `services.backend_reads` asks, `accounts.selection` routes by
`serves`, `server.account_models` lists `models`.

Rules that hold here:

1. Files are `cache/codex-auth-models-<hash>.json`, the hash of the account's id: people of one workspace share one. A
   file that is none is as if it were not there. An older answer never replaces a newer one.
2. Nothing is raised and no failure here is one of the account. What is known stays known, however old, and is flagged
   once it is older than TTL_S (`catalog_source: "stale"`); it is never made up.
3. One fetch at a time for a shard, SYNC_S apart, AGAIN_S after a failure.
4. An account that is disabled, needs a login or lost its workspace is not asked, and its models are not listed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct, structs

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.models import Entry, listed, models_of
from codex_oss.errors import BridgeError, StoreError, fault_of
from codex_oss.services.account_store import AccountStore, exclusive
from codex_oss.services.backend_reads import BackendReads
from codex_oss.services.quota_store import CACHE_FOLDER
from codex_oss.services.seen_file import SeenFile
from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic

FULL_CATALOG: Final = "0.0.0"
"""A client version to which the backend lists every model of the account. Observed in public threads."""
TTL_S: Final = 15 * 60.0
SYNC_S: Final = 60.0
AGAIN_S: Final = 10.0
TIMEOUT_S: Final = 5.0
LOCK_WAIT_S: Final = 2.0
MAX_BYTES: Final = 16 * 1024 * 1024
SOURCE: Final = "catalog_source"
log = logging.getLogger(__name__)


class Shard(Struct, frozen=True, rename="camel"):
    """The catalog of an account id. fetched_at: epoch milliseconds, when the backend said so last."""

    fetched_at: int
    models: list[Entry]
    etag: str = ""
    client_version: str = FULL_CATALOG
    """The version that it was asked for with: another one has another tag."""
    models_tag: str = ""
    """The `x-models-etag` that made us ask, where the answer had no tag of its own, or another one."""


class Refreshes(Protocol):
    """Whoever renews tokens; `services.token_refresh.TokenRefresh`."""

    async def fresh(self, person: str, *, not_generation: int = -1) -> Account | None:
        """The account with a token that can be sent; None when it needs a login."""


class Versions(Protocol):
    """Whoever knows the version of the client; `services.client_version.ClientVersion`."""

    async def version(self) -> str:
        """`x.y.z`."""


class AccountCatalog:
    """The catalogs of all accounts. folder: that of the accounts; clock: epoch seconds."""

    def __init__(
        self,
        folder: Path,
        refresh: Refreshes,
        store: AccountStore,
        reads: BackendReads,
        versions: Versions,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = Path(os.path.realpath(folder)) / CACHE_FOLDER
        self._refresh = refresh
        self._store = store
        self._reads = reads
        self._versions = versions
        self._clock = clock
        self._book = SeenFile(store.path, store.read)
        self._shards: dict[str, SeenFile[Shard | None]] = {}
        self._unwritten: dict[str, Shard] = {}
        """What could not be written; known to this process."""
        self._asked: dict[str, tuple[float, bool]] = {}
        """Shard to when it was asked for last, and whether it was had."""
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def serves(self, slug: str) -> frozenset[str] | None:
        """Person keys of accounts that may have the model: their catalog has it, or is not known.

        None when no catalog is known, or none has it: then the backend has the last word.
        """
        wanted, has, unknown = slug.strip().lower(), set(), set()
        for account in self._accounts():
            shard = self._shard(account)
            if shard is None:
                unknown.add(account.person_key)
            elif any(entry.get("slug") == wanted for entry in shard.models):
                has.add(account.person_key)
        return frozenset(has | unknown) if has else None

    def models(self) -> list[Entry]:
        """What accounts that may be used have, in Codex' form; the active account's entries first where they differ."""
        now_ms = int(self._clock() * 1000)
        found: list[Entry] = []
        for account in _usable(self._known_book(), now_ms):
            shard = self._shard(account)
            if shard is not None:
                stale = not 0 <= now_ms - shard.fetched_at < TTL_S * 1000
                found += [{**entry, SOURCE: "stale"} for entry in shard.models] if stale else shard.models
        return listed(found)

    async def soon(self, person: str, etag: str = "") -> None:
        """Fetch an account's catalog when that is due. etag: the `x-models-etag` of an answer. Never raises.

        Waits for the answer only where nothing is known yet.
        """
        try:
            account = (await self._store.read_soon()).get(person)
            if account is None or account.hindrance(self._now_ms()) not in (None, "cooling_down"):
                return
            shard = await asyncio.to_thread(self._shard, account)
            if shard is not None and not self._is_due(shard, etag):
                return
            task = self._begun(account, shard, etag)
            if task is not None and shard is None:
                await asyncio.shield(task)
        except BridgeError as exc:
            log.info("a catalog is not known: %s", exc.message)

    async def all_soon(self, wait_s: float) -> None:
        """`soon` for every account that may be used, together, waiting so long at most. Never raises."""
        try:
            accounts = _usable(await self._store.read_soon(), self._now_ms())
        except StoreError as exc:
            log.info("a catalog is not known: %s", exc.message)
            return
        tasks = [asyncio.create_task(self.soon(account.person_key)) for account in accounts]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=wait_s)
            for task in late:
                task.cancel()

    async def aclose(self) -> None:
        """Leave what is under way: nothing is lost with it."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _is_due(self, shard: Shard, etag: str) -> bool:
        tag = _bare(etag)
        young = 0 <= self._now_ms() - shard.fetched_at < TTL_S * 1000
        return not young or (bool(tag) and tag not in (_bare(shard.etag), shard.models_tag))

    def _begun(self, account: Account, shard: Shard | None, etag: str) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one; None when the last one was a moment ago."""
        key = shard_key(account)
        if key in self._under_way:
            return self._under_way[key]
        at, had = self._asked.get(key, (0.0, True))
        if 0 <= self._clock() - at < (SYNC_S if had else AGAIN_S):
            return None
        self._asked[key] = (self._clock(), False)
        task = asyncio.create_task(self._fetched(account, shard, etag))
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return task

    async def _fetched(self, account: Account, known: Shard | None, etag: str) -> None:
        try:
            fresh = await self._refresh.fresh(account.person_key)
            shard = await self._answer(fresh, known) if fresh is not None else None
            if shard is None:
                log.info("catalog: %s", "stale_cache_used" if known else "catalog_unavailable")
                return
            self._asked[shard_key(account)] = (self._clock(), True)
            tag = _bare(etag)
            await asyncio.to_thread(
                self._keep, shard_key(account), structs.replace(shard, models_tag=tag or shard.models_tag)
            )
        except BridgeError as exc:
            log.info("a catalog is not known: %s", exc.message)
        except Exception as exc:
            log.error("unexpected error: %s", fault_of(exc))

    async def _answer(self, account: Account, known: Shard | None) -> Shard | None:
        """What the backend lists; None when it does not say."""
        for version in (FULL_CATALOG, self._versions.version):
            told = version if isinstance(version, str) else await version()
            condition = known.etag if known is not None and known.client_version == told else ""
            answer = await self._reads.get(
                "codex/models",
                account,
                TIMEOUT_S,
                query={"client_version": told},
                headers=self._headers(told, condition),
            )
            if answer.status == 304 and condition and known is not None:
                return structs.replace(known, fetched_at=self._now_ms())
            if answer.status == 200 and (models := models_of(answer.object)):
                return Shard(self._now_ms(), models, answer.headers.get("etag", ""), told)
            if answer.status not in (200, 400, 404, 422):
                return None
        return None

    def _headers(self, version: str, etag: str) -> dict[str, str]:
        native = {} if self._reads.identity.originator == "codex_cli_rs" else {"OpenAI-Beta": "responses=experimental"}
        return {"version": version, **native, **({"If-None-Match": etag} if etag else {})}

    def _keep(self, key: str, shard: Shard) -> None:
        """Write a shard, unless another process wrote a newer one. What comes from ahead of our clock is not newer."""
        path = self._path(key)
        self._unwritten[key] = shard
        ensure_private_dir(self._cache)
        with exclusive(path.with_name(f"{path.name}.lock"), LOCK_WAIT_S):
            there = _read(path)
            if there is None or not shard.fetched_at < there.fetched_at <= self._now_ms():
                write_atomic(path, msgspec.json.encode(shard), durable=False)
        del self._unwritten[key]

    def _shard(self, account: Account) -> Shard | None:
        """What is known of an account's models: a stat, and a read when the file changed."""
        key = shard_key(account)
        if key not in self._shards:
            path = self._path(key)
            self._shards[key] = SeenFile(path, lambda: _read(path))
        return self._unwritten.get(key) or self._shards[key].read()

    def _path(self, key: str) -> Path:
        return self._cache / f"codex-auth-models-{key}.json"

    def _accounts(self) -> Iterable[Account]:
        return self._known_book().accounts

    def _known_book(self) -> Book:
        try:
            return self._book.read()
        except StoreError:
            return Book()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def shard_key(account: Account) -> str:
    """Which shard an account's catalog lies in: the begin of the digest of its id, or of its person's key."""
    name = account.account_id.strip() or account.person_key
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _usable(book: Book, now_ms: int) -> list[Account]:
    """The accounts whose models are listed; the active one first."""
    usable = [account for account in book.accounts if account.hindrance(now_ms) in (None, "cooling_down")]
    return sorted(usable, key=lambda account: account.person_key != book.active.person)


def _read(path: Path) -> Shard | None:
    try:
        kept = msgspec.json.decode(read_plain(path, MAX_BYTES), type=Shard)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    # An entry is shaped again: an older version of ours wrote it, or a person.
    return structs.replace(kept, models=models_of({"models": kept.models}))


def _bare(tag: str) -> str:
    """A tag without quotes and weakness, as the two headers spell it differently."""
    return tag.strip().removeprefix("W/").strip('"')
