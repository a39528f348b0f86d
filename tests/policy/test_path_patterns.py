"""Patterns in gitignore syntax, held against git itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_oss.policy.path_patterns import hides, parse_patterns, takes_back
from codex_oss.policy.scope import Scope, check_path

PARTS = ["a", "b", "build", "x.log", "x.py", "*", "*.log", "**", "?", "[ab]", "b*"]
PATTERNS = st.builds(
    lambda bang, root, parts, end: bang + root + "/".join(parts) + end,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "/", "**/"]),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/**", "/*"]),
)
PATHS = [
    "a",
    "a/b",
    "a/b/x.log",
    "a/x.py",
    "b/build/x.py",
    "build/a/b",
    "x.log",
    "x.py",
    "bb/a/x.log",
    "a/build/b/x.py",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository."""
    folder = tmp_path_factory.mktemp("ignore")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(PATTERNS, min_size=1, max_size=5))
def test_whatever_git_ignores_is_hidden(repository: Path, lines: list[str]) -> None:
    """For any list of patterns: no path that git ignores is shown. We hide more only as `path_patterns` rule 3 says."""
    (repository / ".gitignore").write_text("\n".join(lines) + "\n")
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=repository, input="\n".join(PATHS), capture_output=True, text=True, check=False,
    )  # fmt: skip
    ignored = set(asked.stdout.split("\n")) - {""}
    patterns = parse_patterns("\n".join(lines))
    hidden = {path for path in PATHS if hides(patterns, path)}
    assert ignored <= hidden, lines
    if not any(line.endswith(("/", "/**")) or line.startswith("!") for line in lines):
        assert hidden == ignored, lines


@pytest.mark.parametrize(
    ("text", "path", "hidden"),
    [
        ("# a comment\n\nprivate/\n", "x/private/a.py", True),
        ("/private\n", "x/private/a.py", False),
        ("*.log\n!keep.log\n", "keep.log", False),
        ("logs/\n!logs/keep.log\n", "logs/keep.log", True),
        ("Caf\u00e9/\n", "CAFE\u0301/a", True),
        ("Private/\n", "pr\u200bIVATE/a", True),
        ("\\#a\n", "#a", True),
        ("\ufeffprivate\n", "private", True),
        ("docs/**/draft-?.md\n", "docs/a/b/draft-1.md", True),
    ],
)
def test_the_project_hides_by_its_own_file(text: str, path: str, hidden: bool) -> None:
    """Comments, anchors, exceptions, folders and any spelling of a name, as a scope sees them."""
    assert check_path(path, Scope(roots=(".",), ignored=parse_patterns(text))).code == (
        "path_denied" if hidden else "allowed"
    )
    assert not takes_back(parse_patterns(text), "other")
