"""One provider of ours in OpenCode's configuration, JSON with comments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.profiles import raw_profile
from codex_oss.services import opencode_config
from codex_oss.services.jsonc import parse_jsonc
from codex_oss.services.marked_block import EditRefused

MODELS = [(name, raw_profile(name, "m", "http://127.0.0.1:1/v1")) for name in ("ocg-a", "mission-a3-a")]
SETTINGS = opencode_config.provider_settings("http://127.0.0.1:4000/v1", "sk-local-test", MODELS)
MOVED = opencode_config.provider_settings("http://127.0.0.1:4001/v1", "sk-local-test", MODELS[:1])

KEYS = st.sampled_from(["$schema", "model", "a/b // no comment", "provid", "ü☃", '"quoted"'])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["", "http://x//y", "/* no */", "}"]))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
FLAGS = st.booleans()
BLANKS = st.sampled_from(["", " ", "\n", "\n  ", "\t", " // c }\n", "/* , */", "\n  // a\n  // b\n"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A configuration with comments, trailing commas and foreign keys, with or without other providers."""
    document: dict[str, Any] = draw(st.dictionaries(KEYS, VALUES, max_size=4))
    for parent in ("provider", "mcp"):
        if draw(FLAGS):
            document[parent] = draw(st.dictionaries(st.sampled_from(["other", "bridge"]), VALUES, max_size=2))
    if draw(FLAGS):
        document = {key: document[key] for key in draw(st.permutations(list(document)))}
    text = draw(BLANKS) + _written(draw, document) + draw(BLANKS)
    crlf: bool = draw(FLAGS)
    return text.replace("\n", "\r\n") if crlf else text


def _written(draw: st.DrawFn, value: Any) -> str:
    """The value as text with blanks and comments everywhere they are allowed."""
    if isinstance(value, dict):
        parts = [
            f"{draw(BLANKS)}{json.dumps(k)}{draw(BLANKS)}:{_written(draw, v)}{draw(BLANKS)}" for k, v in value.items()
        ]
    elif isinstance(value, list):
        parts = [draw(BLANKS) + _written(draw, item) + draw(BLANKS) for item in value]
    else:
        return json.dumps(value, ensure_ascii=draw(FLAGS))
    trailing: bool = draw(FLAGS)
    comma = "," if parts and trailing else ""
    start, end = "{}" if isinstance(value, dict) else "[]"
    return start + ",".join(parts) + comma + draw(BLANKS) + end


def comments(text: str) -> int:
    """How many of the generated comments a text holds."""
    return text.count("// c }") + text.count("/* , */") + text.count("// a\n") + text.count("// a\r\n")


@given(documents())
def test_put_and_strip_touch_nothing_else(text: str) -> None:
    """Every other value and every comment stays, twice is once, and out again leaves the same values."""
    before = parse_jsonc(text).value
    edited = opencode_config.put_provider(text, SETTINGS)
    assert opencode_config.read_provider(edited) == SETTINGS
    assert opencode_config.put_provider(edited, SETTINGS) == edited
    after = parse_jsonc(edited).value
    assert {k: v for k, v in after.items() if k != "provider"} == {k: v for k, v in before.items() if k != "provider"}
    assert comments(edited) == comments(text)
    stripped = opencode_config.strip_provider(edited)
    assert parse_jsonc(stripped).value == {k: v for k, v in before.items() if k != "provider" or v}
    if before.get("provider") != {}:
        assert comments(stripped) == comments(text)


@given(documents())
def test_a_new_port_keeps_the_additions_of_the_user(text: str) -> None:
    """Our values change, names of the bridge that are gone go, what the user added within ours stays."""
    edited = opencode_config.put_provider(text, SETTINGS)
    edited = edited.replace('"npm": "@ai-sdk/openai"', '"npm": "@ai-sdk/openai",\n"whitelist": ["x"]', 1)
    moved = opencode_config.read_provider(opencode_config.put_provider(edited, MOVED))
    assert moved == {**MOVED, "whitelist": ["x"]}


def test_the_result_reads_like_the_file() -> None:
    """Indentation, the comment behind the last value and the missing trailing comma are respected."""
    text = '{\n    // keep\n    "model": "a/b" // tail\n}\n'
    edited = opencode_config.put_provider(text, SETTINGS)
    assert edited.startswith('{\n    // keep\n    "model": "a/b", // tail\n    "provider": {\n')
    assert opencode_config.strip_provider(edited) == text


def test_an_absent_file_becomes_a_whole_one() -> None:
    """A new file names the schema and our provider."""
    assert json.loads(opencode_config.put_provider("", SETTINGS))["provider"] == {"codex-oss": SETTINGS}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"a": 1} x',
        "{'a': 1}",
        '{"provider": 3}',
        '{"provider": {}, "provider": {}}',
        '{"provider": {"codex-oss": {}, "codex-oss": {}}}',
        '{"provider": {"codex-oss": {/* mine */}}}',
        "[" * 5000,
        "/* open",
        '{"a": "\\x"}',
    ],
)
def test_what_cannot_be_edited_is_refused_with_the_snippet(text: str) -> None:
    """Nothing is guessed: the hint holds exactly what to add."""
    with pytest.raises(EditRefused) as refused:
        opencode_config.put_provider(text, SETTINGS)
    assert json.loads(refused.value.hint.partition("\n")[2]) == {"provider": {"codex-oss": SETTINGS}}
