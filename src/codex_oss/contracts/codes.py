"""The stable codes of a handoff that breaks the contract, each with its meaning.

Counterparts: `contracts.handoff` and `contracts.validation` emit them, `docs/mission-contract.md` lists them.
A code never changes its meaning; a sentence may be worded better at any time.
"""

from __future__ import annotations

from typing import Final

HANDOFF_CODES: Final[dict[str, str]] = {
    "handoff_missing": "There is no mission where one is needed.",
    "handoff_malformed_json": "The block is not one JSON object that every program reads alike.",
    "handoff_multiple_blocks": "More than one mission was handed over at once.",
    "handoff_no_valid_block": "There are several blocks and none of them is a mission.",
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
    "budget_abusive": "A budget is above what anybody may ask for.",
    "limit_out_of_range": "A number is out of its bounds or not a whole number.",
    "report_schema_invalid": "`report_schema` is not a known format, or (a warning) not the tier's.",
    "objective_spec_invalid": "The machine-readable objective breaks `objective_spec.v1`.",
    "objective_spec_required": "Heuristics are forbidden and there is nothing else to check the answer by.",
    "objective_style_invalid": "`objective_style` is unknown or does not fit the tier.",
    "obligations_not_allowed": "Questions were given outside the open style.",
    "obligation_invalid": "A question that must be answered is broken or named twice.",
    "source_requirement_invalid": "A required source is broken or cannot be read.",
    "completeness_policy_invalid": "`completeness_policy` is unknown.",
    "shape_policy_invalid": "`shape_match_policy` is not all or any.",
    "evidence_mode_invalid": "`evidence_collection_mode` is unknown.",
    "exploration_policy_invalid": "The exploration policy is broken or outside the open style.",
    "sufficiency_policy_invalid": "The sufficiency policy is broken.",
    "verification_policy_invalid": "The verification policy is broken or asks for the network.",
    "workspace_policy_invalid": "The workspace policy is broken.",
    "apply_mode_invalid": "`apply_mode` does not fit the tier or the risk.",
    "field_type_invalid": "A field without a code of its own has the wrong type.",
}
"""Codes of errors; a few of them also come as warnings where the meaning says so."""

WARNING_CODES: Final[dict[str, str]] = {
    "unknown_field": "The contract has no such field; it is ignored.",
    "field_without_effect": "The field means nothing to this tier.",
}
