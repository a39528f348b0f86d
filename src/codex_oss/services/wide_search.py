"""Searching very many files: `rg` names the files that may match, and only those are read by us.

Counterparts: `services.tool_host` reads the named files safely, redacts them and matches anew with `services.search`.

    folder, held open ─┬─► rg --files-with-matches in that folder ─► names ──────────────┐
                       └─► survey: every name and its inode, by us ─► counts, skipped ────┴─► files to read

Rules that hold here:

1. What `rg` says is a hint. No content comes from it, and a name counts only where scope and safe open agree, so a link
   that it was led through leads nowhere (docs/decisions/0029).
2. No false absence: whatever our own matching would find, `rg` is asked for, undecodable bytes and CRLF included. When
   it reports any trouble, the search is done without it.
3. What is told of a search (files searched, skipped, whole or not) comes from the survey, never from what matched in a
   file that may not be read. Otherwise counts would tell its content letter by letter.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from codex_oss.policy.denied_names import DENIED_NAMES
from codex_oss.services.expressions import parse_expression, to_rust
from codex_oss.services.project_files import MAX_DEPTH, MAX_WALK_ENTRIES, EntryKind, FileRefused, ProjectRoot
from codex_oss.services.search import Query

NARROW_FILES: Final = 400
"""So many files are searched without a second process; beyond, `rg` is faster."""

NameFilter = Callable[[str, list[str]], list[str]]
"""Folder and the names of files in it to those that may be searched."""

_OPTIONS: Final = (
    "--no-config",
    "--no-follow",
    "--no-ignore",
    "--hidden",
    "--color=never",
    "--files-with-matches",
    "--null",
    "--encoding=none",
    "--no-mmap",
)
_DENIED: Final = "{" + ",".join([glob for globs in DENIED_NAMES.values() for glob in globs]) + "}"
"""All denied names as one glob: as many globs they cost a third of the search."""
_INVALID: Final = (
    r"(?-u:[\xC0\xC1\xF5-\xFF]|(?:^|[\x00-\x7F])[\x80-\xBF]|[\xC2-\xDF](?:[^\x80-\xBF]|$)"
    r"|[\xE0-\xEF](?:[^\x80-\xBF]|$|[\x80-\xBF](?:[^\x80-\xBF]|$))|\xE0[\x80-\x9F]|\xED[\xA0-\xBF]"
    r"|[\xF0-\xF4](?:[^\x80-\xBF]|$|[\x80-\xBF](?:[^\x80-\xBF]|$|[\x80-\xBF](?:[^\x80-\xBF]|$)))"
    r"|\xF0[\x80-\x8F]|\xF4[\x90-\xBF]|(?:[\xC2-\xDF][\x80-\xBF]|[\xE0-\xEF][\x80-\xBF]{2}|[\xF0-\xF4][\x80-\xBF]{3})[\x80-\xBF])"
)
"""Bytes that are no UTF-8. We show them as U+FFFD, which an expression may match."""


@dataclass(slots=True)
class Survey:
    """What lies below a folder, without having been read."""

    files: int = 0
    """Files that may be searched."""
    skipped: int = 0
    """Files and folders that could not be looked into."""
    complete: bool = True


def wide_engine() -> str | None:
    """The absolute path of `rg`, None where this way of searching is not possible."""
    found = shutil.which("rg")
    return found if found and os.path.isabs(found) and os.path.isdir("/proc/self/fd") else None


class WideSearch:
    """One search of a whole folder for one query: run it once, then read `survey` and `paths`."""

    def __init__(self, root: ProjectRoot, folder: str, query: Query, *, max_file_bytes: int, deadline: float) -> None:
        self._root = root
        self._folder = folder
        self._query = query
        self._max_file_bytes = max_file_bytes
        self._deadline = deadline
        self.survey = Survey()
        self.paths: list[str] = []
        """Files that may match, in the order of a walk."""
        self.cut = False
        """The time was over before `rg` had seen everything."""

    def run(self, program: str, enters: Callable[[str, EntryKind], bool], keep: NameFilter, linked: bool) -> bool:
        """Search; False when `rg` had any trouble. linked: some file with several hard links may be read."""
        try:
            fd = self._root.open_beneath(self._folder or ".", directory=True)
        except FileRefused:
            return False
        try:
            child = self._start(program, fd)
        finally:
            os.close(fd)
        timer = threading.Timer(max(self._deadline - time.monotonic(), 0.05), _end, (child,))
        output: list[bytes] = []
        reader = threading.Thread(target=lambda: output.append(child.stdout.read() if child.stdout else b""))
        timer.start()
        reader.start()
        try:
            self._look(self._folder, 1, enters, keep, linked)
            reader.join()
            code = child.wait()
        finally:
            timer.cancel()
            _end(child)
            child.wait()
            reader.join()
            if child.stdout:
                child.stdout.close()
        self.cut = code < 0
        if code not in (0, 1) and not self.cut:
            return False
        self.paths = sorted(self._names(output[0] if output else b""), key=lambda path: path.split("/"))
        return True

    def _start(self, program: str, fd: int) -> subprocess.Popen[bytes]:
        argv = [program, *_OPTIONS, f"--iglob=!{_DENIED}", *_patterns(self._query), "--", "."]
        # The folder itself, whatever its name leads to by now.
        return subprocess.Popen(  # noqa: S603 - a fixed program; the pattern is an argument behind -e
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            cwd=f"/proc/self/fd/{fd}",
            start_new_session=True,
        )

    def _names(self, output: bytes) -> Iterator[str]:
        prefix = f"{self._folder}/" if self._folder else ""
        for name in output.split(b"\0")[:-1]:
            with suppress(UnicodeDecodeError):  # no tool can ask for such a name; the survey knows of it
                yield prefix + name.removeprefix(b"./").decode()

    def _look(
        self, folder: str, depth: int, enters: Callable[[str, EntryKind], bool], keep: NameFilter, linked: bool
    ) -> None:
        """Count what lies in *folder* and below."""
        seen, survey = 0, self.survey
        stack = [(folder, depth)]
        while stack:
            folder, depth = stack.pop()
            if depth > MAX_DEPTH or seen > MAX_WALK_ENTRIES or time.monotonic() > self._deadline:
                survey.complete = False
                return
            try:
                fd = self._root.open_beneath(folder or ".", directory=True)
            except FileRefused:
                survey.skipped, survey.complete = survey.skipped + 1, False
                continue
            try:
                with os.scandir(fd) as found:
                    entries = list(found)
                    names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
                    others = [] if len(names) == len(entries) else entries
                    seen += len(entries)
                    if _unusable(entries):
                        survey.complete = False
                    kept = keep(folder, names)
                    refused = self._refused(folder, entries, kept, linked)
            except OSError:
                survey.skipped, survey.complete = survey.skipped + 1, False
                continue
            finally:
                os.close(fd)
            survey.files += len(kept) - refused
            survey.skipped += refused
            survey.complete = survey.complete and not refused
            prefix = f"{folder}/" if folder else ""
            stack += [
                (prefix + entry.name, depth + 1)
                for entry in others
                if entry.is_dir(follow_symlinks=False) and enters(prefix + entry.name, "folder")
            ]

    def _refused(self, folder: str, entries: list[os.DirEntry[str]], kept: list[str], linked: bool) -> int:
        """How many of the *kept* files are refused for their size or their links, looked at without opening them."""
        wanted, bound = set(kept), self._max_file_bytes
        looks = [entry.stat(follow_symlinks=False) for entry in entries if entry.name in wanted]
        return sum([1 for look in looks if look.st_size > bound or (look.st_nlink > 1 and not linked)])


def _patterns(query: Query) -> list[str]:
    """The arguments that make `rg` name every file in which our own matching finds something."""
    case = "--case-sensitive" if query.case_sensitive else "--ignore-case"
    if query.literal and query.case_sensitive and "\ufffd" not in query.pattern:
        return [case, "--fixed-strings", "-e", query.pattern]
    rust = query.rust or to_rust(parse_expression(re.escape(query.pattern))[1])
    # A line of ours ends before its carriage return. A `$` in `rust` is always the end: literals are code points.
    asked = [case, "-e", rust.replace("$", r"\r?$")]
    return [*asked, "-e", _INVALID] if _may_match_replaced(rust) else asked


def _may_match_replaced(rust: str) -> bool:
    """Whether an expression, as `to_rust` writes it, may match U+FFFD."""
    high = (int(code, 16) for code in _HIGH.findall(rust))
    return any(mark in rust for mark in (".", "[^", r"\P")) or any(code >= 0xFFFD for code in high)


_HIGH: Final = re.compile(r"\\x\{([0-9a-fA-F]+)\}")


def _unusable(entries: list[os.DirEntry[str]]) -> bool:
    """Whether a name is among them that no tool could ask for."""
    names = "/".join([entry.name for entry in entries])
    if names.isascii() and names.isprintable():
        return "\\" in names
    return _UNUSABLE.search(names) is not None


_UNUSABLE: Final = re.compile(r"[\x01-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
