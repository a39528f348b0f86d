"""A run that is killed at any step and goes on, and a writer that was replaced, with a scripted model on a real log."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from codex_oss.contracts.profiles import ActionProtocol
from codex_oss.errors import BridgeError, StoreError
from codex_oss.missions.events import ActionAllowed, MissionScheduled, ModelAnswered
from codex_oss.missions.record import RunRecord, epoch_ms, fold
from codex_oss.missions.report import build_report
from codex_oss.policy.exposure import Redactor
from codex_oss.services.event_log import EventLog, read_log
from codex_oss.services.mission_lanes import LaneLease, MissionLanes
from codex_oss.services.mission_runner import MissionRunner
from codex_oss.services.mission_store import MissionStore, rebuild, write_rebuilt
from codex_oss.setting_values import LaneLimits
from codex_oss.wire.events import TurnEvent
from codex_oss.wire.items import TurnRequest
from tests.fakes.mission_script import answers_in, call, finding, report, several, turn_events
from tests.fakes.sudden_death import dies
from tests.services.test_mission_runner import REF, Tools, admission

ANSWERS = (
    "no JSON at all",
    call("rtk_read", path="app/retry.py"),
    several(call("rtk_read", path="app/config.py"), call("rtk_read", path="/etc"), call("rtk_read", path="app/x.py")),
    call("rtk_read", path="../outside.py"),
    report(finding("`NOT_THERE` is 9", REF)),
    report(finding("`MAX_RETRIES` is 5", REF)),
)


async def lane(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
    """A model whose answer follows from the conversation alone, so that a repeated question gets the same one."""
    yield turn_events(ANSWERS[answers_in(request)], request)


def play(folder: Path, *, resume: bool, protocol: ActionProtocol = "json") -> RunRecord:
    """Run the mission, or go on with it, to its end."""
    runner = MissionRunner(MissionStore(folder), Tools(), lane, Redactor())

    async def follow() -> RunRecord:
        steps = runner.resume(admission(protocol)) if resume else runner.run(admission(protocol))
        return [seen async for seen in steps][-1].record

    return asyncio.run(follow())


def outcome(record: RunRecord) -> dict[str, Any]:
    """The report without its place in the log, in which the second process noted that it went on."""
    told = build_report(record)
    return {key: value for key, value in told.items() if key not in ("source_seq", "source_event_hash")}


def prompts_of(log: Path) -> list[str]:
    """The digests of all prompts; one that was asked again after its answer was lost counts once."""
    asked = [
        json.loads(bytes(env.payload))["prompt_sha256"]
        for env in read_log(log).envelopes
        if env.event_type == "ModelAsked"
    ]
    return [digest for digest, _ in itertools.groupby(asked)]


def kill_at(folder: Path, commit: int, moment: str, protocol: ActionProtocol, *, resume: bool = False) -> bool:
    """Run the mission, or go on, in a process that is killed at this commit; False when it ended before."""
    return dies(lambda: play(folder, resume=resume, protocol=protocol), "write", commit, moment)


@pytest.mark.parametrize("protocol", ["json", "tools"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_at_any_step_ends_as_an_undisturbed_one(
    tmp_path: Path, moment: str, protocol: ActionProtocol
) -> None:
    """Killed around every commit in turn, then resumed: the same report, one opening, one closing, a whole chain."""
    expected = outcome(play(tmp_path / "whole", resume=False, protocol=protocol))
    commit = 1
    while kill_at(folder := tmp_path / str(commit), commit, moment, protocol):
        commit += 1
        log = folder / ".codex-oss/runs/run_1/events.jsonl"
        before = read_log(log).recorded()
        if not before:  # killed before its first commit: there is no run to go on with
            continue
        if type(before[-1].event).__name__ == "MissionClosed":
            assert_only_files_were_missing(folder, protocol)
            continue
        assert outcome(play(folder, resume=True, protocol=protocol)) == expected
        reading = read_log(log)
        assert prompts_of(log) == prompts_of(tmp_path / "whole/.codex-oss/runs/run_1/events.jsonl")
        kinds = [envelope.event_type for envelope in reading.envelopes]
        assert not reading.bad_line
        assert (kinds.count("MissionOpened"), kinds.count("MissionClosed"), kinds.count("MissionResumed")) == (1, 1, 1)
        assert [envelope.epoch for envelope in reading.envelopes] == sorted(
            [1] * len(before) + [2] * (len(kinds) - len(before))
        )
    assert commit > 10


def test_a_run_goes_on_in_the_protocol_it_began_with(tmp_path: Path) -> None:
    """Whatever is set up by now: the log says how the run is spoken."""
    began: tuple[tuple[ActionProtocol, ActionProtocol], ...] = (("json", "tools"), ("tools", "json"))
    for protocol, by_now in began:
        folder, whole = tmp_path / protocol, tmp_path / f"whole-{protocol}"
        assert kill_at(folder, 12, "after", protocol)
        play(folder, resume=True, protocol=by_now)
        play(whole, resume=False, protocol=protocol)
        log = ".codex-oss/runs/run_1/events.jsonl"
        assert prompts_of(folder / log) == prompts_of(whole / log)


def assert_only_files_were_missing(folder: Path, protocol: ActionProtocol) -> None:
    """A run that was killed after its closing gets its files; then there is nothing to go on with."""
    store = MissionStore(folder)
    before = store.read_run("run_1")
    assert not store.is_projected(before)
    runner = MissionRunner(store, Tools(), lane, Redactor())

    async def go_on() -> list[Any]:
        return [seen async for seen in runner.resume(admission(protocol))]

    assert asyncio.run(go_on()) == []
    assert store.read_run("run_1") == before
    assert store.is_projected(before)
    with pytest.raises(BridgeError) as refused:
        asyncio.run(go_on())
    assert refused.value.code == "mission_closed"


def kinds_of(folder: Path) -> list[str]:
    """Types of the events, of a log that verifies and whose epochs rise."""
    reading = MissionStore(folder).read_run("run_1")
    assert not reading.bad_line
    epochs = [envelope.epoch for envelope in reading.envelopes]
    assert epochs == sorted(epochs)
    return [envelope.event_type for envelope in reading.envelopes]


@pytest.mark.parametrize("protocol", ["json", "tools"])
@pytest.mark.parametrize("commits", [3, 4, 5])
def test_a_run_whose_every_process_is_killed_ends_all_the_same(
    tmp_path: Path, commits: int, protocol: ActionProtocol
) -> None:
    """Each process that goes on dies, too, after a few commits: the run ends as an undisturbed one, closed once."""
    expected = outcome(play(tmp_path / "whole", resume=False, protocol=protocol))
    folder, processes = tmp_path / "killed", 1
    killed = kill_at(folder, commits, "after", protocol)
    while killed and kinds_of(folder)[-1] != "MissionClosed":
        processes += 1
        assert processes < 40
        killed = kill_at(folder, commits, "after", protocol, resume=True)
    kinds, record = kinds_of(folder), folded(folder)
    assert outcome(record) == expected
    assert (kinds.count("MissionOpened"), kinds.count("MissionClosed")) == (1, 1)
    assert kinds.count("MissionResumed") == processes - 1 > 3


@pytest.mark.parametrize("first", [3, 8, 14])
def test_going_on_can_be_killed_at_any_step(tmp_path: Path, first: int) -> None:
    """Killed while a model was asked, a tool ran or a report lay there, and again at every commit of the second one."""
    expected = outcome(play(tmp_path / "whole", resume=False))
    second = 1
    while True:
        folder = tmp_path / str(second)
        assert kill_at(folder, first, "after", "json")
        again = kill_at(folder, second, "after", "json", resume=True)
        if kinds_of(folder)[-1] != "MissionClosed":
            play(folder, resume=True)
        assert outcome(folded(folder)) == expected
        kinds = kinds_of(folder)
        assert (kinds.count("MissionOpened"), kinds.count("MissionClosed")) == (1, 1)
        if not again:
            break
        second += 1
    assert second > 5


def folded(folder: Path) -> RunRecord:
    """The record of the run's log."""
    reading = MissionStore(folder).read_run("run_1")
    return fold(reading.run_id, reading.mission_id, reading.events())


