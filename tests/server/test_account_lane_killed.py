"""The bridge is killed while accounts are refreshed, cooled and bound: no account is lost."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from codex_oss.accounts.shapes import decoded
from tests.fakes.account_bench import AccountBench, account_bench
from tests.fakes.chatgpt_backend import said, used_up

ROUNDS = 3


def test_a_killed_bridge_loses_no_account(tmp_path: Path) -> None:
    """kill -9 a few moments after several turns began, each with something to write."""
    for number in range(ROUNDS):
        with account_bench(tmp_path / str(number)) as bench:
            bench.issuer.slow_s = 0.05
            bench.seat(*((name, {"expires_ms": 1}) for name in "abc"))
            bench.backend.answers = lambda turn: said(f"hello from {turn.account}")
            bench.backend.next("acc-a", used_up(3600))
            asks = [threading.Thread(target=_ask, args=(bench,), daemon=True) for _ in range(4)]
            for ask in asks:
                ask.start()
            time.sleep(0.05 + 0.1 * number)
            bench.bridge.process.kill()
            bench.bridge.process.wait()
            for ask in asks:
                ask.join(10)
            book = decoded((bench.folder / "codex-accounts.json").read_bytes())
            assert sorted(one.account_id for one in book.accounts) == ["acc-a", "acc-b", "acc-c"]
            assert all(one.credential.refresh for one in book.accounts)
            assert bench.issuer.reuses == []


def _ask(bench: AccountBench) -> None:
    with suppress(OSError, HTTPException):  # the bridge is gone
        bench.ask("hi")
