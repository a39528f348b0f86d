"""Stored responses: what `store` keeps, so that `previous_response_id` never depends on an upstream.

Counterparts: `services.response_rows` knows the tables; `server.stored_responses` puts and asks.

    event loop ─► one thread, jobs in the order they came ─► one SQLite file (WAL), perhaps shared with another bridge

Rules that hold here:

1. Nothing of SQLite runs on the event loop. A job that was handed over earlier is done earlier, so a client that
   continues a response the moment it got it finds it.
2. `keep` returns when the turn is on its way to the disk for good (committed to the file, so that no kill of the
   process loses it), or after PATIENCE_S: a slow disk delays the end of a turn by that much at most.
3. What the file does is never the client's problem: a damaged one is moved aside with one line in the log, one that
   cannot be used is left alone for *pause_s*. Only reading from a file that cannot be read is a StoreError.
4. A turn that runs is stored with the mark of its process. Read when that process is gone, or is this one (which asks
   its own turns first), it failed: nobody will end it any more.
5. Only a file that is ours by its place or by its mark is moved aside; a path that names somebody else's is refused.
6. What clients sent lies there as it came, secrets of theirs included: file 0600, folder 0700, zeroed when deleted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from codex_oss.errors import StoreError
from codex_oss.services import response_rows as rows
from codex_oss.services.process_handle import mark_runs, process_mark
from codex_oss.services.response_rows import Bounds, Chain, StoredTurn
from codex_oss.services.state_files import ensure_private_dir
from codex_oss.wire.stored_items import TurnItems

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S: Final = 0.5
BUSY_S: Final = 1.0
"""How long one job waits for another bridge's transaction."""
PAUSE_S: Final = 10.0
MAX_WAITING: Final = 512
"""Jobs that may wait for the thread; beyond them turns are not kept, and reads are refused."""
ABANDONED: Final = {
    "code": "server_error",
    "message": "The bridge ended, or lost its disk, before this response was whole.",
}
"""The error of a response that nobody works on any more."""
_OPEN_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MARK_AT: Final = 68
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StoreFacts(Struct, frozen=True):
    """What `/health` tells. problem: why the file cannot be used, empty when it can or was not needed yet."""

    path: str
    responses: int
    bytes: int
    problem: str


