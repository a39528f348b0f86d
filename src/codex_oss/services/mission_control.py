"""What can be done with the missions of a project: begin, go on, cancel.

Counterparts: the command line and the local API call it; `services.mission_jobs` runs in this process,
`services.mission_store` knows the runs of every process.

| the latest run is | resume | cancel |
| --- | --- | --- |
| closed, its files not all written | they are written | said; nothing changes |
| closed | refused | said; nothing changes |
| written by a process that lives | refused | its writer is asked, and closes it |
| written by one that is gone or stopped | taken over | taken over and closed |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from codex_oss.contracts.mission import Problem
from codex_oss.errors import RequestError, StoreError
from codex_oss.missions.record import RunRecord, fold
from codex_oss.policy.admission import REFUSALS
from codex_oss.policy.routing import Route
from codex_oss.services.admission import AdmissionDesk
from codex_oss.services.delivery_log import DeliveryBook
from codex_oss.services.event_log import LogReading
from codex_oss.services.mission_jobs import MissionJob, MissionJobs
from codex_oss.services.mission_lanes import MissionLanes
from codex_oss.services.mission_runner import Admission, MissionRunner
from codex_oss.services.mission_store import MissionStore

CANCEL_WAIT_S: Final = 15.0
CANCEL_POLL_S: Final = 0.1
_CHILD_REFUSED: Final = REFUSALS["child_model_refused"]


class MissionControl:
    """The missions of one project, for those who direct them."""

    def __init__(
        self,
        store: MissionStore,
        desk: AdmissionDesk,
        runner: MissionRunner,
        route: Callable[[str], Route],
        lanes: MissionLanes,
        delivery: DeliveryBook,
    ) -> None:
        self.store = store
        self.lanes = lanes
        self.delivery = delivery
        self.jobs = MissionJobs(runner)
        self._desk = desk
        self._runner = runner
        self._route = route

    def admit(self, raw: Mapping[str, Any], model: str) -> Admission | tuple[Problem, ...]:
        """Judge a raw mission for a model name. Raises RequestError for a name that nobody answers to."""
        route = self._route(model)
        if route.lane in ("passthrough", "chatgpt"):
            return (Problem("child_model_refused", "model", f"{model!r} takes no mission: {_CHILD_REFUSED}."),)
        try:
            return self._desk.admit(raw, model_alias=model, profile=route.profile, tier=route.tier, reason=route.reason)
        except StoreError as exc:
            return (Problem(exc.code, "", exc.message),)

    def resume(self, mission_id: str) -> MissionJob:
        """Go on with the latest run of a mission. Needs a running loop.

        Raises RequestError `mission_not_found`, `mission_closed` or `mission_already_running`, LogCorrupt.
        """
        reading = self.store.read_latest(mission_id)
        record = _folded(reading)
        if record.opened is None:
            raise RequestError(f"Mission {mission_id} was never opened.", code="mission_not_found")
        if record.closed is not None and self.store.is_projected(reading):
            raise RequestError(
                f"Mission {mission_id} ended as {record.closed.status}; there is nothing to go on with.",
                hint="`codex-oss mission run` begins a new run.",
                code="mission_closed",
            )
        if self.store.writer_of(record.run_id) == "lives":
            raise RequestError(
                f"Mission {mission_id} is running.",
                hint="`codex-oss mission watch` shows it.",
                code="mission_already_running",
            )
        route = self._route(record.opened.model_alias)
        return self.jobs.resume(self._desk.readmit(record.run_id, record.opened, route.profile))

    async def cancel(self, mission_id: str) -> RunRecord:
        """End the latest run of a mission; one that ended already stays as it is. Returns the record afterwards.

        Raises RequestError `mission_not_found`, StoreError `cancel_unanswered` when its writer does not react.
        """
        record = await asyncio.to_thread(self._read, mission_id)
        if record.closed is not None:
            return record
        job = self.jobs.of_run(record.run_id)
        if job is not None:
            await job.cancel()
            return await asyncio.to_thread(self._read, mission_id)
        if self.store.writer_of(record.run_id) != "lives":
            return await asyncio.to_thread(self._runner.cancel_dead, record.run_id, mission_id)
        self.store.request_cancel(record.run_id)
        for _ in range(round(CANCEL_WAIT_S / CANCEL_POLL_S)):
            await asyncio.sleep(CANCEL_POLL_S)
            if (record := await asyncio.to_thread(self._read, mission_id)).closed is not None:
                return record
        raise StoreError(
            f"The process that runs mission {mission_id} has not ended it within {CANCEL_WAIT_S:g} s.",
            hint="It was asked to; look again, or end the process.",
            code="cancel_unanswered",
        )

    def _read(self, mission_id: str) -> RunRecord:
        return _folded(self.store.read_latest(mission_id))


def _folded(reading: LogReading) -> RunRecord:
    return fold(reading.run_id, reading.mission_id, reading.recorded())
