"""`codex-oss doctor --sandbox`: what it tells, and when it is not content."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from codex_oss.cli import doctor_sandbox
from codex_oss.cli.main import cli
from codex_oss.services.sandbox import LADDER
from codex_oss.services.sandbox_attacks import PROGRAMS
from codex_oss.services.sandbox_proofs import Proof


def proofs(held: bool | None) -> list[Proof]:
    """The result of every attack, all alike."""
    return [Proof(name, tries, held, "made up") for name, (_, tries) in PROGRAMS.items()]


def test_json_names_each_level_and_each_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The level that commands get is named, and every attack at every level with its result."""
    monkeypatch.setattr(doctor_sandbox, "prove", lambda level, environ: proofs(held=True))
    monkeypatch.setattr(doctor_sandbox, "level_problem", lambda level: "")
    monkeypatch.setattr(doctor_sandbox, "probe_sandbox", lambda: "bwrap")
    done = CliRunner().invoke(cli, ["doctor", "--sandbox", "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (told["default"], told["healthy"]) == ("bwrap", True)
    assert [level["level"] for level in told["levels"]] == list(LADDER)
    assert [proof["name"] for proof in told["levels"][0]["proofs"]] == list(PROGRAMS)


@pytest.mark.parametrize("held", [False, None])
def test_a_proof_that_does_not_hold_is_a_failure(held: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that could not be tried: nobody knows then. A weaker level's failure is only told."""
    monkeypatch.setattr(doctor_sandbox, "level_problem", lambda level: "")
    monkeypatch.setattr(doctor_sandbox, "probe_sandbox", lambda: "bwrap")
    monkeypatch.setattr(doctor_sandbox, "prove", lambda level, environ: proofs(held if level == "bwrap" else True))
    assert CliRunner().invoke(cli, ["doctor", "--sandbox"]).exit_code == 1
    monkeypatch.setattr(doctor_sandbox, "prove", lambda level, environ: proofs(True if level == "bwrap" else held))
    assert CliRunner().invoke(cli, ["doctor", "--sandbox"]).exit_code == 0


def test_no_level_at_all_is_a_failure_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that commands are refused, and what to install."""
    monkeypatch.setattr(doctor_sandbox, "level_problem", lambda level: "made up")
    monkeypatch.setattr(doctor_sandbox, "probe_sandbox", lambda: "none")
    done = CliRunner().invoke(cli, ["doctor", "--sandbox"])
    assert done.exit_code == 1
    assert "commands are refused" in done.output
    assert "bubblewrap" in done.output


def test_sandbox_is_asked_alone() -> None:
    """Together with another question it is asked wrongly."""
    assert CliRunner().invoke(cli, ["doctor", "--sandbox", "--network"]).exit_code != 0


def test_nothing_is_left_in_the_home(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proofs remove what they made, for real."""
    monkeypatch.setenv("HOME", str(tmp_path))
    done = CliRunner().invoke(cli, ["doctor", "--sandbox", "--json"])
    assert json.loads(done.stdout)["levels"], done.output
    assert os.listdir(str(tmp_path)) == []
