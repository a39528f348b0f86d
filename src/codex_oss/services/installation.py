"""The record of edits to files of other programs, by which they can be taken back: apply, restore.

Counterparts: `services.file_edits` plans and writes the edits; `services.client_setup` says which; `cli.install` asks.

    Plan ─► apply: backups ─► manifest ─► file by file
    restore: manifest ─► file by file (backup, or only our part out) ─► manifest and backups removed

    FOLDER/manifest.json     what was touched, with digests before and after
    FOLDER/backup/<sha256>   each file as it was

FOLDER is `.codex-oss/install` for files of the project, and lies in the user's own folder for files of the user.

Rules that hold here:

1. The manifest is on disk before the first file changes, so a kill at any moment leaves something to restore from.
2. A file that still is what we wrote gets its old bytes back. One that was edited since loses only our part.
3. A manifest within a project is somebody else's word (it may have been cloned): only paths beneath the project are
   taken from it, and none through a link. What lies outside is recorded outside.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec
from filelock import FileLock, Timeout

from codex_oss.errors import StoreError
from codex_oss.services.file_edits import Change, Plan, read_file, refuse_links, write_change
from codex_oss.services.marked_block import EditRefused
from codex_oss.services.state_files import ensure_private_dir, write_atomic

MANIFEST: Final = "manifest.json"
LOCK: Final = "install.lock"

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

Strip = Callable[[str], str | None]
"""A file's text to the text without our part; None when nothing of ours can be told apart in it."""
Ending = Literal["restored", "removed", "stripped", "kept", "absent"]


class Entry(msgspec.Struct, frozen=True):
    """One touched file in the manifest."""

    path: str
    """Relative to `base` when it lies below, else absolute."""
    kind: str
    before: str | None
    """Digest of its bytes before us, and name of the backup; None when it did not exist."""
    mode: int
    written: tuple[str, ...]
    """Digests of everything that we may have written to it since, the latest last."""


class Manifest(msgspec.Struct, frozen=True):
    """Everything that an installation touched."""

    version: int = 1
    entries: tuple[Entry, ...] = ()
    folders: tuple[str, ...] = ()
    """Folders that we made, outer ones first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What restore did (or would do) with one file."""

    path: Path
    ending: Ending
    note: str = ""
    settled: bool = True
    """False: something of ours may still be in it, so its backup is kept."""


