"""A run that is killed at any step and goes on, and a writer that was replaced, with a scripted model on a real log."""

from __future__ import annotations

import asyncio
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
from codex_oss.missions.events import ActionAllowed
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import build_report
from codex_oss.policy.exposure import Redactor
from codex_oss.services.event_log import EventLog, read_log
from codex_oss.services.mission_runner import MissionRunner
from codex_oss.services.mission_store import MissionStore
from codex_oss.wire.events import TurnEvent
from codex_oss.wire.items import TurnRequest
from tests.fakes.mission_script import answers_in, call, finding, report, turn_events
from tests.services.test_mission_runner import REF, Tools, admission

ANSWERS = (
    "no JSON at all",
    call("rtk_read", path="app/retry.py"),
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


def kill_at(folder: Path, commit: int, moment: str, protocol: ActionProtocol) -> bool:
    """Run the mission in a process that is killed at this commit; False when it ended before."""
    if (child := os.fork()) == 0:
        left, fdatasync = commit, os.fdatasync

        def counted(fd: int) -> None:
            nonlocal left
            left -= 1
            if left == 0 and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            fdatasync(fd)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        os.fdatasync = counted  # type: ignore[assignment]
        try:
            play(folder, resume=False, protocol=protocol)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


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
            with pytest.raises(BridgeError) as refused:
                play(folder, resume=True, protocol=protocol)
            assert refused.value.code == "mission_closed"
            continue
        assert outcome(play(folder, resume=True, protocol=protocol)) == expected
        reading = read_log(log)
        kinds = [envelope.event_type for envelope in reading.envelopes]
        assert not reading.bad_line
        assert (kinds.count("MissionOpened"), kinds.count("MissionClosed"), kinds.count("MissionResumed")) == (1, 1, 1)
        assert [envelope.epoch for envelope in reading.envelopes] == sorted(
            [1] * len(before) + [2] * (len(kinds) - len(before))
        )
    assert commit > 10


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
    tools = [envelope.payload["tool"] for envelope in read_log(tmp_path / "events.jsonl").envelopes]
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