class ResponseStore:
    """The stored responses of one bridge.

    path: the database file. ours: it lies below the bridge's own folder, which is then kept private, and a file there
    that is no database of ours may be moved aside. clock: seconds since the epoch. Opens nothing before it is used.
    """

    def __init__(
        self,
        path: Path,
        bounds: Bounds,
        *,
        ours: bool,
        clock: Callable[[], float] = time.time,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._path = path
        self._bounds = bounds
        self.mark = process_mark(os.getpid()) or f"pid {os.getpid()}"
        """Owner of the turns that run here."""
        self._ours = ours
        self._clock = clock
        self._pause_s = pause_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stored-responses")
        self._room = threading.Semaphore(MAX_WAITING)
        self._used = False
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._paused_until = 0.0
        self._problem = ""
        self._totals = (0, 0)

    @property
    def facts(self) -> StoreFacts:
        """What is known without asking the file."""
        return StoreFacts(str(self._path), *self._totals, self._problem)

    async def keep(self, turn: StoredTurn) -> None:
        """Keep a turn; returns when it is kept, cannot be, or takes too long to wait for. What goes wrong is logged."""
        await asyncio.wait((asyncio.wrap_future(self.put(turn)),), timeout=PATIENCE_S)

    def put(self, turn: StoredTurn) -> Future[None]:
        """Hand a turn over to be kept, without waiting. The future never fails."""
        return self._submit(lambda: self._put(turn), lambda: _log_lost(turn.response_id))

    async def response(self, response_id: str) -> dict[str, Any] | None:
        """The response object as its client got it; None for one that is not stored. Errors: StoreError."""
        return await self._ask(lambda c: self._ended(rows.read_response(c, response_id, self._clock())))

    async def chain(self, response_id: str, max_bytes: int) -> Chain | None:
        """A turn and everything before it; None for one that is not stored. Errors: StoreError.

        max_bytes: a chain with longer items comes without its turns.
        """
        return await self._ask(lambda c: rows.read_chain(c, response_id, self._clock(), max_bytes))

    async def items(self, response_ids: Sequence[str]) -> list[TurnItems]:
        """What each of these turns added; those that are not stored are left out. Errors: StoreError."""
        return await self._ask(lambda c: rows.read_items(c, response_ids, self._clock()))

    async def delete(self, response_id: str) -> bool:
        """Make a response irretrievable; False when it is not stored. Errors: StoreError."""
        return await self._ask(lambda c: rows.delete(c, response_id, self._clock()))

    async def aclose(self) -> None:
        """Do what was handed over and close the file. Idempotent; nothing is kept afterwards."""
        closed, self._closed = self._closed, True
        if self._used and not closed:
            await asyncio.wait((asyncio.wrap_future(self._thread.submit(self._close)),), timeout=PATIENCE_S)
        self._thread.shutdown(wait=False)

    # ------------------------------------------------------------------------------------------ towards the thread

    async def _ask(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._submit(lambda: self._do(work), _refuse_read))

    def _submit(self, work: Callable[[], T], on_full: Callable[[], T]) -> Future[T]:
        """Hand work to the thread; when too much waits already, or nothing runs any more, *on_full* answers instead."""
        if self._closed or not self._room.acquire(blocking=False):
            answer: Future[T] = Future()
            try:
                answer.set_result(on_full())
            except StoreError as exc:
                answer.set_exception(exc)
            return answer
        self._used = True

        def bounded() -> T:
            try:
                return work()
            finally:
                self._room.release()

        return self._thread.submit(bounded)

    # ---------------------------------------------------------------------------------------------- in the thread

    def _ended(self, read: tuple[dict[str, Any], str] | None) -> dict[str, Any] | None:
        if read is None:
            return None
        response, owner = read
        if not owner or (owner != self.mark and mark_runs(owner)):
            return response
        return {**response, "status": "failed", "error": ABANDONED}

    def _put(self, turn: StoredTurn) -> None:
        try:
            row = rows.row_of(turn)
            reason = self._do(lambda c: rows.put(c, row, self._clock(), self._bounds))
        except StoreError:
            return  # said once by `_pause`
        except Exception:
            log.exception("%s is not kept", turn.response_id)
            return
        if reason:
            log.warning("%s is not kept: %s", turn.response_id, reason)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do one job. A damaged file is moved aside once and the job done with a fresh one."""
        if time.monotonic() < self._paused_until:
            raise StoreError(f"The stored responses cannot be used: {self._problem}.")
        try:
            return self._done(work)
        except _Damaged as exc:
            if not self._move_aside(exc):
                raise self._pause(str(exc)) from exc
        except (sqlite3.Error, OSError, StoreError) as exc:
            raise self._pause(_reason(exc)) from exc
        try:
            return self._done(work)
        except (sqlite3.Error, OSError, StoreError) as exc:
            raise self._pause(_reason(exc)) from exc

    def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._opened()
            result = work(connection)
            self._totals = rows.read_totals(connection)
        except BaseException as exc:
            self._close()
            if isinstance(exc, sqlite3.DatabaseError) and (
                isinstance(exc, rows.Foreign) or getattr(exc, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
            ):
                raise _Damaged(_reason(exc)) from exc
            if isinstance(exc, TypeError | msgspec.MsgspecError):
                # Rows that do not fit together: no write of ours leaves such a file.
                raise _Damaged("its rows do not fit together") from exc
            raise
        self._problem = ""
        return result

    def _opened(self) -> sqlite3.Connection:
        """The connection to what lies at the path now; another bridge may have moved a damaged file aside."""
        if self._connection is not None and _inode(self._path) == self._inode:
            return self._connection
        self._close()
        self._prepare_file()
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        self._connection = connection
        rows.set_up(connection)
        return connection

    def _prepare_file(self) -> None:
        """Make sure that a private, plain file of this user lies at the path.

        Only while no connection is open: closing any descriptor of a file gives up all locks of the process on it.
        """
        folder = self._path.parent
        if self._ours or not folder.exists():
            ensure_private_dir(folder)
        fd = os.open(self._path, _OPEN_FLAGS, 0o600)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
                raise StoreError(f"{self._path} is no plain file of this user")
            if self._ours and stat.S_IMODE(status.st_mode) != 0o600:
                os.fchmod(fd, 0o600)
            self._inode = (status.st_dev, status.st_ino)
        finally:
            os.close(fd)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _move_aside(self, damage: _Damaged) -> bool:
        """Give a damaged file another name. Returns False when it must not be touched."""
        if self._inode is None or not (self._ours or _has_our_mark(self._path)):
            return False
        try:
            if _inode(self._path) == self._inode:  # otherwise another bridge was faster
                kept_as = self._path.with_name(f"{self._path.name}.damaged-{int(self._clock())}")
                # The log of pending writes goes first: it must never meet the fresh file.
                for suffix in ("-wal", "-shm", ""):
                    source = Path(f"{self._path}{suffix}")
                    if source.exists():
                        source.rename(f"{kept_as}{suffix}")
                log.warning("stored responses start anew: %s (%s); the old file is %s", self._path, damage, kept_as)
        except OSError:
            return False
        return True

    def _pause(self, problem: str) -> StoreError:
        """Leave the file alone for a while; said once for each problem in a row."""
        self._paused_until = time.monotonic() + self._pause_s
        if problem != self._problem:
            log.warning("responses are not stored for now: %s: %s", self._path, problem)
        self._problem = problem
        return StoreError(f"The stored responses cannot be used: {problem}.")


class _Damaged(sqlite3.DatabaseError):
    """The file is no sound database of ours."""


def _log_lost(response_id: str) -> None:
    log.warning("%s is not kept: too many responses wait for the disk, or the bridge stops", response_id)


def _refuse_read() -> Any:
    raise StoreError("The stored responses cannot keep up.", hint="Try again.")


def _reason(exc: BaseException) -> str:
    if isinstance(exc, StoreError):
        return exc.message.rstrip(".")
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    return str(exc)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _has_our_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_MARK_AT + 4)[_MARK_AT:] == rows.APPLICATION_ID.to_bytes(4, "big")
