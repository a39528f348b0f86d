"""Writing our own files without tearing them, and the folder they lie in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from codex_oss.errors import StoreError
from codex_oss.services.state_files import ensure_private_dir, write_atomic


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    """The new content appears as a whole, private, and without a temporary file left behind."""
    path = tmp_path / "state.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the sync leaves the old file and no temporary one."""
    path = tmp_path / "state.json"
    write_atomic(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_writing_replaces_a_link_instead_of_following_it(tmp_path: Path) -> None:
    """A link in the place of our file is replaced; what it points at stays."""
    (tmp_path / "victim").write_text("victim")
    (tmp_path / "state").symlink_to("victim")
    write_atomic(tmp_path / "state", b"ours")
    assert (tmp_path / "victim").read_text() == "victim"
    assert not (tmp_path / "state").is_symlink()


def test_a_private_folder_is_made_tightened_and_never_a_link(tmp_path: Path) -> None:
    """Missing parents are made, loose modes tightened, links and files refused."""
    ensure_private_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "a").chmod(0o755)
    ensure_private_dir(tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    (tmp_path / "l").symlink_to("a")
    (tmp_path / "f").touch()
    for refused in ("l", "f"):
        with pytest.raises(StoreError):
            ensure_private_dir(tmp_path / refused)
