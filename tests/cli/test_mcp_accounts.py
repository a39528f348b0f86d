"""The tools about accounts in real MCP servers: `codex-oss mcp`, and `/mcp` of a bridge."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client

from codex_oss.accounts.book import Meant
from codex_oss.services.account_tools import ACCOUNT_TOOL_NAMES, SWITCH_ENV
from codex_oss.services.delegation_tools import TOOLS
from tests.cli.account_home import ANN, BOB, CANARY, Home
from tests.cli.test_mcp import session
from tests.cli.test_missions import project
from tests.fakes.bridge_process import LOCAL_KEY, running_bridge

__all__ = ["project"]
OTHERS = {tool.name for tool in TOOLS}
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def home(project: Path) -> Home:
    """The home that the servers of this project run with."""
    made = Home(project.parent)
    made.home.mkdir(exist_ok=True)
    return made


def text_of(result: object) -> str:
    """Everything that a result says."""
    return json.dumps(result, default=lambda value: value.model_dump())


async def names_in(client: ClientSession) -> set[str]:
    """The tools that are offered."""
    return {tool.name for tool in (await client.list_tools()).tools}


async def test_nobody_signed_in_means_no_tools(project: Path, home: Home) -> None:
    """They come with the first account, in the same session; before that they cannot be called either."""
    async with session(project, NOWHERE) as client:
        assert await names_in(client) == OTHERS
        refused = await client.call_tool("codex-status", {})
        assert refused.is_error
        assert "tool_unknown" in text_of(refused)
        home.put(ANN)
        assert await names_in(client) == OTHERS | ACCOUNT_TOOL_NAMES
        assert "#1 ann@x.y (plus)" in text_of(await client.call_tool("codex-status", {}))


async def test_the_accounts_over_stdio(project: Path, home: Home) -> None:
    """Listed before the SDK is there, carried out without a bridge, and no token goes to the client."""
    home.put(ANN, BOB, active=Meant(1, ANN.person_key))
    seen = ""
    async with session(project, NOWHERE) as client:
        assert await names_in(client) == OTHERS | ACCOUNT_TOOL_NAMES
        for name, arguments in (
            ("codex-status", {}),
            ("codex-switch-accounts", {"index": 2}),
            ("codex-toggle-account", {"index": 1}),
            ("codex-remove-account", {"index": 1}),
            ("codex-remove-account", {"index": 1, "confirm": True}),
        ):
            seen += text_of(await client.call_tool(name, arguments))
    assert [account.key for account in home.store.read().accounts] == [BOB.key]
    assert CANARY not in seen + (project.parent / "mcp-stderr.log").read_text()
    assert str(home.folder) not in seen


async def test_the_switch(project: Path, home: Home) -> None:
    """`off` hides and refuses them, whoever signed in."""
    home.put(ANN)
    async with session(project, NOWHERE, **{SWITCH_ENV: "off"}) as client:
        assert await names_in(client) == OTHERS
        assert "tool_unknown" in text_of(await client.call_tool("codex-switch-accounts", {"index": 1}))


async def test_the_accounts_over_http(project: Path, home: Home) -> None:
    """The same tools in the running bridge, from the moment that somebody signed in."""
    headers = {"Authorization": f"Bearer {LOCAL_KEY}"}
    with running_bridge(project, upstream=NOWHERE, HOME=str(home.home)) as bridge:
        address = f"{bridge.base_url.removesuffix('/v1')}/mcp"
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            streamable_http_client(address, http_client=http) as streams,
            ClientSession(streams[0], streams[1]) as client,
        ):
            await client.initialize()
            assert await names_in(client) == OTHERS
            home.put(ANN, BOB)
            assert await names_in(client) == OTHERS | ACCOUNT_TOOL_NAMES
            assert "Switched to #2 bob" in text_of(await client.call_tool("codex-switch-accounts", {"index": 2}))
            assert await asyncio.to_thread(bridge.stop) == 0
    assert home.store.read().active.person == BOB.person_key


def test_the_start_stays_light() -> None:
    """Knowing whether there are accounts imports nothing of them."""
    heavy = ("asyncio", "aiohttp", "mcp", "codex_oss.accounts.book", "codex_oss.services.account_store")
    script = (
        "import os, sys, codex_oss.cli.mcp as m; m.offered_tools(os.environ); "
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr
