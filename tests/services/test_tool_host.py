"""Tool calls on a real tree: what the model is shown, what it is not, and that nothing makes the host raise."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_oss.contracts.tools import TOOL_ARGUMENTS, Match, ToolCall, ToolResult
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import Scope
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.shown_lines import LINE_CUT
from codex_oss.services.tool_host import ToolHost, ToolLimits
from tests.services.test_git import git

HELD = "held-secret-value"
KEY_LINES = (f"-----BEGIN PRIVATE {'KEY'}-----", *("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw" for _ in range(5)),
             f"-----END PRIVATE {'KEY'}-----")  # fmt: skip
IN_SRC = Scope(roots=("src",))
FILES = {
    "src/a.py": "one\ntwo needle\nthree\n",
    "src/deep/b.py": "Needle here\r\nneedle there\r\nlast",
    "src/deep/c.md": "needle\n",
    "src/key.txt": "\n".join(("before", *KEY_LINES, "after")) + "\n",
    "src/held.txt": f"x\nthe needle {HELD}\n",
    "src/.env": "needle=1\n",
    "src/secrets/x": "needle\n",
    "src/auth/login.py": "needle\n",
    "other/d.py": "needle\n",
    "src/empty": "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files above, a binary, a link outward, a link inward, a FIFO and a hard link."""
    project = tmp_path / "project"
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(text.encode())
    (tmp_path / "outside.txt").write_text("needle outside\n")
    (project / "src" / "bin").write_bytes(b"needle\0\n")
    (project / "src" / "out").symlink_to(tmp_path / "outside.txt")
    (project / "src" / "up").symlink_to("../other")
    os.mkfifo(project / "src" / "pipe")
    return project


@pytest.fixture
def host(project: Path) -> Iterator[ToolHost]:
    """A host on the project that holds one secret value."""
    with ProjectRoot(project) as root:
        yield ToolHost(root, Redactor([HELD]))


def run(
    host: ToolHost, tool: str, scope: Scope = IN_SRC, *, limits: ToolLimits | None = None, **arguments: Any
) -> ToolResult:
    """The result of one call."""
    return host.run(ToolCall(tool, arguments), scope, limits)


# ---------------------------------------------------------------------------------------------- rtk_read


def test_a_whole_file_is_shown_with_its_digest(host: ToolHost) -> None:
    """All lines, their number, the digest of the bytes, and complete."""
    result = run(host, "rtk_read", path="./src/a.py")
    assert (result.kind, result.exit_code, result.path) == ("extract", 0, "src/a.py")
    assert (result.start_line, result.lines, result.total_lines) == (1, ("one", "two needle", "three"), 3)
    assert result.file_sha256 == hashlib.sha256(FILES["src/a.py"].encode()).hexdigest()
    assert result.complete
    assert result.bytes_read == len(FILES["src/a.py"])


def test_a_range_keeps_its_line_numbers(host: ToolHost) -> None:
    """Lines are 1-based and inclusive; a part is not complete; an end beyond the file is the file's end."""
    result = run(host, "rtk_read", path="src/deep/b.py", start_line=2, end_line=99)
    assert (result.start_line, result.lines, result.total_lines) == (2, ("needle there", "last"), 3)
    assert not result.complete


def test_an_empty_file_is_complete_and_shows_nothing(host: ToolHost) -> None:
    """No lines, and that is all there is."""
    result = run(host, "rtk_read", path="src/empty")
    assert (result.kind, result.lines, result.total_lines, result.start_line) == ("extract", (), 0, 0)
    assert result.complete


@pytest.mark.parametrize(
    ("path", "code", "exit_code"),
    [
        ("src/nothing", "not_found", 1),
        ("src/a.py/x", "not_a_folder", 1),
        ("src/deep", "not_a_file", 2),
        ("src/bin", "binary_file", 2),
        ("src/out", "is_a_link", 2),
        ("src/up/d.py", "is_a_link", 2),
        ("src/pipe", "not_a_file", 2),
        ("src/.env", "path_denied", 2),
        ("other/d.py", "path_outside_scope", 2),
        ("src/auth/login.py", "critical_path_detected", 2),
        ("src/../other/d.py", "path_traversal", 2),
        ("", "path_empty", 2),
    ],
)
def test_what_cannot_be_read_says_why(host: ToolHost, path: str, code: str, exit_code: int) -> None:
    """Each reason is an error result with a sentence; nothing is shown."""
    result = run(host, "rtk_read", path=path)
    assert (result.kind, result.error_code, result.exit_code) == ("error", code, exit_code)
    assert result.message.endswith(".")
    assert result.lines == ()


def test_a_range_outside_the_file_says_how_long_it_is(host: ToolHost) -> None:
    """A start beyond the last line is an error that names the number of lines."""
    result = run(host, "rtk_read", path="src/a.py", start_line=4)
    assert (result.error_code, result.exit_code) == ("range_outside_file", 1)
    assert "3 lines" in result.message


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        (ToolLimits(max_lines=2), ("one", "two needle")),
        (ToolLimits(max_bytes=3 + 9 + 10 + 8), ("one",)),
        (ToolLimits(max_bytes=3 + 9 + 10 + 9), ("one", "two needle")),
        (ToolLimits(max_file_bytes=9), ("one",)),
    ],
)
def test_bounds_cut_between_lines_and_say_so(host: ToolHost, limits: ToolLimits, lines: tuple[str, ...]) -> None:
    """Lines, shown bytes and bytes of the file are bounded; no half line is shown and the result is not complete."""
    result = run(host, "rtk_read", limits=limits, path="src/a.py")
    assert result.lines == lines
    assert not result.complete
    assert result.file_sha256 == hashlib.sha256(FILES["src/a.py"].encode()).hexdigest()


def test_an_endless_line_is_cut_with_a_mark(project: Path, host: ToolHost) -> None:
    """A line that is too long ends with the mark, and never with half a placeholder."""
    (project / "src" / "long").write_text("x" * 1_975 + f" {HELD} " + "y" * 100)
    result = run(host, "rtk_read", path="src/long")
    assert result.lines == ("x" * 1_975 + " " + LINE_CUT,)
    assert not result.complete


@pytest.mark.parametrize(("start", "end"), [(1, 9), (3, 3), (4, 6), (8, 8)])
def test_any_range_within_a_key_is_redacted(host: ToolHost, start: int, end: int) -> None:
    """The key is found in the whole file, so a range from its middle shows placeholders at the true line numbers."""
    result = run(host, "rtk_read", path="src/key.txt", start_line=start, end_line=end)
    expected = ["before", *["[REDACTED:private-key]"] * 7, "after"]
    assert result.lines == tuple(expected[start - 1 : end])
    assert result.redactions == len([line for line in result.lines if line.startswith("[")])


def test_control_characters_are_not_passed_on(project: Path, host: ToolHost) -> None:
    """Escape sequences, lone carriage returns and reordering marks are shown as U+FFFD; tabs stay."""
    (project / "src" / "esc").write_bytes("a\x1b[2J\rb\tc\u202ed\u2028e\n".encode() + b"\xff\n")
    assert run(host, "rtk_read", path="src/esc").lines == (
        "a\ufffd[2J\ufffdb\tc\ufffdd\ufffde",
        "\ufffd",
    )


def test_a_hard_link_is_refused(project: Path, host: ToolHost) -> None:
    """A file with a second name is not read, and makes a search incomplete."""
    os.link(project.parent / "outside.txt", project / "src" / "hard.txt")
    assert run(host, "rtk_read", path="src/hard.txt").error_code == "hard_link_refused"
    assert not run(host, "rtk_grep", pattern="needle").complete


# ---------------------------------------------------------------------------------------------- rtk_grep


def found(result: ToolResult) -> list[tuple[str, int]]:
    """Where a search found something."""
    return [(match.path, match.line) for match in result.matches]


EVERYWHERE = [("src/a.py", 2), ("src/deep/b.py", 2), ("src/deep/c.md", 1), ("src/held.txt", 2)]


@pytest.mark.parametrize("pattern", ["needle", "nee[d]le"])
@pytest.mark.parametrize("path", [None, ".", "src", "src/"])
def test_a_search_stays_inside_the_scope(host: ToolHost, pattern: str, path: str | None) -> None:
    """Without a path everything inside the scope is searched: no denied, critical, linked or outside file."""
    result = run(host, "rtk_grep", pattern=pattern, path=path)
    assert found(result) == EVERYWHERE
    assert (result.kind, result.exit_code, result.match_count) == ("matches", 0, 4)
    assert (result.files_searched, result.files_skipped) == (6, 1)
    assert result.complete


@pytest.mark.skipif(shutil.which("rg") is None, reason="rg is not installed: the host is NOT compared with and without")
def test_results_are_the_same_with_and_without_rg(host: ToolHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is invisible in a result."""
    patterns = ["nee[d]le", "(?i)NEEDLE", "^.*e$", r"\w+ \w+", "zq+"]
    with_rg = [run(host, "rtk_grep", pattern=pattern, context_lines=1) for pattern in patterns]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert [run(host, "rtk_grep", pattern=pattern, context_lines=1) for pattern in patterns] == with_rg


def test_an_exact_path_is_all_that_is_searched(host: ToolHost) -> None:
    """A scope of one file searches one file, from wherever the search starts."""
    for path in (None, ".", "src", "src/deep", "src/deep/c.md"):
        result = run(host, "rtk_grep", Scope(paths=("src/deep/c.md",)), pattern="needle", path=path)
        assert found(result) == [("src/deep/c.md", 1)]
        assert result.files_searched == 1


def test_case_glob_and_context_are_honoured(host: ToolHost) -> None:
    """Case may be ignored, files chosen by glob; context lines are shown apart from matches."""
    result = run(host, "rtk_grep", pattern="NEEDLE", case_sensitive=False, include_glob="*.py", context_lines=1)
    assert found(result) == [("src/a.py", 2), ("src/deep/b.py", 1), ("src/deep/b.py", 2)]
    assert result.context == (
        Match("src/a.py", 1, "one"),
        Match("src/a.py", 3, "three"),
        Match("src/deep/b.py", 3, "last"),
    )


def test_no_match_is_an_answer(host: ToolHost) -> None:
    """Nothing found after searching everything: exit code 1, complete."""
    result = run(host, "rtk_grep", pattern="absent")
    assert (result.kind, result.exit_code, result.match_count, result.complete) == ("matches", 1, 0, True)


@pytest.mark.parametrize(
    ("limits", "arguments", "shown"),
    [
        (ToolLimits(max_matches=1), {}, 1),
        (ToolLimits(), {"max_results": 2}, 2),
        (ToolLimits(max_bytes=38), {}, 1),
        (ToolLimits(timeout_s=0.0), {}, 0),
    ],
)
def test_a_bounded_search_is_not_complete(
    host: ToolHost, limits: ToolLimits, arguments: dict[str, Any], shown: int
) -> None:
    """Matches beyond a bound are counted, not shown; a search out of time says that it is partial."""
    result = run(host, "rtk_grep", limits=limits, pattern="needle", **arguments)
    assert len(result.matches) == shown
    assert result.match_count == (4 if shown else 0)
    assert not result.complete


def test_a_file_too_large_makes_a_search_incomplete(host: ToolHost) -> None:
    """What was not searched is said, so that "no match" is not believed."""
    result = run(host, "rtk_grep", limits=ToolLimits(max_file_bytes=25), pattern="absent")
    assert result.files_skipped > 1
    assert not result.complete


def test_matches_are_redacted_and_secrets_cannot_be_guessed(host: ToolHost) -> None:
    """A line shows its placeholder, and a pattern that only the hidden part matches finds nothing."""
    shown = run(host, "rtk_grep", pattern="the needle")
    assert [match.text for match in shown.matches] == ["the needle [REDACTED:held]"]
    assert shown.redactions == 1
    for guess in ("held-s", "held-[a-z]", "needle held", "MIIEvQIB", "MII[E]"):
        result = run(host, "rtk_grep", pattern=guess)
        assert (result.match_count, result.matches, result.exit_code) == (0, (), 1)


@pytest.mark.parametrize(
    ("pattern", "code"), [("(", "pattern_invalid"), ("a(?=b)", "pattern_invalid"), ("", "argument_invalid")]
)
def test_an_unusable_pattern_is_an_error_with_a_sentence(host: ToolHost, pattern: str, code: str) -> None:
    """Nothing is searched; the model is told what is wrong."""
    result = run(host, "rtk_grep", pattern=pattern)
    assert (result.error_code, result.exit_code) == (code, 2)
    assert result.message.endswith(".")


def test_a_pattern_that_explodes_is_an_error(project: Path, host: ToolHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a linear engine an exponential pattern ends as pattern_too_slow."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (project / "src" / "x").write_text("x" * 64)
    result = run(host, "rtk_grep", limits=ToolLimits(timeout_s=0.5), pattern="(x+x+)+y")
    assert result.error_code == "pattern_too_slow"


# ---------------------------------------------------------------------------------------------- rtk_ls


def test_a_listing_shows_folders_links_and_no_denied_names(host: ToolHost) -> None:
    """Sorted, folders with `/`, links with `@`; denied and critical names are left out."""
    result = run(host, "rtk_ls", path="src/")
    expected = ("a.py", "bin", "deep/", "empty", "held.txt", "key.txt", "out@", "pipe=", "up@")
    assert (result.kind, result.path, result.lines) == ("entries", "src", expected)
    assert result.complete


@pytest.mark.parametrize(
    ("scope", "lines"),
    [
        (IN_SRC, ("src/",)),
        (Scope(paths=("src/deep/c.md",)), ("src/",)),
        (Scope(roots=(".",)), ("other/", "src/")),
        (Scope(), None),
    ],
)
def test_the_top_is_listed_as_far_as_the_scope_reaches(
    host: ToolHost, scope: Scope, lines: tuple[str, ...] | None
) -> None:
    """Without a path the project's folder is listed, with only what is allowed or leads there."""
    result = run(host, "rtk_ls", scope)
    if lines is None:
        assert result.lines == ()
    else:
        assert result.lines == lines


def test_a_listing_is_bounded_and_links_are_not_listed(host: ToolHost) -> None:
    """Too many entries are cut; a link is not entered; a missing folder is exit code 1."""
    assert not run(host, "rtk_ls", limits=ToolLimits(max_lines=2), path="src").complete
    assert run(host, "rtk_ls", path="src/up").error_code == "is_a_link"
    assert run(host, "rtk_ls", path="src/no").exit_code == 1


# ---------------------------------------------------------------------------------------------- git, and anything


def test_git_tools_answer_outside_a_repository(host: ToolHost) -> None:
    """A project that is no repository is an error result."""
    for tool in ("rtk_git_status", "rtk_git_log", "rtk_git_show_stat", "rtk_git_diff_stat"):
        assert run(host, tool).error_code == "not_a_repository"


def test_git_text_is_filtered_and_redacted(project: Path, host: ToolHost) -> None:
    """Files outside the scope are not named; a secret in a subject is replaced."""
    git(project, "init", "-q")
    git(project, "add", "src/a.py", "other/d.py")
    git(project, "commit", "-qm", f"Rotate {HELD}")
    log = run(host, "rtk_git_log", limit=1)
    assert log.lines[0].endswith("Rotate [REDACTED:held]")
    assert log.redactions == 1
    shown = run(host, "rtk_git_show_stat")
    assert shown.lines[1:] == (" src/a.py | +3 -0", "(1 more outside the scope)")
    status = run(host, "rtk_git_status")
    assert "?? src/held.txt" in status.lines
    assert not any(".env" in line or "auth" in line for line in status.lines)
    assert run(host, "rtk_git_diff_stat", path="src").lines == ()


@pytest.mark.parametrize("tool", ["apply_patch", "bash", "nothing", "", "rtk_read "])
def test_unknown_and_writing_tools_are_refused(host: ToolHost, tool: str) -> None:
    """The host knows its seven tools and no other."""
    assert run(host, tool).error_code in {"write_blocked", "tool_unknown"}


VALUES = st.one_of(
    st.text(max_size=12), st.integers(), st.booleans(), st.none(), st.sampled_from(["src", "src/a.py", "."])
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(sorted(TOOL_ARGUMENTS)),
    st.dictionaries(
        st.sampled_from(["path", "pattern", "start_line", "end_line", "limit", "rev", "include_glob"]), VALUES
    ),
)
def test_nothing_that_is_asked_makes_the_host_raise(host: ToolHost, tool: str, arguments: dict[str, Any]) -> None:
    """Any arguments give a result; an error has a code and a sentence, and nothing outside the scope is shown."""
    result = host.run(ToolCall(tool, arguments), IN_SRC, ToolLimits(timeout_s=5.0))
    assert result.tool == tool
    assert (result.kind == "error") == bool(result.error_code) == bool(result.message)
    assert "outside" not in "".join(result.lines)
    assert all(match.path.startswith("src/") for match in result.matches)


def test_a_machine_without_processes_is_an_error_result(host: ToolHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no child can be started, the model is told, and nothing is raised."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    assert run(host, "rtk_grep", pattern="nee[d]le").error_code == "tool_failed"
