"""Running a command of a model's in an enclosure of the operating system: the strongest level that works here.

Counterparts: `services.sandbox_enclosure` says what it may touch, `services.sandbox_child` runs it;
`services.sandbox_proofs` attacks it. docs/sandbox.md says what each level keeps and what it does not.

    bwrap      namespaces by bubblewrap and a system call filter
    landlock   Landlock, a wider filter, limits and the end of the whole tree; for hosts without namespaces
    none       neither works: commands are refused, unless the user's own setting says otherwise

Rules that hold here:

1. Which level works is found by doing it, once per process; nothing is concluded from a file or a version.
2. Nothing falls back silently. A level that fails once it was chosen refuses the command; every result names its level.
3. The command ends with its time, with whoever waits for it, and with this process, however that one dies.
4. Output is bounded while it comes: its beginning and its end are kept, the middle is counted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from codex_oss.errors import SandboxError
from codex_oss.services.sandbox_bwrap import find_bwrap
from codex_oss.services.sandbox_enclosure import Enclosure, Limits, clean_environment, enclose
from codex_oss.services.sandbox_landlock import landlock_abi
from codex_oss.services.sandbox_tree import end_all

SandboxLevel = Literal["bwrap", "landlock", "none"]
LADDER: Final[tuple[SandboxLevel, ...]] = ("bwrap", "landlock")
"""The levels that enclose, the strongest first."""

TIMED_OUT: Final = 124
"""Exit code of a command whose time was up, as timeout(1) has it."""
GRACE_S: Final = 10.0
"""How much longer than the command the process above it may take."""
PROBE_LIMITS: Final = Limits(timeout_s=15.0)
CHUNK_BYTES: Final = 65_536
SHELLS: Final = ("/usr/bin/bash", "/bin/bash", "/bin/sh")
_START: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from codex_oss.services.sandbox_child import main; main()"
)
_PACKAGES: Final = str(Path(__file__).resolve().parents[2])

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of a command."""

    exit_code: int
    """Its own; 128 + number when a signal ended it; 124 when its time was up."""
    output: str
    """What it wrote to stdout and stderr, in the order of writing; undecodable bytes replaced."""
    timed_out: bool
    sandbox: SandboxLevel
    """The level that enclosed it."""
    cut: str = ""
    """Why it was ended by us: `time`, `processes` or `memory`; empty when it ended by itself."""
    left_out_bytes: int = 0
    """How much of the output's middle is missing."""
    seconds: float = 0.0


async def run_sandboxed(
    command: Sequence[str] | str,
    *,
    root: Path,
    writable: Sequence[Path],
    timeout_s: float,
    max_output_bytes: int,
    environ: Mapping[str, str],
    level: SandboxLevel | None = None,
    allow_none: bool = False,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
) -> CommandResult:
    """Run *command* in *root*, enclosed, and return what became of it.

    command: arguments, or a text for the shell. writable: existing folders in *root*; their `.git` stays read only.
    environ: ours; only harmless names of it reach the command. level: None for the best that works. allow_none: the
    user's own setting, run it even where nothing encloses it. readable: further folders with tools. limits: replaces
    the usual ones, its timeout_s included.
    Errors: SandboxError; the command was not run then. Cancelling ends the command first.
    """
    argv = _arguments(command)
    if not argv or any("\0" in part for part in argv):
        raise SandboxError("This is no command: it is empty, or holds a NUL character.", code="sandbox_failed")
    chosen: SandboxLevel = level if level is not None else await asyncio.to_thread(probe_sandbox)
    if chosen == "none":
        _refuse_bare(allow_none)
    enclosure = enclose(root, writable, environ, readable=readable)
    order = _order(chosen, argv, enclosure, limits or Limits(timeout_s=timeout_s), environ)
    output, report = await _carried_out(order, max_output_bytes)
    return _result(output, report, chosen)


@cache
def probe_sandbox() -> SandboxLevel:
    """The strongest level that works here, by running `true` in each; asked once per process. Takes some 50 ms each."""
    return next((level for level in LADDER if level_problem(level) == ""), "none")


@cache
def level_problem(level: SandboxLevel) -> str:
    """Why a level does not work here, in words; empty when it does."""
    if sys.platform != "linux":
        return "only Linux has it"
    if level == "bwrap" and find_bwrap() is None:
        return "bubblewrap is not installed"
    if level == "landlock" and landlock_abi() < 1:
        return "the kernel has no Landlock"
    with tempfile.TemporaryDirectory(prefix="codex-oss-probe-") as folder:
        enclosure = Enclosure(os.path.realpath(folder), *_probe_parts())
        order = _order(level, ["/usr/bin/env", "true"], enclosure, PROBE_LIMITS, {})
        return _probe(order)


def _probe_parts() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return ("/usr",), (), (), ()


def _probe(order: dict[str, Any]) -> str:
    report_fd, tell = os.pipe()
    with os.fdopen(report_fd, "rb") as report:
        try:
            with subprocess.Popen(  # noqa: S603 - our own interpreter and module
                _child(tell),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(tell,),
                env={},
                cwd="/",
                start_new_session=True,
            ) as child:
                os.close(tell)
                assert child.stdin is not None
                assert child.stdout is not None
                child.stdin.write(json.dumps(order).encode() + b"\n")
                child.stdin.flush()
                words = child.stdout.read(CHUNK_BYTES).decode("utf-8", "replace").strip()
                told = json.loads(report.readline() or b"{}")
        except (OSError, ValueError) as exc:
            return f"it could not be tried: {exc}"
    if told.get("status") == 0 and not told.get("cut"):
        return ""
    return words.splitlines()[0] if words else str(told.get("problem", "a command in it does not end"))


