"""Following an event log while somebody writes it, in whichever process that is.

Counterparts: `services.event_log` writes; the local API and `mission watch` follow. A log is looked at a few times a
second: that works for every file system and every writer, and needs nothing of the writer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Final

from msgspec import Struct

from codex_oss.errors import LogCorrupt, StoreError
from codex_oss.missions.envelope import record_of, unseal
from codex_oss.missions.events import Recorded
from codex_oss.services.event_log import LOCK_NAME, LOG_NAME
from codex_oss.services.state_files import open_plain
from codex_oss.services.writer_lease import HolderState, read_holder, state_of

POLL_S: Final = 0.1
READ_BYTES: Final = 1 << 20
MAX_LINE_BYTES: Final = 64 * 1024 * 1024


class Tailed(Struct, frozen=True):
    """One committed event, and the bytes of its line."""

    recorded: Recorded
    line: bytes


async def follow_log(folder: Path, after_seq: int = 0) -> AsyncGenerator[list[Tailed], None]:
    """The events after *after_seq*, in batches as they are committed, until the run is closed or has no writer.

    A run without a writer gives what its log holds and ends. Raises StoreError when there is no log, LogCorrupt for a
    line that does not verify.
    """
    try:
        fd = open_plain(folder / LOG_NAME)
    except OSError as exc:
        raise StoreError(f"The event log cannot be read: {exc.strerror}.", code="log_unreadable") from exc
    rest, number = b"", 0
    with os.fdopen(fd, "rb", buffering=0) as file:
        while True:
            # First the writer, then the file: what it wrote before it went is still seen.
            writer = await asyncio.to_thread(_writer_of, folder)
            data = rest + (await asyncio.to_thread(file.read, READ_BYTES) or b"")
            *lines, rest = data.split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise LogCorrupt(number + 1, "line_too_long")
            tailed = [_open_line(line, number + place) for place, line in enumerate(lines, 1)]
            number += len(lines)
            fresh = [one for one in tailed if one.recorded.seq > after_seq]
            if fresh:
                yield fresh
            if tailed and type(tailed[-1].recorded.event).__name__ == "MissionClosed":
                return
            if not lines and len(data) == len(rest) and writer != "lives":
                return
            if not lines:
                await asyncio.sleep(POLL_S)


async def with_heartbeats(
    batches: AsyncGenerator[list[Tailed], None], every_s: float
) -> AsyncGenerator[list[Tailed], None]:
    """The same batches, and an empty one whenever nothing came for *every_s*."""
    async with aclosing(batches):
        step: asyncio.Future[list[Tailed] | None] | None = None
        try:
            while True:
                step = step or asyncio.ensure_future(anext(batches, None))
                done, _ = await asyncio.wait((step,), timeout=every_s)
                if not done:
                    yield []
                elif (batch := step.result()) is None:
                    return
                else:
                    step = None
                    yield batch
        finally:
            if step is not None:
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)


def _writer_of(folder: Path) -> HolderState:
    return state_of(read_holder(folder / LOCK_NAME))


def _open_line(line: bytes, number: int) -> Tailed:
    try:
        return Tailed(record_of(unseal(line)), line)
    except ValueError as exc:
        raise LogCorrupt(number, str(exc)) from exc
