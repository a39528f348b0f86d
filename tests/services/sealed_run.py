"""A finished mission with every kind of event on a disk, sealed with key and anchor, for those who attack its record.

Counterparts: `record_mutations.py` changes its log; `test_torn_writes.py` writes the same story with accidents.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from codex_oss.errors import BridgeError, RequestError
from codex_oss.missions.events import Known, MissionQueued, MissionResumed, MissionScheduled, ModelReplaced, Recorded
from codex_oss.services.anchors import AnchorBook
from codex_oss.services.audit import Audit, audit_mission
from codex_oss.services.audit_claims import Source
from codex_oss.services.event_log import EventLog, Seal
from codex_oss.services.mission_store import MissionStore, write_rebuilt
from tests.fakes.mission_script import FILES, Play, call, finding, mission, report

KEY: Final = bytes(range(32))
Auditor = Literal["nothing", "key", "anchor", "both"]
AUDITORS: Final[tuple[Auditor, ...]] = ("nothing", "key", "anchor", "both")
Line = dict[str, Any]
Log = list[Line]

REF: Final = "file:app/retry.py#extract:1"
HONEST: Final = (
    "no JSON at all",
    call("rtk_read", path="app/retry.py"),
    call("rtk_read", path="../outside.py"),
    call("rtk_grep", pattern="RETR", path="app"),
    report(finding("`NOT_THERE` is 9", REF)),
    report(finding("`MAX_RETRIES` is 5", REF)),
)
OTHER: Final = (
    call("rtk_read", path="app/config.py"),
    report(finding("`RETRY_LIMIT` is 7", "file:app/config.py#extract:1")),
)
"""Another story of the same mission, true in itself."""


WAITED: Final[tuple[Known, ...]] = (
    ModelReplaced(0, "asked", "test", "test-model", "model_unavailable", 2, 2),
    MissionQueued("read_pool", 1, 1, 2, 30_000),
    MissionScheduled("read_pool", 250),
)
"""What stands after the opening of a mission that another model took, and that had to wait for its slot."""


def story(answers: tuple[str, ...], resumed_at: int = 0) -> list[Known]:
    """The events of a mission that a model answers so; with every kind of event when it is *resumed_at* one."""
    events: list[Any] = [recorded.event for recorded in _played(answers)]
    if resumed_at:
        events[resumed_at:resumed_at] = [MissionResumed(7)]
        events[1:1] = WAITED
    return events


def _played(answers: tuple[str, ...]) -> list[Recorded]:
    played = Play(mission(), answers)
    played.run()
    return played.events


class Scene:
    """One finished mission on a disk, with key and anchor; an earlier run of it lies beside."""

    def __init__(self, folder: Path, events: list[Known] | None = None) -> None:
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        self.store = MissionStore(self.project)
        self.anchors = AnchorBook(folder / "state", self.project)
        self.earlier = self._write("run_0", story(OTHER), 1)
        self.log = self._write("run_1", story(HONEST, 4) if events is None else events, 2)
        self.whole = self.log.read_bytes()
        self.lines: Log = [json.loads(line) for line in self.whole.splitlines()]
        self.foreign: Log = [json.loads(line) for line in self.earlier.read_bytes().splitlines()]
        write_rebuilt(self.store, "m_test")
        self.folder = self.store.mission_folder("m_test")
        self.files = {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def _write(self, run_id: str, events: list[Known], day: int) -> Path:
        def clock() -> datetime:
            return datetime(2026, 1, day, tzinfo=UTC)

        with EventLog(self.store.prepare_run(run_id), run_id, "m_test", clock, seal=Seal(KEY, self.anchors)) as log:
            for event in events:
                log.append((event,))
            return log.path

    def put(self, data: bytes) -> None:
        """Lay a log in the place of the latest run, and make all files that are made from it."""
        self.log.write_bytes(data)
        try:
            write_rebuilt(self.store, "m_test")
        except BridgeError:
            for name, content in self.files.items():
                (self.folder / name).write_bytes(content)

    def audit(self, auditor: Auditor) -> Audit:
        """What somebody finds who has so much."""
        key = KEY if auditor in ("key", "both") else b""
        anchors = self.anchors if auditor in ("anchor", "both") else None
        return audit_mission(self.store, "m_test", _source, Seal(key, anchors))

    def finds(self, auditor: Auditor) -> bool:
        """Whether an auditor finds a fault in what lies there now. Not to find the mission at all is no finding."""
        try:
            return not self.audit(auditor).ok
        except RequestError:
            return False


def _source(path: str) -> Source | None:
    """The project's files as they were when the mission read them."""
    return Source("ab" * 32, FILES[path].encode()) if path in FILES else None
