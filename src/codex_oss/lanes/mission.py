"""The mission lane: a turn that carries a mission is answered by the runtime, not by a model.

Counterparts: `services.admission` admits, `services.mission_jobs` runs, `missions.commentary` words what is seen.

    handoff ─► admission ─► run ─► commentary items (phase commentary) ─► report (phase final_answer) ─► completed

Rules that hold here:

1. A mission's outcome is always a completed turn: FAILED and refused missions are reports too, so that the client
   shows them. A broken handoff never falls through to a raw model.
2. Each remark is a closed message item of its own; the report is the last item.
3. The lane is only a viewer: a client that leaves does not end the mission, unless the bridge is set up so
   (`mission_on_disconnect`).
4. Whoever runs a lane asks for the next batch when the last one was written. What this lane yielded is then noted as
   emitted; an answer that is not streamed is written as a whole, with its end. A background turn has no client yet.
5. `metadata.codex_oss_commentary` of a turn chooses the level of its commentary; the setting is for all others.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from codex_oss.contracts.blocks import MARK
from codex_oss.contracts.handoff import Handoff, find_mission
from codex_oss.contracts.mission import Problem
from codex_oss.errors import BridgeError, InvalidRequest
from codex_oss.missions.commentary import LEVELS, Commentator, message_events
from codex_oss.missions.delivery import REPORT
from codex_oss.missions.projections import final_report, refusal_report, render_final_text
from codex_oss.missions.record import RunRecord, evolve, new_record
from codex_oss.services.handover import Handover
from codex_oss.services.mission_control import MissionControl
from codex_oss.services.mission_runner import Admission
from codex_oss.wire.events import TurnCompleted, TurnEvent, TurnStarted, Usage, UsageReported
from codex_oss.wire.items import CompactionItem, Item, Message, Role, TextPart, TurnRequest

LEVEL_KEY: Final = "codex_oss_commentary"
AGENT_NOTICE: Final = "<subagent_notification>"
"""How a message begins in which Codex 0.169 tells a parent what its agent said."""


class MissionLane:
    """`Lane` for `mission-*` names and for raw names whose request carries a mission."""

    def __init__(
        self,
        missions: MissionControl,
        *,
        tier_of: Callable[[str], str | None],
        stream_remarks: bool,
        cancel_on_leave: bool = False,
    ) -> None:
        self._missions = missions
        self._tier_of = tier_of
        self._stream_remarks = stream_remarks
        self._cancel_on_leave = cancel_on_leave

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        """Answer one turn. Raises RequestError only before the first event."""
        level, tier = level_of(request), self._tier_of(request.model)
        found = find_handoff(request, mission_alias=tier is not None, tier=tier or "")
        admitted = self._missions.admit(found.raw, request.model) if found.raw is not None else found.problems
        if not isinstance(admitted, Admission):
            yield [TurnStarted(), *_refused(admitted)]
            return
        if level is not None:
            admitted = msgspec.structs.replace(admitted, trace_level=level)
        yield [TurnStarted(admitted.upstream_model, admitted.profile)]
        notes = [note.message for note in found.notes] if admitted.trace_level != "off" else []
        async with aclosing(self._view(admitted, request, notes)) as batches:
            async for batch in batches:
                yield batch

    async def _view(
        self, admission: Admission, request: TurnRequest, notes: Sequence[str]
    ) -> AsyncGenerator[Sequence[TurnEvent], None]:
        """The answer. notes: what is to be said of the handoff itself, before the mission."""
        commentator, index = Commentator(), 0
        job = self._missions.jobs.start(admission)
        record = new_record(job.run_id, job.mission_id)
        handover = Handover(
            self._missions.delivery,
            job.run_id,
            job.mission_id,
            "responses",
            thread_id=request.thread_id,
            client=request.client,
        )
        written = request.stream and not request.background
        try:
            for number, note in enumerate(notes if self._stream_remarks else (), 1):
                yield message_events(index, note, "commentary")
                handover.add(f"note:{number}", note)
                index += 1
            async with aclosing(job.follow()) as batches:
                async for batch in batches:
                    for recorded in batch:
                        evolve(record, recorded)
                        for remark in commentator.take(record, recorded):
                            if self._stream_remarks:
                                yield message_events(index, remark.message, "commentary")
                                handover.add(remark.item, remark.message)
                                index += 1
                    if written:
                        await handover.note()
            report = final_report(record)
            yield _closing(index, report, usage_of(record))
            handover.add(REPORT, render_final_text(report))
            written = not request.background
        except BridgeError as exc:
            yield _closing(index, refusal_report((Problem(exc.code, "", exc.message),)), Usage())
            written = not request.background
        finally:
            if written:
                await handover.finish()
            if self._cancel_on_leave and not job.ended:
                await job.cancel()


def level_of(request: TurnRequest) -> str | None:
    """The level of commentary that a turn asks for; None when it does not. Raises InvalidRequest for another word."""
    metadata = request.echo.get("metadata")
    level = metadata.get(LEVEL_KEY) if isinstance(metadata, dict) else None
    if level is not None and level not in LEVELS:
        raise InvalidRequest(
            f"`metadata.{LEVEL_KEY}` must be one of {', '.join(LEVELS)}.", param=f"metadata.{LEVEL_KEY}"
        )
    return level


def carries_mission(request: TurnRequest) -> bool:
    """Whether a turn to a raw name hands over a mission, and so belongs to this lane."""
    if not _names_handoff(request):
        return False
    found = find_handoff(request, mission_alias=False)
    return found.raw is not None or bool(found.problems)


def _names_handoff(request: TurnRequest) -> bool:
    """Whether the word that every form of a handoff holds stands anywhere: a look that most turns pay instead."""
    if MARK in request.instructions:
        return True
    for item in request.items:
        if isinstance(item, Message):
            for part in item.parts:
                if isinstance(part, TextPart) and MARK in part.text:
                    return True
    return False


def find_handoff(request: TurnRequest, *, mission_alias: bool, tier: str = "") -> Handoff:
    """The mission that this turn hands over.

    Clients send the whole history each time. Only what the user said after the last answer counts, so that the turn
    after a mission does not run it again; a compaction stands for the answers before it. What a spawned agent told is
    not the user's word: the report of one that was refused names the tags, and would otherwise open a mission in its
    parent.
    """
    last_answer = max((i for i, item in enumerate(request.items) if _is_answer(item)), default=-1)
    said = texts_of(request.items[last_answer + 1 :], ("user",))
    said = [text for text in said if not text.lstrip().startswith(AGENT_NOTICE)]
    system = [request.instructions, *texts_of(request.items, ("system", "developer"))]
    return find_mission(said, system, mission_alias=mission_alias, tier=tier)


def texts_of(items: Sequence[Item], roles: tuple[Role, ...]) -> list[str]:
    """The text of every message of these roles, in order; one entry a message."""
    return [
        "\n".join(part.text for part in item.parts if isinstance(part, TextPart))
        for item in items
        if isinstance(item, Message) and item.role in roles
    ]


def _is_answer(item: Item) -> bool:
    return isinstance(item, CompactionItem) or _is_message(item, ("assistant",))


def _is_message(item: Item, roles: tuple[Role, ...]) -> bool:
    return isinstance(item, Message) and item.role in roles


def usage_of(record: RunRecord) -> Usage:
    """What the mission's model calls cost together."""
    return Usage(
        input_tokens=sum(call.input_tokens for call in record.calls),
        output_tokens=sum(call.output_tokens for call in record.calls),
        cached_tokens=sum(call.cached_tokens for call in record.calls),
        estimated=any(call.usage_estimated for call in record.calls),
    )


def _refused(problems: Sequence[Problem]) -> list[TurnEvent]:
    return _closing(0, refusal_report(problems), Usage())


def _closing(index: int, report: dict[str, object], usage: Usage) -> list[TurnEvent]:
    events = message_events(index, render_final_text(report), "final_answer")
    return [*events, UsageReported(usage), TurnCompleted()]
