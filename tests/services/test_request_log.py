"""The request log on disk: whole lines, private, bounded, never a turn's problem; and reading it back."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.services import request_history
from codex_oss.services.request_history import follow_records, last_records
from codex_oss.services.request_log import MAX_WAITING_BYTES, RequestLog, older_path
from codex_oss.services.request_record import AttemptNote, RequestRecord, Tokens, decode_record, encode_record


def record(number: int = 0, **more: Any) -> RequestRecord:
    """A record whose request id tells its number."""
    fields: dict[str, Any] = {"outcome": "completed", "surface": "responses", **more}
    return RequestRecord(time=f"2026-11-21T10:00:00.{number:03d}Z", request_id=f"req_{number}", **fields)


def line(number: int = 0, **more: Any) -> bytes:
    return encode_record(record(number, **more))


def ids(path: Path) -> list[str]:
    """The request ids of both generations in order; every line must be whole."""
    files = [file for file in (older_path(path), path) if file.exists()]
    return [json.loads(row)["request_id"] for file in files for row in file.read_bytes().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RequestLog]:
    """A log in a folder of its own, 4 KiB a file."""
    made = RequestLog(tmp_path / "state" / "requests.jsonl", ours=True, max_bytes=4096)
    yield made
    made.close()


def telling(event: threading.Event) -> Callable[[], bytes]:
    """Makes no line, but tells that its turn came."""

    def make() -> bytes:
        event.set()
        return b""

    return make


def hanging(entered: threading.Event, hang: threading.Event) -> Callable[[], bytes]:
    """Makes a line after a while, as a disk that hangs would let it."""

    def make() -> bytes:
        entered.set()
        hang.wait(20)
        return line(0)

    return make


def made(data: bytes) -> Callable[[], bytes]:
    """Makes this line."""
    return lambda: data


def put_all(log: RequestLog, *lines: bytes) -> None:
    """Put these and wait until they are through."""
    for each in lines:
        log.put(made(each))
    done = threading.Event()
    log.put(telling(done))
    assert done.wait(10)
    log.close()


texts = st.text(st.characters(), max_size=20)


@given(texts, texts, st.none() | st.integers(0, 1 << 40))
def test_a_record_is_one_line_and_comes_back(model: str, session: str, tokens: int | None) -> None:
    """Any text, half characters, escapes and line separators included, stays in its field and its line."""
    told = record(model=model, session=session, tokens=Tokens(input=tokens))
    data = encode_record(told)
    assert data.endswith(b"\n")
    assert not any(character in data.decode()[:-1] for character in "\n\r\x1b\x00\x85\u2028\u2029\u202e\x9b")
    back = decode_record(data)
    assert back is not None
    assert back.model == model.encode("utf-8", "replace").decode()
    assert back.tokens.input == tokens


@given(st.binary(max_size=60))
def test_foreign_lines_are_none(data: bytes) -> None:
    """What is no record of ours is passed over, never raised."""
    assert decode_record(data) is None
    assert decode_record(line()[: len(data)]) is None


def test_lines_of_earlier_versions_are_read() -> None:
    """`attempts` was a number once; it is what `tries` is now."""
    old = {**json.loads(encode_record(record(tries=3))), "attempts": 3}
    del old["tries"]
    back = decode_record(json.dumps(old).encode())
    assert back is not None
    assert (back.tries, back.attempts) == (3, ())
    told = record(attempts=(AttemptNote("a", "initial_attempt", "answered"),), tries=1)
    assert decode_record(encode_record(told)) == told


def test_lines_are_private_and_in_order(log: RequestLog, tmp_path: Path) -> None:
    """The file has mode 0600 in a folder of mode 0700; what is handed over first stands first."""
    put_all(log, *(line(number) for number in range(5)))
    path = tmp_path / "state" / "requests.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert ids(path) == [f"req_{number}" for number in range(5)]
    assert (log.facts.written, log.facts.problem) == (5, "")


def test_a_large_file_is_put_aside(tmp_path: Path) -> None:
    """Two generations exist, neither far above the bound, and the newest lines are there without a gap."""
    path = tmp_path / "requests.jsonl"
    for number in range(40):
        one = RequestLog(path, ours=True, max_bytes=4096)
        put_all(one, line(number))
    assert 0 < path.stat().st_size <= 4096 + 1024
    assert older_path(path).stat().st_size <= 4096 + 1024
    kept = ids(path)
    assert kept == [f"req_{number}" for number in range(40 - len(kept), 40)]
    assert len(kept) > 5


def test_a_torn_line_is_ended(log: RequestLog, tmp_path: Path) -> None:
    """What a kill tore costs that line only: the next one begins on a line of its own."""
    path = tmp_path / "state" / "requests.jsonl"
    path.parent.mkdir()
    path.write_bytes(line(1) + line(2)[:50])
    put_all(log, line(3))
    assert [found.request_id for found in last_records(path, 9, lambda _: True)] == ["req_1", "req_3"]


def test_removed_meanwhile(tmp_path: Path) -> None:
    """A log that somebody removed or renamed is begun anew."""
    path = tmp_path / "requests.jsonl"
    log = RequestLog(path, ours=True, max_bytes=4096)
    first = threading.Event()
    log.put(lambda: line(1))
    log.put(telling(first))
    assert first.wait(10)
    while not path.exists():
        time.sleep(0.01)
    path.unlink()
    put_all(log, line(2))
    assert ids(path) == ["req_2"]


def _link(path: Path) -> None:
    (path.parent / "elsewhere").write_text("theirs")
    path.symlink_to(path.parent / "elsewhere")


def _file_for_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


BROKEN: dict[str, Callable[[Path], object]] = {
    "link": _link,
    "fifo": lambda path: os.mkfifo(path),
    "folder": lambda path: path.mkdir(),
    "no folder": _file_for_folder,
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_cannot_be_written_is_said_once(broken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised or followed; lost lines are counted; the log of the bridge says so once."""
    path = tmp_path / "state" / "requests.jsonl"
    path.parent.mkdir(mode=0o700)
    BROKEN[broken](path)
    log = RequestLog(path, ours=True, max_bytes=4096)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            arrived = threading.Event()
            log.put(lambda: line(0))
            log.put(telling(arrived))
            assert arrived.wait(10), number
        log.close()
    assert log.facts.written == 0
    assert log.facts.dropped >= 3
    assert log.facts.problem
    assert len(caplog.records) == 1
    if broken == "link":
        assert (path.parent / "elsewhere").read_text() == "theirs"


