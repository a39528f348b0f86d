"""How much slower than bare Python the command line starts, as ratios of one interleaved run.

    .venv/bin/python bench/startup.py [ROUNDS]

Prints one line per command: the median of its times over the median of `python -c pass`, measured in turn (A B A B) so
that a change of the machine's speed hits both alike. The aim for `--help` is at most 5.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "codex-oss --help": [sys.executable, "-m", "codex_oss", "--help"],
    "codex-oss mission run --help": [sys.executable, "-m", "codex_oss", "mission", "run", "--help"],
    "codex-oss status (nothing runs)": [sys.executable, "-m", "codex_oss", "status"],
}


def main() -> None:
    """Time every command in turn and print the ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            times[name].append(time.perf_counter() - started)
    base = statistics.median(times["python -c pass"][1:])  # the first round only warms the caches
    for name, measured in times.items():
        kept = measured[1:]
        low, middle, high = min(kept) / base, statistics.median(kept) / base, max(kept) / base
        print(f"{name:34} {middle:5.1f} x bare Python  [{low:.1f} - {high:.1f}], n = {rounds}")


if __name__ == "__main__":
    main()
