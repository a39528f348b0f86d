"""Where a mission may look, and which calls it may make: pure text in, a `Verdict` out.

Counterparts: `services.project_files` opens what was allowed here without following a link, `services.tool_host` asks
again for every file it meets, `services.mission_runner` asks `check_tool` before a call is started.

Rules that hold here:

1. Nothing is allowed that no root and no exact path of the mission covers; an empty scope allows nothing.
2. Denied names and the project's ignore file win over everything, `forbidden_roots` win over everything else. All are
   compared in folded form (`policy.denied_names`), because some file systems do the same.
3. A path is never repaired: `..`, absolute paths, backslashes, control characters and lone surrogates are refused,
   also where they would be harmless.
4. Comparison is by component (`src` does not cover `src2`) and in NFC; what is opened is the spelling that was given.
5. The first reason in this order is given: path_empty, path_invalid, path_traversal, path_absolute, path_denied,
   path_forbidden_root, path_outside_scope, critical_path_detected.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.tools import (
    ALLOWED,
    REQUIRED_ARGUMENTS,
    TOOL_ARGUMENTS,
    TOOL_CLASS,
    WRITE_LIKE_TOOLS,
    ToolCall,
    Verdict,
    denied,
)
from codex_oss.policy.critical_paths import is_critical, is_critical_folder
from codex_oss.policy.denied_names import denied_name, fold, is_permitted
from codex_oss.policy.globs import compared_form, covers, is_under_any
from codex_oss.policy.path_patterns import hides, takes_back

WHOLE_PROJECT: Final = "."
MAX_PATH_BYTES: Final = 4_096
MAX_NAME_BYTES: Final = 255
MAX_PATTERN_CHARS: Final = 1_000

REV_PATTERN: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_./~^-]{0,99}")
"""Revisions that a safe git tool accepts: no option, no range, no reflog syntax, no search."""

ARGUMENT_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "start_line": (1, 1 << 31),
    "end_line": (1, 1 << 31),
    "max_results": (1, 10_000),
    "context_lines": (0, 20),
    "limit": (1, 20),
}
"""Inclusive bounds of whole numbers, by argument name."""

_DRIVE: Final = re.compile(r"[A-Za-z]:(/|$)")
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Scope:
    """What one mission may read. Make it with `scope_of`; every path in it is normalised."""

    roots: tuple[str, ...] = ()
    """Folders whose whole content is allowed; `.` is the whole project."""
    paths: tuple[str, ...] = ()
    """Exact files."""
    forbidden: tuple[str, ...] = ()
    """Folders, files or globs that are refused although a root covers them."""
    critical: tuple[str, ...] = ()
    """Patterns of the project that need the mission's own permission, besides the built-in ones."""
    critical_read_allowed: bool = False
    """The mission has both the flag and a reason for it."""
    ignored: tuple[str, ...] = ()
    """Patterns of what the project hides from every mission."""
    linked: tuple[str, ...] = ()
    """Patterns of the files that the project lets be read although they have several hard links."""
    guards_critical: bool = True
    """Critical paths need a permission of their own. False only for the agent of a person who sits beside it."""


def scope_of(
    mission: MissionV1, *, ignore: Sequence[str] = (), critical: Sequence[str] = (), linked: Sequence[str] = ()
) -> Scope:
    """The scope of *mission*.

    ignore, critical, linked: what the project says, as patterns of `parse_patterns`.
    A root or path that cannot be normalised covers nothing. A forbidden root may begin with `/` (read as "from the
    top of the project", as ignore files do): forbidding too much is the safe side.
    """
    return Scope(
        roots=_normalised(mission.allowed_roots),
        paths=_normalised(mission.allowed_paths),
        forbidden=_normalised(path.lstrip("/") for path in mission.forbidden_roots),
        critical=tuple(critical),
        critical_read_allowed=mission.critical_path_read_allowed and bool(mission.critical_path_reason.strip()),
        ignored=tuple(ignore),
        linked=tuple(linked),
    )


