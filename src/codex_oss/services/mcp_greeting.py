"""The first words of an MCP session, answered before the official SDK is imported.

Counterparts: `services.stdio_lines` brings the lines; `services.mcp_host` is the SDK's server, which takes over.

    initialize ─► answered here     ┐
    initialized                     ├─► replayed to the SDK, once a line comes that is none of these
    ping, tools/list ─► answered here

The SDK takes a second to import, and Codex 0.169 asks its model after a second, with the tools of those servers that
have answered by then. A session that never delegates never imports it. Rules that hold here:

1. Only what is exactly understood is answered. Everything else, the unusual forms of these messages too, is for the
   SDK, in order.
2. The answers are those of the SDK: tests compare them for each version that is greeted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from codex_oss import __version__
from codex_oss.services.delegation_tools import SERVER_NAME, TOOLS, DelegationTool

GREETED_VERSIONS: Final = ("2025-06-18", "2025-11-25")
"""Protocol versions whose answers are known to be these. Older and newer ones are answered by the SDK."""


class _Client(Struct):
    name: str
    version: str


class _InitializeParams(Struct, rename="camel"):
    protocol_version: Literal["2025-06-18", "2025-11-25"]
    capabilities: dict[str, Any]
    client_info: _Client


class _Message(Struct):
    jsonrpc: Literal["2.0"]
    method: str
    id: int | str | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET


class Greeter:
    """The state of one session until the SDK takes over.

    instructions: what clients may tell their model of us. tools: what is offered, looked up for each list.
    """

    def __init__(self, instructions: str, tools: Callable[[], Sequence[DelegationTool]] = lambda: TOOLS) -> None:
        self._instructions = instructions
        self._tools = tools
        self.replay: list[bytes] = []
        """What the SDK has to hear first."""
        self.answered_id: int | str | None = None
        """The id of the `initialize` that was answered here; the SDK's answer to it must not be sent."""

    def take(self, line: bytes) -> bytes | None:
        """The answer to one line of the client, empty when none is due; None when the SDK must take over with it."""
        try:
            message = msgspec.json.decode(line, type=_Message)
            if message.id is UNSET:
                return self._note(message, line)
            result = self._result(message, line)
        except msgspec.DecodeError:
            return None
        if result is None:
            return None
        return msgspec.json.encode({"jsonrpc": "2.0", "id": message.id, "result": result}) + b"\n"

    def _note(self, message: _Message, line: bytes) -> bytes | None:
        if message.method != "notifications/initialized" or self.answered_id is None:
            return None
        self.replay.append(line)
        return b""

    def _result(self, message: _Message, line: bytes) -> dict[str, Any] | None:
        if message.method == "initialize" and self.answered_id is None:
            params = msgspec.convert(message.params, _InitializeParams)
            assert not isinstance(message.id, UnsetType)
            self.answered_id = message.id
            self.replay.append(line)
            return self._welcome(params.protocol_version)
        if self.answered_id is None or message.id == self.answered_id:
            return None
        keys = {} if message.params is UNSET else message.params
        if message.method == "ping" and not keys:
            return {}
        if message.method == "tools/list" and keys.keys() <= {"_meta"}:
            return {"tools": [tool.on_wire() for tool in self._tools()]}
        return None

    def _welcome(self, version: str) -> dict[str, Any]:
        return {
            "protocolVersion": version,
            "capabilities": {"tools": {"listChanged": False}},
            "serverInfo": {"name": SERVER_NAME, "version": __version__},
            "instructions": self._instructions,
        }
