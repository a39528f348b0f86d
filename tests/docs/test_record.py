"""docs/record.md: the script that verifies a log without us, and the list of events."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from codex_oss.missions.events import Known
from codex_oss.missions.projections import NAMES
from tests.fakes.mission_script import Play, call, finding, mission, report

PAGE = (Path(__file__).resolve().parents[2] / "docs/record.md").read_text()


def verify(tmp_path: Path, data: bytes) -> subprocess.CompletedProcess[str]:
    """Run the page's script on a log."""
    script = tmp_path / "verify.py"
    script.write_text(PAGE.partition("<!-- verify")[2].partition("```python\n")[2].partition("```")[0])
    log = tmp_path / "events.jsonl"
    log.write_bytes(data)
    command = [sys.executable, "-W", "ignore", str(script), str(log)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_log_verifies_without_this_program(tmp_path: Path) -> None:
    """The script accepts a log of ours, with odd characters in it, and refuses it after one edit."""
    odd = "naïve \u2028 \U0001f600 \x7f 'quotes' \"and\" \\ back"
    played = Play(
        mission(objective=odd),
        [call("rtk_read", path="app/retry.py"), report(finding("`MAX_RETRIES`", "file:app/retry.py#extract:1"))],
    )
    played.run()
    log = b"".join(line + b"\n" for line in played.lines)
    done = verify(tmp_path, log)
    assert done.stdout == "every line and every link verifies\n", done.stderr
    assert "line 1" in verify(tmp_path, log.replace(b"na", b"ne", 1)).stderr
    assert (
        "line 3" in verify(tmp_path, b"".join(line + b"\n" for line in [*played.lines[:2], *played.lines[3:]])).stderr
    )


def test_every_event_and_every_file_is_on_the_page() -> None:
    """The table of events and the tree of files are whole."""
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert listed == [event.__name__ for event in get_args(Known)]
    assert [name for name in NAMES if f" {name} " not in PAGE] == []
