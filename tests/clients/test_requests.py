"""What the bridge notes of real clients: who they are, one thread, no cache warning, and a prompt that only grows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from codex_oss.services.codex_exec import run_codex
from tests.clients.programs import RAW_MODEL, codex_turn, find_client, make_project, run_bridge, run_opencode
from tests.clients.test_codex import function_names, tool_results
from tests.clients.test_opencode import is_title_request
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text, tool_call

pytestmark = [pytest.mark.client, pytest.mark.slow]


def records(project: Path, count: int) -> list[dict[str, Any]]:
    """The request log, once it has so many lines."""
    path = project / ".codex-oss/state/requests.jsonl"
    for _ in range(500):
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= count:
            break
        time.sleep(0.01)
    return [json.loads(line) for line in lines]


def test_a_codex_turn_is_two_requests_of_one_thread(tmp_path: Path) -> None:
    """Session, thread and program are known; the second prompt begins with the bytes of the first."""
    codex, project = find_client("codex"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        if tool_results(request):
            return text("Done.")
        name = next(name for name in function_names(request) if name.endswith(("exec_command", "shell_command")))
        return tool_call(name, {"cmd" if name.endswith("exec_command") else "command": "echo hi"})

    with ChatUpstream(script, max_requests=6) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_codex(codex, codex_turn(bridge, project, RAW_MODEL, "Run it.", sandbox="danger-full-access"))
        lines = records(project, 2)
    assert run.failure == ""
    assert [line["outcome"] for line in lines] == ["completed"] * 2
    assert {line["client"].partition("/")[0] for line in lines} == {"codex_exec"}
    assert len({line["session"] for line in lines} | {""}) == 2
    assert len({line["thread"] for line in lines} | {""}) == 2
    seen = [(line["cache"]["state"], line["cache"]["cause"]) for line in lines]
    assert seen == [("expected", "first_turn"), ("ok", "")]
    first, second = (request.body for request in upstream.chats)
    assert second.startswith(first[:-2])


def test_an_opencode_turn_is_one_session(tmp_path: Path) -> None:
    """The title request beside it disturbs nothing: no warning, and the main prompt only grows."""
    opencode, project = find_client("opencode"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        if is_title_request(request):
            return text("A title")
        if tool_results(request):
            return text("Done.")
        return tool_call("bash", {"command": "echo hi", "description": "Says hi"})

    with ChatUpstream(script, max_requests=8) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_opencode(opencode, bridge, project, "run", RAW_MODEL)
        lines = records(project, len(upstream.chats))
    assert run.exit_code == 0, run.stderr_tail
    assert {line["client"].partition("/")[0] for line in lines} == {"opencode"}
    (session,) = {line["session"] for line in lines}
    assert session.startswith("ses_")
    assert not any(line["cache"]["warned"] for line in lines)
    first, second = (request.body for request in upstream.chats if not is_title_request(request))
    assert second.startswith(first[:-2])
