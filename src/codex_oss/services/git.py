"""Reading git history and status without letting the repository run anything.

Counterparts: `services.tool_host` calls it for the tools `rtk_git_*`; the scope's filter decides which files are named.

    project/.git ──(HEAD, index, objects, refs: read)──► shadow git folder with a configuration of our own ──► git

Rules that hold here:

1. git never reads the repository's own configuration. Hooks, `core.fsmonitor`, `core.sshCommand`, `diff.external`,
   text conversions, clean filters, aliases and promisor remotes are programs that such a file may name, and a list of
   overrides is never complete. Instead git gets a temporary folder with a fresh configuration, and is pointed at the
   objects, references and index of the project. Global and system configuration are off as well.
2. Submodules are not looked into: `git status` would run there with *their* configuration.
3. `.git` is a folder without a link, or the file of a linked worktree whose own folder points back to this project.
   Anything else is `not_a_repository`; parents of the project are never searched.
4. Machine formats (`-z`, `--numstat`) are read and every file is checked by the caller's filter; a text meant for
   people cannot be filtered reliably. What was left out is counted, never named.
5. User values come after `--` or are plain revisions; time and output are bounded.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codex_oss.policy.scope import REV_PATTERN
from codex_oss.services.project_files import FileRefused, ProjectRoot

MAX_OUTPUT_BYTES: Final = 1_000_000
MAX_LOG_ENTRIES: Final = 20

AcceptPath = Callable[[str], bool]
"""Whether a path (relative to the project) may be named."""

_HEAD: Final = re.compile(r"(?:ref: refs/[\w./+@-]{1,250}|[0-9a-f]{40}|[0-9a-f]{64})\s*")
_OBJECT_FORMAT: Final = re.compile(r"^\s*objectformat\s*=\s*(sha1|sha256)\s*$", re.IGNORECASE | re.MULTILINE)
_PLAIN_SETTING: Final = re.compile(
    r"^\s*(filemode|ignorecase|symlinks|precomposeunicode|autocrlf|eol)\s*=\s*(true|false|input|lf|crlf|native)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
"""The only settings that are taken over: how this file system spells things. None of them can name a program."""
_LINKED: Final = ("refs", "packed-refs", "info", "shallow", "logs")
"""What the shadow folder takes from the repository: data only."""

_OPTIONS: Final = (
    "--no-pager",
    "--no-optional-locks",
    "--literal-pathspecs",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "core.attributesFile=/dev/null",
    "-c", "protocol.allow=never",
    "-c", "submodule.recurse=false",
    "-c", "diff.ignoreSubmodules=all",
    "-c", "color.ui=false",
)  # fmt: skip
_DIFF_OPTIONS: Final = (
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--no-color",
    "--ignore-submodules=all",
    "--numstat",
    "-z",
)


class GitProblem(Exception):
    """git could not answer. code: not_a_repository, git_missing, rev_invalid, rev_not_found, timeout, git_failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class GitText:
    """Lines to show, not yet redacted."""

    lines: tuple[str, ...]
    complete: bool = True
    """False when output was cut or files outside the scope were left out."""


