"""Profiles as data: merging, problems, maps of the configuration, and what the package ships."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.config import DEFAULT_UPSTREAM_BASE
from codex_oss.contracts.profiles import ModelProfile, find_profile, parse_profiles

SHIPPED = tomllib.loads(resources.files("codex_oss").joinpath("data/models.toml").read_text())


def _parse(text: str, **more: Any) -> tuple[dict[str, ModelProfile], list[str]]:
    """Shipped models plus a project's TOML."""
    sources = [("shipped", SHIPPED), ("project", tomllib.loads(text))]
    profiles, problems = parse_profiles(sources, project_source="project", **more)
    return profiles, [str(problem) for problem in problems]


def test_shipped_models_are_sound() -> None:
    """The package's own table has no problem and the names, tiers and budgets of the reference."""
    profiles, problems = parse_profiles([("shipped", SHIPPED)])
    assert problems == []
    aliases = {profile.alias for profile in profiles.values()}
    assert aliases >= {
        *("ocg-deepseek-v4-pro", "ocg-deepseek-v4-flash", "ocg-kimi-k2.6", "ocg-kimi-k2.5", "ocg-qwen3.6-plus"),
        *("ocg-qwen3.5-plus", "ocg-glm-5.1", "ocg-glm-5", "ocg-minimax-m2.7", "ocg-minimax-m2.5", "ocg-local"),
    }
    assert {name for name, one in profiles.items() if "A6" in one.tiers} == {"kimi", "deepseek", "flash"}
    assert all({"A2", "A3"} <= set(profile.tiers) for profile in profiles.values())
    assert (profiles["deepseek"].max_tool_budget["A3"], profiles["deepseek"].max_seconds["A3"]) == (20, 180)
    assert {one.base_url for name, one in profiles.items() if name != "local"} == {DEFAULT_UPSTREAM_BASE}
    assert profiles["flash"].aliases == ("opencode-go/deepseek-v4-flash", "oss_flash_support")


def test_a_server_of_your_own_is_five_lines() -> None:
    """The example of models.toml works as written, without a key."""
    profiles, problems = _parse(
        '[profiles.coder]\nmodel = "qwen3-coder:30b"\nbase_url = "http://127.0.0.1:11434/v1/"\n'
        'key_env = ""\ntiers = ["A2", "A3"]'
    )
    assert problems == []
    coder = profiles["coder"]
    assert (coder.alias, coder.base_url, coder.key_env) == ("ocg-coder", "http://127.0.0.1:11434/v1", "")


def test_merges_key_by_key() -> None:
    """A stronger source replaces single keys, also inside quirks and budgets, and keeps the rest."""
    profiles, problems = _parse(
        "[profiles.kimi]\ncontext_tokens = 200000\nquirks = { images = true }\nmax_seconds = { A2 = 60 }"
    )
    assert problems == []
    kimi = profiles["kimi"]
    assert (kimi.alias, kimi.context_tokens) == ("ocg-kimi-k2.6", 200_000)
    assert (kimi.quirks.images, kimi.quirks.structured_output) == (True, "json_object")
    assert (kimi.max_seconds["A2"], kimi.max_seconds["A3"]) == (60, 150)


def test_upstream_base_spares_what_the_project_places() -> None:
    """UPSTREAM_BASE moves every profile but those whose base_url stands in the project's own file."""
    profiles, _ = _parse('[profiles.kimi]\nbase_url = "http://own:1/v1"', upstream_base="http://all:2/v1")
    assert profiles["kimi"].base_url == "http://own:1/v1"
    assert {one.base_url for name, one in profiles.items() if name != "kimi"} == {"http://all:2/v1"}


