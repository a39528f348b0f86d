"""The state folder: private, out of git, and careful with what is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from codex_oss.errors import StoreError
from codex_oss.services.state_folder import GITIGNORE, open_state_folder


def test_it_is_private_and_tells_git_to_look_away(tmp_path: Path) -> None:
    """Mode 0700 and a .gitignore; a second opening changes nothing."""
    folder = tmp_path / ".codex-oss"
    open_state_folder(folder)
    open_state_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_bytes() == GITIGNORE


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_sees_settings_only(tmp_path: Path) -> None:
    """Logs and state do not show in `git status`, settings do."""
    folder = tmp_path / ".codex-oss"
    open_state_folder(folder)
    (folder / "runs").mkdir()
    (folder / "runs/events.jsonl").write_text("{}\n")
    (folder / "models.toml").write_text("\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    done = subprocess.run(status, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "?? .codex-oss/models.toml\n"


def test_what_is_there_is_left(tmp_path: Path) -> None:
    """A .gitignore of the user's, or a link in its place, is not touched; a folder that is a link is refused."""
    folder = tmp_path / ".codex-oss"
    folder.mkdir()
    (tmp_path / "theirs").write_text("mine\n")
    (folder / ".gitignore").symlink_to(tmp_path / "theirs")
    open_state_folder(folder)
    assert (tmp_path / "theirs").read_text() == "mine\n"
    (tmp_path / "linked").symlink_to(folder)
    with pytest.raises(StoreError):
        open_state_folder(tmp_path / "linked")
