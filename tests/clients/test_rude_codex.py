"""The real Codex CLI against a rude upstream: what it shows, how often it asks, and that resuming the thread works.

Both of its retry settings are 1 (`services.codex_exec`), so that a permanent failure is over in a second.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from codex_oss.services.codex_exec import CodexRun, CodexTurn, run_codex
from tests.clients.programs import find_client, make_project
from tests.clients.rude import AGAIN, RECOVERED, Row, Seen, judge, plain, rows, rude_bridge
from tests.fakes.bridge_process import LOCAL_KEY

pytestmark = [pytest.mark.client, pytest.mark.slow]

MODEL = "ocg-kimi-k2.6"


def shown_of(run: CodexRun) -> str:
    """The failure that Codex names, or its last message."""
    return run.failure or (run.messages[-1].message if run.messages else "") or ""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("row", rows())
def test_a_rude_upstream(tmp_path: Path, row: Row) -> None:
    """Codex ends by itself as recorded, and `codex exec resume` of the same thread is answered."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with rude_bridge(project, row) as (_, relay, _bridge):
        scratch = tmp_path / "codex"
        turn = CodexTurn(relay.base_url, LOCAL_KEY, MODEL, "hi", project, scratch, "danger-full-access", 90)
        run = run_codex(codex, turn)
        requests = relay.requests
        thread = next(event.value["thread_id"] for event in run.events if event.value["type"] == "thread.started")
        resumed = run_codex(codex, replace(turn, prompt=AGAIN, extra_arguments=("resume", thread)))
    answered = resumed.exit_code == 0 and shown_of(resumed) == RECOVERED
    following = "answered" if answered else f"{resumed.exit_code}: {shown_of(resumed)}"
    judge("codex", row, Seen(str(run.exit_code), requests, plain(shown_of(run)), following))
