"""What the runtime has shown to the model, numbered so that a finding can cite it, and the resolver of citations.

Counterparts: `missions.record` adds to the ledger as tools finish, `missions.gates` resolves what a report cites,
`missions.observation` offers the refs in every observation.

    file:<path>#extract:<n>            the n-th extract of that file, n from 1
    command:<index>                    the index-th run of a tool other than rtk_read, from 0
    command:<index>#match:<n>          its n-th match as shown, from 0
    command:<index>#zero_match         it searched at least one file, wholly, and found nothing

Rules that hold here:

1. A ref resolves to the exact lines that were shown, never to what the file holds elsewhere or by now.
2. A search that was cut short, failed or met no file proves no absence.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct, field

from codex_oss.contracts.tools import Match, ToolResult


class Extract(Struct, frozen=True):
    """Lines of one file, shown at one time."""

    path: str
    number: int
    """1-based among the extracts of this path."""
    start_line: int
    lines: tuple[str, ...]
    total_lines: int
    file_sha256: str
    complete: bool
    step: int

    @property
    def ref(self) -> str:
        """`file:<path>#extract:<n>`"""
        return f"file:{self.path}#extract:{self.number}"

    @property
    def end_line(self) -> int:
        """Last line shown; `start_line - 1` when the file is empty."""
        return self.start_line + len(self.lines) - 1


class CommandRun(Struct, frozen=True):
    """One finished run of a tool other than rtk_read."""

    index: int
    tool: str
    arguments: dict[str, Any]
    result: ToolResult
    step: int

    @property
    def ref(self) -> str:
        """`command:<index>`, or its `#zero_match` form when it proves that nothing is there."""
        return f"command:{self.index}#zero_match" if proves_absence(self) else f"command:{self.index}"


class Evidence(Struct):
    """The ledger: grows with every finished tool, owned by one fold."""

    extracts: dict[str, list[Extract]] = field(default_factory=dict)
    """Path to its extracts, in the order shown."""
    commands: list[CommandRun] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.extracts or self.commands)

    def add(self, step: int, arguments: dict[str, Any], result: ToolResult) -> Extract | CommandRun | None:
        """Number a result; None when it shows nothing (an error) and so cannot be cited."""
        if result.tool == "rtk_read":
            if result.kind != "extract" or (result.total_lines and not result.lines):
                return None  # a range without lines: nothing of the file was seen
            known = self.extracts.setdefault(result.path, [])
            extract = Extract(
                path=result.path,
                number=len(known) + 1,
                start_line=result.start_line,
                lines=result.lines,
                total_lines=result.total_lines,
                file_sha256=result.file_sha256,
                complete=result.complete,
                step=step,
            )
            known.append(extract)
            return extract
        run = CommandRun(len(self.commands), result.tool, arguments, result, step)
        self.commands.append(run)
        return run


class ShownLine(Struct, frozen=True):
    """A line that stood in an observation. number 0: it is not a line of a file."""

    path: str
    number: int
    text: str


class Citation(Struct, frozen=True):
    """What a ref resolves to."""

    ref: str
    path: str
    lines: tuple[ShownLine, ...]
    zero_match: bool = False
    pattern: str = ""
    """What was searched for; empty for reads and git."""
    include_glob: str = ""
    """What the search was narrowed to, beside its path."""
    case_sensitive: bool = True
    match_count: int = 0
    """What the search met in all, shown or not."""
    whole_file: bool = False
    """The lines are all lines of one file."""


class BadRef(Struct, frozen=True):
    """Why a ref does not resolve."""

    ref: str
    code: str
    message: str


_FILE_REF: Final = re.compile(r"file:(?P<path>.+)#extract:(?P<number>[0-9]{1,9})\Z", re.DOTALL)
_COMMAND_REF: Final = re.compile(
    r"command:(?P<index>[0-9]{1,9})(?:#(?:match:(?P<match>[0-9]{1,9})|(?P<zero>zero_match)))?\Z"
)


def proves_absence(run: CommandRun) -> bool:
    """Whether this search may carry the claim that something is not there."""
    result = run.result
    return (
        run.tool == "rtk_grep"
        and result.kind == "matches"
        and result.exit_code == 1
        and result.match_count == 0
        and result.complete
        and not result.critical_left_out
        and result.files_searched > 0
    )


def resolve_ref(evidence: Evidence, ref: str) -> Citation | BadRef:
    """Resolve a ref to the lines shown. Never raises; a BadRef says what was wrong."""
    found = _FILE_REF.match(ref)
    if found:
        return _resolve_file(evidence, ref, found["path"], int(found["number"]))
    found = _COMMAND_REF.match(ref)
    if found:
        return _resolve_command(evidence, ref, int(found["index"]), found["match"], found["zero"] is not None)
    return BadRef(ref, "evidence_ref_malformed", f"{ref[:120]!r} is not an evidence ref.")


def _resolve_file(evidence: Evidence, ref: str, path: str, number: int) -> Citation | BadRef:
    extracts = evidence.extracts.get(path)
    if not extracts:
        return BadRef(ref, "evidence_file_not_read", f"{path} was never read in this mission.")
    if not 1 <= number <= len(extracts):
        return BadRef(
            ref, "evidence_not_shown", f"{path} has {len(extracts)} extract(s), there is no extract {number}."
        )
    extract = extracts[number - 1]
    lines = tuple(ShownLine(path, extract.start_line + i, text) for i, text in enumerate(extract.lines))
    return Citation(ref, path, lines, whole_file=len(lines) == extract.total_lines)


def _resolve_command(evidence: Evidence, ref: str, index: int, match: str | None, zero: bool) -> Citation | BadRef:
    if index >= len(evidence.commands):
        return BadRef(ref, "evidence_command_not_run", f"Only {len(evidence.commands)} command(s) were run.")
    run = evidence.commands[index]
    result = run.result
    if result.kind == "error":
        return BadRef(ref, "evidence_command_failed", f"Command {index} failed and showed nothing.")
    path = str(run.arguments.get("path", ""))
    pattern = str(run.arguments.get("pattern", ""))
    if zero and not proves_absence(run):
        return BadRef(ref, "evidence_no_zero_match", f"Command {index} does not prove that nothing matches.")
    if match is not None and int(match) >= len(result.matches):
        return BadRef(
            ref, "evidence_not_shown", f"Command {index} showed {len(result.matches)} match(es), not {match}."
        )
    if match is not None:
        chosen = result.matches[int(match)]
        return Citation(ref, chosen.path, (_line_of(chosen),), pattern=pattern)
    if result.kind == "matches":
        return Citation(
            ref,
            path,
            tuple(map(_line_of, result.matches)),
            proves_absence(run),
            pattern,
            str(run.arguments.get("include_glob", "")),
            run.arguments.get("case_sensitive") is not False,
            result.match_count,
        )
    return Citation(ref, path, tuple(ShownLine("", 0, text) for text in result.lines))


def _line_of(match: Match) -> ShownLine:
    return ShownLine(match.path, match.line, match.text)
