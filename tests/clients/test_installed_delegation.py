"""A GPT parent that keeps its own provider and login delegates after `codex-oss install`, and after nothing else.

HOME is empty before install. The parent's model is a stand-in of the GPT backend (Codex) or of a Responses provider of
the user's own (OpenCode); the mission runs in the bridge of the project, on a stand-in of an open model.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import UPSTREAM_KEY, clean_environ, find_client, make_project, run_bridge
from tests.clients.test_delegation import ASKED, check_refs, delegate
from tests.clients.test_installed import environment, events, install, run
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, error
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


def offered_by_codex(request: Request, name: str) -> str:
    """The namespace that offers a tool, as the GPT model sees it."""
    spaces = [tool for tool in decoded(request).get("tools", []) if tool.get("type") == "namespace"]
    return next((space["name"] for space in spaces if any(tool["name"] == name for tool in space["tools"])), "")


def results_in(request: Request) -> list[str]:
    """What tools told the GPT model, in order."""
    items = decoded(request).get("input", []) if request.body else []
    return [json.dumps(item["output"]) for item in items if item.get("type") == "function_call_output"]


def gpt_parent(request: Request) -> Answer:
    """A GPT model that delegates once and repeats the verdict; it speaks no WebSocket."""
    if not request.body:
        return error(426, "no WebSocket here")
    results = results_in(request)
    if results:
        return message("The delegate reports: " + ("COMPLETE" if "COMPLETE" in results[-1] else results[-1]))
    space = offered_by_codex(request, "delegate")
    if not space:
        return message("no delegate is offered")
    return function_call("delegate", ASKED, call_id="call_1", namespace=space)


def told_to(backend: GptBackend) -> str:
    """The result of the tool as the GPT model saw it; empty when none reached it."""
    return next((results[-1] for turn in backend.turns if (results := results_in(turn))), "")


def sign_in(project: Path, backend: GptBackend) -> None:
    """What `codex login` leaves behind: the account, and no line of configuration."""
    home = project.parent / "user" / ".codex"
    tokens = {"id_token": backend.token, "access_token": backend.token, "refresh_token": REFRESH_TOKEN}
    auth = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "last_refresh": datetime.now(UTC).isoformat()}
    (home / "auth.json").write_text(json.dumps({**auth, "tokens": {**tokens, "account_id": ACCOUNT}}))
    (home / "auth.json").chmod(0o600)


def codex_exec(project: Path, backend: GptBackend, prompt: str, *environ: str) -> tuple[int, str, str]:
    """One `codex exec` of the signed-in user. The flags stand for the real backend's address and nothing else.

    environ: further variables of the user's shell, as NAME=VALUE.
    """
    places = {
        "model": GPT_MODEL,
        "openai_base_url": backend.base_url,
        "chatgpt_base_url": backend.base_url.replace("/v1", "/backend-api/"),
    }
    flags = [part for key, value in places.items() for part in ("-c", f"{key}={json.dumps(value)}")]
    return run(
        project, "env", *environ, find_client("codex"), "exec", "--json", "-s", "read-only", *flags, "--", prompt
    )


def audits(project: Path) -> list[dict[str, Any]]:
    """`audit-mission` of every mission of the project, with the key of the bridge, whose user is another one here."""
    ids = [path.name for path in (project / ".codex-oss" / "missions").iterdir()]
    key = clean_environ(project.parent / "bridge-home")["XDG_STATE_HOME"] + "/codex-oss/record.key"
    audit = (sys.executable, "-m", "codex_oss", "audit-mission", "--json", "--key", key)
    return [json.loads(run(project, *audit, one)[1]) for one in ids]


def test_a_gpt_parent_in_codex_delegates(tmp_path: Path) -> None:
    """Its own login, an untrusted project, no flag for us: the tool is offered, the report's refs resolve."""
    find_client("codex")
    project = make_project(tmp_path)
    home = Path(environment(project)["HOME"])
    assert not [path for path in home.rglob("*") if path.is_file()]
    with (
        GptBackend(gpt_parent) as backend,
        ChatUpstream(delegate, max_requests=6) as open_model,
        run_bridge(project, open_model.base_url),
    ):
        install(project)
        sign_in(project, backend)
        code, stdout, stderr = codex_exec(project, backend, "Ask the delegate.")
        told = told_to(backend)
        checked = audits(project) if told else []
    assert code == 0, stderr + stdout
    items = [event["item"] for event in events(stdout) if event["type"] == "item.completed"]
    assert [item["text"] for item in items if item["type"] == "agent_message"] == ["The delegate reports: COMPLETE"]
    assert [item["status"] for item in items if item["type"] == "mcp_tool_call"] == ["completed"]
    assert backend.turns[-1].headers["authorization"] == f"Bearer {backend.token}"
    assert not [chat for chat in open_model.chats if backend.token in chat.text]
    check_refs(project, told)
    assert "Defaults." not in told, "the report is not the file"
    assert [one["ok"] for one in checked] == [True]


