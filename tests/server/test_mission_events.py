"""`/api/missions/{id}/events`: many viewers, slow ones, ones that leave or come back; no mission minds them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from codex_oss.server import missions_api
from codex_oss.services.log_tail import Tailed
from tests.fakes.bridge_process import Answer, BridgeProcess, running_bridge, sse_events
from tests.fakes.chat_upstream import Answer as Scripted
from tests.fakes.chat_upstream import ChatUpstream, Hold, Request, Script, action
from tests.server.test_missions import HANDOFF, READ, REPORT, project

__all__ = ["project"]

EVENTS = "/api/missions/m_http/events"


def begin(bridge: BridgeProcess, mission: dict[str, object] = HANDOFF) -> None:
    """Begin a mission that nobody watches yet."""
    body = json.dumps({"handoff": mission, "model": "mission-a3-kimi"}).encode()
    assert bridge.request("POST", "/api/missions", body).status == 202


def look(bridge: BridgeProcess, **headers: str) -> Answer:
    """All that a viewer gets until the stream ends."""
    return bridge.request("GET", EVENTS, headers={**bridge.auth, **headers})


def kinds_of(answer: Answer) -> list[str]:
    """The types of the events of a stream."""
    return [event["event_type"] for event in answer.events]


def test_many_viewers_see_the_same_and_one_that_left_ends_nothing(project: Path) -> None:
    """Eight look on, one leaves in the middle; the mission ends COMPLETE and seven have the same bytes."""
    with ChatUpstream(holding_report("go")) as up, running_bridge(project, upstream=up.base_url) as bridge:
        begin(bridge)
        up.wait_for_requests(2)
        leaving = bridge.connect()
        leaving.request("GET", EVENTS, headers=bridge.auth)
        assert leaving.getresponse().readline() == b"retry: 1000\n"
        leaving.close()
        seen: list[Answer] = []
        viewers = [threading.Thread(target=lambda: seen.append(look(bridge))) for _ in range(7)]
        for viewer in viewers:
            viewer.start()
        up.release("go")
        for viewer in viewers:
            viewer.join(20)
        assert bridge.request("GET", "/api/missions/m_http").json["status"] == "COMPLETE"
        log = bridge.log.read_text()
    assert len({answer.body for answer in seen}) == 1
    assert (len(seen), kinds_of(seen[0])[-1]) == (7, "MissionClosed")
    assert "Traceback" not in log


def holding_report(name: str) -> Script:
    """A model that reads, then reports when *name* is released."""

    def script(request: Request) -> Scripted:
        return action(READ) if len(request.messages) < 3 else Scripted((Hold(name), *action(REPORT).steps))

    return script


def test_a_viewer_that_comes_back_gets_what_it_has_not_seen(project: Path) -> None:
    """Cut after any event and asked again with its id, the two parts are the whole; after the end comes 204."""
    with ChatUpstream([action(READ), action(REPORT)]) as up, running_bridge(project, upstream=up.base_url) as bridge:
        begin(bridge)
        whole = look(bridge).events
        for event in whole[:-1]:
            rest = look(bridge, **{"Last-Event-ID": str(event["seq"])})
            assert whole[: event["seq"]] + rest.events == whole
        ended = look(bridge, **{"Last-Event-ID": str(whole[-1]["seq"])})
    assert (ended.status, ended.body) == (204, b"")


def test_a_viewer_that_does_not_read_holds_nothing_up(project: Path) -> None:
    """A viewer with a full socket: the mission ends, another viewer has all of it, and the first one gets it late."""
    (project / "limits.py").write_text("LIMIT = 3\n" + "# a line that makes the log long\n" * 20_000)

    def script(request: Request) -> Scripted:
        asked = (len(request.messages) - 1) // 2
        lines = {"path": "limits.py", "start_line": 1 + 1000 * asked, "end_line": 1000 + 1000 * asked}
        return action({**READ, "arguments": lines}) if asked < 12 else action(REPORT)

    mission = {**HANDOFF, "tool_budget": 14, "max_model_calls": 20}
    with ChatUpstream(script) as up, running_bridge(project, upstream=up.base_url) as bridge:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", bridge.port))
        begin(bridge, mission)
        key = bridge.auth["Authorization"]
        slow.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: 127.0.0.1:{bridge.port}\r\nAuthorization: {key}\r\n\r\n".encode())
        whole = look(bridge)
        assert kinds_of(whole)[-1] == "MissionClosed"
        assert len(whole.body) > 300_000
        slow.settimeout(20)
        late = b""
        while b'"MissionClosed"' not in late:
            late += slow.recv(65536)
        slow.close()
    assert late.count(b"\nid: ") == len(whole.events)


async def test_silence_is_broken_by_comments() -> None:
    """While no event comes, a comment does; it is no event for any parser of SSE."""

    async def nothing() -> AsyncGenerator[list[Tailed], None]:
        await asyncio.sleep(0.3)
        batches: list[list[Tailed]] = []
        for batch in batches:
            yield batch

    frames = [frame async for frame in missions_api._frames(nothing(), 0.05)]
    assert frames[0] == missions_api.RETRY_FRAME
    assert len(frames) > 3
    assert set(frames[1:]) == {missions_api.HEARTBEAT}
    assert sse_events(b"".join(frames)) == []


@pytest.mark.parametrize("told", ["-1", "x", "9" * 12, "1.5"])
def test_a_place_that_is_none_is_refused(project: Path, told: str) -> None:
    """400 with a sentence, not a stream from somewhere."""
    with ChatUpstream(holding_report("never")) as up, running_bridge(project, upstream=up.base_url) as bridge:
        begin(bridge)
        answer = look(bridge, **{"Last-Event-ID": told})
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
