"""`install` and `uninstall` as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

CONFIG = '# mine\nmodel = "gpt-5.5"\n\n[model_providers.other]\nname = "x"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project, and a user with a Codex configuration of his own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex/config.toml").write_text(CONFIG)
    (folder / "AGENTS.md").write_text("# Rules\n")
    (folder / "opencode.json").write_text('{\n  "model": "a/b" // mine\n}\n')
    return folder


def run(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the CLI in a clean environment whose HOME is beside the project."""
    env = {"PATH": os.environ["PATH"], "HOME": str(project.parent), **environ}
    command = [sys.executable, "-m", "codex_oss", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=project, timeout=60, check=False)


def run_json(project: Path, *arguments: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the one object on stdout."""
    done = run(project, *arguments, "--json", **environ)
    return done.returncode, json.loads(done.stdout)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dry_run_shows_and_changes_nothing(project: Path) -> None:
    """The diff is there, the files are as before."""
    before = files(project.parent)
    done = run(project, "install", "--dry-run")
    assert done.returncode == 0
    assert "+[model_providers.opencode_bridge]" in done.stdout
    assert files(project.parent) == before
    assert sorted(path.name for path in project.iterdir()) == ["AGENTS.md", "opencode.json"]


def test_install_connects_and_uninstall_gives_back(project: Path) -> None:
    """Codex and OpenCode find the bridge; twice is once; afterwards everything is as before, folders included."""
    before = files(project.parent)
    code, told = run_json(project, "install", "--port", "4321")
    assert (code, told["ok"], told["base_url"]) == (0, True, "http://127.0.0.1:4321/v1")
    config = tomllib.loads((project.parent / ".codex/config.toml").read_text())
    assert config["model_providers"]["opencode_bridge"]["base_url"] == "http://127.0.0.1:4321/v1"
    assert (config["model"], "model_provider" in config) == ("gpt-5.5", False)
    provider = json.loads((project / "opencode.json").read_text().replace("// mine", ""))["provider"]["codex-oss"]
    assert provider["npm"] == "@ai-sdk/openai"
    assert {"ocg-kimi-k2.6", "mission-a3-kimi"} <= provider["models"].keys()
    servers = json.loads((project / "opencode.json").read_text().replace("// mine", ""))["mcp"]
    assert servers["codex-oss"]["command"][-1] == config["mcp_servers"]["codex-oss"]["args"][-1] == "mcp"
    assert ".codex-oss/*" in (project / ".gitignore").read_text()
    assert run(project, "install", "--port", "4321").stdout == "nothing to do: everything is in place\n"
    code, told = run_json(project, "uninstall")
    assert (code, {one["ending"] for one in told["files"]}) == (0, {"restored", "removed"})
    assert files(project.parent) == before
    assert not (project / ".codex").exists()
    assert not (project / ".codex-oss").exists()
    assert run(project, "uninstall").stdout == "nothing to do: nothing is installed here\n"


def test_the_advice_never_holds_the_handoff_tags(project: Path) -> None:
    """Nothing that install writes could open a mission by being quoted."""
    run(project, "install")
    assert not [name for name, data in files(project).items() if b"OSS_HANDOFF_JSON" in data]


def test_user_scope_leaves_the_project_alone(project: Path) -> None:
    """Everything lies in the user's folders, the manifest too."""
    before = files(project)
    assert run(project, "install", "--scope", "user").returncode == 0
    assert files(project) == before
    assert (project.parent / ".config/opencode/opencode.json").is_file()
    assert (project.parent / ".codex/agents/oss-kimi-investigator.toml").is_file()
    assert (project.parent / ".config/codex-oss/install/user/manifest.json").is_file()
    assert run(project, "uninstall", "--scope", "user").returncode == 0
    assert not (project.parent / ".config").exists()


def test_the_server_can_be_left_out(project: Path) -> None:
    """`--no-mcp` connects both clients without it."""
    code, told = run_json(project, "install", "--no-mcp")
    assert code == 0
    assert "mcp_servers" not in told["diff"]
    assert '"mcp"' not in (project / "opencode.json").read_text()
    assert "opencode_bridge" in (project.parent / ".codex/config.toml").read_text()


def test_a_server_of_that_name_is_reported_and_left(project: Path) -> None:
    """The user's own entry stays through install and uninstall; everything else is done, and the exit status is 1."""
    own = CONFIG + '\n[mcp_servers.codex-oss]\ncommand = "mine" # keep\n'
    (project.parent / ".codex/config.toml").write_text(own)
    done = run(project, "install")
    assert done.returncode == 1
    assert "did not write" in done.stderr
    assert "--no-mcp" in done.stderr
    edited = (project.parent / ".codex/config.toml").read_text()
    assert edited.startswith(own)
    assert "opencode_bridge" in edited
    (project.parent / ".codex/config.toml").write_text(edited + "# later\n")
    assert run(project, "install", "--no-mcp").returncode == 0
    assert run(project, "uninstall").returncode == 0
    assert (project.parent / ".codex/config.toml").read_text() == own + "# later\n"


def test_a_committed_file_names_no_key_and_a_new_key_is_followed(project: Path) -> None:
    """OpenCode's file refers to the private file; Codex' own file holds the key, in the server too."""
    for key in ("sk-synthetic-own-key", "sk-synthetic-next-key"):
        assert run(project, "install", PROXY_API_KEY=key).returncode == 0
        server = tomllib.loads((project.parent / ".codex/config.toml").read_text())["mcp_servers"]["codex-oss"]
        assert server["env"] == {"PROXY_API_KEY": key}
        text = (project / "opencode.json").read_text()
        assert key not in text
        assert '"PROXY_API_KEY": "{file:./.codex-oss/install/local_key}"' in text


@pytest.mark.parametrize(("flag", "present"), [("--no-codex", "opencode.json"), ("--no-opencode", "config.toml")])
def test_one_client_only(project: Path, flag: str, present: str) -> None:
    """The other one's files are not touched."""
    _, told = run_json(project, "install", flag)
    names = {Path(path).name for path in told["changed"]}
    assert names & {"opencode.json", "config.toml"} == {present}


def test_a_key_of_ones_own_stays_out_of_the_project_file(project: Path) -> None:
    """opencode.json may be committed: it refers to a private file, and the screen never shows the key."""
    done = run(project, "install", PROXY_API_KEY="sk-synthetic-own-key")
    assert "sk-synthetic-own-key" not in done.stdout + done.stderr
    assert b"sk-synthetic-own-key" not in (project / "opencode.json").read_bytes()
    key = project / ".codex-oss/install/local_key"
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("sk-synthetic-own-key", 0o600)
    assert run(project, "uninstall").returncode == 0
    assert not (project / ".codex-oss").exists()


def test_a_file_that_cannot_be_edited_is_named(project: Path) -> None:
    """One broken file stops nothing else: exit 1, the snippet as hint, no traceback."""
    (project / "opencode.json").write_text("{ broken")
    done = run(project, "install")
    assert done.returncode == 1
    assert "cannot be edited safely" in done.stderr
    assert '"@ai-sdk/openai"' in done.stderr
    assert "Traceback" not in done.stderr
    assert (project / "opencode.json").read_text() == "{ broken"
    assert (project / ".codex/agents").is_dir()


def test_a_file_of_the_users_own_is_left_alone(project: Path) -> None:
    """An agent of the same name that we did not write stays as it is."""
    path = project / ".codex/agents/oss-flash-context.toml"
    path.parent.mkdir(parents=True)
    path.write_text('name = "mine"\n')
    done = run(project, "install")
    assert done.returncode == 1
    assert "was not written by codex-oss" in done.stderr
    assert path.read_text() == 'name = "mine"\n'


def test_a_bad_configuration_is_one_sentence(project: Path) -> None:
    """Nothing is installed from a configuration that cannot be read."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/config.toml").write_text("port = 'x'\n")
    done = run(project, "install")
    assert done.returncode == 2
    assert "port" in done.stderr
    assert not (project / ".codex").exists()
