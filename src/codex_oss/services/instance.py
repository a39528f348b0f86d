"""The one bridge of a project: a lock that dies with its process, and a file that says where it listens.

Counterpart: `cli.daemon` reads `.codex-oss/run/bridge.json` to find the running bridge. Rules that hold here:

1. The lock is the authority: a `bridge.json` without a held lock is left over from a killed process.
2. The file is written whole or not at all, readable by its owner only, and removed at the end if still our own.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from codex_oss.errors import StoreError
from codex_oss.services.state_files import ensure_private_dir, read_plain
from codex_oss.services.state_folder import open_state_folder

RUN_FOLDER: Final = ".codex-oss/run"
MAX_RECORD_BYTES: Final = 64 * 1024


class ProjectBusy(StoreError):
    """Another bridge serves this project."""

    code = "bridge_running"


def instance_path(project: Path) -> Path:
    """Where the bridge of *project* says who and where it is."""
    return project / RUN_FOLDER / "bridge.json"


def read_instance(project: Path) -> dict[str, Any] | None:
    """What a bridge wrote: pid, host, port, started_at, project_root, source_hash, version; None when nothing."""
    try:
        value = json.loads(read_plain(instance_path(project), MAX_RECORD_BYTES))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextlib.contextmanager
def own_project(project: Path) -> Iterator[Instance]:
    """Hold the project's bridge lock while the body runs.

    Raises ProjectBusy when another live process holds it, StoreError when the folder cannot be written.
    """
    folder = project / RUN_FOLDER
    try:
        # A clone may ship a `.codex-oss` that is a link to elsewhere; nothing is written through it.
        open_state_folder(folder.parent)
        ensure_private_dir(folder)
        lock = FileLock(folder / "bridge.lock", mode=0o600)
        lock.acquire(timeout=0)
    except Timeout as exc:
        raise _busy(project) from exc
    except OSError as exc:
        raise StoreError(
            f"Cannot write to {folder}: {exc.strerror}.", hint="Check that .codex-oss is a folder that you own."
        ) from exc
    instance = Instance(project)
    try:
        yield instance
    finally:
        instance.withdraw()
        lock.release()


class Instance:
    """The announcement of this process; exists only while the lock is held."""

    def __init__(self, project: Path) -> None:
        self._path = instance_path(project)

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Write `bridge.json` atomically with mode 0600; the pid is added."""
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".bridge-", suffix=".json")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as draft:
                json.dump({"pid": os.getpid(), **facts}, draft)
            Path(name).replace(self._path)
        except OSError as exc:
            Path(name).unlink(missing_ok=True)
            raise StoreError(f"Cannot write {self._path}: {exc.strerror}.") from exc

    def withdraw(self) -> None:
        """Remove `bridge.json` if this process wrote it."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(self._path.read_bytes()).get("pid") == os.getpid():
                self._path.unlink()


def _busy(project: Path) -> ProjectBusy:
    known = read_instance(project) or {}
    where = f" (pid {known['pid']}, port {known['port']})" if {"pid", "port"} <= known.keys() else ""
    return ProjectBusy(
        f"A bridge already runs for this project{where}.",
        hint="Use it, or end it with `codex-oss stop`.",
    )
