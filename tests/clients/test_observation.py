"""What the real Codex shows of a mission, and what it does not: its own transcript against what was emitted to it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from codex_oss.services.codex_app_server import run_app_server
from codex_oss.services.codex_exec import CodexRun, CodexTurn, prepare_scratch, run_codex
from tests.clients.programs import (
    MISSION_MODEL,
    RAW_MODEL,
    clean_environ,
    codex_turn,
    find_client,
    make_project,
    run_bridge,
)
from tests.clients.test_codex import handoff
from tests.clients.test_delegation import delegate, parent, server_command, server_environ
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, held, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]


@contextmanager
def mission_bridge(project: Path, script: Any = delegate) -> Iterator[tuple[ChatUpstream, str]]:
    """A bridge whose mission model reads one file and reports."""
    with ChatUpstream(script, max_requests=8) as upstream, run_bridge(project, upstream.base_url) as bridge:
        yield upstream, bridge


def oss(project: Path, *arguments: str, stdin: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Exit status and object of one of our verbs."""
    command = [sys.executable, "-m", "codex_oss", *arguments, "--project", str(project), "--json"]
    environ = clean_environ(project.parent / "bridge-home")
    done = subprocess.run(command, input=stdin, capture_output=True, env=environ, timeout=60)
    return done.returncode, json.loads(done.stdout)


def reconciled(project: Path, mission_id: str, transcript: bytes) -> tuple[int, dict[str, Any]]:
    """The verdict on a transcript."""
    return oss(project, "desktop-observation", "reconcile", mission_id, "-", stdin=transcript)


def states(project: Path, mission_id: str) -> dict[str, str]:
    """Item to state."""
    return {item["item"]: item["state"] for item in oss(project, "show-delivery", mission_id)[1]["items"]}


def transcript_of(run: CodexRun) -> bytes:
    """The lines of `codex exec --json`."""
    return b"".join(json.dumps(event.value).encode() + b"\n" for event in run.events)


def test_codex_exec_shows_everything_and_only_its_own_output_says_so(tmp_path: Path) -> None:
    """Emitted before, observed after; an altered, a cut or a foreign transcript adds nothing to what it shows."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with mission_bridge(project) as (_, bridge):
        run = run_codex(codex, codex_turn(bridge, project, MISSION_MODEL, handoff()))
        other = run_codex(codex, codex_turn(bridge, project, MISSION_MODEL, handoff(mission_id="another")))
    assert (run.failure, other.failure) == ("", "")
    mission, whole = "client-codex", transcript_of(run)
    assert set(states(project, mission).values()) == {"emitted"}

    code, told = reconciled(project, mission, transcript_of(other))
    assert (code, told["verdict"], told["code"], told["observed"]) == (1, "UNKNOWN", "other_thread", [])
    forged = transcript_of(run).replace(run.events[0].value["thread_id"].encode(), b"made-up")
    assert reconciled(project, mission, forged)[1]["code"] == "words_copied"
    altered = whole.replace(b"lines 1-3 of 3", b"lines 1-9 of 9")
    assert reconciled(project, mission, altered)[1]["code"] == "text_differs"
    assert set(states(project, mission).values()) == {"emitted"}

    cut = b"".join(whole.splitlines(keepends=True)[:4])
    code, told = reconciled(project, mission, cut)
    assert (code, told["verdict"], told["code"]) == (1, "WARN", "transcript_cut")
    assert told["observed"] == ["remark:1", "remark:2"]
    assert states(project, mission)["report"] == "emitted"

    code, told = reconciled(project, mission, whole)
    assert (code, told["verdict"], told["missing"], told["recorded"]) == (0, "PASS", [], True)
    assert set(states(project, mission).values()) == {"observed"}
    assert reconciled(project, mission, whole)[1]["recorded"] is False
    assert oss(project, "audit-mission", mission)[0] == 0


def test_the_app_server_notifies_everything(tmp_path: Path) -> None:
    """Its notifications, one a line, are a transcript too, and carry the phases on."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with mission_bridge(project) as (_, bridge):
        run = run_app_server(codex, codex_turn(bridge, project, MISSION_MODEL, handoff()))
    assert (run.failure, run.turn_status) == ("", "completed")
    items = [notice.params["item"] for notice in run.notices if notice.method == "item/completed"]
    phases = [item["phase"] for item in items if item["type"] == "agentMessage"]
    assert phases == ["commentary"] * (len(phases) - 1) + ["final_answer"]
    code, told = reconciled(project, "client-codex", run.transcript())
    assert (code, told["verdict"], told["pre_final"], told["final"]) == (0, "PASS", len(phases) - 1, 1)


