"""A command inside a bridge of its own, met by signals; the bridge is a stand-in that tells its pid."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codex_oss.errors import Unavailable
from codex_oss.services.enclosed_command import NOT_FOUND, run_enclosed
from codex_oss.services.process_handle import ProcessHandle

READY = "print('listening on http://127.0.0.1:4000/v1', flush=True)"
SERVER = "import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); {}; time.sleep(60)"
CALLER = (
    "import sys; from codex_oss.services.enclosed_command import run_enclosed; "
    "sys.exit(run_enclosed({}, {}, local_key='k', environ={{}}))"
)
COMMAND = "import sys, time; print('CMD', file=sys.stderr, flush=True); time.sleep(60)"


@contextmanager
def enclosed(ready: str) -> Iterator[tuple[subprocess.Popen[str], ProcessHandle]]:
    """`run_enclosed` in a process of its own, and the handle of its stand-in bridge."""
    server = [sys.executable, "-c", SERVER.format(ready)]
    code = CALLER.format(server, [sys.executable, "-c", COMMAND])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stderr is not None
        bridge = ProcessHandle.open(int(caller.stderr.readline()))
        assert bridge is not None
        with bridge:
            try:
                yield caller, bridge
            finally:
                caller.kill()
                bridge.send(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_before_the_bridge_is_ready_ends_both(number: signal.Signals) -> None:
    """A signal while the bridge starts leaves no bridge behind, and the status names it."""
    with enclosed("pass") as (caller, bridge):
        caller.send_signal(number)
        assert caller.wait(10) == 128 + number
        assert bridge.wait_gone(5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_then_the_bridge_ends(number: signal.Signals) -> None:
    """A signal is passed to the command, whose end becomes our status and ends the bridge."""
    with enclosed(READY) as (caller, bridge):
        assert caller.stderr is not None
        assert caller.stderr.readline() == "CMD\n"
        caller.send_signal(number)
        assert caller.wait(10) == 128 + number
        assert bridge.wait_gone(5)


def test_a_command_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    """A command that cannot be found gives the status that a shell gives, and one sentence."""
    server = [sys.executable, "-c", f"{READY}; import time; time.sleep(60)"]
    assert run_enclosed(server, ["no-such-command"], local_key="k", environ={}) == NOT_FOUND
    assert capfd.readouterr().err == "error: no-such-command: command not found\n"


@pytest.mark.parametrize(
    ("server", "timeout_s", "message"),
    [
        ("raise SystemExit(3)", 20, "ended with status 3 before it was ready"),
        ("print('hello', flush=True)", 20, "first line was not its ready line"),
        ("import time; time.sleep(60)", 0.2, "did not get ready within 0.2 s"),
    ],
)
def test_a_bridge_that_does_not_get_ready(server: str, timeout_s: float, message: str, tmp_path: Path) -> None:
    """A bridge that ends, babbles or stays silent is reported, and the command is not run."""
    ran = tmp_path / "ran"
    with pytest.raises(Unavailable, match=message):
        run_enclosed(
            [sys.executable, "-c", server], ["touch", str(ran)], local_key="k", environ={}, ready_timeout_s=timeout_s
        )
    assert not ran.exists()
