"""Required outputs beside those that every report has: parts that the delegate names and the model writes.

Counterparts: `missions.prompt` and `missions.action_schema` ask for them, `missions.gates` refuses a report without,
`missions.report` keeps them under `outputs`. They are the model's words: nothing checks what they say.
"""

from __future__ import annotations

import json
from typing import Any, Final

from codex_oss.contracts.mission import REPORT_OUTPUTS, MissionV1

DRAFT_KEYS: Final = frozenset(
    (*REPORT_OUTPUTS, "status", "missing_fields", "oss_report_version", "mission_id", "outputs")
)
"""What a draft may hold without it being an output of its own."""


MAX_OUTPUT_CHARS: Final = 10_000
TOO_LONG: Final = "[left out: longer than a report may be]"


def custom_outputs(mission: MissionV1) -> tuple[str, ...]:
    """Names of the required outputs that only the model can write, the objective's included."""
    spec = mission.objective_spec
    wanted = (*mission.required_outputs, *(spec.required_outputs if spec else ()))
    return tuple(dict.fromkeys(name for name in wanted if name not in REPORT_OUTPUTS))


def outputs_of(raw: dict[str, Any]) -> dict[str, Any]:
    """What a raw draft gives beside the known keys, under `outputs` or at its top; empty values say nothing."""
    inner = raw.get("outputs")
    given = {**(inner if isinstance(inner, dict) else {}), **{k: v for k, v in raw.items() if k not in DRAFT_KEYS}}
    return {str(name): _bounded(value) for name, value in given.items() if _says(value)}


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_OUTPUT_CHARS]
    return value if len(json.dumps(value, default=str)) <= MAX_OUTPUT_CHARS else TOO_LONG


def _says(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value not in (None, [], {})
