"""`codex-oss mcp`: the MCP server on stdin and stdout, as Codex and OpenCode start it.

Missions run in the bridge of the project when one runs, else in this process. Nothing but the protocol is written to
stdout; log lines go to stderr.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codex_oss.cli.options import project_option

if TYPE_CHECKING:
    from codex_oss.services.delegation import Begin
    from codex_oss.wiring import Bridge


@click.command("mcp", epilog="Example: codex mcp add codex-oss -- codex-oss mcp --project .")
@project_option
def mcp(project: Path) -> None:
    """Offer missions as MCP tools (delegate, mission_start, …) on stdin and stdout."""
    asyncio.run(_serve(project))


async def _serve(project: Path) -> None:
    from mcp.server.stdio import stdio_server

    from codex_oss import wiring
    from codex_oss.services.delegation import Delegation
    from codex_oss.services.mcp_host import build_mcp_server
    from codex_oss.services.settings import read_settings

    bridge = wiring.build(read_settings(project, {}, os.environ), project, os.environ)
    server = build_mcp_server(Delegation(bridge.missions, bridge.profiles, _begin_where_it_runs(bridge, project)))
    try:
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
    finally:
        await bridge.aclose()


def _begin_where_it_runs(bridge: Bridge, project: Path) -> Begin:
    """In the running bridge if there is one, looked for each time; else here."""
    from codex_oss.cli.mission_client import is_ours
    from codex_oss.cli.mission_detach import begin_in_bridge
    from codex_oss.services.bridge_process import Running, find_bridge
    from codex_oss.services.delegation import begin_here

    here = begin_here(bridge.missions)

    async def begin(raw: Mapping[str, Any], model: str) -> tuple[str, str]:
        running = await asyncio.to_thread(find_bridge, project)
        if isinstance(running, Running) and is_ours(running, bridge.config):
            return await begin_in_bridge(running, bridge.config.local_key, raw, model)
        return await here(raw, model)

    return begin
