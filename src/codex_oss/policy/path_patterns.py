"""Lists of path patterns in gitignore syntax, as a project writes them for us: what is critical, hidden, or excused.

Counterparts: `policy.critical_paths` and `policy.scope` ask here; `services.admission` reads the files.

Rules that hold here:

1. Patterns and paths are compared in folded form (`policy.denied_names.fold`): case, Unicode spelling and invisible
   characters do not lead around a pattern.
2. A line that is no pattern is an error with its number, never passed over: these files are there to protect.
3. A pattern that ends in `/` or `/**` covers a folder and what is in it, and a file of that name as well: too much is
   the safe side for what hides.
4. As in git, what lies in a hidden folder is hidden, whatever a later `!` says about it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from codex_oss.policy.denied_names import fold

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MAX_PATTERNS: Final = 10_000
MAX_PATTERN_CHARS: Final = 4_096


def parse_patterns(text: str) -> tuple[str, ...]:
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
            spec((pattern,))
        except ValueError as exc:
            raise ValueError(f"line {number} is no gitignore pattern: {line[:80]!r}") from exc
        kept.append(pattern)
    return tuple(kept)


@lru_cache(maxsize=64)
def spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    """*patterns*, compiled. Raises ValueError for what is no pattern."""
    from pathspec import GitIgnoreSpec  # a mission needs it, the start of the bridge does not

    return GitIgnoreSpec.from_lines(patterns)


def hides(patterns: tuple[str, ...], path: str) -> bool:
    """Whether the folded *path* is hidden: it, or a folder above it (rule 4), matches and is not taken back."""
    if not patterns:
        return False
    parts = path.split("/")
    return any(_hides_exactly(patterns, "/".join(parts[:depth])) for depth in range(1, len(parts) + 1))


def takes_back(patterns: tuple[str, ...], path: str) -> bool:
    """Whether the last pattern that matches the folded *path* itself is a `!` one."""
    return bool(patterns) and spec(patterns).check_file(path).include is False


@lru_cache(maxsize=16_384)
def _hides_exactly(patterns: tuple[str, ...], path: str) -> bool:
    return any(spec(patterns).match_file(form) for form in (path, f"{path}/"))
