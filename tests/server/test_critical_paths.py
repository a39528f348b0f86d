"""Critical paths of a project's file through the real bridge: refused, left out and said, or opened with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.bridge_process import running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, action
from tests.server.test_missions import HANDOFF, handed, messages_of, report_of

SECRET = "PRICE = 1999"
FINDING = {"claim": "`LIMIT` is 3", "evidence_refs": ["file:src/limits.py#extract:1"], "confidence": "LOW"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose file says that money is critical."""
    folder = tmp_path / "project"
    (folder / "src/Billing").mkdir(parents=True)
    (folder / "src/limits.py").write_text("LIMIT = 3\n")
    (folder / "src/Billing/price.py").write_text(f"{SECRET}\n")
    (folder / ".codex-oss").mkdir(mode=0o700)
    (folder / ".codex-oss/critical-paths").write_text("# money\nbilling/\n")
    return folder


def tool(name: str, **arguments: str) -> Answer:
    """A model's tool call."""
    return action({"action_type": "tool_call", "tool_name": name, "arguments": arguments, "reason": "look"})


def report(status: str, *findings: dict[str, Any]) -> Answer:
    """A model's report."""
    body = {"status": status, "confidence": "LOW", "findings": list(findings)}
    return action({"action_type": "final_report", "report": body})


def run(project: Path, script: list[Answer], **fields: Any) -> tuple[dict[str, Any], list[Request], list[str]]:
    """The report, what the model was sent, and the remarks."""
    mission = {
        **HANDOFF,
        "allowed_paths": [],
        "allowed_roots": ["src"],
        "allowed_tool_classes": ["read", "search", "list"],
        **fields,
    }
    with ChatUpstream(script) as up, running_bridge(project, upstream=up.base_url) as bridge:
        messages = messages_of(
            bridge.post({"model": "mission-a3-kimi", "input": handed(mission), "stream": True}).events
        )
        return report_of(messages[-1][1]), list(up.requests), [text for _, text in messages[:-1]]


def test_a_critical_file_is_not_read_listed_or_searched(project: Path) -> None:
    """No spelling reads it, no search meets it; a search that left it out proves no absence, and the report says so."""
    script = [
        tool("rtk_read", path="src/Billing/price.py"),
        tool("rtk_read", path="src/bILLing/price.py"),
        tool("rtk_ls", path="src"),
        tool("rtk_grep", pattern="PRICE", path="src"),
        report("COMPLETE", {"claim": "`PRICE` is nowhere in src", "kind": "absence", "subject": {"symbol": "PRICE"},
                            "evidence_refs": ["command:1#zero_match"], "confidence": "LOW"}),
        tool("rtk_read", path="src/limits.py"),
        report("COMPLETE", FINDING),
    ]  # fmt: skip
    told, requests, remarks = run(project, script, tool_budget=8)
    sent = b"".join(request.body for request in requests).decode()
    assert SECRET not in sent
    assert "price.py" not in "".join(json.dumps(r.json["messages"][-1]) for r in requests[3:])
    assert "The search was not whole: 1 critical file or folder" in sent
    assert "evidence_no_zero_match" in sent
    assert [finding["claim"] for finding in told["findings"]] == ["`LIMIT` is 3"]
    assert told["critical_paths"] == {
        "read": [],
        "refused": ["src/Billing/price.py", "src/bILLing/price.py"],
        "left_out": 1,
    }
    assert any(caveat.startswith("Critical paths were not read") for caveat in told["caveats"])
    assert any(caveat.startswith("A search or listing left out 1 critical") for caveat in told["caveats"])
    assert any("critical_path_detected" in remark for remark in remarks)
    assert SECRET not in "".join(
        path.read_text("utf-8", "replace") for path in (project / ".codex-oss").rglob("*.json*")
    )


def test_a_mission_that_names_it_and_says_why_reads_it(project: Path) -> None:
    """Flag, reason and the exact path open it; the log flags the call and the report names path and reason."""
    finding = {
        "claim": "`PRICE` is 1999",
        "evidence_refs": ["file:src/Billing/price.py#extract:1"],
        "confidence": "LOW",
    }
    told, _, _ = run(
        project,
        [tool("rtk_read", path="src/Billing/price.py"), report("COMPLETE", finding)],
        allowed_paths=["src/Billing/price.py"],
        critical_path_read_allowed=True,
        critical_path_reason="price review",
    )
    assert (told["status"], told["critical_paths"]["read"]) == ("COMPLETE", ["src/Billing/price.py"])
    assert any("(price review): src/Billing/price.py" in caveat for caveat in told["caveats"])
    (log,) = (project / ".codex-oss/runs").glob("*/events.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["payload"]["critical"] for e in events if e["event_type"] == "ActionAllowed"] == [True]


def test_a_file_that_cannot_be_read_as_patterns_admits_nothing(project: Path) -> None:
    """A typo in a file that protects is a refusal that names the line, never a gap."""
    (project / ".codex-oss/critical-paths").write_text("ok/\n!\n")
    told, requests, _ = run(project, [])
    assert (told["status"], told["reason_codes"], requests) == ("FAILED", ["critical_paths_invalid"], [])
    assert "line 2" in told["caveats"][0]
