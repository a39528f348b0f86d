"""The missions of the project for screens and scripts on this machine: `/api/missions`.

| route | answer |
| --- | --- |
| `GET /api/missions` | every mission, the latest first: its summary |
| `POST /api/missions` | begin one: `{"handoff": {…} or text, "model"?, "commentary"?}`; 202 with its ids, it runs on |
| `GET /api/missions/{id}` | the summary of its latest run |
| `GET /api/missions/{id}/report` | its report as it stands |
| `GET /api/missions/{id}/events` | its log as SSE, `id:` is the sequence number; ends with the run |
| `POST /api/missions/{id}/cancel` | end it; answers when it is closed |
| `POST /api/missions/{id}/resume` | go on with it after its process died |

Counterparts: `services.mission_control` does it; `server.access` has checked key, Host and Origin.

Rules that hold here:

1. Everything shown is a fold of the log; a mission that another process runs is shown and cancelled like one of ours.
2. An SSE client that comes back with `Last-Event-ID` gets what it has not seen; one that has seen the end gets 204,
   which is how `EventSource` is told to stop coming back.
3. Each viewer reads the log for itself, at its own pace: a slow one holds up neither the mission nor another viewer,
   and one that leaves ends nothing. While nothing happens a comment every HEARTBEAT_S keeps the connection alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as Path

from codex_oss.contracts.handoff import parse_document
from codex_oss.errors import BridgeError, InvalidRequest
from codex_oss.missions.commentary import LEVELS
from codex_oss.missions.projections import final_report, project_summary
from codex_oss.missions.record import RunRecord, fold
from codex_oss.server.errors import json_response
from codex_oss.services.log_tail import Tailed, follow_log, with_heartbeats
from codex_oss.services.mission_jobs import MissionJob
from codex_oss.services.mission_runner import Admission
from codex_oss.wire.fields import optional_text_at
from codex_oss.wire.responses_request import decode_body
from codex_oss.wiring.bridge import Bridge

DEFAULT_PROFILE: Final = "kimi"
ROOT: Final = "/api/missions"
HEARTBEAT_S: Final = 10.0
HEARTBEAT: Final = b": alive\n\n"
RETRY_FRAME: Final = b"retry: 1000\n\n"
"""How long `EventSource` waits before it comes back, in ms."""


class MissionsApi:
    """The handlers, bound to one bridge."""

    def __init__(self, bridge: Bridge, read_body: Callable[[Request], Awaitable[bytes]]) -> None:
        self._missions = bridge.missions
        self._read_body = read_body

    def routes(self) -> list[Path]:
        """The routes of the table above."""
        return [
            Path(ROOT, self.all, methods=["GET"]),
            Path(ROOT, self.begin, methods=["POST"]),
            Path(f"{ROOT}/{{mission_id}}", self.one, methods=["GET"]),
            Path(f"{ROOT}/{{mission_id}}/report", self.report, methods=["GET"]),
            Path(f"{ROOT}/{{mission_id}}/events", self.events, methods=["GET"]),
            Path(f"{ROOT}/{{mission_id}}/cancel", self.cancel, methods=["POST"]),
            Path(f"{ROOT}/{{mission_id}}/resume", self.resume, methods=["POST"]),
        ]

    async def all(self, _: Request) -> Response:
        """Every mission."""
        return json_response({"missions": await asyncio.to_thread(self._summaries)})

    async def begin(self, http: Request) -> Response:
        """Begin a mission that nobody needs to watch."""
        obj = decode_body(await self._read_body(http))
        raw, level = _handoff_in(obj), optional_text_at(obj, "commentary", "")
        if level and level not in LEVELS:
            raise InvalidRequest(f"`commentary` must be one of {', '.join(LEVELS)}.", param="commentary")
        tier = str(raw.get("tier", "A3")).lower()
        model = optional_text_at(obj, "model", "") or f"mission-{tier}-{DEFAULT_PROFILE}"
        admitted = self._missions.admit(raw, model)
        if not isinstance(admitted, Admission):
            codes = "; ".join(f"{problem.code} {problem.field}: {problem.message}" for problem in admitted)
            raise InvalidRequest(codes, code="contract_invalid", param="handoff")
        admitted = msgspec.structs.replace(admitted, trace_level=level or admitted.trace_level)
        return await self._begun(self._missions.jobs.start(admitted))

    async def one(self, http: Request) -> Response:
        """Its summary."""
        return json_response(project_summary(await self._record(http)))

    async def report(self, http: Request) -> Response:
        """Its report; of a mission that runs, what stands so far."""
        return json_response(final_report(await self._record(http)))

    async def events(self, http: Request) -> Response:
        """Its log, from `Last-Event-ID` or `?after=` on."""
        told = http.headers.get("last-event-id") or http.query_params.get("after") or "0"
        if not (told.isdecimal() and told.isascii() and len(told) < 12):
            raise InvalidRequest("`after` must be the number of an event.", param="after")
        record = await self._record(http)
        if record.closed is not None and int(told) >= record.last_seq:
            return Response(status_code=204)
        frames = _frames(follow_log(self._missions.store.run_folder(record.run_id), int(told)), HEARTBEAT_S)
        return StreamingResponse(frames, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def cancel(self, http: Request) -> Response:
        """Its summary, closed."""
        return json_response(project_summary(await self._missions.cancel(http.path_params["mission_id"])))

    async def resume(self, http: Request) -> Response:
        """Its ids; it runs on by itself."""
        return await self._begun(self._missions.resume(http.path_params["mission_id"]))

    async def _begun(self, job: MissionJob) -> Response:
        """The answer once the first event is in the log, or the error that kept it from being there."""
        async for _ in job.follow():
            break
        return json_response({"mission_id": job.mission_id, "run_id": job.run_id, "status": "OPEN"}, 202)

    async def _record(self, http: Request) -> RunRecord:
        return await asyncio.to_thread(self._read, http.path_params["mission_id"])

    def _read(self, mission_id: str) -> RunRecord:
        reading = self._missions.store.read_latest(mission_id)
        return fold(reading.run_id, reading.mission_id, reading.recorded())

    def _summaries(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for mission_id in self._missions.store.mission_ids():
            try:
                rows.append(project_summary(self._read(mission_id)))
            except BridgeError as exc:
                rows.append({"mission_id": mission_id, "status": "UNREADABLE", "reason_codes": [exc.code]})
        return rows


def _handoff_in(obj: dict[str, Any]) -> dict[str, Any]:
    """The raw mission of a body: the object itself, or a text with the tagged block. Raises InvalidRequest."""
    handoff = obj.get("handoff")
    if isinstance(handoff, dict):
        return handoff
    if not isinstance(handoff, str):
        raise InvalidRequest("`handoff` must be the mission, as an object or as the tagged text.", param="handoff")
    found = parse_document(handoff)
    if found.raw is None:
        problem = found.problems[0]
        raise InvalidRequest(problem.message, code=problem.code, param="handoff")
    return dict(found.raw)


async def _frames(batches: AsyncGenerator[list[Tailed], None], heartbeat_s: float) -> AsyncGenerator[bytes, None]:
    yield RETRY_FRAME
    async with aclosing(with_heartbeats(batches, heartbeat_s)) as beats:
        async for batch in beats:
            frames = (
                b"id: %d\nevent: %b\ndata: %b\n\n"
                % (one.recorded.seq, type(one.recorded.event).__name__.encode(), one.line)
                for one in batch
            )
            yield b"".join(frames) or HEARTBEAT
