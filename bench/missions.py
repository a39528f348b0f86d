"""What the runtime itself costs per step of a mission: scripted model, real tools, real log, real disk.

    .venv/bin/python bench/missions.py [MISSIONS] [STEPS]

A step is a question, its answer, the verdict, a read of one file and what was shown: seven events. Printed are the
median and the 99th percentile of a step in milliseconds, and both as multiples of one durable append of 1 KiB
to the same disk, measured in the same run, because a disk's sync is most of it and differs from machine to machine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from codex_oss import wiring
from codex_oss.policy.exposure import Redactor
from codex_oss.services.admission import AdmissionDesk
from codex_oss.services.mission_runner import Admission, MissionRunner
from codex_oss.services.mission_store import MissionStore
from codex_oss.services.settings import read_settings
from codex_oss.services.tool_host import ToolHost
from codex_oss.wire.events import ItemDone, ItemStarted, MessageStart, TextDelta, TurnCompleted, TurnEvent, TurnStarted
from codex_oss.wire.items import TurnRequest


def main() -> None:
    """Run the missions one after the other and print what a step took."""
    missions = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "src").mkdir()
        for number in range(steps):
            (project / f"src/file{number}.py").write_text("".join(f"LINE_{n} = {n}\n" for n in range(200)))
        sync_ms = durable_append_ms(project / "probe")
        times = [taken for number in range(missions) for taken in asyncio.run(one_mission(project, number, steps))]
    quantiles = statistics.quantiles(times, n=100)
    for name, value in (("median", quantiles[49]), ("99th percentile", quantiles[98])):
        print(f"{name:16} {value:6.2f} ms a step, {value / sync_ms:5.1f} x one durable append ({sync_ms:.2f} ms)")
    print(f"n = {len(times)} steps of {missions} missions")


async def one_mission(project: Path, number: int, steps: int) -> list[float]:
    """Milliseconds from question to question."""
    asked_at: list[float] = []

    async def lane(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        asked_at.append(time.perf_counter())
        path = f"src/file{len(asked_at) - 1}.py"
        call = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": path}, "reason": "next"}
        report = {"action_type": "final_report", "report": {"status": "PARTIAL", "findings": []}}
        answer = json.dumps(call if len(asked_at) <= steps else report)
        yield [
            TurnStarted("scripted"),
            ItemStarted(0, MessageStart()),
            TextDelta(0, answer),
            ItemDone(0),
            TurnCompleted(),
        ]

    environ = {"HOME": str(project), "RUNTIME_MISSION_MAX_DEADLINE_SECONDS": "3600"}
    settings = read_settings(project, {}, environ)
    with wiring.open_project(project) as root:
        redactor = Redactor()
        runner = MissionRunner(MissionStore(project), ToolHost(root, redactor), lane, redactor)
        admission = AdmissionDesk(project, settings.config, lambda _: 1).admit(
            handoff(number, steps),
            model_alias="mission-a3-deepseek",
            profile=settings.profiles["deepseek"],
            tier="A3",
        )
        assert isinstance(admission, Admission), admission
        async for _ in runner.run(admission):
            pass
    return [(after - before) * 1000 for before, after in itertools.pairwise(asked_at)]


def handoff(number: int, steps: int) -> dict[str, object]:
    """A mission that reads one file a step."""
    return {
        "schema_version": "oss_agent_mission.v1",
        "mission_id": f"bench_{number}",
        "tier": "A3",
        "objective": "read",
        "allowed_roots": ["src"],
        "allowed_tool_classes": ["read"],
        "required_outputs": ["findings"],
        "tool_budget": steps,
        "time_budget_seconds": 180,
        "max_files_to_inspect": steps,
    }


def durable_append_ms(path: Path, rounds: int = 50) -> float:
    """Median milliseconds of one write of 1 KiB and its fdatasync."""
    fd, taken = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), []
    for _ in range(rounds):
        started = time.perf_counter()
        os.write(fd, b"x" * 1024)
        os.fdatasync(fd)
        taken.append((time.perf_counter() - started) * 1000)
    os.close(fd)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
