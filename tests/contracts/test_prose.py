"""Task contracts in prose and handoffs of the older form: compiled to the same mission, or refused with a hint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.codes import hint_of
from codex_oss.contracts.compiler import compile_mission, wrap_handoff
from codex_oss.contracts.fields import APPLY_MODES_OF_TIER
from codex_oss.contracts.handoff import Handoff, find_mission, parse_document
from codex_oss.contracts.legacy import LEGACY_FIELDS, compile_legacy
from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.places import read_places
from codex_oss.contracts.prose import LABELS, compile_prose
from codex_oss.contracts.task_modes import TIERS_OF_MODE, TaskEnvelope, choose_mode, tier_of
from codex_oss.contracts.validation import check_mission

PROSE = """Please look into this.

ROLE: a careful reader
GOAL: Find out how retries work.
READ-ONLY PATHS: src/retry.py, src/net/
DO NOT TOUCH: src/net/secret/
DELIVERABLE: where the limit is set, what happens after it
COMPLETION RULE: both are known
ESCALATION RULE: the code is generated

Thank you: GOALS are not a label.
"""
LEGACY: dict[str, Any] = {
    "schema_version": 1,
    "role": "scout",
    "goal": "Find out how retries work.",
    "task_type": "scout",
    "owned_paths": [],
    "read_only_paths": ["src/retry.py"],
    "forbidden_actions": ["edit", "commit"],
    "verification_steps": [],
    "deliverable_fields": ["retry_limit"],
    "completion_rule": "the limit is known",
    "escalation_rule": "",
}


def mission_of(found: Handoff) -> MissionV1:
    """The mission that was found; fails with its problems."""
    assert found.raw is not None, found.problems
    checked = check_mission(found.raw, limits=BudgetLimits(), new_id="m_new")
    assert checked.mission is not None, checked.problems
    return checked.mission


def prose(text: str, tier: str = "A3") -> Handoff:
    """What a mission name of a tier makes of a message."""
    return find_mission([text], mission_alias=True, tier=tier)


def refused(text: str, tier: str = "A3") -> list[tuple[str, str]]:
    """(code, label) of each problem; each has a hint."""
    found = prose(text, tier)
    assert found.raw is None
    assert all(hint_of(problem.code) for problem in found.problems)
    return [(problem.code, problem.field) for problem in found.problems]


def test_a_prose_contract_is_an_open_mission() -> None:
    """Goal, scope, questions and rules arrive; budgets and style are those of the tier; the rest is said in notes."""
    found = prose(PROSE)
    mission = mission_of(found)
    assert (mission.tier, mission.objective_style) == ("A3", "open_investigation")
    assert mission.evidence_collection_mode == "agenda_guided"
    assert mission.objective.startswith("Find out how retries work.")
    assert "Done when: both are known" in mission.objective
    assert (mission.allowed_paths, mission.allowed_roots) == (("src/retry.py",), ("src/net",))
    assert mission.forbidden_roots == ("src/net/secret",)
    assert mission.must_inspect == ("src/retry.py",)
    assert [item.question for item in mission.answer_obligations] == ["where the limit is set", "what happens after it"]
    assert (mission.budget.tool_calls_requested, mission.budget.time_requested_s) == (14, 150)
    assert mission.exploration_policy is not None
    assert mission.exploration_policy.require_contradiction_search is False
    assert {note.code for note in found.notes} == {"compiled_from_prose"}
    assert {note.field for note in found.notes} >= {"GOAL", "ROLE", "READ-ONLY PATHS", "DO NOT TOUCH"}


def test_a2_has_its_own_budget_and_three_general_questions() -> None:
    """Without a deliverable three questions stand for it, and a note says so."""
    found = prose("GOAL: look\nREAD-ONLY PATHS: a.py\n", "A2")
    mission = mission_of(found)
    assert (mission.budget.tool_calls_requested, mission.budget.time_requested_s) == (8, 90)
    assert len(mission.answer_obligations) == 3
    assert mission.exploration_policy is not None
    assert mission.exploration_policy.max_optional_actions_after_floor == 1
    assert "DELIVERABLE" in {note.field for note in found.notes}


def test_a_change_owns_its_files_and_its_commands() -> None:
    """A5: owned paths, back-ticked commands; a step in words is named in a note."""
    text = "GOAL: fix\nOWNED PATHS:\n- src/a.py\n- src/b.py\nVERIFICATION STEPS:\n- `pytest -q 'a b'`\n- look at it\n"
    found = prose(text, "A5")
    mission = mission_of(found)
    assert mission.owned_paths == ("src/a.py", "src/b.py")
    assert mission.verification_policy.allowed_commands == (("pytest", "-q", "a b"),)
    assert mission.max_files_changed == 2
    assert any("1 step(s)" in note.message for note in found.notes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("GOAL: a\nGOAL: b\nREAD-ONLY PATHS: a.py", ("prose_ambiguous", "GOAL")),
        ("GOAL: a\nOBJECTIVE: b\nREAD-ONLY PATHS: a.py", ("prose_ambiguous", "OBJECTIVE")),
        ("GOAL: a\nREAD-ONLY PATHS: the retry module", ("prose_ambiguous", "READ-ONLY PATHS")),
        ("GOAL: a\nREAD-ONLY PATHS: everything except tests", ("prose_ambiguous", "READ-ONLY PATHS")),
        ("GOAL: a\nREAD-ONLY PATHS: src/*.py", ("prose_ambiguous", "READ-ONLY PATHS")),
        ("GOAL: a\nREAD-ONLY PATHS: ../x.py", ("prose_ambiguous", "READ-ONLY PATHS")),
        ("GOAL: a\nREAD-ONLY PATHS: /etc/passwd", ("prose_ambiguous", "READ-ONLY PATHS")),
        ("GOAL: a\nREAD-ONLY PATHS: a.py\nDO NOT TOUCH: anything else", ("prose_ambiguous", "DO NOT TOUCH")),
        ("GOAL: a\nREAD-ONLY PATHS: a.py\nTASK TYPE: implementation", ("prose_ambiguous", "TASK TYPE")),
        ("GOAL: a\nREAD-ONLY PATHS: a.py\nTASK TYPE: look around", ("prose_ambiguous", "TASK TYPE")),
        ("GOAL:\n\nREAD-ONLY PATHS: a.py", ("prose_incomplete", "GOAL")),
        ("GOAL: a", ("prose_incomplete", "READ-ONLY PATHS")),
        ("GOAL: a\nREAD-ONLY PATHS: none", ("prose_incomplete", "READ-ONLY PATHS")),
        ("Goal: a\nRead-only paths: a.py", ("handoff_missing", "")),
        ("My GOAL: is to read a.py", ("handoff_missing", "")),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: str, problem: tuple[str, str]) -> None:
    """One fault, one problem, with its label; no word of a sentence opens anything."""
    assert refused(text) == [problem]


def test_two_contracts_and_a_missing_owner_are_refused() -> None:
    """Which one is meant is not guessed; a tier that changes files needs its own."""
    two = find_mission(["GOAL: a\nREAD-ONLY PATHS: a.py"] * 2, mission_alias=True, tier="A3")
    assert [problem.code for problem in two.problems] == ["prose_ambiguous"]
    assert refused("GOAL: a\nREAD-ONLY PATHS: a.py", "A4") == [("prose_incomplete", "OWNED PATHS")]


def test_prose_means_nothing_to_a_raw_name_or_beside_a_block() -> None:
    """A raw model answers it as a question; a tagged block decides alone."""
    assert find_mission([PROSE], mission_alias=False) == Handoff()
    block = wrap_handoff({"schema_version": "oss_agent_mission.v1", "tier": "A2"})
    assert prose(f"{PROSE}\n{block}").raw == {"schema_version": "oss_agent_mission.v1", "tier": "A2"}


@pytest.mark.parametrize(
    ("entry", "roots", "paths"),
    [
        ("src/", ("src",), ()),
        ("./src/**", ("src",), ()),
        ("src/a.py", (), ("src/a.py",)),
        ("Makefile", ("Makefile",), ()),
        (".github", (".github",), ()),
        ("`my file.py`", (), ("my file.py",)),
        (".", (".",), ()),
        ("None.", (), ()),
    ],
)
def test_places(entry: str, roots: tuple[str, ...], paths: tuple[str, ...]) -> None:
    """Folders end in a slash, files in an extension; any other name stands for itself."""
    read = read_places([entry])
    assert (read.roots, read.paths, read.faults) == (roots, paths, ())


def marked(raw: Any, *, fenced: bool = False) -> str:
    """A message with a block of the older form."""
    body = json.dumps(raw)
    return f"Do this.\nOSS_HANDOFF_JSON:\n```json\n{body}\n```\n" if fenced else f"OSS_HANDOFF_JSON: {body}"


@pytest.mark.parametrize("alias", [True, False])
@pytest.mark.parametrize("fenced", [True, False])
def test_the_older_form_is_a_mission_for_any_name(alias: bool, fenced: bool) -> None:
    """Scope, outputs, budget and rules arrive; what is only told is named in a note."""
    found = find_mission([marked(LEGACY, fenced=fenced)], mission_alias=alias)
    mission = mission_of(found)
    assert (mission.tier, mission.allowed_paths, mission.must_inspect) == ("A2", ("src/retry.py",), ("src/retry.py",))
    assert mission.required_outputs[-1] == "retry_limit"
    assert mission.budget.tool_calls_requested == 6
    assert "Never: edit, commit" in mission.objective
    assert "Done when: the limit is known" in mission.objective
    assert {note.field for note in found.notes} >= {"schema_version", "role", "forbidden_actions", "completion_rule"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"goal": None}, "goal"),
        ({"task_type": "guess"}, "task_type"),
        ({"task_type": "implementation"}, "task_type"),
        ({"owned_paths": 5}, "owned_paths"),
        ({"read_only_paths": ["the whole thing"]}, "read_only_paths"),
        ({"write_allowed": True}, "write_allowed"),
        ({"read_only_paths": [], "deliverable_fields": []}, "read_only_paths"),
        ({"read_only_paths": []}, "read_only_paths"),
        ({"read_only_paths": [], "exact_content": True}, "exact_content"),
    ],
)
def test_breaches_of_the_older_form(changes: dict[str, Any], field: str) -> None:
    """Each is refused under one code, at its field."""
    found = find_mission([marked(LEGACY | changes)], mission_alias=False)
    assert ("legacy_handoff_invalid", field) in [(problem.code, problem.field) for problem in found.problems]


def test_every_required_key_of_the_older_form() -> None:
    """Each missing one is named."""
    for name in list(LEGACY):
        raw = {key: value for key, value in LEGACY.items() if key != name}
        assert name in {problem.field for problem in find_mission([marked(raw)], mission_alias=True).problems}


def test_a_mention_of_the_marker_is_no_block() -> None:
    """Guidance that names the marker does not open a mission, a broken block is refused, two are one too many."""
    assert find_mission(["Use OSS_HANDOFF_JSON: {…}\nor OSS_HANDOFF_JSON: text"], mission_alias=False) == Handoff()
    broken = find_mission(['OSS_HANDOFF_JSON: {"schema_version": 1,'], mission_alias=False)
    assert [problem.code for problem in broken.problems] == ["handoff_malformed_json"]
    twice = find_mission([marked(LEGACY), marked(LEGACY)], mission_alias=False)
    assert [problem.code for problem in twice.problems] == ["handoff_multiple_blocks"]


def test_critical_and_writing_tasks_keep_their_tier() -> None:
    """proof_critical escalates; owned paths are a change; the alias decides among the tiers that can carry it."""
    critical = mission_of(find_mission([marked(LEGACY | {"proof_critical": True})], mission_alias=True, tier="A2"))
    assert (critical.tier, critical.risk_tier) == ("A2", "critical")
    change = LEGACY | {"task_type": "bounded_write", "owned_paths": ["src/a.py"]}
    steps = {"verification_steps": ["`pytest -q`", "look"]}
    mission = mission_of(find_mission([marked(change | steps)], mission_alias=False))
    assert (mission.tier, mission.owned_paths) == ("A5", ("src/a.py",))
    assert mission.verification_policy.allowed_commands == (("pytest", "-q"),)
    assert mission_of(find_mission([marked(change)], mission_alias=True, tier="A4")).tier == "A4"


def test_documents_hold_the_other_forms_too() -> None:
    """A file may be prose, the marker, or the bare object of the older form."""
    assert mission_of(parse_document(PROSE)).tier == "A3"
    assert mission_of(parse_document(PROSE, "A2")).tier == "A2"
    assert mission_of(parse_document(marked(LEGACY))).tier == "A2"
    assert mission_of(parse_document(json.dumps(LEGACY), "A3")).tier == "A3"


@given(st.builds(TaskEnvelope, st.text(), *[st.lists(st.text(), max_size=1).map(tuple)] * 2, *[st.booleans()] * 4))
def test_every_task_has_a_mode_and_a_tier_or_none(task: TaskEnvelope) -> None:
    """The choice is total, and a mode is carried by the tiers of its row or refused."""
    mode = choose_mode(task)
    assert (tier_of(mode) in APPLY_MODES_OF_TIER) == (mode in TIERS_OF_MODE)


LINES = st.sampled_from([*LABELS, "x", "- src/a.py", "src/", "", "`pytest`", "none", "**GOAL:** y", "../z"])
TEXTS = st.lists(st.tuples(LINES, st.sampled_from([":", ": a.py", ": a, b/", ""])), max_size=12).map(
    lambda pairs: "\n".join("".join(pair) for pair in pairs)
)


@given(TEXTS | st.text(), st.sampled_from(sorted(APPLY_MODES_OF_TIER)))
@settings(max_examples=300)
def test_any_prose_is_a_valid_mission_or_refused_with_a_hint(text: str, tier: str) -> None:
    """Total; whatever is compiled breaks no rule of form, and nothing is both compiled and refused."""
    raw, told = compile_prose([text], tier)
    assert all(hint_of(problem.code) for problem in told)
    assert (raw is None) == any(problem.severity == "error" for problem in told)
    if raw is not None:
        codes = {problem.code for problem in check_mission(raw, limits=BudgetLimits(), new_id="m").errors}
        assert codes <= {"mission_id_invalid", "must_inspect_outside_scope", "path_invalid", "objective_missing"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([field.name for field in LEGACY_FIELDS])


@given(st.dictionaries(NAMES, JSON_VALUES, max_size=4), st.sampled_from(["", "A2", "A3", "A5", "x"]))
@settings(max_examples=300)
def test_any_json_of_the_older_form_is_compiled_or_refused(changes: dict[str, Any], tier: str) -> None:
    """Total over any JSON; what is compiled is a mission by the same rules as any."""
    raw, told = compile_legacy(LEGACY | changes, tier)
    assert all(hint_of(problem.code) for problem in told)
    assert (raw is None) == any(problem.severity == "error" for problem in told)
    if raw is not None:
        check_mission(raw, limits=BudgetLimits(), new_id="m")


@given(TEXTS)
def test_compiling_again_changes_nothing(text: str) -> None:
    """What was compiled is found again as it is, and compiling it is the identity."""
    raw, _ = compile_prose([text], "A3")
    if raw is None:
        return
    whole = dict(compile_mission_of(raw))
    assert parse_document(wrap_handoff(whole)).raw == whole
    assert compile_mission_of(whole) == whole


def compile_mission_of(raw: dict[str, Any]) -> dict[str, Any]:
    """As `mission compile FILE` does, without flags."""
    from codex_oss.contracts.compiler import CompileOptions

    return compile_mission(CompileOptions(), raw)
