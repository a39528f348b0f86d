"""What reads and audits the records of missions: the project's folder, and what its logs are sealed with.

Counterparts: `services.audit`, `services.event_log`; `wiring.bridge` seals with the same key. No lane is built here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from codex_oss.errors import StoreError
from codex_oss.services.anchors import AnchorBook
from codex_oss.services.audit_claims import ReadSource, Source
from codex_oss.services.event_log import Seal
from codex_oss.services.local_key import open_key, read_key, user_state_folder
from codex_oss.services.project_files import ProjectRoot

RECORD_KEY = "record"
"""Name of the key that mission logs are sealed with, in the user's state folder."""
MAX_AUDITED_BYTES = 64 * 1024 * 1024
"""A file above this is said to be changed or gone by the audit: no mission could have read it whole."""

log = logging.getLogger(__name__)


def open_project(project: Path) -> ProjectRoot:
    """The project's folder, opened; a context manager."""
    return ProjectRoot(project)


def source_reader(root: ProjectRoot) -> ReadSource:
    """Reads what a file of the project is now, for the audit."""

    def read_source(path: str) -> Source | None:
        try:
            content = root.read_file(path, MAX_AUDITED_BYTES)
        except StoreError:
            return None
        return Source(content.sha256, content.data)

    return read_source


def open_seal(project: Path, environ: Mapping[str, str]) -> Seal:
    """What the logs of this project are sealed with; nothing, with a warning, where the user has no state folder."""
    folder = user_state_folder(environ)
    if folder is None:
        log.warning("there is no folder for the user's state: mission logs get neither MAC nor anchor")
        return Seal()
    return Seal(open_key(folder, RECORD_KEY), AnchorBook(folder, project))


def seal_for_audit(project: Path, environ: Mapping[str, str], key_file: Path | None) -> Seal:
    """Key and anchors as far as they are here; nothing is made. Errors: StoreError for a key that is not usable."""
    folder = user_state_folder(environ)
    if folder is None and key_file is None:
        return Seal()
    anchors = AnchorBook(folder, project) if folder else None
    path = key_file or (folder / f"{RECORD_KEY}.key" if folder else None)
    try:
        key = read_key(path) if path else b""
    except FileNotFoundError:
        if key_file is not None:
            raise StoreError(f"There is no key {key_file}.", code="key_unusable") from None
        key = b""
    return Seal(key, anchors)
