"""What the runtime of missions costs: a step, two hundred missions at once, and the memory of one that runs.

    .venv/bin/python bench/runtime.py               # shown only, a minute
    .venv/bin/python bench/runtime.py --write       # also bench/results/runtime.json, which docs/performance.md shows
    .venv/bin/python bench/runtime.py --part steps  # one part, in this process, as JSON

The model is scripted; tools, redaction, log (synced, with MAC and anchor), lanes and projections are the real ones, on
the disk of the temporary folder. A step is a question, its answer, the verdict, the read of a file of 200 lines, and
what was shown. Rules that hold here:

1. Each part has a process of its own, so that memory and CPU are its own.
2. Beside the time of a step stands its CPU time: with others at work on the machine the one holds, the other does not.
   The time of one durable write of 1 KiB, taken in the same run, says what the disk itself costs.
3. A deadline is missed when a mission ends after its time, or for want of it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from codex_oss.missions.record import RunRecord, epoch_ms
from codex_oss.policy.exposure import Redactor
from codex_oss.services.admission import AdmissionDesk
from codex_oss.services.mission_lanes import MissionLanes
from codex_oss.services.mission_runner import Admission, MissionRunner
from codex_oss.services.mission_store import MissionStore
from codex_oss.services.settings import read_settings
from codex_oss.services.tool_host import ToolHost
from codex_oss.setting_values import LaneLimits
from codex_oss.wire.events import ItemDone, ItemStarted, MessageStart, TextDelta, TurnCompleted, TurnEvent, TurnStarted
from codex_oss.wire.items import TurnRequest
from codex_oss.wiring.records import open_project, open_seal

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "bench" / "results" / "runtime.json"
FILES: Final = 15
CROWD: Final = 200
CROWD_STEPS: Final = 8
MODEL_S: Final = 1.0
"""What the scripted model takes for an answer when many missions run."""
CROWD_TIME_S: Final = 30

Answering = Callable[[TurnRequest, int], AsyncIterator[Sequence[TurnEvent]]]


class Workshop:
    """A project, and missions on it with a scripted model."""

    def __init__(self, project: Path, steps: int, pause_s: float = 0.0) -> None:
        self.project, self.steps, self.pause_s = project, steps, pause_s
        self.asked: dict[str, list[tuple[float, float]]] = {}
        """Run to the wall and CPU clock at each of its questions."""
        self.hold: asyncio.Event | None = None
        self.holding = 0
        self.all_hold = asyncio.Event()
        environ = {"HOME": str(project), "RUNTIME_MISSION_MAX_DEADLINE_SECONDS": "3600"}
        settings = read_settings(project, {}, environ)
        self.root = open_project(project)
        redactor, seal = Redactor(), open_seal(project, environ)
        lanes = MissionLanes(project, {"read_pool": LaneLimits(CROWD, 0, 1.0)})
        tools = ToolHost(self.root, redactor)
        self.runner = MissionRunner(
            MissionStore(project), tools, self.lane, redactor, open_seal=lambda: seal, lanes=lanes
        )
        self.desk = AdmissionDesk(project, settings.config, lambda _: 1, settings.profiles)
        self.profile = settings.profiles["deepseek"]

    async def lane(self, request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        """Reads one file after the other, then reports."""
        asked = self.asked.setdefault(request.session_id, [])
        asked.append((time.perf_counter(), time.process_time()))
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        if self.hold is not None and len(asked) > self.steps:
            self.holding += 1
            if self.holding == CROWD:
                self.all_hold.set()
            await self.hold.wait()
        path = f"src/file{(len(asked) - 1) % FILES}.py"
        call = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": {"path": path}, "reason": "next"}
        report = {"action_type": "final_report", "report": {"status": "PARTIAL", "findings": []}}
        answer = json.dumps(call if len(asked) <= self.steps else report)
        yield [
            TurnStarted("scripted"),
            ItemStarted(0, MessageStart()),
            TextDelta(0, answer),
            ItemDone(0),
            TurnCompleted(),
        ]

    async def run(self, number: int, time_s: int = 180) -> RunRecord:
        """One mission to its end."""
        raw = {
            "schema_version": "oss_agent_mission.v1",
            "mission_id": f"bench_{number}",
            "tier": "A3",
            "objective": "read",
            "allowed_roots": ["src"],
            "allowed_tool_classes": ["read", "search", "list"],
            "required_outputs": ["findings"],
            "tool_budget": self.steps,
            "time_budget_seconds": time_s,
            "max_files_to_inspect": FILES,
        }
        admitted = self.desk.admit(raw, model_alias="mission-a3-deepseek", profile=self.profile, tier="A3")
        assert isinstance(admitted, Admission), admitted
        record = None
        async for seen in self.runner.run(admitted):
            record = seen.record
        assert record is not None
        return record


@contextmanager
def workshop(steps: int, pause_s: float = 0.0) -> Any:
    """A workshop in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="codex-oss-bench-") as folder:
        project = Path(folder)
        (project / "src").mkdir()
        for number in range(FILES):
            (project / f"src/file{number}.py").write_text("".join(f"LINE_{n} = {n}\n" for n in range(200)))
        made = Workshop(project, steps, pause_s)
        with made.root:
            yield made


