"""What the agent's tools do: a call in, a proposal out; and when that was approved, the work and its result.

Counterparts: `agent.tools` read the call, `agent.edits` computes what an edit makes of a file, `services.tool_host`
reads, lists and searches, `services.project_edits` writes, `services.agent_shell` runs commands.

    prepare(call) ─► refused, with a sentence for the model
                 └─► Prepared: a proposal ─ approved ─► perform() ─► Performed

Rules that hold here:

1. `prepare` changes nothing. What it shows is what `perform` does: an edit is computed once, and written only if the
   file is still the one that it was computed from.
2. Everything that leaves here is redacted and bounded: results, diffs, messages.
3. A command runs in the sandbox or not at all.
4. Nothing here raises for what the model asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from codex_oss.agent.edits import check_new, diff_of, replaced
from codex_oss.agent.events import Proposal
from codex_oss.agent.rendering import Told, one_line, told_command, told_result, without_colours
from codex_oss.agent.tools import DEFAULT_SHELL_S, RUNTIME_TOOL, Wanted
from codex_oss.contracts.tools import ToolCall, Verdict, denied
from codex_oss.errors import BridgeError
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.printable import printable
from codex_oss.policy.scope import Scope, check_path, may_be_linked, normalise_path
from codex_oss.services.project_edits import check_absent, create_file, replace_file
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.sandbox import CommandResult
from codex_oss.services.tool_host import ToolHost, ToolLimits

MAX_EDIT_BYTES: Final = 4_000_000
"""Of a file that is edited, before and after."""
MAX_READ_S: Final = 20.0
MAX_OUTPUT_BYTES: Final = 200_000
"""Kept of a command's output, before it is shortened for the model."""
MAX_SHOWN_BYTES: Final = 40_000
"""Of one result, as the model reads it; less for a model that reads little."""
HOW_TO_SANDBOX: Final = "Install bubblewrap, or use a kernel with Landlock; `codex-oss doctor --sandbox` says more."


