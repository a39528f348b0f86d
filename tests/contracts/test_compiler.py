"""What is written always validates, and says what was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.blocks import CLOSE_TAG, OPEN_TAG
from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.codes import hint_of
from codex_oss.contracts.compiler import CompileOptions, compile_mission, render_mission, template_mission, wrap_handoff
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER, MISSION_FIELDS
from codex_oss.contracts.handoff import parse_document
from codex_oss.contracts.mission import REPORT_OUTPUTS, MissionV1
from codex_oss.contracts.objective_fields import OBJECTIVE_TYPES, TARGET_FIELDS
from codex_oss.contracts.validation import Validation, check_mission

READ_TYPES = ("mapping_lookup", "config_value_extraction", "function_location", "zero_match_evidence", "usage_location")
PATCH_TYPES = ("implementation_patch", "critical_path_patch", "documentation_patch", "implementation_test_only")


def check(raw: dict[str, Any]) -> Validation:
    """Judge under default limits."""
    return check_mission(raw, limits=BudgetLimits(), new_id="mission_0123456789ab")


def compiled(options: CompileOptions, base: dict[str, Any] | None = None) -> MissionV1:
    """The compiled mission, which must be valid without a warning."""
    checked = check(compile_mission(options, base))
    assert checked.problems == ()
    assert checked.mission is not None
    return checked.mission


NAMES = st.text(st.sampled_from("abc_.-ü "), min_size=1, max_size=8).filter(lambda name: name.strip(" .") == name)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
SOME_PATHS = st.lists(PATHS, max_size=3).map(tuple)
TEXTS = st.lists(NAMES, max_size=3).map(tuple)
COMMANDS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple)


@st.composite
def options(draw: st.DrawFn) -> CompileOptions:
    """Options that a person could sensibly give together."""
    tier = draw(st.sampled_from(sorted(APPLY_MODES_OF_TIER)))
    reads = tier in ("A2", "A3")
    paths = draw(st.lists(PATHS, min_size=1, max_size=3).map(tuple))
    is_open = reads and draw(st.booleans())
    return CompileOptions(
        tier=draw(st.sampled_from([tier, tier.lower()])),
        objective=draw(NAMES),
        mission_id=draw(st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,80}", fullmatch=True)),
        allowed_roots=draw(SOME_PATHS),
        allowed_paths=paths,
        owned_paths=() if reads else paths,
        read_only_paths=() if reads else draw(SOME_PATHS),
        must_inspect=paths[:1],
        answer_obligations=draw(TEXTS) if is_open else (),
        objective_type=draw(st.none() | st.sampled_from(READ_TYPES if reads else PATCH_TYPES)),
        target_key=draw(NAMES),
        target_symbol=draw(NAMES),
        target_pattern=draw(NAMES),
        required_changed_files=draw(SOME_PATHS),
        required_symbols=tuple(f"{path}:class:{path}" for path in draw(SOME_PATHS)),
        verification_commands=() if reads else draw(COMMANDS),
        workspace={} if reads else {"certification_required": True, "reviewer_models": draw(TEXTS)},
        sufficiency={"min_main_claims": draw(st.integers(0, 9))},
    )


@given(options())
def test_what_is_compiled_is_valid(given_options: CompileOptions) -> None:
    """Sensible options of every tier compile to a mission without any problem, also through the tagged block."""
    raw = compile_mission(given_options)
    checked = check(raw)
    assert checked.problems == ()
    assert checked.mission is not None
    assert given_options.tier is not None
    assert checked.mission.tier == given_options.tier.upper()
    assert parse_document(wrap_handoff(raw)).raw == raw
    assert compile_mission(CompileOptions(), raw) == raw


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELD_NAMES = st.sampled_from([field.name for field in MISSION_FIELDS]) | st.text(max_size=5)


@given(options(), st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=5))
def test_any_json_beneath_the_options_is_compiled_and_judged(
    given_options: CompileOptions, base: dict[str, Any]
) -> None:
    """Total: whatever FILE holds, compiling and judging end in a mission or in problems with codes."""
    raw = compile_mission(given_options, base)
    checked = check(raw)
    assert (checked.mission is None) == bool(checked.errors)
    assert all(hint_of(problem.code) for problem in checked.problems)
    if checked.mission is not None:
        assert compile_mission(CompileOptions(), raw) == raw


def test_a_template_of_many_files_must_read_what_it_can() -> None:
    """More files than calls: those beyond may be read and need not be."""
    raw = template_mission(CompileOptions(objective="x", allowed_paths=tuple(f"{n}.py" for n in range(40))))
    assert check(raw).problems == ()
    assert (len(raw["allowed_paths"]), len(raw["must_inspect"])) == (40, 10)


@given(st.sampled_from([None, "A2", "A3", "a3"]), st.lists(PATHS, min_size=1, max_size=3).map(tuple))
def test_a_template_is_valid(tier: str | None, paths: tuple[str, ...]) -> None:
    """A template needs an objective and a scope, and says what people usually edit."""
    raw = template_mission(CompileOptions(tier=tier, objective="Find it.", allowed_paths=paths))
    assert check(raw).problems == ()
    assert raw["mission_id"] == "mission_local_001"
    assert raw["must_inspect"] == list(paths)
    assert (raw["tool_budget"], raw["time_budget_seconds"]) == (10, 90)
    assert raw["required_outputs"] == list(REPORT_OUTPUTS)
    assert raw["write_allowed"] is False


def test_a4_compiles_without_an_apply_mode() -> None:
    """A4 proposes only, so its apply mode is none."""
    mission = compiled(CompileOptions(tier="A4", objective="x", owned_paths=("a.py", "b.py")))
    assert (mission.apply_mode, mission.max_files_changed) == ("none", 2)
    assert mission.allowed_paths == ("a.py", "b.py")
    assert mission.required_outputs[0] == "patch"


def test_isolated_is_an_alias() -> None:
    """`isolated` means isolated_worktree."""
    mission = compiled(CompileOptions(tier="A5", objective="x", owned_paths=("a.py",), apply_mode="isolated"))
    assert mission.apply_mode == "isolated_worktree"


def test_the_certified_mode_compiles() -> None:
    """critical_workspace_certified compiles; a certification brings its reviews along."""
    mission = compiled(
        CompileOptions(
            tier="A6",
            objective="x",
            risk_tier="critical",
            owned_paths=("a.py",),
            apply_mode="critical_workspace_certified",
            workspace={"certification_required": True, "require_gpt_review": False, "reviewer_models": ("m", "n")},
        )
    )
    policy = mission.workspace_apply_policy
    assert (policy.require_gpt_review, policy.min_reviewer_approvals) == (True, 2)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("a.py:method:run", {"path": "a.py", "kind": "method", "name": "run"}),
        ("a.py:run", {"path": "a.py", "kind": "function", "name": "run"}),
        ("run", {"path": None, "kind": "function", "name": "run"}),
    ],
)
def test_required_symbols(text: str, symbol: dict[str, Any]) -> None:
    """A symbol is given as path:kind:name, path:name or name."""
    mission = compiled(CompileOptions(tier="A5", objective="x", owned_paths=("a.py",), required_symbols=(text,)))
    assert mission.objective_spec is not None
    assert mission.objective_spec.target["required_symbols"] == [symbol]


@pytest.mark.parametrize(
    ("given_options", "kind"),
    [
        ({"target_symbol": "main"}, "function_location"),
        ({"target_key": "port"}, "mapping_lookup"),
        ({"target_pattern": "eval"}, "zero_match_evidence"),
        ({"target_key": "port", "required_values": ("4000",)}, "config_value_extraction"),
    ],
)
def test_a_target_tells_its_type(given_options: dict[str, Any], kind: str) -> None:
    """Without --objective-type the given target says what is meant."""
    mission = compiled(CompileOptions(objective="x", allowed_paths=("a.py",), **given_options))
    assert mission.objective_spec is not None
    assert mission.objective_spec.objective_type == kind


@pytest.mark.parametrize("kind", OBJECTIVE_TYPES)
def test_every_objective_type_compiles(kind: str) -> None:
    """With all targets given, each type takes those that it knows, without a warning."""
    patch = kind in PATCH_TYPES
    mission = compiled(
        CompileOptions(
            tier="A5" if patch else "A3",
            objective="x",
            allowed_paths=("a.py",),
            owned_paths=("a.py",) if patch else (),
            objective_type=kind,
            target_key="k",
            target_symbol="s",
            target_pattern="p",
            required_test_names=("test_x",),
            required_source_files=("a.py",),
        )
    )
    assert mission.objective_spec is not None
    assert mission.objective_spec.objective_type == kind
    assert set(mission.objective_spec.target) <= {field.name for field in TARGET_FIELDS[kind]}
    assert mission.objective_spec.target


def test_options_override_the_base() -> None:
    """What is said wins over the document, the document over what is written by default."""
    base = template_mission(CompileOptions(objective="Old.", allowed_paths=("a.py",))) | {"tool_budget": 3}
    mission = compiled(CompileOptions(objective="New."), base)
    assert (mission.objective, mission.budget.tool_calls, mission.mission_id) == ("New.", 3, "mission_local_001")
    promoted = compiled(CompileOptions(tier="A5", owned_paths=("a.py",)), base)
    assert (promoted.tier, promoted.mode, promoted.write_allowed) == ("A5", "bounded_implementation", True)


def test_null_in_the_base_is_not_given() -> None:
    """A base that writes null where something is needed gets what is written by default."""
    base = {"tier": None, "mission_id": None, "objective": "x", "allowed_paths": ["a.py"], "must_inspect": None}
    mission = compiled(CompileOptions(), base)
    assert (mission.tier, mission.mission_id) == ("A3", "mission_local_compile_001")


def test_a_base_may_list_with_commas() -> None:
    """Owned paths given as one text count as the files that they are."""
    base = {"tier": "A4", "objective": "x", "owned_paths": "a.py, b.py"}
    mission = compiled(CompileOptions(objective_type="documentation_patch"), base)
    assert (mission.owned_paths, mission.max_files_changed) == (("a.py", "b.py"), 2)
    assert mission.objective_spec is not None
    assert mission.objective_spec.target == {"required_changed_files": ["a.py", "b.py"]}


def test_what_cannot_be_is_left_to_the_contract() -> None:
    """Missing or senseless options give the contract's problems, never an exception."""
    codes = {problem.code for problem in check(compile_mission(CompileOptions(tier="A9", risk_tier="high"))).errors}
    assert codes == {"tier_invalid", "objective_missing", "risk_tier_invalid", "scope_missing"}
    odd_base = {"tier": 5, "owned_paths": 7, "allowed_roots": {}}
    assert check(compile_mission(CompileOptions(), odd_base)).mission is None


def test_the_block_has_sorted_keys_and_one_pair_of_tags() -> None:
    """The wrapped text is sorted JSON, and a tag inside a text cannot be mistaken for the real one."""
    text = wrap_handoff({"b": f"{OPEN_TAG} {CLOSE_TAG}", "a": "ü"})
    assert (text.count(OPEN_TAG), text.count(CLOSE_TAG)) == (1, 1)
    assert text.index('"a"') < text.index('"b"')
    assert json.loads(text.removeprefix(OPEN_TAG).removesuffix(CLOSE_TAG))["b"] == f"{OPEN_TAG} {CLOSE_TAG}"
    assert "ü" in render_mission({"a": "ü"})
