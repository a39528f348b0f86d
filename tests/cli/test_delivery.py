"""What was said and what was handed over, by every way to a client; and that reading needs nothing but logs."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from codex_oss.services.event_log import LOG_NAME
from tests.cli.test_mission_runs import holding
from tests.cli.test_missions import HANDOFF, READ, REPORT, project, run_cli
from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import ChatUpstream, Request, action
from tests.server.test_missions import handed, messages_of
from tests.server.test_other_handoffs import LEGACY

__all__ = ["project"]

LEVELS = ("off", "summary", "detailed")


def show(project: Path, verb: str = "show-delivery") -> dict[str, Any]:
    """The object that a reading verb prints of the mission."""
    done = run_cli(project, verb, "m_cli", "--json")
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def said(project: Path) -> list[str]:
    """The messages of the commentary, as the log gives them."""
    return [remark["message"] for remark in show(project, "show-commentary")["remarks"]]


def bridge_of(project: Path, upstream: ChatUpstream, **environ: str) -> Any:
    """A bridge that shares its home with the command line."""
    return running_bridge(project, upstream=upstream.base_url, HOME=str(project.parent / "home"), **environ)


def turn(bridge: BridgeProcess, **fields: Any) -> list[tuple[str, str]]:
    """The messages of a mission's turn."""
    answer = bridge.post({"model": "mission-a3-kimi", "input": handed(HANDOFF), **fields})
    if fields.get("stream"):
        return messages_of(answer.events)
    items = answer.json["output"]
    return [(item["phase"], item["content"][0]["text"]) for item in items]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("chosen_by", ["setting", "metadata", "flag"])
