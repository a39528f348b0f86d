"""Running the Codex CLI isolated: what it is given, what is read back, and that nothing outlives the run."""

from __future__ import annotations

import json
import os
import select
import stat
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from codex_oss.services.codex_exec import CodexTurn, prepare_scratch, render_config, run_codex


@pytest.fixture
def turn(tmp_path: Path) -> CodexTurn:
    """A turn in a working folder whose name needs quoting."""
    folder = tmp_path / 'work "quoted" ü'
    folder.mkdir()
    return CodexTurn("http://127.0.0.1:9/v1", "sk-test", "some-model", "say hello", folder, tmp_path / "scratch")


def program(tmp_path: Path, script: str) -> str:
    """A stand-in for codex."""
    path = tmp_path / "codex"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def message(text: str) -> str:
    """A line of `codex exec --json` that closes a message."""
    return json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": text}})


def test_the_configuration_parses_and_names_one_provider(turn: CodexTurn) -> None:
    """Whatever the folder is called, config.toml is TOML with our provider and the folder trusted."""
    config = tomllib.loads(render_config(turn, turn.scratch / "catalog.json"))
    assert config["model_providers"]["bridge"]["base_url"] == "http://127.0.0.1:9/v1"
    assert config["projects"][str(turn.folder)]["trust_level"] == "trusted"
    assert "sk-test" not in json.dumps(config)


def test_nothing_of_the_users_codex_is_in_reach(turn: CodexTurn, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME, CODEX_HOME and TMPDIR lie in the scratch folder; keys of the user stay outside."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-user")
    environ = prepare_scratch(turn)
    folders = [Path(environ[name]) for name in ("HOME", "CODEX_HOME", "TMPDIR")]
    assert all(folder.is_dir() and folder.is_relative_to(turn.scratch) for folder in folders)
    assert not Path(environ["CODEX_HOME"]).is_relative_to(environ["TMPDIR"])
    assert "OPENAI_API_KEY" not in environ


def test_messages_come_back_in_order_and_other_lines_are_read_over(turn: CodexTurn, tmp_path: Path) -> None:
    """Closed messages are seen as they arrive; noise, warnings and a last line without its end do no harm."""
    warning = json.dumps({"type": "item.completed", "item": {"type": "error", "message": "metadata not found"}})
    lines = ["not json", "[1]", warning, message("first"), message("second")]
    codex = program(tmp_path, f"printf '%s' '{chr(10).join(lines)}'")
    seen: list[str] = []
    run = run_codex(codex, turn, lambda event: seen.append(event.message) if event.message else None)
    assert [event.message for event in run.messages] == seen == ["first", "second"]
    assert run.failure == ""
    assert run.items("error")[0]["message"] == "metadata not found"


def test_a_failed_turn_says_why(turn: CodexTurn, tmp_path: Path) -> None:
    """`turn.failed` wins over the exit status, which wins over silence."""
    failed = json.dumps({"type": "turn.failed", "error": {"message": "no such model"}})
    assert run_codex(program(tmp_path, f"echo '{failed}'; exit 1"), turn).failure == "no such model"
    assert run_codex(program(tmp_path, "echo lost >&2; exit 3"), turn).failure == "exit status 3: lost"


def test_a_run_out_of_time_ends_with_all_its_children(turn: CodexTurn, tmp_path: Path) -> None:
    """At the time limit the whole group is gone, the program behind the launcher included."""
    codex = program(tmp_path, f"sleep 600 & echo $! > '{tmp_path}/pid'; echo '{message('reading')}'; wait")
    run = run_codex(codex, replace(turn, timeout_s=1.0))
    assert run.exit_code == 124
    assert [event.message for event in run.messages] == ["reading"]
    child = int((tmp_path / "pid").read_text())
    try:
        handle = os.pidfd_open(child)
    except ProcessLookupError:
        return  # gone and reaped
    try:
        # The kill was sent before the run returned; the handle becomes readable when the kernel has carried it out.
        assert select.select([handle], [], [], 10)[0]
    finally:
        os.close(handle)


def test_the_prompt_cannot_be_taken_for_an_option(turn: CodexTurn, tmp_path: Path) -> None:
    """A prompt that begins with dashes arrives as the prompt."""
    codex = program(tmp_path, 'for last; do :; done; printf \'{"type":"x","last":"%s"}\\n\' "$last"')
    run = run_codex(codex, replace(turn, prompt="--version"))
    assert run.events[0].value["last"] == "--version"
