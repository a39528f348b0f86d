"""One mission run for real: admission, runner, log, tools and lane as `wiring` builds them; only the model is a script.

    ran = run_mission(project, {"objective": …}, [call("rtk_read", path="app/retry.py"), report(…)])
    assert ran.report["status"] == "COMPLETE"

The model answers over HTTP (`fakes.chat_upstream`). A script shorter than the mission repeats its last answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_oss.contracts.mission import Problem
from codex_oss.missions.record import RunRecord, evolve, new_record
from codex_oss.missions.report import build_report
from codex_oss.services.mission_runner import Admission
from codex_oss.services.settings import read_settings
from codex_oss.wiring.bridge import build
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, text

FILES: dict[str, str] = {
    "app/retry.py": (
        "import time\n\nMAX_RETRIES = 5\n\n\ndef retry(call):\n    for _ in range(MAX_RETRIES):\n        call()\n"
    ),
    "app/config.py": "TIMEOUT_S = 30\nRETRY_LIMIT = 7\n",
    "app/payments.py": "PAYMENTS_KEY = 'none'\nFEE = 3\n",
    "tests/test_retry.py": "from app.retry import retry\n\n\ndef test_retry():\n    assert retry(print) is None\n",
}
BASE: dict[str, Any] = {
    "schema_version": "oss_agent_mission.v1",
    "tier": "A3",
    "objective": "Where is MAX_RETRIES defined?",
    "allowed_roots": ["app", "tests"],
    "allowed_tool_classes": ["read", "search", "list", "safe_git"],
    "required_outputs": ["findings", "confidence"],
    "tool_budget": 8,
    "time_budget_seconds": 120,
}
ASKING: dict[str, Any] = {
    "objective_style": "open_investigation",
    "answer_obligations": [{"id": "q1", "question": "How often?"}],
}
"""Fields of an open investigation with one question."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of it."""

    record: RunRecord
    report: dict[str, Any]
    requests: list[Request]
    """What the model was asked, in order."""

    @property
    def status(self) -> str:
        """The status of the report."""
        return str(self.report["status"])

    @property
    def codes(self) -> list[str]:
        """The reason codes of the report."""
        return list(self.report["reason_codes"])

    @property
    def denials(self) -> list[str]:
        """Codes of the actions that were not carried out, in order."""
        return [judged.code for judged in self.record.judged if judged.code]

    @property
    def asked(self) -> str:
        """Everything that the model read in its last question."""
        return json.dumps(self.requests[-1].json["messages"], ensure_ascii=False) if self.requests else ""


def write_project(folder: Path, **files: str) -> Path:
    """A project of `FILES`; keyword arguments add files, `__` standing for `/` and `_py` for `.py`."""
    for name, content in (FILES | {k.replace("__", "/").replace("_py", ".py"): v for k, v in files.items()}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def run_mission(
    project: Path,
    fields: dict[str, Any],
    answers: Sequence[str] | Callable[[Request], Answer],
    *,
    model: str = "mission-a3-kimi",
) -> Ran:
    """Run a mission of `BASE` with *fields* over it. Fails when it is refused: see `refusal`."""
    with ChatUpstream(answers if callable(answers) else _repeating(answers)) as upstream:
        admitted, record = asyncio.run(_run(project, BASE | fields, upstream.base_url, model))
        assert isinstance(admitted, Admission), admitted
        return Ran(record, build_report(record), list(upstream.requests))


def refusal(project: Path, fields: dict[str, Any], *, model: str = "mission-a3-kimi") -> list[str]:
    """The codes with which admission refuses a mission; empty when it does not."""
    admitted, _ = asyncio.run(_run(project, BASE | fields, "http://127.0.0.1:9/v1", model, start=False))
    return [] if isinstance(admitted, Admission) else [problem.code for problem in admitted]


def _repeating(answers: Sequence[str]) -> Callable[[Request], Answer]:
    said = 0

    def script(request: Request) -> Answer:
        nonlocal said
        said += 1
        return text(answers[min(said, len(answers)) - 1])

    return script


async def _run(
    project: Path, raw: dict[str, Any], base_url: str, model: str, *, start: bool = True
) -> tuple[Admission | tuple[Problem, ...], RunRecord]:
    (project.parent / "home").mkdir(exist_ok=True)
    environ = {
        "HOME": str(project.parent / "home"),
        "UPSTREAM_BASE": base_url,
        "OPENCODE_GO_API_KEY": "synthetic-upstream-key",
        "UPSTREAM_RETRIES": "0",
    }
    bridge = build(read_settings(project, {}, environ), project, environ)
    record = new_record("", "")
    try:
        admitted = bridge.missions.admit(raw, model)
        if isinstance(admitted, Admission) and start:
            record = new_record(admitted.run_id, admitted.mission.mission_id)
            async for batch in bridge.missions.jobs.start(admitted).follow():
                for recorded in batch:
                    evolve(record, recorded)
        return admitted, record
    finally:
        await bridge.aclose()
