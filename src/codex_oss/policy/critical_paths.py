"""Critical paths: where a mistake is expensive. The built-in ones, and those that a project names in gitignore syntax.

Counterparts: `policy.scope` asks here for every path and says when a critical one may be read; `services.admission`
reads the project's file, `.codex-oss/critical-paths`.

Rules that hold here:

1. The built-in roots are always critical. A project's file adds to them; its `!` takes back its own patterns only.
2. Patterns and paths are compared in folded form (`policy.path_patterns`): case, Unicode spelling and invisible
   characters do not lead around a pattern.
3. A pattern that ends in `/` covers a folder and what is in it, and a file of that name as well: too much is the safe
   side.
"""

from __future__ import annotations

from typing import Final

from codex_oss.policy.path_patterns import spec

BUILT_IN: Final = (
    "src/auth",
    "src/schema",
    "migrations",
    ".github/workflows",
    "scripts/recovery",
    "scripts/finalizer",
)
"""Source: mission contract, critical paths."""
_ANY_NAME: Final = "_"
"""Stands for whatever lies in a folder."""


def is_critical(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path, or a folder above it, is critical. Both arguments in folded form (rule 2)."""
    if any(path == root or path.startswith(f"{root}/") for root in BUILT_IN):
        return True
    return bool(patterns) and any(spec(patterns).match_file(form) for form in (path, f"{path}/"))


def is_critical_folder(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether everything in a folder is critical, whatever its name."""
    return is_critical(path, patterns) or is_critical(f"{path}/{_ANY_NAME}", patterns)
