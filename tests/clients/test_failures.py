"""The real clients at an upstream that keeps failing: how often they ask, what they show, and that they stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_oss.services.codex_exec import run_codex
from tests.clients.programs import (
    RAW_MODEL,
    OpenCodeRun,
    codex_turn,
    find_client,
    make_project,
    run_bridge,
    run_opencode,
)
from tests.clients.test_opencode import is_title_request
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, error, text

pytestmark = [pytest.mark.client, pytest.mark.slow]

PACKAGES = ["@ai-sdk/openai", "@ai-sdk/openai-compatible"]
TOO_LONG = error(400, "This model's maximum context length is 10 tokens", code="context_length_exceeded")
PLAN_LIMIT = error(429, "rate limit of your plan", retry_after="7200")
BROKEN = error(500, "internal error")


def _opencode(tmp_path: Path, answer: Answer, package: str) -> tuple[OpenCodeRun, int]:
    """One prompt, every turn with tools answered by *answer*; the run and how many such turns reached the upstream."""
    opencode, project = find_client("opencode"), make_project(tmp_path)

    def script(request: Request) -> Answer:
        return text("A title or a summary.") if is_title_request(request) else answer

    with ChatUpstream(script, max_requests=40) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_opencode(opencode, bridge, project, "answer", package=package)
    return run, len([request for request in upstream.chats if not is_title_request(request)])


def _codex(tmp_path: Path, answer: Answer) -> tuple[str, int]:
    """One prompt; the failure that Codex shows and the requests that reached the upstream."""
    codex, project = find_client("codex"), make_project(tmp_path)
    with ChatUpstream(lambda _: answer, max_requests=40) as upstream, run_bridge(project, upstream.base_url) as bridge:
        run = run_codex(codex, codex_turn(bridge, project, RAW_MODEL, "hi"))
    return run.failure, len(upstream.chats)


def _shown(run: OpenCodeRun) -> str:
    """The message of the last error event."""
    errors = [event["error"] for event in run.events if event.get("type") == "error"]
    return str(errors[-1]["data"]["message"])


@pytest.mark.parametrize("package", PACKAGES)
def test_opencode_does_not_compact_for_ever(tmp_path: Path, package: str) -> None:
    """Two compactions that did not help are enough; then it shows our sentence and ends."""
    run, asked = _opencode(tmp_path, TOO_LONG, package)
    assert (run.exit_code, asked) == (1, 3)
    assert _shown(run).startswith(f"'{RAW_MODEL}' refused this session for its size again and again")


@pytest.mark.parametrize("package", PACKAGES)
def test_opencode_stops_at_a_used_up_plan(tmp_path: Path, package: str) -> None:
    """One turn, no silent wait, and the time of the end."""
    run, asked = _opencode(tmp_path, PLAN_LIMIT, package)
    assert run.exit_code == 1
    assert asked == 2  # the model and its fallback, once each
    assert "It takes requests again in 2 h 0 min." in _shown(run)


def test_opencode_stops_at_a_broken_server(tmp_path: Path) -> None:
    """The third request is refused by the open circuit, and that ends it."""
    run, asked = _opencode(tmp_path, BROKEN, PACKAGES[0])
    assert run.exit_code == 1
    assert asked == 8  # three and then one attempt on the model and on its fallback
    assert "its server failed 2 times in a row" in _shown(run)


def test_codex_stops_at_a_broken_server(tmp_path: Path) -> None:
    """Codex shows our sentence instead of "high demand", after three requests."""
    failure, asked = _codex(tmp_path, BROKEN)
    assert "its server failed 2 times in a row" in failure
    assert asked == 8


def test_codex_shows_when_a_plan_is_usable_again(tmp_path: Path) -> None:
    """One turn and the time of day."""
    failure, asked = _codex(tmp_path, PLAN_LIMIT)
    assert "hit your usage limit" in failure
    assert "Try again at" in failure
    assert asked == 2


def test_codex_keeps_its_words_for_a_long_conversation(tmp_path: Path) -> None:
    """The guard against OpenCode's circle changes nothing for Codex, which asks once."""
    failure, asked = _codex(tmp_path, TOO_LONG)
    assert "context window" in failure
    assert asked == 1
