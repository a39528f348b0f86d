"""Running one tool call of a mission: a `ToolCall` in, a redacted and bounded `ToolResult` out.

Counterparts: `policy.scope` says what may be seen, `services.project_files`, `services.search` and `services.git` fetch
it, `policy.exposure` redacts it, `missions.record` numbers it as evidence.

    call ─► scope again ─► read ─► redact the whole file ─► cut the range ─► result

Rules that hold here:

1. `run` never raises for bad input or a missing file; whatever the model asked, it gets a result that says so.
2. The scope is enforced here as well, for every file that a walk meets, although the runner has asked before.
3. A file is redacted as a whole before a part of it is cut out, so a line in the middle of a key stays hidden and
   line numbers are those of the file.
4. A match on a line that redaction changed counts only when the redacted line matches too. Otherwise searching would
   tell a secret letter by letter.
5. `complete` is False whenever a bound left something out; what was not shown is no evidence, neither for nor against.
   Critical paths that the mission does not open are counted apart (`critical_left_out`): that is no bound.
6. Control characters are shown as U+FFFD: a line of a file must not move the cursor of whoever reads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from codex_oss.contracts.tools import Match, ToolCall, ToolResult, tool_error
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.folder_view import ScopeFilter
from codex_oss.policy.printable import INVISIBLE
from codex_oss.policy.scope import WHOLE_PROJECT, Scope, check_path, check_tool, may_be_linked, normalise_path
from codex_oss.services.expressions import PatternInvalid
from codex_oss.services.git import Git, GitProblem, GitText
from codex_oss.services.project_files import Entry, FileRefused, ProjectRoot, Walk
from codex_oss.services.search import Document, LineFinder, PatternTooSlow, Query, batches, parse_query
from codex_oss.services.shown_lines import bounded, lines_of, redactions_in, shortened, shown_size, size_of
from codex_oss.services.wide_search import NARROW_FILES, WideSearch, wide_engine

MAX_LINE_CHARS: Final = 2_000
MAX_MATCH_CHARS: Final = 500
MIN_MATCH_S: Final = 1.0
DEFAULT_MAX_RESULTS: Final = 100
DEFAULT_LOG_LIMIT: Final = 5

_EVERY_CLASS: Final = ("read", "search", "list", "safe_git")
"""The class was checked by the runner, which knows the mission; here it does not matter."""
_NOT_FOUND: Final = frozenset({"not_found", "not_a_folder"})


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """Bounds of one call; the runner sizes them to the model's context."""

    max_lines: int = 10_000
    max_bytes: int = 40_000
    """Of all shown lines together as the model reads them: UTF-8, with what stands around each line."""
    max_matches: int = 100
    max_file_bytes: int = 2_000_000
    """Larger files are read in part and are not searched."""
    timeout_s: float = 20.0