def normalise_path(path: str) -> str | None:
    """*path* without `./`, doubled and trailing slashes; `.` for the project itself; None when it is refused (rule 3).

    The result is relative, `/`-separated, free of `..`, and spelled as given (NFC is only used to compare).
    """
    return None if _breach(path) else _tidy(path)


def check_path(path: str, scope: Scope, *, walk: bool = False) -> Verdict:
    """Say whether a tool may read *path*.

    path: relative to the project, `/`-separated, not yet resolved.
    walk: also allow the folders that lead to something allowed; their other content stays refused.
    Returns a denied Verdict with a reason code of rule 5. Never raises.
    """
    if breach := _breach(path):
        return breach
    tidy = _tidy(path)
    if (what := denied_name(tidy)) and not (is_permitted(tidy) and takes_back(scope.ignored, fold(tidy))):
        return denied("path_denied", f"{_shown(path)} is never read: {what}.")
    if hides(scope.ignored, fold(tidy)):
        return denied("path_denied", f"{_shown(path)} is never read: the project's ignore file hides it.")
    if is_under_any(fold(tidy), _folded(scope.forbidden)):
        return denied("path_forbidden_root", f"{_shown(path)} lies under a forbidden root of this mission.")
    compared = compared_form(tidy)
    if walk and any(_leads_to(compared, compared_form(inner)) for inner in (*scope.roots, *scope.paths)):
        return ALLOWED
    exact = any(compared == compared_form(allowed) for allowed in scope.paths)
    covering = [root for root in scope.roots if covers(compared_form(root), compared)]
    if not exact and not covering:
        return denied("path_outside_scope", f"{_shown(path)} is outside the allowed roots and paths of this mission.")
    guarded = scope.guards_critical and is_critical(fold(tidy), scope.critical)
    if guarded and not _may_read_critical(scope, exact, covering):
        return denied(
            "critical_path_detected",
            f"{_shown(path)} is a critical path: the mission must allow critical reads, say why, and name it.",
        )
    return ALLOWED


def may_be_linked(path: str, scope: Scope) -> bool:
    """Whether the project lets *path* be read although it has several hard links."""
    return hides(scope.linked, fold(path))


def names_critical_path(path: object, scope: Scope) -> bool:
    """Whether the `path` of a call is critical, be it allowed or not."""
    tidy = normalise_path(path) if isinstance(path, str) else None
    return tidy is not None and is_critical(fold(tidy), scope.critical)


def check_breadth(mission: MissionV1, entries: Mapping[str, int]) -> Verdict:
    """Say whether the allowed roots are narrow enough for a delegated mission (`broad_scope` when not).

    entries: number of direct entries of each allowed root, as spelled in the mission; an absent one counts as empty.
    The whole project is always broad. Any other folder is broad when it holds more than `max_files_to_inspect`
    entries, whatever its name. `allow_broad_read_scope` permits both, except at critical risk.
    """
    if mission.allow_broad_read_scope and mission.risk_tier != "critical":
        return ALLOWED
    for root in mission.allowed_roots:
        tidy = normalise_path(root)
        count = max(entries.get(root, 0), entries.get(tidy or root, 0))
        if tidy in (None, WHOLE_PROJECT):
            return denied("broad_scope", f"{_shown(root)} is the whole project or not inside it; name folders instead.")
        if count > mission.max_files_to_inspect:
            return denied(
                "broad_scope",
                f"{_shown(root)} has {count} entries, more than max_files_to_inspect ({mission.max_files_to_inspect}).",
            )
    return ALLOWED


def check_tool(call: ToolCall, mission_tool_classes: Collection[str], scope: Scope) -> Verdict:
    """Say whether *call* may run: the tool, its class, its arguments and its path, in that order.

    Codes: write_blocked, tool_unknown, tool_class_not_allowed, argument_missing, argument_invalid, and those of
    `check_path`. A search or listing without a path means everything inside the scope. Never raises.
    """
    if call.tool in WRITE_LIKE_TOOLS:
        return denied("write_blocked", f"{_shown(call.tool)} would change something; this mission only reads.")
    if call.tool not in TOOL_CLASS:
        return denied("tool_unknown", f"There is no tool {_shown(call.tool)}; there are {', '.join(TOOL_CLASS)}.")
    if (wanted := TOOL_CLASS[call.tool]) not in mission_tool_classes:
        return denied("tool_class_not_allowed", f"This mission does not allow tools of the class {wanted}.")
    breach = _argument_breach(call)
    if breach is not None:
        return breach
    path = call.arguments.get("path")
    if path is None:
        return ALLOWED
    return check_path(path, scope, walk=call.tool != "rtk_read")


