"""`docs/performance.md` and its plots, from the data that the benchmark wrote; nothing here measures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

Data = dict[str, Any]
SOAK = Path(__file__).resolve().parent / "results" / "soak.json"
HEAD = """# Performance

Measured by `bin/bench` on {date}: {system} on {machine}, {cores} cores, Python {python}; median [lowest to highest] of
{rounds} rounds, all targets loaded in turn within each round. Load average {load_average} before and
{load_average_after} after: with others at work on the machine, ratios of one run count and absolute times do not.
nginx passes a Responses stream through untouched, with one worker: it is the floor, not a rival. The bridge translates
Chat Completions, with store, log, metrics and caps on; the requests ask it to keep nothing, as agents do that hold
their own history, except in the rows that say so. Every stream was checked: whole, in order, no number left out.

| figure | must | aim | measured | |
| --- | --- | --- | --- | --- |
"""
KEPT = "<!-- from here on: python -m tests.docs.generated -->"
"""What stands after this line is other people's."""
TAIL = """
At full speed many deltas arrive in one read, and those of one item become one event
([0020](decisions/0020-joined-deltas.md)): that is part of the first figure, and the second one says what it is without.
At a person's pace each read brings one delta, and nothing is joined.

## How cost grows

![CPU per delta from 1 to 512 streams](performance-streams.svg)

![CPU per request from 4 KiB to 4 MiB of history](performance-history.svg)

The data is in `bench/results/figures.json`; `bin/bench --page` draws this page again from it, and `bin/bench --quick`
shows rough figures in a minute or two. The whole run takes about ten minutes and needs nginx.
"""


def _values(data: Data, figure: str, target: str, key: str) -> list[float]:
    return [row[key] for row in data.get(figure, {}).get(target, []) if row[key] is not None]


def _ratio(figure: str, key: str, above: str, below: str) -> Callable[[Data], list[float]]:
    def ratios(data: Data) -> list[float]:
        pairs = zip(_values(data, figure, above, key), _values(data, figure, below, key), strict=False)
        return [one / other for one, other in pairs]

    return ratios


def _over(figure: str, key: str) -> Callable[[Data], list[float]]:
    def differences(data: Data) -> list[float]:
        pairs = zip(_values(data, figure, "codex-oss", key), _values(data, figure, "direct", key), strict=False)
        return [one - other for one, other in pairs]

    return differences


def _fresh(key: str) -> Callable[[Data], list[float]]:
    return lambda data: [row[key] for row in data["fresh"]]


CPU = "cpu_us_per_delta"
FIGURES: list[tuple[str, str, str, str, Callable[[Data], list[float]]]] = [
    ("CPU per delta, full speed, to nginx", "≤ 7", "≤ 4", "{:.1f}x", _ratio("full_speed", CPU, "codex-oss", "nginx")),
    ("… each turn kept (`store: true`)", "", "", "{:.1f}x", _ratio("full_speed_stored", CPU, "codex-oss", "nginx")),
    ("… each delta its own event", "", "", "{:.1f}x", _ratio("full_speed", CPU, "codex-oss-unjoined", "nginx")),
    (
        "LiteLLM's CPU per delta over ours, full speed",
        "≥ 200",
        "≥ 400",
        "{:.0f}x",
        _ratio("peer", CPU, "litellm", "codex-oss"),
    ),
    (
        "LiteLLM's CPU per delta over ours, 8 x 50/s",
        "",
        "",
        "{:.1f}x",
        _ratio("peer_paced", CPU, "litellm", "codex-oss"),
    ),
    (
        "CPU per delta, 64 streams x 50/s, to nginx",
        "≤ 3",
        "≤ 1.6",
        "{:.1f}x",
        _ratio("paced", CPU, "codex-oss", "nginx"),
    ),
    ("… each turn kept (`store: true`)", "", "", "{:.1f}x", _ratio("paced_stored", CPU, "codex-oss", "nginx")),
    (
        "added time to first delta p50, 8 streams, 16 KiB, ms",
        "≤ 0.5",
        "≤ 0.25",
        "{:.2f}",
        _over("first", "first_p50_ms"),
    ),
    ("age of a delta p99, 512 x 10/s, over direct, ms", "≤ 4", "≤ 1", "{:.2f}", _over("crowd", "age_p99_ms")),
    ("memory at rest, MB", "≤ 48", "32", "{:.1f}", _fresh("rest_mb")),
    ("memory per open stream (512), KiB", "≤ 70", "16", "{:.1f}", _fresh("kib_per_stream")),
    ("start to listening, s", "≤ 0.25", "0.10", "{:.3f}", _fresh("start_s")),
    ("`--help`, ms", "≤ 60", "35", "{:.0f}", lambda data: [seconds * 1000 for seconds in data["help_s"]]),
    (
        "`python -c pass` for comparison, ms",
        "",
        "",
        "{:.0f}",
        lambda data: [value * 1000 for value in data["python_s"]],
    ),
]


