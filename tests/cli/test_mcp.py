"""`codex-oss mcp` as a real process, driven by the official MCP client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from codex_oss.cli.mcp import find_project
from tests.cli.test_missions import HANDOFF, READ, REPORT, audit, failed_checks, project, run_cli
from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, action

__all__ = ["project"]
DELEGATED = {
    "objective": "Where is MAX_RETRIES defined?",
    "roots": ["app"],
    "tool_budget": 6,
    "time_budget_seconds": 60,
}


def looking(request: Request) -> Answer:
    """A model that reads and reports."""
    return action(READ) if len(request.messages) < 3 else action(REPORT)


@asynccontextmanager
async def session(folder: Path, upstream: str, *flags: str, **environ: str) -> AsyncIterator[ClientSession]:
    """An initialised session with `codex-oss mcp` on a project."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "codex_oss", "mcp", "--project", str(folder), *flags],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent / "home"),
            "UPSTREAM_BASE": upstream,
            "PROXY_API_KEY": LOCAL_KEY,
            **environ,
        },
    )
    with (folder.parent / "mcp-stderr.log").open("w") as errors:
        async with stdio_client(parameters, errlog=errors) as streams, ClientSession(*streams) as opened:
            await opened.initialize()
            yield opened


async def test_the_tools_are_offered_with_schemas_and_hints(project: Path) -> None:
    """Six tools; every one but cancel only reads, every schema is an object without references."""
    async with session(project, "http://127.0.0.1:9/v1") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {
        "delegate",
        "mission_start",
        "mission_status",
        "mission_report",
        "mission_cancel",
        "list_profiles",
    }
    for name, tool in tools.items():
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (name != "mission_cancel")
        assert tool.input_schema["type"] == "object"
        assert "$ref" not in json.dumps(tool.input_schema)
    assert set(tools["delegate"].input_schema["properties"]) == {
        *("objective", "paths", "roots", "tier", "profile", "must_inspect", "obligations"),
        *("tool_budget", "time_budget_seconds", "handoff"),
    }


def audit_passes(folder: Path, mission_id: str) -> bool:
    """Whether `audit-mission` finds nothing."""
    done = run_cli(folder, "audit-mission", mission_id, "--json")
    return bool(json.loads(done.stdout)["ok"])


@pytest.mark.parametrize("where", ["here", "bridge"])
async def test_delegate_waits_and_tells_what_happens(project: Path, where: str) -> None:
    """Progress carries the commentary, the result is the compact report; the record holds, wherever it ran."""
    told: list[tuple[float, str]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))

    with ChatUpstream(looking) as up, ExitStack() as stack:
        more = {"OPENCODE_GO_API_KEY": UPSTREAM_KEY}
        if where == "bridge":
            home = str(project.parent / "home")
            stack.enter_context(running_bridge(project, upstream=up.base_url, HOME=home))
            more = {}  # as Codex starts it: without the upstream's key
        async with session(project, up.base_url, **more) as client:
            result = await client.call_tool("delegate", DELEGATED, progress_callback=note)
    assert not result.is_error, result.content
    facts: dict[str, Any] = result.structured_content
    assert (facts["status"], facts["reason_codes"]) == ("COMPLETE", [])
    assert set(facts) == {"mission_id", "run_id", "status", "reason_codes", "summary", "findings", "artifacts"}
    assert [finding["evidence_refs"] for finding in facts["findings"]] == [["file:app/retry.py#extract:1"]]
    assert any("app/retry.py" in message for _, message in told)
    assert [number for number, _ in told] == sorted({number for number, _ in told})
    assert "API_KEY" not in str(result.content), "the report is not the file"
    assert await asyncio.to_thread(audit_passes, project, facts["mission_id"])


