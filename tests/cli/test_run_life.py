"""`codex-oss run` under signals, kills and a terminal: it ends cleanly, asks where somebody is, and can be resumed."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_run import MODEL, environ, events_of, project, run, session_of, told_by_tools
from tests.fakes.chat_upstream import ChatUpstream, held, text, tool_call

__all__ = ["project"]
EDIT = {"path": "app/retry.py", "old_text": "MAX_RETRIES = 5", "new_text": "MAX_RETRIES = 7"}


@contextmanager
def started(project: Path, upstream: ChatUpstream, *arguments: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A run under way; killed at the end if it still is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_oss", "run", "-m", MODEL, *arguments],
        cwd=project,
        env=environ(project, upstream),
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def read_until(fd: int, wanted: bytes, timeout_s: float = 30) -> bytes:
    """What comes from *fd*, up to and including *wanted*."""
    seen, ends_at = b"", time.monotonic() + timeout_s
    while wanted not in seen:
        left = ends_at - time.monotonic()
        assert left > 0, seen
        if select.select([fd], [], [], left)[0]:
            chunk = os.read(fd, 4096)
            assert chunk, seen
            seen += chunk
    return seen


def running(argument: str) -> list[int]:
    """Processes of this machine with this word among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if argument.encode() in words:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_stream(project: Path, number: signal.Signals) -> None:
    """Exit 1, the upstream let go, what was said kept, the session resumable."""
    with ChatUpstream([held(text("Begin and end", pieces=2), "end", after=2), text("On.")]) as upstream:
        with started(project, upstream, "--session", "s1", "hi") as process:
            assert process.stdout is not None
            read_until(process.stdout.fileno(), b"Begin")
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert out.endswith(b"\n")
        assert b"[cancelled]" in err
        assert b"Traceback" not in err
        assert err.rstrip().endswith(b"session: s1")
        assert upstream.requests[0].client_left.wait(5)
        done = run(project, upstream, "--session", "s1", "on")
        assert (done.returncode, done.stdout) == (0, "On.\n"), done.stderr


def test_a_signal_within_a_command_ends_the_command(project: Path) -> None:
    """Nothing of it runs on, and the model is told later that its outcome is not known."""
    command = "sleep 47.251 & sleep 47.251"
    with ChatUpstream([tool_call("shell", {"command": command}), text("I see.")]) as upstream:
        with started(project, upstream, "--yes", "--session", "s1", "hi") as process:
            assert process.stderr is not None
            ends_at = time.monotonic() + 30
            while len(running("47.251")) < 2:
                assert time.monotonic() < ends_at
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        assert process.returncode == 1
        ends_at = time.monotonic() + 10
        while running("47.251"):
            assert time.monotonic() < ends_at
            time.sleep(0.02)
        done = run(project, upstream, "--session", "s1", "What came of it?")
        assert (done.returncode, done.stdout) == (0, "I see.\n"), done.stderr
        assert told_by_tools(upstream.requests[1])[0].startswith("The turn was cut off while this was under way.")


def test_killed_within_a_command_and_resumed(project: Path) -> None:
    """kill -9: nothing runs on, the next run closes the call honestly, says so, and goes on."""
    command = "echo begun > mark; sleep 48.252"
    script = [tool_call("shell", {"command": command}, call_id="c1"), text("I see.")]
    with ChatUpstream(script) as upstream:
        with started(project, upstream, "--yes", "--session", "s1", "hi") as process:
            ends_at = time.monotonic() + 30
            while not (project / "mark").exists() or not running("48.252"):
                assert time.monotonic() < ends_at
                time.sleep(0.02)
            process.kill()
            process.communicate(timeout=10)
        ends_at = time.monotonic() + 10
        while running("48.252"):
            assert time.monotonic() < ends_at
            time.sleep(0.02)
        done = run(project, upstream, "--session", "s1", "What came of it?")
        assert (done.returncode, done.stdout) == (0, "I see.\n"), done.stderr
        assert "note: The last turn was cut off" in done.stderr
        messages = upstream.requests[1].messages
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "user"]
    assert "is not known" in messages[3]["content"]