@dataclass(slots=True)
class Installation:
    """The record of what was written for one project, or for one user."""

    folder: Path
    """Where manifest and backups lie; private."""
    base: Path
    """Paths below it are recorded relative to it, so that it may be moved."""
    confined: bool = True
    """Nothing outside of `base` is touched, whatever the manifest says."""
    on_write: Callable[[Path], None] = field(default=lambda path: None)
    """Called before each file is written; for tests that kill."""

    def apply(self, plan: Plan) -> None:
        """Write every change of *plan*. Raises StoreError; what was written by then can be restored."""
        if not plan.changes:
            return
        self._refuse_linked_state()
        made = _missing_folders([self.folder, *(change.target.path.parent for change in plan.changes)])
        made = [path for path in made if not self.confined or path.is_relative_to(self.base)]
        ensure_private_dir(self.folder)
        ensure_private_dir(self.folder / "backup")
        with self._locked():
            held = self.read()
            by_path = {entry.path: entry for entry in held.entries}
            for change in plan.changes:
                entry = self._entry(change, by_path.get(self._name(change.target.path)))
                by_path[entry.path] = entry
            folders = tuple(dict.fromkeys([*held.folders, *(self._name(path) for path in made)]))
            self._save(Manifest(entries=tuple(by_path.values()), folders=folders))
            for change in plan.changes:
                self.on_write(change.target.path)
                write_change(change)

    def restore(self, strips: Mapping[str, Strip], *, dry_run: bool = False) -> list[Outcome]:
        """Take everything back. strips: by kind. Empty when nothing was installed.

        A file that cannot be restored safely is kept, with a note; its entry and its backup are then kept too.
        """
        self._refuse_linked_state()
        if not (self.folder / MANIFEST).exists():
            return []
        if dry_run:
            return [self._restore(entry, strips, dry_run=True) for entry in self.read().entries]
        with self._locked():
            manifest = self.read()
            outcomes = [self._restore(entry, strips, dry_run=False) for entry in manifest.entries]
            left = [e for e, outcome in zip(manifest.entries, outcomes, strict=True) if not outcome.settled]
            if left:
                self._save(Manifest(entries=tuple(left), folders=manifest.folders))
            else:
                (self.folder / MANIFEST).unlink()
            kept = {entry.before for entry in left}
            for entry in manifest.entries:
                if entry.before is not None and entry.before not in kept:
                    (self.folder / "backup" / entry.before).unlink(missing_ok=True)
        self._tidy(manifest, emptied=not left)
        return outcomes

    def _refuse_linked_state(self) -> None:
        """Whatever came with the project: nothing is written or removed through a link in our own folder."""
        anchor = self.base if self.confined else self.folder
        for name in ("backup", MANIFEST, LOCK):
            refuse_links(self.folder / name, anchor)

    def _tidy(self, manifest: Manifest, *, emptied: bool) -> None:
        """Remove the folders that we made and that are empty now."""
        if emptied:
            (self.folder / LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                for leftover in (self.folder / "backup").iterdir():
                    leftover.unlink()
                (self.folder / "backup").rmdir()
        for name in reversed(manifest.folders):
            with suppress(OSError):
                self._path(name).rmdir()

    def read(self) -> Manifest:
        """The manifest; an empty one when there is none. Raises StoreError when it is broken."""
        try:
            manifest = msgspec.json.decode((self.folder / MANIFEST).read_bytes(), type=Manifest)
        except FileNotFoundError:
            return Manifest()
        except (OSError, msgspec.MsgspecError) as exc:
            raise StoreError(
                f"The manifest {self.folder / MANIFEST} cannot be read.",
                hint="The files as they were lie in the folder `backup` beside it, named by their digest.",
            ) from exc
        for name in (*(entry.path for entry in manifest.entries), *manifest.folders):
            self._path(name)
        if not all(entry.before is None or _DIGEST.fullmatch(entry.before) for entry in manifest.entries):
            raise StoreError(f"The manifest in {self.folder} names a backup that is none.", hint="Remove that folder.")
        return manifest

    def _entry(self, change: Change, held: Entry | None) -> Entry:
        """The manifest's line for a change; makes the backup."""
        current = None if change.before is None else _digest(change.before)
        after = _digest(change.after)
        name = self._name(change.target.path)
        if held is not None and (current in (*held.written, held.before)):
            return Entry(name, held.kind, held.before, held.mode, (*held.written, after))
        if change.before is not None and current is not None:
            write_atomic(self.folder / "backup" / current, change.before)
        return Entry(name, change.target.kind, current, change.mode, (after,))

    def _restore(self, entry: Entry, strips: Mapping[str, Strip], *, dry_run: bool) -> Outcome:
        path = self._path(entry.path)
        try:
            if self.confined:
                refuse_links(path, self.base)
            current = read_file(path)
        except StoreError as exc:
            return Outcome(path, "kept", exc.message, settled=False)
        if current is None:
            return Outcome(path, "absent", "it is gone already")
        digest = _digest(current)
        if digest == entry.before:
            return Outcome(path, "restored")
        if digest in entry.written:
            return self._give_back(path, entry, dry_run=dry_run)
        return _strip(path, current, strips.get(entry.kind), dry_run=dry_run)

    def _give_back(self, path: Path, entry: Entry, *, dry_run: bool) -> Outcome:
        if entry.before is None:
            if not dry_run:
                path.unlink()
            return Outcome(path, "removed")
        backup = read_file(self.folder / "backup" / entry.before)
        if backup is None or _digest(backup) != entry.before:
            return Outcome(path, "kept", "its backup is gone or damaged", settled=False)
        if not dry_run:
            write_atomic(path, backup, entry.mode)
        return Outcome(path, "restored")

    def _save(self, manifest: Manifest) -> None:
        write_atomic(self.folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One install or uninstall at a time; a killed one frees the lock."""
        lock = FileLock(self.folder / LOCK, timeout=10, mode=0o600)
        try:
            lock.acquire()
        except Timeout as exc:
            raise StoreError("Another install or uninstall is under way.", hint="Try again.") from exc
        except OSError as exc:
            raise StoreError(f"{self.folder} cannot be written: {exc.strerror}.") from exc
        try:
            yield
        finally:
            lock.release()

    def _name(self, path: Path) -> str:
        if path.is_relative_to(self.base):
            return str(path.relative_to(self.base))
        if self.confined:
            raise StoreError(f"{path} lies outside of {self.base}.")
        return str(path)

    def _path(self, name: str) -> Path:
        if self.confined and (name.startswith("/") or ".." in Path(name).parts or Path(name) == Path()):
            raise StoreError(
                f"The manifest in {self.folder} names {name!r}, which lies outside of the project.",
                hint="It was not written by `codex-oss install`; nothing was touched. Remove that folder.",
            )
        return self.base / name


# ---------------------------------------------------------------------------------------------- private steps


def _strip(path: Path, current: bytes, strip: Strip | None, *, dry_run: bool) -> Outcome:
    """Take only our part out of a file that was edited since."""
    try:
        rest = strip(current.decode("utf-8")) if strip is not None else None
    except (EditRefused, UnicodeDecodeError) as exc:
        return Outcome(path, "kept", f"it was edited since, and our part cannot be told apart: {exc}", settled=False)
    if rest is None:
        return Outcome(path, "kept", "it was edited since, so it is yours now")
    if rest.encode() == current:
        return Outcome(path, "kept", "it was edited since and holds nothing of ours any more")
    if not dry_run:
        if rest.strip():
            write_atomic(path, rest.encode(), stat.S_IMODE(path.stat().st_mode))
        else:
            path.unlink()
    return Outcome(path, "stripped", "it was edited since: only our part was taken out")


def _missing_folders(folders: Sequence[Path]) -> list[Path]:
    """Every folder that does not exist yet, outer ones first."""
    missing: dict[Path, None] = {}
    for folder in folders:
        for path in reversed((folder, *folder.parents)):
            if not path.exists():
                missing[path] = None
    return sorted(missing, key=lambda path: len(path.parts))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
