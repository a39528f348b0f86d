"""The hands of a mission: carries out what `missions.decide` chooses and appends what happened.

Counterparts: `missions.decide` chooses, `services.event_log` keeps, `services.tool_host` runs tools, and
`services.model_call` asks the model through a lane like any other client of it. `lanes.mission` is the viewer.

    decide(record) ─► AskModel ─► ModelAsked, lane, ModelAnswered
                   ─► RunTool  ─► ToolStarted, tool in a thread, ToolFinished
                   ─► Append   ─► the events themselves
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
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.profiles import ActionProtocol
from codex_oss.contracts.tools import ToolCall, ToolResult, tool_error
from codex_oss.errors import BridgeError, RequestError, StoreError, fault_of
from codex_oss.missions.closing import close_by_runtime
from codex_oss.missions.decide import Append, AskModel, Finished, RunTool, decide, remaining_ms
from codex_oss.missions.events import (
    Known,
    MissionOpened,
    MissionResumed,
    ModelAnswered,
    Recorded,
    ToolFinished,
    ToolStarted,
)
from codex_oss.missions.record import RunRecord, epoch_ms
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import Scope
from codex_oss.services.event_log import EventLog, Seal, read_log
from codex_oss.services.mission_store import MissionStore, rebuild
from codex_oss.services.model_call import ModelCalls, question_of
from codex_oss.services.tool_host import ToolLimits
from codex_oss.wire.events import Lane

CANCEL_POLL_S: Final = 0.25
MAX_TOOL_S: Final = 20.0
MIN_TOOL_S: Final = 0.2
HEADER_BYTES: Final = 300
"""Of an observation: what ran, how much of it is shown, and the ref, for a path of ordinary length."""
MIN_SHOWN_BYTES: Final = 200
logger = logging.getLogger(__name__)


class Tools(Protocol):
    """What the runner needs of a tool host."""

    def run(self, call: ToolCall, scope: Scope, limits: ToolLimits) -> ToolResult:
        """Run one tool; blocking, never raises for what the model did."""
        ...


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
    ) -> None:
        self._store = store
        self._open_seal = open_seal
        self._tools = tools
        self._model = ModelCalls(lane, redactor, monotonic_ms)
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
                opening = (_opening(admission, self._redactor),)
                async with aclosing(self._follow(log, admission, opening)) as seen:
                    async for each in seen:
                        yield each

    async def resume(self, admission: Admission) -> AsyncGenerator[Seen, None]:
        """Go on with a run whose writer is gone or stopped, from where its log ends; otherwise as `run`.

        admission: with the run's own id. A tool that had been started is run again, since all of them only read; a
        question without an answer is asked again, and the lost answer is noted as unknown.
        Raises StoreError `log_locked` when its writer lives, RequestError `mission_closed` when there is nothing to do.
        """
        with self._open(self._store.run_folder(admission.run_id), admission) as log:
            if log.record.closed is not None:
                raise RequestError(f"Run {admission.run_id} ended already.", code="mission_closed")
            async with aclosing(self._follow(log, admission, _resumption(log))) as seen:
                async for each in seen:
                    yield each

    def cancel_dead(self, run_id: str, mission_id: str) -> RunRecord:
        """Close a run that nobody writes any more; blocking. Raises StoreError `log_locked` when somebody does."""
        with EventLog(self._store.run_folder(run_id), run_id, mission_id, seal=self._open_seal()) as log:
            if log.record.opened is not None and log.record.closed is None:
                detail = "Cancelled on request, after its writer had gone."
                log.append((close_by_runtime(log.record, "cancelled", detail=detail),))
                self._project(log)
            return log.record

    def _open(self, folder: Path, admission: Admission) -> EventLog:
        self._store.forget_cancel(admission.run_id)
        return EventLog(folder, admission.run_id, admission.mission.mission_id, seal=self._open_seal())

    async def _follow(self, log: EventLog, admission: Admission, first: Sequence[Known]) -> AsyncGenerator[Seen, None]:
        """The events *first* and then every step, until the mission is closed; however this ends, it is closed."""
        ending, detail = "cancelled", "The mission was cut off."
        try:
            yield await self._commit(log, *first)
            async with aclosing(self._steps(log, admission)) as steps:
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
                await asyncio.to_thread(self._project, log)

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

    async def _steps(self, log: EventLog, admission: Admission) -> AsyncGenerator[Seen, None]:
        begun_ms, began = epoch_ms(log.record.last_at), self._monotonic_ms()
        while True:
            now_ms = begun_ms + self._monotonic_ms() - began
            # In a thread: a report of a hundred findings may take seconds to judge, and other turns go on meanwhile.
            step = await asyncio.to_thread(decide, log.record, now_ms, admission.scope)
            match step:
                case Finished():
                    return
                case Append(events):
                    yield await self._commit(log, *events)
                case AskModel():
                    yield await self._commit(log, question_of(log.record, step))
                    yield await self._commit(log, await self._model.ask(log.record, step, admission.ask_model))
                case RunTool():
                    if not step.again:
                        started = ToolStarted(step.step, step.call, step.tool.tool, step.tool.arguments)
                        yield await self._commit(log, started)
                    left_s = remaining_ms(log.record, now_ms) / 1000
                    yield await self._commit(log, await self._run_tool(step, admission, left_s))

    async def _commit(self, log: EventLog, *events: Known) -> Seen:
        return Seen(await asyncio.to_thread(log.append, events), log.record)

    def _project(self, log: EventLog) -> None:
        self._store.write_projections(log.mission_id, rebuild(read_log(log.path)))

    async def _run_tool(self, step: RunTool, admission: Admission, left_s: float) -> ToolFinished:
        started = self._monotonic_ms()
        limits = tool_limits(step.max_bytes, left_s)
        try:
            result = await asyncio.to_thread(self._tools.run, step.tool, admission.scope, limits)
        except BridgeError as exc:
            result = tool_error(step.tool.tool, exc.code, exc.message)
        except Exception as exc:
            logger.error("%s: %s failed unexpectedly: %s", admission.run_id, step.tool.tool, fault_of(exc))
            result = tool_error(
                step.tool.tool, "tool_failed", "The tool failed; the log of the bridge has the details."
            )
        return ToolFinished(step.step, result, self._monotonic_ms() - started)


def tool_limits(max_bytes: int, left_s: float = MAX_TOOL_S) -> ToolLimits:
    """The bounds of one call. max_bytes: most that the model may be shown. left_s: to the deadline."""
    shown = max(MIN_SHOWN_BYTES, max_bytes - HEADER_BYTES)
    return ToolLimits(
        max_bytes=shown,
        max_matches=max(10, min(100, shown // 120)),
        max_file_bytes=4 * 1024 * 1024,
        timeout_s=min(MAX_TOOL_S, max(MIN_TOOL_S, left_s)),
    )


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
