"""Keys that never leave this machine: made once, whoever makes them, and refused when they are not private."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from codex_oss.errors import StoreError
from codex_oss.services.local_key import open_key, read_key, user_state_folder


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    """32 bytes, mode 0600 in a folder of 0700, the same ones the second time."""
    key = open_key(tmp_path / "state", "record")
    path = tmp_path / "state" / "record.key"
    assert len(key) == 32
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert open_key(tmp_path / "state", "record") == read_key(path) == key
    assert open_key(tmp_path / "state", "other") != key
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["other.key", "record.key"]


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    """Eight at once have one key between them."""
    program = (
        "import sys; from pathlib import Path; from codex_oss.services.local_key import open_key\n"
        "sys.stdin.readline(); print(open_key(Path(sys.argv[1]), 'record').hex())"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "state")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    keys = {maker.communicate(timeout=60)[0].strip() for maker in makers}
    assert len(keys) == 1
    assert len(keys.pop()) == 64


@pytest.mark.parametrize("damage", ["open", "empty", "short", "not hex", "link", "folder"])
def test_what_is_no_private_key_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    """Readable for others, damaged, a link or a folder: an error that names the file, and nothing is replaced."""
    path = tmp_path / "record.key"
    text = {"empty": "", "short": "ab" * 31, "not hex": "xy" * 32}.get(damage, "ab" * 32)
    if damage == "folder":
        path.mkdir()
    elif damage == "link":
        (tmp_path / "real").write_text(text)
        path.symlink_to(tmp_path / "real")
    else:
        path.write_text(text)
        path.chmod(0o644 if damage == "open" else 0o600)
    with pytest.raises(StoreError, match=r"record\.key") as refused:
        open_key(tmp_path, "record")
    assert refused.value.code == "key_unusable"
    assert damage in ("folder", "link") or path.read_text() == text


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/x/state"}, "/x/state/codex-oss"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/"}, "/.local/state/codex-oss"),
        ({"HOME": "/nonexistent"}, None),
        ({"HOME": "relative"}, None),
        ({}, None),
    ],
)
def test_the_state_folder_follows_the_rule(environ: dict[str, str], expected: str | None) -> None:
    """XDG_STATE_HOME when it is absolute, else below HOME when that can be written to."""
    folder = user_state_folder(environ)
    assert folder == (Path(expected) if expected else None)
