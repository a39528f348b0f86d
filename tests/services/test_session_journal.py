"""The journal on disk: private, one writer, torn tails cut, killed at any byte and still readable."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_oss.agent.journal import Answered, CallSettled, PromptGiven, Record, SessionBegan, TurnClosed
from codex_oss.errors import BridgeError, InvalidRequest, StoreError
from codex_oss.services import session_journal
from codex_oss.services.session_journal import SessionJournal, sessions_folder
from codex_oss.wire.items import FunctionCall, Message, TextPart

TURN: list[Record] = [
    SessionBegan("s", 1, "/p"),
    PromptGiven("hi", "ocg-x"),
    Answered((FunctionCall("a", "read_file", "{}"),)),
    CallSettled("a", "text\nwith lines"),
    Answered((Message("assistant", (TextPart("ok"),)),)),
    TurnClosed("done"),
]


def opened(folder: Path, session_id: str = "s") -> SessionJournal:
    """The journal of one session."""
    return SessionJournal(folder / "sessions" / "p", session_id)


def written(folder: Path) -> Path:
    """A journal with one turn, closed; its file."""
    journal = opened(folder)
    journal.append(*TURN)
    journal.close()
    return journal.path


def code_of(folder: Path) -> str:
    """Why it does not open."""
    with pytest.raises(BridgeError) as caught:
        opened(folder)
    return caught.value.code


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    """Another process folds the same conversation."""
    written(tmp_path)
    journal = opened(tmp_path)
    assert len(journal.conversation.items()) == 4
    assert (journal.conversation.session_id, journal.conversation.turns) == ("s", 1)
    journal.close()


def test_it_is_private(tmp_path: Path) -> None:
    """0600 in 0700, also when it was made otherwise."""
    path = written(tmp_path)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    opened(tmp_path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_may_be_cut_at_any_byte(tmp_path: Path) -> None:
    """Whatever a killed process left, whole lines count, the rest is cut off, and the next append stands alone."""
    path = written(tmp_path)
    data = path.read_bytes()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        journal = opened(tmp_path)
        whole = data[:length].rfind(b"\n") + 1
        assert path.stat().st_size == whole
        journal.close()
    path.write_bytes(data[:-3])
    journal = opened(tmp_path)
    journal.append(TurnClosed("failed"))
    journal.close()
    assert opened(tmp_path).conversation.turn_open is False


@pytest.mark.parametrize(
    "line", [b"{}", b"nonsense", b'{"type":"later"}', b'{"type":"call","call_id":"z","output":""}']
)
def test_a_whole_line_that_is_none_is_not_skipped(tmp_path: Path, line: bytes) -> None:
    """The file is left as it is and the session is refused."""
    path = written(tmp_path)
    data = path.read_bytes() + line + b"\n"
    path.write_bytes(data)
    assert code_of(tmp_path) == "session_unreadable"
    assert path.read_bytes() == data


def test_a_session_begins_once(tmp_path: Path) -> None:
    """A first line that is no begin, and a second begin, are no session."""
    path = written(tmp_path)
    data = path.read_bytes()
    for wrong in (data.partition(b"\n")[2], data + data):
        path.write_bytes(wrong)
        assert code_of(tmp_path) == "session_unreadable"


def test_one_writer(tmp_path: Path) -> None:
    """A second one is refused while the first lives, and may go on after it."""
    first = opened(tmp_path)
    assert code_of(tmp_path) == "session_busy"
    first.append(*TURN)
    first.close()
    first.close()
    opened(tmp_path).close()
    with pytest.raises(StoreError):
        first.append(TurnClosed("done"))


def test_nothing_said_leaves_no_file(tmp_path: Path) -> None:
    """A session that never began is gone; appending nothing is nothing."""
    journal = opened(tmp_path)
    journal.append()
    journal.close()
    assert not journal.path.exists()


@pytest.mark.parametrize("session_id", ["", "..", ".hidden", "a/b", "a\0", "a\n", "x" * 65, "-rf", "é"])
def test_an_id_is_a_name(tmp_path: Path, session_id: str) -> None:
    """What could leave the folder, or is no name, is asked wrongly."""
    with pytest.raises(InvalidRequest):
        opened(tmp_path, session_id)


def test_links_and_other_things_are_not_opened(tmp_path: Path) -> None:
    """A link, a folder and a pipe in its place are refused, and nothing waits for them."""
    path = written(tmp_path)
    target = tmp_path / "target"
    target.write_bytes(path.read_bytes())
    makers: list[Callable[[], None]] = [lambda: path.symlink_to(target), path.mkdir, lambda: os.mkfifo(path)]
    for make in makers:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        make()
        assert code_of(tmp_path) == "session_unreadable"


def test_a_journal_without_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill the memory."""
    written(tmp_path)
    monkeypatch.setattr(session_journal, "MAX_JOURNAL_BYTES", 10)
    assert code_of(tmp_path) == "session_unreadable"


@pytest.mark.parametrize("short", [True, False])
def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: bool) -> None:
    """Written in part or not at all: nothing of it counts, and the journal says so and closes."""
    journal = opened(tmp_path)
    journal.append(*TURN)
    size, write = journal.path.stat().st_size, os.write

    def full(fd: int, data: bytes) -> int:
        if short:
            return write(fd, data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError) as caught:
        journal.append(PromptGiven("more", "m"))
    monkeypatch.undo()
    assert caught.value.code == "session_unwritable"
    assert journal.path.stat().st_size == size
    opened(tmp_path).close()


def test_projects_do_not_share_sessions(tmp_path: Path) -> None:
    """Each project has a folder of its own, the same for every way to its path."""
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert sessions_folder(tmp_path, tmp_path / "a") == sessions_folder(tmp_path, tmp_path / "link")
    assert sessions_folder(tmp_path, tmp_path / "a") != sessions_folder(tmp_path, tmp_path)


WRITER = """
import sys
from pathlib import Path
from codex_oss.agent.journal import PromptGiven, SessionBegan, TurnClosed
from codex_oss.services.session_journal import SessionJournal
journal = SessionJournal(Path(sys.argv[1]) / "sessions" / "p", "s")
journal.append(*([] if journal.conversation.session_id else [SessionBegan("s", 1)]))
if journal.conversation.turn_open:
    journal.append(TurnClosed("failed"))
print("ready", flush=True)
for number in range(10**9):
    journal.append(PromptGiven("x" * 3000, "m"))
    print(number, flush=True)
    journal.append(TurnClosed("done"))
"""


def test_a_writer_killed_at_any_moment(tmp_path: Path) -> None:
    """What it said was kept is there, and the next one goes on from it."""
    kept = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            for _ in range(5):
                writer.stdout.readline()
                kept += 1
            os.kill(writer.pid, signal.SIGKILL)
            kept += len(writer.stdout.read().splitlines())
        journal = opened(tmp_path)
        assert journal.conversation.turns >= kept
        kept = journal.conversation.turns
        journal.close()