class ToolHost:
    """Runs tool calls on one project. Blocking and thread-safe: the runner calls it in a thread.

    root: stays open as long as the host is used; the caller closes it.
    """

    def __init__(self, root: ProjectRoot, redactor: Redactor) -> None:
        self._root = root
        self._redactor = redactor
        self._git = Git(root)
        self._tools: Final[dict[str, Callable[[dict[str, Any], Scope, ToolLimits], ToolResult]]] = {
            "rtk_read": self._read,
            "rtk_grep": self._grep,
            "rtk_ls": self._list,
            "rtk_git_status": self._git_status,
            "rtk_git_log": self._git_log,
            "rtk_git_show_stat": self._git_show_stat,
            "rtk_git_diff_stat": self._git_diff_stat,
        }

    def run(self, call: ToolCall, scope: Scope, limits: ToolLimits | None = None) -> ToolResult:
        """The result of *call*; an `error` result carries a code of `check_tool`, `FileRefused` or `GitProblem`,
        or binary_file, range_outside_file, pattern_invalid, pattern_too_slow,
        tool_failed. Never raises for what was asked.
        """
        verdict = check_tool(call, _EVERY_CLASS, scope)
        path = _shown_path(call.arguments.get("path"))
        if not verdict.allowed:
            return tool_error(call.tool, verdict.code, self._clean(verdict.reason), path=path)
        try:
            return self._tools[call.tool](call.arguments, scope, limits or ToolLimits())
        except FileRefused as refused:
            exit_code = 1 if refused.code in _NOT_FOUND else 2
            return tool_error(call.tool, refused.code, self._clean(refused.message), exit_code=exit_code, path=path)
        except GitProblem as problem:
            return tool_error(call.tool, problem.code, problem.message)
        except PatternInvalid as invalid:
            return tool_error(call.tool, "pattern_invalid", self._clean(str(invalid)), path=path)
        except PatternTooSlow as slow:
            return tool_error(call.tool, "pattern_too_slow", str(slow), path=path)
        except OSError:
            # No process, no descriptor, no room for a temporary file: the machine's trouble, not the model's.
            return tool_error(call.tool, "tool_failed", "The machine could not run the tool just now.", path=path)

    # ------------------------------------------------------------------------------------------ rtk_read

    def _read(self, arguments: dict[str, Any], scope: Scope, limits: ToolLimits) -> ToolResult:
        path = str(normalise_path(arguments["path"]))
        content = self._root.read_file(path, limits.max_file_bytes, allow_hard_links=may_be_linked(path, scope))
        if b"\0" in content.data:
            return tool_error("rtk_read", "binary_file", f"{path!r} is a binary file.", path=path)
        raw = lines_of(content.data)
        if not content.complete and len(raw) > 1:
            raw.pop()  # cut somewhere within: half a line is no line, and half a secret is not recognised
        total = len(raw)
        start, end = arguments.get("start_line") or 1, min(arguments.get("end_line") or total, total)
        if start > max(total, 1):
            return tool_error("rtk_read", "range_outside_file", f"{path!r} has {total} lines.", exit_code=1, path=path)
        clean = self._clean_lines(raw)
        shown, cut = bounded(clean[start - 1 : end], limits.max_lines, limits.max_bytes, MAX_LINE_CHARS)
        return ToolResult(
            tool="rtk_read",
            kind="extract",
            exit_code=0,
            path=path,
            start_line=start if shown else 0,
            lines=shown,
            total_lines=total,
            file_sha256=content.sha256,
            complete=content.complete and not cut and len(shown) == total,
            bytes_read=size_of(raw[start - 1 : start - 1 + len(shown)]),
            redactions=redactions_in(raw[start - 1 : start - 1 + len(shown)], shown),
        )

    # ------------------------------------------------------------------------------------------ rtk_grep

    def _grep(self, arguments: dict[str, Any], scope: Scope, limits: ToolLimits) -> ToolResult:
        query = parse_query(arguments["pattern"], case_sensitive=arguments.get("case_sensitive") is not False)
        accept = ScopeFilter(scope, arguments.get("include_glob"))
        search = _Search(
            finder=LineFinder(query),
            walk=self._root.walk(arguments.get("path") or WHOLE_PROJECT, accept),
            deadline=time.monotonic() + limits.timeout_s,
            max_matches=min(arguments.get("max_results") or DEFAULT_MAX_RESULTS, limits.max_matches),
            bytes_left=limits.max_bytes,
            around=arguments.get("context_lines") or 0,
        )
        paths = self._paths(search, query, arguments, scope, limits)
        for batch in batches(self._documents(search, paths, scope, limits)):
            found = search.finder.find(batch, timeout_s=search.match_time())
            for document, numbers in zip(batch, found, strict=True):
                if numbers:
                    self._take(search, document, numbers)
        return _search_result(arguments, search, search.critical if search.wide else accept.critical)

    def _paths(
        self, search: _Search, query: Query, arguments: dict[str, Any], scope: Scope, limits: ToolLimits
    ) -> Iterator[str]:
        """The files to search: those of the walk, or where these are very many, those in which something may match."""
        walked = iter(search.walk)
        first = list(islice(walked, NARROW_FILES))
        program = wide_engine() if len(first) == NARROW_FILES else None
        if program is not None:
            folder, glob = normalise_path(arguments.get("path") or WHOLE_PROJECT), arguments.get("include_glob")
            wide = WideSearch(
                self._root,
                "" if folder in (None, WHOLE_PROJECT) else str(folder),
                query,
                max_file_bytes=limits.max_file_bytes,
                deadline=search.deadline,
            )
            survey = ScopeFilter(scope, glob)
            # A search that may read files with hard links asks for each by its name.
            if not scope.linked and wide.run(program, survey, survey.files, linked=False):
                search.surveyed(wide, survey.critical)
                accept = ScopeFilter(scope, glob)
                return (path for path in wide.paths if accept(path, "file"))
        return chain(first, walked)

    def _documents(self, search: _Search, paths: Iterator[str], scope: Scope, limits: ToolLimits) -> Iterator[Document]:
        """The text files of *paths*, until the time is over."""
        for path in paths:
            if search.time_left() <= 0:
                search.cut = True
                return
            try:
                linked = may_be_linked(path, scope)
                content = self._root.read_file(path, limits.max_file_bytes, allow_hard_links=linked)
            except FileRefused as refused:
                if not search.wide:
                    search.skipped += 1
                    search.cut = search.cut or refused.code != "not_found"
                continue
            if not content.complete or b"\0" in content.data:
                # A binary file has no lines to match; a file too large for us might have had some.
                if not search.wide:
                    search.skipped += 1
                    search.cut = search.cut or b"\0" not in content.data
                continue
            search.searched += not search.wide
            yield Document(path, tuple(lines_of(content.data)))

    def _take(self, search: _Search, document: Document, numbers: Sequence[int]) -> None:
        """Count the matches of one file and keep as many as the bounds allow, redacted."""
        clean = self._clean_lines(document.lines)
        numbers = _still_matching(search, document, clean, numbers)
        search.count += len(numbers)
        room, path = search.max_matches - len(search.matches), self._clean(document.path)
        kept = [number for number in numbers[: max(room, 0)] if search.afford(path, clean[number - 1])]
        search.cut = search.cut or len(kept) < len(numbers)
        search.matches += [_match(path, number, clean) for number in kept]
        around = _around(kept, search.around, len(clean))
        context = [number for number in around if search.afford(path, clean[number - 1])]
        search.cut = search.cut or len(context) < len(around)
        search.context += [_match(path, number, clean) for number in context]
        raw = [document.lines[number - 1] for number in (*kept, *context)]
        search.bytes_read += size_of(raw)
        search.redactions += redactions_in(raw, [clean[number - 1] for number in (*kept, *context)])

    # ------------------------------------------------------------------------------------------ rtk_ls

    def _list(self, arguments: dict[str, Any], scope: Scope, limits: ToolLimits) -> ToolResult:
        path = normalise_path(arguments.get("path") or WHOLE_PROJECT) or WHOLE_PROJECT
        listing = self._root.list_directory(path)
        prefix = "" if path == WHOLE_PROJECT else f"{path}/"
        accept = ScopeFilter(scope)
        visible = [entry for entry in listing.entries if accept(f"{prefix}{entry.name}", entry.kind)]
        raw = [_named(entry) for entry in visible]
        names = self._clean_lines(raw)
        shown, cut = bounded(names, limits.max_lines, limits.max_bytes, MAX_LINE_CHARS)
        return ToolResult(
            tool="rtk_ls",
            kind="entries",
            exit_code=0,
            path=path,
            lines=shown,
            critical_left_out=accept.critical,
            complete=listing.complete and not cut,
            bytes_read=size_of(raw[: len(shown)]),
            redactions=redactions_in(raw[: len(shown)], shown),
        )

    # ------------------------------------------------------------------------------------------ rtk_git_*

    def _git_status(self, arguments: dict[str, Any], scope: Scope, limits: ToolLimits) -> ToolResult:
        found = self._git.status(_accepts(scope), timeout_s=limits.timeout_s)
        return self._text("rtk_git_status", found, limits)

    def _git_log(self, arguments: dict[str, Any], scope: Scope, limits: ToolLimits) -> ToolResult:
        found = self._git.log(arguments.get("limit") or DEFAULT_LOG_LIMIT, timeout_s=limits.timeout_s)
        return self._text("rtk_git_log", found, limits)

    def _git_show_stat(self, arguments: dict[str, Any], scope: Scope, limits: ToolLimits) -> ToolResult:
        found = self._git.show_stat(arguments.get("rev") or "HEAD", _accepts(scope), timeout_s=limits.timeout_s)
        return self._text("rtk_git_show_stat", found, limits)

    def _git_diff_stat(self, arguments: dict[str, Any], scope: Scope, limits: ToolLimits) -> ToolResult:
        path = arguments.get("path")
        asked = None if path is None else normalise_path(path)
        found = self._git.diff_stat(asked, _accepts(scope), timeout_s=limits.timeout_s)
        return self._text("rtk_git_diff_stat", found, limits)

    def _text(self, tool: str, found: GitText, limits: ToolLimits) -> ToolResult:
        clean = self._clean_lines(found.lines)
        shown, cut = bounded(clean, limits.max_lines, limits.max_bytes, MAX_LINE_CHARS)
        return ToolResult(
            tool=tool,
            kind="text",
            exit_code=0,
            lines=shown,
            complete=found.complete and not cut,
            bytes_read=size_of(found.lines[: len(shown)]),
            redactions=redactions_in(found.lines[: len(shown)], shown),
        )

    # ------------------------------------------------------------------------------------------ redaction

    def _clean(self, sentence: str) -> str:
        return self._redactor.redact(sentence).text.translate(INVISIBLE)

    def _clean_lines(self, lines: Sequence[str]) -> tuple[str, ...]:
        """*lines* as they may be shown, redacted together and still one by one (rule 3)."""
        if not lines:
            return ()
        return tuple(line.translate(INVISIBLE) for line in self._redactor.redact("\n".join(lines)).text.split("\n"))