def test_without_a_bridge_the_server_runs_the_mission(tmp_path: Path) -> None:
    """Codex hands on the variables that the entry names, so the user's shell is enough; the key is written nowhere."""
    find_client("codex")
    project = make_project(tmp_path)
    with GptBackend(gpt_parent) as backend, ChatUpstream(delegate, max_requests=6) as open_model:
        install(project)
        sign_in(project, backend)
        variables = (f"OPENCODE_GO_API_KEY={UPSTREAM_KEY}", f"UPSTREAM_BASE={open_model.base_url}")
        code, stdout, stderr = codex_exec(project, backend, "Ask the delegate.", *variables)
        told = told_to(backend)
    assert code == 0, stderr + stdout
    check_refs(project, told)
    written = (path for path in tmp_path.rglob("*") if path.is_file())
    assert [path for path in written if UPSTREAM_KEY.encode() in path.read_bytes()] == []


def test_a_call_that_codex_cuts_off_is_not_lost(tmp_path: Path) -> None:
    """With a time limit of his own the parent finds the mission in the list, and gets its report."""
    find_client("codex")
    project = make_project(tmp_path)
    parted: list[str] = []

    def slow(request: Request) -> Answer:
        answer = delegate(request)
        return answer if len(request.messages) < 3 else Answer((Hold("cut"), *answer.steps))

    def parent(request: Request) -> Answer:
        if not request.body:
            return error(426, "no WebSocket here")
        results = results_in(request)
        parted[:] = results or parted
        space = offered_by_codex(request, "delegate")
        if not results:
            return function_call("delegate", ASKED, call_id="call_1", namespace=space)
        if len(results) == 1:
            open_model.release("cut")
            return function_call("mission_status", {}, call_id="call_2", namespace=space)
        known = re.search(r"mission_[0-9a-f]{6,}", results[1])
        if known and len(results) < 8 and "evidence_refs" not in results[-1]:
            asked = {"mission_id": known.group()}
            return function_call("mission_report", asked, call_id=f"call_{len(results) + 1}", namespace=space)
        return message("The delegate reports: " + ("COMPLETE" if "COMPLETE" in results[-1] else results[-1]))

    with (
        GptBackend(parent) as backend,
        ChatUpstream(slow, max_requests=6) as open_model,
        run_bridge(project, open_model.base_url),
    ):
        install(project)
        config = project.parent / "user" / ".codex" / "config.toml"
        config.write_text(config.read_text().replace("tool_timeout_sec = 600", "tool_timeout_sec = 8 # mine"))
        install(project)
        assert "tool_timeout_sec = 8 # mine" in config.read_text()
        sign_in(project, backend)
        code, stdout, stderr = codex_exec(project, backend, "Ask the delegate.")
    assert code == 0, stderr + stdout
    assert "timed out" in parted[0], parted
    said = [event["item"] for event in events(stdout) if event["type"] == "item.completed"]
    assert said[-1]["text"] == "The delegate reports: COMPLETE", parted
    check_refs(project, parted[-1])


def own_provider(base_url: str) -> str:
    """A user's OpenCode configuration with a provider of his own and a comment."""
    return f"""{{
  // my own model
  "model": "own/{GPT_MODEL}",
  "small_model": "own/{GPT_MODEL}",
  "provider": {{
    "own": {{
      "npm": "@ai-sdk/openai",
      "name": "Own",
      "options": {{ "baseURL": "{base_url}", "apiKey": "sk-own-api-key" }},
      "models": {{ "{GPT_MODEL}": {{ "tool_call": true, "limit": {{ "context": 100000, "output": 8000 }} }} }}
    }}
  }}
}}
"""


def opencode_parent(request: Request) -> Answer:
    """The same over function tools without namespaces; a title for the request without tools."""
    results = results_in(request)
    if results:
        return message("The delegate reports: " + ("COMPLETE" if "COMPLETE" in results[-1] else results[-1]))
    names = [tool["name"] for tool in decoded(request).get("tools", []) if tool["name"].endswith("_delegate")]
    return function_call(names[0], ASKED, call_id="call_1") if names else message("A title")


def test_a_gpt_parent_in_opencode_delegates(tmp_path: Path) -> None:
    """The user's own provider stays in use; the tool of the installed server is called and its refs resolve."""
    opencode, project = find_client("opencode"), make_project(tmp_path)
    with (
        GptBackend(opencode_parent) as backend,
        ChatUpstream(delegate, max_requests=6) as open_model,
        run_bridge(project, open_model.base_url),
    ):
        (project / "opencode.json").write_text(own_provider(backend.base_url))
        install(project)
        assert "// my own model" in (project / "opencode.json").read_text()
        code, stdout, stderr = run(project, opencode, "run", "--format", "json", "Ask the delegate.")
        told = told_to(backend)
        checked = audits(project) if told else []
    assert code == 0, stderr + stdout
    said = [event["part"]["text"] for event in events(stdout) if event["type"] == "text"]
    assert said == ["The delegate reports: COMPLETE"]
    check_refs(project, told)
    assert [one["ok"] for one in checked] == [True]
