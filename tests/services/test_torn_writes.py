"""The record when a write is torn, refused or held up: at every byte, by kill -9, by the disk, by a stopped writer."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from codex_oss.errors import StoreError
from codex_oss.missions.events import Known, MissionClosed
from codex_oss.services import writer_lease
from codex_oss.services.anchors import AnchorBook
from codex_oss.services.audit import Audit, audit_mission
from codex_oss.services.audit_claims import Source
from codex_oss.services.event_log import EventLog, Seal, read_log
from codex_oss.services.mission_store import MissionStore, write_rebuilt
from tests.fakes.mission_script import FILES
from tests.services.sealed_run import HONEST, KEY, story

CUT_OFF = MissionClosed("PARTIAL", "LOW", ("cancelled",), "runtime_evidence", detail="cut off")


class Desk:
    """Where one run is written, sealed with key and anchor."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.project.mkdir(parents=True, exist_ok=True)
        self.store = MissionStore(self.project)
        self.seal = Seal(KEY, AnchorBook(folder / "state", self.project))
        self.folder = self.store.prepare_run("run_1")
        self.log = self.folder / "events.jsonl"

    def open(self) -> EventLog:
        return EventLog(self.folder, "run_1", "m_test", seal=self.seal)

    def write(self, events: list[Known]) -> list[bytes]:
        """Append them one by one; the lines."""
        with self.open() as log:
            for event in events:
                log.append((event,))
        return self.log.read_bytes().splitlines(keepends=True)

    def audit(self) -> Audit:
        """After the projections were made."""
        write_rebuilt(self.store, "m_test")
        return audit_mission(self.store, "m_test", lambda path: Source("ab" * 32, FILES[path].encode()), self.seal)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One run."""
    return Desk(tmp_path)


def passes(audit: Audit) -> bool:
    """All four verdicts."""
    return set(audit.verdicts.values()) == {"PASS"}


@pytest.mark.parametrize("number", [5, 15])
def test_a_write_torn_at_every_byte_is_mended(desk: Desk, number: int) -> None:
    """So much of the last record arrived and no more: re-opened, it is cut off, nothing before is lost."""
    events = story(HONEST, 4)
    lines = desk.write(events[:number])
    whole, last = b"".join(lines), seal_of_next(desk, events[number])
    for cut in range(1, len(last)):
        desk.log.write_bytes(whole + last[:cut])
        reading = read_log(desk.log)
        assert (len(reading.envelopes), reading.bad_line, reading.torn_bytes) == (number, 0, cut)
        with desk.open() as log:
            assert desk.log.read_bytes() == whole
            assert log.record.last_seq == number
    desk.log.write_bytes(whole + last[:7])
    with desk.open() as log:
        log.append((CUT_OFF,))
    assert desk.log.read_bytes().startswith(whole)
    assert passes(desk.audit()), desk.audit()


def seal_of_next(desk: Desk, event: Known) -> bytes:
    """The bytes that the writer would have written next, had it lived."""
    before, anchor = desk.log.read_bytes(), (desk.seal.anchors.folder / "run_1.json").read_bytes()  # type: ignore[union-attr]
    with desk.open() as log:
        log.append((event,))
    line = desk.log.read_bytes()[len(before) :]
    desk.log.write_bytes(before)
    (desk.seal.anchors.folder / "run_1.json").write_bytes(anchor)  # type: ignore[union-attr]
    return line


def test_before_it_is_mended_a_torn_end_is_a_warning(desk: Desk) -> None:
    """The audit of a run whose writer died in a write says so, and that the mission is open; it finds no fault."""
    events = story(HONEST, 4)
    whole = b"".join(desk.write(events[:-1]))
    desk.log.write_bytes(whole + seal_of_next(desk, events[-1])[:40])
    checks = {check.name: check.status for check in desk.audit().checks}
    assert (checks["log.tail"], checks["log.integrity"], checks["log.anchor"]) == ("WARN", "PASS", "PASS")


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.services.sealed_run import HONEST, story
from tests.services.test_torn_writes import Desk
at, group, write = int(sys.argv[2]), int(sys.argv[3]), os.write
desk, events = Desk(Path(sys.argv[1])), story(HONEST, 4)
log = desk.open()
for event in events[:6]:
    log.append((event,))
print(log.record.last_seq, flush=True)
def torn(fd, data):
    write(fd, bytes(data)[:at])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = torn
log.append(tuple(events[6:6 + group]))
"""


