"""The real Codex CLI on its built-in provider compacts a conversation by a sealed item that the bridge made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from codex_oss.lanes.compaction import HANDOFF_PROMPT
from tests.clients.programs import RUN_TIMEOUT_S, clean_environ, find_client, make_project
from tests.clients.test_codex import function_names
from tests.fakes.bridge_process import LOCAL_KEY, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]

NAME = "gpt-5.5"
"""A name of Codex' own catalogue, placed on an open model: only such a one uses the built-in provider's compaction."""
CONFIG = """
model = "{model}"
openai_base_url = "{base_url}"
model_auto_compact_token_limit = 20000
sandbox_mode = "danger-full-access"
approval_policy = "never"
"""


def script(request: Request) -> Answer:
    """A command whose answer cost more than the limit; a summary when asked; then what is known."""
    if request.messages[-1].get("content") == HANDOFF_PROMPT:
        return text("The secret word is heron.")
    if "heron" in request.text:
        return text("I still know: heron.", usage=(100, 5))
    name = next(name for name in function_names(request) if name.endswith("exec_command"))
    return tool_call(name, {"cmd": "echo really-ran"}, usage=(60_000, 7))


def test_codex_goes_on_with_a_sealed_summary(tmp_path: Path) -> None:
    """Over the limit after a command, Codex compacts and goes on; the model sees the summary instead of the command."""
    codex, home = find_client("codex"), tmp_path / "codex-home"
    home.mkdir()
    (home / "auth.json").write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": LOCAL_KEY}))
    mapped = json.dumps({NAME: "kimi-k2.6"})
    with (
        ChatUpstream(script) as upstream,
        running_bridge(make_project(tmp_path), upstream=upstream.base_url, MODEL_MAP_JSON=mapped) as bridge,
    ):
        (home / "config.toml").write_text(CONFIG.format(model=NAME, base_url=bridge.base_url))
        done = subprocess.run(
            [codex, "exec", "--json", "--skip-git-repo-check", "-C", str(bridge.project), "Say the word."],
            env=clean_environ(tmp_path / "home") | {"CODEX_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
        )
        log = bridge.log.read_text()
    assert done.returncode == 0, done.stderr[-2000:]
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    messages = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    assert messages == ["I still know: heron."]
    first, summary, last = upstream.chats
    assert "tools" in first.json
    assert "tools" not in summary.json
    assert "really-ran" in summary.text
    assert "really-ran" not in last.text
    assert "<conversation_summary>\nThe secret word is heron.\n</conversation_summary>" in last.text
    assert "Say the word." in last.text
    assert "Traceback" not in log
