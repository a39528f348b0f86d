"""The event log on a real disk: chain, torn writes, two writers, a killed writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codex_oss.errors import LogConflict, LogCorrupt, StoreError
from codex_oss.missions.events import ActionAllowed, ModelAnswered, ToolStarted
from codex_oss.missions.record import fold
from codex_oss.services.event_log import EventLog, read_header, read_log
from tests.fakes.mission_script import Play, call, finding, mission, report


def write_mission(folder: Path, *, closed: bool = True) -> EventLog:
    """A short mission, written through the real log; not *closed* leaves its last event out."""
    played = Play(
        mission(),
        [call("rtk_read", path="app/retry.py"), report(finding("`MAX_RETRIES`", "file:app/retry.py#extract:1"))],
    )
    played.run()
    log = EventLog(folder, "run_1", "m_test")
    for recorded in played.events if closed else played.events[:-1]:
        log.append((recorded.event,))  # type: ignore[arg-type]
    return log


def test_what_was_appended_reads_back(tmp_path: Path) -> None:
    """Events, sequence and chain survive; the record equals the fold of the file."""
    with write_mission(tmp_path / "run") as log:
        reading = read_log(log.path)
        assert not reading.bad_line
        assert [e.seq for e in reading.envelopes] == list(range(1, len(reading.envelopes) + 1))
        assert fold("run_1", "m_test", reading.recorded()) == log.record
        assert oct(log.path.stat().st_mode & 0o777) == "0o600"
    header = read_header(log.path)
    assert header is not None
    assert header.mission_id == "m_test"


def test_a_torn_write_at_every_byte_keeps_what_was_committed(tmp_path: Path) -> None:
    """Cutting the last line anywhere loses that event and nothing else; re-opening cuts the torn bytes off."""
    with write_mission(tmp_path / "run") as log:
        whole = log.path.read_bytes()
    *_, last = whole.splitlines(keepends=True)
    kept = len(whole) - len(last)
    count = len(read_log(log.path).envelopes)
    for cut in range(kept, len(whole)):
        log.path.write_bytes(whole[:cut])
        reading = read_log(log.path)
        assert (len(reading.envelopes), reading.bad_line, reading.torn_bytes) == (count - 1, 0, cut - kept)
    with EventLog(tmp_path / "run", "run_1", "m_test") as again:
        assert again.record.last_seq == count - 1
        again.append((ActionAllowed(1, "rtk_read"),))
    assert len(read_log(log.path).envelopes) == count
    assert read_log(log.path).torn_bytes == 0


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "seq_mismatch"),
        (lambda lines: [*lines[:2], *lines[3:]], "seq_mismatch"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "seq_mismatch"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"call":1', b'"call":2'), *lines[3:]], "event_hash_mismatch"),
        (lambda lines: [*lines[:2], b"not json\n", *lines[2:]], "event_json_invalid"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], "event_json_invalid"),
    ],
    ids=["swap", "drop", "insert", "edit", "garbage", "blank"],
)
def test_damage_is_found_at_its_line(tmp_path: Path, damage: object, reason: str) -> None:
    """Edit, drop, swap and insert are found where they begin; what stands before is still read."""
    with write_mission(tmp_path / "run") as log:
        lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(damage(lines)))  # type: ignore[operator]
    reading = read_log(log.path)
    assert (reading.bad_line, reading.bad_reason) == (3, reason)
    assert len(reading.envelopes) == 2
    with pytest.raises(LogCorrupt) as caught:
        EventLog(tmp_path / "run", "run_1", "m_test")
    assert caught.value.line == 3


def test_a_rechained_foreign_event_is_found(tmp_path: Path) -> None:
    """An event of another run, rehashed but not re-linked, breaks the chain."""
    with write_mission(tmp_path / "run") as log:
        lines = log.path.read_bytes().splitlines(keepends=True)
    foreign = Play(mission(mission_id="other"), [report(status="FAILED")])
    foreign.run()
    log.path.write_bytes(b"".join([*lines[:2], foreign.lines[2] + b"\n", *lines[3:]]))
    assert read_log(log.path).bad_reason == "prev_hash_mismatch"


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """While one process writes a run, another cannot open it."""
    with write_mission(tmp_path / "run"):
        probe = (
            "import sys; from pathlib import Path; from codex_oss.services.event_log import EventLog\n"
            "from codex_oss.errors import StoreError\n"
            "try: EventLog(Path(sys.argv[1]), 'run_1', 'm_test')\n"
            "except StoreError as exc: print(exc.code)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe, str(tmp_path / "run")], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "log_locked"


def test_bytes_of_somebody_else_are_a_conflict(tmp_path: Path) -> None:
    """A file that grew behind our back is not written to."""
    with write_mission(tmp_path / "run", closed=False) as log:
        with log.path.open("ab") as file:
            file.write(b"x")
        with pytest.raises(LogConflict):
            log.append((ActionAllowed(1, "rtk_read"),))


def test_a_full_disk_leaves_no_half_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a write breaks off, the file is cut back, the error says so, and the next append works."""
    with write_mission(tmp_path / "run", closed=False) as log:
        before = log.path.read_bytes()
        write = os.write

        def short(fd: int, data: bytes) -> int:
            write(fd, bytes(data)[:10])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", short)
        with pytest.raises(StoreError, match="No space left"):
            log.append((ActionAllowed(1, "rtk_read"),))
        monkeypatch.undo()
        assert log.path.read_bytes() == before
        log.append((ActionAllowed(1, "rtk_read"),))
    assert not read_log(log.path).bad_line


def test_odd_text_survives(tmp_path: Path) -> None:
    """Line separators, NUL and astral characters inside texts do not break lines or hashes."""
    odd = "a\u2028b\x00c\r\nd\U0001f600\x85"
    with EventLog(tmp_path / "run", "r", "m") as log:
        log.append((ModelAnswered(1, odd, "completed"), ToolStarted(1, 1, "rtk_ls", {odd: odd})))
    reading = read_log(log.path)
    assert reading.recorded()[0].event == ModelAnswered(1, odd, "completed")


WRITER = """
import sys
from pathlib import Path
from codex_oss.services.event_log import EventLog
from codex_oss.missions.events import ActionAllowed
log = EventLog(Path(sys.argv[1]), "run_k", "m_k")
n = 0
while True:
    log.append(tuple(ActionAllowed(n * 3 + i, "rtk_read" * 50) for i in range(3)))
    n += 1
    print(log.record.last_seq, flush=True)
"""


def test_kill_nine_loses_nothing_committed(tmp_path: Path) -> None:
    """A writer killed at any moment leaves every event that it had reported as committed, and a log that verifies."""
    for round_number in range(4):
        folder = tmp_path / str(round_number)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(5 + 7 * round_number):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            told = [int(line) for line in process.stdout.read().split()] or [0]
        reading = read_log(folder / "events.jsonl")
        assert not reading.bad_line
        assert len(reading.envelopes) >= max(told[-1], 3 * (5 + 7 * round_number))
        with EventLog(folder, "run_k", "m_k") as log:
            log.append((ActionAllowed(0, "after"),))
        assert json.loads(log.path.read_bytes().splitlines()[-1])["payload"]["tool"] == "after"