async def test_start_status_report_cancel(project: Path) -> None:
    """A mission begun without waiting is seen, reported and cancelled by its id."""

    def script(request: Request) -> Answer:
        return action(READ) if len(request.messages) < 3 else Answer((Hold("never"), *action(REPORT).steps))

    with ChatUpstream(script) as up:
        async with session(project, up.base_url, OPENCODE_GO_API_KEY=UPSTREAM_KEY) as client:
            begun = (await client.call_tool("mission_start", {"handoff": HANDOFF})).structured_content
            assert (begun["mission_id"], begun["status"]) == ("m_cli", "OPEN")
            up.wait_for_requests(2)
            status = (await client.call_tool("mission_status", {"mission_id": "m_cli"})).structured_content
            assert (status["status"], status["stage"], status["tool_runs"]) == ("OPEN", "asked", 1)
            report = (await client.call_tool("mission_report", {"mission_id": "m_cli"})).structured_content
            assert report["status"] == "OPEN"
            ended = (await client.call_tool("mission_cancel", {"mission_id": "m_cli"})).structured_content
            assert (ended["status"], ended["reason_codes"]) == ("PARTIAL", ["cancelled"])
    assert failed_checks(audit(project)[1]) == []


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("delegate", {}, "contract_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"], "tier": "A9"}, "model_not_found"),
    ("delegate", {"objective": "x", "roots": ["../.."]}, "contract_invalid"),
    ("delegate", {"objective": "x", "roots": "app"}, "arguments_invalid"),
    ("delegate", {"objektive": "x"}, "arguments_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"], "profile": "nobody"}, "model_not_found"),
    ("mission_status", {"mission_id": "nobody"}, "mission_not_found"),
    ("mission_cancel", {"mission_id": "../../etc"}, "mission_not_found"),
    ("mission_report", {}, "arguments_invalid"),
    ("mission_status", {"mission_id": 7}, "arguments_invalid"),
    ("delegate", {"objective": ["x"], "roots": ["app"]}, "arguments_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"], "tool_budget": "many"}, "arguments_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"], "tool_budget": True}, "arguments_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"], "time_budget_seconds": -1}, "contract_invalid"),
    ("delegate", {"objective": "x" * 2_000_000, "roots": ["app"]}, "arguments_invalid"),
    ("delegate", {"objective": "x", "paths": ["/etc/passwd"]}, "contract_invalid"),
    ("delegate", {"objective": "x", "paths": ["app/../../x"]}, "contract_invalid"),
    ("delegate", {"objective": "x", "roots": ["~/.ssh"]}, "contract_invalid"),
    ("delegate", {"objective": "x", "roots": ["app\x00"]}, "contract_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"] * 1000}, "arguments_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"], "must_inspect": ["../a"]}, "contract_invalid"),
    ("delegate", {"objective": "x", "roots": ["app"], "profile": "../../etc"}, "model_not_found"),
    ("delegate", {"handoff": {}}, "contract_invalid"),
    ("delegate", {"handoff": HANDOFF, "tool_budget": 3}, "arguments_invalid"),
    ("delegate", {"handoff": {"tier": ["A3"]}}, "model_not_found"),
    ("delegate", {"handoff": {**HANDOFF, "mission_id": "../../x"}}, "contract_invalid"),
    ("fly", {}, "tool_unknown"),
]


async def test_what_cannot_be_done_is_an_error_with_a_code(project: Path) -> None:
    """Bad arguments and unknown names are answers to act on; the session goes on, and no model is asked."""
    with ChatUpstream([]) as up:
        async with session(project, up.base_url, OPENCODE_GO_API_KEY=UPSTREAM_KEY) as client:
            for tool, arguments, code in REFUSED:
                result = await client.call_tool(tool, arguments)
                told: dict[str, Any] = result.structured_content
                assert (result.is_error, told.get("error")) == (True, code), (str(arguments)[:200], told)
                assert len(str(result.content)) < 4000
            assert not (await client.call_tool("list_profiles", {})).is_error
    assert up.requests == []


async def test_a_flood_of_findings_fits_the_parents_context(project: Path) -> None:
    """A model that reports far too much: the answer stays small, in words and as an object."""
    body: dict[str, Any] = json.loads(json.dumps(REPORT["report"]))
    (good,) = body["findings"]
    flood = [good | {"claim": f"{good['claim']} " + "and more " * (150 + number)} for number in range(50)]
    report = REPORT | {"report": body | {"findings": flood, "caveats": ["x" * 1_900] * 20}}

    def script(request: Request) -> Answer:
        return action(READ) if len(request.messages) < 3 else action(report)

    with ChatUpstream(script) as up:
        async with session(project, up.base_url, OPENCODE_GO_API_KEY=UPSTREAM_KEY) as client:
            result = await client.call_tool("delegate", DELEGATED)
    facts: dict[str, Any] = result.structured_content
    assert facts["status"] == "COMPLETE"
    assert "more findings stand in report.json" in facts["summary"]
    assert len(json.dumps(facts)) < 30_000
    assert len(str(result.content)) < 36_000