class Git:
    """Read-only questions to the repository of one project."""

    def __init__(self, root: ProjectRoot) -> None:
        self._root = root

    def status(self, accept: AcceptPath, *, timeout_s: float) -> GitText:
        """Branch and changed files, in the short form. Errors: GitProblem."""
        argv = ("status", "--porcelain=v1", "-z", "--branch", "--no-renames", "--untracked-files=all",
                "--ignore-submodules=all")  # fmt: skip
        output = self._ask(argv, timeout_s)
        rows = [(record[3:], record) for record in output.records if not record.startswith("## ")]
        head = [record for record in output.records if record.startswith("## ")]
        return _filtered(head, rows, accept, output.complete)

    def log(self, limit: int, *, timeout_s: float) -> GitText:
        """The newest *limit* (1…20) commits of HEAD: short id and subject. Errors: GitProblem."""
        bounded = max(1, min(limit, MAX_LOG_ENTRIES))
        argv = ("log", "-z", "--no-color", "--no-notes", "--no-decorate", "--no-show-signature", "--no-mailmap",
                "--format=%h %s", "-n", str(bounded), "--")  # fmt: skip
        output = self._ask(argv, timeout_s)
        return GitText(tuple(map(_one_line, output.records)), output.complete)

    def show_stat(self, rev: str, accept: AcceptPath, *, timeout_s: float) -> GitText:
        """One commit: id, date, subject, and changed lines by file (against its first parent). Errors: GitProblem."""
        if not REV_PATTERN.fullmatch(rev):
            raise GitProblem("rev_invalid", "The revision must be plain, such as HEAD, main~2 or a commit id.")
        argv = ("log", "-1", "--no-notes", "--no-show-signature", "--no-mailmap", "-m", "--first-parent",
                "--format=%h %cs %s%x00", *_DIFF_OPTIONS, "--end-of-options", rev, "--")  # fmt: skip
        output = self._ask(argv, timeout_s)
        head = [record for record in output.records[:1] if record]
        return _filtered(head, _numstat_rows(output.records[1:]), accept, output.complete)

    def diff_stat(self, path: str | None, accept: AcceptPath, *, timeout_s: float) -> GitText:
        """Changed lines by file, working tree against index, below *path*. Errors: GitProblem."""
        argv = ("diff", *_DIFF_OPTIONS, "--", *(() if path is None else (path,)))
        output = self._ask(argv, timeout_s)
        return _filtered([], _numstat_rows(output.records), accept, output.complete)

    def _ask(self, argv: Sequence[str], timeout_s: float) -> _Output:
        program = shutil.which("git")
        if program is None or not os.path.isabs(program) or Path(program).is_relative_to(self._root.path):
            # A `git` that lies in the project itself (through `.` or a tool folder in PATH) is not run.
            raise GitProblem("git_missing", "git is not installed.")
        with self._shadow() as (folder, environment):
            return _run((program, *_OPTIONS, *argv), self._root.path, environment, folder / "stderr", timeout_s)

    @contextmanager
    def _shadow(self) -> Iterator[tuple[Path, dict[str, str]]]:
        """A git folder with our configuration and the project's data, and the environment that points at it."""
        own, common = self._locate()
        head = _read_text(own, "HEAD")
        real = all(_is_real_folder(common, name) for name in ("objects", "refs"))
        if not real or not _HEAD.fullmatch(head) or (own / "index").is_symlink():
            raise _no_repository()
        config = _our_config(_read_text(common, "config"))
        with tempfile.TemporaryDirectory(prefix="codex-oss-git-") as name:
            folder = Path(name)
            shadow = folder / "git"
            shadow.mkdir()
            (shadow / "HEAD").write_text(head)
            (shadow / "config").write_text(config)
            for data in _LINKED:
                (shadow / data).symlink_to(common / data)
            for shared in own.glob("sharedindex.*"):
                (shadow / shared.name).symlink_to(shared)
            yield folder, _environment(folder, shadow, own, common, self._root.path)

    def _locate(self) -> tuple[Path, Path]:
        """The git folder of this worktree and the one that holds objects and references (mostly the same)."""
        path = self._root.path / ".git"
        try:
            os.close(self._root.open_beneath(".git", directory=True))
        except FileRefused as refused:
            if refused.code != "not_a_folder":
                raise _no_repository() from refused
            return self._linked_worktree(path)
        return path, path

    def _linked_worktree(self, path: Path) -> tuple[Path, Path]:
        """The folders of a linked worktree, believed only when its own folder names this project's `.git` file."""
        try:
            text = self._root.read_file(".git", 4_096).data.decode()
        except (FileRefused, UnicodeDecodeError) as exc:
            raise _no_repository() from exc
        own = Path(text.removeprefix("gitdir:").strip())
        if not own.is_absolute() or own.parent.name != "worktrees":
            raise _no_repository()
        if not os.path.samefile(_existing(_read_text(own, "gitdir").strip()), path):
            raise _no_repository()
        return own, own.parent.parent


@dataclass(frozen=True, slots=True)
class _Output:
    records: tuple[str, ...]
    """NUL-separated records, empty ones dropped."""
    complete: bool