def table(data: Data) -> str:
    """One line a figure; those without data say so."""
    lines = []
    for name, must, aim, form, values_of in FIGURES:
        values = values_of(data)
        if values:
            middle, low, high = (form.format(f(values)) for f in (statistics.median, min, max))
            shown, verdict = f"{middle} [{low} to {high}]", _verdict(must, statistics.median(values))
        else:
            shown, verdict = "not run", ""
        lines.append(f"| {name} | {must} | {aim} | {shown} | {verdict} |")
    whole = data["whole"]["codex-oss"][0]
    shown = f"{whole['deltas'] - 0:,} deltas in {whole['streams']:,} streams, {whole['error_count']} not whole"
    verdict = "**not met**" if whole["error_count"] else "met"
    lines.append(f"| streams whole and in order, reads cut at any byte | 100 % | of 10^6 | {shown} | {verdict} |")
    return "\n".join(lines) + "\n"


def _soak() -> str:
    """What the last soak found; nothing when none was kept."""
    if not SOAK.exists():
        return ""
    soak = json.loads(SOAK.read_text())
    return f"""
## Soak

`python -m bench.soak` on the bridge with all of its features: {soak["turns"]:,} turns of every kind in
{soak["minutes"]:.0f} minutes, with upstreams that break, stall and talk nonsense and clients that leave. Wedged
streams: {soak["wedged"]}; torn ones: {soak["torn"]}; turns open at the end: {soak["open_turns_at_end"]}. Memory grew by
{soak["rss_slope_kib_per_minute"]:.1f} KiB a minute after warm-up.
"""


def _verdict(must: str, value: float) -> str:
    """Whether a figure holds its must, e.g. `≤ 7`; empty for one without."""
    if not must:
        return ""
    sign, bound = must.split()
    held = value <= float(bound) if sign == "≤" else value >= float(bound)
    return "met" if held else "**not met**"


def write_page(data: Data, docs: Path | None) -> None:
    """Write page and plots into *docs*; without it only show the table."""
    print(table(data))
    if docs is None:
        return
    facts = dict(data["machine"])
    page = docs / "performance.md"
    _, mark, kept = page.read_text().partition(KEPT)
    page.write_text(HEAD.format(**facts) + table(data) + TAIL + _soak() + ("\n" + mark + kept if mark else ""))
    plot(
        data,
        "growth_streams_",
        CPU,
        "streams at once (10 deltas/s each)",
        "CPU µs per delta",
        docs / "performance-streams.svg",
    )
    plot(
        data,
        "growth_history_",
        "cpu_ms_per_stream",
        "history, KiB",
        "CPU ms per request",
        docs / "performance-history.svg",
    )


def plot(data: Data, prefix: str, key: str, across: str, up: str, path: Path) -> None:
    """One line a target, both axes logarithmic, every round a dot. Needs `uv sync --group bench`."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "codex-oss"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    found = sorted((int(name.removeprefix(prefix)), rows) for name, rows in data.items() if name.startswith(prefix))
    for target, colour in (("nginx", "#888888"), ("codex-oss", "#0b6e4f")):
        having = [(size, rows[target]) for size, rows in found if target in rows]
        middles = [statistics.median(row[key] for row in rows) for _, rows in having]
        axes.plot([size for size, _ in having], middles, color=colour, label=target)
        dots = [(size, row[key]) for size, rows in having for row in rows]
        axes.scatter([size for size, _ in dots], [value for _, value in dots], color=colour, s=10)
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.set_xticks([size for size, _ in found], [f"{size:,}" for size, _ in found])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
