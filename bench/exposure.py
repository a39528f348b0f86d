"""What safety costs: searching 100,000 files against `rg` alone, a safe read against a plain open, and redaction.

    .venv/bin/python -m bench.exposure [--files 100000] [--rounds 7]

Both sides of a comparison run in turn in one process, so a machine that is busy slows both; what counts is the ratio.
Targets (issue 4): a search within 1.5 times of `rg` alone, a safe read at most 30 µs above a plain one.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from codex_oss.contracts.tools import ToolCall
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import Scope
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.tool_host import ToolHost, ToolLimits

MAX_FILES = 200_000
FOLDER_FILES = 100
NEEDLE = "NEEDLE_HERE"


def main() -> None:
    """Build the tree, measure, print, and take the tree away."""
    parser = argparse.ArgumentParser(prog="python -m bench.exposure")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codex-oss-bench-") as name:
        root = Path(name)
        build(root, min(options.files, MAX_FILES))
        with ProjectRoot(root) as project:
            host = ToolHost(project, Redactor())
            measure_search(root, host, options.rounds)
            measure_reads(root, project)
    measure_redaction()


def build(root: Path, files: int) -> None:
    """*files* small Python files, a hundred a folder; one of five thousand has the needle."""
    body = "".join(f"def function_{n}(value, other):\n    return value + {n}\n" for n in range(12))
    for number in range(files):
        folder = root / f"src/pkg{number // FOLDER_FILES // 50}/mod{number // FOLDER_FILES}"
        if number % FOLDER_FILES == 0:
            folder.mkdir(parents=True)
        needle = f"{NEEDLE} = 1\n" if number % 5_000 == 17 else ""
        (folder / f"file_{number % FOLDER_FILES}.py").write_text(f"# {number}\n{body}{needle}")


def measure_search(root: Path, host: ToolHost, rounds: int) -> None:
    """`rtk_grep` and `rg` in turn, for a plain text and for an expression."""
    rg = shutil.which("rg")
    if rg is None:
        print("rg is not installed: nothing to compare with")
        return
    for what, pattern in (("text", NEEDLE), ("expression", r"NEEDLE_[A-Z]+ = \d$")):
        argv = [rg, "--no-config", "--no-ignore", "--hidden", "-n", pattern, str(root)]
        call = ToolCall("rtk_grep", {"pattern": pattern, "path": "src"})
        ratios, ours_s = [], []
        for _ in range(rounds):
            alone = timed(partial(subprocess.run, argv, capture_output=True, check=False))
            ours = timed(partial(host.run, call, Scope(roots=("src",)), ToolLimits(timeout_s=120)))
            ratios.append(ours / alone)
            ours_s.append(ours)
        print(f"search, {what}: {statistics.median(ratios):.2f} times rg alone (median of {rounds}, "
              f"{min(ratios):.2f} to {max(ratios):.2f}); {statistics.median(ours_s):.2f} s")  # fmt: skip


def measure_reads(root: Path, project: ProjectRoot) -> None:
    """Each file plainly and safely, one after the other."""
    names = [str(path.relative_to(root)) for path in sorted(root.rglob("*.py"))[:20_000:10]]
    over_us = []
    for name in names:
        plain = timed((root / name).read_bytes)
        safe = timed(partial(project.read_file, name, 1 << 22))
        over_us.append((safe - plain) * 1e6)
    print(f"safe read: {statistics.median(over_us):.1f} µs over a plain one (median of {len(names)})")


def measure_redaction() -> None:
    """Our own source as honest text."""
    redactor = Redactor(["a-synthetic-held-value-1", "a-synthetic-held-value-2"])
    texts = [path.read_text() for path in Path("src").rglob("*.py")]
    taken = timed(lambda: [redactor.redact(text) for text in texts])
    print(f"redaction: {sum(map(len, texts)) / taken / 1e6:.1f} million characters a second")


def timed(work: Callable[[], object]) -> float:
    """Seconds that *work* takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
