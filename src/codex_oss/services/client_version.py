"""Which version of Codex is installed here, for a backend that hides models from clients that it takes for old.

Counterpart: `services.account_catalog` asks, and only when the backend does not answer to `0.0.0`; so nothing is looked
up at start-up, and nothing is ever fetched for it.

    cache/codex-client-version.json, younger than TTL_S ─► `codex --version` ─► the same file, older ─► BUILT_IN
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from codex_oss.errors import StoreError
from codex_oss.services.quota_store import CACHE_FOLDER
from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic

FILE_NAME: Final = "codex-client-version.json"
BUILT_IN: Final = "0.169.0"
"""The version whose behaviour was observed; see tests/clients/package.json."""
TTL_S: Final = 3600.0
PROBE_S: Final = 5.0
VERSION: Final = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}")
MAX_BYTES: Final = 4096


class _File(Struct, frozen=True, rename="camel"):
    version: str
    fetched_at: int
    """Epoch milliseconds."""


class ClientVersion:
    """The version, remembered. folder: that of the accounts; installed: looks it up, empty when it cannot be had."""

    def __init__(
        self,
        folder: Path,
        *,
        installed: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(os.path.realpath(folder)) / CACHE_FOLDER / FILE_NAME
        self._installed = installed or installed_version
        self._clock = clock

    async def version(self) -> str:
        """`x.y.z`. Never raises."""
        return await asyncio.to_thread(self._version)

    def _version(self) -> str:
        kept, now_ms = self._kept(), int(self._clock() * 1000)
        if kept is not None and 0 <= now_ms - kept.fetched_at < TTL_S * 1000:
            return kept.version
        found = VERSION.search(self._installed())
        if found is None:
            return kept.version if kept is not None else BUILT_IN
        with suppress(StoreError):
            ensure_private_dir(self.path.parent)
            write_atomic(self.path, msgspec.json.encode(_File(found.group(), now_ms)), durable=False)
        return found.group()

    def _kept(self) -> _File | None:
        try:
            kept = msgspec.json.decode(read_plain(self.path, MAX_BYTES), type=_File)
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return kept if VERSION.fullmatch(kept.version) else None


def installed_version() -> str:
    """What the `codex` on PATH says of its version; empty when there is none, or it does not say."""
    program = shutil.which("codex")
    if program is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user's PATH names, asked for its version
            [program, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")[:200]
