"""Model profiles: which open models exist, where they live and what they may be asked to do.

Profiles are data: `data/models.toml` in the package, merged key by key with the user's and the project's
`models.toml`. One profile serves the raw alias `ocg-*` and, for every tier that it admits, `mission-a<tier>-<name>`.

Rules that hold here:

1. Parsing never discards the rest: each bad value becomes one problem that names source, key and what was expected.
2. `UPSTREAM_BASE` replaces the base URL of every profile that the *project's* models.toml does not set itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin

from msgspec import Struct, ValidationError, convert, structs

from codex_oss.config import DEFAULT_UPSTREAM_BASE, ConfigProblem

StructuredOutput = Literal["none", "json_object", "json_schema"]
Api = Literal["chat", "responses"]
EffortField = Literal["none", "reasoning_effort", "reasoning", "thinking", "enable_thinking"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ActionProtocol = Literal["json", "tools"]
"""How the model of a mission says what it wants to do: one JSON object as its whole answer, or native tool calls."""


ModelLane = Literal["scout", "review", "docs_support", "bounded_write", "implementation"]
ToolAbility = Literal["read", "search", "list", "safe_git", "shell", "test", "edit"]
MODEL_LANES: Final[tuple[ModelLane, ...]] = get_args(ModelLane)
TOOL_ABILITIES: Final[tuple[ToolAbility, ...]] = get_args(ToolAbility)


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """How an upstream differs from the plain Chat Completions protocol."""

    structured_output: StructuredOutput = "none"
    """Which `response_format` the upstream honours. It is never trusted, only used to help the model."""
    system_role: Literal["system", "developer"] = "system"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    reasoning: Literal["hide", "summary"] = "summary"
    """What a client sees of `reasoning_content`: nothing, or a reasoning item with a summary."""
    replay_reasoning: bool = False
    """The upstream wants `reasoning_content` back within a tool loop."""
    parallel_tool_calls: bool = False
    """The upstream knows the field `parallel_tool_calls`."""
    effort_field: EffortField = "none"
    """How the upstream is told the reasoning effort: not at all; the field `reasoning_effort` (OpenAI, vLLM, Groq);
    `reasoning: {effort}` (OpenRouter); `thinking: {type: enabled|disabled}` (GLM, Kimi, DeepSeek); `enable_thinking:
    true|false` (Qwen)."""
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    """The levels that the first two fields may have; what a client asks for goes to the nearest, the lower of two."""
    tool_choice: Literal["full", "auto"] = "full"
    """`auto`: the upstream refuses or ignores every other `tool_choice`; the bridge then checks the answer only."""
    text_calls: Literal["none", "hermes"] = "none"
    """Calls that the server leaves in the text: `<tool_call>{"name": …, "arguments": …}</tool_call>` (Hermes, Qwen)."""
    images: bool = False
    """The model can see; otherwise an image becomes a note."""


class ModelProfile(Struct, frozen=True):
    """One open model as the bridge knows it."""

    name: str
    """`<profile>` in `mission-a<tier>-<profile>`: `[a-z0-9][a-z0-9_.-]*`."""
    alias: str
    """The raw model name that clients use, `ocg-…`."""
    model: str
    """The model id the upstream knows."""
    base_url: str
    """OpenAI-compatible base, without the trailing slash, e.g. `https://opencode.ai/zen/go/v1`."""
    api: Api = "chat"
    """What the server speaks below `base_url`: `/chat/completions`, or `/responses`, which needs no translation."""
    key_env: str = "OPENCODE_GO_API_KEY"
    """Name of the environment variable that holds the upstream key; empty when the upstream needs none."""
    aliases: tuple[str, ...] = ()
    """Further raw names, e.g. `opencode-go/kimi-k2.6`."""
    context_tokens: int = 32_768
    max_output_tokens: int = 4_096
    tiers: tuple[str, ...] = ()
    """Mission tiers this model is admitted to, e.g. `("A2", "A3")`; empty means raw use only."""
    capability: int = 4
    """Capability tier 1…5; a fallback to a lower one is a downgrade and must be said."""
    max_concurrency: int = 1
    """Requests under way at once to this model."""
    fallbacks: tuple[str, ...] = ()
    """Names of profiles to try, in order, when this one is unavailable before the first event."""
    approved_downgrades: tuple[str, ...] = ()
    """Those of `fallbacks` that may answer although their `capability` is lower. Whoever writes a chain into
    `fallback_map` approves it with that."""
    action_protocol: ActionProtocol = "json"
    """How a mission is spoken on this model; the setting `action_protocol` overrides it (decision 0024)."""
    available: bool = True
    """Whether it takes missions now; the next of `fallbacks` takes them while it does not."""
    lanes: tuple[ModelLane, ...] = MODEL_LANES
    """Kinds of work that it takes."""
    tool_classes: tuple[ToolAbility, ...] = TOOL_ABILITIES
    """Classes of tools that it can be trusted to call rightly."""
    max_tool_budget: dict[str, int] = {}
    """Per tier: most tool calls a mission gets on this model."""
    max_seconds: dict[str, int] = {}
    """Per tier: most seconds a mission gets on this model."""
    quirks: Quirks = Quirks()


Source = tuple[str, Mapping[str, Any]]
"""Where a table came from (a path, for messages) and the parsed TOML."""

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*")
TIERS: Final = ("A2", "A3", "A4", "A5", "A6")
PRIMARY_KEY_ENV: Final = "OPENCODE_GO_API_KEY"


def parse_profiles(
    sources: Sequence[Source],
    *,
    project_source: str = "",
    upstream_base: str | None = None,
    model_map: Mapping[str, str] | None = None,
    fallback_map: Mapping[str, Sequence[str]] | None = None,
    model_concurrency: Mapping[str, int] | None = None,
) -> tuple[dict[str, ModelProfile], list[ConfigProblem]]:
    """Merge all model tables, weakest source first, and apply the maps of the configuration.

    project_source: the name in *sources* whose `base_url`s stand against *upstream_base*.
    model_map: client name to upstream id; names an existing profile or makes a new raw one.
    fallback_map, model_concurrency: keyed by profile name, alias or upstream id.
    Returns the profiles by name, each with every good value applied, and the problems in the order met.
    """
    tables: dict[str, dict[str, Any]] = {}
    problems: list[ConfigProblem] = []
    fixed_bases: set[str] = set()
    for source, document in sources:
        for name, table in _profile_tables(source, document, problems):
            values = _checked(source, f"profiles.{name}", table, ModelProfile, _CHECKS, problems)
            if source == project_source and "base_url" in values:
                fixed_bases.add(name)
            tables[name] = _merged(tables.get(name, {}), values)
    profiles: dict[str, ModelProfile] = {}
    for name, values in tables.items():
        if "model" not in values:
            problems.append(ConfigProblem("models", f"profiles.{name}.model", "is required: the id the upstream knows"))
            continue
        if upstream_base is not None and name not in fixed_bases:
            values["base_url"] = upstream_base
        profiles[name] = _profile(name, values)
    _apply_maps(profiles, problems, model_map or {}, fallback_map or {}, model_concurrency or {}, upstream_base)
    _check_names(profiles, problems)
    return profiles, problems


def find_profile(profiles: Mapping[str, ModelProfile], name: str) -> ModelProfile | None:
    """The profile with this name, alias, further alias or (last) upstream id; None when there is none."""
    if name in profiles:
        return profiles[name]
    for profile in profiles.values():
        if name == profile.alias or name in profile.aliases:
            return profile
    return next((profile for profile in profiles.values() if profile.model == name), None)


def raw_profile(alias: str, model: str, base_url: str) -> ModelProfile:
    """A profile for raw use only, made from a name that no table describes."""
    return ModelProfile(name=alias, alias=alias, model=model, base_url=base_url)


def _profile_tables(
    source: str, document: Mapping[str, Any], problems: list[ConfigProblem]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in document.items():
        if key != "profiles" or not isinstance(value, Mapping):
            problems.append(ConfigProblem(source, key, "unknown key; expected tables [profiles.<name>]"))
            continue
        for name, table in value.items():
            if not NAME.fullmatch(name):
                message = "a profile name is lower case: a letter or digit, then letters, digits, '_', '.', '-'"
                problems.append(ConfigProblem(source, f"profiles.{name}", message))
            elif not isinstance(table, Mapping):
                problems.append(ConfigProblem(source, f"profiles.{name}", "expected a table"))
            else:
                yield name, table


def _checked(
    source: str,
    where: str,
    table: Mapping[str, Any],
    kind: type[Struct],
    checks: Mapping[str, tuple[Callable[[Any], bool], str]],
    problems: list[ConfigProblem],
) -> dict[str, Any]:
    """The good values of one table, in builtin types; each bad one becomes a problem."""
    types = {entry.name: entry.type for entry in structs.fields(kind) if entry.name != "name"}
    values: dict[str, Any] = {}
    for key, raw in table.items():
        place = f"{where}.{key}"
        if key not in types:
            problems.append(ConfigProblem(source, place, f"unknown key; known keys: {', '.join(sorted(types))}"))
            continue
        if key == "quirks" and isinstance(raw, Mapping):
            values[key] = _checked(source, place, raw, Quirks, {}, problems)
            continue
        try:
            value = convert(raw, types[key])
        except ValidationError as exc:
            words = get_args(types[key]) if get_origin(types[key]) is Literal else ()
            told = f"expected one of {', '.join(words)}, got {raw!r}"[:300] if words else str(exc).lower()
            problems.append(ConfigProblem(source, place, told))
            continue
        good, expected = checks.get(key, (lambda _: True, ""))
        if good(value):
            values[key] = value.rstrip("/") if key == "base_url" else value
        else:
            problems.append(ConfigProblem(source, place, f"expected {expected}, got {raw!r}"[:300]))
    return values


def _merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        held = merged.get(key)
        merged[key] = {**held, **value} if isinstance(value, dict) and isinstance(held, dict) else value
    return merged


def _profile(name: str, values: Mapping[str, Any]) -> ModelProfile:
    defaults = {"alias": f"ocg-{name}", "base_url": DEFAULT_UPSTREAM_BASE}
    return convert({**defaults, **values, "name": name}, ModelProfile)


def _apply_maps(
    profiles: dict[str, ModelProfile],
    problems: list[ConfigProblem],
    model_map: Mapping[str, str],
    fallback_map: Mapping[str, Sequence[str]],
    model_concurrency: Mapping[str, int],
    upstream_base: str | None,
) -> None:
    for alias, model in model_map.items():
        held = next((one for one in profiles.values() if alias == one.alias or alias in one.aliases), None)
        if held is None:
            profiles[alias] = raw_profile(alias, model, upstream_base or DEFAULT_UPSTREAM_BASE)
        else:
            profiles[held.name] = structs.replace(held, model=model)
    for key, chain in fallback_map.items():
        profile = find_profile(profiles, key)
        targets = [find_profile(profiles, entry) for entry in chain]
        unknown = [key] if profile is None else [e for e, found in zip(chain, targets, strict=True) if found is None]
        if profile is None or unknown:
            problems.append(ConfigProblem("configuration", f"fallback_map.{key}", f"unknown model {unknown[0]!r}"))
        else:
            names = tuple(found.name for found in targets if found is not None)
            profiles[profile.name] = structs.replace(profile, fallbacks=names, approved_downgrades=names)
    for key, limit in model_concurrency.items():
        profile = find_profile(profiles, key)
        if profile is None:
            problems.append(ConfigProblem("configuration", f"model_concurrency.{key}", f"unknown model {key!r}"))
        else:
            profiles[profile.name] = structs.replace(profile, max_concurrency=limit)


def _check_names(profiles: Mapping[str, ModelProfile], problems: list[ConfigProblem]) -> None:
    owner: dict[str, str] = {}
    for profile in profiles.values():
        for alias in (profile.alias, *profile.aliases):
            if owner.setdefault(alias, profile.name) != profile.name:
                message = f"{alias!r} is already a name of profile {owner[alias]!r}"
                problems.append(ConfigProblem("models", f"profiles.{profile.name}.alias", message))
        for key in ("fallbacks", "approved_downgrades"):
            for name in getattr(profile, key):
                if name not in profiles:
                    message = f"unknown profile {name!r}"
                    problems.append(ConfigProblem("models", f"profiles.{profile.name}.{key}", message))


def _is_base_url(value: str) -> bool:
    fits = re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value) is not None
    return fits and not value.rstrip("/").endswith(("/chat/completions", "/responses"))


def _is_per_tier(value: dict[str, int]) -> bool:
    return all(tier in TIERS and 1 <= number <= 3600 for tier, number in value.items())


_CHECKS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "alias": (lambda v: bool(re.fullmatch(r"[!-~]{1,128}", v)), "a name without blanks"),
    "model": (lambda v: bool(v.strip()), "the id the upstream knows"),
    "base_url": (
        _is_base_url,
        "http(s)://host[:port]/path without credentials, query, /chat/completions or /responses",
    ),
    "key_env": (lambda v: bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", v)), "the NAME of an environment variable"),
    "context_tokens": (lambda v: 512 <= v <= 100_000_000, "a whole number from 512 to 100000000"),
    "max_output_tokens": (lambda v: 16 <= v <= 10_000_000, "a whole number from 16 to 10000000"),
    "tiers": (lambda v: set(v) <= set(TIERS), f"a list of {', '.join(TIERS)}"),
    "capability": (lambda v: 1 <= v <= 5, "a whole number from 1 to 5"),
    "max_concurrency": (lambda v: 1 <= v <= 4096, "a whole number from 1 to 4096"),
    "max_tool_budget": (_is_per_tier, f"a table of {', '.join(TIERS)} to whole numbers from 1 to 3600"),
    "max_seconds": (_is_per_tier, f"a table of {', '.join(TIERS)} to whole numbers from 1 to 3600"),
}
"""Field to (is it usable, what was expected); the type itself comes from the Struct."""