def test_a_level_is_the_same_by_every_way(project: Path, level: str, chosen_by: str) -> None:
    """By setting, by the turn's metadata and by the flag of `mission run`: what is shown is what the log says."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        if chosen_by == "flag":
            flags = ("--commentary", level)
            done = run_cli(project, "mission", "run", "-", *flags, upstream=up.base_url, stdin=json.dumps(HANDOFF))
            shown = [line.removeprefix("· ") for line in done.stderr.splitlines() if line.startswith("· ")]
        else:
            environ = {"OSS_VISIBLE_TRACE": level} if chosen_by == "setting" else {"OSS_VISIBLE_TRACE": "off"}
            metadata = {"codex_oss_commentary": level} if chosen_by == "metadata" else {}
            with bridge_of(project, up, **environ) as bridge:
                messages = turn(bridge, stream=True, metadata=metadata)
            shown = [text for phase, text in messages if phase == "commentary"]
    remarks = show(project, "show-commentary")["remarks"]
    assert shown == [remark["message"] for remark in remarks]
    severities = {remark["severity"] for remark in remarks}
    assert ("debug" in severities, bool(remarks)) == (level == "detailed", level != "off")
    delivery = show(project)
    assert delivery["counts"] == {"created": len(shown) + 1, "emitted": len(shown) + 1, "observed": 0}
    assert {channel for item in delivery["items"] for channel in item["emitted"]} == {
        "cli" if chosen_by == "flag" else "responses"
    }


async def test_mcp_tells_the_same(project: Path) -> None:
    """Progress notifications carry the commentary word for word; who asks for none is emitted none."""
    environ = {
        "HOME": str(project.parent / "home"),
        "UPSTREAM_BASE": "",
        "OPENCODE_GO_API_KEY": UPSTREAM_KEY,
        "OSS_VISIBLE_TRACE": "detailed",
    }
    told: list[str] = []
    asked: dict[str, Any] = {"handoff": HANDOFF}

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    def script(request: Request) -> Any:
        return action(READ) if len(request.messages) < 3 else action(REPORT)

    with ChatUpstream(script) as up:
        environ["UPSTREAM_BASE"] = up.base_url
        command = ["-m", "codex_oss", "mcp", "--project", str(project)]
        server = StdioServerParameters(command=sys.executable, args=command, env=environ)
        async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            await session.call_tool("delegate", asked, progress_callback=hear)
            heard = show(project)
            begun, *remarks = [message for message in told if not message.startswith("still ")]
            assert begun.startswith("Mission m_cli has begun")
            assert remarks == said(project)
            await session.call_tool("delegate", asked)
    assert {tuple(item["emitted"]) for item in heard["items"]} == {("mcp",)}
    unheard = show(project)
    assert unheard["run_id"] != heard["run_id"]
    assert [item["item"] for item in unheard["items"] if item["state"] == "emitted"] == ["report"]


def test_only_what_was_written_is_emitted(project: Path) -> None:
    """A whole JSON answer is; a background turn has no client yet; nothing ever reads as observed."""
    with ChatUpstream([action(READ), action(REPORT)] * 2) as up, bridge_of(project, up) as bridge:
        turn(bridge)
        answered = show(project)["counts"]
        queued = bridge.post({"model": "mission-a3-kimi", "input": handed(HANDOFF), "background": True}).json
        up.wait_for_requests(4)
        ended = bridge.request("GET", "/api/missions/m_cli/events").events
        assert ended[-1]["event_type"] == "MissionClosed"
        assert bridge.request("GET", f"/v1/responses/{queued['id']}").status == 200
    assert answered["created"] == answered["emitted"] > 4
    later = show(project)["counts"]
    assert (later["emitted"], later["observed"]) == (0, 0)


def test_a_client_that_left_was_emitted_less(project: Path) -> None:
    """It leaves in the middle; the mission goes on, and what came afterwards stays created."""
    with ChatUpstream(holding("go")) as up, bridge_of(project, up) as bridge:
        connection, response = bridge.open_stream({"model": "mission-a3-kimi", "input": handed(HANDOFF)})
        response.readline()
        up.wait_for_requests(2)
        response.close()
        connection.close()
        bridge.request("GET", "/health")
        up.release("go")
        bridge.request("GET", "/api/missions/m_cli/events")
    items = {item["item"]: item["state"] for item in show(project)["items"]}
    assert (items["remark:1"], items["report"]) == ("emitted", "created")


@pytest.mark.parametrize("where", ["bridge", "process"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_detached_mission_keeps_its_level(project: Path, where: str, level: str) -> None:
    """--detach --commentary: whoever runs it, the log has the level, and `watch` shows what it says."""
    flags = ("--detach", "--commentary", level)
    with ChatUpstream([action(READ), action(REPORT)]) as up, ExitStack() as stack:
        if where == "bridge":
            stack.enter_context(bridge_of(project, up))
        said_to = {"upstream": up.base_url, "stdin": json.dumps(HANDOFF), "PROXY_API_KEY": LOCAL_KEY}
        done = run_cli(project, "mission", "run", "-", *flags, **said_to)
        assert done.returncode == 0, done.stderr
        watched = run_cli(project, "mission", "watch", "m_cli", upstream=up.base_url)
    assert watched.returncode == 0, watched.stderr
    shown = [line.removeprefix("· ") for line in watched.stderr.splitlines() if line.startswith("· ")]
    remarks = show(project, "show-commentary")["remarks"]
    assert shown == [remark["message"] for remark in remarks]
    assert ("debug" in {remark["severity"] for remark in remarks}, bool(remarks)) == (
        level == "detailed",
        level != "off",
    )


def test_run_through_a_bridge_is_shown_from_the_log(project: Path) -> None:
    """The stream brings the report, the log what happens: each remark is shown once, and emitted on both ways."""
    with ChatUpstream([action(READ), action(REPORT)]) as up, bridge_of(project, up):
        done = run_cli(project, "mission", "run", "-", stdin=json.dumps(HANDOFF), PROXY_API_KEY=LOCAL_KEY)
    assert done.returncode == 0, done.stderr
    shown = [line.removeprefix("· ") for line in done.stderr.splitlines() if line.startswith("· ")]
    assert shown == said(project)
    assert "  [ended] tools 1/6" in done.stderr
    assert {tuple(sorted(item["emitted"])) for item in show(project)["items"]} == {("cli", "responses")}


def test_an_unknown_level_is_refused(project: Path) -> None:
    """400 before anything begins."""
    with ChatUpstream([]) as up, bridge_of(project, up) as bridge:
        metadata = {"codex_oss_commentary": "loud"}
        answer = bridge.post({"model": "mission-a3-kimi", "input": handed(HANDOFF), "metadata": metadata})
        body = json.dumps({"handoff": HANDOFF, "commentary": "loud"}).encode()
        begun = bridge.request("POST", "/api/missions", body)
    assert (begun.status, begun.error["param"]) == (400, "commentary")
    assert (answer.status, answer.error["param"]) == (400, "metadata.codex_oss_commentary")


@pytest.mark.parametrize("most", [2, 3, 6])
def test_the_maximum_holds_on_the_wire(project: Path, most: int) -> None:
    """Never more commentary items than OSS_VISIBLE_TRACE_MAX_EVENTS; the last one tells the end."""
    environ = {"OSS_VISIBLE_TRACE_MAX_EVENTS": str(most), "OSS_VISIBLE_TRACE": "detailed"}
    with ChatUpstream([action(READ), action(REPORT)]) as up, bridge_of(project, up, **environ) as bridge:
        shown = [text for phase, text in turn(bridge, stream=True) if phase == "commentary"]
    assert 2 <= len(shown) <= most
    assert "are not shown here" in shown[-2]
    assert shown[-1].startswith("COMPLETE")


READERS = ("show-summary", "show-trace", "show-commentary", "show-delivery", "explain", "claim-status")


def test_reading_needs_nothing_but_the_log(project: Path) -> None:
    """With every projection, lock and other file gone but the logs, each reading verb says the same as before."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        run_cli(project, "mission", "run", "-", upstream=up.base_url, stdin=json.dumps(HANDOFF))

    def answers(*names: str) -> dict[str, tuple[int, str]]:
        calls = [(verb, ("m_cli", *options)) for verb in names for options in ((), ("--json",))]
        calls += [("claim-status", ()), ("claim-status", ("--json",)), ("mission", ("list", "--json"))]
        done = [(f"{verb} {arguments}", run_cli(project, verb, *arguments)) for verb, arguments in calls]
        return {name: (each.returncode, each.stdout) for name, each in done}

    before = answers(*READERS)
    state = project / ".codex-oss"
    logs = {path: path.read_bytes() for path in state.glob("runs/*/*.jsonl")}
    shutil.rmtree(state)
    for path, data in logs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert answers(*READERS) == before
    (delivery,) = [path for path in logs if path.name != LOG_NAME]
    delivery.unlink()
    rest = [name for name in READERS if name != "show-delivery"]
    assert answers(*rest) == {name: told for name, told in before.items() if "show-delivery" not in name}
    assert show(project)["counts"]["emitted"] == 0


