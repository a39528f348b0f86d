"""Missions that are valid, and missions that break one rule each, with the code and field of the breach."""

from __future__ import annotations

from typing import Any

from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, MISSION_FIELDS

TIERS = tuple(APPLY_MODES_OF_TIER)
OPEN = {"objective_style": "open_investigation"}


def minimal(tier: str = "A3", **changes: Any) -> dict[str, Any]:
    """The shortest valid mission of a tier, with changes."""
    raw: dict[str, Any] = {
        "schema_version": "oss_agent_mission.v1",
        "tier": tier,
        "objective": "Find the port.",
        "allowed_paths": ["config.py"],
        "allowed_tool_classes": ["read"],
        "required_outputs": ["findings"],
    }
    if tier in ("A4", "A5", "A6"):
        raw["owned_paths"] = ["config.py"]
    if tier in ("A5", "A6"):
        raw["write_allowed"] = True
    return raw | changes


REQUIRED = [
    (tier, name, code, field)
    for tier in TIERS
    for name, code, field in (
        ("schema_version", "schema_version_invalid", "schema_version"),
        ("objective", "objective_missing", "objective"),
        ("allowed_paths", "scope_missing", "allowed_roots"),
        ("allowed_tool_classes", "tool_classes_missing", "allowed_tool_classes"),
        ("required_outputs", "required_outputs_missing", "required_outputs"),
        ("owned_paths", "owned_paths_missing", "owned_paths"),
        ("write_allowed", "write_flag_mismatch", "write_allowed"),
    )
    if name in minimal(tier)
]

CONTRACT = "completion_contract"
SOURCE = "answer_obligations[0].source_requirements[0]"
ARGVS = "verification_policy.allowed_commands"


def asking(tools: list[str] | None = None, **source: Any) -> dict[str, Any]:
    """An open mission whose one question needs one source."""
    question = {"question": "a", "source_requirements": [{"path": "config.py", **source}]}
    return minimal(**OPEN, answer_obligations=[question], allowed_tool_classes=tools or ["read", "search"])


def looking(kind: str, **spec: Any) -> dict[str, Any]:
    """A mission with a machine-readable objective."""
    return minimal(objective_spec={"objective_type": kind, **spec})


