"""How the one mission of a request or of a file is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.blocks import CLOSE_TAG, MAX_BLOCK_CHARS, MAX_BLOCKS, OPEN_TAG
from codex_oss.contracts.compiler import wrap_handoff
from codex_oss.contracts.handoff import Handoff, find_mission, parse_document

MISSION = {"schema_version": "oss_agent_mission.v1", "objective": "Find the port."}


def block(body: Any = None) -> str:
    """A tagged block around text, or around JSON."""
    text = body if isinstance(body, str) else json.dumps(MISSION if body is None else body)
    return f"{OPEN_TAG}\n{text}\n{CLOSE_TAG}"


def code_of(found: Handoff) -> str:
    """The code of the one problem; empty when there is none."""
    assert len(found.problems) <= 1
    return found.problems[0].code if found.problems else ""


JSON_TEXTS = st.text(max_size=30) | st.sampled_from([OPEN_TAG, CLOSE_TAG])


@given(st.dictionaries(st.text(max_size=5), JSON_TEXTS | st.lists(JSON_TEXTS)), JSON_TEXTS, JSON_TEXTS, st.booleans())
def test_whatever_is_wrapped_is_found(extra: dict[str, Any], before: str, after: str, alias: bool) -> None:
    """A wrapped mission is found as it was, whatever prose, mentioned tags and odd strings are around or in it."""
    raw = extra | MISSION
    found = find_mission([f"{before} {wrap_handoff(raw)} {after}"], mission_alias=alias)
    if CLOSE_TAG not in after and OPEN_TAG not in after:
        assert found == Handoff(raw, source="user")
    assert parse_document(f"Text. {wrap_handoff(raw)}").raw == raw
    assert parse_document(json.dumps(raw)).raw == raw


PIECES = st.sampled_from(
    [
        OPEN_TAG,
        CLOSE_TAG,
        '{"a":',
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        ",",
        " ",
        "\n",
        "1",
        "```json\n",
        "NaN",
        json.dumps(MISSION),
    ]
)


@given(st.lists(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=20), max_size=3), st.booleans())
def test_no_text_makes_it_fail(texts: list[str], alias: bool) -> None:
    """Any text gives a mission, or problems, or nothing; a mission alias never gets nothing."""
    found = find_mission(texts, texts, mission_alias=alias)
    assert not (found.raw is not None and found.problems)
    if alias:
        assert found.raw is not None or found.problems
    for text in texts:
        document = parse_document(text)
        assert (document.raw is None) == bool(document.problems)


def test_a_tag_inside_a_string_belongs_to_the_string() -> None:
    """An objective may speak about the tags."""
    raw = MISSION | {"objective": f"Where is {OPEN_TAG} parsed, where {CLOSE_TAG}?"}
    assert find_mission([f"{OPEN_TAG}{json.dumps(raw)}{CLOSE_TAG}"], mission_alias=True).raw == raw


def test_a_mentioned_tag_does_not_open_a_block() -> None:
    """Prose in front of the block may name the opening tag."""
    text = f"I put it between {OPEN_TAG} and the other tag:\n{block()}"
    assert find_mission([text], mission_alias=True).raw == MISSION


def test_sibling_blocks_and_fences_are_fine() -> None:
    """Other tags beside the block and a fence inside it change nothing."""
    sibling = "<OSS_PATCH_PROPOSAL_JSON>{}</OSS_PATCH_PROPOSAL_JSON>"
    fenced = block(f"```json\n{json.dumps(MISSION)}\n```")
    assert find_mission([sibling + fenced + sibling], mission_alias=True).raw == MISSION


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ([], "handoff_missing"),
        (["Please find the port."], "handoff_missing"),
        ([CLOSE_TAG], "handoff_missing"),
        ([block(), block()], "handoff_multiple_blocks"),
        ([block() + block()], "handoff_multiple_blocks"),
        ([block({"schema_version": "v0"}) + block({})], "handoff_no_valid_block"),
        ([block("{") + block("x")], "handoff_no_valid_block"),
        ([block("{} " * 3) * (MAX_BLOCKS + 5)], "handoff_multiple_blocks"),
        ([block("{'a': 1}")], "handoff_malformed_json"),
        ([block("[]")], "handoff_malformed_json"),
        ([block("3")], "handoff_malformed_json"),
        ([block("")], "handoff_malformed_json"),
        ([block('{"a": NaN}')], "handoff_malformed_json"),
        ([block('{"a": -Infinity}')], "handoff_malformed_json"),
        ([block('{"a": 1e999}')], "handoff_malformed_json"),
        ([block('{"a": ' + "9" * 5000 + "}")], "handoff_malformed_json"),
        ([block('{"a": "\\ud800"}')], "handoff_malformed_json"),
        ([block('{"a": 1, "b": {"c": 1, "c": 2}}')], "handoff_malformed_json"),
        ([block('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")], "handoff_malformed_json"),
        ([block('{"a": ' * 100_000)], "handoff_malformed_json"),
        ([block('{"a": "' + "x" * MAX_BLOCK_CHARS + '"}')], "handoff_malformed_json"),
        ([OPEN_TAG + json.dumps(MISSION)], "handoff_malformed_json"),
        ([OPEN_TAG], "handoff_malformed_json"),
    ],
)
def test_what_is_no_mission(texts: list[str], code: str) -> None:
    """Each way to hand over no single mission has its code."""
    found = find_mission(texts, mission_alias=True)
    assert found.raw is None
    assert code_of(found) == code


def test_messages_name_the_place_and_the_key() -> None:
    """A syntax error tells line and column, a repeated key its name, an open block where it opened."""
    broken = f'Hello\n{OPEN_TAG}\n{{"a": 1,\n  b: 2}}\n{CLOSE_TAG}'
    assert "line 4, column 3" in find_mission([broken], mission_alias=True).problems[0].message
    twice = find_mission([block('{"tier": "A2", "tier": "A3"}')], mission_alias=True)
    assert '"tier" is given twice' in twice.problems[0].message
    unclosed = find_mission([f"a\nb {OPEN_TAG}{{"], mission_alias=True)
    assert "line 2, column 3" in unclosed.problems[0].message
    assert "never closed" in unclosed.problems[0].message


def test_only_user_text_counts_when_it_holds_the_tag() -> None:
    """System text is a fallback, and never one for a mission alias."""
    assert find_mission(["hi"], [block()], mission_alias=False).source == "system"
    assert code_of(find_mission(["hi"], [block()], mission_alias=True)) == "handoff_missing"
    assert find_mission([block()], [block()], mission_alias=False) == Handoff(MISSION, source="user")
    assert find_mission([f"about {OPEN_TAG}"], [block()], mission_alias=False) == Handoff()


def test_a_raw_alias_without_a_mission_has_nothing() -> None:
    """Ordinary chat is no mission, even when it mentions the tag."""
    assert find_mission(["hi"], [], mission_alias=False) == Handoff()
    assert find_mission([f"what does {OPEN_TAG} mean?"], mission_alias=False) == Handoff()


@pytest.mark.parametrize("text", [block("{"), OPEN_TAG + '{"a": 1', block("no json")])
def test_a_broken_mission_never_becomes_ordinary_chat(text: str) -> None:
    """A raw alias with a broken block gets the problem, too."""
    assert code_of(find_mission([text], mission_alias=False)) == "handoff_malformed_json"


def test_examples_beside_the_mission_are_ignored() -> None:
    """Blocks that are not a MissionV1 do not count beside one that is."""
    examples = block({"schema_version": "1"}) + block("{ … }")
    assert find_mission([examples, block()], mission_alias=True).raw == MISSION


def test_a_lone_foreign_block_goes_to_the_validator() -> None:
    """One object of another schema is handed on, so that its fault is told."""
    assert find_mission([block({"schema_version": "1"})], mission_alias=True).raw == {"schema_version": "1"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "handoff_missing"),
        (" \n", "handoff_missing"),
        ("# Title\n", "handoff_missing"),
        ("[1]", "handoff_missing"),
        ("{", "handoff_malformed_json"),
        ('{"a": 1} x', "handoff_malformed_json"),
        (f"{OPEN_TAG} {{", "handoff_malformed_json"),
        (block() + block(), "handoff_multiple_blocks"),
    ],
)
def test_documents_without_a_mission(text: str, code: str) -> None:
    """A file that holds no single mission is refused with the code of its fault."""
    assert code_of(parse_document(text)) == code


def test_a_document_may_start_with_a_byte_order_mark() -> None:
    """Editors that write a BOM are welcome."""
    assert parse_document("\ufeff" + json.dumps(MISSION)).raw == MISSION


@pytest.mark.parametrize(
    "text",
    [
        OPEN_TAG * 40_000,
        f"{OPEN_TAG}{{" * 40_000,
        f'{OPEN_TAG}{{"' * 40_000,
        f'{OPEN_TAG}{{"}}' * 40_000,
        OPEN_TAG + '{"' + '\\"' * 400_000,
        f"{OPEN_TAG}{{" * 60 + "[]" * 400_000,
        OPEN_TAG + "{" + '"a":1,' * 140_000 + "}" + CLOSE_TAG,
        OPEN_TAG + " " * 900_000 + CLOSE_TAG,
    ],
    ids=["tags", "objects", "strings", "odd strings", "escapes", "brackets", "keys", "blanks"],
)
@pytest.mark.timeout(20)
def test_hostile_texts_are_answered(text: str) -> None:
    """Texts built to be slow get their problem well within the test's time limit."""
    assert find_mission([text], mission_alias=True).problems
