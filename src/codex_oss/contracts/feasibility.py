"""The rules of MissionV1 that refuse what no runtime could do: fields that contradict each other or promise nothing.

Counterparts: `contracts.validation` has the rules of form and runs these after them; what remains is acted upon by
`missions.decide`, `missions.verdicts` and the gates.

Rules that hold here:

1. A field is acted upon or refused. What a tier cannot do is an error, not a note.
2. A rule speaks only of fields that read (`Draft.fits`), so that one fault is one problem.
3. Nothing here knows the project: whether a file exists is found out when the mission runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, Final

from codex_oss.contracts.defaults import IMPLEMENTATION_TIERS, completeness_of, exploration_of
from codex_oss.contracts.draft import Draft
from codex_oss.contracts.evidence_shapes import EVIDENCE_SHAPES
from codex_oss.contracts.fields import IMPLEMENTATION_ONLY, MISSION_FIELDS, REPORT_SCHEMA_OF_TIER
from codex_oss.contracts.objective_fields import READING_TYPES
from codex_oss.contracts.reader import shown
from codex_oss.contracts.rows import Field

CHANGE_OUTPUTS: Final = ("patch", "changed_files")
"""Outputs that only the runtime of a tier which changes files can vouch for."""

_SEARCHED: Final = ("scope_search_required", "negative_proof_required")


def _reads_only(draft: Draft) -> bool:
    return bool(draft.tier) and draft.tier not in IMPLEMENTATION_TIERS


def _check_report_schema(draft: Draft) -> None:
    given = draft.values["report_schema"]
    if draft.tier and given and given != REPORT_SCHEMA_OF_TIER[draft.tier]:
        message = f"Found {given!r}; tier {draft.tier} reports as {REPORT_SCHEMA_OF_TIER[draft.tier]!r}."
        draft.reader.refuse("report_schema_invalid", "report_schema", message)


def _check_without_effect(draft: Draft) -> None:
    if not _reads_only(draft):
        return
    for field in MISSION_FIELDS:
        if field.name in IMPLEMENTATION_ONLY and draft.fits(field.name) and _says(field, draft.values[field.name]):
            message = f"Tier {draft.tier} changes nothing, so {field.name} would have no effect."
            draft.reader.refuse("field_without_effect", field.name, message)


def _says(field: Field, value: Any) -> bool:
    """Whether a value asks for something other than the default."""
    if isinstance(value, dict):
        return any(value[inner.name] != inner.default for inner in field.fields if value[inner.name] or inner.default)
    return bool(value != field.default)


def _check_outputs(draft: Draft) -> None:
    if not _reads_only(draft):
        return
    spec = draft.values["objective_spec"] or {}
    for at, names in (
        ("required_outputs", draft.values["required_outputs"]),
        ("objective_spec.required_outputs", spec.get("required_outputs") or ()),
    ):
        for name in names:
            if name in CHANGE_OUTPUTS:
                message = f"Tier {draft.tier} changes nothing, so no report of it can hold {name}."
                draft.reader.refuse("required_output_invalid", at, message)


def _check_objective_type(draft: Draft) -> None:
    spec = draft.values["objective_spec"]
    if not spec or not draft.fits("objective_spec"):
        return
    kind = spec["objective_type"]
    if _reads_only(draft) and kind not in READING_TYPES:
        message = f"{kind} asks for a change; tier {draft.tier} only reads."
        draft.reader.refuse("objective_spec_invalid", "objective_spec.objective_type", message)
    elif spec["required_values"] and kind != "config_value_extraction":
        message = f"Values are looked for by config_value_extraction, not by {kind}."
        draft.reader.refuse("objective_spec_invalid", "objective_spec.required_values", message)


def _check_shapes(draft: Draft) -> None:
    wanted = [(f"{at}.required_shapes", source["required_shapes"]) for at, source, _ in draft.sources()]
    spec = draft.values["objective_spec"]
    if spec:
        wanted.append(("objective_spec.required_evidence_shapes", spec["required_evidence_shapes"]))
    for at, names in wanted:
        for name in names or ():
            if name not in EVIDENCE_SHAPES:
                near = get_close_matches(name[:60], EVIDENCE_SHAPES, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                message = f"There is no evidence shape {shown(name)}.{hint}"
                draft.reader.refuse("evidence_shape_unknown", at, message)


def _check_tool_classes(draft: Draft) -> None:
    if not _reads_only(draft) or not draft.fits("allowed_tool_classes"):
        return
    for needed, at, why in _needs(draft):
        if needed not in draft.values["allowed_tool_classes"]:
            message = f"{why} needs the tool class {needed}, which allowed_tool_classes leaves out."
            draft.reader.refuse("tool_class_needed", at, message)


def _needs(draft: Draft) -> Iterator[tuple[str, str, str]]:
    """Tool class, the field that needs it, and what it is for."""
    values = draft.values
    if values["must_inspect"]:
        yield "read", "must_inspect", "Reading it"
    for at, source, required in draft.sources():
        if required and source["evidence_plane"] == "file_content":
            yield "read", at, "Reading it"
        if required and _is_searched(source):
            yield "search", at, "Searching it"
    spec = values["objective_spec"]
    if spec and draft.fits("objective_spec") and spec["objective_type"] == "zero_match_evidence":
        yield "search", "objective_spec.objective_type", "zero_match_evidence"
    if _wants_contradiction_search(draft):
        yield "search", "exploration_policy", "A search for the opposite"


def _is_searched(source: dict[str, Any]) -> bool:
    asks = source["evidence_plane"] == "command_result" or source["pattern"] or source["command_requirement"]
    return bool(asks) or completeness_of(source) in _SEARCHED


def _wants_contradiction_search(draft: Draft) -> bool:
    policy = draft.values["exploration_policy"]
    if not policy or draft.style != "open_investigation" or not draft.fits("exploration_policy"):
        return False
    return bool(exploration_of(policy)["require_contradiction_search"])


def _check_exploration(draft: Draft) -> None:
    policy = draft.values["exploration_policy"]
    if policy is None or not draft.fits("exploration_policy"):
        return
    filled = exploration_of(policy)
    fewest, most = filled["min_optional_actions_after_floor"], filled["max_optional_actions_after_floor"]
    closes, searches = (
        filled["after_required_floor"] == "close_immediately",
        filled["require_contradiction_search"],
    )
    if draft.style and draft.style != "open_investigation":
        message = f"It needs objective_style open_investigation; the style is {draft.style}."
    elif fewest > most:
        message = f"The fewest optional actions ({fewest}) are more than the most ({most})."
    elif closes and (fewest or searches):
        message = "close_immediately leaves no room for further actions or a search for the opposite."
    elif searches and not most:
        message = "A search for the opposite is an optional action, and none is allowed."
    else:
        return
    draft.reader.refuse("exploration_policy_invalid", "exploration_policy", message)


def _check_required_sources(draft: Draft) -> None:
    """What must be looked at may be looked at."""
    values = draft.values
    scope_names = ("allowed_roots", "allowed_paths", "owned_paths", "read_only_paths")
    if not draft.fits(*scope_names, "forbidden_roots"):
        return
    scope = {path for name in scope_names for path in values[name]}
    forbidden = set(values["forbidden_roots"])
    wanted = [("must_inspect_outside_scope", f"must_inspect[{i}]", p) for i, p in enumerate(values["must_inspect"])]
    wanted += [
        ("source_requirement_invalid", f"{at}.path", source["path"])
        for at, source, required in draft.sources()
        if source["path"] and (source["required"] if source["evidence_plane"] == "file_content" else required)
    ]
    for code, at, path in wanted:
        parents = _with_parents(path)
        if scope.isdisjoint(parents):
            draft.reader.refuse(code, at, f"{shown(path)} must be looked at, but neither a root nor a path allows it.")
        elif not forbidden.isdisjoint(parents):
            draft.reader.refuse(code, at, f"{shown(path)} must be looked at, but forbidden_roots closes it.")
    files = {path for _, _, path in wanted}
    if draft.fits("max_files_to_inspect", "must_inspect") and len(files) > values["max_files_to_inspect"]:
        message = f"{len(files)} files must be looked at, and only {values['max_files_to_inspect']} may be."
        draft.reader.refuse("limit_out_of_range", "max_files_to_inspect", message)


def _with_parents(path: str) -> set[str]:
    """`a/b` gives `a/b`, `a` and `.`."""
    return {path[:end] for end, char in enumerate(path) if char == "/"} | {path, "."}


def _check_completion(draft: Draft) -> None:
    contract = draft.values["completion_contract"]
    if not contract or not draft.fits("completion_contract"):
        return
    axes = contract["required_axes"] or {}
    for name in ("answer", "evidence"):
        if axes.get(name) is False:
            at = f"completion_contract.required_axes.{name}"
            draft.reader.refuse(
                "completion_contract_invalid", at, f"No COMPLETE does without {name}; it cannot be false."
            )


def _check_closer(draft: Draft) -> None:
    for name in ("closer_model", "fallback_closer_model"):
        if draft.fits(name) and draft.values[name]:
            message = f"A mission has one model, which also writes the report; found {shown(draft.values[name])}."
            draft.reader.refuse("closer_not_available", name, message)


def _warn_scope(draft: Draft) -> None:
    """What the runtime would turn away at the door, or leave closed, is told beforehand."""
    values = draft.values
    if _reads_only(draft) and "." in values["allowed_roots"] and not values["allow_broad_read_scope"]:
        message = "The whole project is a broad root and allow_broad_read_scope is not set; the mission would escalate."
        draft.reader.warn("scope_is_broad", "allowed_roots", message)
    if values["critical_path_read_allowed"] != bool(values["critical_path_reason"]):
        message = "Critical paths open only with both the flag and a reason; they stay closed."
        draft.reader.warn("critical_read_stays_closed", "critical_path_reason", message)


FEASIBILITY_RULES: Final[tuple[Callable[[Draft], None], ...]] = (
    _check_report_schema,
    _check_outputs,
    _check_objective_type,
    _check_shapes,
    _check_exploration,
    _check_required_sources,
    _check_tool_classes,
    _check_completion,
    _check_closer,
    _check_without_effect,
    _warn_scope,
)
"""In the order in which their problems are listed."""
