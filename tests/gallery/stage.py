"""Where a scripted model plays its part: the real runtime, a real project folder, a real upstream on loopback.

    with open_stage(folder) as stage:
        records = stage.play([Part("m_1", contract, script, "json"), …])

Only the model is a fake. Admission, runner, tools, redaction, event log, gates and the raw lane are those of the
bridge; the model is asked over HTTP and answers by what it has been asked so far, so that many missions can run at
once. Two things are left out, because 3,000 missions would wait minutes for them and truth does not depend on them:
syncs of the log, and the search for secrets in the contract.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from codex_oss.missions.record import RunRecord, fold
from codex_oss.services import mission_runner
from codex_oss.services.mission_runner import Admission
from codex_oss.services.settings import read_settings
from codex_oss.wiring.bridge import Bridge, build
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, error
from tests.gallery.project import FILES
from tests.gallery.turns import Protocol, Script, spoken

ALIAS = "mission-{tier}-deepseek"
AT_ONCE = 8
MARK = re.compile(r"\[part (?P<number>\d+)\]")


@dataclass(frozen=True)
class Part:
    """One mission to play. contract: fields of MissionV1; its tier names the model."""

    contract: Mapping[str, Any]
    script: Script
    protocol: Protocol


class Stage:
    """One project, played on by any number of models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[Part] = []
        self._faults: list[Exception] = []

    def play(self, parts: Sequence[Part]) -> list[RunRecord]:
        """Play every part to its end; the records in the order of the parts."""
        first = len(self._parts)
        self._parts += parts
        numbered = list(enumerate(parts, first))
        with (
            ChatUpstream(self._answer_or_fault, max_requests=100_000) as upstream,
            patch.object(os, "fdatasync", lambda fd: None),
            patch.object(mission_runner, "redacted_mission", lambda mission, redactor: mission),
        ):
            by_protocol = {
                protocol: asyncio.run(self._play_all([n for n in numbered if n[1].protocol == protocol], upstream))
                for protocol in dict.fromkeys(part.protocol for part in parts)
            }
        if self._faults:
            raise AssertionError("a script could not be spoken") from self._faults[0]
        played = {number: record for records in by_protocol.values() for number, record in records}
        return [played[number] for number, _ in numbered]

    async def _play_all(
        self, numbered: Sequence[tuple[int, Part]], upstream: ChatUpstream
    ) -> list[tuple[int, RunRecord]]:
        protocol = numbered[0][1].protocol
        environ = {
            "HOME": str(self._folder),
            "UPSTREAM_BASE": upstream.base_url,
            "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
            "MAX_GLOBAL_UPSTREAM_CONCURRENCY": str(AT_ONCE),
            "MODEL_CONCURRENCY_JSON": f'{{"deepseek-v4-pro": {AT_ONCE}}}',
            "MISSION_LANES_JSON": f'{{"read_pool": [{AT_ONCE}, {AT_ONCE}, 60]}}',
            "CODEX_OSS_ACTION_PROTOCOL": protocol,
        }
        bridge = build(read_settings(self._folder, {}, environ), self._folder, environ)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, part: Part) -> tuple[int, RunRecord]:
            async with gate:
                return number, await _run(bridge, number, part)

        try:
            return list(await asyncio.gather(*(one(number, part) for number, part in numbered)))
        finally:
            await bridge.aclose()

    def _answer(self, request: Request) -> Answer:
        found = MARK.search(request.text)
        assert found is not None, "a question without its part"
        part = self._parts[int(found["number"])]
        turn = sum(message["role"] == "assistant" for message in request.messages)
        return spoken(part.script[min(turn, len(part.script) - 1)], part.protocol, turn)

    def _answer_or_fault(self, request: Request) -> Answer:
        """A mistake in a script fails the test at once instead of being retried."""
        try:
            return self._answer(request)
        except Exception as exc:
            self._faults.append(exc)
            return error(400, "the script is wrong")


async def _run(bridge: Bridge, number: int, part: Part) -> RunRecord:
    contract = {
        **part.contract,
        "mission_id": f"part_{number}",
        "objective": f"{part.contract['objective']} [part {number}]",
    }
    admitted = bridge.missions.admit(contract, ALIAS.format(tier=str(contract["tier"]).lower()))
    assert isinstance(admitted, Admission), admitted
    job = bridge.missions.jobs.start(admitted)
    events = [event async for batch in job.follow() for event in batch]
    return fold(job.run_id, job.mission_id, events)


@contextmanager
def open_stage(folder: Path) -> Iterator[Stage]:
    """A stage in a new folder with the files of the sample project."""
    for path, text in FILES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    yield Stage(folder)
