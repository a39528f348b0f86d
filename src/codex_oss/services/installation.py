"""Editing files that belong to other programs, in a way that can be taken back: plan, apply, restore.

Counterparts: `services.client_setup` says which files and what they should hold; `cli.install` shows and asks for it.

    plan_changes ─► Plan ─► diff shown ─► apply: backups ─► manifest ─► file by file
    restore: manifest ─► file by file (backup, or only our part out) ─► manifest and backups removed

    FOLDER/manifest.json     what was touched, with digests before and after
    FOLDER/backup/<sha256>   each file as it was

FOLDER is `.codex-oss/install` for files of the project, and lies in the user's own folder for files of the user.

Rules that hold here:

1. The manifest is on disk before the first file changes, so a kill at any moment leaves something to restore from.
2. A file that still is what we wrote gets its old bytes back. One that was edited since loses only our part.
3. Links are refused, as the file itself and as a folder on the way below the anchor.
4. A manifest within a project is somebody else's word (it may have been cloned): only paths beneath the project are
   taken from it, and none through a link. What lies outside is recorded outside.
5. A file that changed between plan and write stops the work; nothing is overwritten unseen.
"""

from __future__ import annotations

import difflib
import hashlib
import os
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
from codex_oss.services.files import ensure_private_dir, write_atomic
from codex_oss.services.marked_block import EditRefused

MANIFEST: Final = "manifest.json"
LOCK: Final = "install.lock"
MAX_FILE_BYTES: Final = 4 * 1024 * 1024

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

Edit = Callable[[str | None], str | None]
"""A file's text (None: absent) to the text it should have; None leaves the file alone. Raises EditRefused."""
Strip = Callable[[str], str | None]
"""A file's text to the text without our part; None when nothing of ours can be told apart in it."""
Ending = Literal["restored", "removed", "stripped", "kept", "absent"]


@dataclass(frozen=True, slots=True)
class Target:
    """One file to edit. anchor: a folder above it which may itself be reached through links."""

    path: Path
    anchor: Path
    kind: str
    """Names the Strip that takes our part out again."""
    edit: Edit
    mode: int = 0o644
    """For a file that does not exist yet."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file that will be written. before: None when it does not exist."""

    target: Target
    before: bytes | None
    after: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done. refusals: one (path, EditRefused) per file that is left alone."""

    changes: tuple[Change, ...]
    refusals: tuple[tuple[Path, EditRefused], ...]

    def split(self, folder: Path | None) -> tuple[Plan, Plan]:
        """(what lies below *folder*, the rest), without the refusals; None is above nothing."""
        inside = [c for c in self.changes if folder is not None and c.target.path.is_relative_to(folder)]
        return Plan(tuple(inside), ()), Plan(tuple(c for c in self.changes if c not in inside), ())


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


def plan_changes(targets: Sequence[Target]) -> Plan:
    """Read every target and compute what it should hold; writes nothing. Raises StoreError for an unreadable file."""
    changes, refusals = [], []
    for target in targets:
        try:
            change = _planned(target)
        except EditRefused as refused:
            refusals.append((target.path, refused))
        else:
            if change is not None:
                changes.append(change)
    return Plan(tuple(changes), tuple(refusals))


def render_diff(plan: Plan, secrets: Sequence[str] = ()) -> str:
    """The plan as a unified diff, with *secrets* hidden."""
    lines: list[str] = []
    for change in plan.changes:
        before, after = (change.before or b"").decode(), change.after.decode()
        name = str(change.target.path)
        old = name if change.before is not None else "/dev/null"
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), old, name, lineterm=""):
            lines.append(line)
    text = "\n".join(lines)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


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
                _write(change)

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
            _refuse_links(self.folder / name, anchor)

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
                _refuse_links(path, self.base)
            current = _read(path)
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
        backup = _read(self.folder / "backup" / entry.before)
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


def _planned(target: Target) -> Change | None:
    _refuse_links(target.path, target.anchor)
    before = _read(target.path)
    try:
        text = None if before is None else before.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise EditRefused("It is not UTF-8.", hint="Convert it, then run it again.") from exc
    edited = target.edit(text)
    after = None if edited is None else edited.encode()
    if after is None or after == before:
        return None
    mode = target.mode if before is None else stat.S_IMODE(target.path.stat().st_mode)
    return Change(target, before, after, mode)


def _refuse_links(path: Path, anchor: Path) -> None:
    """No part of the path below the anchor may be a link."""
    while path != anchor and path != path.parent:
        if path.is_symlink():
            raise EditRefused(
                f"{path} is a symbolic link; links are not followed.",
                hint="Edit what it points to by hand (docs/clients.md shows what belongs there).",
            )
        path = path.parent


def _read(path: Path) -> bytes | None:
    """The bytes of a regular file; None when it does not exist. Raises StoreError for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}.") from exc
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise EditRefused(f"{path} is no regular file.", hint="Move it away, then run it again.")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise EditRefused(f"{path} is larger than {MAX_FILE_BYTES} bytes.", hint="This is hardly a configuration file.")
    return data


def _write(change: Change) -> None:
    path = change.target.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"{path.parent} cannot be made: {exc.strerror}.", hint="codex-oss uninstall") from exc
    _refuse_links(path, change.target.anchor)
    if _read(path) != change.before:
        raise StoreError(f"{path} changed meanwhile; it was left alone.", hint="Run it again.")
    write_atomic(path, change.after, change.mode)


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