def test_what_was_under_way_is_repeated_or_unknown(tmp_path: Path) -> None:
    """A started read is run again and started once; a lost answer is closed as unknown and asked for again."""
    asked = killed_after(tmp_path / "asked", "ModelAsked")
    play(asked, resume=True)
    kinds = kinds_of(asked)
    at = kinds.index("MissionResumed")
    assert kinds[at - 1 : at + 3] == ["ModelAsked", "MissionResumed", "ModelAnswered", "ModelAsked"]
    lost = MissionStore(asked).read_run("run_1").recorded()[at + 1].event
    assert isinstance(lost, ModelAnswered)
    assert (lost.outcome, lost.error_code, lost.text) == ("unknown", "answer_lost", "")
    assert folded(asked).lost_calls == 1

    started = killed_after(tmp_path / "started", "ToolStarted")
    play(started, resume=True)
    kinds = kinds_of(started)
    at = kinds.index("MissionResumed")
    assert kinds[at - 1 : at + 2] == ["ToolStarted", "MissionResumed", "ToolFinished"]
    assert kinds.count("ToolStarted") == kinds.count("ToolFinished")


def killed_after(folder: Path, event_type: str) -> Path:
    """A run that was killed right after the first event of a type."""
    commit = 1
    while True:
        place = folder / str(commit)
        assert kill_at(place, commit, "after", "json")
        if kinds_of(place)[-1] == event_type:
            return place
        commit += 1


