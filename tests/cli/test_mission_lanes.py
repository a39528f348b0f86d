"""Scheduler lanes from outside: missions by HTTP, MCP and the command line in one queue, over several processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.cli.test_mcp import session
from tests.cli.test_missions import HANDOFF, READ, REPORT, failed_checks, project, run_cli
from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hold, Request, action

__all__ = ["project"]
ONE_AT_A_TIME = json.dumps({"read_pool": {"capacity": 1, "queue": 2, "wait": 60}})


def named(mission_id: str) -> dict[str, Any]:
    """The usual mission under another id."""
    return {**HANDOFF, "mission_id": mission_id}


def looking(request: Request) -> Answer:
    """A model that reads and reports; the first mission is held before its report."""
    if len(request.messages) < 3:
        return action(READ)
    first = "m_first" in request.body.decode()
    return Answer((Hold("go"), *action(REPORT).steps)) if first else action(REPORT)


def summary(bridge: BridgeProcess, mission_id: str) -> dict[str, Any]:
    """What the API says of a mission."""
    value: dict[str, Any] = bridge.request("GET", f"/api/missions/{mission_id}").json
    return value


def until_ended(bridge: BridgeProcess, mission_id: str) -> dict[str, Any]:
    """The summary of a mission that ended."""
    deadline = time.monotonic() + 20
    while (told := summary(bridge, mission_id))["status"] == "OPEN":
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    return told


def events_of(folder: Path, mission_id: str) -> list[dict[str, Any]]:
    """The log of a mission's only run."""
    (log,) = (folder / ".codex-oss/runs").glob(f"{mission_id}--*/events.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def begin(bridge: BridgeProcess, handoff: dict[str, Any]) -> None:
    """Begin a mission by the local API."""
    body = json.dumps({"handoff": handoff, "model": "mission-a3-kimi"}).encode()
    answer = bridge.request("POST", "/api/missions", body, bridge.auth)
    assert answer.status == 202, answer.body


async def test_http_mcp_and_command_line_stand_in_one_queue(project: Path) -> None:
    """One runs, two wait with their places told everywhere, the fourth is refused by code; then all go in order."""
    home = str(project.parent / "home")
    objective = {**named("m_first"), "objective": "m_first: where is MAX_RETRIES defined?"}
    with (
        ChatUpstream(looking) as up,
        running_bridge(project, upstream=up.base_url, HOME=home, MISSION_LANES_JSON=ONE_AT_A_TIME) as bridge,
    ):
        begin(bridge, objective)
        up.wait_for_requests(2)
        detached = run_cli(
            project, "mission", "run", "-", "--detach", "--json",
            stdin=json.dumps(named("m_second")), PROXY_API_KEY=LOCAL_KEY,
        )  # fmt: skip
        assert detached.returncode == 0, detached.stderr
        async with session(project, up.base_url) as client:
            begun = await client.call_tool("mission_start", {"handoff": named("m_third")})
            assert not begun.is_error, begun.content
            await asyncio.sleep(0.3)
            told = await client.call_tool("mission_status", {"mission_id": "m_third"})
            assert told.structured_content["queue"] == {"lane": "read_pool", "place": 2, "waiting": 2}
            assert "place 2 of 2" in str(told.content)
            assert summary(bridge, "m_second")["queue"]["place"] == 1
            listed = run_cli(project, "mission", "list").stdout
            assert "(waits for read_pool, place 1 of 2)" in listed
            lane = bridge.request("GET", "/health", headers=bridge.auth).json["mission_lanes"]["read_pool"]
            assert (lane["running"], lane["waiting"]) == (["m_first"], ["m_second", "m_third"])
            status = run_cli(project, "status", PROXY_API_KEY=LOCAL_KEY).stdout
            assert "read_pool 1 of 1; waiting: m_second, m_third" in status
            answer = bridge.post({"model": "mission-a3-kimi", "input": handed(named("m_fourth"))})
            assert "read_pool queue limit reached (2)" in str(answer.json)
            refused = summary(bridge, "m_fourth")
            assert (refused["status"], refused["reason_codes"]) == ("FAILED", ["capacity_timeout", "lane_queue_full"])
            up.release("go")
            for mission_id in ("m_first", "m_second", "m_third"):
                ended = until_ended(bridge, mission_id)
                assert (ended["status"], "queue" in ended) == ("COMPLETE", False), ended
    begun_at = {
        name: next(e["created_at"] for e in events_of(project, name) if e["event_type"] == "MissionScheduled")
        for name in ("m_second", "m_third")
    }
    assert begun_at["m_second"] <= begun_at["m_third"]
    assert all(e["event_type"] not in ("MissionQueued", "MissionScheduled") for e in events_of(project, "m_first"))
    remarks = (project / ".codex-oss/missions/m_third/visible_commentary.jsonl").read_text()
    assert "Waits for a slot in read_pool: place 2 of 2" in remarks
    for mission_id in ("m_first", "m_second", "m_third", "m_fourth"):
        checked = json.loads(run_cli(project, "audit-mission", mission_id, "--json").stdout)
        assert failed_checks(checked) == []


def handed(mission: dict[str, Any]) -> str:
    """A user message with the tagged block."""
    return f"<OSS_HANDOFF_JSON>{json.dumps(mission)}</OSS_HANDOFF_JSON>"


async def test_a_slot_of_a_killed_process_goes_to_the_next_one(project: Path) -> None:
    """Without a bridge each mission has a process of its own; `kill -9` of one begins the next, waiting is no time."""
    environ = {"MISSION_LANES_JSON": ONE_AT_A_TIME}
    first = {**named("m_first"), "objective": "m_first: where is MAX_RETRIES defined?"}
    with ChatUpstream(looking) as up:
        done = run_cli(
            project, "mission", "run", "-", "--detach", "--json",
            upstream=up.base_url, stdin=json.dumps(first), **environ,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        up.wait_for_requests(2)
        writer = json.loads(next((project / ".codex-oss/runs").glob("m_first--*/events.lock")).read_text())["pid"]
        async with session(project, up.base_url, OPENCODE_GO_API_KEY=UPSTREAM_KEY, **environ) as client:
            begun = await client.call_tool("mission_start", {"handoff": named("m_second")})
            assert not begun.is_error, begun.content
            await asyncio.sleep(1.5)
            os.kill(writer, signal.SIGKILL)
            for _ in range(200):
                told = await client.call_tool("mission_status", {"mission_id": "m_second"})
                if told.structured_content["status"] != "OPEN":
                    break
                await asyncio.sleep(0.1)
            assert told.structured_content["status"] == "COMPLETE"
        events = events_of(project, "m_second")
        waited = next(e["payload"]["waited_ms"] for e in events if e["event_type"] == "MissionScheduled")
        assert waited >= 1400
        up.release("go")
        resumed = run_cli(project, "mission", "resume", "m_first", "--json", upstream=up.base_url, **environ)
        assert json.loads(resumed.stdout)["status"] == "COMPLETE", resumed.stderr


def test_cancelling_gives_the_slot_and_the_place_back(project: Path) -> None:
    """A mission that waits is cancelled at once; one that runs leaves its slot to the next."""
    home = str(project.parent / "home")
    first = {**named("m_first"), "objective": "m_first: where is MAX_RETRIES defined?"}
    with (
        ChatUpstream(looking) as up,
        running_bridge(project, upstream=up.base_url, HOME=home, MISSION_LANES_JSON=ONE_AT_A_TIME) as bridge,
    ):
        for handoff in (first, named("m_second"), named("m_third")):
            begin(bridge, handoff)
        up.wait_for_requests(2)
        cancelled = bridge.request("POST", "/api/missions/m_second/cancel", b"", bridge.auth).json
        assert (cancelled["status"], cancelled["reason_codes"]) == ("FAILED", ["cancelled"])
        lane = bridge.request("GET", "/health", headers=bridge.auth).json["mission_lanes"]["read_pool"]
        assert (lane["running"], lane["waiting"]) == (["m_first"], ["m_third"])
        bridge.request("POST", "/api/missions/m_first/cancel", b"", bridge.auth)
        assert until_ended(bridge, "m_third")["status"] == "COMPLETE"


def test_what_is_refused_at_the_door_waits_for_nothing(project: Path) -> None:
    """A full lane does not hide why a mission could not run anyway."""
    environ = {"MISSION_LANES_JSON": json.dumps({"read_pool": {"capacity": 1, "queue": 0, "wait": 0}})}
    home = str(project.parent / "home")
    first = {**named("m_first"), "objective": "m_first: where is MAX_RETRIES defined?"}
    with ChatUpstream(looking) as up, running_bridge(project, upstream=up.base_url, HOME=home, **environ) as bridge:
        begin(bridge, first)
        up.wait_for_requests(2)
        begin(bridge, {**named("m_broad"), "allowed_roots": ["."]})
        assert until_ended(bridge, "m_broad")["reason_codes"] == ["broad_scope"]
        begin(bridge, named("m_full"))
        assert until_ended(bridge, "m_full")["reason_codes"] == ["capacity_timeout", "lane_queue_full"]


def test_no_mission_is_named_like_the_lock(project: Path) -> None:
    """A mission called `lanes` or `lock` runs like any other: its own lock is not that of the lanes."""
    with ChatUpstream(looking) as up:
        for mission_id in ("lanes", "lock", "state.json"):
            done = run_cli(
                project, "mission", "run", "-", "--json", upstream=up.base_url, stdin=json.dumps(named(mission_id))
            )
            assert json.loads(done.stdout)["status"] == "COMPLETE", done.stderr
