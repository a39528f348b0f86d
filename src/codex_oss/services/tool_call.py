"""One tool run of a mission, within its time and within what the model may still be shown.

Counterparts: `missions.decide` allows a run and says how much it may show, `services.tool_host` does it,
`services.mission_runner` logs what comes out.

Rules that hold here:

1. Whatever the tool does, there is a result: an error of the tool ends no mission.
2. Time is what is left to the deadline when the tool really begins; waiting for a thread is part of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from codex_oss.contracts.tools import ToolCall, ToolResult, tool_error
from codex_oss.errors import BridgeError, fault_of
from codex_oss.missions.decide import RunTool
from codex_oss.missions.events import ToolFinished
from codex_oss.policy.scope import Scope
from codex_oss.services.tool_host import ToolLimits

MAX_TOOL_S: Final = 20.0
MIN_TOOL_S: Final = 0.2
HEADER_BYTES: Final = 300
"""Of an observation: what ran, how much of it is shown, and the ref, for a path of ordinary length."""
MIN_SHOWN_BYTES: Final = 200
BYTES_PER_MATCH: Final = 120
MAX_TOOL_FILE_BYTES: Final = 4 * 1024 * 1024
logger = logging.getLogger(__name__)


class Tools(Protocol):
    """Whoever does the work; `services.tool_host.ToolHost`."""

    def run(self, call: ToolCall, scope: Scope, limits: ToolLimits) -> ToolResult:
        """Run one tool; blocking, never raises for what the model did."""
        ...


class ToolCalls:
    """Runs the tools of missions. monotonic_ms: a clock that nobody sets."""

    def __init__(self, tools: Tools, monotonic_ms: Callable[[], int]) -> None:
        self._tools = tools
        self._monotonic_ms = monotonic_ms

    async def run(self, step: RunTool, scope: Scope, left_s: float) -> ToolFinished:
        """Run the tool of *step* in a thread; never raises for what the tool did. left_s: to the deadline."""
        started = self._monotonic_ms()
        try:
            async with asyncio.timeout(max(MIN_TOOL_S, left_s)):
                result = await asyncio.to_thread(self._result, step, scope, started, left_s)
        except TimeoutError:
            # It waited for a thread behind other missions' tools, or does not mind its bounds.
            result = tool_error(step.tool.tool, "tool_timeout", "The tool was not done within the mission's time.")
        except BridgeError as exc:
            result = tool_error(step.tool.tool, exc.code, exc.message)
        except Exception as exc:
            logger.error("%s failed unexpectedly: %s", step.tool.tool, fault_of(exc))
            told = "The tool failed; the log of the bridge has the details."
            result = tool_error(step.tool.tool, "tool_failed", told)
        return ToolFinished(step.step, result, self._monotonic_ms() - started)

    def _result(self, step: RunTool, scope: Scope, asked_ms: int, left_s: float) -> ToolResult:
        """What the tool shows with what is left of its time when it begins."""
        waited_s = (self._monotonic_ms() - asked_ms) / 1000
        return self._tools.run(step.tool, scope, tool_limits(step.max_bytes, left_s - waited_s))


def tool_limits(max_bytes: int, left_s: float = MAX_TOOL_S) -> ToolLimits:
    """The bounds of one run. max_bytes: most that the model may be shown. left_s: to the deadline."""
    shown = max(MIN_SHOWN_BYTES, max_bytes - HEADER_BYTES)
    return ToolLimits(
        max_bytes=shown,
        max_matches=max(10, min(100, shown // BYTES_PER_MATCH)),
        max_file_bytes=MAX_TOOL_FILE_BYTES,
        timeout_s=min(MAX_TOOL_S, max(MIN_TOOL_S, left_s)),
    )
