"""The section "The record" of docs/performance.md, from what `bench/record.py` wrote; nothing here measures."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results/record.json"
MUST_EVENTS_PER_S = 50_000
MUST_AUDIT_S = 2.0


def render_section() -> str:
    """Paragraph and tables."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    facts, sizes = data["machine"], data["sizes"]
    most = max(sizes, key=int)
    per_event = statistics.median(row["bytes"] for row in sizes[most]) / int(most)
    lines = [
        f"Measured by `bench/record.py` on {facts['date']}, {facts['cores']} cores, Python {facts['python']}; median",
        f"[lowest to highest] of {facts['rounds']} rounds. Load average {facts['load_average']} before and",
        f"{facts['load_average_after']} after: with others at work on the machine, CPU time counts, and",
        "the clock does not.",
        f"Each event is sealed with hash and MAC ({per_event:.0f} bytes on average), each group is one write and one",
        "`fdatasync`, and its head is noted outside.",
        "",
        "| figure | must | CPU | clock | |",
        "| --- | --- | --- | --- | --- |",
    ]
    largest = max(data["groups"], key=int)
    for group, rows in data["groups"].items():
        cpu, clock = _both(rows, "events_per_cpu_s", "events_per_s")
        must = f"≥ {MUST_EVENTS_PER_S:,}" if group == largest else ""
        lines.append(_row(f"events/s, groups of {group}", must, cpu, clock, ",.0f", MUST_EVENTS_PER_S))
    for part, name in (("reduce", "read, verify and fold"), ("audit", "audit (reducing it is part of that)")):
        cpu, clock = _both([row[part] for row in sizes[most]], "cpu_s", "wall_s")
        must = f"≤ {MUST_AUDIT_S:g}" if part == "audit" else ""
        lines.append(_row(f"{name}, {int(most):,} events, s", must, cpu, clock, ".2f", MUST_AUDIT_S))
    lines += ["", "| events in the log | CPU µs an event, reduce | audit |", "| --- | --- | --- |"]
    for size, rows in sizes.items():
        cells = [f"{_median(rows, part) / int(size) * 1e6:.1f}" for part in ("reduce", "audit")]
        lines.append(f"| {int(size):,} | {cells[0]} | {cells[1]} |")
    lines += ["", "![CPU seconds from 1,000 to 100,000 events](performance-record.svg)", ""]
    return "\n".join(lines)


def _both(rows: list[dict[str, float]], cpu: str, clock: str) -> tuple[list[float], list[float]]:
    return [row[cpu] for row in rows], [row[clock] for row in rows]


def _row(name: str, must: str, cpu: list[float], clock: list[float], form: str, bound: float) -> str:
    """One line of the table; what must hold is held against the CPU's time."""
    middle = statistics.median(cpu)
    held = middle >= bound if must.startswith("≥") else middle <= bound
    verdict = ("met" if held else "**not met**") if must else ""
    return f"| {name} | {must} | {_spread(cpu, form)} | {_spread(clock, form)} | {verdict} |"


def _median(rows: list[dict[str, Any]], part: str) -> float:
    return float(statistics.median(row[part]["cpu_s"] for row in rows))


def _spread(values: list[float], form: str) -> str:
    middle, low, high = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} [{low} to {high}]"
