"""`codex-oss run` as a real process against a scripted model: what it prints, what it does, how it is resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.chat_upstream import (
    ChatUpstream,
    Request,
    text,
    tool_call,
)

MODEL = "ocg-kimi-k2.6"
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with a secret in one file."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (folder / "app/retry.py").write_text("import time\n\nMAX_RETRIES = 5\n")
    (folder / "app/keys.py").write_text(f"NAME = 'x'\nTOKEN = '{SECRET}'\nEND = 1\n")
    (folder / ".env").write_text(f"KEY={SECRET}\n")
    return folder


def environ(project: Path, upstream: ChatUpstream | None, **more: str) -> dict[str, str]:
    """A clean environment; the upstream key is synthetic."""
    named = {
        "PATH": os.environ["PATH"],
        "HOME": str(project.parent / "home"),
        "UPSTREAM_BASE": upstream.base_url if upstream else "http://127.0.0.1:9/v1",
        "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
        "UPSTREAM_RETRIES": "0",
        **more,
    }
    inherited = {name: os.environ[name] for name in os.environ if name.startswith(("COVERAGE", "CODEX_OSS_TEST"))}
    return {**inherited, **{name: value for name, value in named.items() if value}}


def run(
    project: Path, upstream: ChatUpstream | None, *arguments: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the verb to its end, with pipes everywhere."""
    return subprocess.run(
        [sys.executable, "-m", "codex_oss", "run", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environ(project, upstream, **more),
        cwd=project,
        timeout=60,
    )


def session_of(done: subprocess.CompletedProcess[str]) -> str:
    """The session id that stderr ends with."""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("session: ")
    return last.removeprefix("session: ")


def events_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The events of `--json`."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def told_by_tools(request: Request) -> list[str]:
    """What the model read as results of its calls."""
    return [str(message["content"]) for message in request.messages if message["role"] == "tool"]


def test_text_goes_to_stdout_and_everything_else_to_stderr(project: Path) -> None:
    """A plain answer is all that stands on stdout; the session id is the last line of stderr."""
    with ChatUpstream([text("Hello there.")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "Say hello")
    assert (done.returncode, done.stdout) == (0, "Hello there.\n")
    assert session_of(done)
    assert (project / ".codex-oss/.gitignore").read_text().startswith("# Written by codex-oss")


def test_a_project_that_takes_no_record_is_served_all_the_same(project: Path) -> None:
    """Where the request log has no place the turn still runs."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/state").write_text("in the way")
    with ChatUpstream([text("Hello.")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "Say hello")
    assert (done.returncode, done.stdout) == (0, "Hello.\n"), done.stderr


def test_a_task_with_a_tool_call_and_a_later_turn(project: Path) -> None:
    """The model reads a file, answers, and in a resumed turn still has all of it before it."""
    script = [tool_call("read_file", {"path": "app/retry.py"}), text("It is 5."), text("Still 5.")]
    with ChatUpstream(script) as upstream:
        first = run(project, upstream, "-m", MODEL, "How often?")
        assert (first.returncode, first.stdout) == (0, "It is 5.\n")
        assert "MAX_RETRIES = 5" in told_by_tools(upstream.requests[1])[0]
        second = run(project, upstream, "--session", session_of(first), "And now?")
        assert (second.returncode, second.stdout) == (0, "Still 5.\n")
        roles = [message["role"] for message in upstream.requests[2].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert session_of(second) == session_of(first)


def test_an_edit_with_yes_is_done_and_shown(project: Path) -> None:
    """With --yes the file changes, the diff stands on stderr, and the model is told."""
    edit = {"path": "app/retry.py", "old_text": "MAX_RETRIES = 5", "new_text": "MAX_RETRIES = 7"}
    with ChatUpstream([tool_call("edit_file", edit), text("Done.")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "--yes", "Seven, please")
        assert "Done: edit app/retry.py (+1 -1)" in told_by_tools(upstream.requests[1])[0]
    assert (project / "app/retry.py").read_text() == "import time\n\nMAX_RETRIES = 7\n"
    assert "-MAX_RETRIES = 5\n+MAX_RETRIES = 7\n" in done.stderr
    assert done.stdout == "Done.\n"


def test_without_a_terminal_an_edit_is_refused_and_not_waited_for(project: Path) -> None:
    """Nobody can be asked: the file stays, the model and the person are told why."""
    edit = {"path": "app/retry.py", "old_text": "5", "new_text": "7"}
    with ChatUpstream([tool_call("edit_file", edit), text("I could not.")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "Seven, please")
        assert "nobody_to_ask" in told_by_tools(upstream.requests[1])[0]
    assert "MAX_RETRIES = 5" in (project / "app/retry.py").read_text()
    assert "[nobody_to_ask]" in done.stderr


def test_json_prints_events_and_ends_with_the_outcome(project: Path) -> None:
    """Every line of stdout is an event; the last one says how the turn ended and which session it was."""
    with ChatUpstream([tool_call("list_files", {}), text("Two folders.")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "--json", "What is here?")
    events = events_of(done)
    assert [event["type"] for event in events if event["type"] not in ("usage", "text")] == [
        "turn_began", "tool_proposed", "tool_approved", "tool_finished", "text_ended", "turn_ended",
    ]  # fmt: skip
    assert events[-1]["outcome"] == "done"
    assert events[-1]["session_id"] == events[0]["session_id"] == session_of(done)
    assert "".join(event["text"] for event in events if event["type"] == "text") == "Two folders."


def test_a_command_runs_in_the_sandbox(project: Path) -> None:
    """A command sees the project, writes there, and its output reaches the model without secrets."""
    command = "cat app/keys.py; echo made > made.txt; echo no > ../home/out.txt"
    with ChatUpstream([tool_call("shell", {"command": command}), text("Ran.")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "--yes", "Go")
        output = told_by_tools(upstream.requests[1])[0]
    assert done.returncode == 0, done.stderr
    assert "NAME = 'x'" in output
    assert SECRET not in output + done.stderr
    assert (project / "made.txt").read_text() == "made\n"
    assert not (project.parent / "home/out.txt").exists()
