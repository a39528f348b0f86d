"""Missions as jobs: each runs in a task of its own, and whoever looks at it is only a viewer.

Counterparts: `services.mission_runner` runs one mission; `lanes.mission`, the local API and the command line start jobs
and follow them.

    start / resume ─► task: runner ─► events of the job ─┬─► viewer (from the first event on)
                                                         └─► viewer …

Rules that hold here:

1. A viewer that leaves changes nothing. A job ends by itself, by `cancel`, or with the process.
2. A viewer sees every event of this process's part of the run, in order, however late it comes.
3. What a job raised reaches every viewer: a mission that could not begin says why.
4. The last word on a run is its log. Jobs are forgotten when they end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from codex_oss.errors import BridgeError, fault_of
from codex_oss.missions.events import Recorded
from codex_oss.services.mission_runner import Admission, MissionRunner, Seen

log = logging.getLogger(__name__)


class MissionJob:
    """One mission under way in this process. on_end: called once when it ended."""

    def __init__(
        self, admission: Admission, run: AsyncGenerator[Seen, None], on_end: Callable[[MissionJob], None]
    ) -> None:
        self.run_id = admission.run_id
        self.mission_id = admission.mission.mission_id
        self._on_end = on_end
        self._events: list[Recorded] = []
        self._error: BridgeError | None = None
        self._ended = False
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._drive(run), name=f"mission {self.run_id}")

    @property
    def ended(self) -> bool:
        """No more events will come."""
        return self._ended

    async def follow(self) -> AsyncGenerator[Sequence[Recorded], None]:
        """Every event, from the first one on, as they are committed. Raises what the run raised."""
        seen = 0
        while True:
            news, ended = self._news, self.ended  # nothing can change between these and the wait
            if len(self._events) > seen:
                fresh = self._events[seen:]
                seen += len(fresh)
                yield fresh
            elif ended:
                if self._error is not None:
                    raise self._error
                return
            else:
                await news.wait()

    async def cancel(self) -> None:
        """End the run as `cancelled`, and wait until it is closed."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _drive(self, run: AsyncGenerator[Seen, None]) -> None:
        try:
            async with aclosing(run):
                async for seen in run:
                    self._events += seen.events
                    self._tell()
        except BridgeError as exc:
            self._error = exc
        except Exception as exc:
            log.error("%s failed unexpectedly: %s", self.run_id, fault_of(exc))
            self._error = BridgeError("The mission failed unexpectedly; the log of the bridge has the details.")
        finally:
            self._ended = True
            self._on_end(self)
            self._tell()

    def _tell(self) -> None:
        """Wake every viewer; the next one waits for the next news."""
        news, self._news = self._news, asyncio.Event()
        news.set()


class MissionJobs:
    """The missions under way in this process."""

    def __init__(self, runner: MissionRunner) -> None:
        self._runner = runner
        self._jobs: dict[str, MissionJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, admission: Admission) -> MissionJob:
        """Run an admitted mission."""
        return self._keep(MissionJob(admission, self._runner.run(admission), self._forget))

    def resume(self, admission: Admission) -> MissionJob:
        """Go on with a run whose writer is gone; admission: `AdmissionDesk.readmit`."""
        return self._keep(MissionJob(admission, self._runner.resume(admission), self._forget))

    def of_run(self, run_id: str) -> MissionJob | None:
        """The job of a run; None when it does not run here."""
        return self._jobs.get(run_id)

    async def aclose(self) -> None:
        """End every job; each closes its mission as `cancelled`."""
        await asyncio.gather(*(job.cancel() for job in list(self._jobs.values())))

    def _forget(self, job: MissionJob) -> None:
        self._jobs.pop(job.run_id, None)

    def _keep(self, job: MissionJob) -> MissionJob:
        self._jobs[job.run_id] = job
        return job
