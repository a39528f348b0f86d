"""The real Codex CLI and OpenCode with GPT_MODEL_STRATEGY=accounts: tools, ended tokens, a limit in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_oss.services.codex_exec import CodexRun, CodexTurn, run_codex
from tests.clients.programs import RUN_TIMEOUT_S, find_client, make_project, run_opencode
from tests.fakes.account_bench import MODEL, AccountBench, account_bench
from tests.fakes.bridge_process import LOCAL_KEY
from tests.fakes.chat_upstream import Answer
from tests.fakes.chatgpt_backend import Turn, called, said, sealed_for, used_up

pytestmark = [pytest.mark.client, pytest.mark.slow]

COMMAND = "echo really-ran | tee -a proof.txt"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AccountBench]:
    """A bridge with two accounts; the token of the first one has ended."""
    with account_bench(tmp_path / "bench") as running:
        running.seat(("a", {"expires_ms": 1}), "b")
        yield running


def run_in_codex(bench: AccountBench, tmp_path: Path, prompt: str, *flags: str) -> CodexRun:
    """One `codex exec` against the bridge."""
    program, project = find_client("codex"), make_project(tmp_path)
    scratch = tmp_path / "codex-scratch"
    limits = ("danger-full-access", RUN_TIMEOUT_S, flags)
    return run_codex(program, CodexTurn(bench.bridge.base_url, LOCAL_KEY, MODEL, prompt, project, scratch, *limits))


def codex_script(turn: Turn) -> Answer:
    """A command, then what came of it."""
    if turn.outputs:
        return said(f"{turn.account} heard: {'really-ran' in str(turn.outputs[-1])}")
    return called("exec_command", {"cmd": COMMAND})


def test_codex_runs_a_tool_across_a_limit(bench: AccountBench, tmp_path: Path) -> None:
    """Token renewed, command run once, the limit met before its output: the second account goes on with the turn."""
    find_client("codex")
    asked: list[str] = []

    def script(turn: Turn) -> Answer:
        asked.append(turn.account)
        if turn.outputs and turn.account == "acc-a":
            return used_up(7200)
        return codex_script(turn)

    bench.backend.answers = script
    run = run_in_codex(bench, tmp_path, "Run it.")
    assert run.failure == "", bench.log()
    assert run.messages[-1].message == "acc-b heard: True"
    assert (tmp_path / "project" / "proof.txt").read_text() == "really-ran\n"
    assert asked == ["acc-a", "acc-a", "acc-b"]
    assert (bench.issuer.refreshes, bench.issuer.reuses) == (1, [])
    own, foreign = bench.backend.turns[1], bench.backend.turns[2]
    assert sealed_for("acc-a") in own.text, "reasoning goes back to its account"
    assert sealed_for("acc-a") not in foreign.text
    assert own.body["instructions"] == foreign.body["instructions"]
    assert len({turn.request.headers["session-id"] for turn in bench.backend.turns}) == 1
    assert not [turn for turn in bench.backend.turns if "x-codex-turn-metadata" in turn.request.headers]


def test_codex_runs_a_tool_over_websocket(bench: AccountBench, tmp_path: Path) -> None:
    """The same on one connection, on which each turn sends only what is new."""
    find_client("codex")
    bench.backend.answers = codex_script
    flags = ("-c", "model_providers.bridge.supports_websockets=true")
    run = run_in_codex(bench, tmp_path, "Run it.", *flags)
    assert run.failure == "", bench.log()
    assert run.messages[-1].message == "acc-a heard: True"
    assert (tmp_path / "project" / "proof.txt").read_text() == "really-ran\n"


def test_codex_says_when_every_account_is_used_up(bench: AccountBench, tmp_path: Path) -> None:
    """One request, no retry, and the words about the plan."""
    find_client("codex")
    bench.backend.next("acc-a", used_up(7200))
    bench.backend.next("acc-b", used_up(7200))
    run = run_in_codex(bench, tmp_path, "Hello.")
    assert "usage limit" in run.failure
    assert bench.backend.asked == ["acc-a", "acc-b"]


@pytest.mark.parametrize("package", ["@ai-sdk/openai", "@ai-sdk/openai-compatible"])
def test_opencode_runs_a_tool(bench: AccountBench, tmp_path: Path, package: str) -> None:
    """By Responses and by Chat Completions: token renewed, a limit in the middle, the tool's output heard."""
    program, project = find_client("opencode"), make_project(tmp_path)

    def script(turn: Turn) -> Answer:
        if not turn.body.get("tools"):
            return said("A title")
        if turn.outputs:
            return used_up(7200) if turn.account == "acc-a" else said(f"heard: {'really-ran' in str(turn.outputs[-1])}")
        return called("bash", {"command": COMMAND, "description": "Run it."})

    bench.backend.answers = script
    run = run_opencode(program, bench.bridge.base_url, project, "Run it.", MODEL, package=package, key=LOCAL_KEY)
    assert run.exit_code == 0, run.stderr_tail + bench.log()
    assert [part["text"] for part in run.parts("text")][-1] == "heard: True"
    assert (project / "proof.txt").read_text() == "really-ran\n"
    assert bench.issuer.reuses == []
    assert {turn.status for turn in bench.backend.turns} == {200, 429}, json.dumps(bench.backend.asked)