# ---------------------------------------------------------------------------------------------- text of a path


def _breach(path: str) -> Verdict | None:
    if not path.strip():
        return denied("path_empty", "The path is empty.")
    plain = path.isascii() and path.isprintable()
    if not plain and any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in path):
        return denied("path_invalid", f"{_shown(path)} contains a character that no readable path has.")
    if "\\" in path:
        return denied("path_invalid", f"{_shown(path)} contains a backslash; folders are separated by `/`.")
    parts = path.split("/")
    if len(path.encode()) > MAX_PATH_BYTES or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return denied("path_invalid", f"{_shown(path)} is longer than any path can be.")
    if ".." in parts:
        return denied("path_traversal", f"{_shown(path)} contains `..`; paths only go down from the project.")
    if path.startswith("/") or _DRIVE.match(path):
        return denied("path_absolute", f"{_shown(path)} is absolute; paths are relative to the project.")
    return None


def _tidy(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", ".")) or WHOLE_PROJECT


def _normalised(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tidy for path in paths if (tidy := normalise_path(path)) is not None))


def _shown(text: str) -> str:
    """*text* fit for one line of a sentence: quoted, escaped, bounded."""
    return repr(text) if len(text) <= 120 else repr(text[:117] + "...")


@lru_cache(maxsize=256)
def _folded(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(fold(path) for path in paths)


# ---------------------------------------------------------------------------------------------- covering


def _leads_to(path: str, inner: str) -> bool:
    return path != inner and covers(path, inner)


def _may_read_critical(scope: Scope, exact: bool, covering: list[str]) -> bool:
    """A broad root is no permission: the file itself is named, or a root that is wholly critical."""
    named = any(is_critical_folder(fold(root), scope.critical) for root in covering)
    return scope.critical_read_allowed and (exact or named)


# ---------------------------------------------------------------------------------------------- arguments


def _argument_breach(call: ToolCall) -> Verdict | None:
    known = TOOL_ARGUMENTS[call.tool]
    for name in REQUIRED_ARGUMENTS.get(call.tool, ()):
        if call.arguments.get(name) is None:
            return denied("argument_missing", f"{call.tool} needs the argument {name}.")
    for name, value in call.arguments.items():
        if value is None and name in known:
            continue
        if name not in known:
            supported = ", ".join(known) or "none"
            return denied("argument_invalid", f"{call.tool} has no argument {_shown(name)}; it knows: {supported}.")
        if breach := _value_breach(name, value, known[name]):
            return denied("argument_invalid", f"{call.tool}: {name} {breach}.")
    first, last = call.arguments.get("start_line"), call.arguments.get("end_line")
    if first is not None and last is not None and last < first:
        return denied("argument_invalid", f"{call.tool}: end_line must not be before start_line.")
    return None


def _value_breach(name: str, value: Any, kind: type) -> str:
    matches_kind = type(value) is kind  # a bool is an int to isinstance
    if not matches_kind:
        return f"must be of the type {kind.__name__}"
    if name in ARGUMENT_BOUNDS:
        low, high = ARGUMENT_BOUNDS[name]
        return "" if low <= value <= high else f"must be between {low} and {high}"
    if name in ("pattern", "include_glob"):
        return _text_breach(str(value))
    if name == "rev" and not REV_PATTERN.fullmatch(str(value)):
        return "must be a plain revision such as HEAD, main~2 or a commit id"
    return ""


def _text_breach(text: str) -> str:
    if not text or len(text) > MAX_PATTERN_CHARS:
        return f"must have 1 to {MAX_PATTERN_CHARS} characters"
    if any(char in "\n\r\0" or unicodedata.category(char) == "Cs" for char in text):
        return "must be one line of valid text"
    return ""
