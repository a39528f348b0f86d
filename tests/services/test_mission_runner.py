"""The runner with a scripted lane and scripted tools, on a real log: time, faults, and what may be kept."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_oss.contracts.profiles import ActionProtocol
from codex_oss.contracts.tools import ToolCall, ToolResult
from codex_oss.errors import StoreError
from codex_oss.missions.record import RunRecord, epoch_ms, fold
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import Scope, scope_of
from codex_oss.services.event_log import LOG_NAME, read_log
from codex_oss.services.mission_runner import Admission, MissionRunner, redacted_mission
from codex_oss.services.mission_store import MissionStore
from codex_oss.services.tool_host import ToolLimits
from codex_oss.wire.events import (
    ArgumentsDelta,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnStarted,
)
from codex_oss.wire.items import TurnRequest
from tests.fakes.mission_script import answers_in, call, finding, mission, report, turn_events

KEY = "ghp_" + "a1B2c3D4e5" * 4
READ = call("rtk_read", path="app/retry.py")
REF = "file:app/retry.py#extract:1"
DONE = report(finding("`MAX_RETRIES` is 5", REF))


ScriptedLane = Callable[[TurnRequest], AsyncIterator[Sequence[TurnEvent]]]


class Tools:
    """Shows one line of every file. on_run: called first, may raise."""

    def __init__(self, on_run: Callable[[ToolLimits], None] = lambda limits: None) -> None:
        self.on_run = on_run

    def run(self, call: ToolCall, scope: Scope, limits: ToolLimits) -> ToolResult:
        self.on_run(limits)
        path = str(call.arguments["path"])
        return ToolResult(call.tool, "extract", 0, path=path, start_line=1, lines=("MAX_RETRIES = 5",), total_lines=1)


def scripted(*answers: str | Exception) -> tuple[ScriptedLane, list[TurnRequest]]:
    """A lane that says one answer after the other, and the requests it was asked with."""
    asked: list[TurnRequest] = []

    async def lane(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        answer = answers[len(asked)]
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        yield turn_events(answer, request)

    return lane, asked


def admission(protocol: ActionProtocol = "json", **fields: Any) -> Admission:
    """An admitted mission of `tests.fakes.mission_script`."""
    contract = mission(**fields)
    return Admission(
        run_id="run_1",
        mission=contract,
        model_alias="mission-a3-test",
        ask_model="test",
        profile="test",
        upstream_model="test-model",
        context_tokens=32_768,
        max_output_tokens=1_000,
        structured_output="none",
        scope=scope_of(contract),
        root_entries={},
        reserve_ms=5_000,
        final_call_ms=20_000,
        trace_level="summary",
        trace_max_events=40,
        trace_max_chars=500,
        action_protocol=protocol,
    )


def run(folder: Path, admitted: Admission, lane: Any, tools: Tools, **options: Any) -> RunRecord:
    """Run a mission to its end."""
    runner = MissionRunner(MissionStore(folder), tools, lane, Redactor(), **options)

    async def follow() -> RunRecord:
        seen = [seen async for seen in runner.run(admitted)]
        return seen[-1].record

    return asyncio.run(follow())


def test_secrets_of_the_contract_are_neither_kept_nor_asked(tmp_path: Path) -> None:
    """A key in the objective, in a question or in a topic reaches neither the log nor the model."""
    lane, asked = scripted(READ, DONE)
    admitted = admission(objective=f"Why does {KEY} not work?", forbidden_topics=[KEY])
    record = run(tmp_path, admitted, lane, Tools())
    assert record.closed is not None
    assert record.closed.status == "COMPLETE"
    kept = b"".join(path.read_bytes() for path in (tmp_path / ".codex-oss").rglob("*") if path.is_file())
    assert KEY.encode() not in kept
    assert KEY not in str(asked)
    assert "[REDACTED:github-token]" in str(asked)


async def leaking(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
    """A model that thinks, speaks and calls with a key in its words, then reports."""
    if answers_in(request):
        yield turn_events(DONE, request)
        return
    yield [TurnStarted("m"), ItemStarted(0, ReasoningStart()), ReasoningDelta(0, f"thought {KEY}"), ItemDone(0)]
    yield [ItemStarted(1, MessageStart()), TextDelta(1, f"said {KEY}"), ItemDone(1)]
    path = json.dumps({"path": f"app/{KEY}.py"})
    yield [ItemStarted(2, FunctionCallStart("c1", "rtk_read")), ArgumentsDelta(2, path), ItemDone(2)]
    yield [ItemStarted(3, FunctionCallStart("c2", "rtk_read")), ArgumentsDelta(3, '{"path": "app/retry.py"}')]
    yield [ItemDone(3), TurnCompleted()]


@pytest.mark.parametrize("replay_reasoning", [True, False])
def test_secrets_in_calls_and_thoughts_are_neither_kept_nor_replayed(tmp_path: Path, replay_reasoning: bool) -> None:
    """Arguments, text and thoughts are redacted before the log; thoughts go back only where the upstream wants them."""
    asked: list[TurnRequest] = []

    async def lane(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        asked.append(request)
        async for batch in leaking(request):
            yield batch

    admitted = msgspec.structs.replace(admission("tools"), replay_reasoning=replay_reasoning)
    record = run(tmp_path, admitted, lane, Tools())
    assert record.closed is not None
    assert record.closed.status == "COMPLETE"
    kept = b"".join(path.read_bytes() for path in (tmp_path / ".codex-oss").rglob("*") if path.is_file())
    assert KEY.encode() not in kept
    assert KEY not in str(asked)
    assert ("thought [REDACTED:github-token]" in str(asked[1])) is replay_reasoning
    assert (b"thought [REDACTED:github-token]" in kept) is replay_reasoning


def test_an_honest_contract_stays_as_it_is() -> None:
    """Redaction changes nothing where nothing is secret."""
    questions = [{"id": "q1", "question": "one?", "source_requirements": [{"path": "app/config.py"}]}]
    contract = mission(objective_style="open_investigation", answer_obligations=questions)
    assert redacted_mission(contract, Redactor()) == contract


@pytest.mark.parametrize(
    "fault", [RuntimeError("boom"), MemoryError(), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x")]
)
def test_a_tool_that_breaks_is_an_error_of_the_tool(tmp_path: Path, fault: Exception) -> None:
    """A bug in a tool does not end the mission as if somebody had cut it off."""

    def break_down(limits: ToolLimits) -> None:
        raise fault

    lane, _ = scripted(READ, report(status="PARTIAL"))
    record = run(tmp_path, admission(), lane, Tools(break_down))
    assert record.judged[0].result is not None
    assert record.judged[0].result.error_code == "tool_failed"
    assert record.closed is not None
    assert record.closed.status != "COMPLETE"
    assert "cancelled" not in record.closed.reason_codes


def test_a_lane_that_breaks_is_a_failed_question(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a lane closes the mission honestly, with words that tell nothing of the inside."""
    lane, _ = scripted(READ, RuntimeError(f"secret inside {KEY}"))
    record = run(tmp_path, admission(), lane, Tools())
    assert record.closed is not None
    assert (record.closed.status, record.closed.reason_codes) == ("PARTIAL", ("model_call_failed", "internal"))
    assert "secret inside" not in (tmp_path / ".codex-oss/runs/run_1" / LOG_NAME).read_text()
    assert "RuntimeError" in caplog.text
    assert "secret inside" not in caplog.text


