"""The event log on disk: one append-only file per run, `.codex-oss/runs/<run_id>/events.jsonl`.

Counterparts: `missions.events` seals and unseals the lines, `missions.record` folds them, `services.audit` verifies
a log that may have been damaged.

Rules that hold here:

1. A line counts when it ends in a line feed, verifies by its own hash, and follows its predecessor. Bytes after the
   last line feed are a torn write: they were never committed, are ignored on reading and cut off on re-opening.
2. One `append` is one write and one `fdatasync`, however many events it takes. What only follows from the log itself
   (a proposal, a verdict) may be written without the sync: the next durable append, before anything is done outside,
   brings it to the disk too. The anchor never runs ahead of the disk.
3. One writer: each write happens under the lease (`services.writer_lease`), the file must be exactly as long as this
   writer left it, and nothing follows a closing.
4. The record is folded where the events are written, under the same lock, so that it can never run ahead of the disk
   or behind it, also when a caller is cancelled half-way.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from codex_oss.errors import LocalProtocolError, LogConflict, LogCorrupt, StoreError
from codex_oss.missions.envelope import Envelope, claimed, record_of, seal, unseal
from codex_oss.missions.events import Known, Recorded
from codex_oss.missions.record import RunRecord, evolve, new_record
from codex_oss.services.anchors import Anchor, AnchorBook
from codex_oss.services.state_files import open_plain, read_plain
from codex_oss.services.writer_lease import HolderState, WriterLease

LOG_NAME: Final = "events.jsonl"
LOCK_NAME: Final = "events.lock"
MAX_LOG_BYTES: Final = 512 * 1024 * 1024
"""A log beyond this is none of ours: a mission may show 500,000 bytes and ask 25 times."""
MAX_HEADER_BYTES: Final = 4 * 1024 * 1024
HEADER_LINES: Final = 8
_LOG_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


log = logging.getLogger(__name__)


class Seal(Struct, frozen=True):
    """What makes a log hard to rewrite; both may be missing where the user has no state folder."""

    key: bytes = b""
    """Of the MAC on each event."""
    anchors: AnchorBook | None = None


class LogReading(Struct, frozen=True):
    """What a log file holds."""

    path: Path
    envelopes: tuple[Envelope, ...]
    """The committed events, up to the first that does not verify."""
    committed_bytes: int
    """Length of the file up to and including the last envelope."""
    torn_bytes: int = 0
    """Bytes after the last line feed."""
    bad_line: int = 0
    """1-based number of the first line that does not verify; 0 when all do."""
    bad_reason: str = ""

    @property
    def head(self) -> Envelope | None:
        """The last event that verifies."""
        return self.envelopes[-1] if self.envelopes else None

    @property
    def run_id(self) -> str:
        """Run of the first event; empty for an empty log."""
        return self.envelopes[0].run_id if self.envelopes else ""

    @property
    def mission_id(self) -> str:
        """Mission of the first event; empty for an empty log."""
        return self.envelopes[0].mission_id if self.envelopes else ""

    def events(self) -> Iterator[Recorded]:
        """The events, opened one at a time for folding.

        Raises LogCorrupt for a payload this version cannot read, and for a log of which nothing verifies.
        """
        if self.bad_line == 1:
            raise LogCorrupt(1, self.bad_reason)
        for line, envelope in enumerate(self.envelopes, 1):
            try:
                yield record_of(envelope)
            except ValueError as exc:
                raise LogCorrupt(line, str(exc)) from exc

    def recorded(self) -> list[Recorded]:
        """All of them at once."""
        return list(self.events())


def read_log(path: Path, key: bytes = b"") -> LogReading:
    """Read and verify a log, with a key the MACs that stand in it too. Raises StoreError when it cannot be read."""
    try:
        data = read_plain(path, MAX_LOG_BYTES)
    except OSError as exc:
        raise StoreError(f"The event log {path.name} cannot be read: {exc.strerror}.", code="log_unreadable") from exc
    *lines, torn = data.split(b"\n")
    envelopes: list[Envelope] = []
    committed = 0
    for number, line in enumerate(lines, 1):
        reason = _check_line(line, envelopes, key)
        if reason:
            return LogReading(path, tuple(envelopes), committed, len(torn), number, reason)
        committed += len(line) + 1
    return LogReading(path, tuple(envelopes), committed, len(torn))


def _check_line(line: bytes, before: list[Envelope], key: bytes) -> str:
    """Add the line's envelope to those before; returns a reason code instead when it does not belong there."""
    try:
        envelope = unseal(line, key)
    except ValueError as exc:
        return str(exc)
    if envelope.seq != len(before) + 1 or envelope.event_id != f"evt_{envelope.seq:06d}":
        return "seq_mismatch"
    if not before:
        if envelope.prev_hash:
            return "prev_hash_mismatch"
    else:
        previous = before[-1]
        if envelope.prev_hash != previous.event_hash:
            return "prev_hash_mismatch"
        if envelope.run_id != previous.run_id or envelope.mission_id != previous.mission_id:
            return "run_id_mismatch"
        if envelope.epoch < previous.epoch:
            return "epoch_mismatch"
    before.append(envelope)
    return ""


def utc_now() -> datetime:
    """The clock of a log."""
    return datetime.now(UTC)


