"""The bridge of a project as a process: find it, prove that it is ours, start it, stop it.

Counterpart: `codex_oss.server`, which writes `.codex-oss/run/bridge.json` when it listens and answers `/health`.

    bridge.json ── absent ─────────────────────────────► Stopped
        │ pid gone ─────────────────────────────────────► Stopped(stale=True)
        │ /health on its port names the same pid, project and start ─► Running
        └ anything else (no answer, another process) ───► Unproven

Rules that hold here:

1. Only a proven bridge is signalled. What listens on the port without proof is somebody else's and stays alive.
2. A bridge that hangs answers no `/health`; it is proven instead by its command line *and* by the lock which a
   bridge of this project holds while it lives.
3. Two starts at once are put in a row by a lock; the second one finds the first one's bridge.
4. Every wait is bounded. Answers of `/health` are read up to a limit and never trusted to be well formed.
"""

from __future__ import annotations

import http.client
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import filelock
import msgspec

from codex_oss.errors import StoreError, Unavailable
from codex_oss.services.process_handle import POLL_S, ProcessHandle, command_line
from codex_oss.services.state_files import read_plain

RUN_FOLDER: Final = ".codex-oss/run"
LOG_FILE: Final = ".codex-oss/logs/bridge.log"
SERVER_MODULE: Final = "codex_oss.server"

HEALTH_TIMEOUT_S: Final = 2.0
MAX_HEALTH_BYTES: Final = 256 * 1024
MAX_RECORD_BYTES: Final = 64 * 1024
MAX_LOG_BYTES: Final = 1024 * 1024
"""A log above this is put aside (one generation) when the bridge starts."""
READY_TIMEOUT_S: Final = 20.0
STOP_GRACE_S: Final = 5.0
KILL_GRACE_S: Final = 2.0
START_SKEW_S: Final = 2.0
"""How far the start told by `/health` may lie from the one in bridge.json."""


class BridgeRecord(msgspec.Struct, frozen=True):
    """What the server wrote about itself; unknown keys are allowed."""

    pid: int
    port: int
    started_at: float
    """UTC, seconds since the epoch."""
    project_root: str
    source_hash: str = ""
    version: str = ""
    host: str = "127.0.0.1"


class BridgeHealth(msgspec.Struct, frozen=True):
    """The answer of `GET /health`; everything that an older or newer bridge may leave out has a default."""

    pid: int
    project_root: str
    status: str = ""
    version: str = ""
    source_hash: str = ""
    uptime_s: float = 0.0
    started_at: float | None = None
    port: int = 0
    upstream_keys: dict[str, bool] = {}
    """Key variable to whether it is set."""
    lanes: list[str] = []
    gpt_model_strategy: str = ""
    in_flight: int = 0
    """Turns under way."""
    capacity: dict[str, Any] = {}
    """`max_total` upstream requests at once, those `under_way` by model, and the models of those `waiting`."""
    mission_lanes: dict[str, Any] = {}
    """Bounds of each scheduler lane, and the missions `running` in it and `waiting` for it."""
    circuits: dict[str, Any] = {}
    """The circuit of each model that failed lately."""
    state_db: dict[str, Any] = {}
    request_log: dict[str, Any] = {}
    prompt_cache: dict[str, Any] = {}
    accounts: dict[str, int] = {}  # by how they stand; empty where the bridge does not answer with them


@dataclass(frozen=True, slots=True)
class Stopped:
    """No bridge of this project runs. stale: a record of a dead one is still there."""

    stale: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """The bridge runs and is proven to be this project's."""

    record: BridgeRecord
    health: BridgeHealth

    @property
    def base_url(self) -> str:
        """What clients are given, e.g. `http://127.0.0.1:4000/v1`."""
        return f"http://{_bracketed(self.record.host)}:{self.record.port}/v1"


@dataclass(frozen=True, slots=True)
class Unproven:
    """A process has the recorded pid, but it could not be proven to be the bridge. reason: a clause for a person."""

    record: BridgeRecord
    reason: str
    hangs: bool = False
    """It is the bridge by command line and lock, only it does not answer."""


Bridge = Stopped | Running | Unproven


