"""Names to lanes: the table of routes, missions, permissive names, and the words of each refusal."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.profiles import parse_profiles
from codex_oss.errors import RequestError
from codex_oss.policy.routing import choose_route, known_models, mission_aliases

SHIPPED = tomllib.loads(resources.files("codex_oss").joinpath("data/models.toml").read_text())
PROFILES, _ = parse_profiles([("shipped", SHIPPED)])


@pytest.mark.parametrize(
    ("name", "lane", "model", "tier"),
    [
        ("ocg-kimi-k2.6", "oss", "kimi-k2.6", None),
        ("opencode-go/kimi-k2.6", "oss", "kimi-k2.6", None),
        ("oss_flash_support", "oss", "deepseek-v4-flash", None),
        ("mission-a2-flash", "mission", "deepseek-v4-flash", "A2"),
        ("mission-a6-deepseek", "mission", "deepseek-v4-pro", "A6"),
        ("mission-a3-kimi-k2.5", "mission", "kimi-k2.5", "A3"),
        ("mission-a3-local", "mission", "SmolLM2-135M-Instruct", "A3"),
        ("ocg-brand-new:7b", "oss", "brand-new:7b", None),
        ("opencode-go/vendor/model", "oss", "vendor/model", None),
    ],
)
def test_routes(name: str, lane: str, model: str, tier: str | None) -> None:
    """Each kind of name reaches its lane, model and tier."""
    route = choose_route(name, PROFILES, "error")
    assert (route.lane, route.profile.model, route.tier) == (lane, model, tier)


def test_permissive_names_live_on_the_default_upstream() -> None:
    """A name that no profile has goes to the base URL it is given, and is admitted to no mission."""
    route = choose_route("ocg-new", PROFILES, "error", default_base_url="http://127.0.0.1:1/v1")
    assert (route.profile.base_url, route.profile.tiers) == ("http://127.0.0.1:1/v1", ())


REFUSALS = [
    ("", "invalid_request", "The request names no model."),
    ("kimi", "model_not_found", "Unknown model 'kimi'. Near matches: ocg-kimi-k2.6, ocg-kimi-k2.5, mission-a2-kimi."),
    ("mission-a3-kimmi", "model_not_found", "Unknown model 'mission-a3-kimmi': there is no profile 'kimmi'."),
    ("mission-a4-qwen", "model_not_found", "Profile 'qwen' is not admitted to A4 (admitted: A2, A3)."),
    ("mission-a1-kimi", "model_not_found", "Unknown model 'mission-a1-kimi'."),
    ("MISSION-A3-KIMI", "model_not_found", "Unknown model 'MISSION-A3-KIMI'."),
    ("mission-a3-", "model_not_found", "Unknown model 'mission-a3-'."),
    ("ocg-", "model_not_found", "Unknown model 'ocg-'."),
    ("ocg-a b", "model_not_found", "Unknown model 'ocg-a b'."),
    ("ocg-x\n", "model_not_found", "Unknown model 'ocg-x\\n'."),
    ("gpt-5.5", "unsupported_bridge_model", "This bridge does not serve 'gpt-5.5': it answers to ocg-* and mission-*"),
    ("codex-mini-latest", "unsupported_bridge_model", "This bridge does not serve 'codex-mini-latest'"),
    ("openai/gpt-6.1-sol", "unsupported_bridge_model", "This bridge does not serve 'openai/gpt-6.1-sol'"),
    ("o3", "unsupported_bridge_model", "This bridge does not serve 'o3'"),
    ("x" * 5000, "model_not_found", "Unknown model 'xxx"),
]


@pytest.mark.parametrize(("name", "code", "message"), REFUSALS)
def test_refusals(name: str, code: str, message: str) -> None:
    """Each refusal has its code and a short sentence that names what was asked for."""
    with pytest.raises(RequestError) as caught:
        choose_route(name, PROFILES, "error")
    assert caught.value.code == code
    assert caught.value.message.startswith(message)
    assert len(caught.value.message) < 300
    assert caught.value.param == "model"


GPT_NAMES = ["gpt-5.5", "codex-mini-latest", "openai/gpt-6.1-sol", "o3", "o4-mini", "chatgpt-4o-latest"]


@pytest.mark.parametrize("name", GPT_NAMES)
def test_gpt_strategies(name: str) -> None:
    """A gpt name is relayed, with a profile that names no address, key or tier; or it stands for one open model."""
    relayed = choose_route(name, PROFILES, "passthrough")
    assert (relayed.lane, relayed.reason) == ("passthrough", "")
    assert (relayed.profile.model, relayed.profile.base_url, relayed.profile.tiers) == (name, "", ())
    owned = choose_route(name, PROFILES, "accounts")
    assert (owned.lane, owned.profile.model, owned.profile.base_url, owned.reason) == ("chatgpt", name, "", "")
    for fallback in ("deepseek", "ocg-deepseek-v4-pro", "deepseek-v4-pro"):
        alias = choose_route(name, PROFILES, "oss", gpt_fallback=fallback)
        assert (alias.lane, alias.profile.model, alias.reason) == ("oss", "deepseek-v4-pro", "gpt_alias")
    with pytest.raises(RequestError):
        choose_route(name, PROFILES, "oss", gpt_fallback="nobody")


@pytest.mark.parametrize("name", ["ocg-gpt-5.5", "mission-a3-kimi", "gpt", "GPT-5.5", "o", "x gpt-5", "gpt-5\n"])
@pytest.mark.parametrize("strategy", ["passthrough", "oss", "accounts"])
def test_no_other_name_is_taken_for_gpt(name: str, strategy: str) -> None:
    """The strategies touch gpt names only; everything else is as ever."""

    def outcome(strategy: str) -> object:
        try:
            return choose_route(name, PROFILES, strategy, gpt_fallback="kimi")
        except RequestError as exc:
            return exc.code

    assert outcome(strategy) == outcome("error")


@pytest.mark.parametrize("name", ["gpt-\x1b[2J", "gpt-5 5", "gpt-5\r", "gpt-é", "gpt-" + "x" * 125])
@pytest.mark.parametrize("strategy", ["passthrough", "oss"])
def test_a_name_that_steers_a_terminal_goes_nowhere(name: str, strategy: str) -> None:
    """What is relayed or placed without a table is plain text of a bounded length."""
    with pytest.raises(RequestError) as caught:
        choose_route(name, PROFILES, strategy, gpt_fallback="kimi")
    assert caught.value.code == "model_not_found"


def test_gpt_advice() -> None:
    """The hint tells what to change in the client."""
    with pytest.raises(RequestError) as caught:
        choose_route("gpt-5.5", PROFILES, "error")
    assert caught.value.hint == (
        "Do not make the bridge the global provider of GPT models; choose it per profile, agent or command."
    )


def test_a_mapped_gpt_name_wins() -> None:
    """MODEL_MAP_JSON can place a gpt name on an open model."""
    profiles, _ = parse_profiles([("shipped", SHIPPED)], model_map={"gpt-5.5": "glm-5.1"})
    for strategy in ("error", "passthrough", "oss"):
        route = choose_route("gpt-5.5", profiles, strategy, gpt_fallback="kimi")
        assert (route.lane, route.profile.model) == ("oss", "glm-5.1")


def test_every_listed_name_has_a_route() -> None:
    """What the model list shows is what the router answers to."""
    for name, profile in known_models(PROFILES):
        assert choose_route(name, PROFILES, "error").profile == profile
    assert list(mission_aliases(PROFILES["qwen"])) == ["mission-a2-qwen", "mission-a3-qwen"]


@given(st.text(max_size=60) | st.from_regex(r"(mission-a[0-9]-|ocg-|gpt-)\w{0,9}", fullmatch=True))
def test_any_name_is_routed_or_refused(name: str) -> None:
    """No name makes the router fail in another way, and no mission skips its admission."""
    try:
        route = choose_route(name, PROFILES, "error")
    except RequestError:
        return
    assert route.tier is None or route.tier in route.profile.tiers
