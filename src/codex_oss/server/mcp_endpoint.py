"""MCP over streamable HTTP at `/mcp`: the same tools as `codex-oss mcp`, in the running bridge.

Counterparts: `services.mcp_host` makes the server; `server.access` has checked key, Host and Origin before.

Rules that hold here:

1. The SDK is imported with the first request, in a thread: a bridge that nobody asks for MCP does not pay for it.
2. Sessions are bounded in number and in idle time; they end with the bridge.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Mapping
from typing import Any, Final

from starlette.routing import Route as Path
from starlette.types import ASGIApp, Receive, Scope, Send

from codex_oss.services.account_tools import ACCOUNT_TOOL_NAMES, offered_tools, offers_accounts
from codex_oss.services.delegation import Caller, Delegation, Tell, ToolReply, begin_here
from codex_oss.services.delegation_tools import instructions
from codex_oss.services.mcp_host import build_mcp_server
from codex_oss.wiring.accounts import call_account_tool
from codex_oss.wiring.bridge import Bridge

MAX_SESSIONS: Final = 64
IDLE_S: Final = 1800.0


class McpEndpoint:
    """An ASGI application, bound to one bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._opening = asyncio.Lock()
        self._handler: ASGIApp | None = None
        self._holder: asyncio.Task[None] | None = None

    def routes(self) -> list[Path]:
        """Where it answers."""
        return [Path("/mcp", self, methods=["GET", "POST", "DELETE"])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        async with self._opening:
            handler = self._handler or await self._open()
        await handler(scope, receive, send)

    async def aclose(self) -> None:
        """End all sessions."""
        if self._holder is not None:
            self._holder.cancel()
            await asyncio.gather(self._holder, return_exceptions=True)

    async def _open(self) -> ASGIApp:
        await asyncio.to_thread(importlib.import_module, "mcp.server.streamable_http_manager")
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        bridge = self._bridge
        delegation = Delegation(bridge.missions, bridge.profiles, begin_here(bridge.missions))

        async def call(name: str, arguments: Mapping[str, Any], tell: Tell, caller: Caller) -> ToolReply:
            if name in ACCOUNT_TOOL_NAMES and offers_accounts(os.environ):
                return await call_account_tool(os.environ, name, arguments)
            return await delegation.call(name, arguments, tell, caller)

        server = build_mcp_server(call, instructions(bridge.project), lambda: offered_tools(os.environ))
        manager = StreamableHTTPSessionManager(
            server,
            session_idle_timeout=IDLE_S,
            max_sessions=MAX_SESSIONS,
            max_request_body_size=bridge.config.max_body_bytes,
        )
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(_hold(manager, ready))
        await ready
        self._handler = manager.handle_request
        return manager.handle_request


async def _hold(manager: Any, ready: asyncio.Future[None]) -> None:
    """Keep the manager's task group open: it must be entered and left by the same task."""
    async with manager.run():
        ready.set_result(None)
        await asyncio.Event().wait()
