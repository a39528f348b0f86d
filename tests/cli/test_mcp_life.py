"""`codex-oss mcp` when things go wrong: clients that give up, die, crowd or talk nonsense, and calls that take long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from codex_oss.services.stdio_lines import MAX_LINE_BYTES
from tests.cli.test_mcp import DELEGATED, audit_passes, looking, session
from tests.cli.test_missions import READ, REPORT, project
from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, action

__all__ = ["project"]

WITH_KEY = {"OPENCODE_GO_API_KEY": UPSTREAM_KEY}
INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def holding(request: Request) -> Answer:
    """A model that reads, and reports only once it is released."""
    return action(READ) if len(request.messages) < 3 else Answer((Hold("report"), *action(REPORT).steps))


def call(number: int, tool: str, arguments: Any) -> dict[str, Any]:
    """One call of a tool, as a message."""
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def start(folder: Path, upstream: str, **environ: str) -> subprocess.Popen[bytes]:
    """The server as a process, its pipes in the test's hands."""
    return subprocess.Popen(
        [sys.executable, "-m", "codex_oss", "mcp", "--project", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent / "home"),
            "UPSTREAM_BASE": upstream,
            "PROXY_API_KEY": LOCAL_KEY,
            **environ,
        },
    )


def send(child: subprocess.Popen[bytes], *messages: Any) -> None:
    """Write messages, or bytes as they are."""
    assert child.stdin is not None
    for message in messages:
        child.stdin.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
    child.stdin.flush()


def latest(folder: Path) -> dict[str, Any]:
    """The summary of the one mission of the project."""
    (path,) = (folder / ".codex-oss" / "missions").glob("*/mission_summary.json")
    summary: dict[str, Any] = json.loads(path.read_text())
    return summary


async def test_a_call_that_takes_too_long_says_which_mission_goes_on(project: Path) -> None:
    """`delegate` answers before its client's limit; the same mission is fetched when it is at its end."""
    with ChatUpstream(holding) as up:
        async with session(project, up.base_url, "--max-wait", "2", **WITH_KEY) as client:
            result = await client.call_tool("delegate", DELEGATED)
            facts: dict[str, Any] = result.structured_content
            assert (result.is_error, facts["status"], facts["findings"]) == (False, "OPEN", [])
            assert facts["mission_id"] in facts["summary"]
            assert "mission_report" in facts["summary"]
            assert "still runs" in str(result.content)
            up.release("report")
            report = await ended(client, facts["mission_id"])
    assert (report["run_id"], report["status"]) == (facts["run_id"], "COMPLETE")
    assert len(report["findings"]) == 1


async def ended(client: Any, mission_id: str) -> dict[str, Any]:
    """The report of a mission once it is closed; bounded."""
    for _ in range(100):
        report: dict[str, Any] = (
            await client.call_tool("mission_report", {"mission_id": mission_id})
        ).structured_content
        if report["status"] != "OPEN":
            return report
        await asyncio.sleep(0.1)
    raise AssertionError("it never ended")


async def test_a_client_that_gives_up_finds_the_mission_again(project: Path) -> None:
    """Its time-out cancels the call and not the mission; progress had told the id, and the list has it too."""
    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    with ChatUpstream(holding) as up:
        async with session(project, up.base_url, **WITH_KEY) as client:
            with pytest.raises(MCPError):
                await client.call_tool("delegate", DELEGATED, read_timeout_seconds=3, progress_callback=note)
            (row,) = (await client.call_tool("mission_status", {})).structured_content["missions"]
            assert row["mission_id"] in told[0]
            assert (row["status"], row["objective"]) == ("OPEN", DELEGATED["objective"])
            up.release("report")
            assert (await ended(client, row["mission_id"]))["status"] == "COMPLETE"


