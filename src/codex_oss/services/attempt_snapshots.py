"""Snapshots of attempts: one small file for each request to the ChatGPT backend and one for the head of its answer.

Counterparts: `lanes.account_request` tells of each attempt, `policy.attempt_shape` says what is kept of it. Off unless
the user's own setting `snapshots` is on; docs/diagnostics.md.

    <accounts folder>/snapshots/<ms>-<response id>-<number>-request.json
                                                           -answer.json

Rules that hold here:

1. Nothing of what was said, no credential, no identity: accounts have a name that holds for this process only.
2. MAX_FILES files and MAX_BYTES bytes stay, the oldest go first. The folder is 0700, a file 0600.
3. A name is made of harmless characters whatever a client called its response. A snapshot that cannot be written is
   told once in the log; no turn ever fails for it.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from codex_oss.errors import StoreError
from codex_oss.policy.attempt_shape import shape_of_headers, shape_of_request
from codex_oss.policy.pseudonyms import Pseudonyms
from codex_oss.services.state_files import ensure_private_dir, write_atomic

FOLDER: Final = "snapshots"
MAX_FILES: Final = 200
MAX_BYTES: Final = 4 * 1024 * 1024
NAME: Final = re.compile(r"\d{13}-[A-Za-z0-9_-]{1,64}-\d+-(request|answer)\.json")

log = logging.getLogger(__name__)


class AttemptSnapshots:
    """Writes into one folder, made with the first snapshot. clock: epoch seconds."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._names = Pseudonyms(secrets.token_bytes(32), ())
        self._number = itertools.count(1)
        self._told = False

    def sent(self, response_id: str, person: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
        """A request goes out; returns what `answered` wants to have."""
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", response_id)[:64] or "_"
        attempt = f"{int(self._clock() * 1000):013d}-{safe}-{next(self._number)}"
        self._write(
            f"{attempt}-request.json",
            {"account": self._names.name("acct", person), **shape_of_request(url, headers, body)},
        )
        return attempt

    def answered(self, attempt: str, status: int, headers: Mapping[str, str]) -> None:
        """Its answer began. status: 0 when there was none."""
        self._write(f"{attempt}-answer.json", {"status": status, "headers": shape_of_headers(headers)})

    def _write(self, name: str, told: dict[str, Any]) -> None:
        try:
            ensure_private_dir(self._folder)
            write_atomic(self._folder / name, json.dumps(told, indent=1).encode(), mode=0o600, durable=False)
            self._drop_oldest()
        except (StoreError, OSError) as exc:
            if not self._told:
                self._told = True
                log.warning("snapshots of attempts cannot be written: %s", exc)

    def _drop_oldest(self) -> None:
        """Only files of our own form are counted and dropped."""
        sizes = {}
        for name in os.listdir(self._folder):
            if NAME.fullmatch(name):
                with suppress(FileNotFoundError):
                    sizes[name] = os.lstat(self._folder / name).st_size
        total = sum(sizes.values())
        for position, name in enumerate(sorted(sizes)):
            if len(sizes) - position <= MAX_FILES and total <= MAX_BYTES:
                return
            with suppress(FileNotFoundError):
                os.unlink(self._folder / name)
            total -= sizes[name]
