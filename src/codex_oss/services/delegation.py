"""Delegating over MCP, without MCP: what each of the tools of `services.delegation_tools` does.

Counterparts: `services.mcp_host` speaks the protocol; `contracts.compiler` writes the contract from an agent's words;
`services.mission_control` and `services.log_tail` run and follow missions.

    delegate ─► contract ─► admission ─► run ─► progress: the commentary ─► compact report with refs
    mission_start · mission_status · mission_report · mission_cancel · list_profiles

Rules that hold here:

1. What goes back to the parent is sized for its context: findings with their refs, never a file's content.
2. A mission that ended below COMPLETE is an answer, not an error. An error is a request that could not be carried out.
3. The parent that stops waiting does not end the mission, nor does its client's cancellation of the call: only
   `mission_cancel` does.
4. `delegate` answers before its client's time limit cuts it off: after `max_wait_s` it says which mission goes on. A
   call that was cut nevertheless has told the id in its first progress, and `mission_status` lists the latest missions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.contracts.compiler import CompileOptions, compile_mission
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import BridgeError, ContractInvalid, RequestError, fault_of
from codex_oss.missions.commentary import Commentator
from codex_oss.missions.delivery import REPORT
from codex_oss.missions.projections import final_report, project_summary, render_summary
from codex_oss.missions.record import RunRecord, evolve, fold, new_record
from codex_oss.policy.routing import mission_aliases
from codex_oss.services.delegation_tools import (
    MAX_WAIT_S,
    TOOLS,
    DelegateArguments,
    DelegationTool,
    MissionArguments,
    NoArguments,
    StatusArguments,
)
from codex_oss.services.handover import Handover
from codex_oss.services.log_tail import follow_log, with_heartbeats
from codex_oss.services.mission_control import MissionControl
from codex_oss.services.mission_runner import Admission

log = logging.getLogger(__name__)

MAX_FINDINGS_CHARS: Final = 24_000
"""About 6,000 tokens of the parent's context; `report.json` of the mission has the rest."""
MAX_TEXT_CHARS: Final = 32_000
"""The same in words, with what else the summary says."""
STILL_RUNS: Final = (
    "still runs. Nothing is lost: it goes on by itself; ask mission_status or mission_report for it by this id, or end "
    "it with mission_cancel."
)
INTERRUPTED: Final = (
    "was interrupted: the process that ran it is gone or stopped. `codex-oss mission resume` goes on with it, "
    "mission_cancel closes it."
)
MAX_OBJECTIVE_CHARS: Final = 200
MAX_LISTED: Final = 10
"""Missions that `mission_status` lists."""
HEARTBEAT_S: Final = 5.0
"""Clients take silence for death: Codex after its tool_timeout_sec, OpenCode after its mcp timeout."""

Tell = Callable[[int, str], Awaitable[None]]
"""Reports progress: a number that only grows, and a sentence."""


class Caller(Struct, frozen=True):
    """Who calls a tool, as far as it says so."""

    thread_id: str = ""
    """Thread of the client that calls; Codex 0.169 names it with each call."""
    client: str = ""
    """Name and version of the client's program."""
    listens: bool = False
    """It asked for progress; otherwise what is told reaches nobody."""


NOBODY: Final = Caller()
Begin = Callable[[Mapping[str, Any], str], Awaitable[tuple[str, str]]]
"""Raw mission and model name to the ids of mission and run, once the run has begun. Raises BridgeError."""


class ToolReply(Struct, frozen=True):
    """What goes back. structured: a JSON object."""

    text: str
    structured: dict[str, Any]
    is_error: bool = False


