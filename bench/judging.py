"""What judging a long report costs: findings of 1,800 characters, each full of names, over four long files.

    .venv/bin/python -m bench.judging

Printed are the milliseconds of processor time for 22, 45 and 90 findings (the longest report has 100), and by how much
the time grows when the report doubles: 2 is linear.
"""

from __future__ import annotations

import random
import time
from typing import Any

from codex_oss.missions.gates import judge_draft
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import CLAIM_KINDS, parse_draft
from tests.fakes.mission_script import call, finding, mission, play, report

PATHS = tuple(f"app/m{number}.py" for number in range(4))
FUNCTIONS = 400
SIZES = (22, 45, 90)


def main() -> None:
    """Judge reports of three sizes and print what each took."""
    record = shown()
    chance = random.Random(1)
    taken = {}
    for size in SIZES:
        draft = parse_draft({"status": "COMPLETE", "findings": [long_finding(n, chance) for n in range(size)]})
        started = time.process_time()
        judge_draft(record, draft)
        taken[size] = (time.process_time() - started) * 1000
        print(f"{size:3} findings: {taken[size]:6.0f} ms")
    print(f"twice as many findings take {taken[90] / taken[45]:.1f} times as long")


def shown() -> RunRecord:
    """A mission that has read four files of 1,200 lines each."""
    files = {path: source(number) for number, path in enumerate(PATHS)}
    looks = [call("rtk_read", path=path) for path in PATHS]
    return play(mission(), [*looks, report(status="PARTIAL")], files=files)


def source(number: int) -> str:
    """Many small functions."""
    return "".join(
        f"def function_{number}_{n}(value_{n}):\n    return value_{n} * {n} + helper_{n % 7}(value_{n})\n\n"
        for n in range(FUNCTIONS)
    )


def long_finding(number: int, chance: random.Random) -> dict[str, Any]:
    """A finding that names thirty functions three times and cites every file."""
    names = ", ".join(f"`function_{number % 4}_{chance.randrange(FUNCTIONS)}`" for _ in range(30))
    line = 3 * number + 1
    claim = f"The functions {names} are in app/m{number % 4}.py:{line} and return 7 times helper_3 of value_{number}. "
    subject = {"path": f"app/m{number % 4}.py", "symbol": f"function_{number % 4}_{number}", "line": line}
    refs = [f"file:{path}#extract:1" for path in PATHS]
    return finding(claim * 3, *refs, kind=CLAIM_KINDS[number % len(CLAIM_KINDS)], subject=subject)


if __name__ == "__main__":
    main()