def test_time_is_counted_by_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    """The mission ends when its time is over by the monotonic clock, whatever the wall clock says meanwhile."""
    ticks = iter(range(0, 10_000_000, 25_000))
    lane, asked = scripted(*[call("rtk_read", path=f"app/{n}.py") for n in range(20)])
    record = run(tmp_path, admission(time_budget_seconds=120), lane, Tools(), monotonic_ms=lambda: next(ticks))
    assert record.closed is not None
    assert "deadline_reached" in record.closed.reason_codes
    assert len(asked) < 5


def test_a_tool_may_not_take_longer_than_the_mission(tmp_path: Path) -> None:
    """The bound of a tool is what is left to the deadline when that is less than its own."""
    bounds: list[float] = []
    lane, _ = scripted(READ, DONE)
    run(tmp_path, admission(time_budget_seconds=10), lane, Tools(lambda limits: bounds.append(limits.timeout_s)))
    assert len(bounds) == 1
    assert 0 < bounds[0] <= 10


@contextmanager
def small_disk(max_bytes: int) -> Iterator[None]:
    """No file may grow beyond *max_bytes* (writes fail with EFBIG, as they do with ENOSPC on a full disk)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_keeps_the_earlier_run(tmp_path: Path) -> None:
    """A run that cannot even be opened says so and leaves the files of the run before it alone."""
    run(tmp_path, admission(), scripted(READ, DONE)[0], Tools())
    report_path = tmp_path / ".codex-oss/missions/m_test/report.json"
    before = report_path.read_bytes()
    lane, asked = scripted(READ, DONE)
    with small_disk(100), pytest.raises(StoreError) as refused:
        run(tmp_path, msgspec.structs.replace(admission(), run_id="run_2"), lane, Tools())
    assert (refused.value.code, asked) == ("log_unwritable", [])
    assert report_path.read_bytes() == before


def test_a_disk_that_fills_up_is_named_as_the_reason(tmp_path: Path) -> None:
    """When one step does not fit and the closing does, the closing says that the disk refused."""
    lane, _ = scripted(READ, report(*[finding(f"`MAX_RETRIES` {n}", REF) for n in range(80)]))
    with small_disk(20_000), pytest.raises(StoreError):
        run(tmp_path, admission(), lane, Tools())
    reading = read_log(tmp_path / ".codex-oss/runs/run_1" / LOG_NAME)
    closed = fold(reading.run_id, reading.mission_id, reading.recorded()).closed
    assert closed is not None
    assert closed.reason_codes == ("log_unwritable",)


async def test_tools_that_take_long_hold_up_no_other_mission(tmp_path: Path) -> None:
    """With every thread for tools busy, a mission that needs none goes on and ends."""
    go, all_busy, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()
    threads = threading.Barrier(min(32, (os.cpu_count() or 1) + 4))  # those of `asyncio.to_thread`

    def block(limits: ToolLimits) -> None:
        if not go.is_set():
            threads.wait(20)
            loop.call_soon_threadsafe(all_busy.set)
        go.wait(20)

    async def follow(name: str, tools: Tools, *answers: str) -> RunRecord:
        lane, _ = scripted(*answers)
        runner = MissionRunner(MissionStore(tmp_path / name), tools, lane, Redactor())
        return [seen async for seen in runner.run(admission())][-1].record

    busy = [asyncio.create_task(follow(f"busy{n}", Tools(block), READ, DONE)) for n in range(threads.parties)]
    await all_busy.wait()
    try:
        async with asyncio.timeout(10):
            record = await follow("free", Tools(), report(status="PARTIAL"))
    finally:
        go.set()
        done = await asyncio.gather(*busy)
    assert record.closed is not None
    assert all(one.closed is not None and one.closed.status == "COMPLETE" for one in done)


async def test_a_tool_that_minds_no_bound_costs_no_deadline(tmp_path: Path) -> None:
    """A tool that is not done in time is given up as an error of its own, and the mission closes within its time."""
    go = threading.Event()

    def block(limits: ToolLimits) -> None:
        go.wait(20)

    lane, _ = scripted(READ, report(status="PARTIAL"))
    runner = MissionRunner(MissionStore(tmp_path), Tools(block), lane, Redactor())
    began = time.monotonic()
    try:
        record = [seen async for seen in runner.run(admission(time_budget_seconds=2))][-1].record
    finally:
        go.set()
    assert time.monotonic() - began < 4
    assert record.judged[0].result is not None
    assert record.judged[0].result.error_code == "tool_timeout"
    assert record.closed is not None
    assert epoch_ms(record.closed_at) - epoch_ms(record.opened_at) <= 2000