@pytest.mark.parametrize(("at", "group"), [(0, 1), (1, 1), (300, 1), (10**6, 1), (900, 4), (1_700, 4), (10**6, 4)])
def test_kill_nine_within_a_write(tmp_path: Path, at: int, group: int) -> None:
    """A real process, killed after so many bytes of a write: what it had told stands, whole lines stand, no more."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(at), str(group)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == -signal.SIGKILL, done.stderr
    desk = Desk(tmp_path)
    kept = desk.log.read_bytes().rpartition(b"\n")[0] + b"\n"
    told = int(done.stdout)
    with desk.open() as log:
        assert (log.replaced, log.epoch) == ("gone", 2)
        assert told <= log.record.last_seq <= told + group
        assert desk.log.read_bytes() == kept
        log.append((CUT_OFF,))
    assert passes(desk.audit()), desk.audit()


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, call: str, number: int, after_bytes: int = 0) -> Iterator[None]:
    """`os.CALL` fails with *number*; a write has taken some bytes before."""
    real: Any = getattr(os, call)

    def fail(fd: int, *rest: Any) -> int:
        if call == "write" and after_bytes:
            real(fd, bytes(rest[0])[:after_bytes])
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        yield


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize(("call", "after_bytes"), [("write", 0), ("write", 10), ("fdatasync", 0)])
def test_a_disk_that_refuses_leaves_the_log_as_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, call: str, after_bytes: int, number: int
) -> None:
    """The append says so, nothing of it stays, the next one works, and the whole record passes."""
    events = story(HONEST, 4)
    with desk.open() as log:
        for event in events[:-1]:
            before = desk.log.read_bytes() if desk.log.exists() else b""
            with failing(monkeypatch, call, number, after_bytes), pytest.raises(StoreError) as refused:
                log.append((event,))
            assert refused.value.code == "log_unwritable"
            assert desk.log.read_bytes() == before
            log.append((event,))
        log.append((events[-1],))
    assert passes(desk.audit()), desk.audit()


def test_a_disk_that_does_not_even_take_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a batch stays and cannot be cut off: this writer writes no more, the next one mends it."""
    events = story(HONEST, 4)
    with desk.open() as log:
        log.append((events[0],))
        whole = desk.log.read_bytes()
        with (
            failing(monkeypatch, "ftruncate", errno.EIO),
            failing(monkeypatch, "write", errno.EIO, 50),
            pytest.raises(StoreError),
        ):
            log.append((events[1],))
        assert len(desk.log.read_bytes()) == len(whole) + 50
        with pytest.raises(StoreError) as refused:
            log.append((events[1],))
        assert refused.value.code == "log_conflict"
    with desk.open() as log:
        assert desk.log.read_bytes() == whole
        log.append((CUT_OFF,))
    assert passes(desk.audit())


def test_a_place_outside_that_cannot_be_written_costs_no_event(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is the authority: without room for the anchor the mission goes on, and the audit still passes."""
    events = story(HONEST, 4)
    with desk.open() as log:
        log.append(tuple(events[:6]))
        with failing(monkeypatch, "pwrite", errno.ENOSPC):
            for event in events[6:]:
                log.append((event,))
    anchor = desk.seal.anchors.read("run_1") if desk.seal.anchors else None
    assert anchor is not None
    assert anchor.seq == 6
    assert passes(desk.audit()), desk.audit()


@pytest.mark.parametrize("call", ["pwrite", "pread", "ftruncate", "open"])
def test_a_run_that_cannot_be_opened_says_why(desk: Desk, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Lease, log or anchor cannot be opened or written: an error of ours, nothing of the log is touched."""
    desk.write(story(HONEST, 4)[:6])
    with desk.log.open("ab") as file:
        file.write(b"torn")
    before = desk.log.read_bytes()
    with failing(monkeypatch, call, errno.ENOSPC), pytest.raises(StoreError):
        desk.open()
    assert desk.log.read_bytes() == before
    with desk.open() as log:
        assert log.record.last_seq == 6


HELD = """
import os, signal, sys
from pathlib import Path
from tests.services.sealed_run import HONEST, story
from tests.services.test_torn_writes import Desk
write = os.write
log, events = Desk(Path(sys.argv[1])).open(), story(HONEST, 4)
log.append(tuple(events[:6]))
def held(fd, data):
    done = write(fd, bytes(data)[:100])
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    return done
os.write = held
log.append((events[6],))
print("written", flush=True)
"""


@pytest.mark.parametrize("ending", ["continued", "killed"])
def test_a_writer_stopped_within_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Nobody writes between its halves. Continued, it ends its line; killed, the half is cut off."""
    monkeypatch.setattr(writer_lease, "LOCK_WAIT_S", 0.2)
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        os.waitid(os.P_PID, held.pid, os.WSTOPPED)
        desk = Desk(tmp_path)
        with pytest.raises(StoreError) as refused:
            desk.open()
        assert (refused.value.code, "stopped in the middle of a write" in refused.value.hint) == ("log_locked", True)
        if ending == "killed":
            held.kill()
        while held.poll() is None:
            held.send_signal(signal.SIGCONT)
            time.sleep(0.05)
    with desk.open() as log:
        assert log.record.last_seq == (7 if ending == "continued" else 6)
        log.append((CUT_OFF,))
    assert passes(desk.audit()), desk.audit()


RACING = """
import sys
from pathlib import Path
from codex_oss.errors import LocalProtocolError, StoreError
from tests.services.sealed_run import HONEST, story
from tests.services.test_torn_writes import Desk
events = story(HONEST, 4)
sys.stdin.readline()
try:
    with Desk(Path(sys.argv[1])).open() as log:
        for event in events:
            log.append((event,))
    print("all", log.epoch)
except StoreError as exc:
    print(exc.code)
except LocalProtocolError:
    print("closed already")
"""


def test_writers_at_once_are_one(tmp_path: Path) -> None:
    """Four processes write the same run at the same moment: one writes all of it, the others nothing."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", RACING, str(tmp_path)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(4)
    ]
    for racer in racers:  # all of them wait to be told, with everything imported
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = sorted(racer.communicate()[0].split()[0] for racer in racers)
    assert told.count("all") == 1, told
    assert set(told) <= {"all", "log_locked", "closed"}, told
    assert passes(Desk(tmp_path).audit())