class Shell(Protocol):
    """Where commands run, enclosed; `services.agent_shell.ProjectShell`."""

    async def level(self) -> str:
        """`bwrap`, `landlock` or `none`."""
        ...

    async def problem(self) -> str:
        """Why it is `none`."""
        ...

    async def run(self, command: str, *, timeout_s: float, max_output_bytes: int) -> CommandResult:
        """Run one command line to its end, or kill it with all its children. Raises BridgeError when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of a tool. changed: the project may look different now."""

    told: Told
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A tool that may run, once somebody agreed."""

    proposal: Proposal
    perform: Callable[[], Awaitable[Performed]]


class AgentTools:
    """The tools on one project.

    root and scope: what may be touched; the caller closes the root. max_shown_bytes: of one result.
    """

    def __init__(
        self,
        root: ProjectRoot,
        scope: Scope,
        redactor: Redactor,
        shell: Shell,
        *,
        max_shown_bytes: int = MAX_SHOWN_BYTES,
    ) -> None:
        self._root = root
        self._scope = scope
        self._redactor = redactor
        self._shell = shell
        self._max_shown = min(max_shown_bytes, MAX_SHOWN_BYTES)
        self._host = ToolHost(root, redactor)

    async def prepare(self, wanted: Wanted, left_s: float) -> Prepared | Verdict:
        """What would be done, or a denied Verdict with a sentence for the model. left_s: of the turn's time."""
        try:
            if wanted.tool in RUNTIME_TOOL:
                return self._reading(wanted, left_s)
            if wanted.tool == "shell":
                return await self._command(wanted, left_s)
            return await asyncio.to_thread(self._writing, wanted)
        except BridgeError as error:
            return denied(error.code, self._clean(error.message))

    # ------------------------------------------------------------------------------------------ reading

    def _reading(self, wanted: Wanted, left_s: float) -> Prepared:
        call = ToolCall(RUNTIME_TOOL[wanted.tool], dict(wanted.arguments))
        limits = ToolLimits(max_bytes=self._max_shown, timeout_s=max(0.2, min(MAX_READ_S, left_s)))

        async def perform() -> Performed:
            result = await asyncio.to_thread(self._host.run, call, self._scope, limits)
            return Performed(told_result(wanted.tool, result))

        what = wanted.text("pattern") or wanted.text("path") or "."
        summary = one_line(self._clean(f"{wanted.tool} {what}"))
        path = self._clean(wanted.text("path"))
        return Prepared(Proposal(wanted.call_id, wanted.tool, summary, asks=False, path=path), perform)

    # ------------------------------------------------------------------------------------------ writing

    def _writing(self, wanted: Wanted) -> Prepared | Verdict:
        path = wanted.text("path")
        verdict = check_path(path, self._scope)
        if not verdict.allowed:
            return verdict
        path = str(normalise_path(path))
        return self._creation(wanted, path) if wanted.tool == "create_file" else self._edit(wanted, path)

    def _creation(self, wanted: Wanted, path: str) -> Prepared | Verdict:
        content = wanted.text("content")
        if refusal := check_new(content):
            return refusal
        check_absent(self._root, path)
        return self._written(wanted, path, None, content, lambda data: create_file(self._root, path, data))

    def _edit(self, wanted: Wanted, path: str) -> Prepared | Verdict:
        linked = may_be_linked(path, self._scope)
        content = self._root.read_file(path, MAX_EDIT_BYTES, allow_hard_links=linked)
        if not content.complete:
            return denied("too_large", f"{path!r} is larger than {MAX_EDIT_BYTES} bytes.")
        try:
            before = content.data.decode()
        except UnicodeDecodeError:
            return denied("not_text", f"{path!r} is no UTF-8 text and is not edited.")
        if "\0" in before:
            return denied("binary_file", f"{path!r} is a binary file.")
        old, new, every = wanted.text("old_text"), wanted.text("new_text"), wanted.arguments.get("replace_all") is True
        after = replaced(before, self._redactor.redact(before).text, old, new, every=every)
        if isinstance(after, Verdict):
            return after
        if len(after) > MAX_EDIT_BYTES:
            return denied("too_large", f"{path!r} would become larger than {MAX_EDIT_BYTES} bytes.")

        def write(data: bytes) -> None:
            replace_file(self._root, path, data, expected_sha256=content.sha256)

        return self._written(wanted, path, before, after, write)

    def _written(
        self, wanted: Wanted, path: str, before: str | None, after: str, write: Callable[[bytes], None]
    ) -> Prepared:
        diff, added, removed = diff_of(path, before, after)
        verb = "create" if before is None else "edit"
        summary = f"{verb} {one_line(self._clean(path))} (+{added} -{removed})"

        async def perform() -> Performed:
            try:
                await asyncio.to_thread(write, after.encode())
            except BridgeError as error:
                told = self._clean(f"{error.code}: {error.message}")
                return Performed(Told(False, told, told))
            return Performed(Told(True, f"{summary} done", f"Done: {summary}."), changed=True)

        proposal = Proposal(
            wanted.call_id,
            wanted.tool,
            summary,
            asks=True,
            path=self._clean(path),
            diff=self._redactor.redact(diff).text,
        )
        return Prepared(proposal, perform)

    # ------------------------------------------------------------------------------------------ shell

    async def _command(self, wanted: Wanted, left_s: float) -> Prepared | Verdict:
        command = wanted.text("command")
        if not command.strip():
            return denied("argument_invalid", "shell: command must not be empty.")
        level = await self._shell.level()
        if level == "none":
            why = f"Commands are not run, because nothing encloses them here ({await self._shell.problem()})."
            return denied("sandbox_missing", self._clean(f"{why} {HOW_TO_SANDBOX}"))
        timeout_s = min(float(wanted.arguments.get("timeout_s") or DEFAULT_SHELL_S), max(1.0, left_s))

        async def perform() -> Performed:
            try:
                ran = await self._shell.run(command, timeout_s=timeout_s, max_output_bytes=MAX_OUTPUT_BYTES)
            except BridgeError as error:
                told = self._clean(f"{error.code}: {error.message}")
                return Performed(Told(False, told, told))
            output, shortened = self._shown_output(ran.output)
            whole = not shortened and not ran.left_out_bytes
            return Performed(told_command(ran.exit_code, output, ended_by=ran.cut, whole=whole), changed=True)

        summary = f"run {one_line(self._redactor.redact(command).text)}"
        return Prepared(
            Proposal(wanted.call_id, wanted.tool, summary, asks=True, command=command, sandbox=level), perform
        )

    def _shown_output(self, output: str) -> tuple[str, bool]:
        """The output without colours, secrets and control characters; its begin and its end when it is long."""
        clean = printable(self._redactor.redact(without_colours(output)).text)
        if len(clean) <= self._max_shown:
            return clean, False
        half = self._max_shown // 2
        head, tail = clean[:half].rpartition("\n")[0], clean[-half:].partition("\n")[2]
        return f"{head}\n… {len(clean) - len(head) - len(tail)} characters left out …\n{tail}", True

    def _clean(self, text: str) -> str:
        return printable(self._redactor.redact(text).text)