def test_a_rebuild_can_be_killed_between_any_two_files(tmp_path: Path) -> None:
    """Each file is the old one or the new one, whole; the next rebuild, or `resume`, ends what was begun."""
    play(tmp_path, resume=False)
    store = MissionStore(tmp_path)
    reading = store.read_run("run_1")
    new = rebuild(reading)
    folder = store.mission_folder("m_test")
    for number in range(1, len(new) + 1):
        for name in new:
            (folder / name).write_bytes(b"old")
        assert dies(lambda: write_rebuilt(store, "m_test"), "replace", number)
        found = [(folder / name).read_bytes() for name in new]
        assert found == [*list(new.values())[: number - 1], *[b"old"] * (len(new) - number + 1)]
        assert_only_files_were_missing(tmp_path, "json")
        assert {name: (folder / name).read_bytes() for name in new} == new


STOPPED = """
import sys
from pathlib import Path
from codex_oss.errors import BridgeError
from codex_oss.missions.events import ActionAllowed
from codex_oss.services.event_log import EventLog
log = EventLog(Path(sys.argv[1]), "run_s", "m_s")
log.append((ActionAllowed(1, "first"),))
print("ready", flush=True)
for line in sys.stdin:
    try:
        log.append((ActionAllowed(2, "former"),))
        print("written", flush=True)
    except BridgeError as exc:
        print(exc.code, flush=True)
"""


def test_a_stopped_writer_is_replaced_and_can_write_no_more(tmp_path: Path) -> None:
    """While it lives it is not replaced; stopped, another takes over; continued, its next write is refused."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as former:
        assert former.stdin is not None
        assert former.stdout is not None
        assert former.stdout.readline() == "ready\n"
        with pytest.raises(StoreError) as refused:
            EventLog(tmp_path, "run_s", "m_s")
        assert refused.value.code == "log_locked"
        former.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, former.pid, os.WSTOPPED)
        with EventLog(tmp_path, "run_s", "m_s") as log:
            assert (log.epoch, log.replaced) == (2, "stopped")
            log.append((ActionAllowed(3, "latter"),))
            former.send_signal(signal.SIGCONT)
            former.stdin.write("go on\n")
            former.stdin.flush()
            assert former.stdout.readline() == "writer_replaced\n"
            log.append((ActionAllowed(4, "latter"),))
        former.kill()
    tools = [json.loads(bytes(envelope.payload))["tool"] for envelope in read_log(tmp_path / "events.jsonl").envelopes]
    assert tools == ["first", "latter", "latter"]


def test_a_lost_lease_file_does_not_lower_the_epoch(tmp_path: Path) -> None:
    """The epoch of the log stands above that of the lease file, which may be deleted or torn."""
    for name in ("deleted", "torn"):
        folder = tmp_path / name
        for expected in (1, 2):
            with EventLog(folder, "r", "m") as log:
                assert log.epoch == expected
                log.append((ActionAllowed(1, "x"),))
        (folder / "events.lock").write_bytes(b'{"epoch":')
        if name == "deleted":
            (folder / "events.lock").unlink()
        with EventLog(folder, "r", "m") as log:
            assert log.epoch == 3


@pytest.mark.parametrize("still_full", [True, False])
def test_a_run_killed_in_the_queue_goes_on_with_its_whole_time(tmp_path: Path, still_full: bool) -> None:
    """Its process dies while it waits: the next one waits or not, and the record says that it waits no more."""
    one_slot = {"read_pool": LaneLimits(1, 5, 20.0)}
    runner = MissionRunner(MissionStore(tmp_path), Tools(), lane, Redactor(), lanes=MissionLanes(tmp_path, one_slot))

    async def wait_and_die() -> None:
        async for _ in runner.run(admission("json")):
            pass

    async def go_on(taken: LaneLease | None) -> RunRecord:
        async def leave() -> None:
            await asyncio.sleep(0.3)
            if taken is not None:
                taken.release()

        leaving = asyncio.create_task(leave())
        seen = [seen async for seen in runner.resume(admission("json"))]
        await leaving
        return seen[-1].record

    holders = MissionLanes(tmp_path, one_slot)
    taken = holders.lease("read_pool", "other", "m_other")
    asyncio.run(holders.join(taken))
    assert dies(lambda: asyncio.run(wait_and_die()), "write", 2, "after")
    assert kinds_of(tmp_path) == ["MissionOpened", "MissionQueued"]
    if not still_full:
        taken.release()
    record = asyncio.run(go_on(taken if still_full else None))
    assert record.closed is not None
    assert (record.closed.status, record.queued) == ("COMPLETE", None)
    kinds = kinds_of(tmp_path)
    assert kinds[2] == "MissionResumed"
    assert kinds.count("MissionQueued") == 1 + still_full
    assert kinds[: kinds.index("ModelAsked")].count("MissionScheduled") == 1
    reading = MissionStore(tmp_path).read_run("run_1")
    scheduled = next(one.at for one in reading.events() if isinstance(one.event, MissionScheduled))
    begun_ms = epoch_ms(scheduled) - epoch_ms(record.opened_at)
    assert abs(record.paused_ms - begun_ms) < 1000, "waiting took of its time"
