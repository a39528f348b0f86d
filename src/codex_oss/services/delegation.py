"""Delegating over MCP, without MCP: the tools that a coding agent is offered, and what each of them does.

Counterparts: `services.mcp_host` speaks the protocol; `contracts.compiler` writes the contract from an agent's words;
`services.mission_control` and `services.log_tail` run and follow missions.

    delegate ─► contract ─► admission ─► run ─► progress: the commentary ─► compact report with refs
    mission_start · mission_status · mission_report · mission_cancel · list_profiles

Rules that hold here:

1. What goes back to the parent is sized for its context: findings with their refs, never a file's content.
2. A mission that ended below COMPLETE is an answer, not an error. An error is a request that could not be carried out.
3. The parent that stops waiting does not end the mission.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from codex_oss.contracts.compiler import CompileOptions, compile_mission
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import BridgeError, ContractInvalid, RequestError
from codex_oss.missions.commentary import Commentator
from codex_oss.missions.projections import final_report, project_summary, render_summary
from codex_oss.missions.record import RunRecord, evolve, fold, new_record
from codex_oss.policy.routing import mission_aliases
from codex_oss.services.log_tail import Tailed, follow_log
from codex_oss.services.mission_control import MissionControl
from codex_oss.services.mission_runner import Admission

DEFAULT_PROFILE: Final = "kimi"
MAX_FINDINGS_CHARS: Final = 24_000
"""About 6,000 tokens of the parent's context; `mission_report` gives the rest in pages."""
MAX_WAIT_S: Final = 540.0
"""The longest that `delegate` waits; the clients give up after `services.mcp_registration.TOOL_TIMEOUT_S`."""
HEARTBEAT_S: Final = 5.0
"""Clients take silence for death: Codex after its tool_timeout_sec, OpenCode after its mcp timeout."""

Tell = Callable[[int, str], Awaitable[None]]
"""Reports progress: a number that only grows, and a sentence."""
Begin = Callable[[Mapping[str, Any], str], Awaitable[tuple[str, str]]]
"""Raw mission and model name to the ids of mission and run, once the run has begun. Raises BridgeError."""