BAD = [
    (
        "[profiles.kimi]\ncapability = 9",
        "project: profiles.kimi.capability: expected a whole number from 1 to 5, got 9",
    ),
    ("[profiles.kimi]\ncapability = true", "project: profiles.kimi.capability: expected `int`, got `bool`"),
    ('[profiles.kimi]\ntiers = ["A7"]', "project: profiles.kimi.tiers: expected a list of A2, A3, A4, A5, A6"),
    ("[profiles.kimi]\nquirks = { images = 1 }", "project: profiles.kimi.quirks.images: expected `bool`, got `int`"),
    (
        "[profiles.kimi]\nquirks = { sing = 1 }",
        "project: profiles.kimi.quirks.sing: unknown key; known keys: effort_field",
    ),
    ("[profiles.kimi]\ncolour = 1", "project: profiles.kimi.colour: unknown key; known keys: action_protocol"),
    ('[profiles.kimi]\nname = "x"', "project: profiles.kimi.name: unknown key"),
    ('[profiles.kimi]\nbase_url = "ftp://x"', "project: profiles.kimi.base_url: expected http(s)://host"),
    ('[profiles.kimi]\nbase_url = "https://u:p@x/v1"', "project: profiles.kimi.base_url: expected http(s)://host"),
    ('[profiles.kimi]\nbase_url = "http://x/v1/chat/completions"', "project: profiles.kimi.base_url: expected http(s)"),
    ('[profiles.kimi]\nbase_url = "http://x/v1/responses"', "project: profiles.kimi.base_url: expected http(s)"),
    ('[profiles.kimi]\napi = "grpc"', "project: profiles.kimi.api: expected one of chat, responses, got 'grpc'"),
    ('[profiles.kimi]\nkey_env = "sk-123"', "project: profiles.kimi.key_env: expected the NAME of an environment"),
    ("[profiles.Kimi]\nmodel = 'x'", "project: profiles.Kimi: a profile name is lower case"),
    ("[profiles.new]\ncapability = 3", "models: profiles.new.model: is required"),
    ("[profiles.new]\nmodel = 'x'\nalias = 'ocg-local'", "models: profiles.new.alias: 'ocg-local' is already a name"),
    ("[profiles.kimi]\nfallbacks = ['nobody']", "models: profiles.kimi.fallbacks: unknown profile 'nobody'"),
    ("[kimi]\nmodel = 'x'", "project: kimi: unknown key; expected tables [profiles.<name>]"),
    ("profiles = 3", "project: profiles: unknown key"),
    ("[profiles]\nkimi = 3", "project: profiles.kimi: expected a table"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_value_is_one_problem_and_nothing_else(text: str, message: str) -> None:
    """Each bad value names source, key and what was expected, and the shipped models stay usable."""
    profiles, problems = _parse(text)
    assert len(problems) == 1
    assert problems[0].startswith(message)
    assert profiles["kimi"].model == "kimi-k2.6"
    assert profiles["kimi"].capability == 5


def test_a_key_value_is_not_repeated_in_full() -> None:
    """A long value (perhaps a pasted key) is cut in the message."""
    _, problems = _parse(f'[profiles.kimi]\nkey_env = "{"x" * 500}-"')
    assert len(problems[0]) < 400


def test_maps_of_the_configuration() -> None:
    """MODEL_MAP_JSON adds and replaces names, the other maps take profile names, aliases and upstream ids."""
    profiles, problems = _parse(
        "",
        model_map={"ocg-kimi-k2.6": "kimi-k3", "gpt-5.5": "glm-9"},
        fallback_map={"deepseek-v4-flash": ["ocg-glm-5.1", "deepseek"]},
        model_concurrency={"flash": 4},
    )
    assert problems == []
    assert profiles["kimi"].model == "kimi-k3"
    assert (profiles["gpt-5.5"].model, profiles["gpt-5.5"].tiers) == ("glm-9", ())
    assert profiles["flash"].fallbacks == ("glm", "deepseek")
    assert profiles["flash"].max_concurrency == 4


def test_maps_name_unknown_models() -> None:
    """A map that speaks of a model nobody knows is a problem, and changes nothing."""
    _, problems = _parse("", fallback_map={"kimi": ["x"], "y": []}, model_concurrency={"z": 1})
    assert problems == [
        "configuration: fallback_map.kimi: unknown model 'x'",
        "configuration: fallback_map.y: unknown model 'y'",
        "configuration: model_concurrency.z: unknown model 'z'",
    ]


def test_find_profile_prefers_names_over_ids() -> None:
    """A name wins over an alias, an alias over an upstream id."""
    profiles, _ = _parse("[profiles.odd]\nmodel = 'ocg-kimi-k2.6'")
    found = find_profile(profiles, "ocg-kimi-k2.6")
    assert found is not None
    assert found.name == "kimi"
    assert find_profile(profiles, "nobody") is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(list(ModelProfile.__struct_fields__)) | st.text(max_size=5)


@given(st.dictionaries(st.sampled_from(["kimi", "new", "X", ""]), st.dictionaries(keys, values, max_size=4) | values))
def test_parsing_never_raises_nor_loses_a_model(tables: dict[str, Any]) -> None:
    """Whatever a file holds, the shipped models survive it."""
    profiles, _ = parse_profiles([("shipped", SHIPPED), ("project", {"profiles": tables})], project_source="project")
    assert set(profiles) >= set(SHIPPED["profiles"])
