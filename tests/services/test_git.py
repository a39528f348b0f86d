"""Reading a real repository: what is shown, what is filtered, and that a booby-trapped one runs nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import codex_oss.services.git as git_module
from codex_oss.policy.scope import Scope, check_path
from codex_oss.services.git import Git, GitProblem
from codex_oss.services.project_files import ProjectRoot


def git(folder: Path, *argv: str) -> str:
    """Run the real git in *folder*, away from the configuration of whoever runs the tests."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.com",
        "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    command = ["git", "-c", "init.defaultBranch=main", *argv]
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with two commits and a changed, an untracked and a denied file."""
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    git(project, "init", "-q")
    (project / "src" / "a.py").write_text("one\n")
    (project / "src" / "my file.py").write_text("x\n")
    (project / "other.txt").write_text("other\n")
    git(project, "add", ".")
    git(project, "commit", "-qm", "First")
    (project / "src" / "a.py").write_text("one\ntwo\n")
    (project / "other.txt").write_text("changed\n")
    (project / "src" / "b.bin").write_bytes(b"\0\1")
    git(project, "add", ".")
    git(project, "commit", "-qm", "Second: ü")
    (project / "src" / "a.py").write_text("one\ntwo\nthree\n")
    (project / "src" / "new.py").write_text("new\n")
    (project / ".env").write_text("X=1\n")
    (project / "other.txt").write_text("again\n")
    return project


@pytest.fixture
def root(project: Path) -> Iterator[ProjectRoot]:
    """The repository opened as a project."""
    with ProjectRoot(project) as opened:
        yield opened


def in_src(path: str) -> bool:
    """The filter of a mission that may read `src`."""
    return check_path(path, Scope(roots=("src",))).allowed


def everything(path: str) -> bool:
    """A filter that refuses only denied names."""
    return check_path(path, Scope(roots=(".",))).allowed


def code_of(root: ProjectRoot) -> str:
    """The code with which a status fails, or `fine`."""
    try:
        Git(root).status(everything, timeout_s=20)
    except GitProblem as problem:
        return problem.code
    return "fine"


def test_status_names_only_files_of_the_scope(root: ProjectRoot) -> None:
    """Branch first, then the changed files the filter accepts; the others are counted."""
    status = Git(root).status(in_src, timeout_s=20)
    assert status.lines == ("## main", " M src/a.py", "?? src/new.py", "(2 more outside the scope)")
    assert not status.complete
    assert ".env" not in "".join(Git(root).status(everything, timeout_s=20).lines)


def test_log_shows_the_newest_commits(root: ProjectRoot) -> None:
    """Short ids and subjects, newest first, at most as many as asked for."""
    lines = Git(root).log(5, timeout_s=20).lines
    assert [line.split(" ", 1)[1] for line in lines] == ["Second: ü", "First"]
    assert len(Git(root).log(1, timeout_s=20).lines) == 1


def test_show_stat_counts_lines_by_file(root: ProjectRoot) -> None:
    """One commit with its files; a binary file is called so."""
    shown = Git(root).show_stat("HEAD", in_src, timeout_s=20)
    assert shown.lines[0].endswith(" 2026-01-02 Second: ü")
    assert shown.lines[1:] == (" src/a.py | +1 -0", " src/b.bin | binary", "(1 more outside the scope)")
    assert Git(root).show_stat("HEAD~1", everything, timeout_s=20).lines[1:] == (
        " other.txt | +1 -0", " src/a.py | +1 -0", " src/my file.py | +1 -0",
    )  # fmt: skip


def test_diff_stat_is_limited_to_the_path(root: ProjectRoot) -> None:
    """Working tree against index, below the path that was asked for; a path is never a pattern or an option."""
    assert Git(root).diff_stat("src", everything, timeout_s=20).lines == (" src/a.py | +1 -0",)
    assert len(Git(root).diff_stat(None, everything, timeout_s=20).lines) == 2
    assert Git(root).diff_stat("--output=x", everything, timeout_s=20).lines == ()
    assert Git(root).diff_stat(":(top)*", everything, timeout_s=20).lines == ()


def test_a_merge_is_shown_against_its_first_parent(project: Path, root: ProjectRoot) -> None:
    """A merge commit lists what it brought, once."""
    git(project, "stash", "-q")
    git(project, "checkout", "-qb", "side", "HEAD~1")
    (project / "src" / "side.py").write_text("side\n")
    git(project, "add", "src/side.py")
    git(project, "commit", "-qm", "Side")
    git(project, "checkout", "-q", "main")
    git(project, "merge", "-q", "--no-ff", "-m", "Merge", "side")
    assert Git(root).show_stat("HEAD", in_src, timeout_s=20).lines[1:] == (" src/side.py | +1 -0",)


@pytest.mark.parametrize("rev", ["--output=/tmp/x", "HEAD:src/a.py", "@{-1}", "a b", ""])
def test_a_revision_that_is_more_than_a_name_is_refused(root: ProjectRoot, rev: str) -> None:
    """Options, paths and reflog syntax are refused before git starts."""
    with pytest.raises(GitProblem) as caught:
        Git(root).show_stat(rev, everything, timeout_s=20)
    assert caught.value.code == "rev_invalid"


def test_an_unknown_revision_and_an_empty_history_say_so(tmp_path: Path, root: ProjectRoot) -> None:
    """No such commit is an answer, not a crash."""
    with pytest.raises(GitProblem) as caught:
        Git(root).show_stat("nothing", everything, timeout_s=20)
    assert caught.value.code == "rev_not_found"
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    with ProjectRoot(empty) as opened:
        assert code_of(opened) == "fine"
        with pytest.raises(GitProblem) as caught:
            Git(opened).log(3, timeout_s=20)
    assert caught.value.code == "rev_not_found"


def test_a_project_inside_another_repository_is_no_repository(project: Path) -> None:
    """Folders above the project are not searched for a repository."""
    with ProjectRoot(project / "src") as inner:
        assert code_of(inner) == "not_a_repository"


def test_a_booby_trapped_repository_runs_nothing(project: Path, root: ProjectRoot, tmp_path: Path) -> None:
    """Every setting, attribute and hook that can name a program is set, and none of them runs."""
    proof = tmp_path / "proof"
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho ran >> {proof}\nexec cat\n")
    trap.chmod(0o755)
    included = tmp_path / "included"
    included.write_text(f'[core]\n\tfsmonitor = {trap}\n[filter "trap2"]\n\tclean = {trap}\n')
    for name, value in {
        "core.fsmonitor": str(trap), "core.hooksPath": str(tmp_path), "core.sshCommand": str(trap),
        "core.pager": str(trap), "core.editor": str(trap), "core.alternateRefsCommand": str(trap),
        "diff.external": str(trap), "diff.trap.command": str(trap), "diff.trap.textconv": str(trap),
        "filter.trap.clean": str(trap), "filter.trap.process": str(trap), "filter.trap.required": "true",
        "pager.log": str(trap), "pager.status": str(trap), "gpg.program": str(trap), "log.showSignature": "true",
        "alias.status": f"!{trap}", "include.path": str(included), "credential.helper": str(trap),
        "uploadpack.packObjectsHook": str(trap), "remote.origin.promisor": "true", "remote.origin.url": f"ext::{trap}",
    }.items():  # fmt: skip
        git(project, "config", name, value)
    for hook in ("post-index-change", "pre-auto-gc", "reference-transaction", "post-checkout"):
        (tmp_path / hook).write_text(trap.read_text())
        (tmp_path / hook).chmod(0o755)
    (project / ".gitattributes").write_text("* filter=trap diff=trap\n*.txt filter=trap2\n")
    (project / ".git" / "info").mkdir(exist_ok=True)
    (project / ".git" / "info" / "attributes").write_text("* filter=trap diff=trap\n")
    for path in ("src/a.py", "other.txt"):
        os.utime(project / path, (1, 1))
    reader = Git(root)
    assert " M src/a.py" in reader.status(everything, timeout_s=20).lines
    assert reader.log(3, timeout_s=20).lines
    assert reader.show_stat("HEAD", everything, timeout_s=20).lines
    assert reader.diff_stat(None, everything, timeout_s=20).lines
    assert not proof.exists()


def test_the_trap_would_have_sprung(project: Path, tmp_path: Path) -> None:
    """The same kind of trap does run under a plain `git status`, so the test above tests something."""
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho ran >> {tmp_path / 'proof'}\nexec cat\n")
    trap.chmod(0o755)
    git(project, "config", "filter.trap.clean", str(trap))
    (project / ".gitattributes").write_text("* filter=trap\n")
    os.utime(project / "src" / "my file.py", (1, 1))
    git(project, "status")
    assert (tmp_path / "proof").exists()


def test_a_submodule_is_not_looked_into(project: Path, root: ProjectRoot, tmp_path: Path) -> None:
    """A nested repository's own configuration runs nothing either."""
    nested = project / "src" / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    git(nested, "commit", "-q", "--allow-empty", "-m", "x")
    git(project, "add", "src/nested")
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho ran >> {tmp_path / 'proof'}\n")
    trap.chmod(0o755)
    git(nested, "config", "core.fsmonitor", str(trap))
    (nested / "dirty").touch()
    assert Git(root).status(everything, timeout_s=20).lines
    assert Git(root).diff_stat(None, everything, timeout_s=20).lines
    assert not (tmp_path / "proof").exists()


def test_a_git_folder_that_is_or_holds_a_link_is_refused(project: Path, root: ProjectRoot, tmp_path: Path) -> None:
    """Another repository cannot be borrowed through a link, in whole or in part."""
    (project / ".git").rename(tmp_path / "elsewhere")
    (project / ".git").symlink_to(tmp_path / "elsewhere")
    assert code_of(root) == "not_a_repository"
    (project / ".git").unlink()
    (tmp_path / "elsewhere").rename(project / ".git")
    assert code_of(root) == "fine"
    (project / ".git" / "objects").rename(tmp_path / "objects")
    (project / ".git" / "objects").symlink_to(tmp_path / "objects")
    assert code_of(root) == "not_a_repository"


def test_a_git_file_is_believed_only_when_it_points_back(project: Path, tmp_path: Path) -> None:
    """A linked worktree works; a forged `.git` file that names a foreign repository does not."""
    git(project, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "linked")
    with ProjectRoot(tmp_path / "linked") as linked:
        assert Git(linked).status(everything, timeout_s=20).lines == ("## linked",)
    forged = tmp_path / "forged"
    forged.mkdir()
    for content in (
        (tmp_path / "linked" / ".git").read_text(),
        f"gitdir: {project / '.git'}\n",
        "gitdir: ../project/.git\n",
        "gitdir: /nowhere/worktrees/x\n",
        "",
        "\0",
    ):
        (forged / ".git").write_text(content)
        with ProjectRoot(forged) as opened:
            assert code_of(opened) == "not_a_repository", content


