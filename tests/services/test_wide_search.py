"""Searching very many files: the same answer as file by file, for any pattern and any bytes, and no more told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codex_oss.contracts.tools import ToolCall, ToolResult
from codex_oss.policy.denied_names import DENIED_NAMES
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.folder_view import ScopeFilter
from codex_oss.policy.path_patterns import parse_patterns
from codex_oss.policy.scope import Scope, check_path
from codex_oss.services import tool_host
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.tool_host import ToolHost, ToolLimits

pytestmark = pytest.mark.skipif(shutil.which("rg") is None, reason="rg is not installed")
PIECES = [b"foo", b"Foo", b"bar 1", b"\r\n", b"\n", b"\xff", b"\xe2\x82", b"\xc3\xa9", b"x", b" ",
          b"\xf0\x9f\x98\x80", b"\xed\xa0\x80",
          b"\xef\xbb\xbf", b"_", b"\r", b"\xef\xbf\xbd"]  # fmt: skip
PATTERNS = ["foo", "bar 1$", "^foo", "fo.", "foo.*x", r"\bfoo\b", r"[^a-z]x", r"\W", r"x\s*$", "\ufffd", "\u00e9", "^$",
            "(?i)FOO",
            r"foo\B", r"[\U00010000-\U0010ffff]", r"x.x", "^x", r"\S+$", "_"]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for the files of one example."""
    (tmp_path / "p/src/deep").mkdir(parents=True)
    return tmp_path / "p"


@pytest.fixture
def host(project: Path) -> Iterator[ToolHost]:
    """A host on it."""
    with ProjectRoot(project) as root:
        yield ToolHost(root, Redactor())


def both(host: ToolHost, scope: Scope, **arguments: Any) -> tuple[ToolResult, ToolResult]:
    """One search done file by file, and done with the help of `rg`."""
    results = []
    for narrow in (1_000_000, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tool_host, "NARROW_FILES", narrow)
            results.append(host.run(ToolCall("rtk_grep", arguments), scope, ToolLimits(timeout_s=20)))
    return results[0], results[1]


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join), min_size=1, max_size=5),
    st.sampled_from(PATTERNS),
    st.booleans(),
)
@example([b"bar 1\r\n"], "bar 1$", True)
@example([b"x\xff"], "x.", True)
@example([b"a\rx\n"], "a.x", True)
def test_both_ways_find_the_same(project: Path, host: ToolHost, files: list[bytes], pattern: str, case: bool) -> None:
    """Undecodable bytes, carriage returns, marks and other scripts: whatever matches file by file is found wide."""
    for old in project.glob("src/**/*.txt"):
        old.unlink()
    for number, data in enumerate(files):
        (project / ("src/deep" if number % 2 else "src") / f"{number}.txt").write_bytes(data)
    narrow, wide = both(host, Scope(roots=("src",)), pattern=pattern, path="src", case_sensitive=case, context_lines=1)
    assert wide == narrow


def grown(project: Path) -> None:
    """A tree with something of everything."""
    for name in ("a.py", "b.txt", ".env", "deep/c.py", "deep/d.pem", "deep/[x].py", "deep/\u00fc.py"):
        (project / "src" / name).write_text("needle\n")
    (project / "src/big.py").write_bytes(b"needle\n" * 400_000)
    (project / "src/link.py").symlink_to(project / "src/a.py")
    (project / "src/linked").symlink_to(project / "src/deep")
    os.link(project / "src/b.txt", project / "src/twin.txt")
    (project / "src/node_modules").mkdir()
    (project / "src/node_modules/e.py").write_text("needle\n")
    (project / "src/auth").mkdir()
    (project / "src/auth/f.py").write_text("needle\n")


@pytest.mark.parametrize(
    "scope",
    [
        Scope(roots=(".",)),
        Scope(roots=("src",)),
        Scope(roots=("src/deep",)),
        Scope(paths=("src/a.py", "src/deep/c.py")),
        Scope(roots=(".",), ignored=parse_patterns("deep/\n")),
        Scope(roots=(".",), forbidden=("src/deep",)),
        Scope(roots=(".",), critical=parse_patterns("*.py")),
        Scope(roots=(".",), linked=parse_patterns("*.txt")),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("more", [{}, {"include_glob": "*.py"}, {"include_glob": "deep/*.py"}, {"path": "src"}])
def test_both_ways_see_the_same_tree(project: Path, host: ToolHost, scope: Scope, more: dict[str, str]) -> None:
    """Links, hard links, sizes, denied, hidden, forbidden and critical names: matches and counts agree."""
    grown(project)
    narrow, wide = both(host, scope, pattern="needle", **more)
    assert wide == narrow
    if wide.error_code == "":
        assert wide.match_count >= 1 or "py" in str(scope.critical) or more


def test_counts_tell_nothing_of_what_is_refused(project: Path, host: ToolHost) -> None:
    """Whether a pattern stands in a denied, linked, binary or too large file changes nothing that is told."""
    grown(project)
    for name, data in (("src/.env", b"s3cr"), ("src/blob", b"\0s3cr"), ("src/big.py", b"s3cr\n" * 500_000)):
        (project / name).write_bytes(data)
    (project / "src/b.txt").write_text("s3cr\n")
    told = {
        (one.match_count, one.files_searched, one.files_skipped, one.complete)
        for pattern in ("s3cr", "s4cr", "s3.r", "s4.r")
        for one in both(host, Scope(roots=("src",)), pattern=pattern, path="src")[1:]
    }
    assert len(told) == 1


def test_trouble_of_rg_is_no_absence(
    project: Path, host: ToolHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `rg` that fails, or names files that are none, leaves the answer as it is."""
    grown(project)
    honest, _ = both(host, Scope(roots=("src",)), pattern="needle", path="src", include_glob="*.py")
    for body in ("exit 2", "kill -9 $$", "printf '../../../etc/passwd\\0./.env\\0/etc/passwd\\0\\xff\\0'; exit 2"):
        fake = tmp_path / "bin/rg"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f"#!/bin/sh\n{body}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
        _, wide = both(host, Scope(roots=("src",)), pattern="needle", path="src", include_glob="*.py")
        assert wide.matches == honest.matches or not wide.complete
        assert "root:" not in repr(wide)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["", "src", "src/deep", "migrations", "src/auth", "\u00fc"]),
    st.lists(
        st.sampled_from([".env", "a.py", "auth", "x.KEY", "\uff0eenv", "b.txt", "workflows", "[x]"]),
        max_size=5,
        unique=True,
    ),
    st.sampled_from(
        [Scope(roots=(".",)), Scope(roots=("src",)), Scope(paths=("src/a.py",)), Scope(roots=("migrations",))]
    ),
    st.sampled_from([None, "*.py", "**/*.py", "[ab]*"]),
)
def test_a_folder_at_once_is_each_file_alone(folder: str, names: list[str], scope: Scope, glob: str | None) -> None:
    """The verdict on all files of a folder is the verdict on each of them."""
    prefix = f"{folder}/" if folder else ""
    alone = [name for name in names if ScopeFilter(scope, glob)(prefix + name, "file")]
    assert ScopeFilter(scope, glob).files(folder, names) == alone
    assert all(check_path(prefix + name, scope).allowed for name in alone)


def test_denied_names_fit_into_one_glob() -> None:
    """None of them holds what a brace list or an anchored glob would read as something else."""
    globs = [glob for group in DENIED_NAMES.values() for glob in group]
    assert not [glob for glob in globs if set(glob) & set("/{},!\\")]
