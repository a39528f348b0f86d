"""`codex-oss requests`: the table, JSON lines, filters, following, and an empty log that explains itself."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from codex_oss.services.request_record import AttemptNote, CacheNote, RequestRecord, Timings, Tokens, encode_record
from tests.fakes.bridge_process import running_bridge
from tests.fakes.chat_upstream import ChatUpstream, text

LOG = ".codex-oss/state/requests.jsonl"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "codex_oss", "requests", *arguments]


def environment(project: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(project.parent), "TZ": "UTC"}


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(project), cwd=project, timeout=60
    )


def record(number: int, *, ago_s: float = 0, **more: Any) -> RequestRecord:
    at = datetime(2026, 11, 21, 10, number, tzinfo=UTC) if not ago_s else datetime.now(UTC) - timedelta(seconds=ago_s)
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields: dict[str, Any] = {
        "outcome": "completed",
        "surface": "responses",
        "model": "ocg-kimi-k2.6",
        "profile": "kimi",
        "session": f"ses_{number}",
        "client": "codex_exec/0.169.0",
        "tokens": Tokens(1200, 900, None, 40, 0),
        "timings": Timings(0.0, 0.31, 2.5),
        **more,
    }
    return RequestRecord(time=time, request_id=f"req_{number}", **fields)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project without a bridge."""
    folder = tmp_path / "project"
    (folder / LOG).parent.mkdir(parents=True)
    return folder


def write(project: Path, *records: RequestRecord) -> None:
    (project / LOG).write_bytes(b"".join(map(encode_record, records)))


def test_the_table_is_aligned_and_tells_what_is_odd(project: Path) -> None:
    """One line a request, oldest first, without colours where nobody sees them."""
    write(
        project,
        record(1),
        record(2, outcome="failed", error_code="upstream_error", tries=3, model="ocg-glm", tokens=Tokens()),
        record(3, profile="spare", deviation=True, reason="fallback_upstream_unavailable"),
        record(4, cache=CacheNote("bad", "tools_changed", True), tokens=Tokens(10, None, None, 5, estimated=True)),
        record(
            5,
            tries=2,
            attempts=(AttemptNote("1|a@x.y|plus", "", "used_up"), AttemptNote("2|b@x.y|plus", "", "answered")),
        ),
    )
    done = run(project)
    assert done.returncode == 0
    rows = done.stdout.splitlines()
    assert rows[0].split()[:4] == ["time", "outcome", "model", "input"]
    assert rows[1] == (
        "10:01:00 completed  ocg-kimi-k2.6                1200    75%      40  0.31 s   2.50 s "
        "ses_1      codex_exec/0.169.0"
    )
    assert rows[2].endswith("upstream_error, 3 attempts")
    assert rows[3].endswith("answered by spare (fallback_upstream_unavailable)")
    assert rows[4].endswith("cache: tools_changed")
    assert rows[5].endswith("by b@x.y, 2 attempts")
    assert "~10" in rows[4]
    assert "\x1b" not in done.stdout


def test_json_is_the_records_one_a_line(project: Path) -> None:
    """Torn and foreign lines are passed over; a deviation is told."""
    write(project, record(1), record(2, deviation=True, reason="fallback_rate_limited"))
    with (project / LOG).open("ab") as file:
        file.write(b'{"other": 1}\n' + encode_record(record(3))[:40])
    lines = [json.loads(line) for line in run(project, "--json").stdout.splitlines()]
    assert [(line["request_id"], line["deviation"]) for line in lines] == [("req_1", False), ("req_2", True)]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("-n", "2"), [4, 5]),
        (("--outcome", "failed"), [2]),
        (("--outcome", "failed", "--outcome", "refused"), [2, 3]),
        (("--model", "ocg-glm"), [2]),
        (("--model", "kimi"), [1, 3, 4, 5]),
        (("--session", "ses_4"), [4]),
        (("--session", "t-5"), [5]),
        (("--since", "2026-11-21T10:04:00+00:00"), [4, 5]),
        (("--since", "2026-11-21T10:04"), [4, 5]),
    ],
)
def test_filters(arguments: tuple[str, ...], found: list[int], project: Path) -> None:
    """By number, outcome, model, session or thread, and time."""
    write(
        project,
        record(1),
        record(2, outcome="failed", model="ocg-glm", profile="glm"),
        record(3, outcome="refused"),
        record(4),
        record(5, thread="t-5"),
    )
    lines = run(project, *arguments, "--json").stdout.splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == [f"req_{number}" for number in found]