def mcp_turn(base_url: str, project: Path) -> CodexTurn:
    """A turn of a parent with a provider of its own, which delegates through MCP."""
    command, *arguments = server_command(project)
    environ = ", ".join(f"{name} = {json.dumps(value)}" for name, value in server_environ(project).items())
    options = {
        "mcp_servers.codex-oss.command": json.dumps(command),
        "mcp_servers.codex-oss.args": json.dumps(arguments),
        "mcp_servers.codex-oss.env": f"{{ {environ} }}",
        "mcp_servers.codex-oss.tool_timeout_sec": "120",
        "mcp_servers.codex-oss.required": "true",
    }
    extra = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    turn = codex_turn(base_url, project, "ocg-kimi-k2.6", "Ask the delegate.")
    return dataclasses.replace(turn, extra_arguments=tuple(extra))


@pytest.mark.parametrize("client", ["exec", "app-server"])
def test_codex_drops_the_progress_of_a_tool(tmp_path: Path, client: str) -> None:
    """Over MCP each remark is emitted as progress. Observed: Codex 0.169 shows none of it, only the result."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with (
        mission_bridge(project),
        ChatUpstream(parent, max_requests=6) as own,
        run_bridge(make_project(tmp_path / "elsewhere"), own.base_url) as provider,
    ):
        turn = mcp_turn(provider, project)
        transcript = (
            transcript_of(run_codex(codex, turn)) if client == "exec" else run_app_server(codex, turn).transcript()
        )
    (folder,) = (project / ".codex-oss/missions").iterdir()
    before = states(project, folder.name)
    assert (len(before) >= 5, set(before.values())) == (True, {"emitted"})
    code, told = reconciled(project, folder.name, transcript)
    assert (code, told["verdict"], told["code"]) == (1, "WARN", "items_missing")
    assert told["observed"] == ["report"]
    after = states(project, folder.name)
    assert after.pop("report") == "observed"
    assert set(after.values()) == {"emitted"}


SCOUT = 'name = "oss_scout"\ndescription = "Scout."\ndeveloper_instructions = "Do it."\nmodel = "mission-a3-kimi"\n'


def spawning(request: Request) -> Answer:
    """Two models in one: the parent, which has tools and spawns an agent, and the one of the agent's mission."""
    if not request.json.get("tools"):
        return delegate(request)
    names = {tool["function"]["name"].rpartition("__")[2]: tool["function"]["name"] for tool in request.json["tools"]}
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if not results:
        return tool_call(names["spawn_agent"], {"agent_type": "oss_scout", "message": handoff()})
    if len(results) == 1:
        waited = {"targets": [json.loads(results[0])["agent_id"]], "timeout_ms": 20_000}
        return tool_call(names["wait_agent"], waited)
    return text("The agent reported.")


@pytest.mark.parametrize("client", ["exec", "app-server"])
def test_what_is_seen_of_a_spawned_agent(tmp_path: Path, client: str) -> None:
    """Observed: the app-server shows all of the agent's thread, `codex exec --json` its report and no remark."""
    codex, project = find_client("codex"), make_project(tmp_path)
    roles = tmp_path / "codex-scratch/codex/agents"
    roles.mkdir(parents=True)
    (roles / "oss_scout.toml").write_text(SCOUT)
    with mission_bridge(project, spawning) as (_, bridge):
        turn = codex_turn(bridge, project, RAW_MODEL, "Delegate it.")
        exec_ = client == "exec"
        transcript = transcript_of(run_codex(codex, turn)) if exec_ else run_app_server(codex, turn).transcript()
    assert set(states(project, "client-codex").values()) == {"emitted"}
    code, told = reconciled(project, "client-codex", transcript)
    if client == "exec":
        assert (code, told["verdict"], told["code"], told["observed"]) == (1, "WARN", "items_missing", ["report"])
    else:
        assert (code, told["verdict"], told["missing"]) == (0, "PASS", [])