@pytest.mark.parametrize("content", ["", "garbage", "ref: ../../x\nfoo", "\0", "ref: refs/heads/a b"])
def test_a_broken_head_is_no_repository(project: Path, root: ProjectRoot, content: str) -> None:
    """A HEAD that is no reference and no commit is refused before git starts."""
    (project / ".git" / "HEAD").write_text(content)
    assert code_of(root) == "not_a_repository"


def test_a_repository_with_long_ids_is_read(tmp_path: Path) -> None:
    """The one fact of a foreign configuration that matters, the object format, is taken over."""
    project = tmp_path / "sha256"
    project.mkdir()
    git(project, "init", "-q", "--object-format=sha256")
    git(project, "commit", "-q", "--allow-empty", "-m", "Long")
    with ProjectRoot(project) as root:
        assert Git(root).log(1, timeout_s=20).lines[0].endswith(" Long")


def test_time_and_output_are_bounded(project: Path, root: ProjectRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that never answers ends in a timeout; too much output is cut and said to be."""
    monkeypatch.setattr(git_module, "MAX_OUTPUT_BYTES", 30)
    assert not Git(root).status(everything, timeout_s=20).complete
    (project / ".git" / "index").unlink()
    os.mkfifo(project / ".git" / "index")
    with pytest.raises(GitProblem) as caught:
        Git(root).status(everything, timeout_s=0.3)
    assert caught.value.code == "timeout"


def test_nothing_is_written_to_the_repository(project: Path, root: ProjectRoot) -> None:
    """Reading leaves every file of `.git` as it was."""

    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted((project / ".git").rglob("*")) if path.is_file()}

    before = state()
    os.utime(project / "other.txt", (1, 1))
    Git(root).status(everything, timeout_s=20)
    Git(root).diff_stat(None, everything, timeout_s=20)
    assert state() == before


def test_a_git_inside_the_project_is_not_run(project: Path, root: ProjectRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name in a tool folder of the project is never started."""
    tool = project / "bin" / "git"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ntouch {project}/ran\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    assert code_of(root) == "git_missing"
    assert not (project / "ran").exists()
