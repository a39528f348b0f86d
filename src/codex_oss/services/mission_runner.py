"""The hands of a mission: carries out what `missions.decide` chooses and appends what happened.

Counterparts: `missions.decide` chooses, `services.event_log` keeps, `services.tool_call` runs tools, and
`services.model_call` asks the model through a lane like any other client of it. `lanes.mission` is the viewer.

    decide(record) ─► AskModel ─► ModelAsked, lane, ModelAnswered
                   ─► RunTool  ─► ToolStarted, tool in a thread, ToolFinished
                   ─► Append   ─► the events themselves, until one of the others follows
                   ─► Finished ─► projections are written

Rules that hold here:

1. What is about to happen is in the log before it happens, what happened right after.
2. Everything of the model's or of a file's is redacted before it becomes part of an event.
3. Time is counted from the opening, or from going on again, by a clock that nobody sets: a jump of the wall clock
   neither ends a mission nor lets it run on.
4. A mission that is cut off (the viewer left, the process is told to end, somebody asked for it) is closed as
   `cancelled` with what it has. A mission whose process is killed stays open in the log, says so to `audit-mission`,
   and can be resumed: the run goes on where its log ends.
5. A writer that was replaced writes nothing more, neither a closing nor projections: the run is another's.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Final, ParamSpec, TypeVar, assert_never

import msgspec
from msgspec import Struct

from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.profiles import ActionProtocol, ModelProfile
from codex_oss.errors import RequestError, StoreError
from codex_oss.missions.closing import close_by_runtime
from codex_oss.missions.decide import Append, AskModel, Finished, RunTool, decide, refuse_at_door, tool_time_ms
from codex_oss.missions.events import (
    Known,
    MissionClosed,
    MissionOpened,
    MissionResumed,
    MissionScheduled,
    ModelAnswered,
    ModelReplaced,
    Recorded,
    ToolStarted,
)
from codex_oss.missions.observation_limit import cut_to_limit
from codex_oss.missions.record import RunRecord, epoch_ms
from codex_oss.policy.admission import ModelAdmission
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import Scope
from codex_oss.services.event_log import EventLog, Seal, read_log
from codex_oss.services.mission_lanes import LaneRefused, MissionLanes
from codex_oss.services.mission_store import MissionStore, rebuild
from codex_oss.services.model_call import ModelCalls, question_of
from codex_oss.services.tool_call import ToolCalls, Tools
from codex_oss.wire.events import Lane

LOG_THREADS: Final = 4
"""More would only wait for the interpreter; while one waits for the disk, others go on."""
CANCEL_POLL_S: Final = 0.25


P = ParamSpec("P")
T = TypeVar("T")


class Admission(Struct, frozen=True):
    """A mission that may run, and on what."""

    run_id: str
    mission: MissionV1
    model_alias: str
    """What the client asked for."""
    ask_model: str
    """Raw alias under which the lane is asked."""
    profile: str
    upstream_model: str
    context_tokens: int
    max_output_tokens: int
    structured_output: str
    scope: Scope
    root_entries: Mapping[str, int]
    reserve_ms: int
    final_call_ms: int
    trace_level: str
    trace_max_events: int
    trace_max_chars: int
    lane: str = "read_pool"
    """The scheduler lane it runs in."""
    model: ModelAdmission = ModelAdmission()
    """How its model was found."""
    replaced: tuple[ModelReplaced, ...] = ()
    """Who stands in for the model that was asked for."""
    action_protocol: ActionProtocol = "json"
    replay_reasoning: bool = False


class Seen(Struct, frozen=True):
    """Committed events, with the record as it stands after them."""

    events: Sequence[Recorded]
    record: RunRecord


class MissionRunner:
    """Runs missions of one project, each on a log of its own."""

    def __init__(
        self,
        store: MissionStore,
        tools: Tools,
        lane: Lane,
        redactor: Redactor,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        *,
        open_seal: Callable[[], Seal] = Seal,
        lanes: MissionLanes | None = None,
        profiles: Mapping[str, ModelProfile] | None = None,
    ) -> None:
        """lanes: None runs every mission at once. profiles: who may stand in for the model of a mission."""
        self._store = store
        self._lanes = lanes
        # Their own: a search of twenty seconds must not hold up what other missions write.
        self._log_threads = ThreadPoolExecutor(LOG_THREADS, thread_name_prefix="mission-log")
        self._open_seal = open_seal
        self._tool = ToolCalls(tools, monotonic_ms)
        self._model = ModelCalls(lane, redactor, monotonic_ms, profiles)
        self._redactor = redactor
        self._monotonic_ms = monotonic_ms

    async def run(self, admission: Admission) -> AsyncGenerator[Seen, None]:
        """Run a mission to its end, yielding events as they are committed.

        Closing the iterator early closes the mission as `cancelled`. Raises RequestError when the mission runs
        already, StoreError when the log cannot be written.
        """
        with self._store.claim(admission.mission.mission_id):
            folder = self._store.prepare_run(admission.run_id)
            with self._open(folder, admission) as log:
                opening: list[Known] = [_opening(admission, self._redactor), *admission.replaced]
                async with aclosing(self._follow(log, admission, opening)) as seen:
                    async for each in seen:
                        yield each

    async def resume(self, admission: Admission) -> AsyncGenerator[Seen, None]:
        """Go on with a run whose writer is gone or stopped, from where its log ends; otherwise as `run`.

        admission: with the run's own id. A tool that had been started is run again, since all of them only read; a
        question without an answer is asked again, and the lost answer is noted as unknown.
        A run that was killed between its closing and its files gets its files, and nothing more is written to its log.
        Raises StoreError `log_locked` when its writer lives, RequestError `mission_closed` when there is nothing to do.
        """
        with self._open(self._store.run_folder(admission.run_id), admission) as log:
            if log.record.closed is not None:
                if self._store.is_projected(read_log(log.path)):
                    raise RequestError(f"Run {admission.run_id} ended already.", code="mission_closed")
                await self._in_thread(self._project, log)
                return
            first: list[Known] = [*_resumption(log), *admission.replaced]
            async with aclosing(self._follow(log, admission, first)) as seen:
                async for each in seen:
                    yield each

    def cancel_dead(self, run_id: str, mission_id: str) -> RunRecord:
        """Close a run that nobody writes any more; blocking. Raises StoreError `log_locked` when somebody does."""
        with EventLog(self._store.run_folder(run_id), run_id, mission_id, seal=self._open_seal()) as log:
            if log.record.opened is not None and log.record.closed is None:
                detail = "Cancelled on request, after its writer had gone."
                log.append((close_by_runtime(log.record, "cancelled", detail=detail),))
                self._project(log)
            if self._lanes is not None:
                self._lanes.forget(run_id)
            return log.record

    def _open(self, folder: Path, admission: Admission) -> EventLog:
        self._store.forget_cancel(admission.run_id)
        return EventLog(folder, admission.run_id, admission.mission.mission_id, seal=self._open_seal())

    async def _follow(self, log: EventLog, admission: Admission, first: Sequence[Known]) -> AsyncGenerator[Seen, None]:
        """The events *first* and then every step, until the mission is closed; however this ends, it is closed."""
        ending, detail = "cancelled", "The mission was cut off."
        try:
            yield await self._commit(log, *first)
            async with aclosing(self._in_lane(log, admission)) as steps:
                while (seen := await self._next(steps, log.run_id)) is not None:
                    yield seen
            if log.record.closed is None:
                detail = "Cancelled on request."
                yield await self._commit(log, close_by_runtime(log.record, ending, detail=detail))
        except StoreError as exc:
            ending, detail = exc.code, exc.message
            raise
        finally:
            # A run that could not even be opened leaves the files of an earlier one as they are.
            if log.record.opened is not None and ending != "writer_replaced":
                if log.record.closed is None:
                    log.append((close_by_runtime(log.record, ending, detail=detail),))
                await self._in_thread(self._project, log)

    async def _next(self, steps: AsyncGenerator[Seen, None], run_id: str) -> Seen | None:
        """The next step's events; None when there are none, or when somebody asked to cancel the run."""
        step = asyncio.ensure_future(anext(steps, None))
        try:
            while True:
                done, _ = await asyncio.wait((step,), timeout=CANCEL_POLL_S)
                if done:
                    return step.result()
                if self._store.cancel_requested(run_id):
                    return None
        finally:
            if not step.done():
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)

    async def _in_lane(self, log: EventLog, admission: Admission) -> AsyncGenerator[Seen, None]:
        """Wait for a slot, then every step. What is refused at the door anyway waits for nothing."""
        opened = log.record.opened
        lanes = None if opened is not None and refuse_at_door(opened) else self._lanes
        lease = lanes.lease(admission.lane, log.run_id, log.mission_id) if lanes else None
        try:
            if lease is not None:
                async for event in lease.waits():
                    yield await self._commit(log, event)
            if log.record.queued is not None:  # it waited in a process that died, and need not wait in this one
                yield await self._commit(log, MissionScheduled(admission.lane, 0))
            async with aclosing(self._steps(log, admission)) as steps:
                async for seen in steps:
                    yield seen
        except LaneRefused as refused:
            closing = close_by_runtime(log.record, "capacity_timeout", refused.code, detail=refused.message)
            yield await self._commit(log, closing)
        finally:
            if lease is not None:
                lease.release()

    async def _steps(self, log: EventLog, admission: Admission) -> AsyncGenerator[Seen, None]:
        begun_ms, began = epoch_ms(log.record.last_at), self._monotonic_ms()
        outcome: Sequence[Known] = ()
        while True:
            now_ms = begun_ms + self._monotonic_ms() - began
            # In a thread: a report of a hundred findings may take seconds to judge, and other turns go on meanwhile.
            recorded, step = await self._in_thread(_advance, log, outcome, now_ms, admission.scope)
            if recorded:
                yield Seen(recorded, log.record)
            match step:
                case AskModel():
                    outcome = await self._model.ask(log.record, step, admission.ask_model)
                case RunTool():
                    left_s = tool_time_ms(log.record, now_ms) / 1000
                    finished = await self._tool.run(step, admission.scope, left_s)
                    left_bytes = admission.mission.max_total_observation_bytes - log.record.bytes_shown
                    result = cut_to_limit(finished.result, left_bytes)
                    outcome = (msgspec.structs.replace(finished, result=result),)
                case _:
                    return

    async def _commit(self, log: EventLog, *events: Known) -> Seen:
        return Seen(await self._in_thread(log.append, events), log.record)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Work on a log, to its end also when the caller is cancelled meanwhile: the record changes under no reader."""
        call = functools.partial(work, *args, **kwargs)
        done = asyncio.get_running_loop().run_in_executor(self._log_threads, call)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait((done,))
            raise

    def _project(self, log: EventLog) -> None:
        self._store.write_projections(log.mission_id, rebuild(read_log(log.path)))


def _advance(
    log: EventLog, outcome: Sequence[Known], now_ms: int, scope: Scope
) -> tuple[list[Recorded], AskModel | RunTool | Finished]:
    """Append what came of the last step and all that follows from it; blocking.

    Returns what was appended and the next thing to do outside. By then its beginning, and so everything before it, is
    on the disk.
    """
    recorded = log.append(outcome, durable=False) if outcome else []
    while True:
        match step := decide(log.record, now_ms, scope):
            case Append(events):
                recorded += log.append(events, durable=any(isinstance(event, MissionClosed) for event in events))
                continue
            case AskModel():
                recorded += log.append((question_of(log.record, step),))
            case RunTool() if not step.again:
                started = ToolStarted(step.step, step.call, step.tool.tool, step.tool.arguments)
                recorded += log.append((started,))
            case RunTool() | Finished():
                pass
            case _:
                assert_never(step)
        return recorded, step


def _opening(admission: Admission, redactor: Redactor) -> MissionOpened:
    return MissionOpened(
        mission=redacted_mission(admission.mission, redactor),
        model_alias=admission.model_alias,
        profile=admission.profile,
        upstream_model=admission.upstream_model,
        context_tokens=admission.context_tokens,
        structured_output=admission.structured_output,
        root_entries=dict(admission.root_entries),
        reserve_ms=admission.reserve_ms,
        final_call_ms=admission.final_call_ms,
        trace_level=admission.trace_level,
        trace_max_events=admission.trace_max_events,
        trace_max_chars=admission.trace_max_chars,
        lane=admission.lane,
        admission=admission.model,
        action_protocol=admission.action_protocol,
        max_output_tokens=admission.max_output_tokens,
        replay_reasoning=admission.replay_reasoning,
    )


def _resumption(log: EventLog) -> list[Known]:
    """What stands first in the log of a run that goes on."""
    record = log.record
    paused_ms = max(0, round(log.now().timestamp() * 1000) - epoch_ms(record.last_at))
    events: list[Known] = [MissionResumed(paused_ms, f"writer_{'stopped' if log.replaced == 'stopped' else 'gone'}")]
    if record.stage == "asked":
        lost = "The answer was lost with the process that had asked."
        events.append(ModelAnswered(record.calls[-1].call, "", "unknown", "answer_lost", lost))
    return events


def redacted_mission(mission: MissionV1, redactor: Redactor) -> MissionV1:
    """The contract as it may be kept and shown to the model: no text of it holds a secret.

    The scope is made of the contract as it was sent; a path that looks like a secret is then asked for in vain.
    """
    raw = redactor.redact_value(msgspec.to_builtins(mission))
    return msgspec.convert({**raw, "mission_id": mission.mission_id}, MissionV1)
