"""A child that tells its address: ready, wrong, silent, dead, absent; and always ended."""

from __future__ import annotations

import os
import select
import sys

import pytest

from codex_oss.services.child_process import ChildFailed, run_child
from codex_oss.services.local_model_server import engine_threads


def python(program: str) -> list[str]:
    """A command that runs this program."""
    return [sys.executable, "-c", program]


def test_a_ready_child_is_ended_with_the_block() -> None:
    """Its address is what it told, cut in two writes or not, and the process is gone afterwards."""
    program = (
        "import sys, time\nkey = sys.stdin.readline().strip()\n"
        "print('listening on http://127', end='', flush=True)\nprint('.0.0.1:9/' + key, flush=True)\nsys.stdin.read()\n"
    )
    with run_child(python(program), start_timeout_s=20, first_line=b"secret\n") as child:
        assert child.address == "http://127.0.0.1:9/secret"
        watch = os.pidfd_open(child.pid)
    try:
        assert select.select([watch], [], [], 0)[0]
    finally:
        os.close(watch)


def test_a_child_that_ignores_every_hint_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """End of file and SIGTERM are asked for first; SIGKILL is not asked."""
    monkeypatch.setattr("codex_oss.services.child_process.STOP_TIMEOUT_S", 0.3)
    program = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('listening on x', flush=True)\nwhile True: time.sleep(60)\n"
    )
    with run_child(python(program), start_timeout_s=20) as child:
        watch = os.pidfd_open(child.pid)
    try:
        assert select.select([watch], [], [], 0)[0]
    finally:
        os.close(watch)


@pytest.mark.parametrize(
    ("command", "timeout_s", "told"),
    [
        (python("print('hello', flush=True); input()"), 20, "said 'hello' instead of its address"),
        (
            python("import sys; sys.exit('the port is taken')"),
            20,
            "ended before it was ready; its last words: the port",
        ),
        (python("input()"), 0.2, "did not get ready in time"),
        (["/nonexistent/program"], 20, "could not be started: No such file or directory"),
    ],
)
def test_a_child_that_does_not_get_ready_says_what_it_did(command: list[str], timeout_s: float, told: str) -> None:
    """The message tells what happened instead, with the child's last words."""
    with pytest.raises(ChildFailed, match=told), run_child(command, start_timeout_s=timeout_s):
        pytest.fail("it counted as ready")


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 4)])
def test_the_engine_leaves_half_the_cores_to_others(cores: int, threads: int) -> None:
    """A thread that shares its core would stop all others of the engine."""
    assert engine_threads(cores) == threads
