"""A session of `codex-oss mcp` after its greeting: the SDK's server, on a bridge of this process.

Counterparts: `cli.mcp`, which imports this file only when it is needed; `services.delegation`, which carries the calls
out. Rules that hold here:

1. A configuration that cannot be read is the answer to a call, not the end of the server: once it is corrected, the
   next call works.
2. The end of stdin and SIGTERM end the session: calls are cancelled, and what runs in this process is closed.
3. Where a mission runs is looked up each time: in the bridge of the project when one runs, else here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mcp.server.stdio import stdio_server

from codex_oss.cli.mission_client import is_ours
from codex_oss.cli.mission_detach import begin_in_bridge
from codex_oss.errors import BridgeError
from codex_oss.services.account_tools import ACCOUNT_TOOL_NAMES, offered_tools, offers_accounts
from codex_oss.services.bridge_process import Running, find_bridge
from codex_oss.services.delegation import Begin, Caller, Delegation, Tell, ToolReply, begin_here, refusal
from codex_oss.services.line_streams import LineSink, LineSource
from codex_oss.services.mcp_greeting import Greeter
from codex_oss.services.mcp_host import build_mcp_server
from codex_oss.services.settings import read_settings
from codex_oss.services.stdio_lines import Lines
from codex_oss.wiring.accounts import call_account_tool
from codex_oss.wiring.bridge import Bridge, build


class ProjectCalls:
    """The tools of one project. max_wait_s: how long `delegate` waits."""

    def __init__(self, project: Path, max_wait_s: float) -> None:
        self._project = project
        self._max_wait_s = max_wait_s
        self._bridge: Bridge | None = None

    async def call(self, name: str, arguments: Mapping[str, Any], tell: Tell, caller: Caller) -> ToolReply:
        """Carry one tool out."""
        if name in ACCOUNT_TOOL_NAMES and offers_accounts(os.environ):
            return await call_account_tool(os.environ, name, arguments)
        try:
            bridge = self._opened()
        except BridgeError as exc:
            return refusal(exc)
        begin = _begin_where_it_runs(bridge, self._project)
        delegation = Delegation(bridge.missions, bridge.profiles, begin, max_wait_s=self._max_wait_s)
        return await delegation.call(name, arguments, tell, caller)

    async def aclose(self) -> None:
        """End what runs here."""
        if self._bridge is not None:
            await self._bridge.aclose()

    def _opened(self) -> Bridge:
        if self._bridge is None:
            settings = read_settings(self._project, {}, os.environ)
            self._bridge = build(settings, self._project, os.environ)
        return self._bridge


def run_session(lines: Lines, greeter: Greeter, line: bytes, calls: ProjectCalls, about: str) -> None:
    """Serve until the client is gone. line: the first one that was not greeted. about: the server's instructions."""
    asyncio.run(_serve(lines, greeter, line, calls, about))


async def _serve(lines: Lines, greeter: Greeter, line: bytes, calls: ProjectCalls, about: str) -> None:
    session = asyncio.current_task()
    assert session is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, session.cancel)
    server = build_mcp_server(calls.call, about, lambda: offered_tools(os.environ))
    source = cast("Any", LineSource(lines, [*greeter.replay, line]))
    sink = cast("Any", LineSink(lines, greeter.answered_id))
    try:
        with contextlib.suppress(asyncio.CancelledError):
            async with stdio_server(source, sink) as (read_stream, write_stream):
                await server.run(read_stream, write_stream, server.create_initialization_options())
    finally:
        await calls.aclose()


def _begin_where_it_runs(bridge: Bridge, project: Path) -> Begin:
    """In the running bridge if there is one, looked for each time; else here."""
    here = begin_here(bridge.missions)

    async def begin(raw: Mapping[str, Any], model: str) -> tuple[str, str]:
        running = await asyncio.to_thread(find_bridge, project)
        if isinstance(running, Running) and is_ours(running, bridge.config):
            return await begin_in_bridge(running, bridge.config.local_key, raw, model)
        return await here(raw, model)

    return begin
