"""Where missions lie below `.codex-oss/`, and the files that are projected from their logs.

    .codex-oss/runs/<run_id>/events.jsonl        the authority (`services.event_log`)
    .codex-oss/missions/<mission_id>/*           projections, all rebuildable (`missions.projections`)
    .codex-oss/runs/<run_id>/cancel              somebody asks for the end of the run
    .codex-oss/locks/<mission_id>.lock           held while a mission runs

Rules that hold here:

1. A mission may be run again; its folder then shows the latest run, the earlier logs stay.
2. Two runs of one mission never overlap, in this process or another.
3. Everything is private to the user: folders 0700, files 0600.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from codex_oss.errors import LogCorrupt, RequestError, StoreError
from codex_oss.missions.envelope import Envelope
from codex_oss.missions.projections import project_files
from codex_oss.services.event_log import (
    LOCK_NAME,
    LOG_NAME,
    MAX_LOG_BYTES,
    LogReading,
    header_verifies,
    read_header,
    read_log,
)
from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic
from codex_oss.services.state_folder import STATE_DIR, open_state_folder
from codex_oss.services.writer_lease import HolderState, read_holder, state_of

PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
"""What may name a run's folder; a file that somebody else wrote may name anything."""
CANCEL_NAME = "cancel"
"""A file of this name beside a log asks its writer to cancel the run."""


class _Projected(Struct):
    """What is wanted of a projected file."""

    source_run_id: str = ""


class MissionStore:
    """The missions of one project."""

    def __init__(self, project: Path) -> None:
        self.state = project / STATE_DIR

    def run_folder(self, run_id: str) -> Path:
        """Where a run's log lies."""
        return self.state / "runs" / run_id

    def mission_folder(self, mission_id: str) -> Path:
        """Where a mission's projections lie."""
        return self.state / "missions" / mission_id

    @contextmanager
    def claim(self, mission_id: str) -> Iterator[None]:
        """Hold the right to run this mission. Raises RequestError `mission_already_running`."""
        open_state_folder(self.state)
        ensure_private_dir(self.state / "locks")
        lock = FileLock(self.state / "locks" / f"{mission_id}.lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as exc:
            raise RequestError(
                f"Mission {mission_id} is running already.",
                hint="Wait for it, or give the new mission another mission_id.",
                code="mission_already_running",
            ) from exc
        except OSError as exc:
            raise StoreError(f"The lock of mission {mission_id} cannot be taken: {exc.strerror}.") from exc
        try:
            yield
        finally:
            lock.release()

    def prepare_run(self, run_id: str) -> Path:
        """Make the run's private folder."""
        ensure_private_dir(self.state / "runs")
        folder = self.run_folder(run_id)
        ensure_private_dir(folder)
        return folder

    def request_cancel(self, run_id: str) -> None:
        """Ask whoever runs it, in whichever process, to cancel a run."""
        write_atomic(self.run_folder(run_id) / CANCEL_NAME, b"", durable=False)

    def cancel_requested(self, run_id: str) -> bool:
        """Whether somebody asked to cancel a run."""
        return os.path.lexists(self.run_folder(run_id) / CANCEL_NAME)

    def forget_cancel(self, run_id: str) -> None:
        """A run begins, or goes on: what was asked before it does not count."""
        with suppress(OSError):
            os.unlink(self.run_folder(run_id) / CANCEL_NAME)

    def writer_of(self, run_id: str) -> HolderState:
        """What became of the process that writes a run."""
        return state_of(read_holder(self.run_folder(run_id) / LOCK_NAME))

    def has_log(self, run_id: str) -> bool:
        """Whether a log of this run lies here."""
        return (self.run_folder(run_id) / LOG_NAME).is_file()

    def header_of(self, run_id: str) -> Envelope | None:
        """The first event of the log that lies in a run's place; None when there is none that verifies."""
        return read_header(self.run_folder(run_id) / LOG_NAME)

    def strange_runs(self, key: bytes) -> list[str]:
        """Runs whose first event does not verify: whose they were is only what they claim."""
        logs = sorted((self.state / "runs").glob(f"*/{LOG_NAME}"))
        return [path.parent.name for path in logs if not header_verifies(path, key)]

    def runs_of(self, mission_id: str) -> list[str]:
        """Run ids of a mission, oldest first."""
        found = []
        for path in sorted((self.state / "runs").glob(f"*/{LOG_NAME}")):
            header = read_header(path)
            if header is not None and header.mission_id == mission_id:
                found.append((header.created_at, header.run_id, path.parent.name))
        return [folder for _, _, folder in sorted(found)]

    def mission_ids(self) -> list[str]:
        """All missions of which a log exists, latest started first."""
        latest: dict[str, str] = {}
        for path in (self.state / "runs").glob(f"*/{LOG_NAME}"):
            header = read_header(path)
            if header is not None:
                latest[header.mission_id] = max(header.created_at, latest.get(header.mission_id, ""))
        return sorted(latest, key=latest.__getitem__, reverse=True)

    def latest_run(self, mission_id: str) -> str:
        """The run that began last. Raises RequestError `mission_not_found`."""
        runs = self.runs_of(mission_id)
        if not runs:
            known = ", ".join(self.mission_ids()[:5])
            raise RequestError(
                f"There is no mission {mission_id!r} in this project.",
                hint=f"Known missions: {known}." if known else "No mission was run here yet.",
                code="mission_not_found",
            )
        return runs[-1]

    def read_latest(self, mission_id: str, key: bytes = b"") -> LogReading:
        """The log of the latest run, with a key its MACs verified. Raises RequestError `mission_not_found`."""
        return self.read_run(self.latest_run(mission_id), key)

    def read_run(self, run_id: str, key: bytes = b"") -> LogReading:
        """The log of one run, with a key its MACs verified. Errors: StoreError."""
        return read_log(self.run_folder(run_id) / LOG_NAME, key)

    def write_projections(self, mission_id: str, files: Mapping[str, bytes]) -> Path:
        """Write the projected files, each atomically; returns their folder."""
        ensure_private_dir(self.state / "missions")
        folder = self.mission_folder(mission_id)
        ensure_private_dir(folder)
        for name, data in files.items():
            write_atomic(folder / name, data, durable=False)
        return folder

    def projected_run(self, mission_id: str) -> str:
        """The run that the mission's files say they were made from; empty when they say none that could be one."""
        if not PLAIN_ID.fullmatch(mission_id):
            return ""
        try:
            data = self.read_projection(mission_id, "mission_summary.json")
            run_id = msgspec.json.decode(data, type=_Projected).source_run_id if data else ""
        except (StoreError, msgspec.MsgspecError, UnicodeDecodeError):
            return ""
        return run_id if PLAIN_ID.fullmatch(run_id) else ""

    def is_projected(self, reading: LogReading) -> bool:
        """Whether every projected file lies there as the log gives it. Raises LogCorrupt."""
        return all(self.read_projection(reading.mission_id, name) == data for name, data in rebuild(reading).items())

    def read_projection(self, mission_id: str, name: str) -> bytes | None:
        """A projected file as it lies there; None when it is absent."""
        try:
            return read_plain(self.mission_folder(mission_id) / name, MAX_LOG_BYTES)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreError(f"{name} cannot be read: {exc.strerror}.") from exc


def rebuild(reading: LogReading) -> dict[str, bytes]:
    """All projections of a log, as they should lie in the mission's folder."""
    return project_files(reading.run_id, reading.mission_id, reading.events())


def write_rebuilt(store: MissionStore, mission_id: str) -> list[str]:
    """Write all projections of a mission's latest run anew from its log; returns their paths. Raises LogCorrupt too."""
    reading = store.read_latest(mission_id)
    if reading.bad_line:
        raise LogCorrupt(reading.bad_line, reading.bad_reason)
    files = rebuild(reading)
    folder = store.write_projections(mission_id, files)
    return [str(folder / name) for name in files]
