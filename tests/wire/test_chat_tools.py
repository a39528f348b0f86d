"""Tool names on the wire and back, call ids, freeform input."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.chat_tools import (
    MAX_CALL_ID_CHARS,
    ToolNames,
    custom_arguments,
    flat_name,
    unwrap_custom_arguments,
)
from codex_oss.wire.events import CustomCallStart, FunctionCallStart, ToolSearchStart
from codex_oss.wire.items import CustomTool, FunctionTool, Tool

_names = st.sampled_from(["a", "b", "a b", "a.b", "ns__a", "é", "x" * 64, "x" * 65, "x" * 66]) | st.text(min_size=1)
_tools: st.SearchStrategy[Tool] = st.builds(
    FunctionTool, _names, namespace=st.none() | st.sampled_from(["ns", "n" * 80])
) | st.builds(CustomTool, _names)


@given(st.lists(_tools, max_size=8, unique_by=lambda tool: (tool.namespace, tool.name)))
def test_wire_names_are_legal_unique_and_lead_back(tools: list[Tool]) -> None:
    """Any tools get names that upstreams accept, and each leads back to exactly its tool."""
    names = ToolNames(tools)
    wires = [names.wire_name(tool.namespace, tool.name) for tool in tools]
    assert len(set(wires)) == len(tools)
    for wire, tool in zip(wires, tools, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", wire)
        start = names.start_of(wire, "c")
        assert not isinstance(start, ToolSearchStart)
        assert (start.name, start.namespace) == (tool.name, tool.namespace)
        assert isinstance(start, CustomCallStart) is isinstance(tool, CustomTool)


@given(st.lists(_tools, min_size=1, max_size=6, unique_by=lambda tool: (tool.namespace, tool.name)))
def test_a_tool_more_at_the_end_changes_no_name(tools: list[Tool]) -> None:
    """Names depend on the tools before only, so that a longer list keeps an upstream's cache."""
    fewer, more = ToolNames(tools[:-1]), ToolNames(tools)
    assert [fewer.wire_name(t.namespace, t.name) for t in tools[:-1]] == [
        more.wire_name(t.namespace, t.name) for t in tools[:-1]
    ]


def test_plain_names_stay_and_namespaces_are_readable() -> None:
    """What is legal already is not changed."""
    assert flat_name(None, "exec_command") == "exec_command"
    assert flat_name("multi_agent_v1", "spawn_agent") == "multi_agent_v1__spawn_agent"


def test_a_model_may_leave_the_namespace_out() -> None:
    """The plain name finds its tool when only one has it; unknown names pass as functions."""
    names = ToolNames(
        [CustomTool("exec", namespace="functions"), FunctionTool("f", namespace="a"), FunctionTool("f", namespace="b")]
    )
    assert names.start_of("exec", "c") == CustomCallStart("c", "exec", "functions")
    assert names.start_of("f", "c") == FunctionCallStart("c", "f")
    assert names.start_of("no_such_tool", "c") == FunctionCallStart("c", "no_such_tool")


@given(st.lists(st.sampled_from(["", "a", "b", "x" * 65, "call_r_0", "call_r_1"]), max_size=10))
def test_call_ids_are_unique_and_short(wanted: list[str]) -> None:
    """Missing, long and used ids are replaced by others that the conversation does not have."""
    names = ToolNames(response_id="resp_r", used_call_ids=["b", "call_r_0"])
    taken = [names.take_call_id(call_id) for call_id in wanted]
    assert len({*taken, "b", "call_r_0"}) == len(taken) + 2
    assert all(0 < len(call_id) <= MAX_CALL_ID_CHARS for call_id in taken)
    again = ToolNames(response_id="resp_r", used_call_ids=["b", "call_r_0"])
    assert [again.take_call_id(call_id) for call_id in wanted] == taken


def test_a_very_long_response_id_still_makes_call_ids() -> None:
    """The seed is cut, the id is not too long."""
    assert len(ToolNames(response_id="resp_" + "9" * 500).take_call_id("")) <= MAX_CALL_ID_CHARS


@given(st.text())
def test_wrapping_and_unwrapping_is_the_identity(text: str) -> None:
    """Raw input survives its way through function arguments."""
    assert unwrap_custom_arguments(custom_arguments(text)) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"patch": "*** Begin"}', "*** Begin"),
        ('"*** Begin"', "*** Begin"),
        ("*** Begin", "*** Begin"),
        ('{"input": 7}', '{"input": 7}'),
        ('{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
        ("", ""),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_models_that_do_not_wrap(arguments: str, text: str) -> None:
    """What a model wrote instead of `{"input": …}` is taken as meant, or passed as it is."""
    assert unwrap_custom_arguments(arguments) == text
