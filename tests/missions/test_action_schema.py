"""The schema of the next answer: what it offers can be done, and what the record rules out does not fit."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for

from codex_oss.missions.action_schema import action_schema
from codex_oss.missions.actions import parse_action
from codex_oss.missions.events import Purpose
from codex_oss.missions.evidence import BadRef, resolve_ref
from codex_oss.missions.record import RunRecord, fold
from codex_oss.missions.verdicts import judge_tool_call
from codex_oss.policy.scope import scope_of
from tests.fakes.mission_script import FILES, Play, call, finding, mission, report

REF = "file:app/retry.py#extract:1"
OUT_OF_PLACE = {
    "path_outside_scope",
    "path_denied",
    "path_traversal",
    "path_absolute",
    "tool_unknown",
    "tool_class_not_allowed",
    "argument_missing",
    "argument_invalid",
    "argument_unsupported",
    "max_files_reached",
    "final_report_required",
}


def fits(record: RunRecord, answer: str, purpose: Any = "action") -> bool:
    """Whether an answer fits the schema of the next one."""
    return validator_for(action_schema(record, purpose)).is_valid(json.loads(answer))


def strict(tool: str, **given: Any) -> str:
    """A tool call with every property that a strict upstream makes a model fill in."""
    arguments: dict[str, dict[str, Any]] = {
        "rtk_read": {"path": None, "start_line": None, "end_line": None},
        "rtk_grep": dict.fromkeys(
            ("pattern", "path", "case_sensitive", "include_glob", "max_results", "context_lines")
        ),
        "rtk_ls": {"path": None},
        "rtk_git_log": {"limit": None},
    }
    action = json.loads(call(tool, **{**arguments[tool], **given}))
    return json.dumps(action)


def record_after(*answers: str, **options: Any) -> RunRecord:
    """The record at the question that follows these answers."""
    contract = options.pop("contract", mission())
    asked: list[int] = []

    def model(record: RunRecord) -> Any:
        asked.append(record.last_seq)
        return answers[len(asked) - 1] if len(asked) <= len(answers) else ("failed", "upstream_refused")

    play = Play(contract, model, **options)
    play.run()
    return fold("run_1", contract.mission_id, play.events[: asked[len(answers)]])


def with_phase(answer: str, phase: str) -> str:
    """The answer with the phase it is said in."""
    return json.dumps({**json.loads(answer), "phase": phase})


def test_nothing_can_be_reported_before_something_was_seen() -> None:
    """At the begin only tool calls fit, and among them no read of a file that nobody named."""
    record = record_after()
    assert not fits(record, report(finding("`MAX_RETRIES` is 5", REF)))
    assert not fits(record, with_phase(strict("rtk_read", path="app/retry.py"), "EXPLORE"))
    assert fits(record, with_phase(strict("rtk_grep", pattern="MAX", path="app"), "EXPLORE"))
    assert not fits(record, with_phase(strict("rtk_grep", pattern="MAX", path="app"), "VERIFY"))


def test_what_was_met_can_be_read_until_all_of_it_was_shown() -> None:
    """A search makes files known; a part of one leaves the rest to read, the whole of one nothing."""
    found = call("rtk_grep", pattern="RETR", path="app")
    part, whole = call("rtk_read", path="app/retry.py", end_line=2), call("rtk_read", path="app/retry.py")
    for answers, phase, readable in (
        ((found,), "NARROW", True),
        ((found, part), "VERIFY", True),
        ((found, whole), "VERIFY", False),
    ):
        assert fits(record_after(*answers), with_phase(strict("rtk_read", path="app/retry.py"), phase)) is readable


def test_a_file_that_the_objective_names_can_be_read_at_once() -> None:
    """A path in scope that stands in the objective is known; one outside is not offered."""
    contract = mission(objective="What does app/retry.py do that other/x.py does not?")
    record = record_after(contract=contract)
    assert fits(record, with_phase(strict("rtk_read", path="app/retry.py"), "EXPLORE"))
    assert not fits(record, with_phase(strict("rtk_read", path="other/x.py"), "EXPLORE"))


def strict_report(ref: str, **more: Any) -> str:
    """A report with every property that a strict upstream makes a model fill in."""
    subject = dict.fromkeys(("path", "symbol", "line", "end_line", "quote"))
    found = {"claim": "`MAX_RETRIES` is 5", "kind": "value", "subject": subject, "evidence_refs": [ref], **more}
    body = {
        "status": "COMPLETE",
        "confidence": "LOW",
        "findings": [{**found, "confidence": "LOW"}],
        "uncertainties": [],
        "caveats": [],
        "escalation_recommendation": "",
    }
    return json.dumps({"action_type": "final_report", "report": body})


def test_only_refs_that_were_offered_fit() -> None:
    """A report fits once there is evidence, and cites nothing else; forced, nothing but a report fits."""
    record = record_after(call("rtk_read", path="app/retry.py"))
    for purpose in ("action", "final_report"):
        assert fits(record, strict_report(REF), purpose)
        assert not fits(record, strict_report("file:app/config.py#extract:1"), purpose)
        assert not fits(record, strict_report(REF, invented=1), purpose)
    assert not fits(record, with_phase(strict("rtk_ls", path="app"), "VERIFY"), "final_report")


def test_only_questions_that_were_asked_fit() -> None:
    """Obligations are offered by their ids, in findings and as the question of a step."""
    contract = mission(
        objective_style="open_investigation",
        answer_obligations=[{"id": "q1", "question": "How often is it tried again?"}],
    )
    record = record_after(call("rtk_read", path="app/retry.py"), contract=contract)
    assert fits(record, strict_report(REF, obligation_id="q1"))
    assert not fits(record, strict_report(REF, obligation_id="q9"))
    step = {**json.loads(strict("rtk_ls", path="app")), "phase": "VERIFY"}
    assert fits(record, json.dumps({**step, "target_question": "q1"}))
    assert not fits(record, json.dumps({**step, "target_question": "q9"}))


@pytest.mark.parametrize("window", [4_096, 32_768])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_whatever_the_schema_offers_can_be_done(window: int, seed: int) -> None:
    """A model that is held to the schema never proposes anything out of place, and cites only what resolves."""
    chance = random.Random(seed)

    def model(record: RunRecord) -> str:
        purpose: Purpose = "final_report" if record.final_asked else "action"
        schema = action_schema(record, purpose)
        validator_for(schema)  # raises for what is no schema
        answer = json.dumps(drawn(schema, chance))
        proposal = parse_action(1, answer)
        assert proposal.kind != "invalid", answer
        if proposal.kind == "tool_call":
            denial = judge_tool_call(record, contract, proposal, scope_of(contract))
            assert denial is None or denial.code not in OUT_OF_PLACE, (answer, denial)
        else:
            refs = [ref for found in json.loads(answer)["report"]["findings"] for ref in found["evidence_refs"]]
            assert not any(isinstance(resolve_ref(record.evidence, ref), BadRef) for ref in refs)
        return answer

    contract = mission(max_files_to_inspect=chance.randint(1, 3), must_inspect=["app/config.py"])
    record = Play(contract, model, {**FILES, "app/more.py": "MORE = 1\n"}, context_tokens=window).run()
    assert record.closed is not None


def drawn(schema: dict[str, Any], chance: random.Random) -> Any:
    """A value that fits a schema of ours: what a constrained model could say."""
    if "anyOf" in schema:
        return drawn(chance.choice(schema["anyOf"]), chance)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    kind = schema["type"]
    if isinstance(kind, list):
        return None
    if kind == "object":
        return {name: drawn(inner, chance) for name, inner in schema["properties"].items()}
    if kind == "array":
        count = chance.randint(schema.get("minItems", 0), min(schema.get("maxItems", 2), 2))
        return [drawn(schema["items"], chance) for _ in range(count)]
    return chance.choice(["RETRY", "MAX_RETRIES", "`MAX_RETRIES` is 5"])