@dataclass(frozen=True, slots=True)
class StopOutcome:
    """What `stop_bridge` did."""

    stopped: bool
    pid: int | None
    killed: bool = False
    """It had to be killed after the grace."""
    cleaned: bool = False
    """A stale record was removed."""


def find_bridge(project: Path) -> Bridge:
    """Look for the bridge of *project* (absolute). Never raises for a broken record: that is a stale one."""
    record = read_record(project)
    if record is None:
        return Stopped(stale=_record_path(project).exists())
    handle = ProcessHandle.open(record.pid)
    if handle is None:
        return Stopped(stale=True)
    with handle:
        return _identify(project, record)


def read_record(project: Path) -> BridgeRecord | None:
    """The record of the last bridge; None when absent or unreadable."""
    try:
        raw = read_plain(_record_path(project), MAX_RECORD_BYTES)
        return msgspec.json.decode(raw, type=BridgeRecord)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def read_health(host: str, port: int, timeout_s: float = HEALTH_TIMEOUT_S) -> BridgeHealth | None:
    """Ask whoever listens there for `/health`; None when nobody does or the answer is not a bridge's.

    Proxies of the environment are not used. One round trip, at most `MAX_HEALTH_BYTES`.
    """
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/health", headers={"Accept": "application/json"})
        raw = connection.getresponse().read(MAX_HEALTH_BYTES)
        return msgspec.json.decode(raw, type=BridgeHealth)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None
    finally:
        connection.close()


def start_bridge(
    project: Path,
    flags: Sequence[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    ready_timeout_s: float = READY_TIMEOUT_S,
    command: Sequence[str] | None = None,
) -> tuple[Running, bool]:
    """Start the bridge of *project* detached, and wait until it answers.

    flags: further arguments of the server, e.g. `("--port", "0")`. command replaces the interpreter and module.
    Returns the bridge and whether it was started now (False: it ran already).
    Raises Unavailable with the last lines of the log when it does not come up, StoreError for an unproven process.
    """
    folder = project / RUN_FOLDER
    _make_private(project, RUN_FOLDER)
    with _in_a_row(folder / "start.lock", ready_timeout_s + STOP_GRACE_S):
        match find_bridge(project):
            case Running() as running:
                return running, False
            case Unproven(record=record, reason=reason):
                raise StoreError(
                    f"Process {record.pid} may be the bridge of this project, but {reason}.",
                    hint=f"End it yourself, or remove {_record_path(project)} when it is something else.",
                )
            case Stopped():
                remove_record(project)
        argv = [*(command or server_command()), "--project", str(project), *flags]
        child = _spawn(project, argv, dict(os.environ if environ is None else environ))
        return _await_ready(project, child, ready_timeout_s), True


def stop_bridge(project: Path, *, grace_s: float = STOP_GRACE_S) -> StopOutcome:
    """End the bridge of *project*: SIGTERM, then SIGKILL after *grace_s* seconds.

    Nothing running is not an error. Raises StoreError when a process with the recorded pid is not proven to be ours.
    """
    record = read_record(project)
    handle = ProcessHandle.open(record.pid) if record is not None else None
    if record is None or handle is None:
        return StopOutcome(stopped=False, pid=None, cleaned=remove_record(project))
    with handle:
        state = _identify(project, record)
        if isinstance(state, Unproven) and not state.hangs:
            raise StoreError(
                f"Process {record.pid} was left alone: {state.reason}.",
                hint=f"If it is the bridge, end it yourself; if not, remove {_record_path(project)}.",
            )
        killed = _end(handle, grace_s)
    cleaned = remove_record(project, pid=record.pid)
    return StopOutcome(stopped=True, pid=record.pid, killed=killed, cleaned=cleaned and killed)


def server_command() -> list[str]:
    """The command that is the server: this interpreter and its module, and never a file of the current folder."""
    return [sys.executable, "-P", "-m", SERVER_MODULE]


def remove_record(project: Path, *, pid: int | None = None) -> bool:
    """Remove the record of a dead bridge; with *pid* only if it is still that one's. True when one was removed."""
    if pid is not None:
        record = read_record(project)
        if record is not None and record.pid != pid:
            return False
    try:
        _record_path(project).unlink()
    except FileNotFoundError:
        return False
    return True


def last_log_lines(project: Path, count: int = 12) -> list[str]:
    """The end of the bridge's log; empty when there is none."""
    try:
        with (project / LOG_FILE).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16 * 1024))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return []


