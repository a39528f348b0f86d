"""Following one run and showing it: what `mission run`, `watch` and `resume` have in common.

Counterparts: `services.log_tail` follows the log, in whichever process it is written; `cli.mission_progress` writes.
Leaving ends nothing. What was shown is noted as emitted, on the channel `cli`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

from codex_oss.cli.mission_progress import ProgressDisplay
from codex_oss.errors import BridgeError
from codex_oss.missions.commentary import Commentator
from codex_oss.missions.record import RunRecord, evolve, new_record
from codex_oss.services.delivery_log import DeliveryBook
from codex_oss.services.handover import Handover
from codex_oss.services.log_tail import follow_log, with_heartbeats
from codex_oss.services.mission_store import MissionStore

TICK_S: Final = 1.0
"""So often the line at the bottom is drawn anew while nothing happens."""
FIND_POLL_S: Final = 0.1
SETTLE_S: Final = 3.0
"""A viewer gets this long to come to the end of a run that has ended."""

OnLine = Callable[[bytes], None]


async def show_run(
    store: MissionStore,
    run_id: str,
    mission_id: str,
    display: ProgressDisplay,
    handover: Handover,
    *,
    silent_seq: int = 0,
    on_line: OnLine | None = None,
) -> RunRecord:
    """Show a run until it is closed or has no writer; returns its record.

    silent_seq: events up to this one are folded and not shown. on_line: sees each line of the log.
    Raises StoreError when there is no log, LogCorrupt for a line that does not verify.
    """
    record, commentator = new_record(run_id, mission_id), Commentator()
    with display:
        async with aclosing(with_heartbeats(follow_log(store.run_folder(run_id)), TICK_S)) as batches:
            async for batch in batches:
                for one in batch:
                    evolve(record, one.recorded)
                    if on_line is not None:
                        on_line(one.line)
                    for remark in commentator.take(record, one.recorded):
                        if record.last_seq > silent_seq and display.mode != "quiet":
                            display.remark(remark.message)
                            handover.add(remark.item, remark.message)
                    if record.last_seq > silent_seq:
                        display.show(record)
                display.show(record)
                await handover.note()
    await handover.finish()
    return record


def cli_handover(project: Path, store: MissionStore, run_id: str, mission_id: str) -> Handover:
    """Where it is noted that a person was shown something of a run."""
    from codex_oss.wiring.records import open_seal

    book = DeliveryBook(store, cache(lambda: open_seal(project, os.environ)))
    return Handover(book, run_id, mission_id, "cli")


@asynccontextmanager
async def showing_next_run(
    store: MissionStore, mission_id: str, display: ProgressDisplay, handover_of: Callable[[str], Handover]
) -> AsyncIterator[None]:
    """Show the run of a mission that begins while the block runs, if one does; it gets a moment to come to its end.

    A log that cannot be followed is not shown: what went wrong is said by whoever runs the mission.
    """
    before, ended = frozenset(store.runs_of(mission_id)), asyncio.Event()

    async def view() -> None:
        while True:
            last_look = ended.is_set()
            runs = await asyncio.to_thread(store.runs_of, mission_id)
            if fresh := [run_id for run_id in runs if run_id not in before]:
                with suppress(BridgeError):
                    await show_run(store, fresh[-1], mission_id, display, handover_of(fresh[-1]))
                return
            if last_look:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), FIND_POLL_S)

    viewer = asyncio.create_task(view(), name=f"viewer of {mission_id}")
    try:
        yield
        ended.set()
        await asyncio.wait((viewer,), timeout=SETTLE_S)
    finally:
        viewer.cancel()
        await asyncio.gather(viewer, return_exceptions=True)
