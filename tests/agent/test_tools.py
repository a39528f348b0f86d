"""The table of tools: what a call may ask, what is mended, and what the model is told of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.agent.tools import ALIASES, RUNTIME_TOOL, TOOLS, Wanted, function_tools, parse_call, signature
from codex_oss.contracts.tools import TOOL_ARGUMENTS, Verdict
from codex_oss.wire.items import FunctionCall


def call(name: str, arguments: Any) -> FunctionCall:
    """A call with these arguments; text goes in as it is."""
    return FunctionCall("c1", name, arguments if isinstance(arguments, str) else json.dumps(arguments))


GOOD: list[tuple[str, Any, dict[str, Any]]] = [
    ("list_files", "", {}),
    ("list_files", {"path": None}, {}),
    ("read_file", {"path": "a", "start_line": "3", "end_line": 4}, {"path": "a", "start_line": 3, "end_line": 4}),
    ("read_file", {"file_path": "a"}, {"path": "a"}),
    ("search", {"query": "x", "case_sensitive": "False"}, {"pattern": "x", "case_sensitive": False}),
    ("edit_file", {"path": "a", "old_text": "x\ny", "new_text": ""}, {"path": "a", "old_text": "x\ny", "new_text": ""}),
    ("shell", {"cmd": "a\nb", "timeout": 3}, {"command": "a\nb", "timeout_s": 3}),
]

BAD: list[tuple[str, Any, str]] = [
    ("rm", {}, "tool_unknown"),
    ("read_file", "{", "arguments_malformed"),
    ("read_file", "[1]", "arguments_malformed"),
    ("read_file", "[" * 5000, "arguments_malformed"),
    ("read_file", {}, "argument_missing"),
    ("read_file", {"path": None}, "argument_missing"),
    ("read_file", {"path": "a", "sudo": 1}, "argument_invalid"),
    ("read_file", {"path": 3}, "argument_invalid"),
    ("read_file", {"path": " "}, "argument_invalid"),
    ("read_file", {"path": "a\nb"}, "argument_invalid"),
    ("read_file", {"path": "a" * 2000}, "argument_invalid"),
    ("read_file", {"path": "a", "start_line": 0}, "argument_invalid"),
    ("read_file", {"path": "a", "start_line": True}, "argument_invalid"),
    ("read_file", {"path": "a", "start_line": "x"}, "argument_invalid"),
    ("search", {"pattern": "a", "case_sensitive": 1}, "argument_invalid"),
    ("search", {"pattern": "a", "case_sensitive": "maybe"}, "argument_invalid"),
    ("shell", {"command": "a\0b"}, "argument_invalid"),
    ("create_file", {"path": "a", "content": "x" * 400_001}, "argument_invalid"),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), GOOD)
def test_arguments_that_fit_are_read(name: str, arguments: Any, expected: dict[str, Any]) -> None:
    """What fits, or can be mended, becomes the arguments of our own names."""
    assert parse_call(call(name, arguments)) == Wanted("c1", name, expected)


@pytest.mark.parametrize(("name", "arguments", "code"), BAD)
def test_arguments_that_do_not_fit_are_told(name: str, arguments: Any, code: str) -> None:
    """What does not fit is denied with a stable code and one sentence."""
    verdict = parse_call(call(name, arguments))
    assert isinstance(verdict, Verdict)
    assert (verdict.allowed, verdict.code) == (False, code)
    assert verdict.reason.endswith((".", "…"))
    assert "\n" not in verdict.reason


def test_arguments_that_were_not_kept_are_told() -> None:
    """What was too long to keep is not taken for an empty object."""
    verdict = parse_call(call("list_files", "{}"), left_out=True)
    assert isinstance(verdict, Verdict)
    assert verdict.code == "arguments_too_long"


@given(st.text(max_size=40), st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_no_call_raises(name: str, arguments: str) -> None:
    """Whatever a model writes is answered with a value."""
    assert parse_call(FunctionCall("c", name, arguments)) is not None


@given(st.sampled_from(sorted(TOOLS)), st.dictionaries(st.sampled_from([*ALIASES, "path"]), st.integers() | st.text()))
def test_what_is_wanted_fits_the_schema(name: str, arguments: dict[str, Any]) -> None:
    """Nothing that passes has an argument that the offered schema does not know, or lacks one that it requires."""
    wanted = parse_call(call(name, arguments))
    if isinstance(wanted, Wanted):
        schema = next(tool.parameters for tool in function_tools() if tool.name == name)
        assert set(wanted.arguments) <= set(schema["properties"])
        assert set(schema["required"]) <= set(wanted.arguments)


def test_reading_tools_are_those_of_the_runtime() -> None:
    """Every argument that a reading tool offers is one that the runtime's tool takes."""
    for name, runtime in RUNTIME_TOOL.items():
        assert set(TOOLS[name].arguments) <= set(TOOL_ARGUMENTS[runtime])
        assert not TOOLS[name].asks


def test_what_changes_something_asks() -> None:
    """Edits and commands ask, reading does not."""
    assert {name for name, row in TOOLS.items() if row.asks} == {"edit_file", "create_file", "shell"}
    assert Wanted("c", "shell", {}).asks
    assert Wanted("c", "shell", {"command": "x"}).text("command") == "x"
    assert Wanted("c", "shell", {}).text("command") == ""


def test_equal_calls_have_equal_signatures() -> None:
    """The id does not make two calls different, the arguments do."""
    assert signature(FunctionCall("1", "a", "{}")) == signature(FunctionCall("2", "a", "{}"))
    assert signature(FunctionCall("1", "a", "{}")) != signature(FunctionCall("1", "a", "[]"))