def _run(argv: Sequence[str], cwd: Path, env: dict[str, str], errors: Path, timeout_s: float) -> _Output:
    with (
        errors.open("w+b") as stderr,
        subprocess.Popen(  # noqa: S603 - a fixed program; user values are checked or behind `--`
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        ) as child,
    ):
        timer = threading.Timer(timeout_s, _kill, (child,))
        timer.start()
        try:
            data = child.stdout.read(MAX_OUTPUT_BYTES + 1) if child.stdout else b""
            cut = len(data) > MAX_OUTPUT_BYTES
            if cut:
                _kill(child)
            code = child.wait()
        finally:
            timer.cancel()
            _kill(child)
        stderr.seek(0)
        complaint = stderr.read(4_096).decode("utf-8", "replace")
    if code == -signal.SIGKILL and not cut:
        raise GitProblem("timeout", f"git did not answer within {timeout_s:g} s.")
    if code != 0 and not cut:
        raise _diagnosed(complaint)
    text = data[:MAX_OUTPUT_BYTES].decode("utf-8", "surrogateescape")
    records = text.split("\0")
    return _Output(tuple(record for record in (records[:-1] if cut else records) if record), not cut)


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _diagnosed(complaint: str) -> GitProblem:
    lowered = complaint.lower()
    if "not a git repository" in lowered:
        return _no_repository()
    if any(words in lowered for words in ("bad revision", "unknown revision", "bad object", "ambiguous argument")):
        return GitProblem("rev_not_found", "There is no such revision.")
    if "does not have any commits" in lowered:
        return GitProblem("rev_not_found", "The repository has no commit yet.")
    return GitProblem("git_failed", "git could not answer; the repository may be damaged or of an unknown format.")


def _no_repository() -> GitProblem:
    return GitProblem("not_a_repository", "The project is not a git repository of its own.")


def _our_config(theirs: str) -> str:
    """A fresh configuration with nothing of *theirs* but the object format and plain facts of the file system."""
    found = _OBJECT_FORMAT.search(theirs)
    plain = "".join(f"\t{name} = {value}\n" for name, value in _PLAIN_SETTING.findall(theirs))
    core = f"[core]\n\trepositoryformatversion = {1 if found else 0}\n\tbare = false\n{plain}"
    return core + (f"[extensions]\n\tobjectFormat = {found[1].lower()}\n" if found else "")


def _environment(folder: Path, shadow: Path, own: Path, common: Path, project: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "GIT_DIR": str(shadow),
        "GIT_WORK_TREE": str(project),
        "GIT_INDEX_FILE": str(own / "index"),
        "GIT_OBJECT_DIRECTORY": str(common / "objects"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(project.parent),
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
    }


def _read_text(folder: Path, name: str) -> str:
    """A small file of a git folder. Errors: GitProblem, when it is missing, a link, or no text."""
    try:
        with ProjectRoot(folder) as root:
            return root.read_file(name, 65_536, allow_hard_links=True).data.decode()
    except (FileRefused, UnicodeDecodeError) as exc:
        raise _no_repository() from exc


def _is_real_folder(folder: Path, name: str) -> bool:
    try:
        with ProjectRoot(folder) as root:
            os.close(root.open_beneath(name, directory=True))
    except FileRefused:
        return False
    return True


def _existing(path: str) -> str:
    if not path or "\0" in path or not os.path.exists(path):
        raise _no_repository()
    return path


# ---------------------------------------------------------------------------------------------- what is shown


def _numstat_rows(records: Sequence[str]) -> list[tuple[str, str]]:
    """`added TAB removed TAB path` records as (path, line); a binary file has dashes."""
    rows = []
    for record in records:
        added, _, rest = record.lstrip("\n").partition("\t")
        removed, _, path = rest.partition("\t")
        if path:
            rows.append((path, f" {path} | +{added} -{removed}" if added != "-" else f" {path} | binary"))
    return rows


def _filtered(head: Sequence[str], rows: Sequence[tuple[str, str]], accept: AcceptPath, complete: bool) -> GitText:
    shown = [line for path, line in rows if accept(path)]
    left_out = len(rows) - len(shown)
    note = [f"({left_out} more outside the scope)"] if left_out else []
    return GitText(tuple(map(_one_line, (*head, *shown, *note))), complete and not left_out)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in text.strip("\n"))
