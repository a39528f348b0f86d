"""The delivery log on disk: `.codex-oss/runs/<run_id>/delivery.jsonl`, beside the log of the run.

Counterparts: `missions.delivery` defines and folds the events; `services.handover` notes here what a client was handed;
`services.event_log` has the log of the run itself, which only its one writer writes, and nobody after its end.

Rules that hold here:

1. The lines are those of an event log: same envelope, same hash chain, same MAC.
2. Whoever hands something over may write, in whichever process: each append takes a lock, continues the chain that it
   finds, and lets go. A torn end is cut off; a line that does not verify stops all writing.
3. A note that cannot be written costs a warning. The item then stays where it was: this log never says too much.
4. It has no anchor: who cuts its end off takes an observation away and can add none. Where the key is, an event without
   a MAC does not count.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from codex_oss.errors import LogCorrupt, StoreError
from codex_oss.missions.delivery import (
    Delivery,
    DeliveryEvent,
    ItemsEmitted,
    created_items,
    fold_delivery,
    open_delivery,
)
from codex_oss.missions.envelope import seal
from codex_oss.missions.record import RunRecord
from codex_oss.services.event_log import LogReading, Seal, read_log, utc_now
from codex_oss.services.mission_store import MissionStore

DELIVERY_NAME: Final = "delivery.jsonl"
MAX_DELIVERY_BYTES: Final = 16 * 1024 * 1024
RESERVED_BYTES: Final = 1024 * 1024
"""Kept for verdicts: somebody who looks at a mission in a loop must not keep its transcript from being judged."""
MAX_HEADS: Final = 256
LOCK_WAIT_S: Final = 1.0
"""The lock is held for one write; whoever holds it longer was stopped."""
LOCK_POLL_S: Final = 0.01
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

log = logging.getLogger(__name__)


class DeliveryReading(Struct, frozen=True):
    """The fold of a run's delivery, and how far its log can be trusted."""

    delivery: Delivery
    record: RunRecord
    bad_line: int = 0
    """First line that does not verify; what stands before it is folded."""
    unsealed: int = 0
    """Events without a MAC. With the key here they are left out: anybody can have written them."""
    checked: bool = False
    """The MACs were verified, because the key is here."""


class DeliveryBook:
    """The delivery logs of one project. open_seal: what they are sealed with. redacted: a text as it may be kept."""

    def __init__(
        self,
        store: MissionStore,
        open_seal: Callable[[], Seal] = Seal,
        clock: Callable[[], datetime] = utc_now,
        *,
        redacted: Callable[[str], str] = str,
    ) -> None:
        self._store = store
        self.redacted = redacted
        self._open_seal = open_seal
        self._clock = clock
        self._heads: dict[str, tuple[int, int, str]] = {}
        """Run to size, number and hash of its log as this process left it, so that it is not read again each time."""
        self._guard = threading.Lock()

    def note(self, run_id: str, mission_id: str, event: DeliveryEvent) -> bool:
        """Append an event; blocking. Returns False, after a warning, when it could not be kept."""
        try:
            self.append(run_id, mission_id, event)
        except StoreError as exc:
            log.warning("%s: what was delivered could not be noted: %s", run_id, exc.message)
            return False
        return True

    def append(self, run_id: str, mission_id: str, event: DeliveryEvent) -> None:
        """Append an event; blocking. Errors: StoreError, LogCorrupt."""
        folder = self._store.run_folder(run_id)
        try:
            with _locked(folder / DELIVERY_NAME) as fd:
                size, seq, head = self._head(run_id, folder / DELIVERY_NAME, fd)
                head, line = self._sealed(run_id, mission_id, event, seq + 1, head)
                reserved = RESERVED_BYTES if isinstance(event, ItemsEmitted) else 0
                if size + len(line) > MAX_DELIVERY_BYTES - reserved:
                    raise StoreError(f"The delivery log of {run_id} is full.", code="log_full")
                _write(fd, line, size)
                self._remember(run_id, (size + len(line), seq + 1, head))
        except OSError as exc:
            raise StoreError(f"The delivery log cannot be written: {exc.strerror}.", code="log_unwritable") from exc

    def read(self, mission_id: str, key: bytes = b"") -> DeliveryReading:
        """What became of everything that the latest run of a mission said; with a key its MACs are verified.

        Raises RequestError `mission_not_found`, LogCorrupt for a run whose log cannot be folded.
        """
        run = self._store.read_latest(mission_id, key)
        created, record = created_items(run.run_id, run.mission_id, run.recorded())
        reading = self._read_delivery(run.run_id, key)
        # A log that was put here from another run says nothing about this one.
        envelopes = [each for each in reading.envelopes if (each.run_id, each.mission_id) == (run.run_id, mission_id)]
        trusted = [each for each in envelopes if each.mac or not key]
        events = [event for event in map(open_delivery, trusted) if event is not None]
        unsealed = sum(not envelope.mac for envelope in envelopes)
        delivery = fold_delivery(run.run_id, run.mission_id, created, events)
        return DeliveryReading(delivery, record, reading.bad_line, unsealed, bool(key))

    def _head(self, run_id: str, path: Path, fd: int) -> tuple[int, int, str]:
        """Size, number and hash of what is there; a torn end is cut off. Errors: StoreError."""
        size = os.fstat(fd).st_size
        known = self._heads.get(run_id)
        if known is not None and known[0] == size:
            return known
        if size > MAX_DELIVERY_BYTES:
            raise StoreError(f"The delivery log of {run_id} is full.", code="log_full")
        reading = read_log(path)
        if reading.bad_line:
            raise LogCorrupt(reading.bad_line, reading.bad_reason)
        os.ftruncate(fd, reading.committed_bytes)
        head = reading.head
        return reading.committed_bytes, head.seq if head else 0, head.event_hash if head else ""

    def _remember(self, run_id: str, head: tuple[int, int, str]) -> None:
        with self._guard:
            while len(self._heads) >= MAX_HEADS:
                self._heads.pop(next(iter(self._heads)))
            self._heads[run_id] = head

    def _read_delivery(self, run_id: str, key: bytes) -> LogReading:
        path = self._store.run_folder(run_id) / DELIVERY_NAME
        try:
            size = os.lstat(path).st_size
        except OSError:
            return LogReading(path, (), 0)
        if size > MAX_DELIVERY_BYTES:
            raise StoreError(f"The delivery log of {run_id} is larger than it can be.", code="log_unreadable")
        return read_log(path, key)

    def _sealed(
        self, run_id: str, mission_id: str, event: DeliveryEvent, seq: int, prev_hash: str
    ) -> tuple[str, bytes]:
        """Hash and line of the next event."""
        created_at = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event_hash, line = seal(
            event,
            run_id=run_id,
            mission_id=mission_id,
            seq=seq,
            prev_hash=prev_hash,
            created_at=created_at,
            key=self._open_seal().key,
        )
        return event_hash, line + b"\n"


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, opened and locked. Errors: OSError; StoreError `log_locked` when somebody does not let go."""
    fd = os.open(path, _FLAGS, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StoreError(f"{path.name} is no regular file.", code="log_unwritable")
        _lock(fd, path)
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(f"Another process holds {path.name} and does not let go.", code="log_locked") from None
            time.sleep(LOCK_POLL_S)


def _write(fd: int, line: bytes, size_before: int) -> None:
    """All of the line, or nothing of it. Errors: OSError."""
    try:
        view = memoryview(line)
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.ftruncate(fd, size_before)
        raise
