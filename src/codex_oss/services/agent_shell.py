"""The shell of the agent: commands in the project, in the sandbox of `services.sandbox`.

Counterpart: `services.agent_tools`, which asks for a level first and refuses `none` before anybody is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from codex_oss.services.sandbox import LADDER, CommandResult, level_problem, probe_sandbox, run_sandboxed

UNENCLOSED: Final = "no sandbox, as your setting `sandbox` allows"
"""Told with the proposal instead of a level."""


class ProjectShell:
    """Commands that may read and write one project.

    environ: ours; the sandbox lets only harmless names through. allow_none: the user's own setting, run a command even
    where nothing encloses it. readable: further folders with tools.
    """

    def __init__(
        self,
        project: Path,
        environ: Mapping[str, str],
        *,
        allow_none: bool = False,
        readable: Sequence[Path] = (),
    ) -> None:
        self._project = project
        self._environ = environ
        self._allow_none = allow_none
        self._readable = readable

    async def level(self) -> str:
        """`bwrap`, `landlock`, `none`, or UNENCLOSED where that is allowed; the first question takes some 50 ms."""
        level = await asyncio.to_thread(probe_sandbox)
        return UNENCLOSED if level == "none" and self._allow_none else level

    async def problem(self) -> str:
        """Why nothing encloses a command here, in words."""
        return await asyncio.to_thread(lambda: "; ".join(f"{level}: {level_problem(level)}" for level in LADDER))

    async def run(self, command: str, *, timeout_s: float, max_output_bytes: int) -> CommandResult:
        """Run one command line. Cancelling ends it with all its children. Errors: SandboxError."""
        return await run_sandboxed(
            command,
            root=self._project,
            writable=(self._project,),
            timeout_s=timeout_s,
            max_output_bytes=max_output_bytes,
            environ=self._environ,
            allow_none=self._allow_none,
            readable=self._readable,
        )