class EventLog:
    """The one writer of a run, with the record of what it wrote.

    `record` may be read between appends; it is changed by `append` only.
    """

    def __init__(
        self,
        folder: Path,
        run_id: str,
        mission_id: str,
        clock: Callable[[], datetime] = utc_now,
        *,
        seal: Seal = Seal(),  # noqa: B008 (a frozen value)
    ) -> None:
        """Open or create the log in *folder*. Raises LogCorrupt, or StoreError when another process writes it.

        A run whose writer is gone or stopped is taken over: the epoch rises, and that writer can write no more.
        """
        self.path = folder / LOG_NAME
        self.run_id = run_id
        self.mission_id = mission_id
        self.record: RunRecord = new_record(run_id, mission_id)
        self._clock = clock
        self._key = seal.key
        self._guard = threading.Lock()
        self._size = 0
        self._fd = -1
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._slot = seal.anchors.open_slot(run_id) if seal.anchors else None
        self._lease = WriterLease(folder / LOCK_NAME)
        try:
            self._lease.take()
            self._fd = os.open(self.path, _LOG_FLAGS, 0o600)
            self._recover()
        except OSError as exc:
            self.close()
            raise StoreError(f"The event log cannot be opened: {exc.strerror}.", code="log_unwritable") from exc
        except BaseException:
            self.close()
            raise

    def now(self) -> datetime:
        """The time as this log would note it."""
        return self._clock()

    @property
    def epoch(self) -> int:
        """Number of this writer."""
        return self._lease.epoch

    @property
    def replaced(self) -> HolderState:
        """What became of the writer before this one."""
        return self._lease.replaced

    def append(self, events: Sequence[Known], *, durable: bool = True) -> list[Recorded]:
        """Commit events and fold them. Returns them with their places; blocking (one fdatasync, when durable).

        Raises LogConflict when someone else wrote to the file, StoreError when the disk refuses, StoreError
        `writer_replaced` when another writer took the run over.
        """
        with self._guard:
            if self.record.closed is not None:
                raise LocalProtocolError("An event after the closing of a mission.")
            created_at = self.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            recorded, lines = self._seal(events, created_at)
            data = b"".join(line + b"\n" for line in lines)
            try:
                with self._lease.writing():
                    self._commit(data, durable=durable)
            except OSError as exc:
                raise StoreError(f"The event log cannot be written: {exc.strerror}.", code="log_unwritable") from exc
            self._size += len(data)
            for entry in recorded:
                evolve(self.record, entry)
            if durable:
                self._note_head()
            return recorded

    def close(self) -> None:
        """Release file and lease; safe to call twice."""
        with self._guard:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            if self._slot is not None:
                self._slot.close()
            self._lease.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _recover(self) -> None:
        reading = read_log(self.path)
        if reading.bad_line:
            raise LogCorrupt(reading.bad_line, reading.bad_reason)
        if reading.head is not None:
            self._lease.rise_above(reading.head.epoch)
        if reading.torn_bytes:
            os.ftruncate(self._fd, reading.committed_bytes)
        for entry in reading.events():
            evolve(self.record, entry)
        self._size = reading.committed_bytes

    def _seal(self, events: Sequence[Known], created_at: str) -> tuple[list[Recorded], list[bytes]]:
        seq, prev_hash = self.record.last_seq, self.record.last_hash
        recorded, lines = [], []
        for event in events:
            seq += 1
            prev_hash, line = seal(
                event,
                run_id=self.run_id,
                mission_id=self.mission_id,
                seq=seq,
                prev_hash=prev_hash,
                created_at=created_at,
                epoch=self._lease.epoch,
                key=self._key,
            )
            recorded.append(Recorded(seq, created_at, event, prev_hash))
            lines.append(line)
        return recorded, lines

    def _commit(self, data: bytes, *, durable: bool) -> None:
        found = os.fstat(self._fd).st_size
        if found != self._size:
            raise LogConflict(self._size, found)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            if durable:
                os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)  # a half-written batch must not stand before the next one
            raise

    def _note_head(self) -> None:
        """Note the head outside. The log is the authority: a place that cannot be written to costs a warning only."""
        if self._slot is None:
            return
        record = self.record
        try:
            self._slot.note(Anchor(self.run_id, self.mission_id, record.last_seq, record.last_hash, self._lease.epoch))
        except OSError as exc:
            log.warning("%s: the head of the log could not be noted outside: %s", self.run_id, exc.strerror)
            self._slot.close()
            self._slot = None


def read_header(path: Path) -> Envelope | None:
    """Whose log this is: its first event, without reading the rest; None when there is none.

    Where that does not verify, the next one that does speaks for it, or what the first one claims: a log whose begin
    was damaged must not be passed over, as if its run had never been.
    """
    claim = None
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            for line in islice(iter(lambda: file.readline(MAX_HEADER_BYTES), b""), HEADER_LINES):
                if line.endswith(b"\n"):
                    claim = claim or claimed(line)
                    with suppress(ValueError):
                        return unseal(line[:-1])
    except OSError:
        return None
    return claim


def header_verifies(path: Path, key: bytes = b"") -> bool:
    """Whether the first event of a log verifies; so does a log that has none yet."""
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            line = file.readline(MAX_HEADER_BYTES)
            if line.endswith(b"\n"):
                unseal(line[:-1], key)
            return True
    except (OSError, ValueError):
        return False
