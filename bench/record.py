"""What the record costs: writing a log in groups, folding it, auditing it; and how that grows with its length.

    .venv/bin/python bench/record.py              # all of it, five rounds: bench/results/record.json and the plot
    .venv/bin/python bench/record.py --quick      # short logs, one round, shown only
    .venv/bin/python bench/record.py --plot       # docs/performance-record.svg again, from the results

The log is what a long investigation would leave: a question, its answer, the proposal, the verdict, the start of a read
and its observation of twenty lines, again and again; each event sealed with hash and MAC, each group one write and one
fdatasync, its head noted outside. Each log is folded and audited (everything: chain, MACs, order, projections made anew
and compared, claims judged, every line that was shown read again) in a process of its own. Seconds are of that
process's CPU and of the clock: with others at work on the machine, CPU time is what counts.

Counterpart: `tests/docs/generated.py` makes the section of docs/performance.md from the results.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.tools import ToolResult
from codex_oss.contracts.validation import check_mission
from codex_oss.missions.events import (
    ActionAllowed,
    ActionProposed,
    Known,
    MissionClosed,
    MissionOpened,
    ModelAnswered,
    ModelAsked,
    ToolFinished,
    ToolStarted,
)
from codex_oss.missions.record import fold
from codex_oss.services.anchors import AnchorBook
from codex_oss.services.audit import audit_mission
from codex_oss.services.audit_claims import Source
from codex_oss.services.event_log import EventLog, Seal
from codex_oss.services.mission_store import MissionStore, write_rebuilt

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench/results/record.json"
PLOT = ROOT / "docs/performance-record.svg"
KEY = bytes(range(32))
GROUPS = (1, 10, 100, 500)
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
LINES = tuple(f"    value_{n} = compute(value_{n - 1}, retries=MAX_RETRIES)" for n in range(20))
HANDOFF = {
    "schema_version": "oss_agent_mission.v1",
    "mission_id": "bench",
    "tier": "A3",
    "objective": "Where is MAX_RETRIES defined?",
    "allowed_roots": ["app"],
    "allowed_tool_classes": ["read"],
    "required_outputs": ["findings"],
}


def events(count: int) -> Iterator[Known]:
    """A mission of so many events, opened and closed."""
    mission = check_mission(HANDOFF, limits=BudgetLimits(), new_id="bench").mission
    assert mission is not None
    yield MissionOpened(mission, "mission-a3-bench", "bench", "bench-model", 32_768)
    yield from islice(steps(), count - 2)
    yield MissionClosed("PARTIAL", "LOW", ("cancelled",), "runtime_evidence")


def steps() -> Iterator[Known]:
    """One read after the other, each of one of fifty files."""
    number = 0
    while True:
        number += 1
        path = f"app/file{number % 50}.py"
        given = {"path": path, "start_line": 1, "end_line": len(LINES)}
        answer = {"action_type": "tool_call", "tool_name": "rtk_read", "arguments": given, "reason": "the next part"}
        shown = ToolResult("rtk_read", "extract", 0, path=path, start_line=1, lines=LINES, total_lines=len(LINES))
        yield ModelAsked(number, "action", "", 4_000, "ab" * 32, 30_000)
        yield ModelAnswered(number, json.dumps(answer), "completed", input_tokens=1_000, output_tokens=50)
        yield ActionProposed(number, "tool_call", tool="rtk_read", arguments=given, raw_arguments=given, reason="next")
        yield ActionAllowed(number, "rtk_read")
        yield ToolStarted(number, number, "rtk_read", given)
        yield ToolFinished(number, shown, 3)


def write_log(project: Path, count: int, group: int) -> dict[str, float]:
    """Write a log of *count* events; events a second of the clock and of the CPU."""
    store = MissionStore(project)
    ready, seal = list(events(count)), Seal(KEY, AnchorBook(project / "user-state", project))
    with EventLog(store.prepare_run("run_1"), "run_1", "bench", seal=seal) as log:
        wall, cpu = time.perf_counter(), time.process_time()
        for at in range(0, count, group):
            log.append(ready[at : at + group])
        taken, used = time.perf_counter() - wall, time.process_time() - cpu
    return {"events_per_s": count / taken, "events_per_cpu_s": count / used}


def read_back(project: Path) -> dict[str, Any]:
    """Fold and audit the log that lies there, as `--child` in a process of its own."""
    store, seal = MissionStore(project), Seal(KEY, AnchorBook(project / "user-state", project))
    reduce = timed(lambda: (lambda read: fold(read.run_id, read.mission_id, read.events()))(store.read_run("run_1")))
    audit: list[Any] = []
    there = Source("", "\n".join(LINES).encode())
    audited = timed(lambda: audit.append(audit_mission(store, "bench", lambda path: there, seal)))
    assert set(audit[0].verdicts.values()) == {"PASS"}, audit[0]
    return {"reduce": reduce, "audit": audited, "bytes": (store.run_folder("run_1") / "events.jsonl").stat().st_size}


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of the clock and of the CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def measure(rounds: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Every figure, *rounds* times."""
    data: dict[str, Any] = {"groups": {}, "sizes": {}, "machine": machine(rounds)}
    for number in range(rounds):
        for group in GROUPS:
            with tempfile.TemporaryDirectory(prefix="codex-oss-bench-") as work:
                written = write_log(Path(work), min(max(sizes), 20_000 if group > 1 else 2_000), group)
            data["groups"].setdefault(str(group), []).append(written)
        for size in sizes:
            with tempfile.TemporaryDirectory(prefix="codex-oss-bench-") as work:
                write_log(Path(work), size, 500)
                write_rebuilt(MissionStore(Path(work)), "bench")
                command = [sys.executable, str(Path(__file__)), "--child", work]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            data["sizes"].setdefault(str(size), []).append(json.loads(done.stdout))
        print(f"round {number + 1} of {rounds}", flush=True)
    data["machine"]["load_average_after"] = machine(rounds)["load_average"]
    return data


