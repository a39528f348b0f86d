"""Marks of processes: the same as long as one runs, and never again afterwards."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from codex_oss.services.process_handle import mark_runs, process_mark


def test_a_mark_lives_as_long_as_its_process() -> None:
    """Also a zombie is gone: it will end no turn."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = process_mark(child.pid)
    assert mark == process_mark(child.pid) != process_mark(os.getpid())
    assert mark_runs(mark)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not mark_runs(mark)
    child.communicate()
    assert not mark_runs(mark)
    assert process_mark(child.pid) == ""


def test_another_process_of_the_same_number_is_another() -> None:
    """A pid that was given away, or a reboot, makes another mark."""
    boot, pid, start = process_mark(os.getpid()).split(":")
    assert mark_runs(f"{boot}:{pid}:{start}")
    assert not mark_runs(f"{boot}:{pid}:{int(start) + 1}")
    assert not mark_runs(f"{boot[::-1]}:{pid}:{start}")


@pytest.mark.parametrize("mark", ["", "a", "::", "a:b:c", "a:-1:c", f"a:{9**40}:c", "a:١:c", "pid 7", "a:1:2:3"])
def test_nonsense_runs_nowhere(mark: str) -> None:
    """Whatever a file holds."""
    assert not mark_runs(mark)