def _identify(project: Path, record: BridgeRecord) -> Running | Unproven:
    health = read_health(record.host, record.port)
    if health is None:
        hangs = SERVER_MODULE in command_line(record.pid) and _lock_held(project)
        return Unproven(record, f"it does not answer on port {record.port}", hangs=hangs)
    for wrong, reason in _doubts(project, record, health):
        if wrong:
            return Unproven(record, reason)
    return Running(record, health)


def _doubts(project: Path, record: BridgeRecord, health: BridgeHealth) -> tuple[tuple[bool, str], ...]:
    """(is it so, clause): every way in which the answer on the port may not be the recorded bridge of *project*."""
    begun_at = health.started_at if health.started_at is not None else record.started_at
    return (
        (health.pid != record.pid, f"port {record.port} is answered by process {health.pid}"),
        (not _same_folder(health.project_root, project), f"it serves {health.project_root}"),
        (not _same_folder(record.project_root, project), f"its record is about {record.project_root}"),
        (abs(begun_at - record.started_at) > START_SKEW_S, "it was started at another time than recorded"),
    )


def _same_folder(told: str, project: Path) -> bool:
    return Path(told).resolve() == project.resolve()


def _end(handle: ProcessHandle, grace_s: float) -> bool:
    """Terminate the process; True when it had to be killed."""
    if not handle.send(signal.SIGTERM) or handle.wait_gone(grace_s):
        return False
    handle.send(signal.SIGKILL)
    if not handle.wait_gone(KILL_GRACE_S):
        raise StoreError(
            f"Process {handle.pid} survived SIGKILL.", hint="It is stuck in the kernel; look at its state."
        )
    return True


def _spawn(project: Path, argv: Sequence[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
    log = open_log(project)
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            argv,
            cwd=project,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def open_log(project: Path) -> int:
    """Open the log for appending (0600, never through a symlink), put aside when it grew large. Returns the fd."""
    _make_private(project, str(Path(LOG_FILE).parent))
    path = project / LOG_FILE
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if path.lstat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    except FileNotFoundError:
        pass
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as exc:
        raise StoreError(f"The log {path} cannot be written: {exc.strerror}.") from exc
    os.fchmod(fd, 0o600)
    return fd


def _await_ready(project: Path, child: subprocess.Popen[bytes], timeout_s: float) -> Running:
    deadline = time.monotonic() + timeout_s
    while child.poll() is None and time.monotonic() < deadline:
        match find_bridge(project):
            case Running(record=record) as running if record.pid == child.pid:
                child.returncode = 0  # it lives on without us; Popen would warn about a child left behind
                return running
            case _:
                time.sleep(POLL_S)
    exited = child.poll()
    if exited is None:
        child.kill()
        child.wait()
    what = f"ended with status {exited}" if exited is not None else f"did not answer within {timeout_s:g} s"
    tail = "\n".join(f"  {line}" for line in last_log_lines(project))
    raise Unavailable(
        f"The bridge {what}." + (f" Its last words:\n{tail}" if tail else ""), hint=f"The whole log is {LOG_FILE}."
    )


@contextmanager
def _in_a_row(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock of starters; it is held by the process, so a killed starter frees it."""
    lock = filelock.FileLock(path, timeout=timeout_s, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout as exc:
        raise Unavailable("Another start of this project's bridge is still under way.", hint="Try again.") from exc
    try:
        yield
    finally:
        lock.release()


def _lock_held(project: Path) -> bool:
    """Whether a live process holds the bridge's lock."""
    lock = filelock.FileLock(project / RUN_FOLDER / "bridge.lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _make_private(project: Path, folder: str) -> None:
    """Create *folder* below *project*, each new part with mode 0700."""
    current = project
    for part in Path(folder).parts:
        current = current / part
        try:
            current.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"{current} cannot be created: {exc.strerror}.") from exc
        if not stat.S_ISDIR(current.lstat().st_mode):
            raise StoreError(f"{current} is not a folder.", hint="The state folder may not be a symbolic link.")


def _record_path(project: Path) -> Path:
    return project / RUN_FOLDER / "bridge.json"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
