"""One turn of the agent under way: it asks the lane, runs the tools, writes the journal and tells the reader.

Counterparts: `agent.loop` decides what is next, `services.agent_session` runs this in a task and ends it.

    open ─► ( Ask: lane ─► answer ─► journal
            | Run: prepare ─► proposed ─► approve ─► journal ─► perform ─► journal ─► finished
            | Refuse: journal ─► refused )* ─► End ─► close: settle what is open

Rules that hold here:

1. An answer with calls is on disk before the first of them runs; a result is on disk before the model is asked again.
2. Nobody approved means refused. Without `approve`, whatever asks is refused and the model is told.
3. A person is asked only when the proposal was shown: the reader took it and asked for more.
4. Whatever a lane raises is an answer that failed; only the journal's own failure ends the work by an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from codex_oss.agent import events as told
from codex_oss.agent.answer import Answer
from codex_oss.agent.events import AgentEvent, Proposal
from codex_oss.agent.journal import (
    Answered,
    CallBegun,
    CallSettled,
    Conversation,
    PromptGiven,
    Record,
    SessionBegan,
    TurnClosed,
    closings,
)
from codex_oss.agent.loop import TIMED_OUT, Ask, Course, End, Limits, Refuse, Run
from codex_oss.agent.rendering import one_line
from codex_oss.agent.tools import Wanted, function_tools
from codex_oss.contracts.tools import Verdict, denied
from codex_oss.errors import BridgeError, fault_of
from codex_oss.services.agent_tools import Prepared
from codex_oss.wire.events import Lane, TurnEvent, batches_of
from codex_oss.wire.items import FunctionCall, TurnRequest

log = logging.getLogger(__name__)

CLIENT: Final = "codex-oss-run"

Approve = Callable[[Proposal], Awaitable[bool]]
"""Asks a person. It may wait as long as it likes; when the turn is cancelled, it is cancelled too."""


class Tools(Protocol):
    """Whoever does the work; `services.agent_tools.AgentTools`."""

    async def prepare(self, wanted: Wanted, left_s: float) -> Prepared | Verdict:
        """What would be done, or why not."""
        ...


class Journal(Protocol):
    """Where the session is kept; `services.session_journal.SessionJournal`."""

    conversation: Conversation

    def append(self, *records: Record) -> None:
        """Keep and fold these. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What a session is made of. lane_for: the lane of one request, which raises RequestError for an unknown name."""

    session_id: str
    model: str
    lane_for: Callable[[TurnRequest], Lane]
    tools: Tools
    journal: Journal
    limits: Limits = field(default_factory=Limits)
    instructions: str = ""
    project: str = ""
    approve_all: bool = False
    """`--yes`: whatever asks is approved."""
    new_id: Callable[[], str] = lambda: f"{time.time_ns():x}"
    """Of a response; different every time."""
    fit: Callable[[TurnRequest], TurnRequest] = lambda request: request
    """The request without its oldest items, so that its model can read the rest."""


class Reader:
    """Whoever reads the events of a turn."""

    def __init__(self, queue: asyncio.Queue[AgentEvent]) -> None:
        self._queue = queue
        self.tell = queue.put

    async def caught_up(self) -> None:
        """Every event so far was taken, and the next one asked for: it was shown."""
        await self._queue.join()


class AgentTurn:
    """One turn under way."""

    def __init__(self, setup: Setup, reader: Reader, approve: Approve | None, *, fresh: bool) -> None:
        self._setup = setup
        self._reader = reader
        self._emit = reader.tell
        self._approve = approve
        self._journal = setup.journal
        self._course: Course | None = None
        self._opened = False
        self._fresh = fresh
        self._fitted = False
        """The model said that it cannot read all; from then on the oldest is left out."""

    @property
    def began(self) -> bool:
        """It stands in the journal."""
        return self._opened

    @property
    def steps(self) -> int:
        """Questions that were put to the model."""
        return self._course.steps if self._course is not None else 0

    async def run(self, prompt: str) -> End:
        """Work to the end of the turn. Raises StoreError for the journal, RequestError before the turn began."""
        clock = asyncio.get_running_loop().time
        self._setup.lane_for(self._request())  # an unknown model is refused before anything is written
        course = self._course = Course(self._setup.limits, clock())
        await self._open(prompt)
        while True:
            match course.next_step(clock()):
                case Ask(left_s):
                    await self._ask(course, left_s)
                case Run() as run:
                    await self._call(course, run)
                case Refuse(call, verdict):
                    await self._refuse(course, call, verdict)
                case End() as end:
                    return end

    def close(self, work: asyncio.Task[End]) -> End:
        """How the turn ended, which the journal is told too. Raises what kept it from beginning."""
        end = _end_of(work, began=self._opened)
        if self._opened:
            with suppress(BridgeError):  # a disk that is full by now; the session then settles it when it is resumed
                self._journal.append(*closings(self._journal.conversation), TurnClosed(end.outcome, end.code))
        return end

    # ------------------------------------------------------------------------------------------ steps

    async def _open(self, prompt: str) -> None:
        setup, conversation = self._setup, self._journal.conversation
        resumed, now = conversation.turns > 0, int(time.time())
        records: list[Record] = []
        if not conversation.session_id:
            records.append(SessionBegan(setup.session_id, now, setup.project))
        lost = closings(conversation)
        records += lost
        if conversation.turn_open:
            records.append(TurnClosed("failed", "process_ended"))
        self._journal.append(*records, PromptGiven(prompt, setup.model, now))
        self._opened = True
        await self._emit(told.TurnBegan(setup.session_id, setup.model, resumed))
        if lost:
            words = f"The last turn was cut off; what became of {len(lost)} tool call(s) is not known."
            await self._emit(told.Notice("calls_closed", words))

    async def _ask(self, course: Course, left_s: float) -> None:
        began, request = time.monotonic(), self._request()
        answer = await self._answer(course, request, left_s)
        if answer.overflowed and len((fitting := self._setup.fit(request)).items) < len(request.items):
            self._fitted = True
            left_out = len(request.items) - len(fitting.items)
            words = f"The model cannot read all of this session any more; the oldest {left_out} entries are left out."
            await self._emit(told.Notice("context_trimmed", words))
            answer = await self._answer(course, fitting, max(0.0, left_s - (time.monotonic() - began)))
        ended = answer.close()
        record = answer.record()
        self._journal.append(record)
        if answer.cut:
            await self._emit(told.Notice("stream_cut", "The answer was cut off; what stands above is not all of it."))
        await self._emit(told.UsageTold(record.usage))
        course.answered(ended, _calls(record), answer.left_out, answer.hint)

    async def _answer(self, course: Course, request: TurnRequest, left_s: float) -> Answer:
        """Put one request to the lane; how it ended stands in the answer."""
        conversation = self._journal.conversation
        answer = Answer(
            conversation.used_call_ids,
            seed=f"call_{conversation.turns}_{course.steps}",
            told=conversation.deviation,
            fresh=self._fresh and not course.steps,
        )
        try:
            async with asyncio.timeout(left_s):
                await self._listen(answer, request)
        except TimeoutError:
            answer.fail(TIMED_OUT, "")
        except BridgeError as error:
            answer.fail(error.code, error.message, error.hint)
        return answer

    async def _listen(self, answer: Answer, request: TurnRequest) -> None:
        async with aclosing(batches_of(self._setup.lane_for(request), request)) as batches:
            batch: Sequence[TurnEvent]
            async for batch in batches:
                for event in answer.take(batch):
                    await self._emit(event)
                if answer.ended is not None:
                    return

    async def _call(self, course: Course, run: Run) -> None:
        call, setup = run.call, self._setup
        prepared = await setup.tools.prepare(run.wanted, run.left_s)
        if isinstance(prepared, Verdict):
            await self._refuse(course, call, prepared)
            return
        proposal = prepared.proposal
        await self._emit(told.ToolProposed(proposal))
        verdict = await self._approved(course, proposal)
        if isinstance(verdict, Verdict):
            await self._refuse(course, call, verdict, proposed=True)
            return
        await self._emit(told.ToolApproved(call.call_id, verdict))
        if proposal.asks:
            self._journal.append(CallBegun(call.call_id))
        began = time.monotonic()
        performed = await prepared.perform()
        result = performed.told
        self._journal.append(CallSettled(call.call_id, result.output, "done" if result.ok else "failed"))
        course.settled(call, ran=True, changed=performed.changed)
        took_ms = round((time.monotonic() - began) * 1000)
        finished = told.ToolFinished(call.call_id, call.name, result.ok, result.summary, result.output, took_ms)
        await self._emit(finished)

    async def _approved(self, course: Course, proposal: Proposal) -> told.Approver | Verdict:
        if not proposal.asks:
            return "policy"
        if self._setup.approve_all:
            return "flag"
        if self._approve is None:
            return denied("nobody_to_ask", "Not done: nobody is there who could approve it. Say what you would change.")
        await self._reader.caught_up()
        began = time.monotonic()
        agreed = await self._approve(proposal)
        course.waited(time.monotonic() - began)
        if agreed:
            return "person"
        return denied("declined", "Not done: the user declined it. Do not try the same another way.")

    async def _refuse(self, course: Course, call: FunctionCall, verdict: Verdict, *, proposed: bool = False) -> None:
        if not proposed:
            summary = one_line(f"{call.name} {call.arguments}")
            await self._emit(told.ToolProposed(Proposal(call.call_id, call.name, summary, asks=False)))
        self._journal.append(CallSettled(call.call_id, f"{verdict.code}: {verdict.reason}", verdict.code))
        course.settled(call, ran=verdict.code == "declined")
        await self._emit(told.ToolRefused(call.call_id, verdict.code, verdict.reason))

    def _request(self) -> TurnRequest:
        setup, conversation = self._setup, self._journal.conversation
        items = conversation.items() if self._opened else ()
        request = TurnRequest(
            response_id=f"resp_{setup.new_id()}",
            model=setup.model,
            items=items,
            created_at=int(time.time()),
            instructions=setup.instructions,
            tools=function_tools(),
            stream=True,
            store=False,
            prompt_cache_key=setup.session_id,
            session_id=setup.session_id,
            thread_id=setup.session_id,
            client=CLIENT,
        )
        return setup.fit(request) if self._fitted else request


def _calls(record: Answered) -> list[FunctionCall]:
    return [item for item in record.items if isinstance(item, FunctionCall)]


def _end_of(work: asyncio.Task[End], *, began: bool) -> End:
    """How the work ended. Raises its error when the turn had not begun."""
    if work.cancelled():
        return End("cancelled", "cancelled", "The turn was cancelled.", "Go on with the same session.")
    error = work.exception()
    if error is None:
        return work.result()
    if not began:
        raise error
    if isinstance(error, BridgeError):
        return End("failed", error.code, error.message, error.hint)
    log.error("a turn failed unexpectedly: %s", fault_of(error))
    return End("failed", "internal", "Something went wrong inside; the session can be resumed.")
