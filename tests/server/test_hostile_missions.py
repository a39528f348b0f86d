"""Whole missions against everything that is hostile at once: secrets everywhere, upstreams that fail at each step."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codex_oss.policy.printable import UNPRINTABLE
from tests.cli.test_missions import run_cli
from tests.fakes.bridge_process import UPSTREAM_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Hangup,
    Request,
    Reset,
    Stall,
    action,
    body,
    cut,
    error,
    html,
    mute,
    text,
    tool_call,
)
from tests.server.test_missions import HANDOFF, READ, REPORT, handed, messages_of, report_of

RUN = "a1B2c3D4e5F6g7H8i9J0"
SECRETS: dict[str, str] = {
    "openai": f"sk-proj-{RUN * 2}xyz1",
    "anthropic": f"sk-ant-api03-{RUN * 3}",
    "aws": "AKIA" + "QWERTY234567ASDF",
    "github": f"ghp_{RUN}{RUN[:16]}",
    "gitlab": f"glpat-{RUN}",
    "slack": f"xoxb-12345678901-12345678901-{RUN}abcd",
    "google": f"AIza{RUN}{RUN[:15]}",
    "npm": f"npm_{RUN}{RUN[:16]}",
    "stripe": f"sk_live_{RUN}abcd",
    "huggingface": f"hf_{RUN}{RUN[:14]}",
    "sendgrid": f"SG.{RUN}ab.{RUN * 2}abc",
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{RUN}.{RUN * 2}",
    "login": "correct-Horse-42-battery",
    "password": "Tr0ub4dor-and-3-more",
    "held": UPSTREAM_KEY,
}
ESCAPES = "\x1b[31m\x9b2J\u202e\x07"


def commit_everything(project: Path, message: str) -> None:
    """Make the project a repository of one commit."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", message]):
        subprocess.run(["git", *who, *command], cwd=project, check=True, capture_output=True)


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A project with secrets and escape sequences in files, file names and a commit."""
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    lines = [f"{name.upper()}_TOKEN = '{secret}'" for name, secret in SECRETS.items()]
    lines += [f"url = 'postgres://admin:{SECRETS['login']}@db/x'", f'password = "{SECRETS["password"]}"', ESCAPES]
    (project / "app/keys.py").write_text("LIMIT = 3\n" + "\n".join(lines) + "\n")
    for name in ("openai", "github", "aws", "slack", "stripe"):
        (project / f"app/old_{SECRETS[name]}.py").write_text("LIMIT = 4\n")
    (project / f"app/odd{ESCAPES}.py").write_text("LIMIT = 5\n")
    commit_everything(project, f"add {SECRETS['github']} and {SECRETS['aws']} {ESCAPES}")
    return project


def tool(name: str, **arguments: Any) -> Answer:
    """A tool call whose reason echoes a secret and moves the cursor."""
    reason = f"because {SECRETS['gitlab']} {ESCAPES}"
    return action({"action_type": "tool_call", "tool_name": name, "arguments": arguments, "reason": reason})


@pytest.mark.parametrize("protocol", ["json", "tools"])
def test_no_secret_leaves_and_no_escape_reaches_a_terminal(poisoned: Path, protocol: str) -> None:
    """Fifteen kinds of secrets in eight places: none is in a request, a file of ours, an answer, a remark or a log."""
    finding = {
        "claim": f"{SECRETS['npm']} `LIMIT` is 3",
        "evidence_refs": ["file:app/keys.py#extract:1"],
        "subject": {"quote": SECRETS["google"]},
    }
    told = {
        "status": "COMPLETE",
        "findings": [finding],
        "caveats": [SECRETS["huggingface"] + ESCAPES],
        "uncertainties": [SECRETS["jwt"]],
        "escalation_recommendation": SECRETS["sendgrid"],
    }
    script = [
        tool("rtk_read", path="app/keys.py"),
        error(429, f"key {SECRETS['held']} {ESCAPES}", retry_after="0"),
        tool("rtk_grep", pattern="TOKEN|password|postgres|LIMIT", path="app", context_lines=2),
        tool("rtk_ls", path="app"),
        tool("rtk_git_log"),
        tool("rtk_git_show_stat"),
        tool("rtk_read", path=f"app/old_{SECRETS['openai']}.py"),
        *[action({"action_type": "final_report", "report": told})] * 3,
    ]
    mission = {
        **HANDOFF,
        "mission_id": "m_leak",
        "objective": f"Why is {SECRETS['anthropic']} there? {ESCAPES}",
        "allowed_paths": [],
        "allowed_roots": ["app"],
        "allowed_tool_classes": ["read", "search", "list", "safe_git"],
        "tool_budget": 12,
        "forbidden_topics": [SECRETS["openai"]],
    }
    with (
        ChatUpstream(script) as up,
        running_bridge(
            poisoned, upstream=up.base_url, OSS_VISIBLE_TRACE="detailed", CODEX_OSS_ACTION_PROTOCOL=protocol
        ) as bridge,
    ):
        answer = bridge.post({"model": "mission-a3-kimi", "input": handed(mission), "stream": True})
        public = [bridge.request("GET", path).body for path in ("/metrics", "/health", "/v1/models")]
        sent = [request.body for request in up.requests]
    said = [text for _, text in messages_of(answer.events)]
    shown = [*said, bridge.log.read_text()]
    for verb in ("show-summary", "show-trace", "explain", "audit-mission"):
        for options in ((), ("--json",)):
            done = run_cli(poisoned, verb, "m_leak", *options)
            shown += [done.stdout, done.stderr]
    kept = [path.read_bytes() for path in (poisoned / ".codex-oss").rglob("*") if path.is_file()]
    everything = b"\n".join([answer.body, *public, *sent, *kept, *(part.encode() for part in shown)])
    assert report_of(said[-1])["files_inspected"][0]["path"] == "app/keys.py"
    assert len(sent) >= 8
    for name, secret in SECRETS.items():
        assert secret.encode() not in everything, name
    for part in shown:
        assert not {ord(char) for char in part} & (UNPRINTABLE - {9, 10})


TERMINAL = ("response.completed", "response.failed", "response.incomplete")
LAST = action(REPORT)
RUDENESS: dict[str, Answer] = {
    "reset before the head": mute(Reset()),
    "silent": mute(),
    "reset within": cut(LAST, 400),
    "hung up within": cut(LAST, 400, Hangup()),
    "stalled within": cut(LAST, 400, Stall()),
    "a page": html(),
    "come back in an hour": error(429, "slow down", retry_after="3600"),
    "down": error(503),
    "refused": error(401, "no"),
    "nothing": body(b""),
    "broken JSON": body("{oops"),
    "cut by length": text("{", finish="length"),
    "without a reason": text(json.dumps(REPORT), finish=None, done=False),
    "a function call": tool_call("rtk_read", {"path": "limits.py"}),
    "only thoughts": text("", reasoning="hm"),
    "ten megabytes": text("x" * 10_000_000, pieces=40),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one file."""
    project = tmp_path_factory.mktemp("rude") / "project"
    project.mkdir()
    (project / "limits.py").write_text("LIMIT = 3\n")
    return project