def test_killed_at_many_moments_it_always_goes_on(project: Path) -> None:
    """Whenever it dies, the session opens again and no request has a call without an outcome."""
    edits = [tool_call("create_file", {"path": f"n{at}.txt", "content": "x"}, call_id=f"c{at}") for at in range(40)]
    with ChatUpstream([*edits, text("end")]) as upstream:
        for moment in (0.3, 0.45, 0.6, 0.7):
            with started(project, upstream, "--yes", "--session", "s1", "go on") as process:
                time.sleep(moment)
                process.kill()
                process.communicate(timeout=10)
        done = run(project, upstream, "-m", MODEL, "--session", "s1", "--yes", "--max-steps", "2", "last")
        assert "session: s1" in done.stderr
        assert "Traceback" not in done.stderr
        for request in upstream.requests:
            calls = [call["id"] for message in request.messages for call in message.get("tool_calls") or ()]
            answered = [message["tool_call_id"] for message in request.messages if message["role"] == "tool"]
            assert calls == answered


def test_a_second_signal_ends_it_at_once(project: Path) -> None:
    """Also while nobody reads stdout and nothing can be said there."""
    with (
        ChatUpstream([text("x" * 2_000_000, pieces=40)]) as upstream,
        started(project, upstream, "hi", stderr=subprocess.DEVNULL) as process,
    ):
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0]
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 1


def test_an_ignored_signal_stays_ignored(project: Path) -> None:
    """Under `nohup` a terminal that closes ends nothing."""
    with ChatUpstream([held(text("Begin and end", pieces=2), "end", after=2)]) as upstream:
        ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
        with started(project, upstream, "hi", **ignoring) as process:
            assert process.stdout is not None
            read_until(process.stdout.fileno(), b"Begin")
            process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            upstream.release("end")
            out, _ = process.communicate(timeout=20)
    assert (process.returncode, out.endswith(b"end\n")) == (0, True)


def test_two_runs_of_one_session(project: Path) -> None:
    """The second is refused in one sentence while the first works; the first is not disturbed."""
    with ChatUpstream([held(text("Begin and end", pieces=2), "end", after=2), text("no")]) as upstream:
        with started(project, upstream, "--session", "s1", "hi") as first:
            assert first.stdout is not None
            read_until(first.stdout.fileno(), b"Begin")
            second = run(project, upstream, "-m", MODEL, "--session", "s1", "me too")
            upstream.release("end")
            out, _ = first.communicate(timeout=20)
        assert (second.returncode, second.stdout) == (1, "")
        assert "[session_busy]" in second.stderr
        assert first.returncode == 0
        assert out.endswith(b"end\n")
        assert len(upstream.requests) == 1


def test_a_reader_that_leaves_ends_the_turn(project: Path) -> None:
    """Exit 1 without a traceback, and the upstream is let go."""
    with ChatUpstream([held(text("Begin and end", pieces=2), "end", after=2)]) as upstream:
        with started(project, upstream, "hi") as process:
            assert process.stdout is not None
            read_until(process.stdout.fileno(), b"Begin")
            process.stdout.close()
            process.stdout = None
            upstream.release("end")
            _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert b"Traceback" not in err
        assert b"Exception ignored" not in err
        assert b"session: " in err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_disk_that_is_full(project: Path, options: list[str]) -> None:
    """What cannot be written to stdout is one sentence and exit 1, never a traceback; the session stays."""
    with ChatUpstream([text("Begin and end"), text("on")]) as upstream, open("/dev/full", "w") as full:
        with started(project, upstream, *options, "--session", "s1", "hi", stdout=full) as process:
            _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert b"[stdout_failed]" in err
        assert b"Traceback" not in err
        assert b"Exception ignored" not in err
        assert run(project, upstream, "--session", "s1", "on").returncode == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_not_there(project: Path, closed: str) -> None:
    """Started without stdin, stdout or stderr it does what it can, and says nothing it cannot."""
    with ChatUpstream([text("Begin")]) as upstream:
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" -m codex_oss run -m {MODEL} hi {closed}', sys.executable],
            capture_output=True,
            env=environ(project, upstream),
            cwd=project,
            timeout=30,
        )
    assert done.returncode == (1 if ">&-" in closed.replace("2>&-", "") else 0)
    assert b"Traceback" not in done.stderr
    assert done.stdout == (b"" if done.returncode else b"Begin\n")


