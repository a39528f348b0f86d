"""The part of docs/performance.md on what missions cost, from `bench/results/runtime.json`; nothing here measures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).resolve().parent / "results" / "runtime.json"


def render_runtime() -> str:
    """Paragraph and table."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    return "\n".join(
        [*_paragraph(data), "", "| figure | must | measured | |", "| --- | --- | --- | --- |", *_rows(data), ""]
    )


def _paragraph(data: dict[str, Any]) -> list[str]:
    steps, crowd, machine = data["steps"], data["crowd"], data["machine"]
    rounds, each = len(steps["wall_p50_ms"]), steps["steps_a_round"]
    return [
        f"Measured by `bench/runtime.py` on {machine['date']}: {machine['system']}, {machine['cores']} cores, Python",
        f"{machine['python']}, load average {machine['load_average']} before. With others at work on the machine and",
        "on its disk, the CPU of a step says more than its time.",
        f"Median [lowest to highest] of {rounds} rounds of {each} steps. The model is scripted; tools, redaction, log",
        "(synced, with MAC and anchor), lanes and projections are the real ones. A step is a question, its answer, the",
        "verdict, the read of a file of 200 lines and what was shown; two of its writes are synced.",
        "",
        f"{crowd['missions']} missions of {crowd['time_s_each']} s run at once in one process on two cores, each with",
        f"{crowd['steps_each']} steps and a model that takes {crowd['model_s_each']:.0f} s in all.",
        "A deadline is missed when a mission ends after its time or for want of it.",
    ]


def _rows(data: dict[str, Any]) -> list[str]:
    steps, crowd, memory = data["steps"], data["crowd"], data["memory"]
    many = f"{crowd['missions']} missions at once"
    return [
        _row("a step without the model, p50, ms", steps["wall_p50_ms"], 5),
        _row("a step without the model, p99, ms", steps["wall_p99_ms"], 15),
        _row("… its CPU, p50, ms", steps["cpu_p50_ms"]),
        _row("… its CPU, p99, ms", steps["cpu_p99_ms"]),
        _row("one durable write of 1 KiB in the same rounds, p50, ms", steps["write_p50_ms"]),
        _row("… p99, ms", steps["write_p99_ms"]),
        _row(f"missed deadlines, {many}", [crowd["missed"]], 0, "d"),
        _row("… a mission's end after its model's time, median, s", [crowd["late_p50_s"]]),
        _row("… the last one's, s", [crowd["late_max_s"]]),
        _row("… CPU of a step, ms", [crowd["cpu_ms_per_step"]]),
        _row(f"memory of a running mission after {memory['reads_each']} reads, MB", [memory["mb_per_mission"]], 1.5),
    ]


def _row(name: str, values: Sequence[float], most: float | None = None, form: str = ".2f") -> str:
    middle = statistics.median(values)
    span = f" [{min(values):{form}} to {max(values):{form}}]" if len(values) > 1 else ""
    must, verdict = ("", "") if most is None else (f"≤ {most:g}", "met" if middle <= most else "**not met**")
    return f"| {name} | {must} | {middle:{form}}{span} | {verdict} |"
