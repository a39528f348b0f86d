"""docs/record.md: the script that verifies a log without us, and the list of events."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from codex_oss.missions.events import Known
from codex_oss.missions.projections import NAMES
from codex_oss.services.anchors import AnchorBook
from codex_oss.services.event_log import EventLog, Seal, read_log
from tests.fakes.mission_script import Play, call, finding, mission, report

PAGE = (Path(__file__).resolve().parents[2] / "docs/record.md").read_text()


KEY = bytes(range(32))


def verify(tmp_path: Path, data: bytes, *more: Path) -> subprocess.CompletedProcess[str]:
    """Run the page's script on a log."""
    script = tmp_path / "verify.py"
    script.write_text(PAGE.partition("<!-- verify")[2].partition("```python\n")[2].partition("```")[0])
    log = tmp_path / "events.jsonl"
    log.write_bytes(data)
    command = [sys.executable, "-W", "ignore", str(script), str(log), *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_log(folder: Path) -> tuple[bytes, Path, Path]:
    """A log that the real writer wrote, with odd characters and numbers in it, its key file and its anchor."""
    odd = "naïve \u2028 \U0001f600 \x7f 'quotes' \"and\" \\ back"
    played = Play(
        mission(objective=odd),
        [
            call("rtk_read", path="app/retry.py", start_line=1.0, wish=[1e22, -0.0, 10**17]),
            report(finding("`MAX_RETRIES`", "file:app/retry.py#extract:1")),
        ],
    )
    played.run()
    anchors = AnchorBook(folder / "state", folder)
    with EventLog(folder / "run_1", "run_1", "m_test", seal=Seal(KEY, anchors)) as log:
        log.append([recorded.event for recorded in played.events])  # type: ignore[misc]
    (key_file := folder / "record.key").write_text(KEY.hex() + "\n")
    return log.path.read_bytes(), key_file, anchors.folder / "run_1.json"


def test_a_log_verifies_without_this_program(tmp_path: Path) -> None:
    """The script accepts a log of ours, with its key and its anchor, and refuses it after one edit or one drop."""
    log, key_file, anchor = write_log(tmp_path)
    for more in ((), (key_file,), (key_file, anchor)):
        done = verify(tmp_path, log, *more)
        assert done.stdout == "every line and every link verifies\n", done.stderr
    assert "line 1" in verify(tmp_path, log.replace(b"na", b"ne", 1)).stderr
    lines = log.splitlines(keepends=True)
    assert "line 3" in verify(tmp_path, b"".join([*lines[:2], *lines[3:]])).stderr


def test_the_script_knows_key_and_anchor(tmp_path: Path) -> None:
    """Another key, a log of another run, a cut end and a torn one are each told."""
    log, key_file, anchor = write_log(tmp_path)
    (other := tmp_path / "other.key").write_text("ab" * 32)
    assert "not written with this key" in verify(tmp_path, log, other).stderr
    lines = log.splitlines(keepends=True)
    cut = verify(tmp_path, b"".join(lines[:-1]), key_file, anchor)
    assert f"had {len(lines)} events and has {len(lines) - 1}" in cut.stderr
    assert "not closed" in verify(tmp_path, b"".join(lines[:-1])).stderr
    assert "never committed" in verify(tmp_path, log[:-1]).stdout
    again = [recorded.event for recorded in read_log(tmp_path / "run_1/events.jsonl").recorded()]
    with EventLog(tmp_path / "run_2", "run_2", "m_test", seal=Seal(KEY)) as second:
        second.append(again)  # type: ignore[arg-type]
    assert "noted outside" in verify(tmp_path, second.path.read_bytes(), key_file, anchor).stderr


def test_every_event_and_every_file_is_on_the_page() -> None:
    """The table of events and the tree of files are whole."""
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert listed == [event.__name__ for event in get_args(Known)]
    assert [name for name in NAMES if f" {name} " not in PAGE] == []
