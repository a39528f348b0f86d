"""A fixed set of missions, and for each a model that makes no detour: what a mission must at least cost.

Counterpart: `tests/services/prompt_costs.py` runs them over both protocols. Every one of them ends COMPLETE. Do not
make them cheaper or dearer in passing: the figures are compared over time.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from tests.fakes.mission_script import call, finding, report

RETRY: Final = '''"""Calls that fail are made again, with a pause that grows."""

import time

MAX_RETRIES = 5
DELAY_S = 0.5


def retry(call):
    """Call until it works, MAX_RETRIES times at most."""
    for attempt in range(MAX_RETRIES):
        try:
            return call()
        except OSError:
            time.sleep(DELAY_S * attempt)
    raise TimeoutError("gave up")
'''
TABLE: Final = "".join(f"ENTRY_{number:03} = {number * 11}\n" for number in range(400))
FILES: Final[dict[str, str]] = {
    "app/retry.py": RETRY,
    "app/config.py": "TIMEOUT_S = 30\nRETRY_LIMIT = 7\nMODE = 'strict'\n",
    "app/client.py": "from app.retry import retry\n\n\ndef fetch(session):\n    return retry(session.get)\n",
    "app/store.py": "from app.retry import retry\n\n\ndef store(session):\n    return retry(session.put)\n",
    "app/table.py": TABLE,
    "docs/README.md": "# Sample\n\nCalls are retried at most 3 times.\n",
    **{f"app/part{n}.py": f"PART_{n} = {n * 7}\n\n\ndef part{n}():\n    return PART_{n}\n" for n in range(1, 7)},
}


class PerfectMission(Struct, frozen=True):
    """One mission: what its contract says beyond the common part, and the answers of a model that knows the way."""

    fields: dict[str, Any]
    answers: tuple[str, ...]


def _read(path: str, **more: Any) -> str:
    return call("rtk_read", path=path, **more)


def _extract(path: str, number: int = 1) -> str:
    return f"file:{path}#extract:{number}"


MISSIONS: Final[dict[str, PerfectMission]] = {
    "definition, one read": PerfectMission(
        {"objective": "Where is MAX_RETRIES defined, and what is its value?"},
        (
            _read("app/retry.py"),
            report(
                finding(
                    "`MAX_RETRIES` is 5 at app/retry.py:5",
                    _extract("app/retry.py"),
                    kind="value",
                    subject={"path": "app/retry.py", "symbol": "MAX_RETRIES", "line": 5},
                )
            ),
        ),
    ),
    "usages, one search": PerfectMission(
        {"objective": "Who calls retry?"},
        (
            call("rtk_grep", pattern=r"retry\(session", path="app"),
            report(
                finding("`retry(session.get)` at app/client.py:5", "command:0#match:0", kind="usage"),
                finding("`retry(session.put)` at app/store.py:5", "command:0#match:1", kind="usage"),
            ),
        ),
    ),
    "absence, one search": PerfectMission(
        {"objective": "Does anything under app call os.system?"},
        (
            call("rtk_grep", pattern="os.system", path="app"),
            report(
                finding(
                    "`os.system` does not occur under app",
                    "command:0#zero_match",
                    kind="absence",
                    subject={"path": "app", "symbol": "os.system"},
                )
            ),
        ),
    ),
    "contradiction, two reads": PerfectMission(
        {"objective": "Do code and README agree on the number of retries?", "allowed_roots": ["app", "docs"]},
        (
            _read("app/retry.py"),
            _read("docs/README.md"),
            report(
                finding(
                    "`MAX_RETRIES = 5` at app/retry.py:5, but `at most 3 times` at docs/README.md:3",
                    _extract("app/retry.py"),
                    _extract("docs/README.md"),
                    kind="contradiction",
                )
            ),
        ),
    ),
    "part of a long file": PerfectMission(
        {"objective": "What is ENTRY_300?"},
        (
            call("rtk_grep", pattern="ENTRY_300", path="app/table.py"),
            _read("app/table.py", start_line=296, end_line=306),
            report(finding("`ENTRY_300 = 3300` at app/table.py:301", _extract("app/table.py"), kind="value")),
        ),
    ),
    "search, then read": PerfectMission(
        {"objective": "Where is the pause between retries computed?"},
        (
            call("rtk_ls", path="app"),
            call("rtk_grep", pattern="DELAY_S", path="app"),
            _read("app/retry.py"),
            report(finding("`time.sleep(DELAY_S * attempt)` at app/retry.py:15", _extract("app/retry.py"))),
        ),
    ),
    "open investigation, sources read first": PerfectMission(
        {
            "objective": "How are retries configured and done?",
            "objective_style": "open_investigation",
            "evidence_collection_mode": "prefetch_floor",
            "must_inspect": ["app/retry.py", "app/config.py"],
            "answer_obligations": [
                {"id": "q1", "question": "Which value bounds the retries?"},
                {"id": "q2", "question": "Which limit stands in the configuration?"},
            ],
        },
        (
            call("rtk_grep", pattern="RETRY_LIMIT", path="app"),
            report(
                finding("`MAX_RETRIES = 5` at app/retry.py:5", _extract("app/retry.py"), obligation_id="q1"),
                finding("`RETRY_LIMIT = 7` at app/config.py:2", _extract("app/config.py"), obligation_id="q2"),
            ),
        ),
    ),
    "eight reads, a long report": PerfectMission(
        {"objective": "What is each PART worth?", "tool_budget": 9},
        (
            *(_read(f"app/part{n}.py") for n in range(1, 7)),
            _read("app/config.py"),
            _read("app/client.py"),
            report(
                *(
                    finding(
                        f"`PART_{n} = {n * 7}` at app/part{n}.py:1",
                        _extract(f"app/part{n}.py"),
                        kind="value",
                        subject={"path": f"app/part{n}.py", "symbol": f"PART_{n}", "line": 1},
                    )
                    for n in range(1, 7)
                )
            ),
        ),
    ),
}
