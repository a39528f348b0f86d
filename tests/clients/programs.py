"""The real clients and the bridge as processes, isolated from the user's own set-up.

Rules that hold here:

1. Only the pinned clients in `.cache/clients` are driven (`bin/test CLIENTS` brings them); absent, the test skips.
2. Each run has its own HOME, XDG folders and temporary folder, no stdin, a time limit and a process group that ends
   with it; the scripted upstream bounds its answers, so that a client that loops fails.
3. The bridge is the real one, started as a user would: `codex-oss up --port 0`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codex_oss.services.child_process import run_child
from codex_oss.services.codex_exec import KEPT_VARIABLES, CodexTurn
from tests.official.tap import tap_environment

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / ".cache" / "clients"
LOCAL_KEY = "sk-local-client-test"
UPSTREAM_KEY = "sk-upstream-client-test"
RAW_MODEL = "ocg-kimi-k2.6"
MISSION_MODEL = "mission-a3-kimi"
RUN_TIMEOUT_S = 90.0


def find_client(name: str) -> str:
    """Path of a pinned client; skips the test when it is absent."""
    path = CLIENTS / "node_modules" / ".bin" / name
    pins, installed = Path(__file__).with_name("package.json"), CLIENTS / "installed.json"
    if not (path.exists() and installed.exists() and installed.read_bytes() == pins.read_bytes()):
        pytest.skip(f"the real client {name} is not installed (npm brings it: bin/test CLIENTS)")
    return str(path)


@contextmanager
def run_bridge(project: Path, upstream_base: str, upstream_key: str = UPSTREAM_KEY) -> Iterator[str]:
    """The bridge of *project* on a free port, asking *upstream_base*; yields its base URL."""
    environ = (
        clean_environ(project.parent / "bridge-home")
        | tap_environment()
        | {
            "UPSTREAM_BASE": upstream_base,
            "OPENCODE_GO_API_KEY": upstream_key,
            "PROXY_API_KEY": LOCAL_KEY,
        }
    )
    command = [sys.executable, "-m", "codex_oss", "up", "--port", "0", "--project", str(project)]
    with run_child(command, environ=environ, start_timeout_s=30) as child:
        assert child.address.startswith("http://127.0.0.1:")
        assert child.address.endswith("/v1")
        yield child.address


def clean_environ(home: Path) -> dict[str, str]:
    """An environment with nothing of the user's in it, every folder below *home*."""
    folders = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        "XDG_CACHE_HOME": home / "cache",
        "XDG_STATE_HOME": home / "state",
        "TMPDIR": home / "tmp",
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    kept = (*KEPT_VARIABLES, "COVERAGE_FILE", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    return environ | {name: str(folder) for name, folder in folders.items()}


def make_project(parent: Path) -> Path:
    """A small project in a git repository of its own."""
    project = parent / "project"
    (project / "courier").mkdir(parents=True)
    (project / "courier" / "settings.py").write_text('"""Defaults."""\n\nRETRY_LIMIT = 5\n')
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    return project


def codex_turn(base_url: str, project: Path, model: str, prompt: str, sandbox: str = "read-only") -> CodexTurn:
    """A turn of the Codex CLI on *project*."""
    scratch = project.parent / "codex-scratch"
    return CodexTurn(base_url, LOCAL_KEY, model, prompt, project, scratch, sandbox, RUN_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class OpenCodeRun:
    """What `opencode run --format json` printed. exit_code 124: out of time."""

    exit_code: int
    events: tuple[dict[str, Any], ...]
    stderr_tail: str

    def parts(self, kind: str) -> list[dict[str, Any]]:
        """The `part` of every event of one type, e.g. `text` or `tool_use`."""
        return [event["part"] for event in self.events if event.get("type") == kind]


def run_opencode(
    opencode: str,
    base_url: str,
    project: Path,
    prompt: str,
    model: str = RAW_MODEL,
    *,
    package: str = "@ai-sdk/openai",
    timeout_s: float = RUN_TIMEOUT_S,
    more: Mapping[str, Any] | None = None,
    key: str = LOCAL_KEY,
    session: str = "",
    home: Path | None = None,
) -> OpenCodeRun:
    """Run one prompt through an OpenCode provider.

    package: chooses its protocol, Responses unless given. more: further keys of the configuration. session: the one to
    continue; a new one unless given. home: where OpenCode keeps its things; beside the project unless given. A used one
    starts twice as fast.
    """
    config = {
        **(more or {}),
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "model": f"bridge/{model}",
        "small_model": f"bridge/{model}",
        "permission": {"bash": "allow", "edit": "allow"},
        "provider": {
            "bridge": {
                "npm": package,
                "name": "Bridge",
                "options": {"baseURL": base_url, "apiKey": key},
                "models": {model: {"name": model, "tool_call": True, "limit": {"context": 100_000, "output": 8_000}}},
            }
        },
    }
    (project / "opencode.json").write_text(json.dumps(config))
    off = ("AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD")
    environ = clean_environ(home or project.parent / "opencode-home") | {
        f"OPENCODE_DISABLE_{name}": "1" for name in off
    }
    continued = ["--session", session] if session else []
    command = [opencode, "run", "--format", "json", "-m", f"bridge/{model}", *continued, prompt]
    with subprocess.Popen(
        command,
        cwd=project,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=timeout_s)
            code = child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            stdout, stderr = child.communicate()
            code = 124
    events = [json.loads(line) for line in stdout.splitlines() if line.startswith(b"{")]
    return OpenCodeRun(code, tuple(events), stderr.decode("utf-8", "replace")[-2000:])
