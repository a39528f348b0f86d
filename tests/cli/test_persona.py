"""`codex-oss persona` and `codex-oss instructions`: files, answers, exit codes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from codex_oss.accounts.persona import CONTRACT
from codex_oss.cli.main import cli
from codex_oss.errors import RequestError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def run(*arguments: str, text: str | None = None) -> Result:
    """One call."""
    return CliRunner().invoke(cli, list(arguments), input=text)


def test_a_personality_is_written_and_can_be_named(home: Path) -> None:
    """Private, with the contract, found by its key afterwards."""
    made = run("persona", "Calm", "--tone", "Quiet. Never ask questions.", "--json")
    told = json.loads(made.stdout)
    path = home / ".config/codex-oss/personalities/calm.md"
    assert (made.exit_code, told["status"], told["path"]) == (0, "created", str(path))
    assert told["neutralised"] == [{"code": "never_asks", "line": "Never ask questions."}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(line in path.read_text() for line in CONTRACT)
    shown = json.loads(run("instructions", "show", "calm", "--json").stdout)
    assert (shown["kind"], shown["text"]) == ("personality", path.read_text())
    listed = json.loads(run("instructions", "list", "--json").stdout)["sets"]
    assert [row["name"] for row in listed][:2] == ["calm", "friendly"]


def test_an_existing_file_is_kept_unless_told_otherwise(home: Path, tmp_path: Path) -> None:
    """Somebody may have improved it."""
    out = tmp_path / "mine.md"
    out.write_text("edited by hand")
    kept = run("persona", "calm", "--tone", "quiet", "--out", str(out), "--json")
    assert json.loads(kept.stdout)["status"] == "kept"
    assert out.read_text() == "edited by hand"
    run("persona", "calm", "--tone", "quiet", "--out", str(out), "--overwrite")
    assert "quiet" in out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_text_makes_one_too(home: Path) -> None:
    """From stdin, with its own rules of size and domain."""
    made = run("persona", "sage", "--in", "-", "--style", "lean", "--domain", "audit", text="Speaks in short lines.\n")
    assert made.exit_code == 0, made.output
    text = (home / ".config/codex-oss/personalities/sage.md").read_text()
    assert "Speaks in short lines." in text or "left out" in made.output
    assert "evidence" in text


@pytest.mark.parametrize(
    "arguments", [("x",), ("x", "--in", "-", "--tone", "y"), ("x", "--in", "-"), ("../x", "--tone", "y")]
)
def test_what_makes_no_personality_is_asked_wrongly(home: Path, arguments: tuple[str, ...]) -> None:
    """Nothing said, both said, an empty text, no name."""
    assert isinstance(run("persona", *arguments, text="").exception, RequestError)
    assert not (home / ".config").exists()


def test_verify_looks_at_every_shipped_text(home: Path) -> None:
    """All as shipped here; the services' tests change one."""
    told = run("instructions", "verify", "--json")
    assert (told.exit_code, json.loads(told.stdout)["ok"]) == (0, True)
