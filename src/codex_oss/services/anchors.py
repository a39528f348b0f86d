"""Heads of event logs, kept outside the project: what a log must at least hold.

Counterparts: `services.event_log` notes each head after it was written; `services.audit` compares.

    $XDG_STATE_HOME/codex-oss/anchors/<project>/<run_id>.json      one record of 1 KiB, overwritten in place

A log alone cannot say that its end was cut off, that it was written anew as a whole, or that it is missing. An anchor
can, because whoever changes the project's files does not change it along. When the machine or the writer fails it lags
behind by what was written since the last durable write; a log may therefore go on after its anchor, but never end
before it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from codex_oss.errors import StoreError
from codex_oss.services.state_files import ensure_private_dir, read_plain

SLOT_BYTES: Final = 1024
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Anchor(Struct, frozen=True):
    """The head of one log."""

    run_id: str
    mission_id: str
    seq: int
    event_hash: str
    epoch: int
    project: str = ""
    """Where the project lay, for a person; anchors are found by the hash of it."""


class AnchorBook:
    """The anchors of one project."""

    def __init__(self, state: Path, project: Path) -> None:
        place = os.path.realpath(project)
        self._project = place
        self.folder = state / "anchors" / hashlib.sha256(os.fsencode(place)).hexdigest()[:32]

    def open_slot(self, run_id: str) -> AnchorSlot:
        """Where the head of a run is noted. Errors: StoreError."""
        ensure_private_dir(self.folder)
        try:
            return AnchorSlot(os.open(self.folder / f"{run_id}.json", _FLAGS, 0o600), self._project)
        except OSError as exc:
            raise StoreError(f"The anchor of {run_id} cannot be opened: {exc.strerror}.") from exc

    def read(self, run_id: str) -> Anchor | None:
        """The head that was noted last; None when there is none. Errors: StoreError `anchor_unreadable`."""
        try:
            data = read_plain(self.folder / f"{run_id}.json", SLOT_BYTES)
            return msgspec.json.decode(data, type=Anchor)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as exc:
            raise StoreError(f"The anchor of {run_id} cannot be read.", code="anchor_unreadable") from exc

    def of_mission(self, mission_id: str) -> list[Anchor]:
        """All anchors of a mission's runs; what cannot be read is left out."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(StoreError):
                anchor = self.read(path.stem)
                if anchor is not None and anchor.mission_id == mission_id:
                    found.append(anchor)
        return found


class AnchorSlot:
    """The anchor of one run, open for writing."""

    def __init__(self, fd: int, project: str) -> None:
        self._fd = fd
        self._project = project

    def note(self, anchor: Anchor) -> None:
        """Overwrite the head. Errors: OSError."""
        data = msgspec.json.encode(msgspec.structs.replace(anchor, project=self._project[:400]))
        os.pwrite(self._fd, data.ljust(SLOT_BYTES - 1) + b"\n", 0)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
