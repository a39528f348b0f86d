"""Which account each conversation is bound to, on disk: `<accounts folder>/cache/codex-affinity.json`.

Counterparts: `accounts.affinity` binds and prunes; `services.account_pool` reads before a turn and binds.

    {"version": 1, "sessions": {"<session>": {"usedMs": …, "person": "…"}}}

Rules that hold here:

1. Two processes lose nothing of each other: a binding is added to what stands there, under a lock.
2. It can be lost: a damaged file is an empty one, and a write that fails is said once and never fails a turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from codex_oss.accounts.affinity import Affinity, Bound, bound_to, pruned
from codex_oss.errors import StoreError
from codex_oss.services.account_store import exclusive
from codex_oss.services.seen_file import SeenFile
from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic

FILE_NAME: Final = "codex-affinity.json"
FOLDER: Final = "cache"
MAX_BYTES: Final = 1024 * 1024
LOCK_WAIT_S: Final = 2.0
log = logging.getLogger(__name__)


class _Row(Struct, rename="camel"):
    used_ms: int
    person: str


class _File(Struct):
    version: int = 1
    sessions: dict[str, _Row] = field(default_factory=dict)


class AffinityStore:
    """The bindings of one user. folder: that of the accounts; clock: epoch seconds."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = folder / FOLDER / FILE_NAME
        self._clock = clock
        self._seen = SeenFile(self.path, self._on_disk)
        self._said = False

    def read(self) -> Affinity:
        """What is bound. Never raises."""
        return pruned(self._seen.read(), int(self._clock() * 1000))

    def bind(self, session: str, person: str) -> None:
        """Bind a session to an account from now on. Never raises."""
        now_ms = int(self._clock() * 1000)
        try:
            ensure_private_dir(self.path.parent)
            with exclusive(self.path.with_name(f"{FILE_NAME}.lock"), LOCK_WAIT_S):
                bindings = bound_to(self._on_disk(), session, person, now_ms)
                rows = {name: _Row(bound.used_ms, bound.person) for name, bound in bindings.items()}
                write_atomic(self.path, msgspec.json.encode(_File(sessions=rows)), durable=False)
        except (StoreError, OSError) as exc:
            if not self._said:
                log.warning("bindings of sessions to accounts are not kept: %s", getattr(exc, "message", exc))
            self._said = True

    def _on_disk(self) -> Affinity:
        try:
            told = msgspec.json.decode(read_plain(self.path, MAX_BYTES), type=_File)
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return {}
        return {name: Bound(row.used_ms, row.person) for name, row in told.sessions.items()}