@pytest.mark.parametrize("roots", [["."], ["./"], ["app", "."]])
async def test_the_whole_project_is_not_delegated_by_the_way(project: Path, roots: list[str]) -> None:
    """Permission for it is a field of the whole contract; without, the mission ends at the door and asks no model."""
    with ChatUpstream([]) as up:
        async with session(project, up.base_url, OPENCODE_GO_API_KEY=UPSTREAM_KEY) as client:
            result = await client.call_tool("delegate", {"objective": "x", "roots": roots})
    assert result.structured_content["status"] != "COMPLETE"
    assert result.structured_content["reason_codes"] == ["broad_scope"]
    assert up.chats == []


def test_bytes_that_are_no_protocol_end_without_a_traceback(project: Path) -> None:
    """Garbage on stdin is answered or ignored; the end of stdin ends the process."""
    done = subprocess.run(
        [sys.executable, "-m", "codex_oss", "mcp", "--project", str(project)],
        input=b'not json\n{"jsonrpc":"2.0"}\n\xff\xfe\n[]\n',
        capture_output=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(project.parent / "home")},
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert json.loads(line)["jsonrpc"] == "2.0"


async def test_the_same_tools_over_http(project: Path) -> None:
    """The bridge serves them at /mcp behind its key, and ends its sessions when it ends."""
    home = str(project.parent / "home")
    with ChatUpstream(looking) as up, running_bridge(project, upstream=up.base_url, HOME=home) as bridge:
        address = bridge.base_url.removesuffix("/v1") + "/mcp"
        refused = await asyncio.to_thread(bridge.request, "POST", "/mcp", b"{}", {})
        assert refused.status == 401
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {LOCAL_KEY}"}, timeout=60) as http,
            streamable_http_client(address, http_client=http) as streams,
            ClientSession(streams[0], streams[1]) as client,
        ):
            await client.initialize()
            result = await client.call_tool("delegate", DELEGATED)
            assert result.structured_content["status"] == "COMPLETE", result.content
            assert await asyncio.to_thread(bridge.stop) == 0


def test_the_greeting_loads_next_to_nothing() -> None:
    """What makes a start slow comes with the first call: the SDK, the bridge, even asyncio."""
    heavy = ["mcp", "pydantic", "anyio", "asyncio", "aiohttp", "starlette", "codex_oss.wiring", "codex_oss.missions"]
    shown = f"import sys, codex_oss.cli.main, codex_oss.cli.mcp; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("made", "inside", "expected"),
    [
        (["work/repo/.git"], "work/repo/src/deep", "work/repo"),
        (["work/repo/.git"], "work/repo", "work/repo"),
        (["work/repo/.git", "work/repo/part/.codex-oss"], "work/repo/part/src", "work/repo/part"),
        (["work/.codex-oss"], "work/notes/a", "work"),
        ([".git", ".codex-oss"], "notes", "notes"),
        ([".git"], "", ""),
        ([], "notes", "notes"),
    ],
)
def test_the_project_is_the_one_around_the_folder(tmp_path: Path, made: list[str], inside: str, expected: str) -> None:
    """The nearest marked folder upwards; never the home folder just because something lies there."""
    for name in (*made, inside):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    assert find_project(tmp_path / inside, tmp_path) == tmp_path / expected


def test_what_others_put_above_us_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that another user marked, e.g. in /tmp, chooses nothing for us."""
    (tmp_path / ".codex-oss").mkdir()
    (tmp_path / "mine").mkdir()
    assert find_project(tmp_path / "mine", Path("/nowhere")) == tmp_path
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert find_project(tmp_path / "mine", Path("/nowhere")) == tmp_path / "mine"
