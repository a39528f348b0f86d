"""When the serving process looks for garbage: not while a turn is open."""

from __future__ import annotations

import gc
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn

from codex_oss.server import process
from codex_oss.server.open_turns import OpenTurns
from codex_oss.server.process import IDLE_ROUNDS, BridgeServer

CALM = """
import gc
from codex_oss.server.process import OLD_ROUNDS, calm_collector
usual = gc.get_threshold()
calm_collector()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold() == (*usual[:2], OLD_ROUNDS)
assert OLD_ROUNDS > usual[2]
"""


def test_what_the_start_made_is_passed_over() -> None:
    """In a process of its own, since it cannot be taken back."""
    assert subprocess.run([sys.executable, "-c", CALM], check=False).returncode == 0


@pytest.mark.parametrize(("open_turns", "rounds", "collects"), [(0, 5, True), (0, 4, False), (1, 50, False)])
async def test_garbage_is_collected_while_nobody_waits(
    open_turns: int, rounds: int, collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only when there is some, and only without an open turn."""
    collected: list[bool] = []
    count = rounds * IDLE_ROUNDS // 5
    monkeypatch.setattr(
        process, "gc", SimpleNamespace(get_count=lambda: (0, count, 0), collect=lambda: collected.append(True))
    )
    turns = OpenTurns()
    for _ in range(open_turns):
        turns.add(cast("Any", object()))
    server = BridgeServer.__new__(BridgeServer)
    uvicorn.Server.__init__(server, uvicorn.Config(lambda *_: None, log_config=None))
    server._turns = turns
    assert await server.on_tick(1) is False
    assert bool(collected) is collects
    assert gc.isenabled()