def ended(bridge: BridgeProcess, mission_id: str) -> dict[str, Any]:
    """Run a mission of twelve seconds; its report, after checking that the stream closed once."""
    mission = {**HANDOFF, "mission_id": mission_id, "time_budget_seconds": 12}
    answer = bridge.post({"model": "mission-a3-kimi", "input": handed(mission), "stream": True})
    closings = [event["type"] for event in answer.events if event["type"] in TERMINAL]
    assert closings == ["response.completed"]
    return report_of(messages_of(answer.events)[-1][1])


IN_CALLS = ("reset within", "stalled within", "a function call", "cut by length", "only thoughts", "ten megabytes")
"""Rows that are worth another protocol: what fails before an answer fails alike."""
ROWS = [(name, reads, "json") for name in RUDENESS for reads in (0, 1)] + [(name, 1, "tools") for name in IN_CALLS]


@pytest.mark.parametrize(("name", "reads", "protocol"), ROWS)
def test_an_upstream_that_fails_never_completes_a_mission(small: Path, name: str, reads: int, protocol: str) -> None:
    """Within its own time, with one terminal event: FAILED when nothing was seen, PARTIAL when something was."""
    asked = 0

    def script(request: Request) -> Answer:
        nonlocal asked
        asked += 1
        return action(READ) if asked <= reads else RUDENESS[name]

    timeouts = {"UPSTREAM_IDLE_TIMEOUT_SECONDS": "1", "UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "1"}
    with (
        ChatUpstream(script) as up,
        running_bridge(
            small, upstream=up.base_url, UPSTREAM_RETRIES="0", CODEX_OSS_ACTION_PROTOCOL=protocol, **timeouts
        ) as bridge,
    ):
        report = ended(bridge, f"m_{protocol}_{reads}_{list(RUDENESS).index(name)}")
    assert report["status"] == ("PARTIAL" if reads else "FAILED")
    assert report["report_source"] == "runtime_evidence"
    assert report["reason_codes"]
