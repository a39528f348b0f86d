"""The progress of a mission for a person: remarks as they come, and how far it is.

    · Read app/retry.py (required source)
    · Read app/retry.py: lines 1-120 of 120.
    [asking the model] tools 2/8, time 14/60 s, questions 3/12, files 2, last: Read app/retry.py

| mode | remarks | how far it is |
| --- | --- | --- |
| `terminal` | one a line, they stay | one line at the bottom, written over, cut to the width; its time runs on |
| `lines` | one a line | a line for each question, each tool, each new place in a queue, and at the end |
| `quiet` | none | nothing |

Counterpart: `cli.mission_viewer` follows the log and calls this. Everything goes to stderr: stdout is for the report.
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Final, Literal, Self

import click

from codex_oss.missions.commentary import describe_call
from codex_oss.missions.record import RunRecord, epoch_ms
from codex_oss.policy.printable import printable

Mode = Literal["terminal", "lines", "quiet"]

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
DEFAULT_COLUMNS: Final = 80
LAST_CHARS: Final = 60


def choose_mode(*, quiet: bool, stream: IO[str], environ: Mapping[str, str]) -> Mode:
    """How to show it: over-writing needs a terminal that can."""
    if quiet:
        return "quiet"
    return "terminal" if stream.isatty() and environ.get("TERM", "") not in ("", "dumb") else "lines"


class ProgressDisplay:
    """Writes to stderr. quiet: nothing at all."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.mode: Mode = choose_mode(quiet=quiet, stream=sys.stderr, environ=os.environ)
        self._drawn = False
        self._told: tuple[object, ...] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._clear()

    def remark(self, message: str) -> None:
        """One more line that stays."""
        if self.mode != "quiet":
            self._clear()
            click.echo(printable(f"· {message}"), err=True)

    def show(self, record: RunRecord) -> None:
        """How far it is."""
        if self.mode == "terminal":
            line = fitted(printable(describe_progress(record, time.time())), _columns() - 1)
            click.echo(f"{CLEAR_LINE}{line}", err=True, nl=False)
            self._drawn = True
        elif self.mode == "lines":
            place = record.queued.place if record.queued else 0
            told = (record.tool_runs, len(record.calls), record.closed is not None, place)
            if told != self._told:
                self._told = told
                click.echo(printable(f"  {describe_progress(record, time.time())}"), err=True)

    def _clear(self) -> None:
        if self._drawn:
            click.echo(CLEAR_LINE, err=True, nl=False)
            self._drawn = False


def describe_progress(record: RunRecord, now: float) -> str:
    """Phase, budget, coverage and last action in one line. now: seconds since the epoch."""
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
        f"[{phase}] tools {record.tool_runs}/{mission.budget.tool_calls}",
        f"time {spent_s}/{mission.budget.time_s} s",
        f"questions {record.counted_calls}/{mission.max_model_calls}",
    ]
    if mission.must_inspect:
        read = sum(path in record.evidence.extracts for path in mission.must_inspect)
        parts.append(f"required {read}/{len(mission.must_inspect)}")
    else:
        parts.append(f"files {len(record.evidence.extracts)}")
    if last := last_action(record):
        parts.append(f"last: {last}")
    return ", ".join(parts)


def last_action(record: RunRecord) -> str:
    """The last thing that was proposed, in a few words; empty before the first."""
    if not record.judged:
        return ""
    proposal = record.judged[-1].proposal
    if proposal.kind == "tool_call":
        words = " ".join(describe_call(proposal.tool, proposal.arguments).split())
        return words if len(words) <= LAST_CHARS else words[: LAST_CHARS - 1] + "…"
    return "Report" if proposal.kind == "final_report" else "an answer that is no action"


def fitted(line: str, columns: int) -> str:
    """As much of a line as fits; a line that wraps could not be written over. Wide characters take two columns."""
    taken = 0
    for place, char in enumerate(line):
        taken += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if taken > columns:
            return line[:place]
    return line


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS
