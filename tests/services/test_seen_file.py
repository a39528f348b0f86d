"""A file that is read again only when it changed: never stale, whatever replaces it and however fast."""

from __future__ import annotations

import os
import time
from pathlib import Path

from codex_oss.services.seen_file import RACY_S, SeenFile


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    """Once it has lain there for a moment, a stat is all that it costs."""
    path, reads = tmp_path / "file", []
    path.write_text("one")
    os.utime(path, (time.time() - 10, time.time() - 10))

    def read() -> str:
        reads.append(1)
        return path.read_text()

    seen = SeenFile(path, read)
    assert [seen.read(), seen.read(), seen.fresh()] == ["one", "one", "one"]
    assert len(reads) == 1


def test_a_change_of_the_same_size_within_the_same_moment_is_seen(tmp_path: Path) -> None:
    """Also when inode, size and times are those of before: what was just written is not believed to be settled."""
    path = tmp_path / "file"
    seen = SeenFile(path, path.read_text)
    for number in range(200):
        beside = tmp_path / "beside"
        beside.write_text(f"{number:05}")
        os.replace(beside, path)
        assert seen.read() == f"{number:05}"
        assert seen.fresh() is None, "it may be written again before the clock of the file system moves on"


def test_a_file_that_goes_and_comes_back(tmp_path: Path) -> None:
    """Gone is a state like any other."""
    path = tmp_path / "file"

    def read() -> str:
        return path.read_text() if path.exists() else ""

    seen = SeenFile(path, read)
    assert seen.read() == ""
    path.write_text("there")
    assert seen.read() == "there"
    time.sleep(RACY_S)
    path.unlink()
    assert seen.read() == ""
