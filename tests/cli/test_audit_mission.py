"""`audit-mission` as a person runs it: at home, on a copied folder elsewhere, with a key, after somebody was at it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_missions import READ, REPORT, project, run_cli, run_mission
from tests.fakes.chat_upstream import action

__all__ = ["project"]


@pytest.fixture
def done(project: Path) -> Path:
    """A project with one finished mission."""
    status, outcome, _ = run_mission(project, [action(READ), action(REPORT)])
    assert (status, outcome["status"]) == (0, "COMPLETE")
    return project


def audit(folder: Path, *options: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """Exit status and answer."""
    told = run_cli(folder, "audit-mission", "m_cli", "--json", *options, **environ)
    assert "Traceback" not in told.stderr
    return told.returncode, json.loads(told.stdout)


def test_at_home_all_four_verdicts_pass(done: Path) -> None:
    """Key, anchor, files: nothing is left untold."""
    status, answer = audit(done)
    assert (status, answer["ok"]) == (0, True)
    assert answer["verdicts"] == dict.fromkeys(("integrity", "completeness", "projections", "claims"), "PASS")


def test_a_copied_folder_elsewhere(done: Path, tmp_path: Path) -> None:
    """Without the key the MAC is a warning in words, and so is the anchor; the key file settles the MAC."""
    copy = tmp_path / "elsewhere/copy"
    shutil.copytree(done, copy)
    (tmp_path / "elsewhere/home").mkdir()
    key = tmp_path / "home/.local/state/codex-oss/record.key"
    status, answer = audit(copy)
    checks = {check["name"]: check for check in answer["checks"]}
    assert (status, answer["ok"]) == (0, True)
    assert answer["verdicts"] == {"integrity": "WARN", "completeness": "WARN", "projections": "PASS", "claims": "PASS"}
    assert "There is no key here" in checks["log.mac"]["message"]
    assert "No anchor" in checks["log.anchor"]["message"]
    assert not (tmp_path / "elsewhere/home/.local").exists(), "an audit makes neither key nor folder"
    _, with_key = audit(copy, "--key", str(key))
    assert with_key["verdicts"]["integrity"] == "PASS"
    told = run_cli(copy, "audit-mission", "m_cli", "--key", str(tmp_path / "nothing"))
    assert (told.returncode != 0, "There is no key" in told.stderr, "Traceback" in told.stderr) == (True, True, False)


def test_a_file_that_changed_since_is_named(done: Path) -> None:
    """A warning with its path; the mission's claim stood on what was there."""
    (done / "app/retry.py").write_text("MAX_RETRIES = 6\n")
    status, answer = audit(done)
    (changed,) = [check for check in answer["checks"] if check["name"] == "evidence.changed"]
    assert (status, answer["verdicts"]["claims"], changed["status"]) == (0, "WARN", "WARN")
    assert "app/retry.py" in changed["message"]


def test_what_somebody_did_is_told_by_its_verdict(done: Path) -> None:
    """A line edited is integrity, an end cut off completeness, a file touched up projections; the exit status is 1."""
    (log,) = (done / ".codex-oss/runs").glob("*/events.jsonl")
    whole, (summary,) = log.read_bytes(), (done / ".codex-oss/missions").glob("*/summary.md")
    for data, verdict in (
        (whole.replace(b"MAX_RETRIES", b"MAX_RETRYES", 1), "integrity"),
        (b"".join(whole.splitlines(keepends=True)[:-1]), "completeness"),
        (b"", "completeness"),
    ):
        log.write_bytes(data)
        status, answer = audit(done)
        assert (status, answer["ok"], answer["verdicts"][verdict]) == (1, False, "FAIL"), verdict
    log.write_bytes(whole)
    summary.write_text("All is well.\n")
    status, answer = audit(done)
    assert [name for name, outcome in answer["verdicts"].items() if outcome == "FAIL"] == ["projections"]
    shutil.rmtree(log.parent)
    status, answer = audit(done)
    assert (status, answer["verdicts"]["completeness"]) == (1, "FAIL")


def test_a_log_whose_begin_is_damaged_is_said_by_every_verb(done: Path) -> None:
    """The mission is known by what its log claims; nothing of it is shown, and nobody goes on with it."""
    (log,) = (done / ".codex-oss/runs").glob("*/events.jsonl")
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0].replace(b"{", b"{ ", 1))
    for verb in (("show-summary",), ("mission", "watch"), ("mission", "resume"), ("audit-mission",)):
        told = run_cli(done, *verb, "m_cli")
        assert told.returncode in (1, 2), (verb, told.stdout)
        assert "does not verify" in told.stderr + told.stdout, (verb, told.stderr)
        assert "Traceback" not in told.stderr
    rows = json.loads(run_cli(done, "mission", "list", "--json").stdout)["missions"]
    assert [row["status"] for row in rows] == ["UNREADABLE"]
