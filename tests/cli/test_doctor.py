"""`doctor`: what each check says of a good, a bare and a broken set-up, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from codex_oss.cli.doctor_checks import BRIDGE_CHECKS, CHECKS, Check, Finding, look_around, passed
from codex_oss.cli.doctor_clients import CLIENT_CHECKS
from codex_oss.cli.doctor_mcp import MCP_CHECKS
from tests.fakes.bridge_process import running_bridge

KEY = "synthetic-upstream-key"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project; HOME is beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def environment(project: Path, **more: str) -> dict[str, str]:
    """A clean environment with one folder of programs."""
    programs = project.parent / "bin"
    programs.mkdir(exist_ok=True)
    return {"PATH": str(programs), "HOME": str(project.parent), **more}


def program(project: Path, name: str, prints: str) -> None:
    """Put a program on PATH that prints one line."""
    path = project.parent / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)


def run(project: Path, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the CLI."""
    done = subprocess.run(
        [sys.executable, "-m", "codex_oss", *arguments],
        capture_output=True,
        text=True,
        env=environment(project, **environ),
        cwd=project,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def doctor(project: Path, *arguments: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the object of `doctor --json`, with its checks by name."""
    code, stdout, _ = run(project, "doctor", "--json", *arguments, **environ)
    told = json.loads(stdout)
    return code, {**told, "by_name": {check["name"]: check for check in told["checks"]}}


def look(check_name: str, project: Path, **environ: str) -> list[Finding]:
    """The findings of one check, without a process of its own."""
    tables = (*CHECKS, *BRIDGE_CHECKS, *CLIENT_CHECKS, *MCP_CHECKS)
    check = next(check for check in tables if check.name == check_name)
    return check.run(look_around(project, environment(project, **environ), offline=True))


def told(findings: list[Finding]) -> dict[str, str]:
    """Name to status."""
    return {finding.name: finding.status for finding in findings}


def test_a_bare_project_is_healthy_with_warnings(project: Path) -> None:
    """What is merely absent is a warning with a fix; the exit status is 0; nothing is written."""
    code, report = doctor(project)
    assert (code, report["healthy"], report["failed"], report["project_root"]) == (0, True, 0, str(project))
    assert report["passed"] + report["warnings"] == len(report["checks"])
    assert all(check["fix"] for check in report["checks"] if check["status"] == "WARN")
    assert report["by_name"]["bridge.running"]["status"] == "WARN"
    assert "OPENCODE_GO_API_KEY is not set" in report["by_name"]["upstream.key.OPENCODE_GO_API_KEY"]["message"]
    assert list(project.iterdir()) == []


def test_an_installed_project_with_a_running_bridge_passes(project: Path) -> None:
    """After install every check of clients and bridge passes, and the key is never shown."""
    program(project, "codex", "codex-cli 0.169.0")
    program(project, "opencode", "1.18.33")
    (project / ".codex-oss").mkdir(mode=0o700)
    with running_bridge(project) as bridge:
        settings = {"PROXY_API_KEY": "sk-local-test", "OPENCODE_GO_API_KEY": KEY}
        assert run(project, "install", **settings)[0] == 0
        code, report = doctor(project, **settings)
    assert code == 0
    warned = [name for name, check in report["by_name"].items() if check["status"] != "PASS"]
    assert set(warned) <= {"search.rg", "git.present", "local_model.present"}
    assert str(bridge.port) in report["by_name"]["bridge.running"]["message"]
    assert KEY not in json.dumps(report)


def test_the_table_for_people_names_each_fix(project: Path) -> None:
    """Every warning is followed by its fix, and the last line counts."""
    code, stdout, _ = run(project, "doctor", "--offline")
    assert code == 0
    assert stdout.count("fix: ") == stdout.count("WARN  ")
    assert "bridge.running" not in stdout
    assert stdout.splitlines()[-1].endswith(" 0 failed")


def test_every_problem_of_the_configuration_is_shown(project: Path) -> None:
    """One FAIL lists all bad values, and the other checks still run."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/config.toml").write_text("port = 'x'\nhost = 3\nsurprise = 1\n")
    code, report = doctor(project)
    assert (code, report["healthy"]) == (1, False)
    message = report["by_name"]["config.parses"]["message"]
    assert all(key in message for key in ("port", "host", "surprise"))
    assert report["by_name"]["models.parse"]["status"] == "PASS"


def test_a_line_that_is_no_pattern_fails(project: Path) -> None:
    """Files that hide or protect paths are read as a mission would read them."""
    folder = project / ".codex-oss"
    folder.mkdir(mode=0o700)
    (found,) = look("project.patterns", project)
    assert found.status == "PASS"
    (folder / "critical-paths").write_text("billing/\n*.sql\n")
    (found,) = look("project.patterns", project)
    assert (found.status, found.message) == ("PASS", "patterns: 2 in .codex-oss/critical-paths")
    (folder / "ignore").write_text("ok\n!\n")
    (found,) = look("project.patterns", project)
    assert (found.status, "line 2" in found.message) == ("FAIL", True)


def test_a_broken_models_file_fails(project: Path) -> None:
    """A bad profile is named with file and key."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text("[profiles.x]\ncontext_tokens = 1\n")
    (found,) = look("models.parse", project)
    assert found.status == "FAIL"
    assert "profiles.x.context_tokens" in found.message


def test_state_that_others_can_read_is_a_warning(project: Path) -> None:
    """Records for everybody's eyes are named; closing the outer folder is enough."""
    (project / ".codex-oss").mkdir(mode=0o755)
    (project / ".codex-oss/runs").mkdir(mode=0o755)
    (found,) = look("state.private", project)
    assert (found.status, "runs" in found.message) == ("WARN", True)
    (project / ".codex-oss").chmod(0o700)
    assert told(look("state.private", project)) == {"state.private": "PASS"}


def test_a_state_folder_that_is_none_fails(project: Path) -> None:
    """A file or link in its place is named."""
    (project / ".codex-oss").symlink_to(project.parent)
    assert told(look("project.writable", project)) == {"project.writable": "FAIL"}


def test_a_key_is_found_by_the_variable_of_each_profile(project: Path) -> None:
    """Each variable is its own finding; an upstream on this machine needs none."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text(
        '[profiles.a]\nmodel = "a"\nkey_env = "A_KEY"\ntiers = ["A2"]\n'
        '[profiles.b]\nmodel = "b"\nkey_env = "B_KEY"\ntiers = ["A2"]\nbase_url = "http://127.0.0.1:1/v1"\n'
    )
    found = told(look("upstream.key", project, A_KEY=KEY))
    assert found["upstream.key.A_KEY"] == "PASS"
    assert found["upstream.key.B_KEY"] == "PASS"
    assert found["upstream.key.OPENCODE_GO_API_KEY"] == "WARN"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", {"config.provider_block": "WARN"}),
        ("broken = ", {"config.provider_block": "FAIL"}),
        (("http://127.0.0.1:4000/v1", "sk-local-codex-bridge", "responses"), {"config.provider_block": "PASS"}),
        (("http://127.0.0.1:9/v1", "sk-local-codex-bridge", "responses"), {"config.provider_block": "WARN"}),
        (("http://127.0.0.1:4000/v1", "sk-other", "responses"), {"config.provider_block": "FAIL"}),
        (("nonsense", "sk-other", "responses"), {"config.provider_block": "FAIL"}),
        (
            ("http://127.0.0.1:4000/v1", "sk-local-codex-bridge", "chat"),
            {"config.provider_block": "PASS", "config.wire_api": "FAIL"},
        ),
    ],
)
def test_codex_provider(project: Path, config: str | tuple[str, str, str], expected: dict[str, str]) -> None:
    """A provider that leads elsewhere, with another key or another protocol, is found out."""
    (project.parent / ".codex").mkdir()
    if isinstance(config, tuple):
        base_url, key, wire_api = config
        config = (
            f'[model_providers.opencode_bridge]\nbase_url = "{base_url}"\n'
            f'auth = {{ command = "echo", args = ["{key}"] }}\nwire_api = "{wire_api}"\n'
        )
    (project.parent / ".codex/config.toml").write_text(config)
    assert told(look("config.provider_block", project)) == expected


@pytest.mark.parametrize("second", ['auth = { command = "echo" }', 'env_key = "NAME"'])
def test_two_ways_to_a_key_fail(project: Path, second: str) -> None:
    """Codex refuses the whole configuration then, so doctor says it first."""
    (project.parent / ".codex").mkdir()
    table = f'[model_providers.opencode_bridge]\nexperimental_bearer_token = "x"\n{second}\n'
    (project.parent / ".codex/config.toml").write_text(table)
    (found,) = look("config.provider_block", project)
    assert (found.status, "experimental_bearer_token" in found.message) == ("FAIL", True)


def test_an_older_form_of_our_table_is_a_warning(project: Path) -> None:
    """It works, but Codex does not learn our models with it; install mends that."""
    (project.parent / ".codex").mkdir()
    table = (
        '[model_providers.opencode_bridge]\nbase_url = "http://127.0.0.1:4000/v1"\nwire_api = "responses"\n'
        'experimental_bearer_token = "sk-local-codex-bridge"\n'
    )
    (project.parent / ".codex/config.toml").write_text(table)
    found = look("config.provider_block", project)
    assert told(found) == {"config.provider_block": "PASS", "config.models": "WARN"}
    assert found[-1].fix == "codex-oss install"


def test_a_bridge_for_every_session_is_a_warning(project: Path) -> None:
    """A GPT parent would be refused, so the user is told."""
    (project.parent / ".codex").mkdir()
    (project.parent / ".codex/config.toml").write_text('model_provider = "opencode_bridge"\n')
    assert told(look("config.parent_provider_safe", project)) == {"config.parent_provider_safe": "WARN"}


def test_an_agent_with_an_unknown_model_fails(project: Path) -> None:
    """Each agent of ours is held against the models; agents on other models are none of our business."""
    folder = project / ".codex/agents"
    folder.mkdir(parents=True)
    for name, model in (("good", "mission-a3-kimi"), ("bad", "mission-a3-nobody"), ("theirs", "gpt-5.5")):
        (folder / f"{name}.toml").write_text(f'model = "{model}"\n')
    (folder / "broken.toml").write_text("x =")
    assert told(look("agents", project)) == {
        "agents.found": "PASS",
        "agents.good.model": "PASS",
        "agents.bad.model": "FAIL",
        "agents.broken.model": "FAIL",
    }


def test_handoff_tags_in_the_advice_fail(project: Path) -> None:
    """A parent that quotes AGENTS.md must not open a mission."""
    (project / "AGENTS.md").write_text("<!-- codex-oss:start -->\nuse <OSS_HANDOFF_JSON>\n<!-- codex-oss:end -->\n")
    assert told(look("agreements", project)) == {
        "agreements.exists": "PASS",
        "agreements.no_embedded_mission_examples": "FAIL",
    }


@pytest.mark.parametrize(
    ("line", "status"), [("codex-cli 0.169.3", "PASS"), ("codex-cli 1.0.0", "WARN"), ("?", "WARN")]
)
def test_codex_version(project: Path, line: str, status: str) -> None:
    """A version whose habits were not observed is a warning, never a failure."""
    program(project, "codex", line)
    assert told(look("codex", project))["codex.version"] == status


def test_a_check_that_breaks_is_a_finding(project: Path) -> None:
    """A file that is no text fails its own check and stops no other."""
    (project / "AGENTS.md").write_bytes(b"\xff\xfe")
    (found,) = look("agreements", project)
    assert (found.name, found.status) == ("agreements", "FAIL")
    assert "could not be checked" in found.message


def test_names_are_filled_in() -> None:
    """A finding without a name of its own carries the name of its check."""
    scene = look_around(Path("/"), {"HOME": "/nonexistent"}, offline=True)
    assert Check("some.check", lambda scene: iter([passed("fine")])).run(scene)[0].name == "some.check"


def test_offline_and_network_exclude_each_other(project: Path) -> None:
    """Asked wrongly: one sentence, a hint, status 2."""
    code, _, stderr = run(project, "doctor", "--offline", "--network")
    assert (code, "exclude each other" in stderr, "hint: " in stderr) == (2, True, True)


Seen = list[tuple[str, str | None]]


@pytest.fixture
def upstream() -> Iterator[Callable[[int], tuple[str, Seen]]]:
    """A factory of upstreams which answer every GET with one status, and what they saw."""
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int) -> tuple[str, Seen]:
        seen: Seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, self.headers.get("Authorization")))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1", seen

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "expected"), [(200, "PASS"), (401, "FAIL"), (404, "WARN")])
def test_the_network_is_asked_only_when_told(
    project: Path, upstream: Callable[[int], tuple[str, Seen]], status: int, expected: str
) -> None:
    """`--network` sends one GET with the key to each upstream; without it nothing is sent."""
    base_url, seen = upstream(status)
    settings = {"UPSTREAM_BASE": base_url, "OPENCODE_GO_API_KEY": KEY}
    doctor(project, **settings)
    assert seen == []
    _, report = doctor(project, "--network", **settings)
    name = f"upstream.models.{base_url.removeprefix('http://').removesuffix('/v1')}"
    assert report["by_name"][name]["status"] == expected
    assert seen == [("/v1/models", f"Bearer {KEY}")]
    assert KEY not in json.dumps(report)


def test_the_network_check_gives_no_key_to_the_project(project: Path) -> None:
    """An address that the project placed elsewhere is not asked with the user's key."""
    (project / ".codex-oss").mkdir()
    lines = [f"[profiles.{n}]\ntiers = []\n" for n in ("deepseek", "flash")]
    (project / ".codex-oss/models.toml").write_text(
        "".join(lines) + '[profiles.kimi]\nbase_url = "http://upstream.invalid/v1"\n'
    )
    _, report = doctor(project, "--network", UPSTREAM_BASE="http://127.0.0.1:9/v1", OPENCODE_GO_API_KEY=KEY)
    assert "gets no key" in report["by_name"]["upstream.models.upstream.invalid"]["message"]


def test_path_is_that_of_the_environment(project: Path) -> None:
    """Programs are looked for where the user's shell would find them."""
    assert told(look("git.present", project)) == {"git.present": "WARN"}
    assert os.environ["PATH"] != environment(project)["PATH"]
