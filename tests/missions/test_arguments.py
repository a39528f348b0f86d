"""Arguments as models write them: what is mended, what is refused, in both protocols alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.tools import TOOL_ARGUMENTS
from codex_oss.missions.actions import parse_action
from codex_oss.missions.arguments import ARGUMENT_NAMES, DROPPED_ARGUMENTS, normalise_arguments
from codex_oss.missions.events import ActionProposed, ModelAnswered, NativeCall
from codex_oss.missions.native_calls import parse_call


def in_json(tool: str, arguments: Any) -> ActionProposed:
    """The proposal of a JSON action object."""
    return parse_action(1, json.dumps({"action_type": "tool_call", "tool_name": tool, "arguments": arguments}))


def native(tool: str, arguments: Any, text: str = "") -> ActionProposed:
    """The proposal of a native call. arguments: text goes out as it is."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return parse_call(ModelAnswered(1, text, "completed", calls=(NativeCall("c1", tool, raw),)), 0)


MENDED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("rtk_read", {"file_path": "a.py"}, {"path": "a.py"}),
    ("rtk_read", {"files": ["a.py"]}, {"path": "a.py"}),
    ("rtk_read", {"path": "a.py", "offset": 10, "limit": 5}, {"path": "a.py", "start_line": 10, "end_line": 14}),
    ("rtk_read", {"path": "a.py", "offset": "10"}, {"path": "a.py", "start_line": 10}),
    ("rtk_read", {"path": "a.py", "limit": 5}, {"path": "a.py", "start_line": 1, "end_line": 5}),
    ("rtk_read", {"path": "a.py", "start": 2, "end": 3.0}, {"path": "a.py", "start_line": 2, "end_line": 3}),
    ("rtk_read", {"path": "a.py", "start_line": None, "encoding": "utf-8"}, {"path": "a.py"}),
    ("rtk_grep", {"query": "x", "include": "*.py"}, {"pattern": "x", "include_glob": "*.py"}),
    ("rtk_grep", {"regex": "x", "-i": True, "-r": True, "-n": True}, {"pattern": "x", "case_sensitive": False}),
    ("rtk_grep", {"pattern": "x", "ignore_case": "false"}, {"pattern": "x", "case_sensitive": True}),
    ("rtk_grep", {"pattern": "x", "context": "2"}, {"pattern": "x", "context_lines": 2}),
    ("rtk_grep", {"pattern": "x", "path": "a", "dir": "a"}, {"pattern": "x", "path": "a"}),
    ("rtk_ls", {"folder": "a", "recursive": True}, {"path": "a"}),
    ("rtk_git_log", {"n": 3}, {"limit": 3}),
    ("rtk_git_show_stat", {"commit": "HEAD~1"}, {"rev": "HEAD~1"}),
]


@pytest.mark.parametrize("propose", [in_json, native])
@pytest.mark.parametrize(("tool", "raw", "arguments"), MENDED)
def test_names_that_models_vary_are_mended(
    propose: Any, tool: str, raw: dict[str, Any], arguments: dict[str, Any]
) -> None:
    """The table of the mission contract: names are mended, values never invented."""
    proposal = propose(tool, raw)
    assert (proposal.kind, proposal.arguments, proposal.unsupported) == ("tool_call", arguments, ())
    assert proposal.raw_arguments == raw


@pytest.mark.parametrize("propose", [in_json, native])
@pytest.mark.parametrize(
    ("tool", "raw", "unsupported"),
    [
        ("rtk_read", {"path": "a.py", "colour": "red"}, ("colour",)),
        ("rtk_read", {"path": "a.py", "file": "b.py"}, ("file",)),
        ("rtk_grep", {"pattern": "x", "regex": "y"}, ("regex",)),
        ("rtk_grep", {"pattern": "x", "-i": "maybe"}, ("-i",)),
        ("rtk_git_status", {"path": "a"}, ("path",)),
        ("rtk_ls", {"offset": 3}, ("offset",)),
    ],
)
def test_what_is_not_known_or_said_twice_is_unsupported(
    propose: Any, tool: str, raw: dict[str, Any], unsupported: tuple[str, ...]
) -> None:
    """Nothing is guessed: the names come back to the model with the list of those that exist."""
    assert propose(tool, raw).unsupported == unsupported


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [
        ("", {}),
        ("null", {}),
        ('{"arguments": {"path": "a"}}', {"path": "a"}),
        ('{"tool_name": "rtk_ls", "arguments": {"path": "a"}, "reason": "r"}', {"path": "a"}),
        ('"{\\"path\\": \\"a\\"}"', {"path": "a"}),
        ('{"path": "a", "reason": "to see"}', {"path": "a"}),
    ],
)
def test_habits_of_native_calls_are_mended(raw: str, arguments: dict[str, Any]) -> None:
    """No arguments at all, a wrapper of the other protocol, JSON inside a JSON text, a reason among the arguments."""
    proposal = native("rtk_ls", raw)
    assert (proposal.kind, proposal.arguments, proposal.unsupported) == ("tool_call", arguments, ())


def test_a_wrapper_that_names_another_tool_is_not_opened() -> None:
    """Which of the two was meant nobody knows."""
    raw = {"tool_name": "rtk_read", "arguments": {"path": "a"}}
    assert native("rtk_ls", raw).unsupported == ("arguments", "tool_name")


def test_arguments_as_json_text_are_read_in_json_too() -> None:
    """A habit of native calls inside the JSON object; text that is no object stays refused."""
    assert in_json("rtk_ls", '{"path": "a"}').arguments == {"path": "a"}
    assert in_json("rtk_ls", "a").problem_code == "action_parse_failed"


def test_text_beside_a_call_is_its_reason() -> None:
    """It stands in the trace and in the remarks, and decides nothing."""
    assert native("rtk_ls", {"path": "a"}, text=" Let me look. ").reason == "Let me look."
    assert native("rtk_ls", {"path": "a", "reason": "to see"}).reason == "to see"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_report_is_the_arguments_of_its_function(wrapped: bool) -> None:
    """Bare, or inside `report` as the protocol json has it."""
    body = {"status": "PARTIAL", "findings": []}
    proposal = native("final_report", {"report": body} if wrapped else body)
    assert (proposal.kind, proposal.raw_arguments) == ("final_report", body)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted(
    {*ARGUMENT_NAMES, *DROPPED_ARGUMENTS, *(n for row in TOOL_ARGUMENTS.values() for n in row), "-i", "paths"}
)


@given(st.sampled_from([*TOOL_ARGUMENTS, "other"]), st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=5))
def test_mending_is_total_and_done_once(tool: str, raw: dict[str, Any]) -> None:
    """Any values: no exception, only known names come out, and what came out stays as it is."""
    arguments, _ = normalise_arguments(tool, raw)
    if tool in TOOL_ARGUMENTS:
        assert set(arguments) <= set(TOOL_ARGUMENTS[tool])
    assert normalise_arguments(tool, arguments) == (arguments, ())


@given(st.text(max_size=60) | JSON_VALUES.map(json.dumps), st.sampled_from(["rtk_read", "final_report", "x", ""]))
def test_any_call_is_a_proposal(raw: str, name: str) -> None:
    """Never an exception; what is no call says why, and keeps the id that the answer needs."""
    proposal = native(name, raw)
    assert proposal.call_id == "c1"
    assert (proposal.kind == "invalid") == bool(proposal.problem_code)