def machine(rounds: int) -> dict[str, Any]:
    """Where this was measured."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load_average": [round(value, 1) for value in os.getloadavg()],
        "rounds": rounds,
    }


def plot(data: dict[str, Any], path: Path) -> None:
    """CPU seconds against events, both logarithmic, every round a dot, and a straight line to compare with."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "codex-oss"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    sizes = sorted(int(size) for size in data["sizes"])
    for part, colour in (("audit", "#0b6e4f"), ("reduce", "#888888")):
        rows = [[row[part]["cpu_s"] for row in data["sizes"][str(size)]] for size in sizes]
        middles = [statistics.median(row) for row in rows]
        axes.plot(sizes, middles, color=colour, label=part)
        dots = [(size, value) for size, row in zip(sizes, rows, strict=True) for value in row]
        axes.scatter([size for size, _ in dots], [value for _, value in dots], color=colour, s=10)
        line = [middles[-1] * size / sizes[-1] for size in sizes]
        axes.plot(sizes, line, color=colour, linestyle=":", linewidth=1, label=f"{part}, if exactly linear")
    axes.set(xscale="log", yscale="log", xlabel="events in the log", ylabel="CPU seconds")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description="Figures of the record; see bench/record.py.")
    parser.add_argument("--quick", action="store_true", help="short logs, one round, nothing is written")
    parser.add_argument("--plot", action="store_true", help="only draw the results again")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(read_back(options.child)))
        return
    if options.quick:
        print(json.dumps(measure(1, SIZES[:3]), indent=1))
        return
    if not options.plot:
        data = measure(options.rounds, SIZES)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(data, indent=1) + "\n")
    plot(json.loads(RESULTS.read_text()), PLOT)


if __name__ == "__main__":
    main()
