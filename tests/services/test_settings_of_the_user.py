"""What a project may not say for its user: to loosen the sandbox, to keep requests; and what the user's word does."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_oss.errors import ConfigInvalid
from codex_oss.services import agent_shell
from codex_oss.services.agent_shell import UNENCLOSED, ProjectShell
from codex_oss.services.settings import read_config


@pytest.mark.parametrize("line", ['sandbox = "optional"', 'sandbox_readable = ["/root"]', "snapshots = true"])
def test_a_project_cannot_loosen_anything(tmp_path: Path, line: str) -> None:
    """The same line is fine in the user's own file."""
    key = line.partition(" ")[0]
    for folder in (tmp_path / "project/.codex-oss", tmp_path / "home/.config/codex-oss"):
        folder.mkdir(parents=True)
    (tmp_path / "project/.codex-oss/config.toml").write_text(line)
    with pytest.raises(ConfigInvalid, match=f"{key}: a project's file cannot"):
        read_config(tmp_path / "project", {}, {"HOME": str(tmp_path / "home")})
    (tmp_path / "project/.codex-oss/config.toml").unlink()
    (tmp_path / "home/.config/codex-oss/config.toml").write_text(line)
    assert getattr(read_config(tmp_path / "project", {}, {"HOME": str(tmp_path / "home")}), key)


async def test_the_shell_says_when_nothing_encloses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`none` where that is refused; in words where the user allowed it; a level that works is used all the same."""
    monkeypatch.setattr(agent_shell, "probe_sandbox", lambda: "none")
    assert await ProjectShell(tmp_path, {}).level() == "none"
    assert await ProjectShell(tmp_path, {}, allow_none=True).level() == UNENCLOSED
    monkeypatch.setattr(agent_shell, "probe_sandbox", lambda: "landlock")
    assert await ProjectShell(tmp_path, {}, allow_none=True).level() == "landlock"
