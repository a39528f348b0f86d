"""Which lane and which model profile answer to the name a client asked for.

Counterparts: `contracts.profiles` holds the names, `wiring` ties a `Route` to a lane.

| name | lane |
| --- | --- |
| an alias of a profile (`ocg-kimi-k2.6`, `opencode-go/kimi-k2.6`) | oss |
| `mission-a<tier>-<profile>`, where the profile admits the tier | mission |
| `ocg-<id>`, `opencode-go/<id>` that no profile has | oss, on the default upstream |
| `gpt-*`, `codex-*` and their kin, `GPT_MODEL_STRATEGY=error` | refused with advice |
| the same, `passthrough` | relayed to their own backend, which is no lane |
| the same, `oss` | oss, the open model that `GPT_MODEL_OSS_FALLBACK` names |
| the same, `accounts` | chatgpt: the user's own accounts |

Rules that hold here:

1. A name in a table wins over every pattern, so `MODEL_MAP_JSON` can place a `gpt-*` name on an open model.
2. A relayed name has no open model behind it: its profile is a label and names no address, no key and no tier.
3. A mission never falls to the permissive row: its profile must be known and must admit the tier.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from codex_oss.config import DEFAULT_UPSTREAM_BASE
from codex_oss.contracts.profiles import ModelProfile, find_profile, raw_profile
from codex_oss.errors import InvalidRequest, UnknownModel

MISSION_ALIAS: Final = re.compile(r"mission-a([2-6])-([a-z0-9_.-]+)")
PERMISSIVE_ALIAS: Final = re.compile(r"(?:ocg-|opencode-go/)([A-Za-z0-9][A-Za-z0-9_.:/-]{0,127})")
GPT_NAME: Final = re.compile(r"(?:openai/)?(?:gpt-|codex-|chatgpt|o[1-9](?:-|$)).*")
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
"""A name that nobody here knows and that yet goes on: into logs, queues and answers."""
GPT_ALIAS: Final = "gpt_alias"
MODELS_HINT: Final = "GET /v1/models lists every name."


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers. tier: `A2`…`A6` for a mission, None for a raw turn. reason: why not as asked; a stable code."""

    lane: Literal["oss", "mission", "passthrough", "chatgpt"]
    profile: ModelProfile
    tier: str | None = None
    reason: str = ""


def choose_route(
    model: str,
    profiles: Mapping[str, ModelProfile],
    gpt_strategy: str = "error",
    *,
    gpt_fallback: str = "",
    default_base_url: str = DEFAULT_UPSTREAM_BASE,
) -> Route:
    """Resolve a model name as the table above says.

    gpt_fallback: the open model of the strategy `oss`, as `contracts.profiles.find_profile` takes it.
    default_base_url: the upstream of the permissive row.
    Raises UnknownModel, InvalidRequest `unsupported_bridge_model`, or InvalidRequest for an empty name.
    """
    if not model:
        raise InvalidRequest("The request names no model.", hint=MODELS_HINT, param="model")
    for profile in profiles.values():
        if model == profile.alias or model in profile.aliases:
            return Route("oss", profile)
    if mission := MISSION_ALIAS.fullmatch(model):
        return _mission_route(model, f"A{mission[1]}", mission[2], profiles)
    if permissive := PERMISSIVE_ALIAS.fullmatch(model):
        return Route("oss", raw_profile(model, permissive[1], default_base_url))
    if GPT_NAME.fullmatch(model) and (gpt_strategy == "error" or PLAIN_NAME.fullmatch(model)):
        return _gpt_route(model, profiles, gpt_strategy, gpt_fallback)
    raise UnknownModel(f"Unknown model {_shown(model)}.{_near(model, profiles)}", hint=MODELS_HINT, param="model")


def _gpt_route(model: str, profiles: Mapping[str, ModelProfile], strategy: str, fallback: str) -> Route:
    if strategy == "passthrough":
        return Route("passthrough", raw_profile(model, model, ""))
    if strategy == "accounts":
        return Route("chatgpt", raw_profile(model, model, ""))
    if strategy == "oss" and (profile := find_profile(profiles, fallback)) is not None:
        return Route("oss", profile, reason=GPT_ALIAS)
    raise InvalidRequest(
        f"This bridge does not serve {_shown(model)}: it answers to ocg-* and mission-* names only.",
        hint="Do not make the bridge the global provider of GPT models; choose it per profile, agent or command.",
        code="unsupported_bridge_model",
        param="model",
    )


def mission_aliases(profile: ModelProfile) -> Iterator[str]:
    """The mission names that this profile answers to, lowest tier first."""
    for tier in sorted(profile.tiers):
        yield f"mission-{tier.lower()}-{profile.name}"


def known_models(profiles: Mapping[str, ModelProfile]) -> Iterator[tuple[str, ModelProfile]]:
    """Every name worth showing to a person: raw aliases first, then the admitted missions."""
    for profile in profiles.values():
        yield profile.alias, profile
    for profile in profiles.values():
        for alias in mission_aliases(profile):
            yield alias, profile


def _mission_route(model: str, tier: str, name: str, profiles: Mapping[str, ModelProfile]) -> Route:
    profile = profiles.get(name)
    if profile is None:
        message = f"Unknown model {_shown(model)}: there is no profile {_shown(name)}.{_near(model, profiles)}"
        raise UnknownModel(message, hint=MODELS_HINT, param="model")
    if tier not in profile.tiers:
        admitted = ", ".join(sorted(profile.tiers)) or "no mission"
        raise UnknownModel(
            f"Profile {name!r} is not admitted to {tier} (admitted: {admitted}).",
            hint=f'Ask for another profile, or add "{tier}" to `tiers` of [profiles.{name}] in .codex-oss/models.toml.',
            param="model",
        )
    return Route("mission", profile, tier)


def _near(model: str, profiles: Mapping[str, ModelProfile]) -> str:
    """Up to three names that hold what was asked for (`kimi` is in `ocg-kimi-k2.6`), or else look like it."""
    asked = model[:128].lower()
    names = [name for name, _ in known_models(profiles)]
    near = [name for name in names if len(asked) > 2 and asked in name][:3]
    near = near or difflib.get_close_matches(asked, names, n=3, cutoff=0.5)
    return f" Near matches: {', '.join(near)}." if near else ""


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
