"""Edits of files that belong to other programs: planned, shown as a diff, then written one by one.

Counterpart: `services.installation`, which records them so that they can be taken back.

Rules that hold here:

1. Planning reads and never writes. An edit that cannot be made safely is a refusal beside the plan, not an end of it:
   the other edits, in the same file too, are planned.
2. Links are refused, as the file itself and as a folder on the way below the anchor.
3. A file that changed between plan and write stops the work; nothing is overwritten unseen. Its mode stays.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codex_oss.errors import StoreError
from codex_oss.services.marked_block import EditRefused
from codex_oss.services.state_files import write_atomic

MAX_FILE_BYTES: Final = 4 * 1024 * 1024

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Edit = Callable[[str | None], str | None]
"""A file's text (None: absent) to the text it should have; None leaves the file alone. Raises EditRefused."""


@dataclass(frozen=True, slots=True)
class Target:
    """One file to edit. anchor: a folder above it which may itself be reached through links."""

    path: Path
    anchor: Path
    kind: str
    """Names the Strip that takes our part out again."""
    edits: tuple[Edit, ...]
    """Made one after the other, each on what the one before left."""
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
    """What would be done. refusals: one (path, EditRefused) per file or edit that is left out."""

    changes: tuple[Change, ...]
    refusals: tuple[tuple[Path, EditRefused], ...]

    def split(self, folder: Path | None) -> tuple[Plan, Plan]:
        """(what lies below *folder*, the rest), without the refusals; None is above nothing."""
        inside = [c for c in self.changes if folder is not None and c.target.path.is_relative_to(folder)]
        return Plan(tuple(inside), ()), Plan(tuple(c for c in self.changes if c not in inside), ())


def plan_changes(targets: Sequence[Target]) -> Plan:
    """Read every target and compute what it should hold; writes nothing. Raises StoreError for an unreadable file."""
    changes, refusals = [], []
    for target in targets:
        try:
            change, refused = _planned(target)
        except EditRefused as whole:
            change, refused = None, [whole]
        refusals += [(target.path, one) for one in refused]
        if change is not None:
            changes.append(change)
    return Plan(tuple(changes), tuple(refusals))


def render_diff(plan: Plan, secrets: Sequence[str] = ()) -> str:
    """The plan as a unified diff, with *secrets* hidden and nothing in it that a terminal would obey."""
    lines: list[str] = []
    for change in plan.changes:
        before, after = (change.before or b"").decode(), change.after.decode()
        name = str(change.target.path)
        old = name if change.before is not None else "/dev/null"
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), old, name, lineterm=""):
            lines.append(line)
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", "\n".join(lines))
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _planned(target: Target) -> tuple[Change | None, list[EditRefused]]:
    refuse_links(target.path, target.anchor)
    above = next(folder for folder in target.path.parents if folder.exists())
    if not above.is_dir():
        raise EditRefused(f"{above} is no folder.", hint="Move it away, then run it again.")
    before = read_file(target.path)
    try:
        text = None if before is None else before.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise EditRefused("It is not UTF-8.", hint="Convert it, then run it again.") from exc
    edited, refused = _edited(text, target.edits)
    try:
        after = None if edited is None else edited.encode()
    except UnicodeEncodeError as exc:
        raise EditRefused("It holds half a character (a lone surrogate).", hint="Correct that escape.") from exc
    if after is None or after == before:
        return None, refused
    mode = target.mode if before is None else stat.S_IMODE(target.path.stat().st_mode)
    return Change(target, before, after, mode), refused


def _edited(text: str | None, edits: Sequence[Edit]) -> tuple[str | None, list[EditRefused]]:
    """The text after every edit that can be made, and what the others said, each once."""
    refused: list[EditRefused] = []
    for edit in edits:
        try:
            edited = edit(text)
        except EditRefused as exc:
            if not any((exc.message, exc.hint) == (one.message, one.hint) for one in refused):
                refused.append(exc)
        else:
            text = text if edited is None else edited
    return text, refused


def refuse_links(path: Path, anchor: Path) -> None:
    """No part of the path below the anchor may be a link."""
    while path != anchor and path != path.parent:
        if path.is_symlink():
            raise EditRefused(
                f"{path} is a symbolic link; links are not followed.",
                hint="Edit what it points to by hand (docs/clients.md shows what belongs there).",
            )
        path = path.parent


def read_file(path: Path) -> bytes | None:
    """The bytes of a regular file; None when it does not exist. Raises StoreError for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}.") from exc
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise EditRefused(f"{path} is no regular file.", hint="Move it away, then run it again.")
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise EditRefused(f"{path} is larger than {MAX_FILE_BYTES} bytes.", hint="This is hardly a configuration file.")
    return data


def write_change(change: Change) -> None:
    """Write one change. Raises StoreError, EditRefused for a link that appeared meanwhile."""
    path = change.target.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"{path.parent} cannot be made: {exc.strerror}.", hint="codex-oss uninstall") from exc
    refuse_links(path, change.target.anchor)
    if read_file(path) != change.before:
        raise StoreError(f"{path} changed meanwhile; it was left alone.", hint="Run it again.")
    write_atomic(path, change.after, change.mode)
