"""Every rule of MissionV1, each with its exact code."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.codes import ERROR_CODES, WARNING_CODES
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, MISSION_FIELDS
from codex_oss.contracts.mission import MODE_OF_TIER, MissionV1
from codex_oss.contracts.validation import Validation, check_alias_tier, check_mission, to_handoff

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


def check(raw: dict[str, Any]) -> Validation:
    """Judge under default limits."""
    return check_mission(raw, limits=BudgetLimits(), new_id="mission_0123456789ab")


def mission_of(raw: dict[str, Any]) -> MissionV1:
    """The mission of a raw object that must be valid without a warning."""
    checked = check(raw)
    assert checked.problems == ()
    assert checked.mission is not None
    return checked.mission


def breaches(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """(code, field) of each error."""
    return [(problem.code, problem.field) for problem in check(raw).errors]


@pytest.mark.parametrize("tier", TIERS)
def test_the_shortest_mission_is_valid_and_filled_in(tier: str) -> None:
    """The required fields alone make a mission; mode, style, apply mode and report schema come from the tier."""
    mission = mission_of(minimal(tier))
    assert mission.mode == MODE_OF_TIER[tier]
    assert mission.mission_id == "mission_0123456789ab"
    assert mission.apply_mode == {"A4": "none", "A5": "isolated_worktree", "A6": "isolated_worktree"}.get(tier, "")
    assert mission.objective_style == ("implementation" if tier in ("A4", "A5", "A6") else "deterministic_lookup")


def test_defaults_of_the_contract() -> None:
    """Plain defaults are those of the reference table."""
    mission = mission_of(minimal())
    assert (mission.risk_tier, mission.write_allowed) == ("low", False)
    assert (mission.max_files_to_inspect, mission.max_total_observation_bytes) == (20, 500_000)
    assert (mission.budget.tool_calls_requested, mission.budget.time_requested_s) == (20, 180)
    assert mission.stop_conditions == ("valid_report", "budget_exhausted", "deadline_reached")
    assert (mission.max_model_calls, mission.max_duplicate_actions) == (25, 2)
    assert (mission.max_broad_searches, mission.max_low_information_actions) == (6, 3)
    assert (mission.max_files_changed, mission.max_patch_bytes) == (1, 12_000)
    assert mission.evidence_collection_mode == "prefetch_floor"
    assert mission.exploration_policy is None
    assert mission.sufficiency_policy.min_main_claims == 0
    assert mission.sufficiency_policy.confidence_cap_if_partial_extracts == "LOW"
    assert mission.workspace_apply_policy.require_gpt_review is True


def test_a2_has_tighter_limits() -> None:
    """A2 gets 10 calls, 90 s, 3 broad searches and 2 low-information actions."""
    mission = mission_of(minimal("A2"))
    assert (mission.budget.tool_calls, mission.budget.time_s) == (10, 90)
    assert (mission.max_broad_searches, mission.max_low_information_actions) == (3, 2)


def test_open_style_has_its_own_defaults() -> None:
    """The open style raises the sufficiency, collects by agenda and explores."""
    mission = mission_of(minimal(**OPEN, answer_obligations=["Which port?", {"question": "Why?", "id": "why"}]))
    assert [item.id for item in mission.answer_obligations] == ["q1", "why"]
    assert mission.evidence_collection_mode == "agenda_guided"
    policy = mission.sufficiency_policy
    assert (policy.min_main_claims, policy.must_list_uninspected_areas) == (1, True)
    assert policy.confidence_cap_if_partial_extracts == "MEDIUM"
    assert mission.exploration_policy is not None
    assert mission.exploration_policy.min_optional_actions_after_floor == 1
    assert mission.exploration_policy.require_contradiction_search is True


def test_close_immediately_asks_for_nothing_more() -> None:
    """close_immediately lowers the fewest optional actions to 0 and needs no contradiction search."""
    mission = mission_of(minimal(**OPEN, exploration_policy={"after_required_floor": "close_immediately"}))
    assert mission.exploration_policy is not None
    assert mission.exploration_policy.min_optional_actions_after_floor == 0
    assert mission.exploration_policy.require_contradiction_search is False


@pytest.mark.parametrize(
    ("evidence_kind", "policy"),
    [
        ("behavior_derivation", "whole_file_required"),
        ("broad_policy_audit", "whole_file_required"),
        ("security_review", "whole_file_required"),
        ("negative_proof", "negative_proof_required"),
        ("scope_search", "scope_search_required"),
        ("function_definition", "shape_sufficient"),
        ("something_new", "shape_sufficient"),
    ],
)
def test_completeness_follows_the_evidence_kind(evidence_kind: str, policy: str) -> None:
    """The default completeness policy depends on the kind of evidence."""
    source = {"path": "config.py", "evidence_kind": evidence_kind}
    raw = minimal(**OPEN, answer_obligations=[{"question": "?", "source_requirements": [source, "config.py"]}])
    first, second = mission_of(raw).answer_obligations[0].source_requirements
    assert first.completeness_policy == policy
    assert (second.evidence_kind, second.completeness_policy) == ("source_read", "shape_sufficient")


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


@pytest.mark.parametrize("form", ["absent", "null", "empty"])
@pytest.mark.parametrize(("tier", "name", "code", "field"), REQUIRED)
def test_each_required_field(tier: str, name: str, code: str, field: str, form: str) -> None:
    """A missing required field gives exactly one problem with its code, in every tier and form of absence."""
    raw = minimal(tier)
    if form == "absent":
        del raw[name]
    else:
        raw[name] = None if form == "null" else type(raw[name])()
    assert breaches(raw) == [(code, field)]


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
        minimal(objective_spec={"objective_type": "usage_location", "confidence_policy": {"x": float("nan")}}),
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
    (minimal(completion_contract=[]), "field_type_invalid", "completion_contract"),
    (minimal(completion_contract=[1]), "field_type_invalid", "completion_contract"),
    (minimal(completion_contract={"a": 2**64}), "field_type_invalid", "completion_contract"),
    (minimal(completion_contract={"a": {1: 2}}), "field_type_invalid", "completion_contract"),
    (minimal(forbidden_topics=["x"] * 1001), "field_type_invalid", "forbidden_topics"),
]


@pytest.mark.parametrize(("raw", "code", "field"), BREACHES)
def test_each_breach_has_one_problem(raw: dict[str, Any], code: str, field: str) -> None:
    """One fault gives exactly one error, with the code and the field of the contract."""
    assert breaches(raw) == [(code, field)]


def test_the_table_of_breaches_covers_every_code_of_validation() -> None:
    """Each error code that validation can give is shown by a case above."""
    shown = {code for _, code, _ in BREACHES} | {code for _, _, code, _ in REQUIRED}
    elsewhere = {code for code in ERROR_CODES if code.startswith("handoff_")} | {"tier_alias_mismatch"}
    assert shown == set(ERROR_CODES) - elsewhere


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
            {"question": "b", "source_requirements": [{"path": "x", "evidence_plane": "command_result"}]},
        ],
        completion_contract={"required_axes": {"answer": True, "n": [1, None, "x"]}},
    ),
    {field.name: None for field in MISSION_FIELDS} | minimal(),
]


@pytest.mark.parametrize("raw", VALID)
def test_a_valid_mission_written_again_is_equal(raw: dict[str, Any]) -> None:
    """to_handoff is the inverse of check_mission, also through JSON."""
    mission = mission_of(raw)
    again = json.loads(json.dumps(to_handoff(mission)))
    assert mission_of(again) == mission
    assert msgspec.json.decode(msgspec.json.encode(mission), type=MissionV1) == mission


def test_all_errors_are_listed_at_once() -> None:
    """A block that breaks eight rules gives eight problems."""
    raw = minimal(
        schema_version="v0",
        mode="patch_proposal",
        objective="",
        risk_tier="high",
        write_allowed=True,
        allowed_tool_classes=["shell"],
        required_outputs=[],
        tool_budget=5000,
    )
    assert {code for code, _ in breaches(raw)} == {
        "schema_version_invalid",
        "mode_mismatch",
        "objective_missing",
        "risk_tier_invalid",
        "write_flag_mismatch",
        "tool_class_invalid",
        "required_outputs_missing",
        "budget_abusive",
    }
    assert len(breaches(raw)) == 8


def test_unknown_fields_are_warnings_with_a_near_name() -> None:
    """A misspelt field does not refuse the mission, at any depth, and the near name is told."""
    checked = check(minimal(allowed_path=["x"], sufficiency_policy={"min_claims": 1}))
    assert checked.mission is not None
    assert [(problem.code, problem.field) for problem in checked.problems] == [
        ("unknown_field", "allowed_path"),
        ("unknown_field", "sufficiency_policy.min_claims"),
    ]
    assert "'allowed_paths'" in checked.problems[0].message


def test_fields_without_effect_are_warned_about() -> None:
    """A tier that reads only says that owned paths mean nothing to it; a foreign report schema is told."""
    checked = check(minimal(owned_paths=["config.py"], report_schema="implementation_report.v1"))
    assert checked.mission is not None
    assert checked.mission.report_schema == "managed_investigation_report.v1"
    assert [problem.code for problem in checked.problems] == ["report_schema_invalid", "field_without_effect"]
    assert {"unknown_field", "field_without_effect"} == set(WARNING_CODES)


def test_a_flood_of_faults_gives_a_bounded_answer() -> None:
    """Many unknown keys and long lists of broken items neither hide an error nor flood the answer."""
    raw = {f"x{number}": number for number in range(5000)} | minimal(allowed_roots=["/x"] * 900)
    checked = check(raw)
    assert checked.mission is None
    assert len(checked.problems) <= 201
    assert "path_invalid" in {problem.code for problem in checked.errors}


def test_alias_and_tier_must_agree() -> None:
    """A model name of another tier is refused with tier_alias_mismatch."""
    mission = mission_of(minimal("A3"))
    assert check_alias_tier(mission, "a3") is None
    problem = check_alias_tier(mission, "a2")
    assert problem is not None
    assert problem.code == "tier_alias_mismatch"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
PLAUSIBLE = st.sampled_from(
    [field.name for field in MISSION_FIELDS]
    + [inner.name for field in MISSION_FIELDS for inner in field.fields]
    + [word for field in MISSION_FIELDS for word in field.words]
)


@st.composite
def rough_missions(draw: st.DrawFn) -> dict[str, Any]:
    """Valid missions with some fields replaced by anything, and plausible words in odd places."""
    raw = minimal(draw(st.sampled_from(TIERS)))
    anything = JSON_VALUES | PLAUSIBLE | st.lists(PLAUSIBLE, max_size=3) | st.dictionaries(PLAUSIBLE, JSON_VALUES)
    names = st.sampled_from([field.name for field in MISSION_FIELDS]) | st.text(max_size=8)
    return raw | draw(st.dictionaries(names, anything, max_size=6))


@given(rough_missions())
@settings(max_examples=400)
def test_any_json_gives_a_mission_or_an_error(raw: dict[str, Any]) -> None:
    """Nothing raises; there is a mission exactly when there is no error; codes are known; what is valid round-trips."""
    checked = check(raw)
    assert (checked.mission is None) == bool(checked.errors)
    for problem in checked.problems:
        assert problem.code in (WARNING_CODES if problem.severity == "warning" else ERROR_CODES) or (
            problem.code == "report_schema_invalid"
        )
        assert problem.message.endswith((".", "?"))
    if checked.mission is not None:
        again = check(json.loads(json.dumps(to_handoff(checked.mission))))
        assert again.mission == checked.mission