def test_claim_status_judges_anew(project: Path) -> None:
    """Of a mission that is COMPLETE: 0. Of one that is not, or whose log was edited: 1, with what does not stand."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        run_cli(project, "mission", "run", "-", upstream=up.base_url, stdin=json.dumps(HANDOFF))
    done = run_cli(project, "claim-status", "m_cli", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], [claim["status"] for claim in told["claims"]]) == (0, True, ["SUPPORTED"])
    program = json.loads(run_cli(project, "claim-status", "--json").stdout)
    claims = {claim["claim"]: claim for claim in program["claims"]}
    assert claims["runtime_backed_investigation"] == {
        "claim": "runtime_backed_investigation", "status": "SUPPORTED", "basis": ["m_cli"], "missing": "",
    }  # fmt: skip
    assert (program["ok"], claims["bounded_implementation"]["status"]) == (False, "UNCONFIRMED")
    (log,) = (project / ".codex-oss/runs").glob(f"*/{LOG_NAME}")
    log.write_bytes(log.read_bytes().replace(b"MAX_RETRIES", b"MIN_RETRIES"))
    edited = run_cli(project, "claim-status", "--json")
    told = json.loads(edited.stdout)
    assert (edited.returncode, told["claims"][0]["status"], told["missions"]) == (1, "UNCONFIRMED", 0)


def test_claim_status_of_a_lie(project: Path) -> None:
    """A finding that no line bears out is UNCONFIRMED, with the code of its gate."""
    finding = {"claim": "`MIN_RETRIES` is 7", "evidence_refs": ["file:app/retry.py#extract:1"], "kind": "value"}
    told_of_it: Any = REPORT["report"]
    lie = {"action_type": "final_report", "report": {**told_of_it, "findings": [finding]}}
    with ChatUpstream([action(READ), action(lie), action(lie)]) as up:
        run_cli(project, "mission", "run", "-", upstream=up.base_url, stdin=json.dumps(HANDOFF))
    done = run_cli(project, "claim-status", "m_cli", "--json")
    told = json.loads(done.stdout)
    (claim,) = told["claims"]
    assert (done.returncode, told["ok"], claim["status"], bool(claim["codes"])) == (1, False, "UNCONFIRMED", True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("desktop-observation", "reconcile", "m_cli", "nowhere.jsonl"), "transcript_unreadable"),
        (("desktop-observation", "classify", "."), "transcript_unreadable"),
        (("desktop-observation", "reconcile", "nobody", "-"), "mission_not_found"),
        (("show-delivery", "nobody"), "mission_not_found"),
        (("show-commentary", "nobody"), "mission_not_found"),
        (("claim-status", "nobody"), "mission_not_found"),
    ],
)
def test_bad_input_is_one_sentence(project: Path, arguments: tuple[str, ...], code: str) -> None:
    """Exit 2, the code on stderr and as JSON on stdout."""
    done = run_cli(project, *arguments, "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]) == (2, code)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("level", ["off", "summary"])
def test_what_is_said_of_an_older_handoff_counts_too(project: Path, level: str) -> None:
    """Its notes come before the mission, are emitted like remarks, and a transcript that has them passes."""
    legacy = {**LEGACY, "read_only_paths": ["app/retry.py"]}
    thread = {"thread-id": "thread-1", "session-id": "thread-1"}
    asked = {"model": "mission-a3-kimi", "input": f"OSS_HANDOFF_JSON: {json.dumps(legacy)}", "stream": True}
    with ChatUpstream([action(READ), action(REPORT)]) as up, bridge_of(project, up, OSS_VISIBLE_TRACE=level) as bridge:
        answer = bridge.request("POST", "/v1/responses", json.dumps(asked).encode(), {**bridge.auth, **thread})
    texts = [text for _, text in messages_of(answer.events)]
    assert any("older form" in text for text in texts[:-1]) == (level == "summary")
    (mission_id,) = [path.name for path in (project / ".codex-oss/missions").iterdir()]
    lines: list[dict[str, Any]] = [{"type": "thread.started", "thread_id": "thread-1"}, {"type": "turn.started"}]
    lines += [{"type": "item.completed", "item": {"type": "agent_message", "text": text}} for text in texts]
    lines.append({"type": "turn.completed"})
    transcript = project / "transcript.jsonl"
    transcript.write_text("\n".join(json.dumps(line) for line in lines))
    done = run_cli(project, "desktop-observation", "reconcile", mission_id, "transcript.jsonl", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"], len(told["observed"])) == (0, "PASS", len(texts))


def test_classify_says_what_a_file_is(project: Path) -> None:
    """Form, threads, turns and texts; our own stream and noise are named as what they are; nothing is recorded."""
    lines: list[dict[str, Any]] = [
        {"type": "thread.started", "thread_id": "t"},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "x"}},
        {"type": "turn.completed"},
    ]
    files = {
        "codex_exec_json": "\n".join(json.dumps(line) for line in lines) + "\n",
        "bridge_stream": 'event: response.created\ndata: {"type": "response.created"}\n\n',
        "unreadable": "hello\n",
    }
    for form, content in files.items():
        done = run_cli(project, "desktop-observation", "classify", "-", "--json", stdin=content)
        assert (done.returncode, json.loads(done.stdout)["form"]) == (0, form)
    done = run_cli(project, "desktop-observation", "classify", "-", stdin=files["codex_exec_json"])
    assert 'turns: ["completed"]' in done.stdout
    assert not (project / ".codex-oss").exists()


@pytest.mark.parametrize(("command", "code"), [(["true"], 1), (["sh", "-c", "echo hi; exit 7"], 7)])
def test_wrap_ends_as_its_command(project: Path, command: list[str], code: int) -> None:
    """Its output is passed on; a command that succeeds and shows nothing of the mission is no success."""
    with ChatUpstream([action(READ), action(REPORT)]) as up:
        run_cli(project, "mission", "run", "-", "--quiet", upstream=up.base_url, stdin=json.dumps(HANDOFF))
    done = run_cli(project, "desktop-observation", "wrap", "m_cli", "--", *command)
    assert (done.returncode, done.stdout) == (code, "hi\n" if code == 7 else "")
    assert done.stderr.startswith("UNKNOWN ")
    missing = run_cli(project, "desktop-observation", "wrap", "m_cli", "--", "/nowhere/client")
    assert (missing.returncode, "cannot be run" in missing.stderr) == (2, True)
