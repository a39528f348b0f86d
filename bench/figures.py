"""Every figure of speed and memory that this project promises, measured against nginx and, if given, LiteLLM.

    bin/bench                                   # all figures, five rounds: results, docs/performance.md and its plots
    bin/bench --quick                           # a few small rounds, shown only
    bin/bench --litellm VENV                    # made by: python3 -m venv VENV && VENV/bin/pip install 'litellm[proxy]'
    bin/bench --page                            # docs/performance.md and its plots again, from the results

Rules that hold here: targets are loaded in turn within each round (A B A B) and only ratios of one run are compared;
each figure is the median of its rounds; a stream that was not whole makes the run fail; the page is made from the data
that was written. nginx comes from the system's packages (Linux; `--nginx` names another).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from load import rss_kb
from page import write_page
from targets import Bench, Server
from workload import Load

RESULTS = Path(__file__).resolve().parent / "results" / "figures.json"
FULL, PACED, FIRST, CROWD, SHORT = Load(500, 0), Load(120, 50), Load(30, 50), Load(40, 10), Load(50, 0)
CUT = Load(500, 0, cut=True)
CROWDS = (1, 8, 64, 512)
HISTORIES_KB = (4, 16, 64, 256, 1024, 4096)
Rows = dict[str, list[dict[str, Any]]]


class Run:
    """One run of all figures. rounds of each; small: a fraction of the load, for `--quick`."""

    def __init__(self, bench: Bench, rounds: int, small: bool) -> None:
        self.bench, self.rounds, self.small = bench, rounds, small
        self.data: dict[str, Any] = {}
        self.names = ["nginx", "codex-oss"]

    def all(self) -> dict[str, Any]:
        """Every figure, in the order of the page."""
        part = 4 if self.small else 1
        with self.bench.stand_in() as direct, ExitStack() as stack:
            both = [stack.enter_context(self.bench.target(name)) for name in self.names]
            unjoined = stack.enter_context(self.bench.target("codex-oss-unjoined"))
            peer = [stack.enter_context(self.bench.target("litellm"))] if self.bench.litellm else []
            self.rounds_of("full_speed", [*both, unjoined], FULL, at_once=8, streams=96 // part)
            if peer:
                self.rounds_of("peer", [both[1], *peer], FULL, at_once=8, streams=16)
                self.rounds_of("peer_paced", [both[1], *peer], PACED, at_once=8, streams=8)
            self.rounds_of("paced", [direct, *both], PACED, at_once=64, streams=64)
            self.rounds_of("full_speed_stored", both, FULL, at_once=8, streams=96 // part, store="yes")
            self.rounds_of("paced_stored", both, PACED, at_once=64, streams=64, store="yes")
            self.rounds_of("first", [direct, *both], FIRST, at_once=8, streams=8)
            self.rounds_of("crowd", [direct, *both], CROWD, at_once=512 // part, streams=512 // part)
            for at_once in CROWDS[: 2 if self.small else None]:
                self.rounds_of(f"growth_streams_{at_once}", both, CROWD, at_once=at_once, streams=at_once, rounds=3)
            for kb in HISTORIES_KB[: 2 if self.small else None]:
                # Seen once: nginx broke off bodies of 4 MB; what it would cost there says nothing about ours.
                servers = both if kb <= 1024 else both[1:]
                self.rounds_of(f"growth_history_{kb}", servers, SHORT, at_once=2, streams=20, history_kb=kb, rounds=3)
            self.rounds_of("whole", both[1:], CUT, at_once=8, streams=2000 // part // part, rounds=1)
        with self.bench.stand_in():
            self.data["fresh"] = [self.fresh(512 // part) for _ in range(self.rounds)]
        self.data["help_s"] = [_timed([sys.executable, "-m", "codex_oss", "--help"]) for _ in range(self.rounds + 1)][
            1:
        ]
        self.data["python_s"] = [_timed([sys.executable, "-c", "pass"]) for _ in range(self.rounds + 1)][1:]
        return self.data

    def rounds_of(
        self, figure: str, servers: list[Server], load: Load, rounds: int | None = None, **options: Any
    ) -> None:
        """Load every server in turn, *rounds* times; the first, unkept round warms everything up."""
        rows: Rows = {server.name: [] for server in servers}
        for number in range(-1, min(rounds or self.rounds, self.rounds)):
            for server in servers:
                if number < 0 and figure == "whole":
                    continue
                warm = {"streams": min(8, options["streams"])} if number < 0 else {}
                row = self.bench.load(server, load.model, **{**options, **warm})
                if row["error_count"] and not _only_unnumbered(server, row):
                    raise SystemExit(f"{figure}, {server.name}: {row['error_count']} streams failed: {row['errors']}")
                if number >= 0:
                    rows[server.name].append(row)
        self.data[figure] = rows
        shown = {name: round(_median(found, "cpu_us_per_delta"), 2) for name, found in rows.items()}
        print(f"{time.strftime('%H:%M:%S')} {figure:24} us a delta: {shown}", flush=True)

    def fresh(self, at_once: int) -> dict[str, Any]:
        """A new server: its start, its memory at rest (after one turn), and with many streams open."""
        with self.bench.target("codex-oss") as server:
            time.sleep(0.5)
            rest_mb = rss_kb(server.pid) / 1024
            self.bench.load(server, FIRST.model, at_once=1, streams=1)
            row = self.bench.load(server, CROWD.model, at_once=at_once, streams=at_once)
            return {"start_s": server.start_s, "rest_mb": rest_mb, "kib_per_stream": row["kib_per_stream"]}


def _only_unnumbered(server: Server, row: dict[str, Any]) -> bool:
    """LiteLLM's events carry no growing `sequence_number`; its texts are whole, and its cost can be compared."""
    return server.name == "litellm" and all(error.startswith("sequence_number") for error in row["errors"])


def _median(rows: list[dict[str, Any]], key: str) -> float:
    values = [row[key] for row in rows if row[key] is not None]
    return statistics.median(values) if values else 0.0


def _timed(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }


def main() -> None:
    """Measure, write, render."""
    parser = argparse.ArgumentParser(description="Figures of speed and memory; see bench/figures.py.")
    parser.add_argument("--quick", action="store_true", help="a few small rounds, nothing is written")
    parser.add_argument("--page", action="store_true", help="only render the results again")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nginx", default=shutil.which("nginx") or "/usr/sbin/nginx")
    parser.add_argument("--litellm", type=Path, help="a virtual environment that holds litellm[proxy]")
    parser.add_argument("--no-pin", action="store_true", help="leave the choice of cores to the kernel")
    options = parser.parse_args()
    if not options.quick and importlib.util.find_spec("matplotlib") is None:
        raise SystemExit("The plots need matplotlib: uv sync --inexact --group bench (in .venv), or use --quick.")
    if not options.page:
        models = [load.model for load in (FULL, PACED, FIRST, CROWD, SHORT, CUT)]
        cores = {"server_core": None, "load_core": None} if options.no_pin or (os.cpu_count() or 1) < 2 else {}
        before = _machine()
        with tempfile.TemporaryDirectory(prefix="codex-oss-bench-") as work:
            bench = Bench(Path(work), models, options.nginx, options.litellm, **cores)
            data = Run(bench, 2 if options.quick else options.rounds, options.quick).all()
        data["machine"] = {**before, "rounds": options.rounds, "load_average_after": _machine()["load_average"]}
        if options.quick:
            write_page(data, None)
            return
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(data, indent=1) + "\n")
    write_page(json.loads(RESULTS.read_text()), Path(__file__).resolve().parent.parent / "docs")


if __name__ == "__main__":
    main()
