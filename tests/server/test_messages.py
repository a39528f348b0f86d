"""The exact words a user reads when something is missing, down, unknown, broken or out of bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.bridge_process import running_bridge
from tests.fakes.chat_upstream import ChatUpstream, action
from tests.server.test_missions import HANDOFF, READ, REPORT, handed, messages_of, report_of

NOTHING_THERE = "http://127.0.0.1:9/v1"
RAW = {"model": "ocg-kimi-k2.6", "input": "hi"}
KEY_MISSING = (
    "The upstream key is missing: OPENCODE_GO_API_KEY is not set. Set OPENCODE_GO_API_KEY and start the bridge again, "
    "or set key_env = \"\" for profile 'kimi' if its server needs no key."
)
UPSTREAM_DOWN = (
    "Cannot connect to the upstream at 127.0.0.1:9. Is the server running? "
    "The address comes from UPSTREAM_BASE or profile 'kimi'."
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A file with a synthetic secret, and one outside every mission's scope."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "limits.py").write_text("LIMIT = 3\nKEY = 'sk-proj-" + "a1B2c3D4e5F6g7H8" * 3 + "'\n")
    (folder / "other.py").write_text("OTHER = 1\n")
    return folder


def test_missing_upstream_key(project: Path) -> None:
    """A raw turn is a 400 that names the variable (Codex would hide the words of a 5xx); a mission says the same."""
    with running_bridge(project, OPENCODE_GO_API_KEY="") as bridge:
        raw = bridge.post(RAW)
        mission = bridge.post({"model": "mission-a3-kimi", "input": handed(), "stream": True})
    assert (raw.status, raw.error["code"], raw.error["message"]) == (400, "upstream_key_missing", KEY_MISSING)
    report = report_of(messages_of(mission.events)[-1][1])
    assert report["reason_codes"] == ["model_call_failed", "upstream_key_missing"]
    assert report["caveats"] == [f"The model could not be asked: {KEY_MISSING}"]


def test_upstream_down(project: Path) -> None:
    """The address and where it comes from."""
    with running_bridge(project, upstream=NOTHING_THERE, UPSTREAM_RETRIES="0") as bridge:
        raw = bridge.post(RAW)
        mission = bridge.post({"model": "mission-a3-kimi", "input": handed(), "stream": True})
    assert (raw.status, raw.error["code"], raw.error["message"]) == (503, "upstream_unavailable", UPSTREAM_DOWN)
    report = report_of(messages_of(mission.events)[-1][1])
    assert report["reason_codes"] == ["model_call_failed", "upstream_unavailable"]
    assert report["caveats"] == [f"The model could not be asked: {UPSTREAM_DOWN}"]


@pytest.mark.parametrize(
    ("model", "status", "code", "message"),
    [
        ("nobody", 404, "model_not_found", "Unknown model 'nobody'. GET /v1/models lists every name."),
        (
            "mission-a3-nobody",
            404,
            "model_not_found",
            "Unknown model 'mission-a3-nobody': there is no profile 'nobody'.",
        ),
        (
            "gpt-5.5",
            400,
            "unsupported_bridge_model",
            "This bridge does not serve 'gpt-5.5': it answers to ocg-* and mission-* names only. Do not make the "
            "bridge the global provider of GPT models; choose it per profile, agent or command.",
        ),
    ],
)
def test_unknown_model(project: Path, model: str, status: int, code: str, message: str) -> None:
    """A name that nobody answers to, and one that this bridge must not answer to."""
    with running_bridge(project) as bridge:
        answer = bridge.post({"model": model, "input": "hi"})
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["message"].startswith(message)


@pytest.mark.parametrize(
    ("said", "caveat", "hint"),
    [
        (
            "<OSS_HANDOFF_JSON>{oops</OSS_HANDOFF_JSON>",
            "handoff_malformed_json: The block does not parse as JSON at line 1, column 20 of the message: "
            "Expecting property name enclosed in double quotes.",
            "What to do about handoff_malformed_json: Let a program write the JSON: "
            "`codex-oss mission compile FILE --handoff`.",
        ),
        (
            handed(times=2),
            "handoff_multiple_blocks: The message holds 2 missions; hand over exactly one.",
            "What to do about handoff_multiple_blocks: Hand over one mission a message; "
            "start the others in messages of their own.",
        ),
    ],
    ids=["malformed", "two blocks"],
)
def test_broken_handoff(project: Path, said: str, caveat: str, hint: str) -> None:
    """A block that does not parse, and two blocks; beside the reason stands what to do."""
    with running_bridge(project) as bridge:
        answer = bridge.post({"model": "mission-a3-kimi", "input": said, "stream": True})
    assert report_of(messages_of(answer.events)[-1][1])["caveats"] == [caveat, hint]


def test_path_outside_the_scope_and_a_secret_in_a_file(project: Path) -> None:
    """A refused path is said with its reason, a redacted secret with its number; the value reaches nobody."""
    outside = {**READ, "arguments": {"path": "other.py"}}
    with (
        ChatUpstream([action(outside), action(READ), action(REPORT)]) as upstream,
        running_bridge(project, upstream=upstream.base_url) as bridge,
    ):
        answer = bridge.post({"model": "mission-a3-kimi", "input": handed(HANDOFF), "stream": True})
        shown = upstream.requests[-1].messages[-1]["content"]
    remarks = [text for phase, text in messages_of(answer.events) if phase == "commentary"]
    assert (
        "Not done (path_outside_scope): 'other.py' is outside the allowed roots and paths of this mission." in remarks
    )
    assert "Read limits.py: lines 1-2 of 2; 1 secret-looking values were redacted." in remarks
    assert "2: KEY = '[REDACTED:openai-key]'" in shown
    assert b"a1B2c3D4" not in answer.body