def test_a_full_disk_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A device that takes no byte is counted as lost; when there is room again the log goes on and says so."""
    log = RequestLog(tmp_path / "requests.jsonl", ours=True, max_bytes=4096)
    write, left = os.write, iter([30, 0])

    def full(fd: int, data: bytes) -> int:
        room = next(left, None)
        return write(fd, data) if room is None else write(fd, data[:room])

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr("codex_oss.services.request_log.os.write", full)
        for number in range(4):
            settled = log.facts.written + log.facts.dropped
            log.put(made(line(number)))
            while log.facts.written + log.facts.dropped == settled:
                time.sleep(0.005)
        log.close()
    assert (log.facts.written, log.facts.dropped, log.facts.problem) == (2, 2, "")
    found = last_records(tmp_path / "requests.jsonl", 9, lambda _: True)
    assert [each.request_id for each in found] == ["req_2", "req_3"]
    assert len(caplog.records) == 2


def test_a_hung_disk_costs_lines_and_no_memory(tmp_path: Path) -> None:
    """While a write hangs, what waits is bounded by number and by weight, and nobody who puts is held up."""
    log = RequestLog(tmp_path / "requests.jsonl", ours=True, max_bytes=1 << 20, max_waiting=10)
    entered, hang = threading.Event(), threading.Event()
    log.put(hanging(entered, hang))
    assert entered.wait(10)
    for number in range(30):
        log.put(made(line(number)))
    assert log.facts.dropped == 20
    hang.set()
    log.close()
    assert log.facts.written == 11

    heavy = RequestLog(tmp_path / "heavy.jsonl", ours=True, max_bytes=1 << 20)
    entered.clear()
    hang.clear()
    heavy.put(hanging(entered, hang))
    assert entered.wait(10)
    for _ in range(10):
        heavy.put(lambda: line(1), weight_bytes=MAX_WAITING_BYTES // 2)
    assert heavy.facts.dropped == 7
    hang.set()
    heavy.close()


def test_a_line_that_cannot_be_made_is_lost_alone(log: RequestLog, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours is logged without its words and costs one line."""
    words = " ".join(("secret", "words"))  # a traceback quotes the line of the source
    log.put(lambda: (_ for _ in ()).throw(ValueError(words)))
    put_all(log, line(1))
    assert (log.facts.written, "secret words" in caplog.text, "ValueError" in caplog.text) == (1, False, True)


WRITER = """
import sys
from pathlib import Path
from codex_oss.services.request_log import RequestLog
from codex_oss.services.request_record import RequestRecord, encode_record
log = RequestLog(Path(sys.argv[1]), ours=True, max_bytes=int(sys.argv[3]), max_waiting=1 << 20)
def line(n):
    name = f"{sys.argv[2]}_{n}"
    return lambda: encode_record(RequestRecord(time="t", request_id=name, surface="chat", outcome="failed"))
count = 0
while count < int(sys.argv[4]):
    log.put(line(count))
    count += 1
    if count == 50:
        print("going", flush=True)
log.close()
print(log.facts.written, flush=True)
"""


def writer(path: Path, name: str, max_bytes: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(max_bytes), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_share_the_file(tmp_path: Path) -> None:
    """Every line of both is there, whole, in the order of each."""
    path = tmp_path / "state" / "requests.jsonl"
    both = [writer(path, name, 1 << 30, 2000) for name in "ab"]
    assert [process.communicate(timeout=60)[0].split()[-1] for process in both] == ["2000", "2000"]
    found = ids(path)
    assert [each for each in found if each[0] == "a"] == [f"a_{number}" for number in range(2000)]
    assert [each for each in found if each[0] == "b"] == [f"b_{number}" for number in range(2000)]


def test_two_processes_put_the_file_aside_together(tmp_path: Path) -> None:
    """With a small bound both rotate; what is left is whole lines, in the order of each, and both go on."""
    path = tmp_path / "state" / "requests.jsonl"
    both = [writer(path, name, 8192, 3000) for name in "ab"]
    assert [process.communicate(timeout=60)[0].split()[-1] for process in both] == ["3000", "3000"]
    for name in "ab":
        numbers = [int(each.partition("_")[2]) for each in ids(path) if each[0] == name]
        assert numbers == sorted(numbers)


def test_a_kill_in_the_middle_costs_one_line_at_most(tmp_path: Path) -> None:
    """After kill -9 of a writer every line but perhaps the last is whole, and the next writer goes on."""
    path = tmp_path / "state" / "requests.jsonl"
    victim = writer(path, "a", 1 << 30, 10_000_000)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "going\n"
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=20)
    before = path.read_bytes().splitlines() if path.exists() else []
    log = RequestLog(path, ours=True, max_bytes=1 << 30)
    put_all(log, line(7))
    rows = path.read_bytes().splitlines()
    assert decode_record(rows[-1]) == record(7)
    assert all(decode_record(row) is not None for row in rows[: max(0, len(before) - 1)])


def test_the_last_records_across_both_generations(tmp_path: Path) -> None:
    """Filters, a count and a begin are applied over the old file, too; no file is no records."""
    path = tmp_path / "requests.jsonl"
    assert last_records(path, 5, lambda _: True) == []
    older_path(path).write_bytes(b"".join(line(number) for number in range(5)))
    path.write_bytes(b"nonsense\n" + b"".join(line(number) for number in range(5, 9)) + line(9)[:-1])
    names = [found.request_id for found in last_records(path, 6, lambda _: True)]
    assert names == [f"req_{number}" for number in range(3, 9)]
    odd = last_records(path, 3, lambda found: int(found.request_id[-1]) % 2 == 1)
    assert [found.request_id for found in odd] == ["req_3", "req_5", "req_7"]
    since = last_records(path, 99, lambda _: True, since=record(6).time)
    assert [found.request_id for found in since] == ["req_6", "req_7", "req_8"]


@given(st.lists(st.integers(0, 70), max_size=12), st.integers(1, 64), st.booleans())
def test_reading_backwards_is_reading_forwards(sizes: list[int], block: int, whole: bool) -> None:
    """Whatever the size of lines and blocks: the lines from the end are the lines, without one that has no end."""
    rows = [bytes([97 + at % 26]) * size for at, size in enumerate(sizes)]
    data = b"".join(row + b"\n" for row in rows) + (b"" if whole else b"torn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_history, "BLOCK_BYTES", block)
        patch.setattr(request_history, "_open", lambda _: os.memfd_create("lines"))
        patch.setattr("os.fstat", lambda _: type("Size", (), {"st_size": len(data)}))
        patch.setattr("os.pread", lambda _, size, at: data[at : at + size])
        found = list(request_history._lines_backwards(Path("any")))
    assert [row for row in found[::-1] if row] == [row for row in rows if row]


def test_an_endless_line_costs_no_memory(tmp_path: Path) -> None:
    """A line of megabytes is none of ours; those around it are found."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(line(1) + b"x" * 1_000_000 + b"\n" + line(2))
    assert [found.request_id for found in last_records(path, 5, lambda _: True)] == ["req_1", "req_2"]


def test_following_through_a_rotation(tmp_path: Path) -> None:
    """What comes after the begin is seen once and in order: half lines, a file put aside, a file that did not exist."""
    path = tmp_path / "requests.jsonl"

    def append(data: bytes) -> None:
        path.write_bytes(path.read_bytes() + data)

    def put_aside() -> None:
        append(line(4))
        path.replace(older_path(path))
        path.write_bytes(line(5))

    steps: list[Callable[[], object]] = [
        lambda: path.write_bytes(line(1)),
        lambda: append(line(2)[:20]),
        lambda: append(line(2)[20:] + line(3)),
        put_aside,
        lambda: append(b"nonsense\n" + line(6)),
    ]

    def sleep(_: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    def takes(each: RequestRecord) -> bool:
        seen.append(each.request_id)
        return True

    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        list(follow_records(path, takes, sleep=sleep))
    assert seen == [f"req_{number}" for number in range(1, 7)]