class DelegateArguments(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a parent says of a mission; `handoff` instead gives the whole contract."""

    objective: Annotated[str, Meta(description="What to find out, as one clear question or order.")] = ""
    paths: Annotated[tuple[str, ...], Meta(description="Files it may read, relative to the project.")] = ()
    roots: Annotated[tuple[str, ...], Meta(description="Folders it may read and search, e.g. src.")] = ()
    tier: Annotated[str, Meta(description="A2 for a short look, A3 for an investigation.")] = "A3"
    profile: Annotated[str, Meta(description="Which open model; list_profiles names them.")] = DEFAULT_PROFILE
    must_inspect: Annotated[tuple[str, ...], Meta(description="Files that must have been read.")] = ()
    obligations: Annotated[tuple[str, ...], Meta(description="Questions that the report must answer.")] = ()
    tool_budget: Annotated[int | None, Meta(description="Most tool calls.")] = None
    time_budget_seconds: Annotated[int | None, Meta(description="Most seconds.")] = None
    handoff: Annotated[
        dict[str, Any] | None, Meta(description="A whole oss_agent_mission.v1 contract; nothing else is then needed.")
    ] = None


class MissionArguments(Struct, forbid_unknown_fields=True):
    """Which mission."""

    mission_id: Annotated[str, Meta(description="The id that delegate or mission_start gave.")]


class NoArguments(Struct, forbid_unknown_fields=True):
    """None."""


class DelegationTool(Struct, frozen=True):
    """One tool as it is offered."""

    name: str
    title: str
    description: str
    arguments: type[Struct]
    read_only: bool = True
    """No tool writes to the project; cancelling is the only one that ends something."""

    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, an object without references."""
        schema = msgspec.json.schema(self.arguments)
        inner: dict[str, Any] = schema["$defs"][self.arguments.__name__]
        return {key: value for key, value in inner.items() if key not in ("title", "description")}


TOOLS: Final = (
    DelegationTool(
        "delegate",
        "Delegate an investigation",
        "Have an open model investigate a question inside the given paths, and wait for its report. The runtime reads "
        "and searches for it, and checks every finding against the lines it cites; COMPLETE means that all hold.",
        DelegateArguments,
    ),
    DelegationTool(
        "mission_start",
        "Start an investigation",
        "The same as delegate without waiting: gives the mission_id at once. Use it for several at a time.",
        DelegateArguments,
    ),
    DelegationTool("mission_status", "Status of a mission", "How far a mission is, or how it ended.", MissionArguments),
    DelegationTool("mission_report", "Report of a mission", "The report with its findings and refs.", MissionArguments),
    DelegationTool("mission_cancel", "Cancel a mission", "End a mission that runs.", MissionArguments, read_only=False),
    DelegationTool(
        "list_profiles", "Open models", "The open models that take missions, with tiers and budgets.", NoArguments
    ),
)


class ToolReply(Struct, frozen=True):
    """What goes back. structured: a JSON object."""

    text: str
    structured: dict[str, Any]
    is_error: bool = False


class Delegation:
    """Carries the tools out for one project. begin: where missions run, in this process or in the bridge."""

    def __init__(self, missions: MissionControl, profiles: Mapping[str, ModelProfile], begin: Begin) -> None:
        self._missions = missions
        self._profiles = profiles
        self._begin = begin
        self._doers: Final[dict[str, Callable[[Any, Tell], Awaitable[ToolReply]]]] = {
            "delegate": self._delegate,
            "mission_start": self._start,
            "mission_status": self._status,
            "mission_report": self._report,
            "mission_cancel": self._cancel,
            "list_profiles": self._list_profiles,
        }

    async def call(self, name: str, arguments: Mapping[str, Any], tell: Tell) -> ToolReply:
        """Carry one tool out. Never raises for what was asked: the reply then is an error with a code."""
        tool = next((tool for tool in TOOLS if tool.name == name), None)
        try:
            if tool is None:
                raise RequestError(f"There is no tool {name[:60]!r}.", code="tool_unknown")
            return await self._doers[name](_converted(arguments, tool), tell)
        except BridgeError as exc:
            told = f"{exc.message} {exc.hint}".rstrip()
            return ToolReply(f"{exc.code}: {told}", {"error": exc.code, "message": told}, is_error=True)

    async def _delegate(self, asked: DelegateArguments, tell: Tell) -> ToolReply:
        mission_id, run_id = await self._begin(*_contract(asked))
        record = await self._watched(mission_id, run_id, tell)
        return _reported(record, self._artifacts(mission_id))

    async def _start(self, asked: DelegateArguments, tell: Tell) -> ToolReply:
        mission_id, run_id = await self._begin(*_contract(asked))
        facts = {"mission_id": mission_id, "run_id": run_id, "status": "OPEN"}
        return ToolReply(f"Mission {mission_id} has begun; mission_status and mission_report show it.", facts)

    async def _status(self, asked: MissionArguments, tell: Tell) -> ToolReply:
        record = await asyncio.to_thread(self._record, asked.mission_id)
        summary = project_summary(record)
        facts = {**summary, "stage": record.stage, "run_id": record.run_id}
        text = f"{asked.mission_id}: {summary['status']}, {record.tool_runs} tool runs, {len(record.calls)} questions."
        return ToolReply(text, facts)

    async def _report(self, asked: MissionArguments, tell: Tell) -> ToolReply:
        record = await asyncio.to_thread(self._record, asked.mission_id)
        return _reported(record, self._artifacts(asked.mission_id))

    async def _cancel(self, asked: MissionArguments, tell: Tell) -> ToolReply:
        record = await self._missions.cancel(asked.mission_id)
        return _reported(record, self._artifacts(asked.mission_id))

    async def _list_profiles(self, asked: NoArguments, tell: Tell) -> ToolReply:
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

    async def _watched(self, mission_id: str, run_id: str, tell: Tell) -> RunRecord:
        """Follow a run to its end, telling what happens, and that it still lives when nothing does."""
        record, commentator, told = new_record(run_id, mission_id), Commentator(), 0
        async with aclosing(_with_heartbeats(follow_log(self._missions.store.run_folder(run_id)))) as batches:
            async for batch in batches:
                remarks = []
                for one in batch:
                    evolve(record, one.recorded)
                    remarks += [remark.message for remark in commentator.take(record, one.recorded)]
                for message in remarks or ([] if batch else [f"still {record.stage}"]):
                    told += 1
                    await tell(told, message)
        return record

    def _record(self, mission_id: str) -> RunRecord:
        reading = self._missions.store.read_latest(mission_id)
        return fold(reading.run_id, reading.mission_id, reading.recorded())

    def _artifacts(self, mission_id: str) -> str:
        return str(self._missions.store.mission_folder(mission_id))


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


def _reported(record: RunRecord, artifacts: str) -> ToolReply:
    report = final_report(record)
    findings, left_out = _fitting(report["findings"])
    status = record.closed.status if record.closed else "OPEN"
    reasons = ", ".join(report["reason_codes"])
    summary = f"{status} with confidence {report['confidence']}" + (f" ({reasons})" if reasons else "")
    if left_out:
        summary += f"; {left_out} more findings stand in report.json"
    facts = {
        "mission_id": record.mission_id,
        "run_id": record.run_id,
        "status": status,
        "reason_codes": report["reason_codes"],
        "summary": summary,
        "findings": findings,
        "refused_findings": len(report["refused_findings"]),
        "artifacts": artifacts,
    }
    return ToolReply(render_summary({**report, "findings": findings, "status": status}), facts)


def _fitting(findings: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The first findings that fit the parent's context, and how many do not."""
    kept: list[dict[str, Any]] = []
    chars = 0
    for finding in findings:
        chars += len(msgspec.json.encode(finding))
        if chars > MAX_FINDINGS_CHARS and kept:
            break
        kept.append(finding)
    return kept, len(findings) - len(kept)


async def _with_heartbeats(batches: AsyncGenerator[list[Tailed], None]) -> AsyncGenerator[list[Tailed], None]:
    """The same batches, and an empty one whenever nothing came for a while."""
    async with aclosing(batches):
        step: asyncio.Future[list[Tailed] | None] | None = None
        try:
            while True:
                step = step or asyncio.ensure_future(anext(batches, None))
                done, _ = await asyncio.wait((step,), timeout=HEARTBEAT_S)
                if not done:
                    yield []
                elif (batch := step.result()) is None:
                    return
                else:
                    step = None
                    yield batch
        finally:
            if step is not None:
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
