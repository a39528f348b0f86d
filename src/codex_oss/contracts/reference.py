"""The generated tables of `docs/mission-contract.md`.

Counterparts: the tables of `contracts.fields`, which judge a mission, and `contracts.codes`; a test compares the page.
`python -m codex_oss.contracts.reference < docs/mission-contract.md` prints the page with its tables made anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from codex_oss.contracts.budget import TIER_CAPS
from codex_oss.contracts.codes import ERROR_CODES, WARNING_CODES, hint_of
from codex_oss.contracts.completion_fields import (
    AXES_FIELDS,
    CLOSURE_FIELDS,
    COMPLETION_FIELDS,
    VERIFICATION_REQUIREMENT_FIELDS,
)
from codex_oss.contracts.defaults import IMPLEMENTATION_TIERS
from codex_oss.contracts.evidence_shapes import EVIDENCE_SHAPES
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, MISSION_FIELDS, REPORT_SCHEMA_OF_TIER
from codex_oss.contracts.mission import MODE_OF_TIER, RUNNABLE_TIERS
from codex_oss.contracts.objective_fields import OBJECTIVE_FIELDS, TARGET_FIELDS
from codex_oss.contracts.policy_fields import (
    EXPLORATION_FIELDS,
    OBLIGATION_FIELDS,
    SOURCE_FIELDS,
    SUFFICIENCY_FIELDS,
    VERIFICATION_FIELDS,
    WORKSPACE_FIELDS,
)
from codex_oss.contracts.rows import Field, Kind
from codex_oss.contracts.stops import STOP_CONDITIONS
from codex_oss.contracts.validation import WRITING_TIERS

_BLOCK: Final = re.compile(r"(<!-- made by codex_oss\.contracts\.reference: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_KIND_WORDS: Final[dict[Kind, str]] = {
    "text": "text",
    "flag": "true or false",
    "texts": "list of texts",
    "scalars": "list of texts or numbers",
    "path": "path",
    "paths": "list of paths",
    "argvs": "list of commands",
    "object": "object",
}


def update_page(page: str) -> str:
    """The page with every generated block made anew; everything else stays as it is."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{TABLES[block[2]]()}\n{block[3]}", page)


def render_fields(fields: tuple[Field, ...]) -> str:
    """A Markdown table of rows: field, type, unit, default, effect, code."""
    rows = [
        (f"`{field.name}`", _type(field), field.unit or "-", _default(field), field.help, _codes(field))
        for field in fields
    ]
    return _table(("field", "type", "unit", "default", "effect", "code of a breach"), rows)


def render_tiers() -> str:
    """A Markdown table of the tiers."""
    rows = [
        (
            tier,
            f"`{MODE_OF_TIER[tier]}`",
            "yes" if tier in RUNNABLE_TIERS else "not yet",
            "true" if tier in WRITING_TIERS else "false",
            "needed" if tier in IMPLEMENTATION_TIERS else "-",
            ", ".join(f"`{mode}`" for mode in APPLY_MODES_OF_TIER[tier] if mode) or "-",
            f"`{REPORT_SCHEMA_OF_TIER[tier]}`",
            f"{TIER_CAPS[tier][0]} / {TIER_CAPS[tier][1]}",
        )
        for tier in APPLY_MODES_OF_TIER
    ]
    head = ("tier", "mode", "runs", "write_allowed", "owned_paths", "apply_mode", "report_schema", "calls / seconds")
    return _table(head, rows)


def render_codes() -> str:
    """A Markdown table of all codes."""
    rows = [(f"`{code}`", meaning, hint_of(code)) for code, meaning in ERROR_CODES.items()]
    rows += [(f"`{code}` (warning)", meaning, hint_of(code)) for code, meaning in WARNING_CODES.items()]
    return _table(("code", "meaning", "what to do"), rows)


def render_stops() -> str:
    """A Markdown table of the stop conditions."""
    return _table(
        ("stop condition", "what has happened"), [(f"`{word}`", text) for word, text in STOP_CONDITIONS.items()]
    )


def render_shapes() -> str:
    """A Markdown table of the evidence shapes."""
    rows = [(f"`{name}`", shape.help) for name, shape in EVIDENCE_SHAPES.items()]
    return _table(("evidence shape", "what it looks like"), rows)


def render_targets() -> str:
    """A Markdown table of the target keys by objective type."""
    rows = [
        (f"`{kind}`", ", ".join(f"`{field.name}` ({_type(field)})" for field in fields))
        for kind, fields in TARGET_FIELDS.items()
    ]
    return _table(("objective_type", "keys of `target`"), rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "fields": lambda: render_fields(MISSION_FIELDS),
    "tiers": render_tiers,
    "codes": render_codes,
    "objective": lambda: render_fields(OBJECTIVE_FIELDS),
    "targets": render_targets,
    "sufficiency": lambda: render_fields(SUFFICIENCY_FIELDS),
    "obligations": lambda: render_fields(OBLIGATION_FIELDS),
    "sources": lambda: render_fields(SOURCE_FIELDS),
    "completion": lambda: render_fields(COMPLETION_FIELDS),
    "axes": lambda: render_fields(AXES_FIELDS),
    "verification_requirements": lambda: render_fields(VERIFICATION_REQUIREMENT_FIELDS),
    "closure": lambda: render_fields(CLOSURE_FIELDS),
    "stops": render_stops,
    "shapes": render_shapes,
    "exploration": lambda: render_fields(EXPLORATION_FIELDS),
    "verification": lambda: render_fields(VERIFICATION_FIELDS),
    "workspace": lambda: render_fields(WORKSPACE_FIELDS),
}
"""Name in the page's marker to the table that stands there."""


def _type(field: Field) -> str:
    match field.kind:
        case "word":
            return " or ".join(f"`{word}`" for word in field.words)
        case "words":
            return "list of " + ", ".join(f"`{word}`" for word in field.words)
        case "whole":
            return f"{field.low} to {field.high}"
        case "group":
            return "list of objects" if field.many else "object"
        case _:
            return _KIND_WORDS[field.kind]


def _codes(field: Field) -> str:
    of_items = "path_invalid" if field.kind in ("path", "paths") else ""
    codes = dict.fromkeys((field.missing, field.above, of_items, field.code))
    return ", ".join(f"`{code}`" for code in codes if code)


def _default(field: Field) -> str:
    if field.missing:
        return "**required**"
    if field.shown:
        return field.shown
    return "-" if field.default is None else f"`{_as_text(field.default)}`"


def _as_text(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(update_page(sys.stdin.read()))