@dataclass(slots=True)
class _Search:
    """One search under way."""

    finder: LineFinder
    walk: Walk
    deadline: float
    max_matches: int
    bytes_left: int
    around: int
    matches: list[Match] = field(default_factory=list)
    context: list[Match] = field(default_factory=list)
    count: int = 0
    searched: int = 0
    skipped: int = 0
    bytes_read: int = 0
    redactions: int = 0
    cut: bool = False
    wide: bool = False
    """The counts come from a survey, not from what was read (`services.wide_search`)."""
    critical: int = 0

    def surveyed(self, wide: WideSearch, critical: int) -> None:
        """Take over what a survey counted."""
        self.wide, self.critical, self.searched = True, critical, wide.survey.files
        self.skipped = wide.survey.skipped
        self.cut = self.cut or wide.cut or not wide.survey.complete

    def time_left(self) -> float:
        return self.deadline - time.monotonic()

    def match_time(self) -> float:
        """Seconds for matching what was read: reading slowly is not the pattern's fault."""
        return max(self.time_left(), MIN_MATCH_S)

    def afford(self, path: str, line: str) -> bool:
        """Whether *line* of *path* still fits the bound on bytes; if so it is paid."""
        cost = shown_size(path) + len(shortened(line, MAX_MATCH_CHARS).encode("utf-8", "replace"))
        if cost > self.bytes_left:
            return False
        self.bytes_left -= cost
        self.cut = self.cut or len(line) > MAX_MATCH_CHARS
        return True


