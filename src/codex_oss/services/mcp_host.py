"""The MCP server: the tools of `services.delegation`, spoken over the official SDK.

Counterparts: `cli.mcp` runs it on stdin and stdout, `server.mcp_endpoint` on HTTP. The SDK is imported when a server is
made, not when this file is: it takes more time and memory than the whole bridge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codex_oss import __version__
from codex_oss.services.delegation import TOOLS, Caller, Delegation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server import Server, ServerRequestContext

INSTRUCTIONS: Final = (
    "Hands bounded, read-only investigations of this project to open models. Use delegate for one question, "
    "mission_start for several at once. Findings cite refs that were checked; judge them yourself."
)


def build_mcp_server(delegation: Delegation) -> Server[Any]:
    """A server that offers the tools of *delegation*."""
    import mcp_types as types
    from mcp.server import Server

    tools = [
        types.Tool(
            name=tool.name,
            title=tool.title,
            description=tool.description,
            input_schema=tool.input_schema(),
            annotations=types.ToolAnnotations(
                title=tool.title, read_only_hint=tool.read_only, destructive_hint=False, open_world_hint=False
            ),
        )
        for tool in TOOLS
    ]

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        async def tell(number: int, sentence: str) -> None:
            await context.session.report_progress(float(number), None, sentence)

        reply = await delegation.call(params.name, params.arguments or {}, tell, _caller(context))
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=reply.text)],
            structured_content=reply.structured,
            is_error=reply.is_error,
        )

    return Server(
        "codex-oss",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _caller(context: ServerRequestContext[Any]) -> Caller:
    """Who calls. Observed: Codex CLI 0.169 puts `threadId` into the `_meta` of each call, beside the progress token."""
    meta: Mapping[str, Any] = context.meta or {}
    thread = meta.get("threadId")
    params = context.session.client_params
    info = params.client_info if params is not None else None
    return Caller(
        thread if isinstance(thread, str) else "",
        f"{info.name}/{info.version}" if info is not None else "",
        listens=meta.get("progress_token", meta.get("progressToken")) is not None,
    )
