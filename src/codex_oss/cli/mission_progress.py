"""The progress of a mission on a terminal: remarks as they come, and below them one line that is written over.

    · Read app/retry.py (required source)
    · app/retry.py: 120 lines shown
    [asking the model]  tools 2/8  time 14/60 s  questions 3/12  files 2  evidence 3

On anything but a terminal there are only the remarks, one a line.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

import click

from codex_oss.missions.record import RunRecord, epoch_ms
from codex_oss.policy.printable import printable

PHASES: Final = {
    "unopened": "beginning",
    "ready": "choosing the next step",
    "asked": "asking the model",
    "answered": "reading the answer",
    "proposed": "judging the proposal",
    "allowed": "about to run a tool",
    "running": "running a tool",
    "submitted": "checking the report",
    "closed": "ended",
}
"""What a person is told about each stage of a record."""
CLEAR_LINE: Final = "\r\x1b[K"


class ProgressLine:
    """Writes to stderr. enabled False: nothing at all."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._on_terminal = enabled and sys.stderr.isatty()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._clear()

    def remark(self, message: str) -> None:
        """One more line that stays."""
        if self._enabled:
            self._clear()
            click.echo(printable(f"· {message}"), err=True)

    def show(self, record: RunRecord) -> None:
        """The line at the bottom, on a terminal only."""
        if self._on_terminal:
            click.echo(f"{CLEAR_LINE}{printable(describe_progress(record, time.time()))}", err=True, nl=False)
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            click.echo(CLEAR_LINE, err=True, nl=False)
            self._shown = False


def describe_progress(record: RunRecord, now: float) -> str:
    """Phase, budget, coverage in one line. now: seconds since the epoch."""
    opened = record.opened
    if opened is None:
        return f"[{PHASES[record.stage]}]"
    mission = opened.mission
    begun = epoch_ms(record.opened_at) / 1000
    stands_at = record.closed_at or (record.queued_at if record.queued else "")  # its time does not run while it waits
    ended = epoch_ms(stands_at) / 1000 if stands_at else now
    spent_s = max(0, round(ended - begun - record.paused_ms / 1000))
    phase = PHASES[record.stage]
    if queued := record.queued:
        phase = f"waiting for a slot of {queued.lane}, place {queued.place} of {queued.waiting}"
    parts = [
        f"[{phase}]",
        f"tools {record.tool_runs}/{mission.budget.tool_calls}",
        f"time {spent_s}/{mission.budget.time_s} s",
        f"questions {record.counted_calls}/{mission.max_model_calls}",
    ]
    if mission.must_inspect:
        read = sum(path in record.evidence.extracts for path in mission.must_inspect)
        parts.append(f"required files {read}/{len(mission.must_inspect)}")
    else:
        parts.append(f"files {len(record.evidence.extracts)}")
    return "  ".join(parts)