def _search_result(arguments: dict[str, Any], search: _Search, critical: int) -> ToolResult:
    skipped = search.skipped + (0 if search.wide else search.walk.skipped)
    return ToolResult(
        tool="rtk_grep",
        kind="matches",
        exit_code=0 if search.count else 1,
        path=_shown_path(arguments.get("path")),
        matches=tuple(search.matches),
        match_count=search.count,
        context=tuple(search.context),
        files_searched=search.searched,
        files_skipped=skipped,
        critical_left_out=critical,
        complete=(search.wide or search.walk.complete) and not search.cut,
        bytes_read=search.bytes_read,
        redactions=search.redactions,
    )


def _still_matching(search: _Search, document: Document, clean: Sequence[str], numbers: Sequence[int]) -> list[int]:
    """Those of *numbers* whose shown line matches as well (rule 4)."""
    changed = [number for number in numbers if clean[number - 1] != document.lines[number - 1]]
    if not changed:
        return list(numbers)
    shown = Document(document.path, tuple(clean[number - 1] for number in changed))
    again = search.finder.find([shown], timeout_s=search.match_time())[0]
    hidden = set(changed) - {changed[number - 1] for number in again}
    return [number for number in numbers if number not in hidden]


def _match(path: str, number: int, clean: Sequence[str]) -> Match:
    return Match(path, number, shortened(clean[number - 1], MAX_MATCH_CHARS))


def _around(numbers: Sequence[int], distance: int, total: int) -> list[int]:
    near = {line for number in numbers for line in range(max(1, number - distance), min(total, number + distance) + 1)}
    return sorted(near - set(numbers))


# ---------------------------------------------------------------------------------------------- scope


def _accepts(scope: Scope) -> Callable[[str], bool]:
    return lambda path: check_path(path, scope).allowed


def _named(entry: Entry) -> str:
    return entry.name + {"folder": "/", "link": "@", "file": "", "other": "="}[entry.kind]


def _shown_path(path: object) -> str:
    return (normalise_path(path) or "") if isinstance(path, str) else ""
