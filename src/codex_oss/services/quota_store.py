"""What is known of quotas, kept over restarts and shared by all processes of the user: `cache/codex-quotas.json`.

Counterparts: `accounts.quota_record` is what is kept; `lanes.chatgpt` and `services.quota_poll` tell it, `cli/accounts`
and `tui` read it.

    take ─► learned in memory ─► a threshold told or due anew? ── yes ─► lock ─► read ─► learn all that waits ─► write
                                          └ no ─► waits, with what comes, for DEBOUNCE_S at most ──┘

Rules that hold here:

1. What was told is learned anew upon what the file says by then, under its lock: eight processes lose nothing, and a
   threshold is told by one of them.
2. A stream that reports with each event costs one write in DEBOUNCE_S; what says nothing new costs none.
3. Quotas are never worth a failed turn: nothing is raised. A file that is none counts as empty; where nothing can be
   written, this process remembers for itself.
4. The file is 0600 and holds no token. It can be deleted; then thresholds are told once more.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from codex_oss.accounts.quota import Crossed, Quota
from codex_oss.accounts.quota_record import (
    QuotaRecord,
    differs,
    learned,
    quota_now,
    remembered,
    told_differs,
)
from codex_oss.errors import StoreError
from codex_oss.services.account_store import exclusive
from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic

if TYPE_CHECKING:
    pass

FILE_NAME: Final = "codex-quotas.json"
CACHE_FOLDER: Final = "cache"
"""Below the folder of the accounts: what can be lost."""
DEBOUNCE_S: Final = 5.0
LOCK_WAIT_S: Final = 2.0
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_WAITING: Final = 1000
log = logging.getLogger(__name__)


class _File(Struct, frozen=True):
    version: int = 1
    accounts: dict[str, QuotaRecord] = {}


class _Told(Struct, frozen=True):
    """Something said that is not in the file yet. heard: its thresholds were given to somebody already."""

    person: str
    quota: Quota
    heard: bool = False


class QuotaStore:
    """The quotas of all accounts, by person key. folder: that of the accounts; clock: epoch seconds."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = Path(os.path.realpath(folder)) / CACHE_FOLDER / FILE_NAME
        self._clock = clock
        self._guard = threading.Lock()
        self._records: dict[str, QuotaRecord] | None = None
        self._waiting: list[_Told] = []
        self._unheard: dict[str, tuple[Crossed, ...]] = {}
        self._written_at: float | None = None
        self._due: threading.Timer | None = None

    def known(self) -> dict[str, Quota]:
        """What is known now, by any process; see `accounts.quota_record.quota_now`."""
        now_s = self._clock()
        return {person: quota_now(record, now_s) for person, record in self.records().items()}

    def records(self) -> dict[str, QuotaRecord]:
        """All that is remembered: what the file says, and what this process heard since."""
        with self._guard:
            return self._with_waiting(self._read())[0]

    def take(self, person: str, told: Quota) -> tuple[Crossed, ...]:
        """Learn what was said of an account; the thresholds that are to be told now, by this caller and nobody else."""
        with self._guard:
            if self._records is None:
                self._records = self._read()
            before = self._records.get(person)
            after, found = learned(before, told)
            self._records[person] = after
            if differs(before, after):
                self._waiting = [*self._waiting, _Told(person, told)][-MAX_WAITING:]
                if told_differs(before, after) or not self._written_lately():
                    found = found if not self._write() else ()
                else:
                    self._write_soon()
            return (*self._unheard.pop(person, ()), *found)

    @property
    def waits(self) -> bool:
        """Whether something is not written yet."""
        return bool(self._waiting)

    def flush(self) -> None:
        """Write what waits."""
        with self._guard:
            if self._due is not None:
                self._due.cancel()
                self._due = None
            self._write()

    def _written_lately(self) -> bool:
        return self._written_at is not None and 0 <= self._clock() - self._written_at < DEBOUNCE_S

    def _write_soon(self) -> None:
        """Have it written although nobody comes again. By a thread: whoever tells may have no loop of its own."""
        if self._due is None:
            self._due = threading.Timer(DEBOUNCE_S, self.flush)
            self._due.daemon = True
            self._due.start()

    def _write(self) -> bool:
        """Learn what waits upon what the file says, and write that. False when it could not be done."""
        if not self._waiting:
            return True
        try:
            ensure_private_dir(self.path.parent)
            with exclusive(self.path.with_name(f"{FILE_NAME}.lock"), LOCK_WAIT_S):
                before = self._read()
                after, found = self._with_waiting(before)
                if after != before:
                    write_atomic(self.path, msgspec.json.encode(_File(accounts=after)), durable=False)
        except StoreError as exc:
            log.warning("quotas are not kept: %s", exc.message)
            self._waiting = [_Told(told.person, told.quota, heard=True) for told in self._waiting]
            return False
        finally:
            self._written_at = self._clock()
        self._records, self._waiting = after, []
        for person, crossed in found:
            self._unheard[person] = (*self._unheard.get(person, ()), *crossed)
        return True

    def _with_waiting(
        self, records: dict[str, QuotaRecord]
    ) -> tuple[dict[str, QuotaRecord], list[tuple[str, tuple[Crossed, ...]]]]:
        """The records after all that waits, and the thresholds that nobody heard of yet."""
        after, found = dict(records), []
        for told in self._waiting:
            after[told.person], crossed = learned(after.get(told.person), told.quota)
            if not told.heard:
                found.append((told.person, crossed))
        return remembered(after, self._clock()), found

    def _read(self) -> dict[str, QuotaRecord]:
        """What the file says; nothing when it is none."""
        try:
            return msgspec.json.decode(read_plain(self.path, MAX_BYTES), type=_File).accounts
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return {}
