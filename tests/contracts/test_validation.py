"""Every rule of MissionV1, each with its exact code."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.codes import ERROR_CODES, HINTS, WARNING_CODES, hint_of
from codex_oss.contracts.fields import MISSION_FIELDS
from codex_oss.contracts.mission import MODE_OF_TIER, MissionV1
from codex_oss.contracts.validation import Validation, check_alias_tier, check_mission, to_handoff
from tests.contracts.cases import BREACHES, OPEN, REQUIRED, TIERS, VALID, minimal


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
    assert mission.exploration_policy is None


def test_an_exploration_policy_has_its_own_defaults() -> None:
    """Absent, it asks for nothing; given, even empty, for one further action and a search for the opposite."""
    mission = mission_of(minimal(**OPEN, exploration_policy={}, allowed_tool_classes=["read", "search"]))
    policy = mission.exploration_policy
    assert policy is not None
    assert (policy.min_optional_actions_after_floor, policy.max_optional_actions_after_floor) == (1, 4)
    assert policy.require_contradiction_search is True


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
    questions = [{"question": "?", "source_requirements": [source, "config.py"]}]
    raw = minimal(**OPEN, answer_obligations=questions, allowed_tool_classes=["read", "search"])
    first, second = mission_of(raw).answer_obligations[0].source_requirements
    assert first.completeness_policy == policy
    assert (second.evidence_kind, second.completeness_policy) == ("source_read", "shape_sufficient")


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


@pytest.mark.parametrize(("raw", "code", "field"), BREACHES)
def test_each_breach_has_one_problem(raw: dict[str, Any], code: str, field: str) -> None:
    """One fault gives exactly one error, with the code and the field of the contract."""
    assert breaches(raw) == [(code, field)]


def test_the_table_of_breaches_covers_every_code_of_validation() -> None:
    """Each error code that validation can give is shown by a case above."""
    shown = {code for _, code, _ in BREACHES} | {code for _, _, code, _ in REQUIRED}
    elsewhere = {code for code in ERROR_CODES if code.startswith(("handoff_", "prose_", "legacy_"))}
    elsewhere.add("tier_alias_mismatch")
    assert shown == set(ERROR_CODES) - elsewhere


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


def test_a_scope_that_would_be_turned_away_is_warned_about() -> None:
    """The whole project without the flag, and half of what opens critical paths: valid, and told."""
    checked = check(minimal(allowed_roots=["."], critical_path_read_allowed=True))
    assert checked.mission is not None
    assert [problem.code for problem in checked.problems] == ["scope_is_broad", "critical_read_stays_closed"]
    assert {"unknown_field", "scope_is_broad", "critical_read_stays_closed"} == set(WARNING_CODES) - {
        "compiled_from_prose",
        "compiled_from_legacy",
    }


def test_every_code_has_a_hint() -> None:
    """No refusal leaves its reader alone; no hint is left over."""
    assert set(HINTS) == set(ERROR_CODES) | set(WARNING_CODES)
    assert all(hint.endswith((".", "]")) and len(hint) > 15 for hint in HINTS.values())


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
        assert problem.code in (WARNING_CODES if problem.severity == "warning" else ERROR_CODES)
        assert hint_of(problem.code)
        assert problem.message.endswith((".", "?"))
    if checked.mission is not None:
        again = check(json.loads(json.dumps(to_handoff(checked.mission))))
        assert again.mission == checked.mission
