"""Critical paths: where a mistake is expensive. The built-in ones, and those that a project names in gitignore syntax.

Counterparts: `policy.scope` asks here for every path and says when a critical one may be read; `services.admission`
reads the project's file, `.codex-oss/critical-paths`.

Rules that hold here:

1. The built-in roots are always critical. A project's file adds to them; its `!` takes back its own patterns only.
2. Patterns and paths are compared in folded form (`policy.scope`): case, Unicode spelling and invisible characters do
   not lead around a pattern.
3. A pattern that ends in `/` covers a folder and what is in it, and a file of that name as well: too much is the safe
   side.
4. A line that is no pattern is an error with its number, never passed over: the file is there to protect.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

BUILT_IN: Final = (
    "src/auth",
    "src/schema",
    "migrations",
    ".github/workflows",
    "scripts/recovery",
    "scripts/finalizer",
)
"""Source: mission contract, critical paths."""
MAX_PATTERNS: Final = 10_000
MAX_PATTERN_CHARS: Final = 4_096
_ANY_NAME: Final = "_"
"""Stands for whatever lies in a folder."""


def parse_patterns(text: str, fold: Callable[[str], str]) -> tuple[str, ...]:
    """The patterns of a project's file in folded form; comments and blank lines are left out.

    Raises ValueError that names the line which is no pattern.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if len(lines) > MAX_PATTERNS:
        raise ValueError(f"it has {len(lines)} lines; at most {MAX_PATTERNS} are read")
    kept = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if len(line) > MAX_PATTERN_CHARS or "\0" in line:
            raise ValueError(f"line {number} is no pattern")
        pattern = fold(line)
        try:
            _spec((pattern,))
        except ValueError as exc:
            raise ValueError(f"line {number} is no gitignore pattern: {line[:80]!r}") from exc
        kept.append(pattern)
    return tuple(kept)


def is_critical(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path, or a folder above it, is critical. Both arguments in folded form (rule 2)."""
    if any(path == root or path.startswith(f"{root}/") for root in BUILT_IN):
        return True
    return bool(patterns) and any(_spec(patterns).match_file(form) for form in (path, f"{path}/"))


def is_critical_folder(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether everything in a folder is critical, whatever its name."""
    return is_critical(path, patterns) or is_critical(f"{path}/{_ANY_NAME}", patterns)


@lru_cache(maxsize=64)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    """Compiled. Raises ValueError for what is no pattern."""
    from pathspec import GitIgnoreSpec  # a mission needs it, the start of the bridge does not

    return GitIgnoreSpec.from_lines(patterns)
