"""Snapshots on disk: private, bounded, with harmless names, and never in the way of a turn."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path

import pytest

from codex_oss.services import attempt_snapshots
from codex_oss.services.attempt_snapshots import AttemptSnapshots

URL = "https://chatgpt.com/backend-api/codex/responses"
HEADERS = {"Authorization": "Bearer canary-token", "ChatGPT-Account-Id": "canary-account"}


def test_an_attempt_is_two_private_files_without_anybody_in_them(tmp_path: Path) -> None:
    """A request and the head of its answer; the account has a name of this process."""
    kept = AttemptSnapshots(tmp_path / "snapshots")
    attempt = kept.sent("resp_1", "canary@example.com|canary-account", URL, HEADERS, b'{"input": "canary words"}')
    kept.answered(attempt, 429, {"retry-after": "5", "set-cookie": "canary=1"})
    files = sorted((tmp_path / "snapshots").iterdir())
    assert [path.name.split("-", 1)[1] for path in files] == ["resp_1-1-answer.json", "resp_1-1-request.json"]
    assert "canary" not in "".join(path.read_text() for path in files)
    assert json.loads(files[0].read_text())["headers"]["retry-after"] == "5"
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "snapshots").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a" * 500, "", "\0", "näm\n"])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    """Whatever a client called its response."""
    kept = AttemptSnapshots(tmp_path / "snapshots")
    kept.answered(kept.sent(name, "p", URL, {}, b"{}"), 200, {})
    assert len(list((tmp_path / "snapshots").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["snapshots"]


def test_the_oldest_go_first_and_strangers_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by size; a file that is none of ours is not touched."""
    monkeypatch.setattr(attempt_snapshots, "MAX_FILES", 6)
    times = iter(range(1, 100))
    kept = AttemptSnapshots(tmp_path / "snapshots", clock=lambda: float(next(times)))
    (tmp_path / "snapshots").mkdir(mode=0o700)
    (tmp_path / "snapshots" / "notes.txt").write_text("mine")
    for number in range(10):
        kept.answered(kept.sent(f"r{number}", "p", URL, {}, b"{}"), 200, {})
    names = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    assert [name.split("-")[1] for name in names[:-1]] == ["r7", "r7", "r8", "r8", "r9", "r9"]
    assert names[-1] == "notes.txt"
    monkeypatch.setattr(attempt_snapshots, "MAX_BYTES", 2500)
    kept.sent("last", "p", URL, {}, b'{"input": [' + b'{"role": "user"},' * 20 + b"1]}")
    left = [path for path in (tmp_path / "snapshots").iterdir() if path.name != "notes.txt"]
    assert left
    assert sum(os.lstat(path).st_size for path in left) <= 2500


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No attempt fails for it."""
    (tmp_path / "snapshots").write_text("in the way")
    kept = AttemptSnapshots(tmp_path / "snapshots")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            kept.answered(kept.sent("r", "p", URL, {}, b"{}"), 200, {})
    assert len(caplog.records) == 1
