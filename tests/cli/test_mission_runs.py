"""`mission resume`, `cancel` and `rebuild` as real processes, around a real bridge that is killed or stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cli.test_missions import HANDOFF, READ, REPORT, audit, failed_checks, project, run_cli, run_mission
from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, Script, action

__all__ = ["project"]


def holding(name: str) -> Script:
    """A model that reads, then reports when *name* is released."""

    def script(request: Request) -> Answer:
        return action(READ) if len(request.messages) < 3 else Answer((Hold(name), *action(REPORT).steps))

    return script


@contextmanager
def mission_under_way(folder: Path, up: ChatUpstream) -> Iterator[BridgeProcess]:
    """A bridge whose mission waits for its second answer."""
    with running_bridge(folder, upstream=up.base_url, HOME=str(folder.parent / "home")) as bridge:
        handed = f"<OSS_HANDOFF_JSON>{json.dumps(HANDOFF)}</OSS_HANDOFF_JSON>"
        connection, response = bridge.open_stream({"model": "mission-a3-kimi", "input": handed})
        response.readline()
        up.wait_for_requests(2)
        try:
            yield bridge
        finally:
            connection.close()


def events_of(folder: Path) -> list[dict[str, object]]:
    """The log of the only run."""
    (log,) = (folder / ".codex-oss/runs").glob("*/events.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_mission_goes_on_after_kill_nine(project: Path) -> None:
    """The bridge dies with SIGKILL; `resume` ends the mission as if nothing had happened, and the audit passes."""
    with ChatUpstream(holding("go")) as up:
        with mission_under_way(project, up) as bridge:
            bridge.process.send_signal(signal.SIGKILL)
            bridge.process.wait(10)
        up.release("go")
        done = run_cli(project, "mission", "resume", "m_cli", "--json", upstream=up.base_url)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["status"], outcome["reason_codes"]) == ("COMPLETE", [])
    assert failed_checks(audit(project)[1]) == []
    kinds = [event["event_type"] for event in events_of(project)]
    assert (kinds.count("ToolStarted"), kinds.count("MissionResumed"), kinds.count("MissionClosed")) == (1, 1, 1)
    again = run_cli(project, "mission", "resume", "m_cli")
    assert (again.returncode, "ended as COMPLETE" in again.stderr) == (2, True)


def test_a_stopped_bridge_is_taken_over_and_fenced(project: Path) -> None:
    """Stopped in mid-mission, another process ends it; continued, the bridge writes nothing into that run any more."""
    with ChatUpstream(holding("go")) as up, mission_under_way(project, up) as bridge:
        bridge.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        up.release("go")
        done = run_cli(project, "mission", "resume", "m_cli", "--json", upstream=up.base_url)
        assert done.returncode == 0, done.stderr
        before = events_of(project)
        assert {event["epoch"] for event in before} == {1, 2}
        bridge.process.send_signal(signal.SIGCONT)
        assert bridge.request("GET", "/health").json["status"] == "ok"
        time.sleep(1)  # its answer has arrived by now, and its next write was refused
        assert events_of(project) == before
    assert failed_checks(audit(project)[1]) == []


def test_a_mission_that_runs_is_not_resumed_but_cancelled(project: Path) -> None:
    """`resume` leaves a living writer alone; `cancel` from another process ends its mission within seconds."""
    with ChatUpstream(holding("never")) as up, mission_under_way(project, up):
        refused = run_cli(project, "mission", "resume", "m_cli", upstream=up.base_url)
        assert (refused.returncode, "is running" in refused.stderr) == (2, True)
        done = run_cli(project, "mission", "cancel", "m_cli", "--json", upstream=up.base_url)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["cancelled"], told["status"], told["reason_codes"]) == (True, "PARTIAL", ["cancelled"])
        assert up.requests[1].client_left.wait(10)
    again = run_cli(project, "mission", "cancel", "m_cli")
    assert (again.returncode, "is cancelled" in again.stdout) == (0, True)


def test_a_dead_mission_can_be_cancelled(project: Path) -> None:
    """Nobody writes it any more: it is closed as cancelled with what it has."""
    with ChatUpstream(holding("never")) as up, mission_under_way(project, up) as bridge:
        bridge.process.send_signal(signal.SIGKILL)
        bridge.process.wait(10)
    done = run_cli(project, "mission", "cancel", "m_cli", "--json")
    assert json.loads(done.stdout)["status"] == "PARTIAL", done.stderr
    assert failed_checks(audit(project)[1]) == []


def test_projections_are_made_anew(project: Path) -> None:
    """Deleted and edited files come back byte for byte."""
    _, outcome, _ = run_mission(project, [action(READ), action(REPORT)])
    folder = Path(outcome["artifacts"])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "report.json").unlink()
    (folder / "summary.md").write_text("touched up")
    done = run_cli(project, "mission", "rebuild", "m_cli", "--json")
    assert (done.returncode, len(json.loads(done.stdout)["files"])) == (0, len(before))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("verb", ["resume", "cancel", "rebuild"])
def test_an_unknown_mission_is_said(project: Path, verb: str) -> None:
    """One sentence, exit 2."""
    done = run_cli(project, "mission", verb, "nobody")
    assert (done.returncode, "There is no mission 'nobody'" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_processes_that_resume_at_once_are_one(project: Path) -> None:
    """Two take-overs at the same moment: one goes on, the other is refused, and the log has one closing."""
    with ChatUpstream(holding("go")) as up:
        with mission_under_way(project, up) as bridge:
            bridge.process.send_signal(signal.SIGKILL)
            bridge.process.wait(10)
        up.release("go")
        results: list[subprocess.CompletedProcess[str]] = []
        threads = [
            threading.Thread(
                target=lambda: results.append(run_cli(project, "mission", "resume", "m_cli", upstream=up.base_url))
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(done.returncode == 0 for done in results) == 1, [done.stderr for done in results]
    assert all("Traceback" not in done.stderr for done in results)
    assert [event["event_type"] for event in events_of(project)].count("MissionClosed") == 1


@pytest.mark.parametrize("where", ["bridge", "process"])
def test_a_detached_mission_runs_by_itself(project: Path, where: str) -> None:
    """`run --detach` comes back at once, `list` and `watch` show it, and it ends without anybody looking."""
    with ChatUpstream(holding("go")) as up, ExitStack() as stack:
        if where == "bridge":
            stack.enter_context(running_bridge(project, upstream=up.base_url, HOME=str(project.parent / "home")))
        begun = run_cli(
            project, "mission", "run", "-", "--detach", "--json",
            upstream=up.base_url, stdin=json.dumps(HANDOFF), PROXY_API_KEY=LOCAL_KEY,
        )  # fmt: skip
        assert begun.returncode == 0, begun.stderr
        assert json.loads(begun.stdout)["status"] == "OPEN"
        listed = json.loads(run_cli(project, "mission", "list", "--json").stdout)["missions"]
        assert [(row["mission_id"], row["status"]) for row in listed] == [("m_cli", "OPEN")]
        up.release("go")
        watched = run_cli(project, "mission", "watch", "m_cli", PROXY_API_KEY=LOCAL_KEY)
        assert watched.returncode == 0, watched.stderr
        assert "app/retry.py" in watched.stderr
        assert "MAX_RETRIES" in watched.stdout
    lines = run_cli(project, "mission", "watch", "m_cli", "--json").stdout.splitlines()
    assert json.loads(lines[-1])["event_type"] == "MissionClosed"


def test_a_detached_mission_that_cannot_begin_says_why(project: Path) -> None:
    """A model that nobody knows: the reason, not silence."""
    done = run_cli(
        project, "mission", "run", "-", "--detach", "--model", "mission-a3-nobody", stdin=json.dumps(HANDOFF)
    )
    assert (done.returncode, "nobody" in done.stderr) == (1, True)


def test_the_local_api_shows_and_directs_missions(project: Path) -> None:
    """Begin, list, one, events as SSE from any place on, report, cancel; refusals have their status and code."""
    with (
        ChatUpstream(holding("never")) as up,
        running_bridge(project, upstream=up.base_url, HOME=str(project.parent / "home")) as bridge,
    ):
        post = json.dumps({"handoff": HANDOFF, "model": "mission-a3-kimi"}).encode()
        begun = bridge.request("POST", "/api/missions", post)
        assert (begun.status, begun.json["mission_id"]) == (202, "m_cli")
        again = bridge.request("POST", "/api/missions", post)
        assert (again.status, again.error["code"]) == (409, "mission_already_running")
        up.wait_for_requests(2)
        assert bridge.request("GET", "/api/missions").json["missions"][0]["status"] == "OPEN"
        assert bridge.request("GET", "/api/missions/m_cli").json["tool_runs"] == 1
        assert bridge.request("GET", "/api/missions/m_cli/report").json["status"] != "COMPLETE"
        cancelled = bridge.request("POST", "/api/missions/m_cli/cancel")
        assert (cancelled.status, cancelled.json["reason_codes"]) == (200, ["cancelled"])
        whole = bridge.request("GET", "/api/missions/m_cli/events")
        assert whole.headers["content-type"].startswith("text/event-stream")
        kinds = [event["event_type"] for event in whole.events]
        assert (kinds[0], kinds[-1]) == ("MissionOpened", "MissionClosed")
        rest = bridge.request("GET", "/api/missions/m_cli/events", headers={**bridge.auth, "Last-Event-ID": "3"})
        assert [event["seq"] for event in rest.events] == list(range(4, len(kinds) + 1))
        for method, path, body, status, code in (
            ("GET", "/api/missions/nobody", None, 404, "mission_not_found"),
            ("POST", "/api/missions/m_cli/resume", b"", 409, "mission_closed"),
            ("POST", "/api/missions", b'{"handoff": 7}', 400, "invalid_request"),
            ("POST", "/api/missions", b'{"handoff": "prose"}', 400, "handoff_missing"),
            ("POST", "/api/missions", b'{"handoff": {"tier": "A3"}}', 400, "contract_invalid"),
            ("GET", "/api/missions/m_cli/events?after=x", None, 400, "invalid_request"),
        ):
            answer = bridge.request(method, path, body)
            assert (answer.status, answer.error["code"]) == (status, code)
        stranger = bridge.request("GET", "/api/missions", headers={})
        assert stranger.status == 401


def test_a_process_killed_in_mid_write_is_followed_to_its_last_commit(project: Path) -> None:
    """`watch` of a run without a writer ends, says so, and shows what stands before a torn line."""
    with ChatUpstream(holding("never")) as up, mission_under_way(project, up) as bridge:
        bridge.process.send_signal(signal.SIGKILL)
        bridge.process.wait(10)
    (log,) = (project / ".codex-oss/runs").glob("*/events.jsonl")
    with log.open("ab") as file:
        file.write(b'{"torn":')
    done = run_cli(project, "mission", "watch", "m_cli")
    assert (done.returncode, "mission resume m_cli" in done.stderr) == (1, True)
    assert "app/retry.py" in done.stderr
