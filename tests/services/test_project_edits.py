"""Writing beneath a project: whole or not at all, over what was read or not at all, never through a link."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from codex_oss.errors import StoreError
from codex_oss.services import project_edits
from codex_oss.services.project_edits import check_absent, create_file, replace_file
from codex_oss.services.project_files import FileRefused, ProjectRoot


def sha(data: bytes) -> str:
    """The digest that a reader was told."""
    return hashlib.sha256(data).hexdigest()


def refused(work: Callable[[], None]) -> str:
    """The code of a refusal."""
    with pytest.raises((FileRefused, StoreError)) as caught:
        work()
    return caught.value.code


@pytest.fixture
def root(tmp_path: Path) -> ProjectRoot:
    """A project with a file, a secret beside it, and links that lead there."""
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    (project / "f.txt").write_bytes(b"one")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/victim").write_bytes(b"untouched")
    (project / "link").symlink_to(tmp_path / "outside/victim")
    (project / "folder").symlink_to(tmp_path / "outside")
    (project / "dangling").symlink_to(tmp_path / "outside/new")
    return ProjectRoot(project)


def test_a_file_is_replaced_with_its_mode(root: ProjectRoot) -> None:
    """The content is new, the mode is the old one, and nothing else is left in the folder."""
    (root.path / "f.txt").chmod(0o751)
    before = sorted(os.listdir(root.path))
    replace_file(root, "f.txt", b"two", expected_sha256=sha(b"one"))
    assert (root.path / "f.txt").read_bytes() == b"two"
    assert stat.S_IMODE((root.path / "f.txt").stat().st_mode) == 0o751
    assert sorted(os.listdir(root.path)) == before


def test_what_somebody_else_wrote_stays(root: ProjectRoot) -> None:
    """Another digest than the one that was read refuses the write."""
    assert refused(lambda: replace_file(root, "f.txt", b"two", expected_sha256=sha(b"zero"))) == "file_changed"
    assert (root.path / "f.txt").read_bytes() == b"one"
    assert sorted(os.listdir(root.path)) == ["dangling", "f.txt", "folder", "link", "sub"]


def test_a_new_file_and_its_folders_are_made(root: ProjectRoot) -> None:
    """Folders on the way come into being; the user's umask decides who reads the file."""
    create_file(root, "sub/a/b/new.txt", b"new")
    made = root.path / "sub/a/b/new.txt"
    assert made.read_bytes() == b"new"
    assert made.stat().st_nlink == 1
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(made.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("rel", ["f.txt", "link", "dangling", "sub"])
def test_nothing_is_made_over_what_stands_there(root: ProjectRoot, rel: str) -> None:
    """Be it a file, a link, a link to nothing or a folder."""
    assert refused(lambda: create_file(root, rel, b"new")) == "file_exists"
    assert refused(lambda: check_absent(root, rel)) == "file_exists"
    assert not (root.path.parent / "outside/new").exists()


def test_what_is_absent_is_absent(root: ProjectRoot) -> None:
    """Also where the folder is missing; behind a link it is refused instead."""
    check_absent(root, "new")
    check_absent(root, "no/such/folder/new")
    assert refused(lambda: check_absent(root, "folder/new")) == "is_a_link"


@pytest.mark.parametrize(
    "rel", ["../x", "/etc/x", ".", "a\0b", "folder/new", "link/new", "f.txt/new", "/".join("a" * 20)]
)
def test_no_path_leads_out(root: ProjectRoot, rel: str) -> None:
    """Neither as text nor by a link on the way, nor through a file; absurd depths are refused."""
    assert refused(lambda: create_file(root, rel, b"new")) in (
        "path_invalid", "is_a_link", "not_a_folder", "file_exists",
    )  # fmt: skip
    assert os.listdir(root.path.parent / "outside") == ["victim"]


def test_a_link_is_never_written_through(root: ProjectRoot) -> None:
    """Neither one that stands there nor one on the way."""
    assert refused(lambda: replace_file(root, "link", b"x", expected_sha256=sha(b"untouched"))) == "is_a_link"
    assert refused(lambda: replace_file(root, "folder/victim", b"x", expected_sha256=sha(b"untouched"))) == "is_a_link"
    assert (root.path.parent / "outside/victim").read_bytes() == b"untouched"


def test_a_link_that_appears_in_the_last_moment(root: ProjectRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the rename a file becomes a link: it is refused, or replaced itself."""
    real, target = project_edits._take_after, root.path / "f.txt"

    def swapped(status: os.stat_result, folder: int, made: str) -> None:
        real(status, folder, made)
        target.unlink()
        target.symlink_to(root.path.parent / "outside/victim")

    monkeypatch.setattr(project_edits, "_take_after", swapped)
    replace_file(root, "f.txt", b"two", expected_sha256=sha(b"one"))
    assert target.read_bytes() == b"two"
    assert not target.is_symlink()
    assert (root.path.parent / "outside/victim").read_bytes() == b"untouched"


def test_folders_that_turn_into_links_all_the_time(root: ProjectRoot) -> None:
    """While a folder and a link to elsewhere change places, no write ever lands outside."""
    outside, stop = root.path.parent / "outside", threading.Event()
    (root.path / "swap").mkdir()

    def swap() -> None:
        place, number = root.path / "swap", 0
        while not stop.is_set():
            number += 1
            with suppress(OSError):
                place.rename(root.path / f"away{number}")
            with suppress(OSError):
                place.symlink_to(outside)
            with suppress(OSError):
                place.unlink()
            with suppress(OSError):
                place.mkdir()

    swapper = threading.Thread(target=swap)
    swapper.start()
    made = 0
    try:
        for number in range(400):
            try:
                create_file(root, f"swap/d{number}/n", b"x")
                made += 1
            except (FileRefused, StoreError):
                pass
    finally:
        stop.set()
        swapper.join()
    assert os.listdir(outside) == ["victim"]
    assert made


def test_no_room_leaves_the_old_file(root: ProjectRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses is a sentence with a code; the old content and no remains are left."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(os.listdir(root.path))
    monkeypatch.setattr(os, "fsync", full)
    assert refused(lambda: replace_file(root, "f.txt", b"two", expected_sha256=sha(b"one"))) == "edit_not_written"
    assert (root.path / "f.txt").read_bytes() == b"one"
    assert refused(lambda: create_file(root, "new", b"x")) == "edit_not_written"
    assert sorted(os.listdir(root.path)) == before
