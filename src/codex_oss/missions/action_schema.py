"""The JSON Schema of the next answer, computed from the record.

Many illegal actions become unrepresentable: only offered tools that still have something to do, only places and files
that are known to exist in scope, only questions and phases that are open, only refs that were offered, a report only
once something was seen. It helps a model that is held to it and is trusted from none: upstreams ignore such fields
silently, so `missions.actions`, `missions.verdicts` and `missions.gates` check everything again.

Counterparts: `missions.report_schema` has the report, `services.model_call` sends it as `response_format`. It is no
part of the prompt, so it may change from turn to turn without costing the upstream's prefix cache.
"""

from __future__ import annotations

import re
from typing import Any, Final

from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.tools import TOOL_ARGUMENTS
from codex_oss.missions.events import Purpose
from codex_oss.missions.evidence import CommandRun, Extract
from codex_oss.missions.native_calls import JSON_TYPE, offered_tools
from codex_oss.missions.phases import phase_of
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report_schema import closed, nullable, report_schema

MAX_CHOICES: Final = 40
"""Of refs, places or files in one list; the newest refs count."""
SMALL_CONTEXT_TOKENS: Final = 4_096
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+|[a-z]+[A-Z][A-Za-z0-9]*")
_PATH: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+")


def action_schema(record: RunRecord, purpose: Purpose) -> dict[str, Any]:
    """Schema of one action. With purpose final_report only a report fits; without evidence only a tool call does."""
    if record.opened is None:
        return {"type": "object"}
    mission, refs = record.opened.mission, offered_refs(record)
    body = report_schema(mission, refs, small=_is_small(record))
    report = closed({"action_type": {"const": "final_report"}, "report": body})
    if purpose == "final_report":
        return report
    calls = [_tool_action(record, tool, arguments) for tool, arguments in _useful_tools(record, mission).items()]
    return {"anyOf": [*calls, report]} if refs or not calls else {"anyOf": calls}


def offered_refs(record: RunRecord) -> list[str]:
    """Every ref that an observation offered, the newest last, at most `MAX_CHOICES`."""
    entries: list[Extract | CommandRun] = [e for extracts in record.evidence.extracts.values() for e in extracts]
    entries.extend(run for run in record.evidence.commands if run.result.kind != "error")
    return [entry.ref for entry in sorted(entries, key=lambda entry: entry.step)][-MAX_CHOICES:]


def _tool_action(record: RunRecord, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    opened, more = record.opened, {}
    if opened is not None and not _is_small(record):
        questions = [obligation.id for obligation in opened.mission.answer_obligations]
        more = {"target_question": {"enum": [*questions, ""]}} if questions else {}
        if opened.mission.phase_policy_enabled:
            more["phase"] = {"enum": [phase_of(record)]}
    return closed(
        {
            "action_type": {"const": "tool_call"},
            "tool_name": {"const": tool},
            "arguments": closed(arguments),
            "reason": {"type": "string", "maxLength": 80 if _is_small(record) else 300},
            **more,
        }
    )


def _useful_tools(record: RunRecord, mission: MissionV1) -> dict[str, dict[str, Any]]:
    """Offered tools that still have something to do, with the schemas of their arguments.

    The smallest models get only what they fill in sensibly, and search only for identifiers of the objective that were
    not searched for yet: left to themselves they search for a word of the prompt (observed with 135M).
    """
    small = _is_small(record)
    useful: dict[str, dict[str, Any]] = {}
    for tool in offered_tools(mission):
        known = {} if small else {name: nullable(JSON_TYPE[kind]) for name, kind in TOOL_ARGUMENTS[tool].items()}
        if "path" in TOOL_ARGUMENTS[tool]:
            places: list[str | None] = [*_places(record, mission), *([] if small else [None])]
            known["path"] = {"enum": _files(record, mission) if tool == "rtk_read" else places}
        if tool == "rtk_grep":
            words = _untried_words(record, mission) if small else None
            known["pattern"] = {"type": "string", "minLength": 2, "maxLength": 60} if words is None else {"enum": words}
        if all(schema.get("enum", ["-"]) for schema in known.values()):
            useful[tool] = known
    return useful


def _is_small(record: RunRecord) -> bool:
    return record.opened is not None and record.opened.context_tokens <= SMALL_CONTEXT_TOKENS


def _untried_words(record: RunRecord, mission: MissionV1) -> list[str]:
    """Identifiers of the objective that no search was made for."""
    tried = {judged.proposal.arguments.get("pattern") for judged in record.judged}
    return [word for word in dict.fromkeys(_IDENTIFIER.findall(mission.objective)) if word not in tried]


def _files(record: RunRecord, mission: MissionV1) -> list[str]:
    """Files of which there is more to see: named by the contract, or shown by searches and listings.

    Once as many were read as the mission allows, only those. A small model cannot name ranges: it reads a file once.
    """
    named = [*mission.allowed_paths, *mission.must_inspect]
    for obligation in mission.answer_obligations:
        named += [source.path for source in obligation.source_requirements]
        named += [hint for hint in obligation.source_hints if _is_inside(hint, mission)]
    named += [path for path in _PATH.findall(mission.objective) if _is_inside(path, mission)]
    folders = set(mission.allowed_roots)
    known = [path for path in dict.fromkeys([*named, *_shown_paths(record)]) if path not in folders]
    extracts = record.evidence.extracts
    if len(extracts) >= mission.max_files_to_inspect:
        known = [path for path in known if path in extracts]
    small = _is_small(record)
    return [path for path in known if path not in extracts or not (small or _is_whole(extracts[path]))][:MAX_CHOICES]


def _shown_paths(record: RunRecord) -> list[str]:
    shown: list[str] = list(record.evidence.extracts)
    for run in record.evidence.commands:
        shown += [match.path for match in run.result.matches]
        if run.result.kind == "entries":
            shown += [_joined(run, name) for name in run.result.lines if not name.endswith(("/", "@"))]
    return shown


def _places(record: RunRecord, mission: MissionV1) -> list[str]:
    """Where one may search and list: what the contract allows, and folders that listings showed below it."""
    below = [
        _joined(run, name.rstrip("/"))
        for run in record.evidence.commands
        if run.result.kind == "entries"
        for name in run.result.lines
        if name.endswith("/")
    ]
    return list(dict.fromkeys([*mission.allowed_roots, *mission.allowed_paths, *below]))[:MAX_CHOICES]


def _joined(run: CommandRun, name: str) -> str:
    folder = run.result.path.rstrip("/")
    return f"{folder}/{name}" if folder not in ("", ".") else name


def _is_inside(path: str, mission: MissionV1) -> bool:
    roots = mission.allowed_roots
    return _PATH.fullmatch(path) is not None and any(root == "." or path.startswith(f"{root}/") for root in roots)


def _is_whole(extracts: list[Extract]) -> bool:
    return any(extract.complete for extract in extracts)