def _refuse_bare(allow_none: bool) -> None:
    if not allow_none:
        reasons = "; ".join(f"{level}: {level_problem(level)}" for level in LADDER)
        raise SandboxError(
            f"Commands are not run, because nothing encloses them here ({reasons}).",
            hint="Install bubblewrap, or use a kernel with Landlock; `codex-oss doctor --sandbox` tells more.",
        )
    log.warning("a command runs without any enclosure, as the setting `sandbox` allows")


def _arguments(command: Sequence[str] | str) -> list[str]:
    if not isinstance(command, str):
        return list(command)
    shell = next((shell for shell in SHELLS if os.access(shell, os.X_OK)), SHELLS[-1])
    return [shell, "-c", command]


def _order(
    level: SandboxLevel, argv: list[str], enclosure: Enclosure, limits: Limits, environ: Mapping[str, str]
) -> dict[str, Any]:
    """What `services.sandbox_child` is told; it never sees a key."""
    return {
        "level": level,
        "argv": argv,
        "folder": enclosure.root,
        "abi": landlock_abi() if level == "landlock" else 0,
        "bwrap": find_bwrap() or "",
        "enclosure": asdict(enclosure),
        "limits": asdict(limits),
        "environ": clean_environment(environ, enclosure),
    }


def _child(report_fd: int) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", _START, _PACKAGES, str(report_fd)]


async def _carried_out(order: dict[str, Any], max_output_bytes: int) -> tuple[_Output, dict[str, Any]]:
    """Start the process above the command, read both its pipes to their ends, and never leave it behind."""
    report_fd, tell = os.pipe()
    os.set_blocking(report_fd, False)
    try:
        child = await asyncio.create_subprocess_exec(
            *_child(tell),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(tell,),
            env={},
            cwd="/",
            start_new_session=True,
        )
    except BaseException as exc:
        os.close(report_fd)
        if isinstance(exc, OSError):
            raise SandboxError(f"The command could not be started: {exc.strerror}.", code="sandbox_failed") from exc
        raise
    finally:
        os.close(tell)
    output = _Output(max_output_bytes)
    try:
        try:
            async with asyncio.timeout(float(order["limits"]["timeout_s"]) + GRACE_S):
                await _give(child, order)
                await output.read(child.stdout)
                await child.wait()
        except TimeoutError:
            log.error("the process above a command did not end in time")
        finally:
            await asyncio.shield(_ended(child))
        return output, _reported(report_fd)
    finally:
        os.close(report_fd)


def _reported(report_fd: int) -> dict[str, Any]:
    """The report; empty when whoever should have written it was ended before."""
    with suppress(BlockingIOError, ValueError):
        told: dict[str, Any] = json.loads(os.read(report_fd, CHUNK_BYTES))
        return told
    return {}


async def _give(child: asyncio.subprocess.Process, order: dict[str, Any]) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(json.dumps(order).encode() + b"\n")
        await child.stdin.drain()


async def _ended(child: asyncio.subprocess.Process) -> None:
    """Cut the leash and wait until nothing is left; by force when that takes too long."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        async with asyncio.timeout(GRACE_S):
            await child.wait()
    except TimeoutError:
        end_all(child.pid, reap=False)
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


class _Output:
    """The beginning and the end of what a command wrote, each half of the bound."""

    def __init__(self, max_bytes: int) -> None:
        self._head_bytes = max_bytes // 2
        self._tail_bytes = max_bytes - self._head_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self.left_out_bytes = 0

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        """Read to the end; what does not fit is counted and dropped."""
        assert stream is not None
        while piece := await stream.read(CHUNK_BYTES):
            room = self._head_bytes - len(self._head)
            self._head += piece[:room]
            self._tail += piece[max(0, room) :]
            if (surplus := len(self._tail) - self._tail_bytes) > 0:
                self.left_out_bytes += surplus
                del self._tail[:surplus]

    def text(self) -> str:
        """The kept text, with a line about what is missing."""
        head, tail = (bytes(part).decode("utf-8", "replace") for part in (self._head, self._tail))
        gap = f"\n[{self.left_out_bytes} bytes left out]\n" if self.left_out_bytes else ""
        return f"{head}{gap}{tail}" if gap else bytes(self._head + self._tail).decode("utf-8", "replace")


def _result(output: _Output, report: dict[str, Any], level: SandboxLevel) -> CommandResult:
    """The report in our words. Raises SandboxError for a command that was never started."""
    if not report:
        message = "The command was cut off: the process above it was ended from outside."
        raise SandboxError(message, code="sandbox_failed")
    if "status" not in report:
        words = output.text().strip()[:300]
        told = str(report["problem"]).rstrip(".")
        if level != "bwrap" and told in ("No such file or directory", "Permission denied", "Not a directory"):
            code = 127 if told.startswith("No such") else 126
            return CommandResult(code, f"the command cannot be run: {told}", False, level)
        raise SandboxError(
            f"The command was not run, because level {level} failed: {told}{f' ({words})' if words else ''}.",
            code="sandbox_failed",
        )
    cut = str(report.get("cut", ""))
    timed_out = cut == "time"
    status = os.waitstatus_to_exitcode(int(report["status"])) if not cut else -9
    exit_code = TIMED_OUT if timed_out else status if status >= 0 else 128 - status
    seconds = float(report.get("seconds", 0.0))
    return CommandResult(exit_code, output.text(), timed_out, level, cut, output.left_out_bytes, seconds)