def test_a_terminal_that_knows_fewer_characters(project: Path) -> None:
    """What it cannot show is replaced; nothing fails."""
    with ChatUpstream([text("na\u00efve \u4f60\u597d")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "hi", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "na?ve ??\n")


def on_terminal(project: Path, upstream: ChatUpstream, typed: bytes, *arguments: str) -> tuple[int, bytes, bytes]:
    """Run with stdin and stderr on a terminal; *typed* is the answer. Exit code, stdout, what the terminal showed."""
    ours, theirs = pty.openpty()
    try:
        with started(project, upstream, *arguments, stdin=theirs, stderr=theirs) as process:
            shown = read_until(ours, b"[y/N] ")
            if typed == b"^C":
                process.send_signal(signal.SIGINT)
            else:
                os.write(ours, typed)
            shown += read_until(ours, b"session: ")
            assert process.stdout is not None
            out = process.stdout.read()
            process.wait(timeout=20)
        return process.returncode, out, shown
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("typed", "content"), [(b"y\n", "7"), (b"n\n", "5"), (b"\n", "5"), (b"\x04", "5"), (b"yes\n", "7")]
)
def test_a_person_is_asked_at_a_terminal(project: Path, typed: bytes, content: str) -> None:
    """The diff is shown before the question; only a yes is a yes, the end of input is none."""
    with ChatUpstream([tool_call("edit_file", EDIT), text("Fine.")]) as upstream:
        code, out, shown = on_terminal(project, upstream, typed, "Seven")
    assert (code, out) == (0, b"Fine.\n")
    assert shown.index(b"+MAX_RETRIES = 7") < shown.index(b"Do it? [y/N] ")
    assert f"MAX_RETRIES = {content}" in (project / "app/retry.py").read_text()


def test_ctrl_c_at_the_question(project: Path) -> None:
    """It declines nothing and approves nothing: the turn is cancelled, the file stays."""
    with ChatUpstream([tool_call("edit_file", EDIT)]) as upstream:
        code, out, shown = on_terminal(project, upstream, b"^C", "Seven")
    assert (code, out) == (1, b"")
    assert b"[cancelled]" in shown
    assert "MAX_RETRIES = 5" in (project / "app/retry.py").read_text()


def test_what_was_typed_before_the_question_approves_nothing(project: Path) -> None:
    """Lines that wait on the terminal are thrown away, so that the answer is one to what was shown."""
    ours, theirs = pty.openpty()
    try:
        with (
            ChatUpstream([held(tool_call("edit_file", EDIT), "go", after=1), text("Fine.")]) as upstream,
            started(project, upstream, "Seven", stdin=theirs, stderr=theirs) as process,
        ):
            upstream.wait_for_requests(1)
            os.write(ours, b"y\ny\n")
            upstream.release("go")
            read_until(ours, b"[y/N] ")
            time.sleep(0.3)
            assert process.poll() is None
            os.write(ours, b"n\n")
            read_until(ours, b"session: ")
            process.wait(timeout=20)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "MAX_RETRIES = 5" in (project / "app/retry.py").read_text()


def test_a_prompt_on_a_terminal_that_is_not_stdin(project: Path) -> None:
    """With the prompt on stdin nobody can be asked, even where stderr is a terminal."""
    with ChatUpstream([tool_call("edit_file", EDIT), text("Fine.")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "-", stdin="Seven, please")
        assert upstream.requests[0].messages[-1]["content"] == "Seven, please"
    assert "[nobody_to_ask]" in done.stderr


def test_json_stays_json_when_it_is_cancelled(project: Path) -> None:
    """Every line of stdout parses, and the last one is the end with its outcome."""
    with (
        ChatUpstream([held(text("Begin and end", pieces=2), "end", after=2)]) as upstream,
        started(project, upstream, "--json", "hi") as process,
    ):
        assert process.stdout is not None
        seen = read_until(process.stdout.fileno(), b"Begin")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    events = [json.loads(line) for line in (seen + out).splitlines()]
    assert (events[-1]["type"], events[-1]["outcome"]) == ("turn_ended", "cancelled")


def test_a_session_of_another_project_is_another_session(project: Path) -> None:
    """The same id elsewhere begins anew."""
    other = project.parent / "other"
    other.mkdir()
    with ChatUpstream([text("a"), text("b")]) as upstream:
        run(project, upstream, "-m", MODEL, "--session", "s1", "hi")
        done = run(project, upstream, "-m", MODEL, "--session", "s1", "--project", str(other), "--json", "hi")
        assert len(upstream.requests[1].messages) == 2
    assert events_of(done)[0]["resumed"] is False
    assert session_of(done) == "s1"
