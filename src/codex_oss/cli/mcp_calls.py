"""What the tools of `codex-oss mcp` stand on: a bridge of this process, opened with the first call.

Counterpart: `services.delegation`, which carries the calls out. Rules that hold here:

1. A configuration that cannot be read is the answer to a call, not the end of the server: once it is corrected, the
   next call works.
2. Where a mission runs is looked up each time: in the bridge of the project when one runs, else here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_oss import wiring
from codex_oss.cli.mission_client import is_ours
from codex_oss.cli.mission_detach import begin_in_bridge
from codex_oss.errors import BridgeError
from codex_oss.services.bridge_process import Running, find_bridge
from codex_oss.services.delegation import Begin, Caller, Delegation, Tell, ToolReply, begin_here, refusal
from codex_oss.services.settings import read_settings


class ProjectCalls:
    """The tools of one project. max_wait_s: how long `delegate` waits."""

    def __init__(self, project: Path, max_wait_s: float) -> None:
        self._project = project
        self._max_wait_s = max_wait_s
        self._bridge: wiring.Bridge | None = None

    async def call(self, name: str, arguments: Mapping[str, Any], tell: Tell, caller: Caller) -> ToolReply:
        """Carry one tool out."""
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

    def _opened(self) -> wiring.Bridge:
        if self._bridge is None:
            settings = read_settings(self._project, {}, os.environ)
            self._bridge = wiring.build(settings, self._project, os.environ)
        return self._bridge


def _begin_where_it_runs(bridge: wiring.Bridge, project: Path) -> Begin:
    """In the running bridge if there is one, looked for each time; else here."""
    here = begin_here(bridge.missions)

    async def begin(raw: Mapping[str, Any], model: str) -> tuple[str, str]:
        running = await asyncio.to_thread(find_bridge, project)
        if isinstance(running, Running) and is_ours(running, bridge.config):
            return await begin_in_bridge(running, bridge.config.local_key, raw, model)
        return await here(raw, model)

    return begin