async def test_a_bridge_that_dies_in_a_call(project: Path) -> None:
    """Nobody is waited for in vain: the answer says that the mission was interrupted, and it can be closed."""
    home = str(project.parent / "home")
    with ChatUpstream(holding) as up, running_bridge(project, upstream=up.base_url, HOME=home) as bridge:
        async with session(project, up.base_url) as client:
            waiting = asyncio.create_task(client.call_tool("delegate", DELEGATED))
            await asyncio.to_thread(up.wait_for_requests, 2)
            bridge.process.kill()
            facts: dict[str, Any] = (await waiting).structured_content
            assert (facts["status"], "was interrupted" in facts["summary"]) == ("OPEN", True)
            closed = await client.call_tool("mission_cancel", {"mission_id": facts["mission_id"]})
            assert closed.structured_content["reason_codes"] == ["cancelled"]
    assert await asyncio.to_thread(audit_passes, project, facts["mission_id"])


async def test_two_clients_at_once(project: Path) -> None:
    """Two servers on one project: two missions, two reports, and each sees the other's."""
    with ChatUpstream(looking) as up:
        async with (
            session(project, up.base_url, **WITH_KEY) as one,
            session(project, up.base_url, **WITH_KEY) as other,
        ):
            results = await asyncio.gather(*(client.call_tool("delegate", DELEGATED) for client in (one, other, one)))
            facts = [result.structured_content for result in results]
            assert [fact["status"] for fact in facts] == ["COMPLETE"] * 3
            assert len({fact["mission_id"] for fact in facts}) == 3
            seen = await one.call_tool("mission_report", {"mission_id": facts[1]["mission_id"]})
            assert seen.structured_content["run_id"] == facts[1]["run_id"]


@pytest.mark.parametrize("how", ["end of stdin", "SIGTERM"])
@pytest.mark.parametrize("where", ["here", "bridge"])
def test_a_client_that_dies_in_a_call(project: Path, how: str, where: str) -> None:
    """A mission of this process is closed as cancelled; one in the bridge goes on. The server ends, quietly."""
    with ChatUpstream(holding) as up, ExitStack() as stack:
        if where == "bridge":
            home = str(project.parent / "home")
            stack.enter_context(running_bridge(project, upstream=up.base_url, HOME=home))
        child = stack.enter_context(start(project, up.base_url, **({} if where == "bridge" else WITH_KEY)))
        send(child, INITIALIZE, INITIALIZED, call(1, "delegate", DELEGATED))
        up.wait_for_requests(2)
        if how == "SIGTERM":
            child.send_signal(signal.SIGTERM)
        stdout, stderr = child.communicate(timeout=20)
        up.release("report")
        if where == "bridge":
            wait_for_end(project)
    assert child.returncode == 0, stderr
    assert b"Traceback" not in stderr
    assert [json.loads(line)["id"] for line in stdout.splitlines() if b'"id"' in line][:1] == [0]
    summary = latest(project)
    if where == "bridge":
        assert (summary["status"], summary["reason_codes"]) == ("COMPLETE", [])
    else:
        assert (summary["status"], summary["reason_codes"]) == ("PARTIAL", ["cancelled"])
    assert audit_passes(project, summary["mission_id"])


