"""Finding the lines that match a pattern, without letting the pattern or the tree take over.

Counterparts: `services.project_files` opens what is searched, `services.tool_host` turns line numbers into redacted
matches.

    pattern ─► Query ─┬─ literal ─────► matched in this process
                      └─ expression ─► child process: `rg` when present, else Python's `re`
    files already opened safely ─► Document ─► one stream of lines on the child's stdin ─► line numbers

Rules that hold here:

1. `rg` never sees a path. It would walk and open by path itself, so a tree that changes meanwhile, a link or an ignore
   file could change what is searched. It gets the text of files that were opened beneath the root, on stdin.
2. An expression from a model runs outside this process and is killed with its children when its time is over.
3. Both engines give the same answer: Python parses the expression, what only one engine knows is refused
   (look-around, back references, …), and `rg` gets the parsed expression written out anew.
   Known difference: `\\b` next to combining marks.
4. Matching is by line, without the line end. `^` and `$` are the ends of the line.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from codex_oss.services.expressions import PatternInvalid, parse_expression, to_rust

BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_LINES: Final = 200_000

Engine = Literal["rg", "python"]

_META: Final = frozenset("\\^$.|?*+()[]{}")


class PatternTooSlow(Exception):
    """The expression did not finish in its time; nothing is known about what it would have found."""


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one file as it is searched."""

    path: str
    lines: tuple[str, ...]
    """Without line ends; a line contains no `\\n`."""


@dataclass(frozen=True, slots=True)
class Query:
    """A pattern that was found to be valid. Make it with `parse_query`."""

    pattern: str
    case_sensitive: bool
    literal: bool
    rust: str
    """The expression as `rg` gets it; empty for a literal."""


def parse_query(pattern: str, *, case_sensitive: bool = True) -> Query:
    """The query for *pattern*: a literal when it holds no special character, else an expression.

    Errors: PatternInvalid (no expression, or one that not every engine can match), with a sentence for the model.
    """
    if "\n" in pattern or "\r" in pattern or "\0" in pattern:
        raise PatternInvalid("The pattern must be one line.")
    if not _META & set(pattern):
        return Query(pattern, case_sensitive, literal=True, rust="")
    safe, tree = parse_expression(pattern)
    return Query(safe, case_sensitive, literal=False, rust=to_rust(tree))


class LineFinder:
    """Runs one query over batches of documents."""

    def __init__(self, query: Query, *, engine: Engine | None = None) -> None:
        """engine: for expressions; None takes `rg` when it is installed."""
        self._query = query
        found = shutil.which("rg") if engine in (None, "rg") else None
        self._rg = found if found and os.path.isabs(found) else None
        if engine == "rg" and self._rg is None:
            raise FileNotFoundError("rg is not installed.")

    def find(self, documents: Sequence[Document], *, timeout_s: float) -> list[list[int]]:
        """For each document the 1-based numbers of its matching lines, ascending.

        Errors: PatternTooSlow when an expression needs more than *timeout_s* seconds for these documents.
        """
        if self._query.literal:
            return [self._literal_lines(document) for document in documents]
        stream = "".join(f"{line}\n" for document in documents for line in document.lines)
        numbers = self._numbers(stream.encode("utf-8", "replace"), timeout_s) if stream else []
        return _shared_out(numbers, [len(document.lines) for document in documents])

    def _literal_lines(self, document: Document) -> list[int]:
        wanted = self._query.pattern
        if self._query.case_sensitive:
            return [number for number, line in enumerate(document.lines, 1) if wanted in line]
        # A literal cannot backtrack, and this folds case exactly as the expressions do.
        search = re.compile(re.escape(wanted), re.IGNORECASE).search
        return [number for number, line in enumerate(document.lines, 1) if search(line)]

    def _numbers(self, stream: bytes, timeout_s: float) -> list[int]:
        if self._rg is not None:
            found = _ask_rg(self._rg, self._query, stream, timeout_s)
            if found is not None:
                return found
        # `rg` refuses expressions that become too large; Python has no such bound, only the clock.
        return _ask_python(self._query, stream, timeout_s)


def batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """*documents* in groups that are small enough for one child process; every group has at least one."""
    group: list[Document] = []
    size = lines = 0
    for document in documents:
        group.append(document)
        size += sum(map(len, document.lines)) + len(document.lines)
        lines += len(document.lines)
        if size >= BATCH_BYTES or lines >= BATCH_LINES:
            yield group
            group, size, lines = [], 0, 0
    if group:
        yield group


# ---------------------------------------------------------------------------------------------- engines

_RG_OPTIONS: Final = (
    "--no-config",
    "--no-follow",
    "--no-ignore",
    "--hidden",
    "--color=never",
    "--no-heading",
    "--no-filename",
    "--line-number",
    "--text",
    "--encoding=none",
    "--no-mmap",
    "--threads=1",
    "--max-columns=1",
)

_CHILD: Final = """
import re, resource, sys
flags, length, seconds = map(int, sys.stdin.buffer.readline().split())
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))  # ends also when nobody is left to kill this
search = re.compile(sys.stdin.buffer.read(length).decode(), flags).search
found = [n for n, line in enumerate(sys.stdin.buffer.read().decode().split("\\n")[:-1], 1) if search(line)]
sys.stdout.write("".join(f"{n}:\\n" for n in found))
"""


def _ask_rg(program: str, query: Query, stream: bytes, timeout_s: float) -> list[int] | None:
    """Line numbers from `rg`, None when it refuses the expression."""
    case = "--case-sensitive" if query.case_sensitive else "--ignore-case"
    argv = [program, *_RG_OPTIONS, case, "-e", query.rust, "--", "-"]
    code, output = _run(argv, stream, timeout_s)
    return _parse_numbers(output) if code in (0, 1) else None


def _ask_python(query: Query, stream: bytes, timeout_s: float) -> list[int]:
    pattern = query.pattern.encode("utf-8", "replace")
    flags = int(re.NOFLAG if query.case_sensitive else re.IGNORECASE)
    argv = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD]
    code, output = _run(argv, b"%d %d %d\n%s%s" % (flags, len(pattern), timeout_s + 2, pattern, stream), timeout_s)
    if code != 0:
        raise PatternTooSlow("The pattern could not be matched with the memory and time that a search has.")
    return _parse_numbers(output)


def _run(argv: Sequence[str], stdin: bytes, timeout_s: float) -> tuple[int, bytes]:
    """Exit code and stdout of a child in a session of its own, which is killed as a whole when time is over."""
    with subprocess.Popen(  # noqa: S603 - a fixed program; the pattern is one argument or on stdin
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    ) as child:
        try:
            output, _ = child.communicate(stdin, timeout=max(timeout_s, 0.01))
        except subprocess.TimeoutExpired as exc:
            raise PatternTooSlow("The pattern took too long; use a plainer one.") from exc
        finally:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
        return child.returncode, output


def _parse_numbers(output: bytes) -> list[int]:
    return [int(line.partition(b":")[0]) for line in output.splitlines() if line[:1].isdigit()]


def _shared_out(numbers: Sequence[int], counts: Sequence[int]) -> list[list[int]]:
    """Line numbers of the stream as line numbers of the documents it was made of."""
    shared: list[list[int]] = [[] for _ in counts]
    ends = list(accumulate(counts))
    index = 0
    for number in numbers:
        while number > ends[index]:
            index += 1
        shared[index].append(number - (ends[index] - counts[index]))
    return shared
