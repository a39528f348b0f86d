"""The older form of a handoff, `OSS_HANDOFF_JSON:` with schema_version 1, compiled to a MissionV1.

Counterparts: `contracts.handoff` finds the block, `contracts.task_modes` says what kind of task it is,
`contracts.validation` judges the mission that comes out.

Rules that hold here:

1. Every field becomes something of the mission, is told to the model, or is named in a note that says why not.
2. What the older form leaves open is refused, never guessed; all breaches are listed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from codex_oss.contracts.compiler import PATCH_OUTPUTS
from codex_oss.contracts.fields import TOOL_CLASSES
from codex_oss.contracts.mission import REPORT_OUTPUTS, SCHEMA_VERSION, Problem
from codex_oss.contracts.places import Places, read_places
from codex_oss.contracts.reader import Reader
from codex_oss.contracts.rows import Field
from codex_oss.contracts.task_modes import (
    TASK_TYPES,
    WRITING_TYPES,
    Mode,
    TaskEnvelope,
    choose_mode,
    command_of,
    tier_of,
)

_CODE: Final = "legacy_handoff_invalid"
LEGACY_FIELDS: Final = (
    Field("schema_version", "whole", "Must be 1", code=_CODE, low=1, high=1),
    Field("role", "text", "Told to the model", "", code=_CODE),
    Field("goal", "text", "The objective", "", code=_CODE),
    Field("task_type", "word", "Kind of task", code=_CODE, words=tuple(TASK_TYPES)),
    Field("owned_paths", "texts", "Files that may change", (), code=_CODE),
    Field("read_only_paths", "texts", "Files to read", (), code=_CODE),
    Field("forbidden_actions", "texts", "Told to the model", (), code=_CODE),
    Field("verification_steps", "texts", "Commands that verify a change", (), code=_CODE),
    Field("deliverable_fields", "texts", "Required outputs", (), code=_CODE),
    Field("completion_rule", "text", "Told to the model", "", code=_CODE),
    Field("escalation_rule", "text", "Told to the model", "", code=_CODE),
    Field("write_allowed", "flag", "Whether owned paths may change", code=_CODE, shown="when owned paths are given"),
    Field("exact_content", "flag", "The content is given word by word", False, code=_CODE),
    Field("proof_critical", "flag", "Critical risk", False, code=_CODE),
)
REQUIRED: Final = tuple(field.name for field in LEGACY_FIELDS[:11])
"""Keys that must be there, whatever they hold."""

Compiled = tuple[dict[str, Any] | None, tuple[Problem, ...]]
"""The raw mission with its notes, or None with all problems."""


def is_legacy(raw: Any) -> bool:
    """Whether a bare object says that it is of the older form."""
    return isinstance(raw, dict) and raw.get("schema_version") in (1, "1") and "task_type" in raw


def compile_legacy(raw: Any, tier: str = "") -> Compiled:
    """Compile a block. tier: of the model name, empty for a raw one."""
    reader = Reader()
    if not isinstance(raw, Mapping):
        return None, (Problem(_CODE, "", "The block is not an object."),)
    values = reader.read_fields(LEGACY_FIELDS, raw)
    for name in REQUIRED:
        if name not in raw:
            reader.refuse(_CODE, name, f"{name} is missing; the older form needs it, if only empty.")
    owned, read = read_places(values["owned_paths"]), read_places(values["read_only_paths"])
    for name, places in (("owned_paths", owned), ("read_only_paths", read)):
        for fault in places.faults:
            reader.refuse(_CODE, name, fault)
    for breach in _breaches(values, owned, read):
        reader.refuse(_CODE, *breach)
    mode = choose_mode(_envelope(values, owned, read))
    if not reader.broken:
        for breach in _refused_modes(mode, values):
            reader.refuse(_CODE, *breach)
    errors = tuple(problem for problem in reader.problems if problem.severity == "error")
    if errors:
        return None, tuple(reader.problems)
    mission = _mission(values, owned, read, mode, tier.upper())
    return mission, (*reader.problems, *_notes(values, mode, mission))


def _envelope(values: Mapping[str, Any], owned: Places, read: Places) -> TaskEnvelope:
    return TaskEnvelope(
        task_type=values["task_type"] or "",
        owned_paths=owned.all,
        read_only_paths=read.all,
        write_allowed=_writes(values, owned),
        exact_content=values["exact_content"],
        no_tools_required=values["exact_content"] and not owned.all and not read.all,
        proof_critical=values["proof_critical"],
    )


def _writes(values: Mapping[str, Any], owned: Places) -> bool:
    given = values["write_allowed"]
    return bool(owned.all) if given is None else given


def _breaches(values: Mapping[str, Any], owned: Places, read: Places) -> Iterator[tuple[str, str]]:
    if values["write_allowed"] and not owned.all:
        yield "write_allowed", "write_allowed is true and owned_paths is empty; nothing could be written."
    if not (owned.all or read.all or values["deliverable_fields"]):
        yield "read_only_paths", "There is nothing to do: no path to read or to write, and nothing to deliver."
    if not values["goal"]:
        yield "goal", "goal is empty; it becomes the objective."
    if values["task_type"] in WRITING_TYPES and not _writes(values, owned) and not values["proof_critical"]:
        yield "task_type", f"A task of the kind {values['task_type']} writes, and this one may not."


def _refused_modes(mode: Mode, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if mode == "no_tool_exact":
        yield "exact_content", "Nothing is to be read or written; ask the model without a mission."
    if mode == "managed_autonomy":
        yield "read_only_paths", "Nothing may be read; name the files and folders that the task is about."


def _mission(values: Mapping[str, Any], owned: Places, read: Places, mode: Mode, wanted: str) -> dict[str, Any]:
    tier = tier_of(mode, wanted)
    turns = TASK_TYPES[values["task_type"]] if values["task_type"] else min(TASK_TYPES.values())
    changes = tier in ("A4", "A5", "A6")
    outputs = PATCH_OUTPUTS if changes else REPORT_OUTPUTS
    mission: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "tier": tier,
        "objective": "\n".join(_objective(values)),
        "risk_tier": "critical" if values["proof_critical"] else "low",
        "write_allowed": tier in ("A5", "A6"),
        "allowed_roots": list(dict.fromkeys((*read.roots, *owned.roots))),
        "allowed_paths": list(dict.fromkeys((*read.paths, *owned.paths))),
        "allowed_tool_classes": [name for name in TOOL_CLASSES if name not in values["forbidden_actions"]],
        "required_outputs": list(dict.fromkeys((*outputs, *values["deliverable_fields"]))),
        "tool_budget": turns,
        "time_budget_seconds": 90 if tier == "A2" else 150,
    }
    if changes:
        commands = [argv for step in values["verification_steps"] if (argv := command_of(step))]
        mission |= {"owned_paths": list(owned.all), "read_only_paths": list(read.all)}
        mission |= {"verification_policy": {"allowed_commands": commands}} if commands else {}
        return mission
    return mission | {"must_inspect": list(read.paths[:turns])}


def _objective(values: Mapping[str, Any]) -> Iterator[str]:
    """The goal, and the rules that only a reader of words can follow."""
    yield values["goal"]
    for label, name in (("Your role", "role"), ("Done when", "completion_rule"), ("Escalate when", "escalation_rule")):
        if values[name]:
            yield f"{label}: {values[name]}"
    if values["forbidden_actions"]:
        yield f"Never: {', '.join(values['forbidden_actions'])}"


def _notes(values: Mapping[str, Any], mode: Mode, mission: Mapping[str, Any]) -> Iterator[Problem]:
    def note(field: str, sentence: str) -> Problem:
        return Problem("compiled_from_legacy", field, sentence, "warning")

    tier = mission["tier"]
    yield note("schema_version", f"The older form was compiled to a mission of tier {tier} (mode {mode}).")
    if tier in ("A2", "A3"):
        if values["owned_paths"]:
            yield note("owned_paths", f"Tier {tier} changes nothing; what is owned may be read.")
        if values["verification_steps"]:
            yield note("verification_steps", f"Tier {tier} runs no commands; nothing is verified by them.")
    elif steps := [step for step in values["verification_steps"] if not command_of(step)]:
        yield note("verification_steps", f"{len(steps)} step(s) are not carried: only commands in back-ticks are.")
    if values["exact_content"]:
        yield note("exact_content", "Exact content is not carried; hand it over as OSS_DESIRED_STATE_JSON.")
    for name in ("role", "completion_rule", "escalation_rule", "forbidden_actions"):
        if values[name]:
            yield note(name, f"{name} is told to the model as part of the objective; nothing else enforces it.")