def measure_steps(rounds: int = 7, missions: int = 10) -> dict[str, Any]:
    """One mission after the other: milliseconds from question to question, by both clocks; one value a round."""
    rows = [_round_of_steps(missions) for _ in range(rounds)]
    return {"steps_a_round": missions * FILES, **{key: [row[key] for row in rows] for key in rows[0]}}


def _round_of_steps(missions: int) -> dict[str, float]:
    with workshop(FILES) as shop:
        write_ms = statistics.quantiles(durable_writes_ms(shop.project / "probe"), n=100)
        for number in range(missions):
            asyncio.run(shop.run(number))
        pairs = [pair for asked in shop.asked.values() for pair in itertools.pairwise(asked)]
    wall = statistics.quantiles([(after[0] - before[0]) * 1000 for before, after in pairs], n=100)
    cpu = statistics.quantiles([(after[1] - before[1]) * 1000 for before, after in pairs], n=100)
    return {
        "wall_p50_ms": wall[49],
        "wall_p99_ms": wall[98],
        "cpu_p50_ms": cpu[49],
        "cpu_p99_ms": cpu[98],
        "write_p50_ms": write_ms[49],
        "write_p99_ms": write_ms[98],
    }


def measure_crowd() -> dict[str, Any]:
    """All missions at once, on two cores: who misses its deadline, and how much later than its model each one ends."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])

    async def together(shop: Workshop) -> list[RunRecord]:
        return await asyncio.gather(*(shop.run(number, CROWD_TIME_S) for number in range(CROWD)))

    with workshop(CROWD_STEPS, MODEL_S) as shop:
        cpu = time.process_time()
        records = asyncio.run(together(shop))
        cpu = time.process_time() - cpu
    took_s = [(epoch_ms(record.closed_at) - epoch_ms(record.opened_at)) / 1000 for record in records]
    short = ("deadline_reached", "model_timeout", "capacity_timeout")
    missed = [
        took > CROWD_TIME_S or record.closed is None or bool(set(short) & set(record.closed.reason_codes))
        for took, record in zip(took_s, records, strict=True)
    ]
    model_s = MODEL_S * (CROWD_STEPS + 1)
    return {
        "missions": len(records),
        "steps_each": CROWD_STEPS,
        "model_s_each": model_s,
        "time_s_each": CROWD_TIME_S,
        "missed": sum(missed),
        "longest_s": max(took_s),
        "late_p50_s": statistics.median(took_s) - model_s,
        "late_max_s": max(took_s) - model_s,
        "cpu_ms_per_step": cpu * 1000 / (CROWD * (CROWD_STEPS + 1)),
    }


def measure_memory() -> dict[str, Any]:
    """What each of the missions adds while all of them wait for the model after their last read."""

    async def hold(shop: Workshop) -> float:
        shop.hold = asyncio.Event()
        tasks = [asyncio.create_task(shop.run(number)) for number in range(CROWD)]
        await shop.all_hold.wait()
        gc.collect()
        held_kb = rss_kb()
        shop.hold.set()
        await asyncio.gather(*tasks)
        return held_kb

    with workshop(CROWD_STEPS) as shop:
        asyncio.run(shop.run(CROWD))  # what is loaded and cached once is not the cost of a mission
        gc.collect()
        before_kb = rss_kb()
        held_kb = asyncio.run(hold(shop))
    return {"missions": CROWD, "reads_each": CROWD_STEPS, "mb_per_mission": (held_kb - before_kb) / 1024 / CROWD}


PARTS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "steps": measure_steps,
    "crowd": measure_crowd,
    "memory": measure_memory,
}


def rss_kb() -> float:
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return float(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def durable_writes_ms(path: Path, rounds: int = 100) -> list[float]:
    """Milliseconds of one write of 1 KiB and its fdatasync, again and again."""
    fd, taken = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), []
    for _ in range(rounds):
        started = time.perf_counter()
        os.write(fd, b"x" * 1024)
        os.fdatasync(fd)
        taken.append((time.perf_counter() - started) * 1000)
    os.close(fd)
    return taken


def main() -> None:
    """Measure every part in a process of its own, show it, and keep it if asked to."""
    parser = argparse.ArgumentParser(description="What the runtime of missions costs; see bench/runtime.py.")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--write", action="store_true", help="keep the results, for docs/performance.md")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part]()))
        return
    data: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d"),
            "load_average": round(os.getloadavg()[0], 1),
        }
    }
    for part in PARTS:
        command = [sys.executable, str(Path(__file__).resolve()), "--part", part]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        data[part] = json.loads(done.stdout)
        print(part, json.dumps(data[part]), flush=True)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
