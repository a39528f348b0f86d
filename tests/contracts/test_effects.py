"""Every field acts or is refused: one row per field of the contract, naming the test that shows it.

A field added to the tables without a row here fails, and so does a row whose test is gone or never names the field. The
tests run real missions (`tests/fakes/real_mission.py`); for what only tiers above A3 do, they show the refusal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from codex_oss.contracts.evidence_shapes import EVIDENCE_SHAPES
from codex_oss.contracts.fields import MISSION_FIELDS
from codex_oss.contracts.objective_fields import READING_TYPES, TARGET_FIELDS
from codex_oss.contracts.rows import Field
from codex_oss.contracts.stops import STOP_CONDITIONS
from codex_oss.missions.shapes import shows

TESTS = Path(__file__).parents[1]
REFUSED = "services/test_effects_of_limits.py::test_what_cannot_be_done_is_refused"
ANYWAY = "services/test_effects_of_limits.py::test_what_the_tier_has_anyway_may_be_said"
LIMITS = "services/test_effects_of_limits.py::"
OBJECTIVES = "services/test_effects_of_objectives.py::"
SOURCES = "services/test_effects_of_sources.py::"
BREACHES = "contracts/cases.py::BREACHES"
"""Inner fields of policies that only tiers above A3 have: judged by shape, and the whole policy is refused below A4."""

VERIFICATION = dict.fromkeys(
    ("allowed_commands", "max_commands", "timeout_seconds", "network_allowed", "allow_broad_suite"), BREACHES
) | {"env_policy": REFUSED}

EFFECTS: dict[str, str] = {
    "schema_version": REFUSED,
    "mission_id": LIMITS + "test_the_id_names_the_folder",
    "tier": LIMITS + "test_the_tier_decides_caps_and_whether_it_runs",
    "mode": REFUSED,
    "objective": LIMITS + "test_the_objective_is_what_the_model_reads",
    "risk_tier": LIMITS + "test_critical_risk_is_escalated",
    "write_allowed": REFUSED,
    "allowed_roots": LIMITS + "test_only_the_scope_is_read",
    "allowed_paths": LIMITS + "test_only_the_scope_is_read",
    "forbidden_roots": LIMITS + "test_forbidden_roots_stay_closed",
    "forbidden_topics": LIMITS + "test_forbidden_topics_are_left_out",
    "owned_paths": REFUSED,
    "read_only_paths": REFUSED,
    "critical_path_read_allowed": LIMITS + "test_critical_paths_need_flag_reason_and_name",
    "critical_path_reason": LIMITS + "test_critical_paths_need_flag_reason_and_name",
    "critical_path_write_allowed": REFUSED,
    "allow_broad_read_scope": LIMITS + "test_the_whole_project_needs_its_flag",
    "max_files_to_inspect": LIMITS + "test_files_to_inspect_bound_reads_and_breadth",
    "max_total_observation_bytes": LIMITS + "test_no_more_bytes_than_allowed_are_shown",
    "tool_budget": LIMITS + "test_tool_calls_are_granted_and_then_the_report_is_due",
    "time_budget_seconds": LIMITS + "test_time_is_kept",
    "allowed_tool_classes": LIMITS + "test_tools_of_other_classes_are_not_offered_and_denied",
    "stop_conditions": LIMITS + "test_a_named_stop_condition_ends_the_mission",
    "report_schema": REFUSED,
    "required_outputs": OBJECTIVES + "test_required_outputs_must_be_there_and_are_kept",
    "fallback_policy": REFUSED,
    "deadline_policy": REFUSED,
    "objective_spec": OBJECTIVES + "test_an_objective_must_be_shown",
    "objective_spec.schema_version": BREACHES,
    "objective_spec.objective_type": OBJECTIVES + "test_an_objective_must_be_shown",
    "objective_spec.target": OBJECTIVES + "test_an_objective_must_be_shown",
    "objective_spec.required_outputs": OBJECTIVES + "test_outputs_of_the_objective_are_required_too",
    "objective_spec.required_values": OBJECTIVES + "test_required_values_must_be_said_and_shown",
    "objective_spec.required_evidence_shapes": OBJECTIVES + "test_required_evidence_shapes_must_be_cited",
    "objective_spec.completion_criteria": OBJECTIVES + "test_words_of_the_spec_are_told_and_confidence_is_capped",
    "objective_spec.confidence_policy": OBJECTIVES + "test_words_of_the_spec_are_told_and_confidence_is_capped",
    "objective_spec.confidence_policy.max_confidence": OBJECTIVES
    + "test_words_of_the_spec_are_told_and_confidence_is_capped",
    "allow_heuristic_objective": REFUSED,
    "objective_style": REFUSED,
    "sufficiency_policy": SOURCES + "test_sufficiency_counts_findings_and_refs",
    "sufficiency_policy.min_main_claims": SOURCES + "test_sufficiency_counts_findings_and_refs",
    "sufficiency_policy.min_evidence_refs_per_claim": SOURCES + "test_sufficiency_counts_findings_and_refs",
    "sufficiency_policy.must_list_uninspected_areas": SOURCES + "test_uninspected_areas_are_listed",
    "sufficiency_policy.confidence_cap_if_partial_extracts": SOURCES + "test_partial_extracts_cap_the_confidence",
    "sufficiency_policy.allow_runtime_answer_graph_closure": SOURCES
    + "test_the_runtime_lists_what_it_saw_to_each_question",
    "answer_obligations": SOURCES + "test_questions_are_asked_hinted_and_must_be_answered",
    "answer_obligations.id": SOURCES + "test_questions_are_asked_hinted_and_must_be_answered",
    "answer_obligations.question": SOURCES + "test_questions_are_asked_hinted_and_must_be_answered",
    "answer_obligations.required": SOURCES + "test_questions_are_asked_hinted_and_must_be_answered",
    "answer_obligations.source_hints": SOURCES + "test_questions_are_asked_hinted_and_must_be_answered",
    "answer_obligations.evidence_needed": SOURCES + "test_a_shape_among_the_needed_evidence_is_checked",
    "answer_obligations.source_requirements": SOURCES + "test_a_required_source_must_give_what_is_asked",
    "answer_obligations.source_requirements.path": SOURCES + "test_prefetch_reads_before_the_first_question",
    "answer_obligations.source_requirements.required": SOURCES + "test_what_is_not_required_is_not_missed",
    "answer_obligations.source_requirements.prefetch": SOURCES + "test_prefetch_reads_before_the_first_question",
    **{
        f"answer_obligations.source_requirements.{name}": SOURCES + "test_a_required_source_must_give_what_is_asked"
        for name in (
            "evidence_kind",
            "required_shapes",
            "contradiction_markers",
            "completeness_policy",
            "shape_match_policy",
            "evidence_plane",
            "pattern",
            "command_requirement",
            "command_requirement.pattern",
        )
    },
    "must_inspect": SOURCES + "test_must_inspect_is_required",
    "evidence_collection_mode": SOURCES + "test_the_agenda_keeps_calls_back",
    "exploration_policy": SOURCES + "test_exploration_has_a_least_and_a_most",
    "exploration_policy.after_required_floor": SOURCES + "test_close_immediately_asks_for_the_report",
    "exploration_policy.min_optional_actions_after_floor": SOURCES + "test_exploration_has_a_least_and_a_most",
    "exploration_policy.max_optional_actions_after_floor": SOURCES + "test_exploration_has_a_least_and_a_most",
    "exploration_policy.require_contradiction_search": SOURCES + "test_a_search_for_the_opposite_is_really_made",
    "closer_model": REFUSED,
    "fallback_closer_model": REFUSED,
    "completion_contract": SOURCES + "test_a_completion_contract_asks_for_more",
    "completion_contract.primary_goal": SOURCES + "test_what_a_contract_grants_anyway_may_be_said",
    "completion_contract.status_policy": SOURCES + "test_what_a_contract_grants_anyway_may_be_said",
    "completion_contract.required_axes": SOURCES + "test_a_completion_contract_asks_for_more",
    "completion_contract.required_axes.answer": SOURCES + "test_what_a_contract_grants_anyway_may_be_said",
    "completion_contract.required_axes.evidence": BREACHES,
    "completion_contract.required_axes.verification": SOURCES + "test_a_completion_contract_asks_for_more",
    "completion_contract.required_axes.model_self_closure": SOURCES + "test_a_completion_contract_asks_for_more",
    **{
        f"completion_contract.{name}": SOURCES + "test_a_completion_contract_asks_for_more"
        for name in (
            "verification_requirements",
            "verification_requirements.contradiction_search_required",
            "verification_requirements.optional_exploration_required",
            "closure_requirements",
            "closure_requirements.model_self_closure_required",
        )
    },
    "completion_contract.closure_requirements.runtime_closure_allowed": OBJECTIVES
    + "test_in_any_doubt_the_model_is_asked",
    "max_model_calls": LIMITS + "test_the_last_question_asks_for_the_report",
    "max_duplicate_actions": LIMITS + "test_repeated_actions_end_the_looking",
    "max_broad_searches": LIMITS + "test_broad_searches_are_counted",
    "max_low_information_actions": LIMITS + "test_actions_that_bring_nothing_are_counted",
    "phase_policy_enabled": SOURCES + "test_the_agenda_keeps_calls_back",
    "progress_policy_enabled": LIMITS + "test_the_progress_policy_can_be_switched_off",
    "max_files_changed": REFUSED,
    "max_patch_bytes": REFUSED,
    "verification_policy": REFUSED,
    **{f"verification_policy.{name}": test for name, test in VERIFICATION.items()},
    "apply_mode": REFUSED,
    "workspace_apply_policy": REFUSED,
    **{
        f"workspace_apply_policy.{field.name}": BREACHES
        for row in MISSION_FIELDS
        if row.name == "workspace_apply_policy"
        for field in row.fields
    },
}
"""Dotted path of a field to the test, relative to `tests/`."""


def paths_of(fields: tuple[Field, ...], at: str = "") -> Iterator[str]:
    """Every field of the tables, at any depth."""
    for field in fields:
        yield at + field.name
        yield from paths_of(field.fields, f"{at}{field.name}.")


@cache
def sources_in(path: str) -> dict[str, str]:
    """Name to source of the functions and tables of a test file; a test's source includes the tables it names."""
    text = (TESTS / path).read_text(encoding="utf-8")
    nodes = ast.parse(text).body
    found: dict[str, str] = {}
    for node in nodes:
        names = (
            [node.name]
            if isinstance(node, ast.FunctionDef)
            else [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        )
        names += [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        found |= dict.fromkeys(names, source)
    tables = {name: source for name, source in found.items() if not name.startswith("test_")}
    return {name: source + "".join(t for n, t in tables.items() if n in source) for name, source in found.items()}


def test_every_field_has_a_row() -> None:
    """The tables of the contract and the table above name the same fields."""
    assert set(EFFECTS) == set(paths_of(MISSION_FIELDS))


@pytest.mark.parametrize("field", [field for field in EFFECTS if not field.startswith("workspace_apply_policy.")])
def test_the_row_names_a_test_of_the_field(field: str) -> None:
    """The test is there, and speaks of the field: by name, or as the whole that the field is the core of."""
    path, _, name = EFFECTS[field].partition("::")
    tests = sources_in(path)
    assert name in tests
    leaf, *_ = field.split(".")[::-1]
    spoken = tests[name]
    inherits = {"tier", "objective", "path", "question", "id", "answer", "target"}
    known_elsewhere = {"allow_broad_suite"}
    assert leaf in spoken or leaf in inherits or leaf in known_elsewhere


def test_every_target_key_acts_or_belongs_to_a_change() -> None:
    """Keys of reading types are looked for by the gate of the objective; the others come with a refused type."""
    reading = {field.name for kind in READING_TYPES for field in TARGET_FIELDS[kind]}
    assert reading == {"key", "symbol", "pattern"}


SAMPLES = {
    "function_definition": ["def retry(call):", "    async def retry(", "func (s *S) retry(x int) {",
                            "pub fn retry(a: u8)", "export const retry = (x) => {", "retry() {",
                            "static int retry(int n) {"],
    "class_definition": ["class Retry:", "export default class Retry {", "pub struct Retry {", "interface Retry"],
    "mapping_assignment": ["retry = 5", "table['retry'] = f", "RETRY: Final = 5"],
    "dictionary_entry": ['    "retry": 5,', "retry: 5", "'retry' => 5,"],
    "literal_value": ["x = 5", "return 'a'", "null"],
    "config_value": ["retry = 5", "retry: 5", "#define RETRY 5", "export RETRY=5", "const RETRY: u8 = 5;"],
    "flag_parameter": ["parser.add('--retry')", "def f(retry: bool)", "def f(retry=False)"],
    "flag_read": ["if args.retry:", 'os.environ["RETRY"]', "if not retry:"],
    "behavior_derivation": ["    if x:", "return 5", "} catch (e) {"],
    "test_assertion": ["assert x == 1", "self.assertEqual(1, 2)", "expect(x).toBe(1)", "t.Errorf(\"x\")"],
    "test_definition": ["def test_retry():", "it('retries', () => {", "func TestRetry(t *testing.T) {", "#[test]"],
    "verification_command": ["run: pytest -q", "npm run test", "cargo test --all"],
    "source_change": [" app/retry.py | 2 +-", " 1 file changed, 1 insertion(+)"],
}  # fmt: skip
NOT_SAMPLES = {
    "function_definition": ["retry(call)", "    return retry(x)", "x = retry(3)", "if (retry(x)) {", "# def of terms"],
    "class_definition": ["first class service", "klass Retry", "x = type(y)"],
    "mapping_assignment": ["if retry == 5:", "retry >= 5", "call(retry)"],
    "config_value": ["retry == 5", "https://example.org", "x := y"],
    "test_assertion": ["# asserts nothing", "expected = 3"],
    "test_definition": ["contest = 3", "test = run()"],
    "behavior_derivation": ["x = iffy", "format = 3"],
    "verification_command": ["make coffee", "x.pytest"],
}


@pytest.mark.parametrize(("shape", "line"), [(shape, line) for shape, lines in SAMPLES.items() for line in lines])
def test_a_shape_is_recognised(shape: str, line: str) -> None:
    """Lines of several languages."""
    assert shows(shape, line)


@pytest.mark.parametrize(("shape", "line"), [(shape, line) for shape, lines in NOT_SAMPLES.items() for line in lines])
def test_what_only_resembles_a_shape_is_none(shape: str, line: str) -> None:
    """Calls, comparisons and prose."""
    assert not shows(shape, line)


def test_the_samples_cover_the_shapes() -> None:
    """Every shape that is judged by line has samples."""
    assert set(SAMPLES) == {name for name, shape in EVIDENCE_SHAPES.items() if shape.patterns}


def test_every_stop_word_is_a_code_that_occurs() -> None:
    """Beside the four that name an end, each stop condition is the code of a denial somewhere in the core."""
    core = TESTS.parent / "src" / "codex_oss"
    text = "".join(path.read_text() for room in ("missions", "policy") for path in (core / room).glob("*.py"))
    for word in list(STOP_CONDITIONS)[4:]:
        assert f'"{word}"' in text, word
