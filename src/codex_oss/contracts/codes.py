"""The stable codes of a handoff that breaks the contract, each with its meaning.

Counterparts: `contracts.handoff` and `contracts.validation` emit them, `docs/mission-contract.md` lists them.
A code never changes its meaning; a sentence may be worded better at any time. Each code has one hint: what whoever
wrote the mission does next.
"""

from __future__ import annotations

from typing import Final

HANDOFF_CODES: Final[dict[str, str]] = {
    "handoff_missing": "There is no mission where one is needed.",
    "handoff_malformed_json": "The block is not one JSON object that every program reads alike.",
    "handoff_multiple_blocks": "More than one mission was handed over at once.",
    "handoff_no_valid_block": "There are several blocks and none of them is a mission.",
    "prose_ambiguous": "A task contract in prose can be read in more than one way.",
    "prose_incomplete": "A task contract in prose lacks a label that its tier needs.",
    "legacy_handoff_invalid": "A block of the older form `OSS_HANDOFF_JSON:` breaks its rules.",
}

ERROR_CODES: Final[dict[str, str]] = {
    **HANDOFF_CODES,
    "schema_version_invalid": "`schema_version` is not `oss_agent_mission.v1`.",
    "mission_id_invalid": "`mission_id` cannot name a folder.",
    "tier_invalid": "`tier` is not one of A2 to A6.",
    "tier_alias_mismatch": "The model's name asks for another tier than the mission.",
    "mode_mismatch": "`mode` is not the mode of the tier.",
    "objective_missing": "`objective` is missing or not a text.",
    "risk_tier_invalid": "`risk_tier` is not low, medium or critical.",
    "write_flag_mismatch": "`write_allowed` does not fit the tier.",
    "scope_missing": "Neither `allowed_roots` nor `allowed_paths` names anything.",
    "path_invalid": "A path is absolute, climbs out of the project or cannot be a path.",
    "must_inspect_outside_scope": "A file must be inspected that the mission may not read.",
    "owned_paths_missing": "A tier that changes files owns none.",
    "tool_classes_missing": "`allowed_tool_classes` is missing or empty.",
    "tool_class_invalid": "A tool class is not read, search, list or safe_git.",
    "required_outputs_missing": "`required_outputs` is missing or empty.",
    "required_output_invalid": "A required output is one that no report of this tier has.",
    "stop_condition_invalid": "A stop condition is not one that the runtime knows.",
    "policy_unknown": "A policy is named that the runtime does not have.",
    "tool_class_needed": "The mission needs a tool class that it does not allow.",
    "budget_abusive": "A budget is above what anybody may ask for.",
    "limit_out_of_range": "A number is out of its bounds or not a whole number.",
    "report_schema_invalid": "`report_schema` is not a known format, or not the tier's.",
    "objective_spec_invalid": "The machine-readable objective breaks `objective_spec.v1`.",
    "objective_spec_required": "Heuristics are forbidden and there is nothing else to check the answer by.",
    "objective_style_invalid": "`objective_style` is unknown or does not fit the tier.",
    "obligations_not_allowed": "Questions were given outside the open style.",
    "obligation_invalid": "A question that must be answered is broken or named twice.",
    "source_requirement_invalid": "A required source is broken or cannot be read.",
    "completeness_policy_invalid": "`completeness_policy` is unknown.",
    "shape_policy_invalid": "`shape_match_policy` is not all or any.",
    "evidence_shape_unknown": "An evidence shape is not one that the runtime can look for.",
    "evidence_mode_invalid": "`evidence_collection_mode` is unknown.",
    "exploration_policy_invalid": "The exploration policy is broken or outside the open style.",
    "sufficiency_policy_invalid": "The sufficiency policy is broken.",
    "completion_contract_invalid": "The completion contract is broken, or would lower what COMPLETE means.",
    "closer_not_available": "A closing model was named; a mission has one model.",
    "verification_policy_invalid": "The verification policy is broken or asks for the network.",
    "workspace_policy_invalid": "The workspace policy is broken.",
    "apply_mode_invalid": "`apply_mode` does not fit the tier or the risk.",
    "field_type_invalid": "A field without a code of its own has the wrong type.",
    "field_without_effect": "The field means nothing to this tier or style.",
}
"""Codes of errors."""

WARNING_CODES: Final[dict[str, str]] = {
    "unknown_field": "The contract has no such field; it is ignored.",
    "scope_is_broad": "The whole project is a root and broad scopes are not allowed: the mission would escalate.",
    "critical_read_stays_closed": "Critical reads are allowed without a reason, or a reason is given without them.",
    "compiled_from_prose": "What a task contract in prose became, where that is not word for word.",
    "compiled_from_legacy": "What a block of the older form became, where that is not word for word.",
}