BREACHES: list[tuple[dict[str, Any], str, str]] = [
    (minimal(schema_version="oss_agent_mission.v2"), "schema_version_invalid", "schema_version"),
    (minimal(tier="A0"), "tier_invalid", "tier"),
    (minimal(tier="A1"), "tier_invalid", "tier"),
    (minimal() | {"tier": 3}, "tier_invalid", "tier"),
    (minimal(mode="guided_exploration"), "mode_mismatch", "mode"),
    (minimal(mode="quick"), "mode_mismatch", "mode"),
    (minimal(objective=5), "objective_missing", "objective"),
    (minimal(objective="a\0b"), "objective_missing", "objective"),
    (minimal(objective="\ud800"), "objective_missing", "objective"),
    (minimal(risk_tier="high"), "risk_tier_invalid", "risk_tier"),
    (minimal(write_allowed=True), "write_flag_mismatch", "write_allowed"),
    (minimal(write_allowed="false"), "write_flag_mismatch", "write_allowed"),
    (minimal(write_allowed=0), "write_flag_mismatch", "write_allowed"),
    (minimal("A4", write_allowed=True), "write_flag_mismatch", "write_allowed"),
    (minimal("A5", write_allowed=False), "write_flag_mismatch", "write_allowed"),
    (minimal(allowed_paths=","), "scope_missing", "allowed_roots"),
    (minimal(allowed_paths={"a": 1}), "field_type_invalid", "allowed_paths"),
    (minimal(allowed_tool_classes=["shell"]), "tool_class_invalid", "allowed_tool_classes[0]"),
    (minimal(allowed_tool_classes="read,shell"), "tool_class_invalid", "allowed_tool_classes"),
    (minimal(allowed_tool_classes=","), "tool_classes_missing", "allowed_tool_classes"),
    (minimal(allowed_tool_classes=7), "tool_class_invalid", "allowed_tool_classes"),
    (minimal(tool_budget=1001), "budget_abusive", "tool_budget"),
    (minimal(tool_budget=10**30), "budget_abusive", "tool_budget"),
    (minimal(tool_budget=0), "limit_out_of_range", "tool_budget"),
    (minimal(tool_budget=True), "limit_out_of_range", "tool_budget"),
    (minimal(tool_budget=2.5), "limit_out_of_range", "tool_budget"),
    (minimal(tool_budget="10"), "limit_out_of_range", "tool_budget"),
    (minimal(time_budget_seconds=3601), "budget_abusive", "time_budget_seconds"),
    (minimal(time_budget_seconds=-1), "limit_out_of_range", "time_budget_seconds"),
    (minimal(max_model_calls=101), "limit_out_of_range", "max_model_calls"),
    (minimal(max_files_to_inspect=0), "limit_out_of_range", "max_files_to_inspect"),
    (minimal("A4", max_files_changed=21), "limit_out_of_range", "max_files_changed"),
    (minimal("A4", max_patch_bytes=250_001), "limit_out_of_range", "max_patch_bytes"),
    (minimal(mission_id="../x"), "mission_id_invalid", "mission_id"),
    (minimal(mission_id=".x"), "mission_id_invalid", "mission_id"),
    (minimal(mission_id="a" * 81), "mission_id_invalid", "mission_id"),
    (minimal(mission_id="ä"), "mission_id_invalid", "mission_id"),
    (minimal(mission_id=7), "mission_id_invalid", "mission_id"),
    (minimal(allowed_roots=["/etc"]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=["~/x"]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=["a/../../b"]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=["a\\..\\b"]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=["C:\\x"]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=["a\0b"]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=["a\nb"]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=[""]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=[5]), "path_invalid", "allowed_roots[0]"),
    (minimal(allowed_roots=["\udc80"]), "path_invalid", "allowed_roots[0]"),
    (minimal("A4", owned_paths=["../x"]), "path_invalid", "owned_paths[0]"),
    (minimal(must_inspect=["other.py"]), "must_inspect_outside_scope", "must_inspect[0]"),
    (minimal(must_inspect=["config.pyx"]), "must_inspect_outside_scope", "must_inspect[0]"),
    (
        minimal(allowed_roots=["src"], forbidden_roots=["src/x"], must_inspect=["src/x/a.py"]),
        "must_inspect_outside_scope",
        "must_inspect[0]",
    ),
    (minimal(report_schema="implementation_report.v1"), "report_schema_invalid", "report_schema"),
    (minimal(required_outputs=["findings", "patch"]), "required_output_invalid", "required_outputs"),
    (minimal(stop_conditions=["tired"]), "stop_condition_invalid", "stop_conditions[0]"),
    (minimal(fallback_policy="fallback_policy.v2"), "policy_unknown", "fallback_policy"),
    (minimal(deadline_policy="mine"), "policy_unknown", "deadline_policy"),
    (minimal(closer_model="ocg-kimi-k2.6"), "closer_not_available", "closer_model"),
    (minimal(fallback_closer_model="x"), "closer_not_available", "fallback_closer_model"),
    (minimal(owned_paths=["config.py"]), "field_without_effect", "owned_paths"),
    (minimal(read_only_paths=["config.py"]), "field_without_effect", "read_only_paths"),
    (minimal(critical_path_write_allowed=True), "field_without_effect", "critical_path_write_allowed"),
    (minimal(max_files_changed=2), "field_without_effect", "max_files_changed"),
    (minimal(max_patch_bytes=9), "field_without_effect", "max_patch_bytes"),
    (minimal(verification_policy={"timeout_seconds": 9}), "field_without_effect", "verification_policy"),
    (minimal(workspace_apply_policy={"require_gpt_review": False}), "field_without_effect", "workspace_apply_policy"),
    (minimal(must_inspect=["config.py"], allowed_tool_classes=["list"]), "tool_class_needed", "must_inspect"),
    (asking(["search"]), "tool_class_needed", SOURCE),
    (asking(["read"], pattern="port"), "tool_class_needed", SOURCE),
    (asking(["read"], command_requirement={"pattern": "port"}), "tool_class_needed", SOURCE),
    (asking(["read"], evidence_kind="negative_proof"), "tool_class_needed", SOURCE),
    (looking("zero_match_evidence", target={"pattern": "x"}), "tool_class_needed", "objective_spec.objective_type"),
    (minimal(**OPEN, exploration_policy={}), "tool_class_needed", "exploration_policy"),
    (
        asking(command_requirement={"command": "ls"}),
        "source_requirement_invalid",
        f"{SOURCE}.command_requirement.pattern",
    ),
    (asking(required_shapes=["looks_good"]), "evidence_shape_unknown", f"{SOURCE}.required_shapes"),
    (
        looking("usage_location", required_evidence_shapes=["function_definitions"]),
        "evidence_shape_unknown",
        "objective_spec.required_evidence_shapes",
    ),
    (looking("implementation_patch"), "objective_spec_invalid", "objective_spec.objective_type"),
    (looking("usage_location", required_values=[1]), "objective_spec_invalid", "objective_spec.required_values"),
    (
        looking("usage_location", confidence_policy={"max_confidence": "SURE"}),
        "objective_spec_invalid",
        "objective_spec.confidence_policy.max_confidence",
    ),
    (
        minimal(allowed_roots=["src"], must_inspect=["src/a", "src/b"], max_files_to_inspect=1),
        "limit_out_of_range",
        "max_files_to_inspect",
    ),
    (
        minimal(
            **OPEN,
            exploration_policy={"after_required_floor": "close_immediately", "require_contradiction_search": True},
        ),
        "exploration_policy_invalid",
        "exploration_policy",
    ),
    (
        minimal(
            **OPEN,
            exploration_policy={"min_optional_actions_after_floor": 0, "max_optional_actions_after_floor": 0},
        ),
        "exploration_policy_invalid",
        "exploration_policy",
    ),
    (minimal(report_schema="x.v9"), "report_schema_invalid", "report_schema"),
    (minimal(objective_style="guess"), "objective_style_invalid", "objective_style"),
    (minimal(objective_style="implementation"), "objective_style_invalid", "objective_style"),
    (minimal("A4", **OPEN), "objective_style_invalid", "objective_style"),
    (minimal(allow_heuristic_objective=False), "objective_spec_required", "objective_spec"),
    (minimal(**OPEN, allow_heuristic_objective=False), "objective_spec_required", "answer_obligations"),
    (minimal(objective_spec=[]), "objective_spec_invalid", "objective_spec"),
    (minimal(objective_spec={"target": {}}), "objective_spec_invalid", "objective_spec.objective_type"),
    (
        minimal(objective_spec={"objective_type": "magic"}),
        "objective_spec_invalid",
        "objective_spec.objective_type",
    ),
    (
        minimal(objective_spec={"objective_type": "usage_location", "schema_version": "v2"}),
        "objective_spec_invalid",
        "objective_spec.schema_version",
    ),
    (
        minimal(objective_spec={"objective_type": "function_location", "target": {}}),
        "objective_spec_invalid",
        "objective_spec.target.symbol",
    ),
    (
        minimal(objective_spec={"objective_type": "usage_location", "target": [1]}),
        "objective_spec_invalid",
        "objective_spec.target",
    ),
    (
        minimal(objective_spec={"objective_type": "usage_location", "confidence_policy": [1]}),
        "objective_spec_invalid",
        "objective_spec.confidence_policy",
    ),
    (
        minimal(
            "A4",
            objective_spec={
                "objective_type": "implementation_patch",
                "target": {"required_symbols": [{"kind": "class"}]},
            },
        ),
        "objective_spec_invalid",
        "objective_spec.target.required_symbols[0].name",
    ),
    (minimal(answer_obligations=["?"]), "obligations_not_allowed", "answer_obligations"),
    (minimal(**OPEN, answer_obligations="one"), "obligation_invalid", "answer_obligations"),
    (minimal(**OPEN, answer_obligations=[3]), "obligation_invalid", "answer_obligations[0]"),
    (minimal(**OPEN, answer_obligations=[" "]), "obligation_invalid", "answer_obligations[0].question"),
    (minimal(**OPEN, answer_obligations=[{"id": "a"}]), "obligation_invalid", "answer_obligations[0].question"),
    (
        minimal(**OPEN, answer_obligations=["a", {"id": "q1", "question": "b"}]),
        "obligation_invalid",
        "answer_obligations[1].id",
    ),
    (
        minimal(**OPEN, answer_obligations=[{"question": "a", "source_requirements": [{}]}]),
        "source_requirement_invalid",
        "answer_obligations[0].source_requirements[0].path",
    ),
    (
        minimal(**OPEN, answer_obligations=[{"question": "a", "source_requirements": ["elsewhere.py"]}]),
        "source_requirement_invalid",
        "answer_obligations[0].source_requirements[0].path",
    ),
    (
        minimal(
            **OPEN,
            answer_obligations=[
                {"question": "a", "source_requirements": [{"path": "config.py", "completeness_policy": "some"}]}
            ],
        ),
        "completeness_policy_invalid",
        "answer_obligations[0].source_requirements[0].completeness_policy",
    ),
    (
        minimal(
            **OPEN,
            answer_obligations=[
                {"question": "a", "source_requirements": [{"path": "config.py", "shape_match_policy": "most"}]}
            ],
        ),
        "shape_policy_invalid",
        "answer_obligations[0].source_requirements[0].shape_match_policy",
    ),
    (minimal(evidence_collection_mode="wild"), "evidence_mode_invalid", "evidence_collection_mode"),
    (minimal(exploration_policy={}), "exploration_policy_invalid", "exploration_policy"),
    (
        minimal(**OPEN, exploration_policy={"max_optional_actions_after_floor": 0}),
        "exploration_policy_invalid",
        "exploration_policy",
    ),
    (
        minimal(**OPEN, exploration_policy={"after_required_floor": "stop"}),
        "exploration_policy_invalid",
        "exploration_policy.after_required_floor",
    ),
    (
        minimal(sufficiency_policy={"min_main_claims": -1}),
        "sufficiency_policy_invalid",
        "sufficiency_policy.min_main_claims",
    ),
    (
        minimal(sufficiency_policy={"confidence_cap_if_partial_extracts": "SURE"}),
        "sufficiency_policy_invalid",
        "sufficiency_policy.confidence_cap_if_partial_extracts",
    ),
    (
        minimal("A5", verification_policy={"network_allowed": True}),
        "verification_policy_invalid",
        "verification_policy.network_allowed",
    ),
    (
        minimal("A5", verification_policy={"allowed_commands": ["pytest"]}),
        "verification_policy_invalid",
        "verification_policy.allowed_commands[0]",
    ),
    (
        minimal("A5", verification_policy={"allowed_commands": [["a"]] * 11}),
        "verification_policy_invalid",
        "verification_policy.allowed_commands",
    ),
    (
        minimal("A5", verification_policy={"timeout_seconds": 601}),
        "verification_policy_invalid",
        "verification_policy.timeout_seconds",
    ),
    (
        minimal("A5", verification_policy={"max_commands": 11}),
        "verification_policy_invalid",
        "verification_policy.max_commands",
    ),
    (
        minimal("A5", workspace_apply_policy={"min_reviewer_approvals": -1}),
        "workspace_policy_invalid",
        "workspace_apply_policy.min_reviewer_approvals",
    ),
    (
        minimal("A5", workspace_apply_policy={"reviewer_models": [1]}),
        "workspace_policy_invalid",
        "workspace_apply_policy.reviewer_models[0]",
    ),
    (minimal(apply_mode="workspace"), "apply_mode_invalid", "apply_mode"),
    (minimal("A4", apply_mode="isolated_worktree"), "apply_mode_invalid", "apply_mode"),
    (minimal("A5", apply_mode="none"), "apply_mode_invalid", "apply_mode"),
    (minimal("A5", apply_mode="critical_workspace_certified"), "apply_mode_invalid", "apply_mode"),
    (minimal("A5", apply_mode="workspace", risk_tier="medium"), "apply_mode_invalid", "apply_mode"),
    (minimal("A6", apply_mode="workspace"), "apply_mode_invalid", "apply_mode"),
    (minimal("A6", apply_mode="critical_workspace_certified"), "apply_mode_invalid", "apply_mode"),
    (minimal(completion_contract=[]), "completion_contract_invalid", "completion_contract"),
    (minimal(completion_contract=[1]), "completion_contract_invalid", "completion_contract"),
    (minimal(completion_contract={"primary_goal": {1}}), "completion_contract_invalid", f"{CONTRACT}.primary_goal"),
    (
        minimal(completion_contract={"required_axes": {"evidence": False}}),
        "completion_contract_invalid",
        f"{CONTRACT}.required_axes.evidence",
    ),
    (
        minimal(completion_contract={"status_policy": "raise"}),
        "completion_contract_invalid",
        f"{CONTRACT}.status_policy",
    ),
    (minimal(forbidden_topics=["x"] * 1001), "field_type_invalid", "forbidden_topics"),
    (minimal(forbidden_topics=["a\0b"]), "field_type_invalid", "forbidden_topics[0]"),
    (minimal("A5", verification_policy={"allowed_commands": "pytest"}), "verification_policy_invalid", ARGVS),
    (
        minimal(
            objective_spec={
                "objective_type": "config_value_extraction",
                "target": {"key": "port"},
                "required_values": [None],
            }
        ),
        "objective_spec_invalid",
        "objective_spec.required_values[0]",
    ),
]

