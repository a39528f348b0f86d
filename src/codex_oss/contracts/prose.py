"""A task contract in prose: lines with labels, compiled to a MissionV1.

    GOAL: Find out how retries work.
    READ-ONLY PATHS: src/retry.py, src/net/
    DELIVERABLE: where the limit is set, what happens after it

Counterparts: `contracts.handoff` asks here when a mission name comes without a block, `contracts.places` reads paths,
`contracts.validation` judges the mission that comes out.

Rules that hold here:

1. A label stands in capitals at the start of a line and is followed by a colon; its text goes on to the next label or
   blank line. Nothing outside labels is read, and no word of a sentence decides anything.
2. What can be read in two ways is refused with `prose_ambiguous`: a label that stands twice, two contracts, a path
   that is none. Scope comes from paths only.
3. Every label becomes something of the mission or is named in a note that says why not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from codex_oss.contracts.compiler import PATCH_OUTPUTS
from codex_oss.contracts.mission import REPORT_OUTPUTS, SCHEMA_VERSION, Problem
from codex_oss.contracts.places import Places, read_places
from codex_oss.contracts.reader import shown
from codex_oss.contracts.task_modes import TASK_TYPES, WRITING_TYPES, command_of, without_bullet

LABELS: Final[dict[str, str]] = {
    "ROLE": "role",
    "GOAL": "goal",
    "OBJECTIVE": "goal",
    "MISSION ID": "mission_id",
    "TASK TYPE": "task_type",
    "OWNED PATHS": "owned_paths",
    "READ-ONLY PATHS": "read_only_paths",
    "READ ONLY PATHS": "read_only_paths",
    "DO NOT TOUCH": "do_not_touch",
    "VERIFICATION STEPS": "verification_steps",
    "DELIVERABLE": "deliverable",
    "DELIVERABLES": "deliverable",
    "COMPLETION RULE": "completion_rule",
    "ESCALATION RULE": "escalation_rule",
}
"""Label to what it gives. Source: native task contract."""
BUDGET_OF_TIER: Final[dict[str, tuple[int, int]]] = {"A2": (8, 90)}
USUAL_BUDGET: Final = (14, 150)
"""Calls and seconds of a prose contract."""
FALLBACK_QUESTIONS: Final = (
    "Which files matter for the goal, and what stands in them?",
    "Which lines are the evidence?",
    "What could not be found out?",
)
"""Asked when nothing is to be delivered by name."""

_LABEL: Final = re.compile(
    r"^[ \t]*(?:[-*#>][ \t]+)?(?:\*\*)?(?P<label>"
    + "|".join(sorted(LABELS, key=len, reverse=True))
    + r")(?:\*\*)?[ \t]*:(?:\*\*)?(?P<text>.*)$"
)

Compiled = tuple[dict[str, Any] | None, tuple[Problem, ...]]
"""The raw mission with its notes, or None with all problems."""


def holds_contract(text: str) -> bool:
    """Whether a text has a goal by label; nothing else makes it a contract."""
    return any(found and LABELS[found["label"]] == "goal" for found in map(_LABEL.match, text.splitlines()))


def compile_prose(texts: Sequence[str], tier: str) -> Compiled:
    """Compile the one contract among *texts*. tier: A2 to A6, of the model name."""
    tier = tier.upper()
    contracts = [text for text in texts if holds_contract(text)]
    if len(contracts) > 1:
        message = f"{len(contracts)} messages hold a task contract; hand over exactly one."
        return None, (Problem("prose_ambiguous", "GOAL", message),)
    said, problems = _read(contracts[0] if contracts else "")
    places = {name: read_places(_entries(said.get(name, []))) for name in _PATH_LABELS}
    problems += _path_problems(places)
    problems += _missing(said, places, tier)
    problems += _task_type_problems(said, tier)
    if problems:
        return None, tuple(problems)
    mission = _mission(said, places, tier)
    return mission, tuple(_notes(said, places, mission))


_PATH_LABELS: Final = {
    "owned_paths": "OWNED PATHS",
    "read_only_paths": "READ-ONLY PATHS",
    "do_not_touch": "DO NOT TOUCH",
}


def _read(text: str) -> tuple[dict[str, list[str]], list[Problem]]:
    """Label name to its lines, and the labels that stand twice."""
    said: dict[str, list[str]] = {}
    problems: list[Problem] = []
    current: list[str] | None = None
    for line in text.splitlines():
        found = _LABEL.match(line)
        if found:
            name = LABELS[found["label"]]
            if name in said:
                message = f"{found['label']} is given twice; which one counts?"
                problems.append(Problem("prose_ambiguous", found["label"], message))
            current = said.setdefault(name, [])
            current.append(found["text"].strip())
        elif not line.strip():
            current = None if current and any(current) else current
        elif current is not None:
            current.append(line.strip())
    return {name: [line for line in lines if line] for name, lines in said.items()}, problems


def _words(said: Mapping[str, list[str]], name: str) -> str:
    return " ".join(said.get(name, []))


def _entries(lines: Sequence[str]) -> list[str]:
    """The entries of a list: on lines of their own, or with commas between them."""
    plain = map(without_bullet, lines)
    return [entry.strip() for line in plain for entry in line.split(",") if entry.strip()]


def _path_problems(places: Mapping[str, Places]) -> list[Problem]:
    return [
        Problem("prose_ambiguous", _PATH_LABELS[name], fault) for name, read in places.items() for fault in read.faults
    ]


def _missing(said: Mapping[str, list[str]], places: Mapping[str, Places], tier: str) -> list[Problem]:
    problems = []
    if not said.get("goal"):
        problems.append(Problem("prose_incomplete", "GOAL", "There is no goal after its label."))
    changes = tier in ("A4", "A5", "A6")
    if changes and not places["owned_paths"].all and not places["owned_paths"].faults:
        message = f"Tier {tier} changes files; OWNED PATHS: must name each of them."
        problems.append(Problem("prose_incomplete", "OWNED PATHS", message))
    readable = places["read_only_paths"].all + places["owned_paths"].all
    if not changes and not readable and not places["read_only_paths"].faults:
        message = "READ-ONLY PATHS: must name what may be read."
        problems.append(Problem("prose_incomplete", "READ-ONLY PATHS", message))
    return problems


def _task_type_problems(said: Mapping[str, list[str]], tier: str) -> list[Problem]:
    given = _words(said, "task_type").casefold()
    if not given:
        return []
    if given not in TASK_TYPES:
        message = f"Found {shown(given)}; expected one of {', '.join(TASK_TYPES)}."
        return [Problem("prose_ambiguous", "TASK TYPE", message)]
    if given in WRITING_TYPES and tier in ("A2", "A3"):
        message = f"A task of the kind {given} changes files, and tier {tier} only reads."
        return [Problem("prose_ambiguous", "TASK TYPE", message)]
    return []


def _mission(said: Mapping[str, list[str]], places: Mapping[str, Places], tier: str) -> dict[str, Any]:
    owned, read, closed = places["owned_paths"], places["read_only_paths"], places["do_not_touch"]
    calls, seconds = BUDGET_OF_TIER.get(tier, USUAL_BUDGET)
    mission: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "tier": tier,
        "objective": "\n".join(_objective(said)),
        "write_allowed": tier in ("A5", "A6"),
        "allowed_roots": list(dict.fromkeys((*read.roots, *owned.roots))),
        "allowed_paths": list(dict.fromkeys((*read.paths, *owned.paths))),
        "forbidden_roots": list(closed.all),
        "allowed_tool_classes": ["read", "search", "list"],
        "tool_budget": calls,
        "time_budget_seconds": seconds,
    }
    if mission_id := _words(said, "mission_id"):
        mission["mission_id"] = mission_id.strip("`\"'")
    if tier in ("A4", "A5", "A6"):
        return mission | _change(said, owned, read)
    return mission | {
        "required_outputs": list(REPORT_OUTPUTS),
        "objective_style": "open_investigation",
        "evidence_collection_mode": "agenda_guided",
        "must_inspect": list(read.paths[:1]),
        "answer_obligations": _entries(said.get("deliverable", [])) or list(FALLBACK_QUESTIONS),
        "exploration_policy": {
            "min_optional_actions_after_floor": 0,
            # One action beyond the first file, and one for each further place that was named.
            "max_optional_actions_after_floor": min(100, max(1, len(read.all + owned.all))),
            "require_contradiction_search": False,
        },
    }


def _change(said: Mapping[str, list[str]], owned: Places, read: Places) -> dict[str, Any]:
    commands = [argv for step in said.get("verification_steps", []) if (argv := command_of(step))]
    policy = {"verification_policy": {"allowed_commands": commands}} if commands else {}
    outputs = [*PATCH_OUTPUTS, *_entries(said.get("deliverable", []))]
    return {
        "required_outputs": list(dict.fromkeys(outputs)),
        "owned_paths": list(owned.all),
        "read_only_paths": list(read.all),
        "max_files_changed": min(20, max(1, len(owned.all))),
        **policy,
    }


def _objective(said: Mapping[str, list[str]]) -> Iterator[str]:
    """The goal, and the rules that only a reader of words can follow."""
    yield _words(said, "goal")
    for label, name in (("Your role", "role"), ("Done when", "completion_rule"), ("Escalate when", "escalation_rule")):
        if words := _words(said, name):
            yield f"{label}: {words}"


def _notes(
    said: Mapping[str, list[str]], places: Mapping[str, Places], mission: Mapping[str, Any]
) -> Iterator[Problem]:
    def note(field: str, sentence: str) -> Problem:
        return Problem("compiled_from_prose", field, sentence, "warning")

    tier = mission["tier"]
    files = ", ".join((*(f"{root}/" for root in mission["allowed_roots"]), *mission["allowed_paths"]))
    yield note("GOAL", f"The contract was compiled to a mission of tier {tier} over {files}.")
    reads = tier in ("A2", "A3")
    if reads and places["owned_paths"].all:
        yield note("OWNED PATHS", f"Tier {tier} changes nothing; what is owned may be read.")
    if reads and (first := mission["must_inspect"]):
        yield note("READ-ONLY PATHS", f"{first[0]} must be read; the others may be.")
    if reads and not said.get("deliverable"):
        yield note("DELIVERABLE", "Nothing is named; three general questions stand for it.")
    if places["do_not_touch"].all:
        yield note("DO NOT TOUCH", "What is named is not even read.")
    if steps := said.get("verification_steps"):
        carried = 0 if reads else sum(1 for step in steps if command_of(step))
        if carried < len(steps):
            why = f"tier {tier} runs no commands" if reads else "only commands in back-ticks are"
            yield note("VERIFICATION STEPS", f"{len(steps) - carried} step(s) are not carried: {why}.")
    if said.get("task_type"):
        yield note("TASK TYPE", "The kind of task changes nothing beyond having to fit the tier.")
    for label, name in (
        ("ROLE", "role"),
        ("COMPLETION RULE", "completion_rule"),
        ("ESCALATION RULE", "escalation_rule"),
    ):
        if said.get(name):
            yield note(label, "It is told to the model as part of the objective; nothing else enforces it.")
