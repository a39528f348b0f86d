"""The real Codex CLI, signed in with ChatGPT, whose OpenAI address is this bridge: GPT_MODEL_STRATEGY=passthrough."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import MISSION_MODEL, RAW_MODEL, RUN_TIMEOUT_S, clean_environ, find_client, make_project
from tests.clients.test_codex import handoff
from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action, text
from tests.fakes.gpt_backend import (
    ACCOUNT,
    GPT_MODEL,
    REFRESH_TOKEN,
    GptBackend,
    decoded,
    function_call,
    message,
)

pytestmark = [pytest.mark.client, pytest.mark.slow]

ROLE = "oss_scout"
AGENT = f"""
name = "{ROLE}"
description = "Read-only scout."
developer_instructions = "Pass the block on."
model = "{MISSION_MODEL}"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What `codex exec --json` printed."""

    exit_code: int
    events: tuple[dict[str, Any], ...]
    stderr: str

    @property
    def texts(self) -> list[str]:
        """Every closed assistant message."""
        return [item["text"] for item in self.items if item["type"] == "agent_message"]

    @property
    def items(self) -> list[dict[str, Any]]:
        """Every completed item."""
        return [event["item"] for event in self.events if event["type"] == "item.completed"]


def provider(bridge_url: str, key: str = LOCAL_KEY) -> str:
    """A provider of the user's own: the account's token as bearer, the local key beside it."""
    return f"""
model_provider = "codex_oss"

