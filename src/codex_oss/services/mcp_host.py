"""The MCP server: the tools of `services.delegation_tools` and `services.account_tools`, over the official SDK.

Counterparts: `cli.mcp` runs it on stdin and stdout, `server.mcp_endpoint` on HTTP. The SDK is imported when a server is
made, not when this file is: it takes more time and memory than the whole bridge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codex_oss import __version__
from codex_oss.services.delegation_tools import SERVER_NAME, TOOLS, DelegationTool

if TYPE_CHECKING:
    from mcp.server import Server, ServerRequestContext

    from codex_oss.services.delegation import Caller, Tell, ToolReply

    Call = Callable[[str, Mapping[str, Any], Tell, Caller], Awaitable[ToolReply]]
    """Carries one tool out: name, arguments, where its progress is told, and who calls."""


def build_mcp_server(
    call: Call, instructions: str, tools: Callable[[], Sequence[DelegationTool]] = lambda: TOOLS
) -> Server[Any]:
    """A server that offers the tools (looked up for each list) and has *call* carry them out."""
    import mcp_types as types
    from mcp.server import Server

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(tool.on_wire()) for tool in tools()])

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        async def tell(number: int, sentence: str) -> None:
            await context.session.report_progress(float(number), None, sentence)

        reply = await call(params.name, params.arguments or {}, tell, _caller(context))
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=reply.text)],
            structured_content=reply.structured,
            is_error=reply.is_error,
        )

    return Server(
        SERVER_NAME,
        version=__version__,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _caller(context: ServerRequestContext[Any]) -> Caller:
    """Who calls. Observed: Codex CLI 0.169 puts `threadId` into the `_meta` of each call, beside the progress token."""
    from codex_oss.services.delegation import Caller

    meta: Mapping[str, Any] = context.meta or {}
    thread = meta.get("threadId")
    params = context.session.client_params
    info = params.client_info if params is not None else None
    return Caller(
        thread if isinstance(thread, str) else "",
        f"{info.name}/{info.version}" if info is not None else "",
        listens=meta.get("progress_token", meta.get("progressToken")) is not None,
    )
