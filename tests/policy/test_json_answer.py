"""Finding the JSON in an answer: fences, prose, schemas, hostile texts and schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest
from codex_oss.policy.json_answer import JsonJudge
from codex_oss.wire.items import TextFormat

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["n"],
    "additionalProperties": False,
}
JUDGE = JsonJudge(TextFormat("json_schema", "x", SCHEMA, True))
ANY = JsonJudge(TextFormat("json_object"))

_values = st.fixed_dictionaries({"n": st.integers(-(2**60), 2**60)}, optional={"name": st.text(max_size=20)})
_prose = st.text(alphabet="ab .\n", max_size=20)


@given(_values, _prose, _prose, st.sampled_from(["{}", "```json\n{}\n```", "```\n{}\n```"]), st.booleans())
def test_json_is_found_in_fences_and_prose(
    value: dict[str, Any], before: str, after: str, form: str, pretty: bool
) -> None:
    """Whatever stands around a fitting value, it alone comes out, as the model wrote it."""
    written = json.dumps(value, indent=2 if pretty else None)
    found = JUDGE.find(f"{before}\n{form.replace('{}', written)}\n{after}")
    assert (found.text, found.problem) == (written, "")


@given(st.text(alphabet='{}[]"\\`,:a1 \n', max_size=60))
def test_any_text_is_judged(text: str) -> None:
    """No text breaks the judge; what it finds is JSON and a piece of the text."""
    found = ANY.find(text)
    if found.problem:
        assert found.text == ""
    else:
        assert isinstance(json.loads(found.text), dict)
        assert found.text in text


TABLE = {
    "two that fit": ('{"n": 1} or {"n": 2}', "", "it holds several JSON values that fit"),
    "the same one twice": ('{"n": 1}\n\n```json\n{"n": 1}\n```', '{"n": 1}', ""),
    "a value inside of another": ('{"items": [{"n": 1}]}', "", "it breaks the schema's rule /additionalProperties"),
    "brackets in prose": ('See [note] and {this}: {"n": 1}', '{"n": 1}', ""),
    "an open bracket first": ('{ is a brace. {"n": 1}', '{"n": 1}', ""),
    "the second value fits": ('First {"m": 1}, better {"n": 2}', '{"n": 2}', ""),
    "an example before the answer": ('```json\n{"n": "x"}\n```\nand\n```json\n{"n": 3}\n```', '{"n": 3}', ""),
    "braces in strings": ('So: {"n": 1, "name": "}{\\"]"}', '{"n": 1, "name": "}{\\"]"}', ""),
    "wrong type": ('{"n": "x"}', "", "it breaks the schema's rule /properties/n/type"),
    "missing": ("{}", "", "it breaks the schema's rule /required"),
    "prose": ("I cannot say.", "", "it holds no JSON value"),
    "cut": ('{"n": 1', "", "it holds no JSON value"),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_form(name: str) -> None:
    """The fitting value wins; else the problem names the rule and never a word of the answer."""
    text, found, problem = TABLE[name]
    answer = JUDGE.find(text)
    assert (answer.text, answer.problem) == (found, problem)


def test_an_object_is_wanted_where_no_schema_is() -> None:
    """`json_object` means an object: a list or a number is none."""
    assert ANY.find("[1]").problem == "it is not a JSON object"
    assert ANY.find('see {"a": [1]}').text == '{"a": [1]}'


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"pattern": "("}}},
    ],
)
def test_a_schema_that_is_none_is_refused(schema: dict[str, Any]) -> None:
    """A broken schema, and one that points out of itself, is the client's mistake; nothing is fetched for it."""
    with pytest.raises(InvalidRequest) as caught:
        JsonJudge(TextFormat("json_schema", "x", schema, True))
    assert caught.value.param == "text.format.schema"


def test_a_pattern_that_backtracks_for_ever_ends() -> None:
    """A pattern of the client and a text of the model cannot stop the bridge together."""
    judge = JsonJudge(TextFormat("json_schema", "x", {"properties": {"a": {"pattern": r"^(a|a)+(?=c)\1$"}}}, True))
    assert judge.find(json.dumps({"a": "a" * 5000})).problem


def test_many_open_braces_end() -> None:
    """A text of nothing but brackets is looked at a bounded number of times."""
    assert JUDGE.find("{[" * 100_000).problem == "it holds no JSON value"