[model_providers.codex_oss]
name = "codex-oss bridge"
base_url = "{bridge_url}"
wire_api = "responses"
requires_openai_auth = true
http_headers = {{ "x-codex-oss-key" = "{key}" }}
"""


def set_up_codex(project: Path, bridge_url: str, backend: GptBackend, own: str = "") -> dict[str, str]:
    """A user who is signed in with ChatGPT and whose OpenAI address is the bridge; returns the environment.

    own: TOML instead of that address.
    """
    environ = clean_environ(project.parent / "user")
    home = project.parent / "user" / ".codex"
    (home / "agents").mkdir(parents=True, exist_ok=True)
    tokens = {"id_token": backend.token, "access_token": backend.token, "refresh_token": REFRESH_TOKEN}
    auth = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "last_refresh": datetime.now(UTC).isoformat()}
    (home / "auth.json").write_text(json.dumps({**auth, "tokens": {**tokens, "account_id": ACCOUNT}}))
    (home / "auth.json").chmod(0o600)
    lines = {
        "model": GPT_MODEL,
        **({} if own else {"openai_base_url": bridge_url}),
        "chatgpt_base_url": backend.base_url.replace("/v1", "/backend-api/"),
        "check_for_update_on_startup": False,
        "analytics.enabled": False,
    }
    trusted = f'[projects.{json.dumps(str(project))}]\ntrust_level = "trusted"\n'
    settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    (home / "config.toml").write_text(settings + own + trusted)
    (home / "agents" / f"{ROLE}.toml").write_text(AGENT)
    refresh = backend.base_url.replace("/v1", "/oauth/token")
    return environ | {"CODEX_HOME": str(home), "CODEX_REFRESH_TOKEN_URL_OVERRIDE": refresh}


def run_signed_in(project: Path, bridge_url: str, backend: GptBackend, prompt: str, *flags: str, own: str = "") -> Run:
    """One `codex exec`, bounded in time, in a process group of its own."""
    environ = set_up_codex(project, bridge_url, backend, own)
    command = [find_client("codex"), "exec", "--skip-git-repo-check", "--json", "-s", "read-only", *flags, "--", prompt]
    with subprocess.Popen(
        command,
        cwd=project,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            stdout, stderr = child.communicate()
    events = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]
    return Run(child.returncode, tuple(events), stderr)


@contextmanager
def passing_bridge(project: Path, backend: GptBackend, upstream: ChatUpstream) -> Iterator[BridgeProcess]:
    """The bridge with the strategy `passthrough`, its two backends on this machine."""
    placed = {
        "GPT_MODEL_STRATEGY": "passthrough",
        "CODEX_OSS_OPENAI_BASE_URL": backend.base_url,
        "CODEX_OSS_CHATGPT_BASE_URL": backend.chatgpt_url,
    }
    with running_bridge(project, upstream=upstream.base_url, **placed) as bridge:
        yield bridge


def test_a_text_turn_is_relayed_untouched(tmp_path: Path) -> None:
    """zstd body, credential and headers reach the backend as Codex sent them; its answer and headers reach Codex."""
    find_client("codex")
    project, calls = make_project(tmp_path), iter(range(9))

    def script(request: Request) -> Answer:
        if next(calls) == 0:
            return function_call("exec_command", {"cmd": "echo really-ran"}, call_id="call_1")
        return message("The answer is forty-two.")

    with (
        GptBackend(script) as backend,
        ChatUpstream([]) as upstream,
        passing_bridge(project, backend, upstream) as bridge,
    ):
        run = run_signed_in(project, bridge.base_url, backend, "What is the answer?")
        log = bridge.log.read_text()
    assert run.exit_code == 0, run.stderr
    assert run.texts == ["The answer is forty-two."]
    assert [item for item in run.items if item["type"] == "error"] == []
    first, second = backend.turns
    assert (first.path, first.headers["content-encoding"]) == ("/backend-api/codex/responses", "zstd")
    assert first.headers["authorization"] == f"Bearer {backend.token}"
    assert first.headers["chatgpt-account-id"] == ACCOUNT
    assert {"originator", "session-id", "thread-id", "x-codex-turn-metadata"} <= set(first.headers)
    assert decoded(first)["model"] == GPT_MODEL
    assert "What is the answer?" in json.dumps(decoded(first)["input"])
    assert "really-ran" in json.dumps(decoded(second)["input"])
    assert "x-codex-turn-state" not in first.headers
    assert second.headers["x-codex-turn-state"] == "state-of-the-turn"
    usage = next(event["usage"] for event in run.events if event["type"] == "turn.completed")
    assert (usage["input_tokens"], usage["cached_input_tokens"], usage["output_tokens"]) == (200, 128, 40)
    after = backend.requests[backend.requests.index(first) :]
    assert backend.of("/backend-api/codex/models")
    assert not [one for one in after if "/models" in one.path], "the tag in the answers is the one of the merged list"
    assert upstream.requests == []
    assert backend.token not in log


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_gpt_parent_spawns_a_mission(tmp_path: Path, version: str) -> None:
    """The agent is answered by our runtime with an open model; the parent gets its report; no key changes sides."""
    find_client("codex")
    project = make_project(tmp_path)

    def parent(request: Request) -> Answer:
        asked = decoded(request)
        outputs = [item for item in asked["input"] if item.get("type") == "function_call_output"]
        space = next(tool["name"] for tool in asked["tools"] if "spawn_agent" in json.dumps(tool.get("tools")))
        if not outputs:
            spawn = {"message": handoff(mission_id="from-a-gpt-parent"), "agent_type": ROLE}
            spawn |= {"task_name": "scout", "fork_turns": "none"} if version == "v2" else {}
            return function_call("spawn_agent", spawn, call_id="call_1", namespace=space)
        if len(outputs) == 1:
            wait: dict[str, Any] = {"timeout_ms": 30_000}
            if version == "v1":
                wait["targets"] = [json.loads(outputs[0]["output"])["agent_id"]]
            return function_call("wait_agent", wait, call_id="call_2", namespace=space)
        return message("The agent reported.")

    read = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": "courier/settings.py"}}
    report = {"status": "PARTIAL", "confidence": "LOW", "findings": [], "uncertainties": ["everything"]}
    answers = [action({**read, "reason": "The settings."})]
    answers += [action({"action_type": "final_report", "report": report})] * 3
    with (
        GptBackend(parent) as backend,
        ChatUpstream(answers) as upstream,
        passing_bridge(project, backend, upstream) as bridge,
    ):
        flags = ("--enable", "multi_agent_v2") if version == "v2" else ()
        run = run_signed_in(project, bridge.base_url, backend, "Delegate it.", *flags)
        log = bridge.log.read_text()
    assert run.exit_code == 0, run.stderr + log
    assert run.texts[-1] == "The agent reported."
    assert [item for item in run.items if item["type"] == "error"] == []
    assert len(backend.turns) == 3
    told = json.dumps(decoded(backend.turns[-1])["input"][-3:])
    assert "# Mission from-a-gpt-parent: PARTIAL" in told
    assert "run_id" in told
    assert (project / ".codex-oss" / "missions" / "from-a-gpt-parent" / "report.json").is_file()
    assert {decoded(turn)["model"] for turn in backend.turns} == {GPT_MODEL}
    assert len(upstream.chats) >= 2
    for request in backend.requests:
        shown = json.dumps(request.headers)
        assert UPSTREAM_KEY not in shown
        assert LOCAL_KEY not in shown
    for request in upstream.chats:
        assert request.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
        assert request.json["model"] == "kimi-k2.6"
        sent = json.dumps(request.headers) + request.body.decode()
        assert backend.token not in sent
        assert ACCOUNT not in sent


def test_an_expired_token_is_refreshed_by_codex(tmp_path: Path) -> None:
    """The backend's 401 reaches Codex as it is; Codex refreshes by itself and asks again."""
    find_client("codex")
    project = make_project(tmp_path)
    with (
        GptBackend(lambda _: message("Signed in again.")) as backend,
        ChatUpstream([]) as upstream,
        passing_bridge(project, backend, upstream) as bridge,
    ):
        backend.accepted = set()
        run = run_signed_in(project, bridge.base_url, backend, "Hello?")
    assert run.exit_code == 0, run.stderr
    assert run.texts == ["Signed in again."]
    assert len(backend.of("/oauth/token")) == 1
    assert backend.turns[-1].headers["authorization"] == f"Bearer {backend.new_token}"


def test_account_and_local_key_together(tmp_path: Path) -> None:
    """A provider of the user's own shows both: its agent needs nobody to vouch, and its parent is relayed."""
    find_client("codex")
    project = make_project(tmp_path)
    with (
        GptBackend(lambda _: message("From the native model.")) as backend,
        ChatUpstream([text("From the open model.")]) as upstream,
        passing_bridge(project, backend, upstream) as bridge,
    ):
        own = provider(bridge.base_url)
        raw = run_signed_in(project, bridge.base_url, backend, "Hello?", "-m", RAW_MODEL, own=own)
        native = run_signed_in(project, bridge.base_url, backend, "Hello?", own=own)
    assert (raw.texts, native.texts) == (["From the open model."], ["From the native model."])
    assert len(backend.of("/backend-api/codex/models")) >= 1
    assert "content-encoding" not in backend.turns[0].headers
    assert not any("x-codex-oss-key" in request.headers for request in backend.requests)
    assert not any(ACCOUNT in json.dumps(request.headers) for request in upstream.requests)