def wait_for_end(folder: Path) -> None:
    """Until the one mission of the project has its summary; bounded by the watcher itself."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder.parent / "home")}
    command = [sys.executable, "-m", "codex_oss", "mission"]
    listed = subprocess.run(
        [*command, "list", "--json"], cwd=folder, env=environ, capture_output=True, check=True, timeout=30
    )
    (row,) = json.loads(listed.stdout)["missions"]
    subprocess.run(
        [*command, "watch", row["mission_id"]], cwd=folder, env=environ, capture_output=True, check=False, timeout=30
    )


NONSENSE = [
    b"not json\n",
    b"\n",
    b"[]\n",
    b"\xff\xfe\x00\n",
    b'{"jsonrpc":"2.0"}\n',
    b'{"jsonrpc":"2.0","id":{},"method":"tools/call"}\n',
    b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":[]}\n',
    b'{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":7}}\n',
    b'{"jsonrpc":"2.0","id":7,"method":"no/such/method"}\n',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}\n',
    b"[" * 50_000 + b"\n",
]


@pytest.mark.parametrize("before", [True, False])
def test_nonsense_ends_nothing(project: Path, before: bool) -> None:
    """Garbage before or after the handshake, a line of more than 16 MiB, half a line: what is in order is answered."""
    order = [*NONSENSE, INITIALIZE, INITIALIZED] if before else [INITIALIZE, INITIALIZED, *NONSENSE]
    with start(project, "http://127.0.0.1:9/v1") as child:
        flood = b'{"jsonrpc":"2.0","id":8,"method":"' + b"x" * (MAX_LINE_BYTES + 9) + b'"}\n'
        send(child, *order, flood, call(9, "list_profiles", {}))
        answers = []
        assert child.stdout is not None
        for line in child.stdout:
            answers.append(json.loads(line))
            if answers[-1].get("id") == 9:
                break
        stdout, stderr = child.communicate(b'{"jsonrpc":"2.0","id":10,"met', timeout=30)
    assert child.returncode == 0, stderr
    assert b"Traceback" not in stderr
    assert answers[-1]["result"]["structuredContent"]["profiles"]
    assert len([answer for answer in answers if answer.get("id") == 0]) == 1, "the handshake is answered once"
    assert all(answer["jsonrpc"] == "2.0" for answer in answers)
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in stdout.splitlines())


async def test_a_broken_configuration_is_an_answer(project: Path) -> None:
    """The client starts and lists; a call says what is wrong, and works once that is corrected."""
    (project / ".codex-oss").mkdir(mode=0o700)
    (project / ".codex-oss" / "config.toml").write_text("port = 'x'\n")
    async with session(project, "http://127.0.0.1:9/v1") as client:
        assert len((await client.list_tools()).tools) == 6
        refused = await client.call_tool("list_profiles", {})
        assert (refused.is_error, refused.structured_content["error"]) == (True, "config_invalid")
        (project / ".codex-oss" / "config.toml").unlink()
        assert not (await client.call_tool("list_profiles", {})).is_error


def test_nonsense_over_http_is_refused(project: Path) -> None:
    """A request that is no protocol gets a 4xx, never a 5xx, and the next one is served."""
    headers = {
        "Authorization": f"Bearer {LOCAL_KEY}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    nonsense = (b"", b"garbage", b"[]", b"\xff", b"{}", b"[" * 50_000, b'{"jsonrpc":"2.0","id":1}')
    with running_bridge(project, HOME=str(project.parent / "home")) as bridge:
        answers = [bridge.request("POST", "/mcp", body, headers) for body in nonsense]
        greeted = bridge.request("POST", "/mcp", json.dumps(INITIALIZE).encode(), headers)
    assert [answer.status for answer in answers if not 400 <= answer.status < 500] == []
    assert [answer.body for answer in answers if b"Traceback" in answer.body] == []
    assert greeted.status == 200


async def test_a_client_that_leaves_over_http_ends_no_mission(project: Path) -> None:
    """The connection is cut in the middle of a call; the mission in the bridge comes to its own end."""
    home = str(project.parent / "home")
    with ChatUpstream(holding) as up, running_bridge(project, upstream=up.base_url, HOME=home) as bridge:
        address = bridge.base_url.removesuffix("/v1") + "/mcp"
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {LOCAL_KEY}"}, timeout=60) as http:
            with contextlib.suppress(TimeoutError):
                async with (
                    asyncio.timeout(5),
                    streamable_http_client(address, http_client=http) as streams,
                    ClientSession(streams[0], streams[1]) as client,
                ):
                    await client.initialize()
                    call = asyncio.create_task(client.call_tool("delegate", DELEGATED))
                    await asyncio.to_thread(up.wait_for_requests, 2)
                    call.cancel()
        up.release("report")
        await asyncio.to_thread(wait_for_end, project)
    assert latest(project)["status"] == "COMPLETE"