HINTS: Final[dict[str, str]] = {
    "handoff_missing": "`codex-oss mission template --handoff` writes a mission to start from.",
    "handoff_malformed_json": "Let a program write the JSON: `codex-oss mission compile FILE --handoff`.",
    "handoff_multiple_blocks": "Hand over one mission a message; start the others in messages of their own.",
    "handoff_no_valid_block": "Give the mission's block schema_version oss_agent_mission.v1.",
    "prose_ambiguous": "Write each label once, at the start of a line; one path a line, folders with a / at their end.",
    "prose_incomplete": "GOAL: and READ-ONLY PATHS: are needed; A4 to A6 need OWNED PATHS: as well.",
    "legacy_handoff_invalid": "`codex-oss mission template --handoff` writes the present form.",
    "schema_version_invalid": "Set schema_version to oss_agent_mission.v1.",
    "mission_id_invalid": "Leave mission_id out to have one drawn.",
    "tier_invalid": "Use A2 to explore, A3 to investigate.",
    "tier_alias_mismatch": "Let model name and mission name the same tier.",
    "mode_mismatch": "Leave mode out; it follows from the tier.",
    "objective_missing": "Say in one or two sentences what is to be found out.",
    "risk_tier_invalid": "Use low, or leave it out.",
    "write_flag_mismatch": "Leave write_allowed out in A2 to A4, set it to true in A5 and A6.",
    "scope_missing": "Name folders in allowed_roots or files in allowed_paths.",
    "path_invalid": "Write paths relative to the project, with / and without `..`.",
    "must_inspect_outside_scope": "Add the file to allowed_paths, or take it out of what must be read.",
    "owned_paths_missing": "Name each file that may change in owned_paths.",
    "tool_classes_missing": 'Usual is ["read", "search", "list"].',
    "tool_class_invalid": "Use read, search, list and safe_git.",
    "tool_class_needed": "Add the tool class to allowed_tool_classes, or drop what needs it.",
    "required_outputs_missing": 'Usual is ["findings", "uncertainties", "confidence"].',
    "required_output_invalid": "Ask a tier that changes files for it, or leave it out.",
    "stop_condition_invalid": "docs/mission-contract.md lists the stop conditions.",
    "policy_unknown": "Leave the field out: the policy it may name is the one in force.",
    "budget_abusive": "Ask for what the task needs; the tier caps it anyway.",
    "limit_out_of_range": "Use a whole number within the bounds, or leave the field out.",
    "report_schema_invalid": "Leave report_schema out; it follows from the tier.",
    "objective_spec_invalid": "docs/mission-contract.md has the types and their targets.",
    "objective_spec_required": "Give the field that is named, or set allow_heuristic_objective to true.",
    "objective_style_invalid": "Leave objective_style out, or use open_investigation for questions in A2 and A3.",
    "obligations_not_allowed": "Set objective_style to open_investigation.",
    "obligation_invalid": "Each entry is a question, or an object with `question` and an `id` of its own.",
    "source_requirement_invalid": "Each entry is a path, or an object with `path`.",
    "completeness_policy_invalid": "Leave it out; it follows from evidence_kind.",
    "shape_policy_invalid": "Use the word all or the word any.",
    "evidence_shape_unknown": "docs/mission-contract.md lists the evidence shapes.",
    "evidence_mode_invalid": "Use prefetch_floor, agenda_guided or model_led.",
    "exploration_policy_invalid": "Leave the policy out to ask for nothing beyond the required reading.",
    "sufficiency_policy_invalid": "Leave the field out; the defaults are listed in docs/mission-contract.md.",
    "completion_contract_invalid": "A completion contract can only ask for more; leave out what it sets to false.",
    "closer_not_available": "Leave it out: the model that investigates also writes the report.",
    "verification_policy_invalid": "Give commands as lists of texts, at most ten, and leave network_allowed out.",
    "workspace_policy_invalid": "Leave the field out; the defaults are listed in docs/mission-contract.md.",
    "apply_mode_invalid": "Leave apply_mode out; it follows from the tier.",
    "field_type_invalid": "docs/mission-contract.md has the type of each field.",
    "field_without_effect": "Leave the field out, or use a tier that changes files.",
    "unknown_field": "Take it out, or spell it as the contract does.",
    "scope_is_broad": "Name folders, or set allow_broad_read_scope to true.",
    "critical_read_stays_closed": "Give both critical_path_read_allowed and critical_path_reason.",
    "compiled_from_prose": "`codex-oss mission compile FILE` shows the whole mission.",
    "compiled_from_legacy": "`codex-oss mission compile FILE` shows the whole mission.",
}
"""Code to what to do about it; each code above has one, which a test holds."""


def hint_of(code: str) -> str:
    """The hint of a code; empty for a code that is not the contract's."""
    return HINTS.get(code, "")
