"""The source hash: stable, and changed by any change that matters."""

from __future__ import annotations

from pathlib import Path

from codex_oss.services.source import source_hash


def test_changes_with_names_and_bytes_only(tmp_path: Path) -> None:
    """Content, names and borders between files count; caches and times do not."""
    (tmp_path / "a.py").write_text("ab")
    (tmp_path / "b.py").write_text("c")
    first = source_hash(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")
    assert source_hash(tmp_path) == first
    (tmp_path / "a.py").write_text("a")
    (tmp_path / "b.py").write_text("bc")
    moved = source_hash(tmp_path)
    assert moved != first
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert source_hash(tmp_path) != moved


def test_the_package_has_one() -> None:
    """The running package hashes to 64 hex digits, twice the same."""
    assert source_hash() == source_hash()
    assert len(source_hash()) == 64
