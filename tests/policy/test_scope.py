"""The scope of a mission: hostile paths, denied names, critical roots, breadth, calls."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.mission import Budget, MissionV1
from codex_oss.contracts.tools import ToolCall
from codex_oss.policy.globs import glob_matches
from codex_oss.policy.scope import (
    Scope,
    check_breadth,
    check_path,
    check_tool,
    normalise_path,
    scope_of,
)

PARTS = st.sampled_from(
    [
        "src",
        "a.py",
        "..",
        ".",
        "",
        "/",
        "\\",
        ".env",
        ".ENV",
        "secrets",
        ".git",
        "é",
        "e\u0301",
        "a b",
        "-x",
        "\0",
        "\n",
    ]
)
HOSTILE = st.one_of(st.lists(PARTS, max_size=8).map("/".join), st.text(max_size=60))


def mission(**fields: Any) -> MissionV1:
    """A small A3 mission with *fields* replaced."""
    settled: dict[str, Any] = {
        "mission_id": "m1",
        "tier": "A3",
        "mode": "managed_investigation",
        "objective": "look",
        "budget": Budget(tool_calls=5, time_s=60, tool_calls_requested=5, time_requested_s=60),
        "allowed_roots": ("src",),
        **fields,
    }
    return MissionV1(**settled)


@given(HOSTILE)
def test_what_normalises_is_relative_and_only_goes_down(path: str) -> None:
    """A normalised path has no `..`, no leading `/`, no control character, and normalises to itself."""
    tidy = normalise_path(path)
    if tidy is None:
        return
    assert not tidy.startswith("/")
    assert tidy == "." or not {"", ".", ".."} & set(tidy.split("/"))
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in tidy)
    assert normalise_path(tidy) == tidy


@given(HOSTILE, st.booleans())
def test_an_allowed_path_lies_below_an_allowed_root(path: str, walk: bool) -> None:
    """Whatever the spelling, allowed means: below the root, or (walking) a folder on the way to it."""
    verdict = check_path(path, Scope(roots=("src",)), walk=walk)
    if verdict.allowed:
        tidy = normalise_path(path)
        assert tidy is not None
        assert tidy == "src" or tidy.startswith("src/") or (walk and tidy == ".")


@given(HOSTILE)
def test_an_empty_scope_allows_nothing(path: str) -> None:
    """No root and no path: nothing may be read, walking or not."""
    assert not check_path(path, Scope()).allowed
    assert not check_path(path, Scope(), walk=True).allowed


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "path_empty"),
        ("  ", "path_empty"),
        ("a\0b", "path_invalid"),
        ("a\nb", "path_invalid"),
        ("a\u2028b", "path_invalid"),
        ("a\ud800", "path_invalid"),
        ("src\\a.py", "path_invalid"),
        ("x" * 256, "path_invalid"),
        ("src/" * 1100 + "a", "path_invalid"),
        ("../a", "path_traversal"),
        ("/../a", "path_traversal"),
        ("src/../src/a.py", "path_traversal"),
        ("/etc/passwd", "path_absolute"),
        ("//etc", "path_absolute"),
        ("C:/x", "path_absolute"),
        ("src/.env", "path_denied"),
        ("other/.env", "path_denied"),
        ("src/private/a.py", "path_forbidden_root"),
        ("src/PRIVATE/a.py", "path_forbidden_root"),
        ("docs/a.md", "path_outside_scope"),
        ("src2/a.py", "path_outside_scope"),
        (".", "path_outside_scope"),
        ("src/auth/token.py", "critical_path_detected"),
        ("src/AUTH/token.py", "critical_path_detected"),
        ("src/a.py", "allowed"),
        ("./src//a.py", "allowed"),
        ("src/", "allowed"),
        ("src/-rf", "allowed"),
        ("src/a b.py", "allowed"),
        ("src/…", "allowed"),
        ("README.md", "allowed"),
    ],
)
def test_each_path_gets_its_reason(path: str, code: str) -> None:
    """One table of paths and the code they get; a denial carries a sentence without control characters."""
    scope = Scope(roots=("src",), paths=("README.md",), forbidden=("src/private",))
    verdict = check_path(path, scope)
    assert verdict.code == code
    assert verdict.allowed == (code == "allowed") == (not verdict.reason)
    assert verdict.reason.isprintable()


@pytest.mark.parametrize(
    "path",
    [
        ".env", ".env.local", ".env.example", ".env-old", ".envs/x",
        "prod.env", "a/b/.ENV", "\uff0eenv", ".e\u200bnv", ".env.", ".env ", ".envrc",
        "a/secrets/x", "SECRETS/x", "config/secrets.yaml", ".git", ".git/config", "sub/.GIT/hooks", ".Git ",
        "node_modules/x/index.js", "web/node_modules/y", ".codex-oss/env", ".codex-oss/runs/r/events.jsonl",
        "server.pem", "x.KEY", "id_rsa", "id_rsa.old", "deploy/id_ed25519", "a.p12", "a.pfx", ".netrc", ".npmrc",
        ".pypirc", ".ssh/config", ".aws/credentials", ".gnupg/ring", "credentials", "credentials.json",
    ],
)  # fmt: skip
def test_denied_names_win_over_every_permission(path: str) -> None:
    """A denied name is refused at any depth and in any spelling, even as an exact path of the mission."""
    assert check_path(path, Scope(roots=(".",), paths=(path,))).code == "path_denied"
    assert check_path(path, Scope(roots=(".",)), walk=True).code == "path_denied"


@pytest.mark.parametrize(
    "path",
    [
        "environment.py", "src/env.py", "env", "vite.env.d.ts", "dotenv.py", "id.py", "a.github",
        "secrets.py", "secretsanta/a",
        ".github/x.yml", ".gitignore", "gitlab.py", "keys.py", "monkey", "keyboard.keymap", "node_modules.md",
        "codex-oss/a", "pem.py", "credential_store.py",
    ],
)  # fmt: skip
def test_near_misses_of_denied_names_are_read(path: str) -> None:
    """A name that only resembles a denied one is not refused."""
    assert check_path(path, Scope(roots=(".",))).allowed


def test_names_are_compared_in_nfc_and_kept_as_spelled() -> None:
    """Composed and decomposed spellings are one name to the scope; normalising does not respell."""
    scope = Scope(roots=("caf\u00e9",))
    assert check_path("cafe\u0301/a", scope).allowed
    assert normalise_path("cafe\u0301/a") == "cafe\u0301/a"


def test_walking_passes_through_the_folders_above_what_is_allowed() -> None:
    """Folders that lead to an allowed path may be listed; their other content may not be seen."""
    scope = Scope(paths=("a/b/c.py",))
    assert [check_path(path, scope, walk=True).allowed for path in (".", "a", "a/b", "a/b/c.py")] == [True] * 4
    assert [check_path(path, scope).allowed for path in (".", "a", "a/b")] == [False] * 3
    assert not check_path("a/b/d.py", scope, walk=True).allowed
    assert not check_path("a/x", scope, walk=True).allowed


def test_a_critical_path_needs_flag_reason_and_a_narrow_name() -> None:
    """Flag and reason do not open critical folders below a broad root; naming the file or the folder does."""
    asked: dict[str, Any] = {"critical_path_read_allowed": True, "critical_path_reason": "audit"}
    path = "src/auth/login.py"
    assert not check_path(path, scope_of(mission(**asked))).allowed
    assert not check_path(path, scope_of(mission(allowed_roots=("src/auth",)))).allowed
    assert not check_path(
        path, scope_of(mission(allowed_paths=(path,), **{**asked, "critical_path_reason": " "}))
    ).allowed
    assert check_path(path, scope_of(mission(allowed_roots=("src/auth",), **asked))).allowed
    assert check_path(path, scope_of(mission(allowed_paths=(path,), **asked))).allowed
    walked = scope_of(mission(allowed_paths=(path,)))
    assert not check_path(path, walked, walk=True).allowed


def test_a_project_adds_critical_and_ignored_globs() -> None:
    """Globs of the project extend the built-in tables."""
    scope = scope_of(mission(allowed_roots=(".",)), ignore=("*.min.js", "/vendor"), critical=("**/*.sql",))
    assert check_path("db/a.sql", scope).code == "critical_path_detected"
    assert check_path("web/x.min.js", scope).code == "path_denied"
    assert check_path("vendor/x", scope).code == "path_denied"
    assert check_path("web/x.js", scope).allowed


def test_forbidden_roots_win_over_exact_paths() -> None:
    """A file under a forbidden root stays refused when it is also named as allowed."""
    scope = scope_of(mission(allowed_paths=("src/x/a.py",), forbidden_roots=("./src/x/",)))
    assert check_path("src/x/a.py", scope).code == "path_forbidden_root"


def test_unusable_roots_cover_nothing() -> None:
    """A root with `..` or an absolute root is dropped, not repaired."""
    scope = scope_of(mission(allowed_roots=("../x", "/src", "src/..")))
    assert scope.roots == ()
    assert not check_path("src/a.py", scope).allowed


@pytest.mark.parametrize(
    ("fields", "entries", "code"),
    [
        ({"allowed_roots": (".",)}, {}, "broad_scope"),
        ({"allowed_roots": ("./",)}, {}, "broad_scope"),
        ({"allowed_roots": ("/",)}, {}, "broad_scope"),
        ({"allowed_roots": ("src",)}, {"src": 20}, "allowed"),
        ({"allowed_roots": ("src",)}, {"src": 21}, "broad_scope"),
        ({"allowed_roots": ("src/",)}, {"src": 21}, "broad_scope"),
        ({"allowed_roots": ("lib",), "max_files_to_inspect": 2}, {"lib": 3}, "broad_scope"),
        ({"allowed_roots": (".",), "allow_broad_read_scope": True}, {}, "allowed"),
        ({"allowed_roots": (".",), "allow_broad_read_scope": True, "risk_tier": "critical"}, {}, "broad_scope"),
        ({"allowed_roots": (), "allowed_paths": ("a",)}, {}, "allowed"),
    ],
)
def test_breadth_is_counted_not_guessed(fields: dict[str, Any], entries: dict[str, int], code: str) -> None:
    """The whole project is broad; another folder is broad by its number of entries, whatever its name."""
    assert check_breadth(mission(**fields), entries).code == code


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("bash", {"command": "ls"}, "write_blocked"),
        ("apply_patch", {}, "write_blocked"),
        ("rtk_fetch", {}, "tool_unknown"),
        ("rtk_git_log", {}, "tool_class_not_allowed"),
        ("rtk_read", {}, "argument_missing"),
        ("rtk_read", {"path": None}, "argument_missing"),
        ("rtk_read", {"path": 3}, "argument_invalid"),
        ("rtk_read", {"path": "src/a", "start_line": True}, "argument_invalid"),
        ("rtk_read", {"path": "src/a", "start_line": 0}, "argument_invalid"),
        ("rtk_read", {"path": "src/a", "start_line": 5, "end_line": 4}, "argument_invalid"),
        ("rtk_read", {"path": "src/a", "depth": 1}, "argument_invalid"),
        ("rtk_grep", {"pattern": ""}, "argument_invalid"),
        ("rtk_grep", {"pattern": "a\nb"}, "argument_invalid"),
        ("rtk_grep", {"pattern": "x" * 1001}, "argument_invalid"),
        ("rtk_grep", {"pattern": "x", "max_results": 0}, "argument_invalid"),
        ("rtk_read", {"path": "../x"}, "path_traversal"),
        ("rtk_read", {"path": "."}, "path_outside_scope"),
        ("rtk_grep", {"pattern": "x", "path": "docs"}, "path_outside_scope"),
        ("rtk_ls", {"path": ".git"}, "path_denied"),
        ("rtk_read", {"path": "src/a", "start_line": 1, "end_line": 9}, "allowed"),
        ("rtk_grep", {"pattern": "x"}, "allowed"),
        ("rtk_grep", {"pattern": "x", "path": "."}, "allowed"),
        ("rtk_ls", {}, "allowed"),
    ],
)
def test_each_call_gets_its_reason(tool: str, arguments: dict[str, Any], code: str) -> None:
    """Tool, class, arguments and path are checked in this order."""
    assert check_tool(ToolCall(tool, arguments), ("read", "search", "list"), Scope(roots=("src",))).code == code


@pytest.mark.parametrize(
    ("rev", "allowed"),
    [("HEAD", True), ("main~2", True), ("v1.2^", True), ("--output=x", False), ("a..b", False), ("", False),
     ("@{1}", False), ("HEAD:src/.env", False), ("x" * 101, False)],
)  # fmt: skip
def test_revisions_are_plain(rev: str, allowed: bool) -> None:
    """No option, no path and no reflog syntax passes as a revision."""
    call = ToolCall("rtk_git_show_stat", {"rev": rev})
    assert check_tool(call, ("safe_git",), Scope(roots=("src",))).allowed == allowed


@pytest.mark.parametrize(
    ("path", "glob", "matches"),
    [
        ("src/a.py", "*.py", True),
        ("src/a.pyc", "*.py", False),
        ("src/a.ts", "*.{ts,tsx}", True),
        ("src/x/y/a.py", "src/**/*.py", True),
        ("src/a.py", "src/**/*.py", True),
        ("lib/a.py", "src/**", False),
        ("src/a.py", "/src/*.py", True),
        ("src/x/a.py", "src/*.py", False),
        ("a/" * 60 + "b", "**/" * 60 + "c", False),
    ],
)
def test_globs_select_by_name_or_by_folder(path: str, glob: str, matches: bool) -> None:
    """A glob without a folder means the file name; `**` stands for any folders, at a bounded cost."""
    assert glob_matches(path, glob) == matches