def test_since_an_age(project: Path) -> None:
    """`10m` is the last ten minutes; nonsense is asked wrongly."""
    write(project, record(1, ago_s=4000), record(2, ago_s=60))
    lines = run(project, "--since", "10m", "--json").stdout.splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == ["req_2"]
    wrong = run(project, "--since", "yesterday")
    assert wrong.returncode == 2
    assert "is no time" in wrong.stderr


def test_nothing_is_explained(project: Path) -> None:
    """No log, an empty one, and a filter that nothing fits are three sentences, none of them an error."""
    assert run(project).stdout.startswith("No request yet:")
    write(project)
    assert run(project).stdout == "The request log is empty.\n"
    write(project, record(1))
    assert run(project, "--model", "none").stdout == "No request fits.\n"
    (project / LOG).unlink()
    empty = run(project, "--json")
    assert (empty.returncode, empty.stdout) == (0, "")


def test_what_cannot_be_read_is_one_sentence(project: Path) -> None:
    """A folder in its place is an error with the path, not a traceback."""
    (project / LOG).mkdir()
    done = run(project)
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_colours_on_a_terminal_only(project: Path) -> None:
    """A failed line is red where a person looks; hostile texts bring no colours of their own."""
    write(project, record(1, outcome="failed", model="\x1b[2Jocg", session="\u202eses", client="a\tb\nc"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(), stdout=theirs, env=environment(project), cwd=project)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    process.wait(20)
    os.close(ours)
    rows = shown.decode().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("\x1b[31m")
    assert rows[1].count("\x1b") == 2
    assert "\u202e" not in rows[1]


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def test_a_closed_pipe_is_an_ordinary_end(project: Path) -> None:
    """`codex-oss requests | head -1` says nothing on stderr."""
    write(project, *(record(number % 60) for number in range(3000)))
    shell = f"{sys.executable} -m codex_oss requests -n 3000 --json | head -1"
    done = subprocess.run(
        shell, shell=True, capture_output=True, text=True, env=environment(project), cwd=project, timeout=60
    )
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def test_following_a_running_bridge(tmp_path: Path) -> None:
    """A request shows up while it is followed; Ctrl-C ends it."""
    with (
        ChatUpstream(lambda _: text("hi")) as fake,
        running_bridge(tmp_path / "project", upstream=fake.base_url) as bridge,
    ):
        process = subprocess.Popen(
            command("--follow", "--json"),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(bridge.project),
            cwd=bridge.project,
        )
        assert process.stdout is not None
        found = _first_line_while(process, lambda: bridge.post({"model": "ocg-kimi-k2.6", "input": "x"}))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        process.stdout.close()
    assert found["outcome"] == "completed"


def _first_line_while(process: subprocess.Popen[str], act: Callable[[], object]) -> dict[str, Any]:
    """The first line that a process prints, *act* being done again until there is one: it may start slowly."""
    import select

    assert process.stdout is not None
    for _ in range(60):
        act()
        if select.select([process.stdout], [], [], 0.5)[0]:
            break
    value: dict[str, Any] = json.loads(process.stdout.readline())
    return value


def test_status_tells_where_and_how(tmp_path: Path) -> None:
    """`status --json` proves source and project, and names store, log, load and cache; a person sees the same."""
    with running_bridge(tmp_path / "project") as bridge:
        base = [sys.executable, "-m", "codex_oss", "status"]
        arguments = {"capture_output": True, "text": True, "env": environment(bridge.project), "cwd": bridge.project}
        facts = json.loads(subprocess.run([*base, "--json"], timeout=60, check=True, **arguments).stdout)  # type: ignore[call-overload]
        shown = subprocess.run(base, timeout=60, check=True, **arguments).stdout  # type: ignore[call-overload]
    assert facts["bridge"] == {
        "source_hash": facts["source_hash"],
        "installed_source_hash": facts["source_hash"],
        "fresh": True,
    }
    assert facts["runtime"]["identity"]["pid"] == bridge.process.pid
    assert facts["runtime"]["identity"]["project_root"] == str(bridge.project)
    assert facts["runtime"]["identity"]["proven"] is True
    assert facts["request_log"]["path"] == str(bridge.project / LOG)
    assert facts["state_db"]["path"].endswith("responses.sqlite3")
    assert (facts["in_flight"], facts["capacity"]) == (0, {"max_total": 5, "under_way": {}, "waiting": []})
    assert facts["prompt_cache"] == {"models": {}, "warnings_total": 0, "warnings": []}
    for words in ("load     0 turns under way, 0 waiting; 0 of 5 upstream slots", LOG, "responses.sqlite3", "cache"):
        assert words in shown
