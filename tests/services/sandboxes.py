"""What the tests of the sandbox share: the levels that work here, and a user who is nobody.

Tests that run commands run them at every level; a level that does not work here is skipped with its reason.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import codex_oss
from codex_oss.services.sandbox import LADDER, CommandResult, SandboxLevel, run_sandboxed
from codex_oss.services.sandbox_enclosure import Limits

PYTHON = os.path.realpath(sys.executable)
NOBODY = 54321
LINUX = sys.platform == "linux"
SYSTEM_PYTHON = "/usr/bin/python3"


def cannot_be_here(level: str) -> str:
    """Why this machine has no such level, asked without our own code; empty where it must work."""
    if level == "landlock":
        asked = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)) if LINUX else -1
        return "" if asked >= 1 else "the kernel has no Landlock"
    if not LINUX or not (program := shutil.which("bwrap", path="/usr/bin:/usr/local/bin")):
        return "bubblewrap is not installed"
    tried = subprocess.run(
        [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else f"bubblewrap cannot work here: {tried.stderr.decode().strip()}"


at_every_level = pytest.mark.parametrize(
    "level",
    [
        pytest.param(level, marks=pytest.mark.skipif(bool(cannot_be_here(level)), reason=cannot_be_here(level)))
        for level in LADDER
    ],
)


def home_beside(root: Path) -> dict[str, str]:
    """An environment whose home holds neither the project nor anything of the user's."""
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    return {"HOME": str(home), "PATH": os.environ["PATH"]}


async def run(
    command: str | list[str],
    root: Path,
    level: SandboxLevel,
    *,
    writable: bool = True,
    limits: Limits | None = None,
    environ: Mapping[str, str] | None = None,
    max_output_bytes: int = 100_000,
) -> CommandResult:
    """One command, with the whole project writable and half a minute of time."""
    return await run_sandboxed(
        command,
        root=root,
        writable=[root] if writable else [],
        timeout_s=30.0,
        max_output_bytes=max_output_bytes,
        environ=home_beside(root) if environ is None else environ,
        level=level,
        limits=limits,
    )


def python(program: str) -> list[str]:
    """A command that runs a program of the interpreter which every level can see."""
    return [PYTHON, "-I", "-S", "-c", program]


def processes_with(mark: str) -> list[int]:
    """The living processes that carry a text among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            try:
                if mark.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
    return found


def as_nobody(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program as a user with no rights, on a copy of our sources that he can read. Skips where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; the other tests run as an ordinary user then")
    if not os.access(SYSTEM_PYTHON, os.X_OK):
        pytest.skip(f"{SYSTEM_PYTHON} is absent, and the interpreter of these tests belongs to root")
    with tempfile.TemporaryDirectory(prefix="codex-oss-nobody-") as folder:
        return _run_as_nobody(program, Path(folder))


def _run_as_nobody(program: str, place: Path) -> subprocess.CompletedProcess[str]:
    sources = place / "sources"
    shutil.copytree(Path(codex_oss.__file__).parent, sources / "codex_oss", ignore=shutil.ignore_patterns("*.pyc"))
    for shown in (place, sources, *(path for path in sources.rglob("*") if path.is_dir())):
        shown.chmod(0o755)
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    return subprocess.run(
        [SYSTEM_PYTHON, "-S", "-c", f"import sys; sys.path.insert(0, {str(sources)!r})\n{program}"],
        capture_output=True,
        text=True,
        timeout=90,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "TMPDIR": str(home)},
        cwd="/",
        check=False,
    )


def wait_for(happened: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
