"""What a tool call, its verdict and its result are.

Counterparts: `policy.scope` answers with a `Verdict`, `services.tool_host` turns a `ToolCall` into a `ToolResult`,
`missions.record` turns results into numbered evidence.

Rules that hold here:

1. A `ToolResult` holds exactly what the model may be shown: redacted, bounded, with its true line numbers. What is
   not in it was not shown, and cannot be cited.
2. `exit_code` follows grep: 0 something found, 1 nothing found (or no such path), 2 the tool could not do it.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

ToolClass = Literal["read", "search", "list", "safe_git"]

TOOL_CLASS: Final[dict[str, ToolClass]] = {
    "rtk_read": "read",
    "rtk_grep": "search",
    "rtk_ls": "list",
    "rtk_git_status": "safe_git",
    "rtk_git_log": "safe_git",
    "rtk_git_show_stat": "safe_git",
    "rtk_git_diff_stat": "safe_git",
}
"""Every runtime tool and the class a mission must allow for it. Source: mission contract, `allowed_tool_classes`."""

WRITE_LIKE_TOOLS: Final = frozenset(
    {
        "apply_patch",
        "write_file",
        "write",
        "edit",
        "create",
        "create_file",
        "delete",
        "rtk_write",
        "bash",
        "shell",
    }
)
"""Names that models invent when they want to change something; denied with a reason of their own."""


class Verdict(Struct, frozen=True):
    """The answer of a policy. A denial is a value, never an exception."""

    allowed: bool
    code: str = "allowed"
    """Stable reason code, `snake_case`; `allowed` when allowed."""
    reason: str = ""
    """One sentence for the model and the person; empty when allowed."""


ALLOWED: Final = Verdict(True)


def denied(code: str, reason: str) -> Verdict:
    """A denial with its reason code and sentence."""
    return Verdict(False, code, reason)


class ToolCall(Struct, frozen=True):
    """A tool call whose arguments are already normalised (`missions.actions.normalise_arguments`)."""

    tool: str
    arguments: dict[str, Any]
    """Only the keys that the tool knows; see `TOOL_ARGUMENTS`."""


TOOL_ARGUMENTS: Final[dict[str, dict[str, type]]] = {
    "rtk_read": {"path": str, "start_line": int, "end_line": int},
    "rtk_grep": {
        "pattern": str,
        "path": str,
        "case_sensitive": bool,
        "include_glob": str,
        "max_results": int,
        "context_lines": int,
    },
    "rtk_ls": {"path": str},
    "rtk_git_status": {},
    "rtk_git_log": {"limit": int},
    "rtk_git_show_stat": {"rev": str},
    "rtk_git_diff_stat": {"path": str},
}
"""Arguments and their JSON types. Lines are 1-based and inclusive; paths are relative to the project, `/`-separated."""

REQUIRED_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {"rtk_read": ("path",), "rtk_grep": ("pattern",)}


class Match(Struct, frozen=True, array_like=True):
    """One line that a search found."""

    path: str
    line: int
    """1-based."""
    text: str
    """The line without its end, redacted, cut at the tool's line bound."""


class ToolResult(Struct, frozen=True, omit_defaults=True):
    """What a tool returned. `kind` says which of the fields below are meant.

    - `extract` (rtk_read): `path`, `start_line`, `lines`, `total_lines`, `file_sha256`, `complete`
    - `matches` (rtk_grep): `matches`, `context`, `match_count`, `files_searched`, `files_skipped`, `complete`;
      no match is `exit_code` 1
    - `entries` (rtk_ls): `path`, `lines` (names, folders end in `/`), `complete`
    - `text` (rtk_git_*): `lines`, `complete`
    - `error`: `error_code` and `message`; nothing was shown
    """

    tool: str
    kind: Literal["extract", "matches", "entries", "text", "error"]
    exit_code: int
    path: str = ""
    start_line: int = 0
    """1-based number of the first of `lines`; 0 when `lines` are not lines of a file."""
    lines: tuple[str, ...] = ()
    """Redacted text without line ends."""
    total_lines: int = 0
    file_sha256: str = ""
    """Hex digest of the whole file's bytes as read (before redaction)."""
    matches: tuple[Match, ...] = ()
    match_count: int = 0
    """All matches met, also those beyond `max_results`."""
    context: tuple[Match, ...] = ()
    """Lines around `matches` that were asked for by `context_lines`; shown, but not matches."""
    files_searched: int = 0
    files_skipped: int = 0
    """Files and folders inside the scope that were not searched: binary, too large, hard-linked, unreadable."""
    critical_left_out: int = 0
    """Critical files and folders inside the scope that were neither searched nor listed."""
    complete: bool = True
    """False when something was left out because of a bound; what was left out is not evidence."""
    bytes_read: int = 0
    """Bytes of content that went into this result, before redaction."""
    redactions: int = 0
    error_code: str = ""
    message: str = ""


def tool_error(tool: str, code: str, message: str, *, exit_code: int = 2, path: str = "") -> ToolResult:
    """A result that shows nothing but says why. exit_code: 1 not found, 2 could not."""
    return ToolResult(tool, "error", exit_code, path=path, error_code=code, message=message)