VALID: list[dict[str, Any]] = [
    minimal(tier="a3", mode="Managed_Investigation", risk_tier="LOW"),
    minimal(allowed_paths="config.py, docs/x.md", allowed_tool_classes="read, search", required_outputs="findings"),
    minimal(allowed_roots=["."], must_inspect=["deep/down/file name ü.py"], allow_broad_read_scope=True),
    minimal(allowed_roots=["./src//pkg/"], must_inspect="src/pkg/a.py"),
    minimal(apply_mode="none"),
    minimal(objective_spec={"objective_type": "config_value_extraction", "target": {"key": "port"}}),
    minimal(
        objective_spec={
            "schema_version": "objective_spec.v1",
            "objective_type": "config_value_extraction",
            "target": {"symbol": "PORT"},
            "required_values": ["x", 4000, 1.5, True],
        },
        allow_heuristic_objective=False,
    ),
    minimal("A5", apply_mode="workspace_explicit", verification_policy={"allowed_commands": [["pytest", "-q", ""]]}),
    minimal("A6", apply_mode="critical_workspace_certified", risk_tier="critical"),
    minimal(
        "A4",
        objective_spec={
            "objective_type": "implementation_patch",
            "target": {
                "required_changed_files": ["config.py"],
                "required_symbols": ["main", {"path": "a", "name": "b"}],
            },
        },
    ),
    minimal(
        **OPEN,
        answer_obligations=[
            {"question": "a", "source_requirements": [{"path": "x.py", "required": False}]},
            {"question": "b", "source_requirements": [{"path": "config.py", "evidence_plane": "command_result"}]},
        ],
        allowed_tool_classes=["read", "search"],
        exploration_policy={"after_required_floor": "close_immediately"},
        completion_contract={"required_axes": {"answer": True, "verification": True}, "status_policy": "never_raised"},
    ),
    asking(completeness_policy="negative_proof_required", command_requirement={"pattern": "x"}),
    looking("usage_location", target={"symbol": "x"}, confidence_policy={"max_confidence": "LOW"}),
    minimal(stop_conditions=["valid_report", "critical_path_detected"]),
    {field.name: None for field in MISSION_FIELDS} | minimal(),
]
