"""How far a mission is, as a person sees it: on a real pseudo-terminal, in a pipe, and not at all."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.cli.mission_progress import CLEAR_LINE, choose_mode, describe_progress, fitted
from codex_oss.missions.record import evolve, new_record
from tests.cli.test_missions import HANDOFF, READ, REPORT, project, run_cli
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, action
from tests.fakes.mission_script import Play, call, mission, report

__all__ = ["project"]


def on_terminal(
    folder: Path, *arguments: str, upstream: str, columns: int = 100, term: str = "xterm"
) -> tuple[int, str]:
    """Run one of our verbs with stderr on a terminal of this width; exit status and all that was written to it."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent / "home"),
        "UPSTREAM_BASE": upstream,
        "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
        "TERM": term,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "codex_oss", *arguments],
        cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=follower,
    ) as child:  # fmt: skip
        os.close(follower)
        assert child.stdin is not None
        assert child.stdout is not None
        drain = threading.Thread(target=child.stdout.read)
        drain.start()
        child.stdin.write(json.dumps(HANDOFF).encode())
        child.stdin.close()
        seen = b""
        while select.select([leader], [], [], 30)[0]:
            try:
                seen += os.read(leader, 65536)
            except OSError:
                break  # the last one who had it open is gone
        drain.join(10)
    os.close(leader)
    return child.wait(10), seen.decode()


def slow(request: Request) -> Answer:
    """A model that thinks for a moment before it reports: the clock at the bottom ticks meanwhile."""
    if len(request.messages) < 3:
        return action(READ)
    return Answer((Hold("report"), *action(REPORT).steps))


def drawn(seen: str) -> list[str]:
    """Every state of the line at the bottom."""
    return [part for part in re.split(r"\r\x1b\[K|\r?\n", seen) if part.startswith("[")]


def test_a_terminal_has_one_line_that_is_written_over(project: Path) -> None:
    """Phase, budget, coverage, last action, never wider than the terminal; it ticks, and is gone at the end."""
    with ChatUpstream(slow) as up:
        timer = threading.Timer(2.5, up.release, ("report",))
        timer.start()
        code, seen = on_terminal(project, "mission", "run", "-", upstream=up.base_url, columns=110)
        timer.cancel()
    assert code == 0
    lines = drawn(seen)
    assert any(
        re.match(r"\[asking the model\] tools 1/\d+, time [1-9]\d*/\d+ s, questions 2/\d+", line) for line in lines
    )
    assert any("last: Read app/retry.py" in line for line in lines)
    assert len({re.search(r"time (\d+)/", line)[1] for line in lines if "time " in line}) >= 2  # type: ignore[index]
    assert all(len(line) < 110 for line in lines)
    assert seen.endswith(CLEAR_LINE)
    remarks = [line for line in re.split(r"\r\x1b\[K|\r?\n", seen) if line.startswith("· ")]
    assert remarks[0].startswith("· Mission m_cli")
    assert remarks[-1].startswith("· COMPLETE")


@pytest.mark.parametrize("columns", [20, 8])
def test_a_narrow_terminal_cuts_the_line(project: Path, columns: int) -> None:
    """A line that wraps could not be written over."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        code, seen = on_terminal(project, "mission", "run", "-", upstream=up.base_url, columns=columns)
    assert (code, max(map(len, drawn(seen))) < columns) == (0, True)


@pytest.mark.parametrize("verb", ["run", "watch"])
def test_a_pipe_gets_lines(project: Path, verb: str) -> None:
    """No control characters; a line whenever a question goes out or a tool begins, and one at the end."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        done = run_cli(project, "mission", "run", "-", upstream=up.base_url, stdin=json.dumps(HANDOFF))
    if verb == "watch":
        done = run_cli(project, "mission", "watch", "m_cli")
    assert (done.returncode, "\x1b" in done.stderr, "\r" in done.stderr) == (0, False, False)
    lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("  [")]
    assert lines[-1].startswith("[ended] tools 1/")
    assert any("tools 1/" in line and "questions 1/" in line for line in lines) or verb == "watch"
    assert len(lines) == len(set(lines))


def test_a_dumb_terminal_gets_lines_too(project: Path) -> None:
    """TERM=dumb cannot go back in a line."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        code, seen = on_terminal(project, "mission", "run", "-", upstream=up.base_url, term="dumb")
    assert (code, "\x1b" in seen, "  [ended]" in seen) == (0, False, True)


@pytest.mark.parametrize("options", [["--quiet"], ["-q"], ["--json"]])
@pytest.mark.parametrize("verb", ["run", "watch"])
def test_quiet_is_quiet(project: Path, verb: str, options: list[str]) -> None:
    """Nothing on stderr; stdout and the exit status are as always."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        more = options if verb == "run" else []
        done = run_cli(project, "mission", "run", "-", *more, upstream=up.base_url, stdin=json.dumps(HANDOFF))
    if verb == "watch":
        done = run_cli(project, "mission", "watch", "m_cli", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "COMPLETE" in done.stdout


def test_a_refused_mission_is_said_at_once(project: Path) -> None:
    """There is no run to show; nobody waits for one."""
    done = run_cli(project, "mission", "run", "-", "--model", "mission-a2-kimi", stdin=json.dumps(HANDOFF))
    assert (done.returncode, "tier_alias_mismatch" in done.stderr, "· " in done.stderr) == (2, True, False)


@given(st.text(max_size=200), st.integers(0, 120))
def test_a_line_fits(line: str, columns: int) -> None:
    """What is left is a beginning of the line, and not longer than its width."""
    cut = fitted(line, columns)
    assert line.startswith(cut)
    assert len(cut) <= columns
    assert fitted("界" * 50, columns) == "界" * min(50, columns // 2)


def test_every_step_of_a_mission_has_its_words() -> None:
    """At each prefix of a log there is a line, and the last action is the one that was proposed last."""
    answers = [call("rtk_grep", pattern="MAX", path="app"), call("rtk_read", path="app/retry.py")]
    answers += ["nonsense", report(status="PARTIAL")]
    played = Play(mission(must_inspect=["app/retry.py"]), answers)
    played.run()
    record, lines = new_record("run_1", "m_test"), []
    for recorded in played.events:
        evolve(record, recorded)
        lines.append(describe_progress(record, played.now_ms / 1000))
    assert lines[-1].startswith("[ended]")
    for part in (
        "required 1/1",
        "last: Search 'MAX' in app",
        "last: an answer that is no action",
        "last: Report",
    ):
        assert any(part in line for line in lines), part


def test_what_is_no_terminal_is_not_written_over() -> None:
    """The mode is chosen by the stream and by TERM."""
    assert choose_mode(quiet=True, stream=sys.stderr, environ={}) == "quiet"
    assert choose_mode(quiet=False, stream=io.StringIO(), environ={"TERM": "xterm"}) == "lines"