class Delegation:
    """Carries the tools out for one project. begin: where missions run, in this process or in the bridge."""

    def __init__(
        self,
        missions: MissionControl,
        profiles: Mapping[str, ModelProfile],
        begin: Begin,
        *,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self._missions = missions
        self._profiles = profiles
        self._begin = begin
        self._max_wait_s = max_wait_s
        self._doers: Final[dict[str, Callable[[Any, Tell, Caller], Awaitable[ToolReply]]]] = {
            "delegate": self._delegate,
            "mission_start": self._start,
            "mission_status": self._status,
            "mission_report": self._report,
            "mission_cancel": self._cancel,
            "list_profiles": self._list_profiles,
        }

    async def call(self, name: str, arguments: Mapping[str, Any], tell: Tell, caller: Caller = NOBODY) -> ToolReply:
        """Carry one tool out. Never raises for what was asked: the reply then is an error with a code."""
        tool = next((tool for tool in TOOLS if tool.name == name), None)
        try:
            if tool is None:
                raise RequestError(f"There is no tool {name[:60]!r}.", code="tool_unknown")
            return await self._doers[name](_converted(arguments, tool), tell, caller)
        except BridgeError as exc:
            return refusal(exc)
        except Exception as exc:
            log.error("the tool %s failed unexpectedly: %s", name[:60], fault_of(exc))
            return refusal(BridgeError("It failed unexpectedly; the log on stderr has the details."))

    async def _delegate(self, asked: DelegateArguments, tell: Tell, caller: Caller) -> ToolReply:
        mission_id, run_id = await self._begin(*_contract(asked))
        await tell(0, f"Mission {mission_id} has begun; mission_report gives its result at any time.")
        handover = self._handover(mission_id, run_id, caller)
        record = await self._watched(mission_id, run_id, tell, caller, handover)
        return await self._handed(record, handover)

    async def _start(self, asked: DelegateArguments, tell: Tell, caller: Caller) -> ToolReply:
        mission_id, run_id = await self._begin(*_contract(asked))
        facts = {"mission_id": mission_id, "run_id": run_id, "status": "OPEN"}
        return ToolReply(f"Mission {mission_id} has begun; mission_status and mission_report show it.", facts)

    async def _status(self, asked: StatusArguments, tell: Tell, caller: Caller) -> ToolReply:
        if not asked.mission_id:
            return await asyncio.to_thread(self._latest)
        record = await asyncio.to_thread(self._record, asked.mission_id)
        summary = project_summary(record)
        facts = {**summary, "stage": record.stage, "run_id": record.run_id}
        text = f"{asked.mission_id}: {summary['status']}, {record.tool_runs} tool runs, {len(record.calls)} questions."
        if queued := record.queued:
            text += f" It waits for a slot of {queued.lane}: place {queued.place} of {queued.waiting}."
        return ToolReply(text, facts)

    async def _report(self, asked: MissionArguments, tell: Tell, caller: Caller) -> ToolReply:
        record = await asyncio.to_thread(self._record, asked.mission_id)
        return await self._handed(record, self._handover(record.mission_id, record.run_id, caller))

    async def _cancel(self, asked: MissionArguments, tell: Tell, caller: Caller) -> ToolReply:
        record = await self._missions.cancel(asked.mission_id)
        return await self._handed(record, self._handover(record.mission_id, record.run_id, caller))

    async def _list_profiles(self, asked: NoArguments, tell: Tell, caller: Caller) -> ToolReply:
        taking = [profile for profile in self._profiles.values() if profile.tiers]
        rows = [
            {
                "profile": profile.name,
                "model": profile.model,
                "tiers": sorted(profile.tiers),
                "aliases": list(mission_aliases(profile)),
                "context_tokens": profile.context_tokens,
                "max_tool_budget": profile.max_tool_budget,
                "max_seconds": profile.max_seconds,
            }
            for profile in taking
        ]
        text = "\n".join(f"{profile.name}: {', '.join(sorted(profile.tiers))}" for profile in taking)
        return ToolReply(text or "No profile takes missions.", {"profiles": rows})

    async def _watched(self, mission_id: str, run_id: str, tell: Tell, caller: Caller, handover: Handover) -> RunRecord:
        """Follow a run to its end, telling what happens, and that it still lives when nothing does."""
        record, commentator, told = new_record(run_id, mission_id), Commentator(), 0
        batches = with_heartbeats(follow_log(self._missions.store.run_folder(run_id)), HEARTBEAT_S)
        patience = asyncio.timeout(self._max_wait_s)
        try:
            async with patience, aclosing(batches):
                async for batch in batches:
                    remarks = []
                    for one in batch:
                        evolve(record, one.recorded)
                        remarks += commentator.take(record, one.recorded)
                    for remark in remarks:
                        told += 1
                        await tell(told, remark.message)
                        if caller.listens:
                            handover.add(remark.item, remark.message)
                    if not batch:
                        told += 1
                        await tell(told, f"still {record.stage}")
                    await handover.note()
        except TimeoutError:
            if not patience.expired():
                raise
        finally:
            await handover.finish()  # also of a caller that stopped waiting in the middle of a batch
        return record

    async def _handed(self, record: RunRecord, handover: Handover) -> ToolReply:
        """The report as it goes back. It counts as emitted when it is given to the SDK, which tells nothing more."""
        reply = self._reply(record)
        if reply.structured["status"] != "OPEN":
            handover.add(REPORT, reply.text)
            await handover.finish()
        return reply

    def _handover(self, mission_id: str, run_id: str, caller: Caller) -> Handover:
        return Handover(
            self._missions.delivery, run_id, mission_id, "mcp", thread_id=caller.thread_id, client=caller.client
        )

    def _latest(self) -> ToolReply:
        """The missions that began last, for a parent that has lost an id."""
        rows = []
        for mission_id in self._missions.store.mission_ids()[:MAX_LISTED]:
            try:
                summary = project_summary(self._record(mission_id))
            except BridgeError as exc:
                rows.append({"mission_id": mission_id, "status": exc.code})
                continue
            rows.append({key: summary[key] for key in ("mission_id", "status", "objective", "opened_at")})
            rows[-1]["objective"] = rows[-1]["objective"][:MAX_OBJECTIVE_CHARS]
        text = "\n".join(f"{row['mission_id']}: {row['status']}" for row in rows)
        return ToolReply(text or "No mission was run here yet.", {"missions": rows})

    def _record(self, mission_id: str) -> RunRecord:
        reading = self._missions.store.read_latest(mission_id)
        return fold(reading.run_id, reading.mission_id, reading.recorded())

    def _reply(self, record: RunRecord) -> ToolReply:
        store = self._missions.store
        runs = record.closed is None and store.writer_of(record.run_id) == "lives"
        if record.closed is None and not runs:
            record = self._record(record.mission_id)  # it may have closed the run before it went
        return _reported(record, str(store.mission_folder(record.mission_id)), runs=runs)


def refusal(error: BridgeError) -> ToolReply:
    """What goes back for a request that could not be carried out."""
    told = f"{error.message} {error.hint}".rstrip()
    return ToolReply(f"{error.code}: {told}", {"error": error.code, "message": told}, is_error=True)


def begin_here(missions: MissionControl) -> Begin:
    """Missions run in this process."""

    async def begin(raw: Mapping[str, Any], model: str) -> tuple[str, str]:
        admitted = missions.admit(raw, model)
        if not isinstance(admitted, Admission):
            listed = "; ".join(f"{problem.code} {problem.field}: {problem.message}" for problem in admitted)
            raise ContractInvalid(f"The mission breaks its contract: {listed}")
        job = missions.jobs.start(admitted)
        async for _ in job.follow():
            break
        return job.mission_id, job.run_id

    return begin


def _converted(arguments: Mapping[str, Any], tool: DelegationTool) -> Struct:
    try:
        return msgspec.convert(dict(arguments), tool.arguments)
    except msgspec.ValidationError as exc:
        raise RequestError(f"The arguments of {tool.name} do not fit: {exc}.", code="arguments_invalid") from exc


def _contract(asked: DelegateArguments) -> tuple[dict[str, Any], str]:
    """The raw mission and the model name that it is for."""
    if asked.handoff is not None:
        beside = [name for name in msgspec.to_builtins(asked) if name not in ("handoff", "profile")]
        if beside:
            told = f"A handoff is a whole mission; {', '.join(beside)} beside it would be ignored."
            raise RequestError(
                told, hint="Put it into the handoff, or leave the handoff out.", code="arguments_invalid"
            )
        tier = str(asked.handoff.get("tier", "A3"))
        return asked.handoff, f"mission-{tier.lower()}-{asked.profile}"
    raw = compile_mission(
        CompileOptions(
            tier=asked.tier,
            objective=asked.objective,
            allowed_roots=asked.roots,
            allowed_paths=asked.paths,
            must_inspect=asked.must_inspect,
            answer_obligations=asked.obligations,
            objective_style="open_investigation" if asked.obligations else None,
        )
    )
    del raw["mission_id"]  # given at admission
    for name in ("tool_budget", "time_budget_seconds"):
        if (said := getattr(asked, name)) is not None:
            raw[name] = said
    return raw, f"mission-{asked.tier.lower()}-{asked.profile}"


def _reported(record: RunRecord, artifacts: str, *, runs: bool) -> ToolReply:
    """The compact report. runs: whether somebody is still at work on it."""
    report = final_report(record)
    findings, left_out = _fitting(report["findings"] if record.closed else [])
    status = record.closed.status if record.closed else "OPEN"
    reasons = ", ".join(report["reason_codes"])
    summary = f"{status} with confidence {report['confidence']}" + (f" ({reasons})" if reasons else "")
    if refused := len(report["refused_findings"]):
        summary += f"; claims left out because they did not hold: {refused}"
    if left_out:
        summary += f"; {left_out} more findings stand in report.json"
    text = render_summary({**report, "findings": findings, "status": status})
    if len(text) > MAX_TEXT_CHARS:
        text = text[:MAX_TEXT_CHARS] + "\n(cut; report.json has the rest)\n"
    if record.closed is None:
        summary = f"OPEN: mission {record.mission_id} {STILL_RUNS if runs else INTERRUPTED}"
        text = f"{summary}\n\n{text}"
    facts = {
        "mission_id": record.mission_id,
        "run_id": record.run_id,
        "status": status,
        "reason_codes": report["reason_codes"],
        "summary": summary,
        "findings": findings,
        "artifacts": artifacts,
    }
    return ToolReply(text, facts)


def _fitting(findings: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The first findings that fit the parent's context, and how many do not."""
    kept: list[dict[str, Any]] = []
    chars = 0
    for finding in findings:
        chars += len(msgspec.json.encode(finding))
        if chars > MAX_FINDINGS_CHARS:
            break
        kept.append(finding)
    return kept, len(findings) - len(kept)