def test_a_codex_that_is_killed_has_seen_less_than_was_emitted(tmp_path: Path) -> None:
    """SIGSTOP, then SIGKILL: what was emitted meanwhile lies in no transcript, and nothing of it is called observed."""
    codex, project = find_client("codex"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        answer = delegate(request)
        return answer if len(request.messages) < 3 else held(answer, "report", after=0)

    with mission_bridge(project, script) as (upstream, bridge):
        turn = codex_turn(bridge, project, MISSION_MODEL, handoff())
        output = tmp_path / "transcript.jsonl"
        command = [codex, "exec", "--skip-git-repo-check", "--json", "-s", "read-only", "-C", str(project)]
        with output.open("wb") as file:
            child = subprocess.Popen(
                [*command, "-m", turn.model, "--", turn.prompt],
                env=prepare_scratch(turn), cwd=project, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.DEVNULL, process_group=0,
            )  # fmt: skip
            try:
                upstream.wait_for_requests(2, timeout_s=30)
                wait_until(lambda: b"lines 1-3 of 3" in output.read_bytes())
                stop_group(child, "STOP")
                upstream.release("report")
                wait_until(lambda: states(project, "client-codex").get("report") == "emitted")
            finally:
                stop_group(child, "KILL")
                child.wait(10)
    code, told = reconciled(project, "client-codex", output.read_bytes())
    assert (code, told["verdict"], told["code"]) == (1, "WARN", "transcript_cut")
    found = states(project, "client-codex")
    assert (found["remark:1"], found["report"]) == ("observed", "emitted")


def wait_until(holds: Any, timeout_s: float = 30) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stop_group(child: subprocess.Popen[bytes], name: str) -> None:
    """Send a signal to Codex and the program that it started."""
    import os
    import signal

    os.killpg(child.pid, signal.Signals[f"SIG{name}"])


@pytest.mark.parametrize("verb", ["app-server-pre-final-text-probe", "app-server-visible-commentary-probe"])
def test_the_probes_of_the_app_server_pass(tmp_path: Path, verb: str) -> None:
    """Each progress is notified before the final text, spread as it was sent, with its phase where it had one."""
    codex, output = find_client("codex"), tmp_path / "result.json"
    command = [sys.executable, "-m", "codex_oss", verb, "--codex", codex, "--cwd", str(tmp_path), "--timeout", "30"]
    done = subprocess.run(
        [*command, "--json", "--output", str(output)],
        capture_output=True, env=clean_environ(tmp_path / "home"), timeout=90,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (done.returncode, told["probe_status"], told["reasons"]) == (0, "pass", []), done.stderr
    assert told["client"].startswith("codex-oss/0.")
    assert json.loads(output.read_bytes()) == told


def test_wrap_takes_the_transcript_itself(tmp_path: Path) -> None:
    """`desktop-observation wrap` passes the output on, judges it, and says in the log that it took it itself."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with mission_bridge(project) as (_, bridge):
        turn = codex_turn(bridge, project, MISSION_MODEL, handoff())
        environ = {**clean_environ(tmp_path / "bridge-home"), **prepare_scratch(turn)}
        environ |= {"HOME": str(tmp_path / "bridge-home"), "XDG_STATE_HOME": str(tmp_path / "bridge-home/state")}
        ours = [sys.executable, "-m", "codex_oss", "desktop-observation", "wrap", "client-codex"]
        client = [codex, "exec", "--skip-git-repo-check", "--json", "-s", "read-only", "-m", turn.model, turn.prompt]
        done = subprocess.run(
            [*ours, "--project", str(project), "--", *client],
            env=environ,
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=90,
        )
    assert (done.returncode, b"PASS whole" in done.stderr) == (0, True), done.stderr
    assert json.loads(done.stdout.splitlines()[0])["type"] == "thread.started"
    (judged,) = oss(project, "show-delivery", "client-codex")[1]["transcripts"]
    assert (judged["verdict"], judged["source"]) == ("PASS", "captured")
