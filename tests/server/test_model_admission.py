"""Who takes a mission and who answers its questions, through the real bridge: nobody stands in silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.test_missions import failed_checks, run_cli
from tests.fakes.bridge_process import BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action, error
from tests.server.test_missions import HANDOFF, READ, REPORT, handed, messages_of, project, report_of

__all__ = ["project"]


def kimi_is_down(request: Request) -> Answer:
    """Only the second question finds the first model's server out of order."""
    said = len(request.messages)
    if request.json["model"] == "kimi-k2.6" and said >= 3:
        return error(503, "out of order")
    return action(READ) if said < 3 else action(REPORT)


def outcome(bridge: BridgeProcess, model: str = "mission-a3-kimi") -> tuple[dict[str, Any], list[str]]:
    """The report of the mission, and the remarks before it."""
    messages = messages_of(bridge.post({"model": model, "input": handed(), "stream": True}).events)
    return report_of(messages[-1][1]), [text for _, text in messages[:-1]]


def events_of(project: Path, kind: str) -> list[dict[str, Any]]:
    """Payloads of one type in the log of the only run."""
    (log,) = (project / ".codex-oss/runs").glob("*/events.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [event["payload"] for event in events if event["event_type"] == kind]


def failed_audit_checks(project: Path) -> list[str]:
    """What `audit-mission` finds wrong, with the key and the anchor that the bridge made."""
    done = run_cli(project, "audit-mission", "m_http", "--json", HOME=str(project.parent / f"{project.name}-home"))
    return failed_checks(json.loads(done.stdout))


def test_a_question_that_another_model_answers_is_in_the_log(project: Path) -> None:
    """The event stands before the answer and names both models; report and commentary say it in words."""
    with (
        ChatUpstream(kimi_is_down) as up,
        running_bridge(project, upstream=up.base_url, UPSTREAM_RETRIES="0") as bridge,
    ):
        report, remarks = outcome(bridge)
    (replaced,) = events_of(project, "ModelReplaced")
    assert (replaced["call"], replaced["asked"], replaced["answered"]) == (2, "kimi", "deepseek")
    assert (replaced["reason"], replaced["asked_capability"], replaced["capability"]) == (
        "fallback_upstream_unavailable",
        5,
        5,
    )
    assert [event["answered_by"] for event in events_of(project, "ModelAnswered")] == ["", "deepseek"]
    assert report["status"] == "COMPLETE"
    (words,) = [caveat for caveat in report["caveats"] if "stood in" in caveat]
    assert words.startswith("deepseek stood in for kimi for question 2:")
    assert any("deepseek stood in for kimi" in remark for remark in remarks)
    assert report["model_replacements"][0]["answered"] == "deepseek"
    assert failed_audit_checks(project) == []


def test_a_weaker_model_answers_only_where_that_was_approved(project: Path) -> None:
    """Approved it is called a downgrade everywhere; not approved the mission ends without its answer."""
    chain = {"FALLBACK_MODEL_MAP_JSON": '{"kimi": ["flash"]}'}
    with (
        ChatUpstream(kimi_is_down) as up,
        running_bridge(project, upstream=up.base_url, UPSTREAM_RETRIES="0", **chain) as bridge,
    ):
        report, _ = outcome(bridge)
    (replaced,) = events_of(project, "ModelReplaced")
    assert (replaced["answered"], replaced["approval"], replaced["capability"]) == ("flash", "explicit", 3)
    assert any("a weaker model (capability 3 instead of 5)" in caveat for caveat in report["caveats"])
    assert any("the downgrade is approved" in caveat for caveat in report["caveats"])


def test_an_unapproved_downgrade_is_no_answer(project: Path) -> None:
    """The chain of the project names a weaker model without approving it: nobody answers, and that is said."""
    folder = project / ".codex-oss"
    folder.mkdir()
    (folder / "models.toml").write_text('[profiles.kimi]\nfallbacks = ["flash"]\n')
    with (
        ChatUpstream(kimi_is_down) as up,
        running_bridge(project, upstream=up.base_url, UPSTREAM_RETRIES="0") as bridge,
    ):
        report, _ = outcome(bridge)
        asked = {request.json["model"] for request in up.requests}
    assert asked == {"kimi-k2.6"}
    assert report["status"] == "PARTIAL"
    assert "model_call_failed" in report["reason_codes"]
    assert events_of(project, "ModelReplaced") == []


def test_a_mission_is_taken_by_the_next_model_that_can(project: Path) -> None:
    """The profile that was asked for is switched off: another takes the mission, with its own budget, and says so."""
    folder = project / ".codex-oss"
    folder.mkdir()
    (folder / "models.toml").write_text(
        "[profiles.kimi]\navailable = false\n[profiles.deepseek.max_tool_budget]\nA3 = 2\n"
    )
    with ChatUpstream([action(READ), action(REPORT)]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        report, remarks = outcome(bridge)
        asked = {request.json["model"] for request in up.requests}
    assert asked == {"deepseek-v4-pro"}
    (opened,) = events_of(project, "MissionOpened")
    assert (opened["model_alias"], opened["profile"]) == ("mission-a3-kimi", "deepseek")
    assert opened["admission"]["fallback_from"] == "kimi"
    assert opened["mission"]["budget"]["tool_calls"] == 2
    (replaced,) = events_of(project, "ModelReplaced")
    assert (replaced["call"], replaced["reason"]) == (0, "model_unavailable")
    assert any("deepseek stood in for kimi for the mission" in caveat for caveat in report["caveats"])
    assert any("deepseek stood in" in remark for remark in remarks)
    assert failed_audit_checks(project) == []


def test_what_no_model_may_take_is_refused_before_anything_is_asked(project: Path) -> None:
    """A profile without the tools, and a GPT name of the client: a report with the code, no question, no log."""
    folder = project / ".codex-oss"
    folder.mkdir()
    (folder / "models.toml").write_text('[profiles.kimi]\ntool_classes = ["read"]\nfallbacks = []\n')
    with (
        ChatUpstream([]) as up,
        running_bridge(project, upstream=up.base_url, GPT_MODEL_STRATEGY="passthrough") as bridge,
    ):
        report, _ = outcome(bridge)
        assert report["reason_codes"] == ["model_tools_missing"]
        assert "missing: list, search" in report["caveats"][0]
        body = json.dumps({"handoff": HANDOFF, "model": "gpt-5"}).encode()
        refused = bridge.request("POST", "/api/missions", body, bridge.auth)
        assert (refused.status, "child_model_refused" in refused.body.decode()) == (400, True)
        assert up.requests == []
    assert not (project / ".codex-oss/runs").exists()
